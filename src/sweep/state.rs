//! What the folder of a cell contains, and therefore what has to be done for the cell.

use super::cells::Cell;
use crate::disk;
use crate::observe::folder::RECORD;
use crate::observe::record::RunRecord;
use crate::run::{in_use, tidy, SCENARIO};
use std::fs;
use std::path::Path;

/// What the folder of a cell contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing: the run has not begun.
    Absent,
    /// The complete run of the cell.
    Done,
    /// A run of the cell that can be resumed from a checkpoint.
    Resumable,
    /// The remains of a run that cannot be resumed.
    Remains,
    /// A run that another process is working on.
    InUse,
    /// The finished run of something else, which must not be removed.
    Foreign,
}

/// Removes temporary files that a killed process left beside the finished run of a cell.
pub fn tidied(folder: &Path) {
    if let Err(error) = tidy(folder) {
        tracing::warn!("{}: {error}", folder.display());
    }
}

/// Finds out what the folder of `cell` contains. `text` is the scenario's text, and `device` the
/// device on which the run would be resumed.
pub fn state(folder: &Path, text: &str, cell: &Cell, device: &str) -> State {
    if fs::symlink_metadata(folder).is_err() {
        return State::Absent;
    }
    if in_use(folder) {
        return State::InUse;
    }
    let Ok(record) = RunRecord::read(&folder.join(RECORD)) else {
        return State::Remains;
    };
    let same = record.version == env!("CARGO_PKG_VERSION")
        && record.overrides == cell.overrides
        && disk::read(&folder.join(SCENARIO)).is_ok_and(|there| there == text.as_bytes());
    match (record.status, same) {
        (status, true) if status.is_at_end() => State::Done,
        (status, false) if status.is_at_end() => State::Foreign,
        // Only runs with checkpoints have an identity.
        (_, true) if record.identity.is_some() && record.device == device => State::Resumable,
        _ => State::Remains,
    }
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::observe::record::Status;
    use crate::quantity::Bytes;
    use crate::run::{run, Options};
    use crate::scenario::Scenario;
    use std::sync::atomic::AtomicBool;

    const TEXT: &str = "(data: Digits, model: \"logistic\", population: [(count: 4)],
        schedule: (rounds: 2, cohort: 2), checkpoint: (every: 1))";

    #[test]
    fn a_folder_says_what_is_to_be_done() {
        let cell = &cells(&[], &[], Some(&[5])).unwrap()[0];
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("cell");
        let state = |text: &str, cell: &Cell| super::state(&folder, text, cell, "cpu");
        assert_eq!(state(TEXT, cell), State::Absent);
        fs::create_dir(&folder).unwrap();
        assert_eq!(state(TEXT, cell), State::Remains);
        let overrides = cell.overrides.clone();
        let scenario = Scenario::parse(TEXT, Path::new("s.ron"), &overrides).unwrap();
        let options = Options {
            ranks: None,
            workers: 1,
            device: Default::default(),
            memory: None,
            out: Some(folder.clone()),
            file: "s.ron".into(),
            text: TEXT.into(),
            overrides,
            kept_memory: Bytes(u64::MAX),
            quiet: true,
        };
        run(&scenario, &options, &AtomicBool::new(false)).unwrap();
        assert_eq!(state(TEXT, cell), State::Done);
        assert_eq!(state(&format!("{TEXT} "), cell), State::Foreign);
        let other = &cells(&[], &[], Some(&[6])).unwrap()[0];
        assert_eq!(state(TEXT, other), State::Foreign);
        // As if it had been killed.
        let path = folder.join(RECORD);
        let mut record = RunRecord::read(&path).unwrap();
        record.status = Status::Running;
        let write = |record: &RunRecord| {
            fs::write(&path, serde_json::to_vec(record).unwrap()).unwrap();
        };
        write(&record);
        assert_eq!(state(TEXT, cell), State::Resumable);
        assert_eq!(super::state(&folder, TEXT, cell, "cuda:0"), State::Remains);
        assert_eq!(state(TEXT, other), State::Remains);
        record.identity = None;
        write(&record);
        assert_eq!(state(TEXT, cell), State::Remains);
    }
}
