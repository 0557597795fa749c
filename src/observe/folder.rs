//! The run folder: where it lies, what is in it, and that a stopped run leaves all it finished.

mod resume;

pub(crate) use resume::remove;
pub use resume::Lengths;

use super::histograms::Histograms;
use super::record::{FileEntry, RunRecord};
use super::rows::{
    ClientAccuracyRow, ClientRow, CostRow, InvitationRow, RejectionRow, RoundRow, ServerRow,
    SizeRow,
};
use super::table::Table;
use super::ObserveError;
use crate::quantity::VirtualTime;
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The rounds' table.
pub const ROUNDS: &str = "rounds.csv";
/// The clients' table: one row an invitation.
pub const CLIENTS: &str = "clients.csv";
/// The per-client evaluations' table.
pub const ACCURACY: &str = "accuracy.csv";
/// The evaluations by width.
pub const SIZES: &str = "sizes.csv";
/// The rounds of servers between the clients and the server at the top.
pub const SERVERS: &str = "servers.csv";
/// The reports that were not used.
pub const REJECTIONS: &str = "rejections.csv";
/// What clients of each width cost.
pub const COSTS: &str = "costs.csv";
/// The invitations of each round, by what became of them.
pub const INVITATIONS: &str = "invitations.csv";
/// The events, one JSON object a line.
pub const EVENTS: &str = "events.jsonl";
/// The run's record.
pub const RECORD: &str = "run.json";
/// The report.
pub const REPORT: &str = "report.html";

/// Where runs go when no folder is named.
const RUNS: &str = "runs";
/// After so many runs of one name the numbering gives up rather than search for ever.
const MOST_RUNS: u32 = 100_000;
/// Characters of a scenario's name that reach the folder's name.
const LONGEST_STEM: usize = 64;

/// Something that happened in the run: a line of `events.jsonl`. Times are integer nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventLine<'a> {
    /// When, in virtual time.
    #[serde(rename = "t_ns")]
    pub time: VirtualTime,
    /// The node it happened to.
    pub node: u64,
    /// What happened ("delivered", "lost", "dropped", "timer", "work", "crashed").
    pub event: &'a str,
    /// The kind of the message, timer or work concerned.
    pub kind: &'a str,
    /// The sender of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// The message's size on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// When the message was sent.
    #[serde(rename = "sent_ns", skip_serializing_if = "Option::is_none")]
    pub sent: Option<VirtualTime>,
    /// The round it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    /// More, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<&'a str>,
}

/// A run's folder and its open files.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    rounds: Table<RoundRow>,
    clients: Table<ClientRow>,
    accuracy: Table<ClientAccuracyRow>,
    /// Made with its first row.
    sizes: Option<Table<SizeRow>>,
    /// Likewise.
    rejections: Option<Table<RejectionRow>>,
    /// Likewise.
    servers: Option<Table<ServerRow>>,
    events: Option<(PathBuf, BufWriter<File>)>,
}

impl RunFolder {
    /// Makes `out`, or `runs/<name>-<seed>-<n>` with the first free `n` when none is named, and the
    /// tables in it. A folder that has anything in it is refused.
    pub fn create(out: Option<&Path>, name: &str, seed: u64) -> Result<Self, ObserveError> {
        match out {
            Some(path) => Self::create_at(path),
            None => Self::create_under(Path::new(RUNS), name, seed),
        }
    }

    /// Makes `<root>/<name>-<seed>-<n>` with the first free `n`. Characters of the name that mean
    /// something to a file system become dashes.
    pub fn create_under(root: &Path, name: &str, seed: u64) -> Result<Self, ObserveError> {
        fs::create_dir_all(root).map_err(|e| ObserveError::io(root, "create the folder", e))?;
        let stem = format!("{}-{seed}", file_stem(name));
        for n in 1..=MOST_RUNS {
            let path = root.join(format!("{stem}-{n}"));
            // Creation decides, so that two runs started at once never share a folder.
            match fs::create_dir(&path) {
                Ok(()) => return Self::open(path),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(ObserveError::io(&path, "create the folder", e)),
            }
        }
        Err(ObserveError::NoFreeName {
            root: root.to_path_buf(),
            stem,
            tried: MOST_RUNS,
        })
    }

    fn create_at(path: &Path) -> Result<Self, ObserveError> {
        fs::create_dir_all(path).map_err(|e| ObserveError::io(path, "create the folder", e))?;
        let mut entries =
            fs::read_dir(path).map_err(|e| ObserveError::io(path, "read the folder", e))?;
        match entries.next() {
            Some(_) => Err(ObserveError::NotEmpty {
                path: path.to_path_buf(),
            }),
            None => Self::open(path.to_path_buf()),
        }
    }

    fn open(path: PathBuf) -> Result<Self, ObserveError> {
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

    /// Where the folder lies.
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

    /// Adds a client's row; it is on its way to the disk when the round is.
    pub fn client(&mut self, row: &ClientRow) -> Result<(), ObserveError> {
        self.clients.write(row)
    }

    /// Adds a client's evaluation; it is on its way to the disk when the round is.
    pub fn client_accuracy(&mut self, row: &ClientAccuracyRow) -> Result<(), ObserveError> {
        self.accuracy.write(row)
    }

    /// Adds an evaluation by width; it is on its way to the disk when the round is.
    pub fn size(&mut self, row: &SizeRow) -> Result<(), ObserveError> {
        let table = match &mut self.sizes {
            Some(table) => table,
            none => none.insert(Table::create(&self.path.join(SIZES))?),
        };
        table.write(row)
    }

    /// Adds a round of a server between; it is on its way to the disk when a round of the server at the
    /// top is.
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

    /// Writes the costs of all widths.
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
        // `serde_json` tells a refusal by the system apart from a value it cannot write.
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

    /// Adds a finished round, and hands the whole round to the operating system: its clients
    /// first, so that a round in `rounds.csv` always has its rows in the other tables.
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

    /// Writes `run.json`, replacing the one before in a single step.
    pub fn write_record(&self, record: &RunRecord) -> Result<(), ObserveError> {
        let path = self.path.join(RECORD);
        let mut text = serde_json::to_vec_pretty(record).map_err(|e| ObserveError::Encode {
            path: path.clone(),
            what: "the run's record",
            message: e.to_string(),
        })?;
        text.push(b'\n');
        self.replace(RECORD, &text)
    }

    /// Writes the histograms as HdrHistogram interval logs, one file a subject.
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

    /// The files in the folder with their sizes, by name; `run.json` itself is not listed.
    pub fn files(&self) -> Result<Vec<FileEntry>, ObserveError> {
        let io = |e| ObserveError::io(&self.path, "read the folder", e);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let meta = entry.metadata().map_err(io)?;
            if meta.is_file() && name != RECORD {
                files.push(FileEntry {
                    name,
                    bytes: meta.len(),
                });
            }
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// Writes a file beside its final place and moves it there, so that a reader sees the old
    /// text or the new and never a half.
    fn replace(&self, name: &str, text: &[u8]) -> Result<(), ObserveError> {
        let path = self.path.join(name);
        let draft = self.path.join(format!(".{name}.new"));
        let write = || {
            let mut file = File::create(&draft)?;
            file.write_all(text)?;
            file.sync_all()
        };
        write().map_err(|e| ObserveError::io(&draft, "write", e))?;
        fs::rename(&draft, &path).map_err(|e| ObserveError::io(&path, "replace", e))
    }
}

/// A name that every file system takes and no shell trips over.
pub(crate) fn file_stem(name: &str) -> String {
    let mut stem: String = name
        .chars()
        .take(LONGEST_STEM)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => c,
            _ => '-',
        })
        .collect();
    // No hidden folder, no option, no "..".
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
            correct: 3,
            count: 4,
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
        // A killed process runs no destructor: what its buffers hold is gone.
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
