//! The result of a cell, read from its folder.

use super::cells::Cell;
use super::plan::SweepPlan;
use crate::disk;
use crate::observe::folder::{RECORD, ROUNDS};
use crate::observe::record::{RunRecord, Status, Totals};
use crate::observe::rows::RoundRow;
use crate::observe::table::for_each_row;
use crate::run::in_use;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The number of bytes at the end of a log that are read.
const LOG_END: u64 = 4_096;

/// The state of a cell in the table of the sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The run has not begun.
    Absent,
    /// A process is running the cell.
    Running,
    /// The run is complete.
    Ok,
    /// The run was interrupted.
    Interrupted,
    /// The run failed, or its process was killed.
    Failed,
}

impl Standing {
    /// The word for the state in the table.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Running => "running",
            Self::Ok => "ok",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// The result of a cell. Only a cell that is [`Standing::Ok`] has figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The state of the cell.
    pub standing: Standing,
    /// The error message, if the run failed.
    pub error: Option<String>,
    /// The main figures of the run.
    pub totals: Option<Totals>,
    /// The value of the column `client_mean` of `rounds.csv` at the last evaluation that has one.
    pub client_mean: Option<f64>,
    /// The value of the column `received_mean` of `rounds.csv` at the last evaluation that has one.
    pub received_mean: Option<f64>,
    /// The value of the column `trained_mean` of `rounds.csv` at the last evaluation that has one.
    pub trained_mean: Option<f64>,
    /// The virtual time in seconds at which the goal was reached, and the bytes sent until then.
    pub goal: Option<(f64, u64)>,
    /// The trace hash of the run.
    pub hash: Option<String>,
}

impl Outcome {
    fn standing(standing: Standing, error: Option<String>) -> Self {
        Self {
            standing,
            error,
            totals: None,
            client_mean: None,
            received_mean: None,
            trained_mean: None,
            goal: None,
            hash: None,
        }
    }

    /// Reads the result of `cell` from the sweep's folder `out`. `goal` is an accuracy in [0, 1].
    pub fn of(out: &Path, cell: &Cell, goal: Option<f64>) -> Self {
        let folder = SweepPlan::folder(out, cell);
        if in_use(&folder) {
            return Self::standing(Standing::Running, None);
        }
        let record = match RunRecord::read(&folder.join(RECORD)) {
            Ok(record) => record,
            Err(_) => {
                let said = last_words(&SweepPlan::log(out, cell));
                return match said {
                    None => Self::standing(Standing::Absent, None),
                    said => Self::standing(Standing::Failed, said),
                };
            }
        };
        match record.status {
            Status::Completed => {}
            Status::Interrupted => return Self::standing(Standing::Interrupted, None),
            Status::Failed | Status::NoRoundCompleted => {
                return Self::standing(Standing::Failed, record.error)
            }
            // The record says that the run is going on, but no process is running it.
            Status::Running => {
                let said = last_words(&SweepPlan::log(out, cell));
                let said = said.unwrap_or_else(|| "its process was killed".into());
                return Self::standing(Standing::Failed, Some(said));
            }
        }
        let (mut client_mean, mut received_mean, mut trained_mean) = (None, None, None);
        let (mut reached, mut bytes) = (None, 0u64);
        let read = for_each_row(&folder.join(ROUNDS), |row: RoundRow| {
            bytes = bytes.saturating_add(row.bytes_down.saturating_add(row.bytes_up));
            client_mean = row.client_mean.or(client_mean);
            received_mean = row.received_mean.or(received_mean);
            trained_mean = row.trained_mean.or(trained_mean);
            let there = goal
                .zip(row.accuracy)
                .is_some_and(|(goal, now)| now >= goal);
            if there && reached.is_none() {
                reached = Some((row.ended.nanos() as f64 / 1e9, bytes));
            }
        });
        if let Err(error) = read {
            return Self::standing(Standing::Failed, Some(error.to_string()));
        }
        Self {
            standing: Standing::Ok,
            error: None,
            totals: record.totals,
            client_mean,
            received_mean,
            trained_mean,
            goal: reached,
            hash: record.trace_hash,
        }
    }
}

/// The last line that a process wrote to its log, if it wrote any.
fn last_words(log: &Path) -> Option<String> {
    let mut log = disk::open(log).ok()?;
    let length = log.metadata().ok()?.len();
    log.seek(SeekFrom::Start(length.saturating_sub(LOG_END)))
        .ok()?;
    let mut end = Vec::new();
    log.take(LOG_END).read_to_end(&mut end).ok()?;
    let end = String::from_utf8_lossy(&end);
    // The message that the process was asked to stop is not the reason why it failed.
    let tells = |line: &&str| !line.trim().is_empty() && !line.contains("Ctrl-C again");
    let line = end.lines().rev().find(tells)?;
    Some(line.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use std::fs;

    #[test]
    fn a_cell_without_a_record_has_failed_if_its_process_said_something() {
        let out = tempfile::tempdir().unwrap();
        let cell = &cells(&[], &[], Some(&[1])).unwrap()[0];
        let of = || Outcome::of(out.path(), cell, None);
        assert_eq!(of().standing, Standing::Absent);
        fs::create_dir_all(SweepPlan::folder(out.path(), cell)).unwrap();
        let log = SweepPlan::log(out.path(), cell);
        fs::write(&log, "").unwrap();
        assert_eq!(of().standing, Standing::Absent);
        fs::write(&log, "warning: x\nerror: no such data\n\n").unwrap();
        let outcome = of();
        assert_eq!(outcome.standing, Standing::Failed);
        assert_eq!(outcome.error.as_deref(), Some("error: no such data"));
    }
}
