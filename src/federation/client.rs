//! A client: waits for a task, trains, reports.

use super::job::{ClientJob, Job, Output};
use super::message::{Message, Refusal, Report, Task, Telemetry};
use super::world::{Federation, Shared};
use crate::learn::Cost;
use crate::method::{ClientInput, ClientState, ClientWork, MethodError};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::{Context, Input, JobId, NodeId};
use std::sync::Arc;

/// One client, live.
pub struct Client {
    shared: Arc<Shared>,
    /// From 0.
    number: u32,
    state: ClientState,
    busy: Option<Busy>,
}

/// The task under way.
struct Busy {
    job: JobId,
    round: u32,
    server: NodeId,
    received: VirtualTime,
    compute: Span,
    cost: Cost,
    energy: f64,
    samples: u32,
    bytes_down: Bytes,
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, number: u32, state: ClientState) -> Self {
        if let Some(spill) = &shared.spill {
            state.each_set(|set| spill.take(set));
        }
        Self {
            shared,
            number,
            state,
            busy: None,
        }
    }

    /// What it keeps while it is dormant, in memory or on disk.
    pub(super) fn into_state(self) -> ClientState {
        match &self.shared.spill {
            Some(spill) => self.state.map_sets(|set| spill.keep(set)),
            None => self.state,
        }
    }

    pub(super) fn waiting_for(&self) -> Option<String> {
        let busy = self.busy.as_ref()?;
        Some(format!("its training for round {}", busy.round))
    }

    pub(super) fn on(&mut self, input: Input<Message, Output>, cx: &mut Context<'_, Federation>) {
        match input {
            Input::Message {
                from,
                message: Message::Task(task),
                ..
            } => self.begin(from, *task, cx),
            Input::Done { job, output } => self.end(job, output, cx),
            // Reports and refusals are for servers; clients set no timers.
            Input::Message { .. } | Input::Start | Input::Timer(_) => {}
        }
        if self.busy.is_none() {
            cx.rest();
        }
    }

    /// Starts on a task; one from a later round takes the place of what is under way.
    fn begin(&mut self, server: NodeId, task: Task, cx: &mut Context<'_, Federation>) {
        if self
            .busy
            .as_ref()
            .is_some_and(|busy| busy.round >= task.round)
        {
            return;
        }
        self.busy = None;
        let shared = &self.shared;
        let plan = &shared.plan;
        let me = plan.client(self.number);
        let train = shared.train_samples(self.number, task.round);
        let local = &shared.local[me.group];
        let round = task.round;
        let mut refuse = |reason: String| {
            cx.send(
                server,
                Message::Refusal(Box::new(Refusal {
                    round,
                    reason: reason.into(),
                    received: cx.now(),
                })),
            );
        };
        if train.is_empty() {
            return refuse("has no training data".into());
        }
        let (own, narrower) = (
            shared.sizes.of(self.number),
            shared.sizes.narrower(self.number),
        );
        let half = &shared.client_half;
        let samples = train.len();
        let bytes_down = task.wire_bytes();
        let input = ClientInput {
            client: self.number,
            round,
            seed: plan.seed,
            model: Arc::clone(&own.model),
            sizes: shared.sizes.clone(),
            init: plan.init,
            public: shared.public.clone(),
            data: Arc::clone(&plan.train),
            train,
            holdout: shared.holdout_samples(self.number),
            local: Arc::clone(local),
            task: task.payload,
            state: self.state.clone(),
        };
        let beside = match half.beside(&input) {
            Ok(beside) => beside,
            Err(error) => return refuse(format!("cannot begin: {error}")),
        };
        let cost = match plan.adversaries.idles(self.number, round) {
            true => Cost::default(),
            false => half.cost(own, narrower, local, samples).then(beside),
        };
        if !me.device.fits(cost.memory) {
            let (need, has) = (cost.memory, me.device.memory);
            return refuse(format!("training needs {need}, the device has {has}"));
        }
        let samples = samples as u32;
        let compute = me.device.duration(cost.flops);
        tracing::debug!(
            round,
            samples,
            flops = cost.flops.0,
            compute_ns = compute.nanos(),
            "training"
        );
        let job = Job::Client(Box::new(ClientJob {
            half: Arc::clone(half),
            input,
        }));
        self.busy = Some(Busy {
            job: cx.work(job, compute),
            round,
            server,
            received: cx.now(),
            compute,
            cost,
            energy: me.device.power.energy(compute),
            samples,
            bytes_down,
        });
    }

    /// Reports what came of the task, unless another has taken its place.
    fn end(&mut self, job: JobId, output: Output, cx: &mut Context<'_, Federation>) {
        let Some(busy) = self.busy.take_if(|busy| busy.job == job) else {
            return;
        };
        let outcome = match output {
            Output::Client(outcome) => outcome.map_err(|error: MethodError| error.to_string()),
            Output::Failed(reason) => Err(reason),
            other => Err(format!("a device worker returned {other:?}")),
        };
        tracing::debug!(
            round = busy.round,
            failed = outcome.is_err(),
            "training done"
        );
        let message = match outcome {
            Ok(ClientWork {
                report,
                state,
                metrics,
            }) => {
                self.state = state;
                Message::Report(Box::new(Report {
                    round: busy.round,
                    samples: busy.samples,
                    payload: report,
                    telemetry: Telemetry {
                        received: busy.received,
                        trained: cx.now(),
                        compute: busy.compute,
                        cost: busy.cost,
                        energy: busy.energy,
                        bytes_down: busy.bytes_down,
                        metrics,
                    },
                }))
            }
            Err(reason) => Message::Refusal(Box::new(Refusal {
                round: busy.round,
                reason: format!("training failed: {reason}").into(),
                received: busy.received,
            })),
        };
        cx.send(busy.server, message);
    }
}
