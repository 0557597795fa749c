//! One integration binary; one file per guarantee.

mod attacks;
mod cli;
mod determinism;
mod federation;
mod kernel;
mod parser;
mod scenarios;
mod tiny;
