//! The output of a run: tables, records and the report.
//!
//! Everything here comes after the simulation: it receives what happened and writes it down, and
//! nothing it does affects a result. Rows are written while the run goes on, whole rounds at a time, so
//! a run that is stopped half-way leaves every round that it finished.
//!
//! The submodules:
//! - [`rows`]: one struct for each kind of line in `rounds.csv`, `clients.csv`, `accuracy.csv` and the
//!   other tables;
//! - [`table`]: CSV files of rows, written and read back exactly;
//! - [`folder`]: the run folder, its place and its files;
//! - [`record`]: `run.json`, which says what was run, on which machine, and with which results;
//! - [`histograms`]: HdrHistograms of message latency, rounds, computation and queueing, as standard
//!   log files;
//! - [`ledger`]: what became of every invitation, and what it cost;
//! - [`participation`]: how evenly clients were asked;
//! - [`staleness`]: how old the used reports were where the server holds no rounds;
//! - [`dealt`]: which client has which samples, as the report draws it;
//! - [`digest`]: the rows of a finished run, reduced to what the report draws;
//! - [`summary`]: the closing table on the terminal;
//! - [`progress`]: the progress line of a run;
//! - [`report`]: `report.html`, one file with all pictures.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use shoal::observe::{folder::RunFolder, rows::{Outcome, RoundRow}};
//! # use shoal::quantity::VirtualTime;
//! # let scratch = tempfile::tempdir()?;
//! let mut folder = RunFolder::create_under(scratch.path(), "quickstart", 1)?;
//! folder.round(&RoundRow {
//!     round: 1,
//!     ended: VirtualTime::from_nanos(2_500_000_000),
//!     accuracy: Some(0.61),
//!     outcome: Outcome::Completed,
//!     ..RoundRow::default()
//! })?;
//! assert!(folder.path().ends_with("quickstart-1-1"));
//! # Ok(())
//! # }
//! ```

pub mod dealt;
pub mod digest;
mod error;
pub mod folder;
pub mod histograms;
pub mod ledger;
pub mod participation;
pub mod progress;
pub mod record;
pub mod report;
pub mod rows;
pub mod staleness;
pub mod summary;
pub mod table;
mod text;

pub use error::ObserveError;
