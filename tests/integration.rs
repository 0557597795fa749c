//! One integration binary; one file per guarantee.

mod attacks;
mod books;
mod budgets;
mod check;
mod cli;
mod determinism;
mod faults;
mod federation;
mod hostile_files;
mod house;
mod kernel;
mod layers;
mod models;
mod modules;
#[cfg(feature = "mpi")]
mod mpi;
mod outputs;
mod pairs;
mod parser;
mod process;
mod python;
mod resume;
mod scale;
mod scenarios;
mod swarm;
mod sweep;
mod tiny;
