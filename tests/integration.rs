//! One integration binary; one file per guarantee.

mod cli;
mod determinism;
mod federation;
mod kernel;
mod layers;
mod parser;
mod scenarios;
mod tiny;
