//! A run: from a scenario to a folder full of results.
//!
//! The steps, in order: data is loaded and dealt, the federation is set up, the folder is made, the
//! kernel runs, and what it tells is written as it comes. Whatever happens then (an error, Ctrl-C,
//! a full disk), what was written stays and `run.json` says how far the run came.

mod assemble;
mod checkpoint;
mod conduct;
mod dealt;
mod error;
mod fits;
mod lock;
mod models;
mod page;
mod parting;
pub mod ranks;
mod record;
mod recorder;
mod resume;
mod simulate;
mod tidy;
mod trace;
pub mod verify;

pub use assemble::assemble;
pub use error::RunError;
pub use lock::in_use;
pub(crate) use lock::me;
pub use parting::end_at_once;
pub use resume::{resume, ResumeOptions};
pub(crate) use tidy::tidy;

pub(crate) use record::LIBTORCH;
pub(crate) use simulate::{simulate, simulate_on, Executors};

use crate::learn::HostDevice;
use crate::observe::folder::{Place, RunFolder};
use crate::observe::record::{Status, Totals};
use crate::quantity::Bytes;
use crate::scenario::Scenario;
use crate::sim::TraceHash;
use checkpoint::Checkpoints;
use conduct::{conduct, failed, Run};
use parting::Parting;
use ranks::Head;
use record::{identity, new_record};
use recorder::RunRecorder;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// The copy of the scenario's text in the run folder.
pub const SCENARIO: &str = "scenario.ron";

/// How a scenario is run; nothing here changes a result.
#[derive(Debug, Clone)]
pub struct Options {
    /// Threads that run jobs.
    pub workers: usize,
    /// Where they compute.
    pub device: HostDevice,
    /// What memory of that device they may take together, where it is not to be all there is. A
    /// batch that by estimate takes more is cut, which changes its rounding.
    pub memory: Option<Bytes>,
    /// The run folder; `runs/<name>-<seed>-<n>` when not given.
    pub out: Option<PathBuf>,
    /// The scenario's file, for the record.
    pub file: PathBuf,
    /// The scenario's text, for the record.
    pub text: String,
    /// The overrides that were applied, for the record.
    pub overrides: Vec<String>,
    /// Host memory for what dormant clients keep (personal models, control variates); what goes
    /// beyond it waits on disk, in the run folder. Never changes a result.
    pub kept_memory: Bytes,
    /// Whether to show progress and the closing table.
    pub quiet: bool,
    /// Other ranks, whose device workers run jobs too.
    pub ranks: Option<Arc<Head>>,
}

impl Options {
    /// For the text of a scenario that was read from `file`: one worker on the CPU, results in a folder
    /// below `runs`, half a gibibyte for what clients keep.
    pub fn of(file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self {
            workers: 1,
            device: HostDevice::Cpu,
            memory: None,
            out: None,
            file: file.into(),
            text: text.into(),
            overrides: Vec::new(),
            kept_memory: Bytes(1 << 29),
            quiet: false,
            ranks: None,
        }
    }
}

/// A run that came to an end.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: Status,
    /// Where its results lie.
    pub folder: PathBuf,
    /// Its trace hash.
    pub hash: TraceHash,
    /// The rounds.
    pub totals: Totals,
    /// The closing table.
    pub table: String,
    /// Why no round was completed, where none was.
    pub reason: Option<String>,
}

/// Runs a scenario; `stop` ends it at the next window.
///
/// # Errors
/// [`RunError`]. If the run folder was made, it holds everything up to the error.
pub fn run(
    scenario: &Scenario,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    let limit = options.device.stack_limit(options.memory);
    ranks::call(options)?;
    let (federation, classes) = assemble::assemble_counted(scenario, options.device)?;
    let federation = federation.within(limit);
    ranks::agree(scenario, options, federation.plan(), stop)?;
    if stop.load(Ordering::Relaxed) {
        // There is nothing yet to be kept.
        return Err(RunError::Stopped);
    }
    let (name, seed) = (&scenario.name, scenario.seed);
    let Place { path, lock } = Place::make(options.out.as_deref(), name, seed, &me())?;
    write(&path.join(SCENARIO), options.text.as_bytes())?;
    let mut folder = RunFolder::open(path)?;
    if scenario.record.events.is_some() {
        folder.record_events()?;
    }
    let mut record = new_record(scenario, options);
    record.classes = classes;
    let checkpoints = scenario.checkpoint.map(|checkpoint| {
        let (device, memory) = (options.device, options.memory);
        let identity = identity(scenario, device, memory, federation.plan());
        record.identity = Some(format!("{identity:016x}"));
        Checkpoints::new(folder.path(), checkpoint.keep, identity)
    });
    let parting = Parting::ready(folder.path().to_path_buf(), &record);
    // Before anything that can fail: a folder says by itself what it is.
    folder.write_record(&record)?;
    let path = folder.path().to_path_buf();
    let recorder = RunRecorder::new(folder, scenario, federation.sizes(), options.quiet)
        .map_err(|error| failed(&path, &record, error))?;
    let run = Run {
        federation,
        recorder: recorder.with(checkpoints),
        record,
        from: None,
        parting,
        _lock: lock,
    };
    conduct(run, scenario, options, stop)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    fs::write(path, bytes).map_err(|source| RunError::File {
        path: path.to_path_buf(),
        source,
    })
}
