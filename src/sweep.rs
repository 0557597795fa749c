//! A sweep: one scenario with parameters varied, under several seeds, each combination a run of its own.
//!
//! A [`Plan`] lists the cells in a fixed order, each with its overrides, its seed and its folder; it is
//! the same for every shard and every number of processes, so that a batch scheduler can spread it.
//! A cell is run by `shoal run` in a process of its own ([`crate::run`]) and is the run that
//! the same overrides give alone. What came of all of them is read from their folders, whoever ran them.
//!
//! - `vary`: what the command line says is varied
//! - `cells`: the combinations, and the share of a shard
//! - `plan`: the sweep as a file, and what is wrong with any of its cells
//! - `hold`: the right to a cell
//! - `state`: what a cell's folder holds
//! - `outcome`: what came of a cell
//! - `tables`: a row a cell, and figures over the seeds

mod cells;
mod hold;
mod outcome;
mod plan;
mod state;
mod tables;
mod vary;

pub use cells::{cells, Cell, Shard, MOST_CELLS};
pub use hold::{in_use_by, Hold};
pub use outcome::{Outcome, Standing};
pub use plan::{keep_text, replace, Plan, SweepError, PLAN};
pub use state::{state, tidied, State};
pub use tables::{collect, spread, Collected, Spread};
pub use tables::{SUMMARY, SUMMARY_COLUMNS, TABLE, TABLE_COLUMNS};
pub use vary::{parse_seeds, split_values, Varied};
