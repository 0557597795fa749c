//! What a run leaves behind, and the picture of it.
//!
//! Everything here is downstream of the simulation: it is told what happened and writes it down, and
//! nothing it does reaches a result. The rows are written as the run goes, whole rounds at a time, so
//! that a run which is stopped half-way leaves every round it finished.
//!
//! In the folder:
//! - [`rows`]: one struct per line of `rounds.csv`, `clients.csv` and `accuracy.csv`;
//! - [`table`]: CSV files of rows, written and read back exactly;
//! - [`folder`]: the run folder, its place and its files;
//! - [`record`]: `run.json`, which says what ran, where, and what came of it;
//! - [`histograms`]: HdrHistograms of latency, rounds, compute and queueing, as standard log files;
//! - [`ledger`]: what became of every invitation, and what it cost;
//! - [`participation`]: how evenly clients were asked;
//! - [`staleness`]: how old reports were that came to no round;
//! - [`dealt`]: who has which samples, as a report draws it;
//! - [`digest`]: a finished run's rows, boiled down to what a report draws;
//! - [`summary`]: the closing table on the terminal;
//! - [`progress`]: the line that moves while a run goes;
//! - [`report`]: `report.html`, one file with every picture.
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
