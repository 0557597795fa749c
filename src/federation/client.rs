//! A client that answers to a server: it waits for a task, trains, and reports.
//!
//! - `fate`: what faults make of its tasks and reports;
//! - `state`: what it keeps while it is dormant, and in a checkpoint.

mod fate;
mod state;

pub(super) use state::keeps_of_faults;

use super::budget::Spent;
use super::invitation;
use super::job::Output;
use super::message::{FromBelow, Message, Refusal, Report, Task, Telemetry};
use super::training::Training;
use super::world::{Federation, Shared};
use crate::learn::Cost;
use crate::method::{ClientState, ClientWork, MethodError, Metrics};
use crate::observe::ledger::{What, Work};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::{Context, Input, JobId, Message as _, NodeId};
use fate::{Fate, Memory};
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// Timers for the end of work that is only modelled have this bit; timers that faults set have not.
const MODELLED: u64 = 1 << 41;

/// A client that is awake.
pub struct Client {
    shared: Arc<Shared>,
    /// Its number, from 0.
    number: u32,
    /// What the method's client half keeps between rounds.
    state: ClientState,
    busy: Option<Busy>,
    /// What it remembers because of faults; `None` where no faults are planned.
    memory: Option<Box<Memory>>,
    /// What it has spent; `None` where it has no budget.
    spent: Option<Box<Spent>>,
}

/// The task that a client is working at.
struct Busy {
    /// The job of a device worker; `None` for training that no worker does, because it is only modelled
    /// or runs out of memory.
    job: Option<JobId>,
    round: u32,
    server: NodeId,
    received: VirtualTime,
    compute: Span,
    cost: Cost,
    energy: f64,
    samples: u32,
    steps: u32,
    /// Whether the training stops early, to end before the round.
    partial: bool,
    bytes_down: Bytes,
    fate: Option<Box<Fate>>,
}

/// Why a client has nothing to report.
struct Failure {
    reason: String,
    /// Whether its training diverged.
    diverged: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self {
            reason,
            diverged: false,
        }
    }
}

impl Client {
    /// What the client waits for, in words, for the error of a run that cannot go on; `None` if it
    /// waits for nothing.
    pub(super) fn waiting_for(&self) -> Option<String> {
        let busy = self.busy.as_ref()?;
        Some(format!("its training for round {}", busy.round))
    }

    /// Handles an event of the client.
    pub(super) fn on(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) {
        self.lose_to_crashes(cx.now());
        match input {
            Input::Message {
                from,
                message: Message::Task(task),
                ..
            } => self.begin(from, *task, cx),
            Input::Done { job, output } => self.end(job, output, cx),
            Input::Timer(token) => self.timed(token, cx),
            // Reports and refusals are for servers.
            Input::Message { .. } | Input::Start => {}
        }
        if self.busy.is_none() && self.memory.as_ref().is_none_or(|memory| !memory.holds()) {
            cx.rest();
        }
    }

    /// Loses what a crash takes that happened since the client was last awake.
    fn lose_to_crashes(&mut self, now: VirtualTime) {
        let Some(memory) = &mut self.memory else {
            return;
        };
        let faults = &self.shared.faults.clients;
        let seen = std::mem::replace(&mut memory.seen, now);
        if faults.crashes_within(self.number, seen, now) {
            self.busy = None;
            memory.drop_held();
            if faults.forgets_within(self.number, seen, now) {
                self.state = ClientState::default();
                memory.forget();
            }
        }
    }

    /// Counts a message that arrives or is sent, where the client has a data plan.
    fn count(&mut self, bytes: Bytes, now: VirtualTime) {
        if let (Some(spent), Some(budget)) = (&mut self.spent, self.shared.plan.budget(self.number))
        {
            spent.renew(budget, now);
            spent.message(bytes);
        }
    }

    /// Which budget the client has used up before this moment, if any.
    fn used_up(&mut self, now: VirtualTime) -> Option<&'static str> {
        let (spent, budget) = (self.spent.as_mut()?, self.shared.plan.budget(self.number)?);
        spent.renew(budget, now);
        spent.used_up(budget)
    }

    /// Begins a task. A task of a later round takes the place of the one the client is working at.
    fn begin(&mut self, server: NodeId, mut task: Task, cx: &mut Cx<'_>) {
        invitation::record(self.number, task.round, What::Received, cx);
        let used_up = self.used_up(cx.now());
        self.count(task.wire_bytes(), cx.now());
        if self
            .busy
            .as_ref()
            .is_some_and(|busy| busy.round >= task.round)
        {
            return;
        }
        let bytes_down = task.wire_bytes();
        let fate = match &mut self.memory {
            Some(memory) => {
                let faults = &self.shared.faults.clients;
                let Some(fate) = memory.meet(faults, self.number, &mut task, cx.now()) else {
                    // A second copy of a task that is done.
                    return;
                };
                Some(Box::new(fate))
            }
            None => None,
        };
        self.busy = None;
        let round = task.round;
        let prepared = match used_up {
            Some(reason) => Err(reason.into()),
            None => self.prepare(server, task, fate.as_deref(), cx.now()),
        };
        let training = match prepared {
            Ok(training) => training,
            Err(reason) => {
                let received = cx.now();
                return self.decline((server, round), reason, received, cx);
            }
        };
        let shared = Arc::clone(&self.shared);
        let power = training.device.power;
        if let Some(spent) = &mut self.spent {
            // The energy counts in full, whatever becomes of the training.
            let computing = training.time.map(|time| time.computing);
            spent.work(power, computing.unwrap_or(training.alone));
        }
        let work = match training.out_of_memory {
            // Half of the FLOPs count, also where the device stands still before it gets half-way.
            true => Work {
                flops: training.cost.flops.0 / 2,
                ..training.work
            },
            false => training.work,
        };
        invitation::record(self.number, round, What::Works(Box::new(work)), cx);
        let Some(time) = training.time else {
            return;
        };
        let compute = time.span;
        tracing::debug!(
            round,
            samples = training.samples,
            steps = training.steps,
            partial = training.partial,
            flops = training.cost.flops.0,
            compute_ns = compute.nanos(),
            "training"
        );
        let (samples, cost) = (training.samples, training.cost);
        let (steps, partial) = (training.steps, training.partial);
        let job = if training.out_of_memory {
            cx.timer(compute, u64::from(round));
            None
        } else if !shared
            .plan
            .compute
            .trains(shared.plan.seed, self.number, round)
        {
            cx.timer(compute, MODELLED | u64::from(round));
            None
        } else {
            Some(cx.work(training.into_job(&shared), compute))
        };
        self.busy = Some(Busy {
            job,
            round,
            server,
            received: cx.now(),
            compute,
            cost,
            energy: power.energy(time.computing),
            samples,
            steps,
            partial,
            bytes_down,
            fate,
        });
    }

    /// Prepares the training for a task; an error says why the client declines the task.
    fn prepare(
        &self,
        server: NodeId,
        task: Task,
        fate: Option<&Fate>,
        now: VirtualTime,
    ) -> Result<Training, String> {
        let who = (self.number, task.round);
        let samples = Training::samples(&self.shared, who)?;
        let stop = self.shared.stop(self.number, server, task.ends, now);
        let from = (task.payload, self.state.clone());
        let faults = fate.map(|fate| &fate.job);
        Training::prepare(&self.shared, who, samples, from, faults, (now, stop))
    }

    /// Declines the task of a round that came at `received`.
    fn decline(
        &mut self,
        (server, round): (NodeId, u32),
        reason: String,
        received: VirtualTime,
        cx: &mut Cx<'_>,
    ) {
        let refusal = Message::Refusal(Box::new(Refusal {
            round,
            reason: reason.into(),
            received,
            diverged: 0,
        }));
        self.count(refusal.wire_bytes(), cx.now());
        answer(&self.shared, (self.number, round), server, refusal, cx);
    }

    /// Reports the outcome of training, unless another task has taken the place of its task.
    fn end(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) {
        let Some(busy) = self.busy.take_if(|busy| busy.job == Some(job)) else {
            return;
        };
        let outcome = match output {
            Output::Client(outcome) => outcome.map_err(|error: MethodError| Failure {
                reason: error.to_string(),
                diverged: error.diverged(),
            }),
            Output::Failed(reason) => Err(reason.into()),
            _ => Err(super::job::UNASKED.to_string().into()),
        };
        self.answer(busy, outcome, cx);
    }

    /// Reports a stand-in for the outcome of modelled training, unless another task has taken the place
    /// of its task.
    fn end_modelled(&mut self, round: u64, cx: &mut Cx<'_>) {
        let now = cx.now();
        // A client that has crashed may be asked for the same round again, so the round alone does not
        // say whether this is the timer of the present task.
        let due = |busy: &mut Busy| {
            let same = busy.job.is_none() && u64::from(busy.round) == round;
            same && busy.received + busy.compute == now
        };
        let Some(busy) = self.busy.take_if(due) else {
            return;
        };
        let shared = &self.shared;
        let work = ClientWork {
            report: shared.stand_ins.report(shared.sizes.level_of(self.number)),
            state: self.state.clone(),
            metrics: Metrics {
                steps: busy.steps,
                ..Metrics::default()
            },
        };
        self.answer(busy, Ok(work), cx);
    }

    /// Answers the server with the outcome of training.
    fn answer(&mut self, busy: Busy, outcome: Result<ClientWork, Failure>, cx: &mut Cx<'_>) {
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
                let clock = |at| self.shared.faults.clients.clock(self.number, at);
                Message::Report(Box::new(Report {
                    round: busy.round,
                    samples: busy.samples,
                    payload: report,
                    telemetry: Telemetry {
                        task: busy.round,
                        received: clock(busy.received),
                        trained: clock(cx.now()),
                        compute: busy.compute,
                        cost: busy.cost,
                        energy: busy.energy,
                        bytes_down: busy.bytes_down,
                        metrics,
                        partial: busy.partial,
                    },
                    below: FromBelow::default(),
                }))
            }
            Err(Failure { reason, diverged }) => Message::Refusal(Box::new(Refusal {
                round: busy.round,
                reason: format!("training failed: {reason}").into(),
                received: busy.received,
                diverged: u32::from(diverged),
            })),
        };
        self.count(message.wire_bytes(), cx.now());
        match (&mut self.memory, &busy.fate) {
            (Some(memory), Some(fate)) => {
                let ends = (self.number, busy.server);
                memory.send(&self.shared, fate, ends, message, cx);
            }
            _ => {
                let task = (self.number, busy.round);
                answer(&self.shared, task, busy.server, message, cx);
            }
        }
    }

    /// Acts on a timer: modelled training is done, a report that was held back is sent, or a device
    /// has run out of memory.
    fn timed(&mut self, token: u64, cx: &mut Cx<'_>) {
        if token & MODELLED != 0 {
            return self.end_modelled(token & !MODELLED, cx);
        }
        let Some(memory) = &mut self.memory else {
            return;
        };
        if memory.release(&self.shared, token, self.number, cx) {
            return;
        }
        let stuck = |busy: &mut Busy| busy.job.is_none() && u64::from(busy.round) == token;
        if let Some(busy) = self.busy.take_if(stuck) {
            let reason = "out of memory".into();
            self.decline((busy.server, busy.round), reason, busy.received, cx);
        }
    }
}

/// Sends an answer to a task and records that it was sent.
fn answer(
    shared: &Shared,
    (client, task): (u32, u32),
    server: NodeId,
    message: Message,
    cx: &mut Cx<'_>,
) {
    let bytes = message.wire_bytes();
    let sent = What::Sent {
        bytes: bytes.0,
        beside: shared.network.beside(cx.id(), server, bytes).total(),
        answers: 1,
    };
    invitation::record(client, task, sent, cx);
    cx.send(server, message);
}
