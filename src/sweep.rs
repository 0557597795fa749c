//! Sweeps: one scenario with varied parameters, under several seeds, where each combination is a
//! run of its own.
//!
//! A [`SweepPlan`] lists the cells in a fixed order, each with its overrides, its seed and its
//! folder. The list does not depend on shards or processes, so a batch scheduler can distribute it.
//! A cell is run by `shoal run` in a process of its own ([`crate::run`]) and gives the
//! results that its overrides would give alone. The results are read from the folders of the cells,
//! whichever process ran them.
//!
//! - `vary`: the varied parameters as the command line gives them
//! - `cells`: the combinations, and the share of each shard
//! - `plan`: the sweep as a file, and the problems of its cells
//! - `hold`: the lock on a cell
//! - `state`: what the folder of a cell contains
//! - `outcome`: the result of a cell
//! - `tables`: a table with a row for each cell, and a table of statistics over seeds

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
pub use plan::{keep_text, replace, SweepError, SweepPlan, PLAN};
pub use state::{state, tidied, State};
pub use tables::{collect, spread, Collected, Spread};
pub use tables::{figures, SUMMARY, SUMMARY_COLUMNS, TABLE, TABLE_COLUMNS};
pub use vary::{parse_seeds, split_values, Varied};
