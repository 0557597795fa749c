//! One integration binary; one file per guarantee.

mod attacks;
mod books;
mod budgets;
mod cli;
mod determinism;
mod faults;
mod federation;
mod kernel;
mod layers;
#[cfg(feature = "mpi")]
mod mpi;
mod outputs;
mod parser;
mod resume;
mod scale;
mod scenarios;
mod swarm;
mod sweep;
mod tiny;
