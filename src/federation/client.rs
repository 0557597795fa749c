//! A client: waits for a task, trains, reports.

mod fate;

use super::books;
use super::budget::Spent;
use super::job::{ClientJob, Job, Output};
use super::message::{FromBelow, Message, Refusal, Report, Task, Telemetry};
use super::world::{Federation, Shared};
use crate::learn::{Amount, Cost, LocalTraining};
use crate::method::{ClientState, ClientWork, MethodError, Metrics, Payload};
use crate::observe::ledger::{What, Work};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::{Context, Input, JobId, Message as _, NodeId};
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use fate::{Fate, Memory};
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// Timers for the end of work that is only modelled have this bit; those that faults set do not.
const MODELLED: u64 = 1 << 41;

/// One client, live.
pub struct Client {
    shared: Arc<Shared>,
    /// From 0.
    number: u32,
    state: ClientState,
    busy: Option<Busy>,
    /// What faults make it remember; nothing where there are none.
    memory: Option<Box<Memory>>,
    /// What it has spent; nothing where it has no budget.
    spent: Option<Box<Spent>>,
}

/// The task under way.
struct Busy {
    /// None for work that will never be done.
    job: Option<JobId>,
    round: u32,
    server: NodeId,
    received: VirtualTime,
    compute: Span,
    cost: Cost,
    energy: f64,
    samples: u32,
    bytes_down: Bytes,
    fate: Option<Box<Fate>>,
}

snapshot_struct!(Busy {
    job,
    round,
    server,
    received,
    compute,
    cost,
    energy,
    samples,
    bytes_down,
    fate,
});

/// Why there is nothing to report.
struct Failure {
    reason: String,
    /// Whether training diverged.
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

/// Whether a client can have kept this under this name because of faults.
pub(super) fn keeps_of_faults(name: &str, payload: &Payload) -> bool {
    Memory::keeps(name, payload)
}

impl Client {
    pub(super) fn new(shared: Arc<Shared>, number: u32, mut state: ClientState) -> Self {
        if let Some(spill) = &shared.spill {
            state.each_set(|set| spill.take(set));
        }
        let faults = &shared.faults.clients;
        let memory = (!faults.is_empty()).then(|| Box::new(Memory::wake(&mut state)));
        let budget = shared.plan.budget(number);
        let spent = budget.map(|_| Box::new(Spent::wake(&mut state)));
        Self {
            shared,
            number,
            state,
            busy: None,
            memory,
            spent,
        }
    }

    /// What it keeps while it is dormant, in memory or on disk.
    pub(super) fn into_state(self) -> ClientState {
        let state = match self.memory {
            Some(memory) => memory.keep(self.state, self.number, &self.shared.faults.clients),
            None => self.state,
        };
        let state = match self.spent {
            Some(spent) => spent.keep(state),
            None => state,
        };
        self.shared.keep(state)
    }

    /// What it keeps of the method's.
    pub(super) const fn state(&self) -> &ClientState {
        &self.state
    }

    pub(super) fn save(&self, to: &mut Writer) {
        self.state.save(to);
        self.busy.save(to);
        self.memory.save(to);
        self.spent.save(to);
    }

    /// A live client of what [`Client::save`] wrote.
    pub(super) fn restore(
        shared: Arc<Shared>,
        number: u32,
        from: &mut Reader,
    ) -> Result<Self, Damaged> {
        Ok(Self {
            state: shared.kept(from)?,
            shared,
            number,
            busy: Snapshot::load(from)?,
            memory: Snapshot::load(from)?,
            spent: Snapshot::load(from)?,
        })
    }

    pub(super) fn waiting_for(&self) -> Option<String> {
        let busy = self.busy.as_ref()?;
        Some(format!("its training for round {}", busy.round))
    }

    pub(super) fn on(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) {
        self.notice(cx.now());
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

    /// Loses what a crash since it was last awake takes.
    fn notice(&mut self, now: VirtualTime) {
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

    /// Counts a message that comes or goes, where that is limited.
    fn count(&mut self, bytes: Bytes, now: VirtualTime) {
        if let (Some(spent), Some(budget)) = (&mut self.spent, self.shared.plan.budget(self.number))
        {
            spent.renew(budget, now);
            spent.message(bytes);
        }
    }

    /// What it has used up before this moment, if anything.
    fn used_up(&mut self, now: VirtualTime) -> Option<&'static str> {
        let (spent, budget) = (self.spent.as_mut()?, self.shared.plan.budget(self.number)?);
        spent.renew(budget, now);
        spent.used_up(budget)
    }

    /// Starts on a task; one from a later round takes the place of what is under way.
    fn begin(&mut self, server: NodeId, mut task: Task, cx: &mut Cx<'_>) {
        books::tell(self.number, task.round, What::Received, cx);
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
        let shared = &self.shared;
        let plan = &shared.plan;
        let me = plan.client(self.number);
        let train = shared.train_samples(self.number, task.round);
        let local = &shared.local[me.group];
        let round = task.round;
        let spent = &mut self.spent;
        let mut refuse = |reason: String| {
            let refusal = Message::Refusal(Box::new(Refusal {
                round,
                reason: reason.into(),
                received: cx.now(),
                diverged: 0,
            }));
            if let Some(spent) = spent {
                spent.message(refusal.wire_bytes());
            }
            answer(shared, (self.number, round), server, refusal, cx);
        };
        if let Some(reason) = used_up {
            return refuse(reason.into());
        }
        if train.is_empty() {
            return refuse("has no training data".into());
        }
        let (own, narrower) = (
            shared.sizes.of(self.number),
            shared.sizes.narrower(self.number),
        );
        let half = &shared.client_half;
        let samples = train.len();
        let local = match &fate {
            Some(fate) if fate.job.share < 1.0 => Arc::new(part_of(local, samples, fate.job.share)),
            _ => Arc::clone(local),
        };
        let input = shared.input(
            (self.number, round),
            Arc::clone(&local),
            train,
            task.payload,
            self.state.clone(),
        );
        let beside = match half.beside(&input) {
            Ok(beside) => beside,
            Err(error) => return refuse(format!("cannot begin: {error}")),
        };
        let cost = match plan.adversaries.idles(self.number, round) {
            true => Cost::default(),
            false => half.cost(own, narrower, &local, samples).then(beside),
        };
        if !me.device.fits(cost.memory) {
            let (need, has) = (cost.memory, me.device.memory);
            return refuse(format!("training needs {need}, the device has {has}"));
        }
        let samples = samples as u32;
        let out_of_memory = fate.as_ref().is_some_and(|fate| fate.job.out_of_memory);
        let compute = me.device.duration(cost.flops);
        let asked = match out_of_memory {
            true => compute.scaled(0.5),
            false => compute,
        };
        let taken = takes(shared, self.number, asked, cx.now());
        if let Some(spent) = &mut self.spent {
            // In full, whatever becomes of it.
            let computing = taken.map_or(asked, |(_, computing)| computing);
            spent.work(me.device.power, computing);
        }
        let work = work_of(shared, self.number, (asked, taken), cost, cx.now());
        let work = match out_of_memory {
            // It gets half-way.
            true => Work {
                flops: cost.flops.0 / 2,
                trains: false,
                ..work
            },
            false => work,
        };
        books::tell(self.number, round, What::Works(Box::new(work)), cx);
        let Some((compute, computing)) = taken else {
            return;
        };
        tracing::debug!(
            round,
            samples,
            flops = cost.flops.0,
            compute_ns = compute.nanos(),
            "training"
        );
        let job = if out_of_memory {
            cx.timer(compute, u64::from(round));
            None
        } else if !plan.compute.trains(plan.seed, self.number, round) {
            cx.timer(compute, MODELLED | u64::from(round));
            None
        } else {
            let job = Job::Client(Box::new(ClientJob {
                half: Arc::clone(half),
                input,
            }));
            Some(cx.work(job, compute))
        };
        self.busy = Some(Busy {
            job,
            round,
            server,
            received: cx.now(),
            compute,
            cost,
            energy: me.device.power.energy(computing),
            samples,
            bytes_down,
            fate,
        });
    }

    /// Reports what came of the task, unless another has taken its place.
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

    /// Reports what stands for the outcome of modelled work, unless another task has taken its place.
    fn end_modelled(&mut self, round: u64, cx: &mut Cx<'_>) {
        let now = cx.now();
        // A client that has crashed may be asked for the same round again.
        let due = |busy: &mut Busy| {
            let same = busy.job.is_none() && u64::from(busy.round) == round;
            same && busy.received + busy.compute == now
        };
        let Some(busy) = self.busy.take_if(due) else {
            return;
        };
        let shared = &self.shared;
        let group = shared.plan.group_of(self.number);
        let local = &shared.local[group];
        let samples = busy.samples as usize;
        let steps = match &busy.fate {
            Some(fate) if fate.job.share < 1.0 => {
                part_of(local, samples, fate.job.share).steps(samples)
            }
            _ => local.steps(samples),
        };
        let work = ClientWork {
            report: shared.stand_ins.report(shared.sizes.level_of(self.number)),
            state: self.state.clone(),
            metrics: Metrics {
                steps: u32::try_from(steps).unwrap_or(u32::MAX),
                ..Metrics::default()
            },
        };
        self.answer(busy, Ok(work), cx);
    }

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

    /// Modelled work is done; a report that was held back goes out; a device that ran out of memory
    /// says so.
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
            let refusal = Message::Refusal(Box::new(Refusal {
                round: busy.round,
                reason: "out of memory".into(),
                received: busy.received,
                diverged: 0,
            }));
            self.count(refusal.wire_bytes(), cx.now());
            let task = (self.number, busy.round);
            answer(&self.shared, task, busy.server, refusal, cx);
        }
    }
}

/// Sends an answer to a task, and tells of it.
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
    books::tell(client, task, sent, cx);
    cx.send(server, message);
}

/// Steps in the search for the moment at which a device stands still for good.
const STEPS: u32 = 20;

/// What a client's device spends on work that takes `asked` by itself and was `taken` on
/// ([`takes`]) at `now`; also where nobody will hear of it.
pub(super) fn work_of(
    shared: &Shared,
    client: u32,
    (asked, taken): (Span, Option<(Span, Span)>),
    cost: Cost,
    now: VirtualTime,
) -> Work {
    let (faults, presence) = (&shared.faults.clients, &shared.presence);
    let device = shared.plan.client(client).device;
    let work = |until: VirtualTime, breaks: VirtualTime, computing: Span| Work {
        until,
        breaks,
        compute: until.since(now),
        flops: cost.flops.0,
        memory: cost.memory.0,
        energy: device.power.energy(computing),
        trains: true,
    };
    if let Some((span, computing)) = taken {
        let until = now + span;
        let crash = match faults.is_empty() {
            true => None,
            false => faults.first_crash(client, now, until),
        };
        return work(until, crash.unwrap_or(VirtualTime::NEVER), computing);
    }
    let end_of = |asked: Span| match presence.working_times(client) {
        Some(open) => faults.finish_while(client, now, asked, open),
        None => faults.finish(client, now, asked),
    };
    let restarts = presence.in_one_go(client, now, |start| faults.finish(client, start, asked));
    if let Some((_, worked)) = restarts {
        // Begun again and again, and never done.
        let until = now + worked;
        return Work {
            trains: false,
            ..work(until, until, worked)
        };
    }
    let end = end_of(asked);
    if end < VirtualTime::NEVER {
        // It goes away from work that would be done then.
        let leaves = presence.leaves_within(client, now, end);
        let crash = faults.first_crash(client, now, end);
        let breaks = leaves.into_iter().chain(crash).min();
        let alone = faults.finish(client, now, asked).since(now);
        return work(end, breaks.unwrap_or(end), alone);
    }
    // It stands still for good after a part of it.
    let (mut share, mut step, mut until) = (0.0, 0.5, now);
    for _ in 0..STEPS {
        let end = end_of(asked.scaled(share + step));
        if end < VirtualTime::NEVER {
            share += step;
            until = end;
        }
        step /= 2.0;
    }
    let leaves = presence.leaves_within(client, now, until);
    let whole = work(until, leaves.unwrap_or(until), asked.scaled(share));
    Work {
        flops: (cost.flops.0 as f64 * share) as u64,
        trains: false,
        ..whole
    }
}

/// How long work of a client that takes `asked` by itself takes from now, and how much of that is not
/// absence; `None` if nobody will hear of it: it stands still for good, or its client goes away from it.
pub(super) fn takes(
    shared: &Shared,
    client: u32,
    asked: Span,
    now: VirtualTime,
) -> Option<(Span, Span)> {
    let (faults, presence) = (&shared.faults.clients, &shared.presence);
    if faults.is_empty() && !presence.matters() {
        return Some((asked, asked));
    }
    let alone = faults.finish(client, now, asked);
    let anew = presence.in_one_go(client, now, |start| faults.finish(client, start, asked));
    if let Some((end, worked)) = anew {
        return (end < VirtualTime::NEVER).then(|| (end.since(now), worked));
    }
    let end = match presence.working_times(client) {
        Some(open) => faults.finish_while(client, now, asked, open),
        None => alone,
    };
    let lost = end == VirtualTime::NEVER || presence.abandons(client, now, end);
    (!lost).then(|| (end.since(now), alone.since(now)))
}

/// Local training that stops after a share of its steps; one at least.
pub(super) fn part_of(local: &LocalTraining, samples: usize, share: f64) -> LocalTraining {
    let steps = libm::ceil(local.steps(samples) as f64 * share).max(1.0);
    LocalTraining {
        amount: Amount::Steps(steps as u32),
        ..local.clone()
    }
}
