//! Runs of scenarios small enough for a test, and what they leave behind.

use shoal::observe::record::RunRecord;
use shoal::observe::rows::{ClientRow, CostRow, InvitationRow, RoundRow, ServerRow};
use shoal::observe::table::read_rows;
use shoal::quantity::Bytes;
use shoal::run::{run, Finished, Options, RunError};
use shoal::scenario::Scenario;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// Eight clients that learn to read digits in three short rounds.
pub const TINY: &str = "Scenario(
    name: \"tiny\",
    seed: 3,
    data: Digits,
    model: [Flatten, Dense(10)],
    training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
    population: [(name: \"all\", count: 8, device: \"laptop\", link: \"lan\")],
    schedule: (rounds: 3, cohort: 4),
)";

/// A run folder that goes away with the value.
pub struct Ran {
    folder: TempDir,
    pub result: Result<Finished, RunError>,
}

impl Ran {
    /// Runs `text` on `workers` device workers.
    pub fn on(workers: usize, text: &str) -> Self {
        Self::with(None, u64::MAX, workers, text)
    }

    /// The same with so much memory for jobs.
    pub fn within(memory: Bytes, workers: usize, text: &str) -> Self {
        Self::with(Some(memory), u64::MAX, workers, text)
    }

    /// The same with `kept` bytes of memory for what dormant clients keep.
    pub fn keeping(kept: u64, workers: usize, text: &str) -> Self {
        Self::with(None, kept, workers, text)
    }

    /// Runs `text`, which stands in `file`, with these overrides.
    pub fn changed(text: &str, file: &Path, overrides: &[&str]) -> Self {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        Self::whole(None, u64::MAX, 2, (text, file, &overrides))
    }

    fn with(memory: Option<Bytes>, kept: u64, workers: usize, text: &str) -> Self {
        Self::whole(memory, kept, workers, (text, Path::new("test.ron"), &[]))
    }

    fn whole(
        memory: Option<Bytes>,
        kept: u64,
        workers: usize,
        (text, file, overrides): (&str, &Path, &[String]),
    ) -> Self {
        let scenario = Scenario::parse(text, file, overrides);
        let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            workers,
            device: Default::default(),
            memory,
            out: Some(folder.path().to_path_buf()),
            file: PathBuf::from(file),
            text: text.to_string(),
            overrides: overrides.to_vec(),
            kept_memory: shoal::quantity::Bytes(kept),
            quiet: true,
            ranks: None,
        };
        let result = run(&scenario, &options, &AtomicBool::new(false));
        Self { folder, result }
    }

    /// Runs `text`, which must come to its end.
    pub fn of(text: &str) -> Self {
        let ran = Self::on(1, text);
        if let Err(error) = &ran.result {
            panic!("{error}");
        }
        ran
    }

    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    pub fn exists(&self, file: &str) -> bool {
        self.folder.path().join(file).exists()
    }

    pub fn bytes(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(file)).unwrap()
    }

    pub fn rounds(&self) -> Vec<RoundRow> {
        read_rows(&self.folder.path().join("rounds.csv")).unwrap()
    }

    pub fn clients(&self) -> Vec<ClientRow> {
        read_rows(&self.folder.path().join("clients.csv")).unwrap()
    }

    pub fn invitations(&self) -> Vec<InvitationRow> {
        read_rows(&self.folder.path().join("invitations.csv")).unwrap()
    }

    pub fn costs(&self) -> Vec<CostRow> {
        read_rows(&self.folder.path().join("costs.csv")).unwrap()
    }

    /// None where there are no servers between.
    pub fn servers(&self) -> Vec<ServerRow> {
        match self.exists("servers.csv") {
            true => read_rows(&self.folder.path().join("servers.csv")).unwrap(),
            false => Vec::new(),
        }
    }

    pub fn record(&self) -> RunRecord {
        RunRecord::read(&self.folder.path().join("run.json")).unwrap()
    }
}
