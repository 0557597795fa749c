//! Writes down what a run tells, as it comes.

use super::checkpoint::Checkpoints;
use super::models::{Held, Models};
use super::record::observe;
use super::RunError;
use crate::federation::{Federation, Message, Record, DATA_SPENT, ENERGY_SPENT};
use crate::model::Sizes;
use crate::observe::folder::{remove, EventLine, Lengths, RunFolder};
use crate::observe::histograms::Histograms;
use crate::observe::ledger::{Ledger, Sums};
use crate::observe::participation::Invitations;
use crate::observe::progress::Progress;
use crate::observe::record::{Declined, Rejections};
use crate::observe::rows::{ClientOutcome, ClientRow, CostRow, RoundRow};
use crate::observe::staleness::Staleness;
use crate::observe::ObserveError;
use crate::quantity::VirtualTime;
use crate::run::trace::{TraceWriter, TRACE};
use crate::scenario::{EventFilter, Scenario};
use crate::sim::{Delivery, Digest as _, Key, Message as _, Observe, Recorder, RecorderError};
use crate::snapshot::{snapshot_struct, Reader, Snapshot, Writer};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

pub(super) struct RunRecorder {
    folder: RunFolder,
    progress: Option<Progress>,
    trace: Option<TraceWriter>,
    filter: Option<EventFilter>,
    observe: Observe,
    histograms: bool,
    clients: bool,
    models: Option<Models>,
    kept: Kept,
    checkpoints: Option<Checkpoints>,
    /// Host time of the run before this process began, and when it did.
    before: Duration,
    began: Instant,
    warned: Warned,
}

/// What was warned of; once is enough.
#[derive(Default)]
struct Warned {
    diverged: bool,
    not_a_number: bool,
}

/// What a recorder keeps in memory.
pub(super) struct Kept {
    /// Invitations of which not all is known.
    pub ledger: Ledger,
    /// What became of the others, and what clients cost.
    pub sums: Sums,
    /// Reports that were not used.
    pub rejections: Rejections,
    /// Tasks declined for want of budget.
    pub declined: Declined,
    /// Who was asked, where some may be away.
    pub invitations: Option<Invitations>,
    /// How old those were that were used, where clients are asked one by one.
    pub staleness: Staleness,
    pub histograms: Histograms,
    pub rounds: Vec<RoundRow>,
    /// What differential privacy has cost by the end, by the tighter accountant.
    pub epsilon_pld: Option<f64>,
    /// When the last thing recorded happened.
    pub last: VirtualTime,
    pub fatal: Option<String>,
}

/// A recorder that has done its work.
pub(super) struct Closed {
    pub folder: RunFolder,
    pub kept: Kept,
    pub checkpoints: Option<Checkpoints>,
    /// Host time of the whole run.
    pub real: Duration,
    /// What could not be written at the end.
    pub unwritten: Option<ObserveError>,
}

/// What a checkpoint has of a recorder; the rounds are in their table.
struct State {
    lengths: Lengths,
    trace: Option<u64>,
    ledger: Ledger,
    sums: Sums,
    rejections: Rejections,
    declined: Declined,
    invitations: Option<BTreeMap<u32, u32>>,
    staleness: Staleness,
    histograms: Histograms,
    last: VirtualTime,
    /// Nanoseconds of host time.
    real: u64,
    models: Option<Held>,
}

snapshot_struct!(State {
    lengths,
    trace,
    ledger,
    sums,
    rejections,
    declined,
    invitations,
    staleness,
    histograms,
    last,
    real,
    models,
});

impl RunRecorder {
    /// Of a run that begins.
    pub fn new(
        folder: RunFolder,
        scenario: &Scenario,
        sizes: &Sizes,
        quiet: bool,
    ) -> Result<Self, RunError> {
        let trace = match scenario.record.trace {
            true => Some(TraceWriter::create(folder.path())?),
            false => None,
        };
        let costs = sizes.levels().iter().zip(sizes.counts(scenario.clients()));
        let costs = costs.map(|(level, clients)| CostRow {
            size: level.ratio,
            clients,
            parameters: level.model.parameters() as u64,
            model_bytes: level.model.layout().bytes().0,
            step_flops: level.model.training_flops().0,
            ..CostRow::default()
        });
        let kept = Kept {
            histograms: Histograms::new(),
            rounds: Vec::new(),
            ledger: Ledger::default(),
            sums: Sums::new(
                costs.filter(|cost| cost.clients > 0).collect(),
                scenario.holds_rounds_with_clients(),
            ),
            rejections: Rejections::new(),
            declined: Declined::new(),
            invitations: scenario.asks_unevenly().then(Invitations::default),
            staleness: Staleness::default(),
            last: VirtualTime::ZERO,
            epsilon_pld: None,
            fatal: None,
        };
        let models = scenario.record.model;
        let models = models.map(|keep| Models::new(keep, sizes));
        Ok(Self::of((folder, trace), models, kept, scenario, quiet))
    }

    /// Of a run that begins again in its folder.
    pub fn restart(
        path: &Path,
        scenario: &Scenario,
        sizes: &Sizes,
        quiet: bool,
    ) -> Result<Self, RunError> {
        let mut folder = RunFolder::restart(path)?;
        if scenario.record.events.is_some() {
            folder.record_events()?;
        }
        remove(&path.join(TRACE))?;
        Self::new(folder, scenario, sizes, quiet)
    }

    /// Of a run that goes on in its folder from a checkpoint: what was written after that goes.
    pub fn reopen(
        path: &Path,
        scenario: &Scenario,
        sizes: &Sizes,
        quiet: bool,
        from: &mut Reader,
    ) -> Result<Self, RunError> {
        let state = State::load(from).map_err(|error| RunError::checkpoint(path, error))?;
        let trace = state
            .trace
            .map(|written| TraceWriter::reopen(path, written));
        let trace = trace.transpose()?;
        let folder = RunFolder::reopen(path, &state.lengths)?;
        let kept = Kept {
            histograms: state.histograms,
            rounds: folder.rounds()?,
            ledger: state.ledger,
            sums: state.sums,
            rejections: state.rejections,
            declined: state.declined,
            invitations: state.invitations.map(Invitations),
            staleness: state.staleness,
            last: state.last,
            epsilon_pld: None,
            fatal: None,
        };
        let models = scenario.record.model;
        let models = models.map(|keep| Models::of(keep, sizes, state.models.unwrap_or_default()));
        folder.rewind_models(kept.rounds.last().map_or(0, |row| row.round))?;
        if let Some(models) = &models {
            models.rewrite(&folder)?;
        }
        let recorder = Self::of((folder, trace), models, kept, scenario, quiet);
        Ok(Self {
            before: Duration::from_nanos(state.real),
            ..recorder
        })
    }

    fn of(
        (folder, trace): (RunFolder, Option<TraceWriter>),
        models: Option<Models>,
        kept: Kept,
        scenario: &Scenario,
        quiet: bool,
    ) -> Self {
        Self {
            folder,
            progress: (!quiet).then(|| Progress::new(scenario.schedule.rounds)),
            trace,
            filter: scenario.record.events.clone(),
            observe: observe(scenario),
            histograms: scenario.record.histograms,
            clients: scenario.record.clients,
            models,
            kept,
            checkpoints: None,
            before: Duration::ZERO,
            began: Instant::now(),
            warned: Warned::default(),
        }
    }

    /// The same, with checkpoints.
    pub fn with(self, checkpoints: Option<Checkpoints>) -> Self {
        Self {
            checkpoints,
            ..self
        }
    }

    /// The run's folder.
    pub const fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// When the last thing recorded happened.
    pub const fn last(&self) -> VirtualTime {
        self.kept.last
    }

    /// Host time of the whole run until now.
    fn real(&self) -> Duration {
        self.before + self.began.elapsed()
    }

    /// Writes down what became of the invitations that are undecided, and ends the recording at `end`.
    pub fn close(mut self, end: VirtualTime) -> Closed {
        let real = self.real();
        let left = self.kept.ledger.close(end);
        let unwritten = self.settled(end, left).err();
        let models = self.models.as_ref();
        let closed = models.and_then(|models| models.close(&self.folder).err());
        let unwritten = unwritten.or(closed);
        self.kept.sums.close();
        if let Some(progress) = self.progress {
            progress.finish();
        }
        let flushed = self.trace.map(|mut trace| trace.flush());
        Closed {
            folder: self.folder,
            kept: self.kept,
            checkpoints: self.checkpoints,
            real,
            unwritten: unwritten.or_else(|| flushed.and_then(Result::err)),
        }
    }

    /// Writes down invitations of which all is known at `now`.
    fn settled(&mut self, now: VirtualTime, rows: Vec<ClientRow>) -> Result<(), ObserveError> {
        for row in rows {
            if let Some(invitations) = &mut self.kept.invitations {
                invitations.count(row.client);
            }
            self.kept.sums.count(&row);
            if matches!(row.outcome, ClientOutcome::Reported | ClientOutcome::Late) {
                self.kept.histograms.compute(now, row.compute);
                self.kept.histograms.queue_wait(now, row.queue_wait);
            }
            if let ClientOutcome::Refused(why) = &row.outcome {
                // Other reasons have figures in them, one for each client.
                if [ENERGY_SPENT, DATA_SPENT].contains(&&**why) {
                    *self.kept.declined.entry(why.to_string()).or_default() += 1;
                }
            }
            if self.clients {
                self.folder.client(&row)?;
            }
        }
        Ok(())
    }

    /// Brings everything to the disk, and makes a checkpoint of it and of what `save` writes.
    fn keep(&mut self, save: &mut dyn FnMut(Writer) -> Writer) -> Result<(), ObserveError> {
        let Some(checkpoints) = &self.checkpoints else {
            return Ok(());
        };
        let trace = self.trace.as_mut().map(TraceWriter::sync).transpose()?;
        let real = self.real();
        let mut state = State {
            lengths: self.folder.sync()?,
            trace,
            ledger: std::mem::take(&mut self.kept.ledger),
            sums: std::mem::take(&mut self.kept.sums),
            rejections: self.kept.rejections.clone(),
            declined: self.kept.declined.clone(),
            invitations: self.kept.invitations.as_ref().map(|all| all.0.clone()),
            staleness: self.kept.staleness.clone(),
            histograms: self.kept.histograms.clone(),
            last: self.kept.last,
            real: u64::try_from(real.as_nanos()).unwrap_or(u64::MAX),
            models: self.models.as_ref().map(Models::held),
        };
        let round = self.kept.rounds.last().map_or(0, |row| row.round);
        let written = checkpoints.write(round, |mut to| {
            state.save(&mut to);
            save(to)
        });
        self.kept.ledger = std::mem::take(&mut state.ledger);
        self.kept.sums = std::mem::take(&mut state.sums);
        written
    }

    fn event(&mut self, delivery: &Delivery) -> Result<(), RecorderError> {
        let Some(filter) = &self.filter else {
            return Ok(());
        };
        let kind = Delivery::kind_in_words(delivery.kind, Message::KINDS);
        let (source, target) = (delivery.key.source, delivery.target);
        let wanted = filter
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|k| k == kind))
            && filter
                .nodes
                .as_ref()
                .is_none_or(|nodes| nodes.contains(&source.0) || nodes.contains(&target.0));
        if !wanted {
            return Ok(());
        }
        let message = usize::from(delivery.kind) < Message::KINDS.len();
        let line = EventLine {
            time: delivery.key.time,
            node: u64::from(target.0),
            event: if message { "delivered" } else { kind },
            kind,
            from: message.then_some(u64::from(source.0)),
            bytes: message.then_some(delivery.bytes.0),
            sent: message.then_some(delivery.sent),
            round: None,
            detail: None,
        };
        self.folder.event(&line).map_err(boxed)
    }
}

fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> RecorderError {
    RecorderError(Box::new(error))
}

impl RunRecorder {
    /// Says a line to whoever watches.
    fn note(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.note(line),
            None => tracing::warn!("{line}"),
        }
    }

    /// Warns of the first training that diverged, and of the first loss that is not a number.
    fn warn_of(&mut self, row: &RoundRow) {
        let diverged = row.diverged.unwrap_or(0);
        if diverged > 0 && !self.warned.diverged {
            self.warned.diverged = true;
            self.note(&format!(
                "round {}: the local training of {diverged} clients ended in a loss or in weights that are \
                 not numbers; lower the learning rate or clip gradients",
                row.round
            ));
        }
        if row.loss.is_some_and(|loss| !loss.is_finite()) && !self.warned.not_a_number {
            self.warned.not_a_number = true;
            self.note(&format!(
                "round {}: the model's loss on the test set is not a finite number; lower the learning rate \
                 or clip gradients",
                row.round
            ));
        }
    }
}

impl Recorder<Federation> for RunRecorder {
    fn observe(&self) -> Observe {
        self.observe
    }

    fn deliveries(&mut self, deliveries: &[Delivery]) -> Result<(), RecorderError> {
        if let Some(trace) = &mut self.trace {
            trace.write(deliveries).map_err(boxed)?;
        }
        for delivery in deliveries {
            if self.histograms {
                if let Some(kind) = Message::KINDS.get(usize::from(delivery.kind)) {
                    let latency = delivery.key.time.since(delivery.sent);
                    self.kept
                        .histograms
                        .message(kind, delivery.key.time, latency);
                }
            }
            self.event(delivery)?;
        }
        Ok(())
    }

    fn record(&mut self, at: Key, record: Record) -> Result<(), RecorderError> {
        if record.counts() {
            self.kept.last = at.time;
        }
        match record {
            Record::Round(row) => {
                self.kept.histograms.round(at.time, row.duration());
                self.folder.round(&row).map_err(boxed)?;
                if let Some(trace) = &mut self.trace {
                    trace.flush().map_err(boxed)?;
                }
                if let Some(progress) = &mut self.progress {
                    progress.round(&row);
                }
                if let Some(models) = &mut self.models {
                    models.round(&self.folder, &row).map_err(boxed)?;
                }
                self.kept.sums.closed(&row);
                self.warn_of(&row);
                self.kept.rounds.push(*row);
            }
            Record::Client(row) => {
                let done = self.kept.ledger.record(*row);
                self.settled(at.time, done).map_err(boxed)?;
            }
            Record::Fact(fact) => {
                let done = self.kept.ledger.fact(fact);
                self.settled(at.time, done).map_err(boxed)?;
            }
            Record::Accuracy(row) if self.clients => {
                self.folder.client_accuracy(&row).map_err(boxed)?
            }
            Record::Accuracy(_) => {}
            Record::Server(row) => self.folder.server(&row).map_err(boxed)?,
            Record::Size(row) => self.folder.size(&row).map_err(boxed)?,
            Record::Rejection(row) => {
                *self.kept.rejections.entry(row.reason).or_default() += 1;
                self.folder.rejection(&row).map_err(boxed)?;
            }
            Record::Weights(weights) => {
                if let Some(models) = &mut self.models {
                    models.told(&self.folder, *weights).map_err(boxed)?;
                }
            }
            Record::Privacy(epsilon) => self.kept.epsilon_pld = Some(epsilon),
            Record::Staleness(counts) => self.kept.staleness.count(&counts),
            Record::Crash { node, at, reason } => {
                if let Some(client) = Federation::client_of(node) {
                    let done = self.kept.ledger.crashed(client, at);
                    self.settled(at, done).map_err(boxed)?;
                }
                let line = format!("{node} crashed at {at}: {reason}");
                match &self.progress {
                    Some(progress) => progress.note(&line),
                    None => tracing::warn!("{line}"),
                }
                self.folder
                    .event(&EventLine {
                        time: at,
                        node: u64::from(node.0),
                        event: "crashed",
                        kind: "crash",
                        from: None,
                        bytes: None,
                        sent: None,
                        round: None,
                        detail: Some(&reason),
                    })
                    .map_err(boxed)?;
            }
            Record::Fatal(reason) => self.kept.fatal = Some(reason),
        }
        Ok(())
    }

    fn checkpoint(&mut self, save: &mut dyn FnMut(Writer) -> Writer) -> Result<(), RecorderError> {
        self.keep(save).map_err(boxed)
    }
}
