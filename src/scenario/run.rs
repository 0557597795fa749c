//! A run: from a scenario to a folder full of results.
//!
//! The steps, in order: data is loaded and dealt, the federation is set up, the folder is made, the
//! kernel runs, and what it tells is written as it comes. Whatever happens then (an error, Ctrl-C,
//! a full disk), what was written stays and `run.json` says how far the run came.

mod assemble;
mod checkpoint;
mod dealt;
mod error;
mod lock;
mod models;
mod parting;
pub mod ranks;
mod recorder;
mod resume;
mod room;
mod tidy;

pub use assemble::assemble;
pub use error::RunError;
pub use lock::in_use;
pub(crate) use lock::me;
pub use parting::end_at_once;
pub use resume::{resume, ResumeOptions};
pub(crate) use tidy::tidy;

use super::Scenario;
use crate::disk::lock::Lock;
use crate::federation::{DeviceMemory, DeviceWorker, Federation, Message, Plan};
use crate::learn::HostDevice;
use crate::model::Spill;
use crate::observe::digest::Digest;
use crate::observe::folder::{write_record, Place, RunFolder};
use crate::observe::histograms::Histograms;
use crate::observe::ledger::Sums;
use crate::observe::record::{
    utc, Clipped, Declined, Host, MessageCount, Messages, Rank, Rejections, RunRecord, Status,
    Totals,
};
use crate::observe::report::{Party, ReportPage};
use crate::observe::staleness::Staleness;
use crate::observe::summary::Summary;
use crate::quantity::Bytes;
use crate::sim::{
    mix_words, Ending, Observe, Recorder, RemoteWorkers, Simulation, TraceHash, Workers,
};
use crate::snapshot::Reader;
use checkpoint::Checkpoints;
use parting::Parting;
use ranks::Head;
use recorder::{Closed, RunRecorder};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::SystemTime;
use xxhash_rust::xxh3::xxh3_64;

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

/// A run, ready to begin or to go on.
struct Run {
    federation: Federation,
    recorder: RunRecorder,
    record: RunRecord,
    /// The checkpoint to go on from, behind what the recorder has of it.
    from: Option<Reader>,
    parting: Parting,
    _lock: Lock,
}

/// Lets it run, and writes down how it ended.
fn conduct(
    run: Run,
    scenario: &Scenario,
    options: &Options,
    stop: &AtomicBool,
) -> Result<Finished, RunError> {
    let Run {
        mut federation,
        mut recorder,
        mut record,
        from,
        parting,
        _lock,
    } = run;
    recorder.folder().write_record(&record)?;
    recorder.folder().reserve();
    let path = recorder.folder().path().to_path_buf();
    let dealt = dealt::write(
        recorder.folder(),
        federation.plan(),
        scenario.record.clients,
    );
    let described = dealt
        .and_then(|()| models::describe(recorder.folder(), federation.plan(), federation.sizes()));
    let spill = described.map_err(RunError::from).and_then(|()| {
        Spill::create(&path, options.kept_memory.0).map_err(|source| RunError::File {
            path: path.clone(),
            source,
        })
    });
    match spill {
        Ok(spill) => federation.spill_to(spill),
        Err(error) => {
            recorder.folder().release();
            return Err(failed(&path, &record, error));
        }
    }
    let hands = Hands::of(options);
    let simulated = simulate(
        federation,
        from,
        scenario.seed,
        hands,
        DeviceMemory::new(options.memory, options.device.available()),
        &mut recorder,
        stop,
    );
    let end = simulated.as_ref().map(|summary| summary.now);
    let end = end.unwrap_or_default().max(recorder.last());
    let Closed {
        mut folder,
        kept,
        checkpoints,
        real,
        unwritten,
    } = recorder.close(end);
    record.ranks = hands.record();
    let lost = hands.ranks.and_then(Head::lost);
    let lost = lost.map(|what| RunError::lost(what, folder.path(), checkpoints.is_some()));
    let (ending, mut error) = match (simulated, kept.fatal) {
        (Ok(summary), None) if summary.ending == Ending::Finished => (Some(summary), None),
        // Whatever else went wrong, or stopped it, went wrong or stopped it for that.
        (_, _) if lost.is_some() => (None, lost),
        (_, Some(reason)) => (None, Some(RunError::Fatal(reason))),
        (Ok(summary), None) => (Some(summary), None),
        (Err(error), None) => (None, Some(error)),
    };
    let now = ending
        .as_ref()
        .map_or(kept.last, |summary| summary.now.max(kept.last));
    let events = ending.as_ref().map_or(0, |summary| summary.delivered);
    let totals = Totals {
        scheduled: scenario.schedule.rounds,
        bytes_unheard: kept.ledger.unheard(),
        ..Totals::of(&kept.rounds, now, events, real)
    };
    record.status = match &ending {
        Some(summary) if summary.ending != Ending::Finished => Status::Interrupted,
        Some(_) if totals.completed == 0 => Status::NoRoundCompleted,
        Some(_) => Status::Completed,
        None => Status::Failed,
    };
    record.error = error.as_ref().map(ToString::to_string);
    if record.status == Status::NoRoundCompleted {
        record.error = Some(totals.why_none_completed(&kept.rounds));
    }
    record.invitations = Some(kept.sums.total());
    record.trace_hash = ending.as_ref().map(|summary| summary.hash.to_string());
    let peers = scenario.gossip().is_some();
    let messages = ending.as_ref().map(|summary| messages(summary, peers));
    record.messages = messages.unwrap_or_default();
    record.rejections = kept.rejections;
    record.declined = kept.declined;
    let clients = scenario.clients();
    record.participation = kept.invitations.map(|all| all.participation(clients));
    record.staleness = kept.staleness;
    record.totals = Some(totals.clone());
    record.finished = Some(utc(SystemTime::now()));
    let histograms = match scenario.record.histograms {
        true => kept.histograms,
        false => Histograms::new(),
    };
    record.clipped = histograms.clipped();
    let ended = Ended {
        record: &record,
        totals: &totals,
        histograms: &histograms,
        sums: &kept.sums,
    };
    // What cannot be written at the end fails the run, and yet the record says so.
    let failed = unwritten.map(RunError::from);
    let failed = failed.or_else(|| ended.write(&mut folder, scenario, options).err());
    if let Some(failed) = failed {
        record.status = Status::Failed;
        let first = error.get_or_insert(failed);
        record.error = Some(first.to_string());
    }
    record.files = folder.files().unwrap_or_default();
    folder.release();
    let written = parting.give_way(|| folder.write_record(&record));
    if let Some(error) = error {
        return Err(error);
    }
    written?;
    if let Some(checkpoints) = checkpoints.filter(|_| record.status.is_at_end()) {
        checkpoints.clear()?;
    }
    let table = Summary {
        name: &scenario.name,
        seed: scenario.seed,
        status: record.status,
        compute: record.compute.as_deref(),
        totals: &totals,
        histograms: &histograms,
        messages: &record.messages,
        rejections: &record.rejections,
        declined: &record.declined,
        participation: record.participation.as_ref(),
        staleness: &record.staleness,
        invitations: record.invitations.as_ref(),
        costs: kept.sums.costs(),
        hash: record.trace_hash.as_deref(),
        folder: folder.path(),
    }
    .to_string();
    match ending {
        Some(summary) => Ok(Finished {
            status: record.status,
            folder: folder.path().to_path_buf(),
            hash: summary.hash,
            totals,
            table,
            reason: record.error,
        }),
        None => Err(RunError::Fatal("the run ended in no way at all".into())),
    }
}

/// Says in the record that the run failed before its first event, and with what.
fn failed(folder: &Path, record: &RunRecord, error: RunError) -> RunError {
    let record = RunRecord {
        status: Status::Failed,
        error: Some(error.to_string()),
        finished: Some(utc(SystemTime::now())),
        ..record.clone()
    };
    // The first thing that went wrong is told, not that it could not be written down.
    let _ = write_record(folder, &record);
    error
}

/// What is known once a run has ended.
struct Ended<'a> {
    record: &'a RunRecord,
    totals: &'a Totals,
    histograms: &'a Histograms,
    sums: &'a Sums,
}

impl Ended<'_> {
    /// Writes all but the record.
    fn write(
        &self,
        folder: &mut RunFolder,
        scenario: &Scenario,
        options: &Options,
    ) -> Result<(), RunError> {
        folder.flush()?;
        folder.write_costs(self.sums.costs())?;
        folder.write_invitations(self.sums.rounds())?;
        if scenario.record.histograms {
            folder.write_histograms(self.histograms)?;
        }
        if scenario.record.report {
            let Self {
                record,
                totals,
                histograms,
                ..
            } = self;
            let page = report(scenario, options, folder, record, totals, histograms)?;
            folder.write_report(&page)?;
        }
        Ok(())
    }
}

/// Who runs jobs: threads of this process, and the workers of other ranks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hands<'a> {
    workers: usize,
    ranks: Option<&'a Head>,
}

impl From<usize> for Hands<'_> {
    fn from(workers: usize) -> Self {
        Self {
            workers,
            ranks: None,
        }
    }
}

impl<'a> Hands<'a> {
    pub(crate) fn of(options: &'a Options) -> Self {
        Self {
            workers: options.workers,
            ranks: options.ranks.as_deref(),
        }
    }

    /// The ranks, for the record; none where there is but one process.
    fn record(self) -> Vec<Rank> {
        let record = |head: &Head| head.record(self.workers);
        self.ranks.map(record).unwrap_or_default()
    }
}

/// Names what is run, for a checkpoint to be held against: scenario, data, and where it computes.
fn identity(scenario: &Scenario, device: HostDevice, memory: Option<Bytes>, plan: &Plan) -> u64 {
    // A scenario is numbers, text and lists; it always has a JSON form.
    let text = serde_json::to_vec(scenario).unwrap_or_default();
    let place = format!("{device} {memory:?}");
    mix_words(&[
        xxh3_64(&text),
        xxh3_64(place.as_bytes()),
        plan.fingerprint(),
    ])
}

/// Lets the kernel run a federation, or go on with one `from` a checkpoint.
pub(crate) fn simulate<'a>(
    federation: Federation,
    from: Option<Reader>,
    seed: u64,
    hands: impl Into<Hands<'a>>,
    memory: DeviceMemory,
    recorder: &mut dyn Recorder<Federation>,
    stop: &AtomicBool,
) -> Result<crate::sim::Summary, RunError> {
    // Few nodes are done sooner on one shard than two shards are told.
    let nodes = federation.plan().population() as usize;
    let hands = hands.into();
    let shards = if nodes < 20_000 { 1 } else { hands.workers };
    simulate_on(
        federation,
        from,
        seed,
        (hands, shards),
        memory,
        recorder,
        stop,
    )
}

/// The same on so many workers and shards.
pub(crate) fn simulate_on<'a>(
    federation: Federation,
    from: Option<Reader>,
    seed: u64,
    (hands, shards): (impl Into<Hands<'a>>, usize),
    memory: DeviceMemory,
    recorder: &mut dyn Recorder<Federation>,
    stop: &AtomicBool,
) -> Result<crate::sim::Summary, RunError> {
    let memory = Arc::new(memory);
    let worker = move || DeviceWorker::sharing(Arc::clone(&memory));
    let Hands { workers, ranks } = hands.into();
    let elsewhere = match ranks {
        Some(head) => head.elsewhere(&federation).map_err(RunError::Threads)?,
        None => RemoteWorkers::none(),
    };
    let pool = Workers::start_with(workers, worker, elsewhere).map_err(RunError::Threads)?;
    let simulation = Simulation {
        world: Arc::new(federation),
        seed,
        shards,
    };
    let ended = match from {
        Some(from) => simulation.resume(from, &pool, recorder, stop),
        None => simulation.run(&pool, recorder, stop),
    };
    if ranks.is_some_and(|head| head.lost().is_some()) {
        // Little time may be left, and nobody will use what still runs.
        pool.abandon();
    }
    Ok(ended?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    fs::write(path, bytes).map_err(|source| RunError::File {
        path: path.to_path_buf(),
        source,
    })
}

/// The version of libtorch that this binary was built for.
pub(crate) const LIBTORCH: &str = "2.11.0";

fn new_record(scenario: &Scenario, options: &Options) -> RunRecord {
    // A pipe's own name says nothing, and paths of a scenario from there start elsewhere.
    let known = (!Scenario::is_from_pipe(&options.file)).then(|| options.file.canonicalize().ok());
    let file = known.flatten().unwrap_or_else(|| options.file.clone());
    RunRecord {
        version: env!("CARGO_PKG_VERSION").into(),
        status: Status::Running,
        error: None,
        name: scenario.name.clone(),
        seed: scenario.seed,
        scenario_file: file.display().to_string(),
        // A scenario is numbers, text and lists; it always has a JSON form.
        scenario: serde_json::to_value(scenario).unwrap_or_default(),
        overrides: options.overrides.clone(),
        workers: u32::try_from(options.workers).unwrap_or(u32::MAX),
        ranks: Vec::new(),
        device: options.device.to_string(),
        memory: options.memory.map(|memory| memory.0),
        compute: scenario.compute.in_words(),
        host: Host::detect(LIBTORCH),
        classes: Vec::new(),
        resumed_on: Vec::new(),
        started: utc(SystemTime::now()),
        resumed: 0,
        identity: None,
        finished: None,
        trace_hash: None,
        totals: None,
        messages: Messages::new(),
        rejections: Rejections::new(),
        declined: Declined::new(),
        participation: None,
        staleness: Staleness::default(),
        invitations: None,
        clipped: Clipped::new(),
        files: Vec::new(),
    }
}

fn messages(summary: &crate::sim::Summary, without_server: bool) -> Messages {
    let kinds = summary.accounting.kinds.iter();
    let kinds = kinds.filter(|(kind, _)| Message::is_spoken(kind, without_server));
    kinds
        .map(|(kind, tally)| {
            let count = MessageCount {
                sent: tally.sent,
                duplicated: tally.duplicated,
                delivered: tally.delivered,
                lost: tally.lost,
                dropped: tally.dropped,
                in_flight: tally.in_flight,
                bytes: tally.bytes,
                bytes_delivered: tally.bytes_delivered,
                bytes_setup: tally.bytes_setup,
                bytes_acks: tally.bytes_acks,
            };
            ((*kind).to_string(), count)
        })
        .collect()
}

fn report(
    scenario: &Scenario,
    options: &Options,
    folder: &RunFolder,
    record: &RunRecord,
    totals: &Totals,
    histograms: &Histograms,
) -> Result<String, RunError> {
    let groups = scenario.population.iter();
    let groups: Vec<_> = groups
        .map(|m| (Arc::clone(&m.group.name), m.group.count))
        .collect();
    let digest = Digest::read(folder.path(), &groups)?;
    let mut command = format!("shoal run {}", options.file.display());
    for assignment in &options.overrides {
        command += &format!(" --set '{assignment}'");
    }
    let cohort = scenario.schedule.cohort.of(scenario.clients());
    let between = scenario.hierarchy.iter().rev();
    let between: String = between
        .map(|above| format!(" below {} servers ({})", above.tier.count, above.tier.name))
        .collect();
    let at_work = match &scenario.schedule.waiting {
        Some(waiting) if scenario.hierarchy.is_empty() => waiting.to_string(),
        Some(waiting) => format!("{cohort} a round{between}, {waiting}"),
        None => format!("{cohort} a round{between}"),
    };
    let mut facts = vec![
        ("method", scenario.method.name().to_string()),
        ("model", scenario.model_in_words()),
        (
            "clients",
            format!(
                "{} in {} groups, {at_work}",
                scenario.clients(),
                groups.len()
            ),
        ),
        (
            "data",
            format!(
                "{}, {} training samples",
                scenario.data.name(),
                scenario.samples.train
            ),
        ),
    ];
    facts.extend(scenario.compute.in_words().map(|words| ("compute", words)));
    facts.extend(scenario.troubles());
    let report = ReportPage {
        name: &scenario.name,
        seed: scenario.seed,
        version: &record.version,
        status: record.status,
        hash: record.trace_hash.as_deref(),
        facts: &facts,
        command: &command,
        totals,
        digest: &digest,
        histograms,
        messages: &record.messages,
        rejections: &record.rejections,
        classes: &record.classes,
        staleness: &record.staleness,
        party: match (scenario.gossip(), scenario.hierarchy.as_slice()) {
            (Some(_), _) => Party::Peers,
            (None, []) => Party::Clients,
            (None, _) => Party::Servers,
        },
        deadline: scenario.schedule.deadline,
        scenario: &options.text,
    };
    Ok(report.render()?)
}

impl Scenario {
    /// What makes this federation's world less than perfect, and what is done about it.
    fn troubles(&self) -> Vec<(&'static str, String)> {
        let faults = self.faults.iter().map(|fault| fault.what.name());
        let attacks = self.adversaries.iter().map(|party| party.attack.name());
        let layers = &self.layers;
        let worn = [
            layers.compression.as_ref().map(|layer| layer.name()),
            layers.privacy.as_ref().map(|layer| layer.name()),
            layers.secure_aggregation.as_ref().map(|layer| layer.name()),
        ];
        let all = [
            ("faults", named(faults)),
            ("attacks", named(attacks)),
            (
                "defence",
                named(self.defence.iter().map(|defence| defence.name())),
            ),
            ("layers", named(worn.into_iter().flatten())),
        ];
        let some = all.into_iter().filter(|(_, names)| !names.is_empty());
        some.collect()
    }

    /// The architecture in a few words.
    pub fn model_in_words(&self) -> String {
        let name = self.model.preset.as_deref().unwrap_or("own layers");
        let size: Bytes = self.model.bytes;
        format!("{name}, {} parameters, {size}", self.model.parameters)
    }
}

/// Each name once, in order, with its number if there are several.
fn named(names: impl Iterator<Item = &'static str>) -> String {
    let mut counts: Vec<(&str, u32)> = Vec::new();
    for name in names {
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    let words = counts.iter().map(|(name, count)| match count {
        1 => (*name).to_string(),
        _ => format!("{name} × {count}"),
    });
    words.collect::<Vec<String>>().join(", ")
}

/// What is asked of the kernel for a scenario's record.
fn observe(scenario: &Scenario) -> Observe {
    let record = &scenario.record;
    Observe {
        deliveries: record.histograms || record.trace || record.events.is_some(),
        left: record.model.is_some(),
    }
}
