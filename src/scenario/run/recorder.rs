//! Writes down what a run tells, as it comes.

use super::{observe, Kept, RunError};
use crate::federation::{Federation, Message, Record};
use crate::model::Sizes;
use crate::observe::folder::{EventLine, RunFolder};
use crate::observe::histograms::Histograms;
use crate::observe::progress::Progress;
use crate::observe::record::Rejections;
use crate::observe::rows::{ClientOutcome, CostRow};
use crate::quantity::VirtualTime;
use crate::scenario::trace::{TraceWriter, TRACE};
use crate::scenario::{EventFilter, Scenario};
use crate::sim::{Delivery, Key, Message as _, Observe, Recorder, RecorderError};

pub(super) struct RunRecorder {
    folder: RunFolder,
    progress: Option<Progress>,
    trace: Option<TraceWriter>,
    filter: Option<EventFilter>,
    observe: Observe,
    histograms: bool,
    clients: bool,
    kept: Kept,
}

impl RunRecorder {
    pub fn new(
        folder: RunFolder,
        scenario: &Scenario,
        sizes: &Sizes,
        quiet: bool,
    ) -> Result<Self, RunError> {
        let trace = if scenario.record.trace {
            let writer = TraceWriter::create(folder.path()).map_err(|source| RunError::File {
                path: folder.path().join(TRACE),
                source,
            })?;
            Some(writer)
        } else {
            None
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
        let costs = costs.filter(|cost| cost.clients > 0).collect();
        Ok(Self {
            progress: (!quiet).then(|| Progress::new(scenario.schedule.rounds)),
            trace,
            filter: scenario.record.events.clone(),
            observe: observe(scenario),
            histograms: scenario.record.histograms,
            clients: scenario.record.clients,
            kept: Kept {
                histograms: Histograms::new(),
                rounds: Vec::new(),
                costs,
                rejections: Rejections::new(),
                last: VirtualTime::ZERO,
                fatal: None,
            },
            folder,
        })
    }

    /// The folder, and what was kept in memory.
    pub fn close(self) -> (RunFolder, Kept) {
        if let Some(progress) = self.progress {
            progress.finish();
        }
        if let Some(mut trace) = self.trace {
            // Buffered events only; a disk that is full has been or will be met elsewhere.
            if let Err(error) = trace.flush() {
                tracing::warn!(%error, "the end of the trace could not be written");
            }
        }
        (self.folder, self.kept)
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
        self.kept.last = at.time;
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
                self.kept.rounds.push(*row);
            }
            Record::Client(row) => {
                let cost = self
                    .kept
                    .costs
                    .iter_mut()
                    .find(|cost| cost.size == row.size);
                if let Some(cost) = cost {
                    cost.count(&row);
                }
                if matches!(row.outcome, ClientOutcome::Reported | ClientOutcome::Late) {
                    self.kept.histograms.compute(at.time, row.compute);
                    self.kept.histograms.queue_wait(at.time, row.queue_wait);
                }
                if self.clients {
                    self.folder.client(&row).map_err(boxed)?;
                }
            }
            Record::Accuracy(row) if self.clients => {
                self.folder.client_accuracy(&row).map_err(boxed)?
            }
            Record::Accuracy(_) => {}
            Record::Size(row) => self.folder.size(&row).map_err(boxed)?,
            Record::Rejection(row) => {
                *self.kept.rejections.entry(row.reason).or_default() += 1;
                self.folder.rejection(&row).map_err(boxed)?;
            }
            Record::Crash { node, at, reason } => {
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
}
