//! A run folder at a checkpoint, and its continuation from there.

use super::super::rows::Row;
use super::super::table::{cut, length_on_disk, read_rows, Table};
use super::super::ObserveError;
use super::{
    RoundRow, RunFolder, ACCURACY, CLIENTS, COSTS, EVENTS, INVITATIONS, MODELS, REJECTIONS, ROUNDS,
    SERVERS, SIZES,
};
use crate::snapshot::{file::sync_folder, snapshot_struct};
use serde::Serialize;
use std::fs;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The length of each file of a run at a checkpoint, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lengths {
    rounds: u64,
    clients: u64,
    accuracy: u64,
    sizes: Option<u64>,
    rejections: Option<u64>,
    servers: Option<u64>,
    events: Option<u64>,
}

snapshot_struct!(Lengths {
    rounds,
    clients,
    accuracy,
    sizes,
    rejections,
    servers,
    events,
});

impl RunFolder {
    /// Flushes everything written so far to the disk.
    pub fn sync(&mut self) -> Result<Lengths, ObserveError> {
        let events = match &mut self.events {
            Some((path, writer)) => {
                let io = |e| ObserveError::io(path, "bring to the disk", e);
                writer.flush().map_err(io)?;
                Some(length_on_disk(writer.get_ref()).map_err(io)?)
            }
            None => None,
        };
        let lengths = Lengths {
            clients: self.clients.sync()?,
            accuracy: self.accuracy.sync()?,
            sizes: self.sizes.as_mut().map(Table::sync).transpose()?,
            rejections: self.rejections.as_mut().map(Table::sync).transpose()?,
            servers: self.servers.as_mut().map(Table::sync).transpose()?,
            events,
            rounds: self.rounds.sync()?,
        };
        let io = |e| ObserveError::io(&self.path, "bring to the disk", e);
        sync_folder(&self.path).map_err(io)?;
        Ok(lengths)
    }

    /// Opens the folder of a run that is resumed. Everything that was written after the checkpoint is
    /// cut off, and will be written again.
    pub fn reopen(path: &Path, lengths: &Lengths) -> Result<Self, ObserveError> {
        remove(&path.join(COSTS))?;
        remove(&path.join(INVITATIONS))?;
        let events = path.join(EVENTS);
        Ok(Self {
            rounds: Table::reopen(&path.join(ROUNDS), lengths.rounds)?,
            clients: Table::reopen(&path.join(CLIENTS), lengths.clients)?,
            accuracy: Table::reopen(&path.join(ACCURACY), lengths.accuracy)?,
            sizes: reopen_made(&path.join(SIZES), lengths.sizes)?,
            rejections: reopen_made(&path.join(REJECTIONS), lengths.rejections)?,
            servers: reopen_made(&path.join(SERVERS), lengths.servers)?,
            events: match lengths.events {
                Some(length) => {
                    let writer = BufWriter::with_capacity(1 << 16, cut(&events, length)?);
                    Some((events, writer))
                }
                None => None,
            },
            path: path.to_path_buf(),
        })
    }

    /// Empties the tables of a run that begins again in its folder.
    pub fn restart(path: &Path) -> Result<Self, ObserveError> {
        for file in [
            ROUNDS,
            CLIENTS,
            ACCURACY,
            SIZES,
            REJECTIONS,
            SERVERS,
            COSTS,
            INVITATIONS,
            EVENTS,
        ] {
            remove(&path.join(file))?;
        }
        let folder = Self::open(PathBuf::from(path))?;
        folder.rewind_models(0)?;
        Ok(folder)
    }

    /// Removes the models that were written after round `last`: models of later rounds, a best model of
    /// a later round, and the final model of an end that was not one. Models of earlier rounds and the
    /// architecture stay.
    pub fn rewind_models(&self, last: u32) -> Result<(), ObserveError> {
        let folder = self.path.join(MODELS);
        let io = |e| ObserveError::io(&folder, "read the folder", e);
        let entries = match fs::read_dir(&folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(io)?,
        };
        for entry in entries {
            let name = entry.map_err(io)?.file_name();
            let text = name.to_string_lossy();
            let round = text.strip_prefix("round-").and_then(|rest| {
                let digits = rest.split(['.', '-']).next()?;
                digits.parse::<u32>().ok()
            });
            if text.ends_with(".safetensors") && round.is_none_or(|round| round > last) {
                remove(&folder.join(&name))?;
            }
        }
        Ok(())
    }

    /// The rounds that are in the table.
    pub fn rounds(&self) -> Result<Vec<RoundRow>, ObserveError> {
        read_rows(&self.path.join(ROUNDS))
    }
}

/// Reopens a table that is made with its first row: cuts it where it had rows at the checkpoint, and
/// removes it where it had none.
fn reopen_made<T: Row + Serialize>(
    path: &Path,
    length: Option<u64>,
) -> Result<Option<Table<T>>, ObserveError> {
    match length {
        Some(length) => Table::reopen(path, length).map(Some),
        None => remove(path).map(|()| None),
    }
}

/// Removes a file, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), ObserveError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(ObserveError::io(path, "remove", e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::EventLine;
    use super::*;
    use crate::observe::rows::{ClientAccuracyRow, SizeRow};
    use crate::quantity::VirtualTime;

    fn write(folder: &mut RunFolder, round: u32) {
        let accuracy = ClientAccuracyRow {
            round,
            client: 3,
            group: "a".into(),
            correct: Some(1),
            count: 2,
            received_correct: None,
            trained_correct: None,
            trained_round: None,
        };
        folder.client_accuracy(&accuracy).unwrap();
        if round > 1 {
            let size = SizeRow {
                round,
                size: 0.5,
                clients: 1,
                accuracy: None,
                loss: None,
                client_mean: None,
                received_mean: None,
                trained_mean: None,
            };
            folder.size(&size).unwrap();
        }
        let event = EventLine {
            time: VirtualTime::from_nanos(u64::from(round)),
            node: 1,
            event: "timer",
            kind: "timer",
            from: None,
            bytes: None,
            sent: None,
            round: None,
            detail: None,
        };
        folder.event(&event).unwrap();
        let row = RoundRow {
            round,
            ..RoundRow::default()
        };
        folder.round(&row).unwrap();
    }

    fn contents(path: &Path) -> Vec<(String, Vec<u8>)> {
        let entries = fs::read_dir(path).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        entries
    }

    #[test]
    fn a_folder_that_is_reopened_goes_on_as_if_it_had_never_been_closed() {
        let root = tempfile::tempdir().unwrap();
        let whole = root.path().join("whole");
        let cut = root.path().join("cut");
        let mut folder = RunFolder::create(Some(&whole), "a", 1).unwrap();
        folder.record_events().unwrap();
        (1..=5).for_each(|round| write(&mut folder, round));
        folder.flush().unwrap();
        for kept in 1..5 {
            let mut folder = RunFolder::create(Some(&cut), "a", 1).unwrap();
            folder.record_events().unwrap();
            (1..=kept).for_each(|round| write(&mut folder, round));
            let lengths = folder.sync().unwrap();
            write(&mut folder, kept + 1);
            drop(folder);
            fs::write(cut.join(COSTS), "of the end of a run that was interrupted").unwrap();
            let mut folder = RunFolder::reopen(&cut, &lengths).unwrap();
            assert_eq!(folder.rounds().unwrap().len(), kept as usize);
            (kept + 1..=5).for_each(|round| write(&mut folder, round));
            folder.flush().unwrap();
            assert_eq!(contents(&cut), contents(&whole), "cut after {kept}");
            fs::remove_dir_all(&cut).unwrap();
        }
    }

    #[test]
    fn models_of_what_a_run_did_after_its_checkpoint_are_gone_and_earlier_ones_stay() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(Some(root.path()), "a", 1).unwrap();
        folder.rewind_models(3).unwrap();
        let stay = [
            "architecture-0.5.json",
            "architecture.json",
            "round-00000003-0.5.safetensors",
            "round-00000003.safetensors",
        ];
        let go = [
            "best.safetensors",
            "client-00000001.safetensors",
            "final-0.5.safetensors",
            "round-00000004-0.5.safetensors",
        ];
        for name in stay.iter().chain(&go) {
            folder.write_model(name, b"values").unwrap();
        }
        folder.rewind_models(3).unwrap();
        let left = contents(&root.path().join(MODELS));
        assert!(left.iter().map(|(name, _)| name.as_str()).eq(stay));
    }

    #[test]
    fn a_folder_that_begins_again_has_nothing_of_the_first_time() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(Some(root.path()), "a", 1).unwrap();
        let empty = contents(root.path());
        folder.record_events().unwrap();
        (1..=3).for_each(|round| write(&mut folder, round));
        folder.write_costs(&[]).unwrap();
        drop(folder);
        RunFolder::restart(root.path()).unwrap();
        assert_eq!(contents(root.path()), empty);
    }

    #[test]
    fn a_table_that_lost_rows_is_an_error_that_says_how_many_bytes_are_missing() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(Some(root.path()), "a", 1).unwrap();
        (1..=2).for_each(|round| write(&mut folder, round));
        let lengths = folder.sync().unwrap();
        drop(folder);
        let rounds = root.path().join(ROUNDS);
        fs::File::options()
            .write(true)
            .open(&rounds)
            .unwrap()
            .set_len(7)
            .unwrap();
        let error = RunFolder::reopen(root.path(), &lengths)
            .unwrap_err()
            .to_string();
        let expected = format!("expected at least {} bytes", lengths.rounds);
        assert!(
            error.contains(&expected) && error.contains("found 7"),
            "{error}"
        );
    }
}
