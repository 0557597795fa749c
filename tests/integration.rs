//! One integration binary; one file per guarantee.

#[cfg(feature = "torch")]
mod attacks;
#[cfg(feature = "torch")]
mod book;
#[cfg(feature = "torch")]
mod books;
#[cfg(feature = "torch")]
mod budgets;
#[cfg(feature = "torch")]
mod check;
#[cfg(feature = "torch")]
mod cli;
#[cfg(feature = "torch")]
mod determinism;
#[cfg(feature = "torch")]
mod faults;
#[cfg(feature = "torch")]
mod federation;
#[cfg(feature = "torch")]
mod hostile_files;
#[cfg(feature = "torch")]
mod house;
mod kernel;
#[cfg(feature = "torch")]
mod launcher;
mod layers;
#[cfg(feature = "torch")]
mod models;
#[cfg(feature = "torch")]
mod modules;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "torch")]
mod outputs;
#[cfg(feature = "torch")]
mod pairs;
#[cfg(feature = "torch")]
mod parser;
#[cfg(feature = "torch")]
mod process;
#[cfg(feature = "torch")]
mod python;
#[cfg(feature = "torch")]
mod resume;
#[cfg(feature = "torch")]
mod scale;
#[cfg(feature = "torch")]
mod scenarios;
#[cfg(feature = "torch")]
mod studies;
#[cfg(feature = "torch")]
mod swarm;
#[cfg(feature = "torch")]
mod sweep;
#[cfg(feature = "torch")]
mod tiny;
