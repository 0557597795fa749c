//! The run folder: its place, its files, and the rule that a run which is stopped leaves all rounds it
//! finished.

mod place;
mod resume;

pub(crate) use place::{has_not_begun, Place, LOCK};
pub(crate) use resume::remove;
pub use resume::Lengths;

use super::histograms::Histograms;
use super::record::{FileEntry, RunRecord};
use super::rows::{
    ClientAccuracyRow, ClientRow, CostRow, InvitationRow, PartitionRow, RejectionRow, RoundRow,
    ServerRow, SizeRow,
};
use super::table::Table;
use super::ObserveError;
use crate::disk;
use crate::quantity::VirtualTime;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// The table of rounds.
pub const ROUNDS: &str = "rounds.csv";
/// The table of clients: one row for each invitation.
pub const CLIENTS: &str = "clients.csv";
/// The table of evaluations by client.
pub const ACCURACY: &str = "accuracy.csv";
/// The table of evaluations by width.
pub const SIZES: &str = "sizes.csv";
/// The table of the rounds of servers between the clients and the server at the top.
pub const SERVERS: &str = "servers.csv";
/// The table of reports that were not used.
pub const REJECTIONS: &str = "rejections.csv";
/// The table of which client has which samples.
pub const PARTITION: &str = "partition.csv";
/// The table of what the clients of each width cost.
pub const COSTS: &str = "costs.csv";
/// The table of the invitations of each round, by what became of them.
pub const INVITATIONS: &str = "invitations.csv";
/// The file of events, one JSON object a line.
pub const EVENTS: &str = "events.jsonl";
/// The record of the run.
pub const RECORD: &str = "run.json";
/// The folder of the models that were kept.
pub const MODELS: &str = "models";
/// The report of the run, one HTML page.
pub const REPORT: &str = "report.html";

/// A file that keeps space on the disk for the record, in case the disk is full at the end of the run.
pub(crate) const RESERVE: &str = ".reserve";
/// The least size of that file in bytes; it is larger for a larger record.
const LEAST_RESERVE: usize = 128 << 10;

/// The holder's name while a folder is made and not yet held.
const MAKER: &str = "a process that makes the folder";
/// The folder for runs where the user names no folder.
const RUNS: &str = "runs";
/// The number of runs of one name after which no further number is tried.
const MOST_RUNS: u32 = 100_000;
/// The number of characters of a scenario's name that become part of the folder's name.
const LONGEST_STEM: usize = 64;

/// An event of the run: one line of `events.jsonl`. Times are integer nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventLine<'a> {
    /// The virtual time of the event.
    #[serde(rename = "t_ns")]
    pub time: VirtualTime,
    /// The node to which the event happened.
    pub node: u64,
    /// The event ("delivered", "lost", "dropped", "timer", "work", "crashed").
    pub event: &'a str,
    /// The kind of the message, timer or job.
    pub kind: &'a str,
    /// The sender of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The size of the message on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When the message was sent.
    #[serde(rename = "sent_ns", skip_serializing_if = "Option::is_none")]
    pub sent: Option<VirtualTime>,
    /// The round to which the event belongs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// Further details in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

/// The folder of a run and its open files.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    rounds: Table<RoundRow>,
    clients: Table<ClientRow>,
    accuracy: Table<ClientAccuracyRow>,
    /// Made with the first row.
    sizes: Option<Table<SizeRow>>,
    /// Made with the first row.
    rejections: Option<Table<RejectionRow>>,
    /// Made with the first row.
    servers: Option<Table<ServerRow>>,
    events: Option<(PathBuf, BufWriter<File>)>,
}

impl RunFolder {
    /// Makes the folder `out`, or `runs/<name>-<seed>-<n>` with the first free `n` when `out` is
    /// `None`, and the tables in it. A folder that is not empty is refused.
    pub fn create(out: Option<&Path>, name: &str, seed: u64) -> Result<Self, ObserveError> {
        Self::open(Place::make(out, name, seed, MAKER)?.path)
    }

    /// Makes the folder `<root>/<name>-<seed>-<n>` with the first free `n`. Characters of the name that
    /// have a meaning to file systems become dashes.
    pub fn create_under(root: &Path, name: &str, seed: u64) -> Result<Self, ObserveError> {
        Self::open(Place::under(root, name, seed, MAKER)?.path)
    }

    /// Makes the tables of a run in a folder that this process holds.
    pub(crate) fn open(path: PathBuf) -> Result<Self, ObserveError> {
        Ok(Self {
            rounds: Table::create(&path.join(ROUNDS))?,
            clients: Table::create(&path.join(CLIENTS))?,
            accuracy: Table::create(&path.join(ACCURACY))?,
            sizes: None,
            rejections: None,
            servers: None,
            events: None,
            path,
        })
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens `events.jsonl`; until then events are not written.
    pub fn record_events(&mut self) -> Result<(), ObserveError> {
        let path = self.path.join(EVENTS);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|e| ObserveError::io(&path, "create the file", e))?;
        self.events = Some((path, BufWriter::with_capacity(1 << 16, file)));
        Ok(())
    }

    /// Adds a client's row; it goes to the operating system when the round does.
    pub fn client(&mut self, row: &ClientRow) -> Result<(), ObserveError> {
        self.clients.write(row)
    }

    /// Adds a client's evaluation; it goes to the operating system when the round does.
    pub fn client_accuracy(&mut self, row: &ClientAccuracyRow) -> Result<(), ObserveError> {
        self.accuracy.write(row)
    }

    /// Adds an evaluation by width; it goes to the operating system when the round does.
    pub fn size(&mut self, row: &SizeRow) -> Result<(), ObserveError> {
        let table = match &mut self.sizes {
            Some(table) => table,
            none => none.insert(Table::create(&self.path.join(SIZES))?),
        };
        table.write(row)
    }

    /// Adds a round of a server below the top; it goes to the operating system when a round of the
    /// server at the top does.
    pub fn server(&mut self, row: &ServerRow) -> Result<(), ObserveError> {
        let table = match &mut self.servers {
            Some(table) => table,
            none => none.insert(Table::create(&self.path.join(SERVERS))?),
        };
        table.write(row)
    }

    /// Adds a report that was not used.
    pub fn rejection(&mut self, row: &RejectionRow) -> Result<(), ObserveError> {
        let table = match &mut self.rejections {
            Some(table) => table,
            none => none.insert(Table::create(&self.path.join(REJECTIONS))?),
        };
        table.write(row)
    }

    /// Writes which client has which samples. Where a resumed run has the file already, it is replaced
    /// by an equal one.
    pub fn write_partition(
        &self,
        rows: impl Iterator<Item = PartitionRow>,
    ) -> Result<(), ObserveError> {
        let path = self.path.join(PARTITION);
        let failed = |e: csv::Error| ObserveError::Encode {
            path: path.clone(),
            what: "who has which samples",
            message: e.to_string(),
        };
        let mut table = csv::Writer::from_writer(Vec::new());
        for row in rows {
            table.serialize(row).map_err(failed)?;
        }
        let text = table
            .into_inner()
            .map_err(|e| failed(e.into_error().into()))?;
        self.replace(PARTITION, &text)
    }

    /// Writes what the clients of each width cost.
    pub fn write_costs(&self, rows: &[CostRow]) -> Result<(), ObserveError> {
        let mut table = Table::create(&self.path.join(COSTS))?;
        for row in rows {
            table.write(row)?;
        }
        table.flush()
    }

    /// Writes what became of the invitations of all rounds.
    pub fn write_invitations<'a>(
        &self,
        rows: impl Iterator<Item = &'a InvitationRow>,
    ) -> Result<(), ObserveError> {
        let mut table = Table::create(&self.path.join(INVITATIONS))?;
        for row in rows {
            table.write(row)?;
        }
        table.flush()
    }

    /// Adds an event, if events are recorded.
    pub fn event(&mut self, line: &EventLine<'_>) -> Result<(), ObserveError> {
        let Some((path, writer)) = &mut self.events else {
            return Ok(());
        };
        // `serde_json` distinguishes an error of the operating system from a value that it cannot
        // write.
        serde_json::to_writer(&mut *writer, line).map_err(|e| match e.io_error_kind() {
            Some(_) => ObserveError::io(path, "write", e.into()),
            None => ObserveError::Encode {
                path: path.clone(),
                what: "an event",
                message: e.to_string(),
            },
        })?;
        writer
            .write_all(b"\n")
            .map_err(|e| ObserveError::io(path, "write", e))
    }

    /// Adds a finished round, and hands the whole round to the operating system. The rows of its
    /// clients go first, so that a round in `rounds.csv` always has its rows in the other tables.
    pub fn round(&mut self, row: &RoundRow) -> Result<(), ObserveError> {
        self.rounds.write(row)?;
        self.flush()
    }

    /// Hands everything written so far to the operating system.
    pub fn flush(&mut self) -> Result<(), ObserveError> {
        if let Some((path, writer)) = &mut self.events {
            writer
                .flush()
                .map_err(|e| ObserveError::io(path, "write", e))?;
        }
        self.clients.flush()?;
        self.accuracy.flush()?;
        if let Some(sizes) = &mut self.sizes {
            sizes.flush()?;
        }
        if let Some(rejections) = &mut self.rejections {
            rejections.flush()?;
        }
        if let Some(servers) = &mut self.servers {
            servers.flush()?;
        }
        self.rounds.flush()
    }

    /// Writes `run.json`, and replaces an earlier one in a single step.
    pub fn write_record(&self, record: &RunRecord) -> Result<(), ObserveError> {
        write_record(&self.path, record)
    }

    /// Keeps space on the disk for the record that says how the run ended, as far as there is any. A
    /// run that ends because the disk is full can then still write this record.
    pub(crate) fn reserve(&self) {
        let length = fs::metadata(self.path.join(RECORD)).map_or(0, |meta| meta.len() as usize);
        let length = LEAST_RESERVE.max(length.saturating_mul(4)) as u64;
        // The content is not zeros, for which some file systems keep no space.
        let filler = (0..length).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8);
        let path = self.path.join(RESERVE);
        let kept =
            disk::new(&path).and_then(|mut file| file.write_all(&filler.collect::<Vec<u8>>()));
        if let Err(error) = kept {
            tracing::debug!(%error, "no room is kept for the end of the run");
        }
    }

    /// Gives the space back.
    pub(crate) fn release(&self) {
        let _ = fs::remove_file(self.path.join(RESERVE));
    }

    /// Writes the histograms as HdrHistogram interval logs, one file for each quantity.
    pub fn write_histograms(&self, histograms: &Histograms) -> Result<(), ObserveError> {
        for (file, text) in histograms.logs()? {
            self.replace(file, &text)?;
        }
        Ok(())
    }

    /// Writes `report.html`.
    pub fn write_report(&self, html: &str) -> Result<(), ObserveError> {
        self.replace(REPORT, html.as_bytes())
    }

    /// Writes a file into the folder [`MODELS`], and replaces an earlier one in a single step.
    pub fn write_model(&self, name: &str, bytes: &[u8]) -> Result<(), ObserveError> {
        let folder = self.path.join(MODELS);
        fs::create_dir_all(&folder)
            .map_err(|e| ObserveError::io(&folder, "create the folder", e))?;
        let path = folder.join(name);
        // The draft lies where all other drafts lie, so that one which a killed process leaves is
        // found.
        let draft = disk::draft(&self.path, name);
        disk::replace(&path, &draft, bytes).map_err(|e| ObserveError::io(&path, "write", e))
    }

    /// The files in the folder with their sizes and digests, by name. `run.json` itself is not listed,
    /// nor are files that exist only during the run (their names begin with a dot).
    pub fn files(&self) -> Result<Vec<FileEntry>, ObserveError> {
        let mut files = files_of(&self.path, "")?;
        let models = self.path.join(MODELS);
        if models.is_dir() {
            files.extend(files_of(&models, &format!("{MODELS}/"))?);
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Writes a file in a single step.
    fn replace(&self, name: &str, text: &[u8]) -> Result<(), ObserveError> {
        replace(&self.path, name, text)
    }
}

/// The files of one folder; `prefix` is put before their names.
fn files_of(folder: &Path, prefix: &str) -> Result<Vec<FileEntry>, ObserveError> {
    let io = |e| ObserveError::io(folder, "read the folder", e);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let meta = entry.metadata().map_err(io)?;
        if meta.is_file() && name != RECORD && !name.starts_with('.') {
            let path = entry.path();
            let of_content = digest(&path).map_err(|e| ObserveError::io(&path, "read", e))?;
            files.push(FileEntry {
                name: format!("{prefix}{name}"),
                bytes: of_content.0,
                sha256: Some(of_content.1),
            });
        }
    }
    Ok(files)
}

/// Writes a file of the run in `folder` in a single step.
fn replace(folder: &Path, name: &str, text: &[u8]) -> Result<(), ObserveError> {
    let path = folder.join(name);
    let draft = disk::draft(folder, name);
    disk::replace(&path, &draft, text).map_err(|e| ObserveError::io(&path, "write", e))
}

/// Writes the record of the run in `folder`, and replaces an earlier one in a single step.
pub(crate) fn write_record(folder: &Path, record: &RunRecord) -> Result<(), ObserveError> {
    let text = record.to_text().map_err(|e| ObserveError::Encode {
        path: folder.join(RECORD),
        what: "the run's record",
        message: e.to_string(),
    })?;
    replace(folder, RECORD, &text)
}

/// The length and the SHA-256 of a file, in the form that `sha256sum` prints.
pub(crate) fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = disk::open(path)?;
    let (mut hash, mut length) = (Sha256::new(), 0);
    let mut chunk = vec![0; 1 << 16];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok((length, super::record::hexadecimal(&hash.finalize()))),
            Ok(read) => {
                hash.update(&chunk[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A name that every file system accepts and that no shell misreads.
pub(crate) fn file_stem(name: &str) -> String {
    let mut stem: String = name
        .chars()
        .take(LONGEST_STEM)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => c,
            _ => '-',
        })
        .collect();
    // The name must not be hidden, look like an option, or be "..".
    let start = stem.len() - stem.trim_start_matches(['.', '-']).len();
    stem.drain(..start);
    match stem.is_empty() {
        true => "run".to_owned(),
        false => stem,
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::read_rows;
    use super::*;

    fn round(round: u32) -> RoundRow {
        RoundRow {
            round,
            ended: VirtualTime::from_nanos(u64::from(round) * 1_000_000_000),
            accuracy: Some(0.5),
            ..RoundRow::default()
        }
    }

    fn score(round: u32, client: u32) -> ClientAccuracyRow {
        ClientAccuracyRow {
            round,
            client,
            group: "phones".into(),
            correct: Some(3),
            count: 4,
            received_correct: Some(1),
            trained_correct: Some(4),
            trained_round: Some(round),
        }
    }

    #[test]
    fn folders_are_numbered_from_the_first_free_one() {
        let root = tempfile::tempdir().unwrap();
        let name = |folder: &RunFolder| {
            folder
                .path()
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        let first = RunFolder::create_under(root.path(), "quick start", 7).unwrap();
        let second = RunFolder::create_under(root.path(), "quick start", 7).unwrap();
        assert_eq!(name(&first), "quick-start-7-1");
        assert_eq!(name(&second), "quick-start-7-2");
        fs::remove_dir_all(first.path()).unwrap();
        let again = RunFolder::create_under(root.path(), "quick start", 7).unwrap();
        assert_eq!(name(&again), "quick-start-7-1");
    }

    #[test]
    fn no_name_leads_out_of_the_folder_of_runs() {
        for (name, stem) in [
            ("../../etc", "etc"),
            ("/", "run"),
            ("", "run"),
            ("..", "run"),
            ("-rf", "rf"),
            ("a/b\0c\u{202e}", "a-b-c-"),
            (".hidden", "hidden"),
        ] {
            assert_eq!(file_stem(name), stem, "{name:?}");
        }
        assert_eq!(file_stem(&"x".repeat(5000)).len(), LONGEST_STEM);
    }

    #[test]
    fn a_folder_with_anything_in_it_is_refused_and_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "years").unwrap();
        let error = RunFolder::create(Some(root.path()), "a", 1).unwrap_err();
        assert!(matches!(error, ObserveError::NotEmpty { .. }), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        let error = RunFolder::create(Some(&root.path().join("thesis.tex")), "a", 1).unwrap_err();
        assert!(
            error.to_string().contains("a file is in the way"),
            "{error}"
        );
    }

    #[test]
    fn a_named_folder_is_made_with_its_parents() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let folder = RunFolder::create(Some(&path), "ignored", 1).unwrap();
        assert_eq!(folder.path(), path);
        assert!(path.join(ROUNDS).is_file());
    }

    #[test]
    fn a_run_that_is_killed_leaves_every_round_it_finished() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create_under(root.path(), "a", 1).unwrap();
        for n in 1..=3 {
            folder.client_accuracy(&score(n, 0)).unwrap();
            folder.round(&round(n)).unwrap();
        }
        folder.client_accuracy(&score(4, 0)).unwrap();
        let path = folder.path().to_path_buf();
        // A killed process runs no destructor, so what its buffers hold is lost.
        std::mem::forget(folder);
        let rounds: Vec<RoundRow> = read_rows(&path.join(ROUNDS)).unwrap();
        assert_eq!(rounds, [round(1), round(2), round(3)]);
        let scores: Vec<ClientAccuracyRow> = read_rows(&path.join(ACCURACY)).unwrap();
        assert_eq!(scores, [score(1, 0), score(2, 0), score(3, 0)]);
    }

    #[test]
    fn events_are_one_object_a_line_and_only_when_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create_under(root.path(), "a", 1).unwrap();
        let line = EventLine {
            time: VirtualTime::from_nanos(20_000_001),
            node: 4,
            event: "delivered",
            kind: "model\n",
            from: Some(0),
            bytes: Some(1_000),
            sent: Some(VirtualTime::from_nanos(1)),
            round: None,
            detail: None,
        };
        folder.event(&line).unwrap();
        folder.record_events().unwrap();
        folder.event(&line).unwrap();
        folder.round(&round(1)).unwrap();
        let text = fs::read_to_string(folder.path().join(EVENTS)).unwrap();
        assert_eq!(
            text,
            "{\"t_ns\":20000001,\"node\":4,\"event\":\"delivered\",\"kind\":\"model\\n\",\
             \"from\":0,\"bytes\":1000,\"sent_ns\":1}\n"
        );
    }

    #[test]
    fn a_file_is_replaced_whole_and_listed_with_its_size() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create_under(root.path(), "a", 1).unwrap();
        folder.write_report("old").unwrap();
        folder.write_report("newer").unwrap();
        let path = folder.path().join(REPORT);
        assert_eq!(fs::read_to_string(path).unwrap(), "newer");
        let files = folder.files().unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, [ACCURACY, CLIENTS, REPORT, ROUNDS]);
        assert_eq!(files[2].bytes, 5);
    }
}
