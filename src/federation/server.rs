//! The server: holds rounds according to the schedule.
//!
//! It is a state machine over stages: the method's own work, collecting reports, finishing its
//! virtual computations, evaluating. Reports are taken in one by one as they come, each at its cost
//! on the virtual server; those that come faster than it computes queue.
//!
//! - `invite`: who is asked, and waiting for clients to be there;
//! - `reports`: what comes back from clients;
//! - `evaluate`: the end of a round;
//! - `one_by_one`: clients that are asked one by one, and not in rounds;
//! - `crash`: its own checkpoints, and what a crash leaves of it;
//! - `state`: what a checkpoint has of it.

mod crash;
mod evaluate;
mod invite;
mod one_by_one;
mod reports;
mod state;

use super::books;
use super::evaluation::Marks;
use super::job::{Job, Output, UNASKED};
use super::keep::{self, Of};
use super::message::Message;
use super::outstanding::{Asked, Outstanding};
use super::record::Record;
use super::round::Round;
use super::spread::{Own, PerClient};
use super::world::{Federation, Shared};
use crate::method::{MethodError, Payload, Phase, ServerHalf};
use crate::observe::ledger::What;
use crate::observe::rows::Outcome;
use crate::quantity::{Span, VirtualTime};
use crate::select::{Measured, Policy};
use crate::sim::{Context, Input, JobId, NodeId};
use crash::Kept;
use one_by_one::Flow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// The server, live.
pub struct Server {
    shared: Arc<Shared>,
    half: Box<dyn ServerHalf>,
    /// Chooses clients.
    policy: Box<dyn Policy>,
    stage: Stage,
    round: Round,
    outstanding: Outstanding,
    /// When the virtual server has done all it was given.
    busy_until: VirtualTime,
    /// How each client's model did around its latest local training that was used.
    own: BTreeMap<u32, Own>,
    /// Set when the schedule says so, acted on when the round is over.
    stopping: bool,
    /// Its own checkpoints, the latest last.
    kept: VecDeque<Kept>,
    /// How many it has written.
    written: u64,
    /// The round it was restored to after a crash, until the next one has begun.
    restored: Option<u32>,
    /// Jobs whose outcome it no longer knows what to do with.
    forgotten: BTreeSet<JobId>,
    /// Timers it has set for its crashes.
    timers: u64,
    /// Who is at work, where clients are asked one by one.
    flow: Option<Box<Flow>>,
    /// Whether [`Server::go_round`] is at work; never so between two events.
    going_round: bool,
}

/// What the server is doing.
enum Stage {
    /// The method's own work is under way.
    Working {
        phase: Phase,
        jobs: Vec<(JobId, Option<Payload>)>,
    },
    /// Waiting for clients to come back, so that enough can be asked.
    Waiting,
    /// Waiting for reports.
    Collecting,
    /// Waiting for the virtual server to finish its arithmetic.
    Closing,
    /// Waiting for the pieces of an evaluation.
    Evaluating { pieces: Vec<(JobId, Option<Marks>)> },
    /// All is done.
    Finished,
    /// Down, until a timer says otherwise.
    Down,
}

/// The timers a server sets.
mod timer {
    /// The virtual time at which the schedule ends.
    pub const STOP: u64 = u64::MAX;
    /// The server goes down.
    pub const CRASH: u64 = u64::MAX - 1;
    /// It is up again.
    pub const UP: u64 = u64::MAX - 2;
    /// Somebody may be back, where clients are asked one by one.
    pub const BACK: u64 = u64::MAX - 3;
    /// The deadline of a round.
    pub const fn deadline(round: u32) -> u64 {
        round as u64
    }
    /// The end of the virtual server's computations for a round.
    pub const fn closing(round: u32) -> u64 {
        1 << 32 | round as u64
    }
    /// Somebody may be back for a round.
    pub const fn waiting(round: u32) -> u64 {
        1 << 33 | round as u64
    }
    /// The end of a job that is only modelled, by its place among those of its phase.
    pub const fn modelled(place: u64) -> u64 {
        1 << 34 | place
    }
    /// The time that a client has for a task is over.
    pub const fn task(client: u32, task: u32) -> u64 {
        TASK | ((task & MOST_TASKS) as u64) << 32 | client as u64
    }
    /// The client and the task of such a timer. A client that is at work is known by the task's last
    /// 30 bits.
    pub const fn of_task(token: u64) -> Option<(u32, u32)> {
        if token >> 62 == 1 {
            Some((token as u32, (token >> 32) as u32 & MOST_TASKS))
        } else {
            None
        }
    }
    /// Whether a timer for `task` is that of a task with the number `full`.
    pub const fn is_of(task: u32, full: u32) -> bool {
        full & MOST_TASKS == task
    }
    const TASK: u64 = 1 << 62;
    const MOST_TASKS: u32 = (1 << 30) - 1;
}

/// The first few of `all` behind `what`, and how many there are beside.
fn named(what: &str, all: &[String]) -> String {
    let shown = all.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(8) {
        0 => format!("{what} {shown}"),
        more => format!("{what} {shown} and {more} more"),
    }
}

impl Server {
    pub(super) fn new(shared: Arc<Shared>, half: Box<dyn ServerHalf>) -> Self {
        let flow = shared.plan.schedule.waiting.map(|_| Box::default());
        Self {
            policy: shared.plan.selection.selection().policy(),
            shared,
            half,
            stage: Stage::Finished,
            round: Round::open(0, VirtualTime::ZERO, 0),
            outstanding: Outstanding::default(),
            busy_until: VirtualTime::ZERO,
            own: BTreeMap::new(),
            stopping: false,
            kept: VecDeque::new(),
            written: 0,
            restored: None,
            forgotten: BTreeSet::new(),
            timers: 0,
            flow,
            going_round: false,
        }
    }

    pub(super) fn waiting_for(&self) -> Option<String> {
        let round = self.round.number;
        match &self.stage {
            Stage::Working { phase, .. } => Some(format!("its own work {phase}")),
            Stage::Collecting if self.flow.is_some() => Some(self.waits_for_at_work()),
            Stage::Collecting => {
                let unheard: Vec<String> = self.round.unheard().map(|c| c.to_string()).collect();
                let what = format!("reports of round {round} from clients");
                Some(format!(
                    "{}, and there is no deadline (set schedule.deadline, or a reliable transport)",
                    named(&what, &unheard)
                ))
            }
            Stage::Waiting => Some(format!("clients to come back for round {round}")),
            Stage::Closing => Some(format!("its arithmetic for round {round}")),
            Stage::Evaluating { .. } => Some(format!("the evaluation of round {round}")),
            Stage::Down => Some("the end of its own crash, which does not come".into()),
            Stage::Finished => None,
        }
    }

    pub(super) fn on(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                if let Some(span) = self.shared.plan.schedule.stop_at_time {
                    cx.timer(span, timer::STOP);
                }
                self.await_crash(cx);
                self.begin(Phase::Setup, cx);
            }
            // Who is down hears nothing; what comes as it rises was sent to who it was before. All that
            // was unanswered when it finished is in the books.
            Input::Message { from, message, .. }
                if matches!(self.stage, Stage::Down | Stage::Finished) =>
            {
                self.overhear(from, &message, cx);
            }
            Input::Message { from, message, .. } => match message {
                Message::Report(report) => self.receive(from, *report, cx),
                Message::Refusal(refusal) => self.refused(from, &refusal, cx),
                // Nobody invites a server, and where there is one models do not come without a task.
                Message::Task(_) | Message::Model(_) | Message::Notice(_) => {}
            },
            Input::Timer(timer::STOP) => self.stop(cx),
            Input::Timer(timer::CRASH) => self.crash(cx),
            Input::Timer(timer::UP) => self.rise(cx),
            Input::Timer(timer::BACK) => self.back(cx),
            Input::Timer(token) => self.timed(token, cx),
            Input::Done { job, output } => self.done(job, output, cx),
        }
    }

    // The method's own work.

    fn begin(&mut self, phase: Phase, cx: &mut Cx<'_>) {
        self.work(phase, Vec::new(), cx);
    }

    fn work(&mut self, phase: Phase, outputs: Vec<Payload>, cx: &mut Cx<'_>) {
        let jobs = match self.half.step(phase, outputs) {
            Ok(jobs) => jobs,
            Err(error) => return self.fail(format!("the method's work {phase}: {error}"), cx),
        };
        if jobs.is_empty() {
            return self.over(phase, cx);
        }
        let modelled = self.shared.plan.compute.is_modelled();
        let mut under_way = Vec::with_capacity(jobs.len());
        for (place, job) in (0u64..).zip(jobs) {
            // One after the other on one virtual server.
            let until = self.occupy(self.shared.plan.server.duration(job.cost.flops), cx);
            let span = until.since(cx.now());
            if modelled {
                cx.timer(span, timer::modelled(place));
                under_way.push((JobId(place), job.stand_in));
            } else {
                under_way.push((cx.work(Job::Server(job), span), None));
            }
        }
        self.stage = Stage::Working {
            phase,
            jobs: under_way,
        };
    }

    fn over(&mut self, phase: Phase, cx: &mut Cx<'_>) {
        match phase {
            Phase::Setup => {
                if let Err(reason) = self.keep(cx) {
                    return self.fail(reason, cx);
                }
                self.next_round(cx);
            }
            Phase::BeforeRound(_) => self.invite(cx),
            Phase::AfterRound(_) => self.evaluate(cx),
            Phase::Finish => self.finish(cx),
        }
    }

    /// Keeps the virtual server busy for `span` after what it already has; when it will be done.
    fn occupy(&mut self, span: Span, cx: &Cx<'_>) -> VirtualTime {
        let start = self.busy_until.max(cx.now());
        let faults = &self.shared.faults.server;
        self.busy_until = if faults.is_empty() {
            start + span
        } else {
            faults.finish(start, span)
        };
        self.round.server_compute = self.round.server_compute + self.busy_until.since(start);
        self.busy_until
    }

    // Rounds.

    fn next_round(&mut self, cx: &mut Cx<'_>) {
        let schedule = &self.shared.plan.schedule;
        if self.stopping || self.round.number >= schedule.rounds {
            return self.begin(Phase::Finish, cx);
        }
        let over = self.round.number;
        let every = self.shared.plan.checkpoint_every;
        if over > 0 && every.is_some_and(|every| over.is_multiple_of(every)) {
            cx.checkpoint();
        }
        let target = match (self.is_above_servers(), &schedule.waiting) {
            (true, None) => self.shared.plan.hierarchy().below_top().count(),
            (true, Some(waiting)) => waiting.buffer(),
            (false, _) => schedule.cohort.of(self.shared.plan.population()),
        };
        self.open(self.round.number + 1, target, cx);
        self.round.restored = self.restored.take();
        self.begin(Phase::BeforeRound(self.round.number), cx);
    }

    /// The books of a round that begins now.
    fn open(&mut self, number: u32, target: u32, cx: &Cx<'_>) {
        // What an abandoned round has of reports goes on to the next, where clients are asked one by one.
        let left = self.round.outcome == Outcome::Abandoned;
        let reported = if left { self.round.reported } else { 0 };
        let round = Round::open(number, cx.now(), target);
        self.round = match &mut self.flow {
            Some(flow) => {
                flow.turn(number, left, reported);
                round.one_by_one()
            }
            None => round,
        };
    }

    /// What a client is sent; what another of its width was sent, where that is `alike`.
    fn task(
        &mut self,
        client: u32,
        alike: Option<&mut BTreeMap<usize, Payload>>,
    ) -> Result<Payload, MethodError> {
        let number = self.round.number;
        let Some(alike) = alike else {
            return self.half.task(client, number);
        };
        let level = self.shared.sizes.level_of(client);
        if let Some(payload) = alike.get(&level) {
            return Ok(payload.clone());
        }
        let payload = self.half.task(client, number)?;
        alike.insert(level, payload.clone());
        Ok(payload)
    }

    fn timed(&mut self, token: u64, cx: &mut Cx<'_>) {
        if let Some((client, task)) = timer::of_task(token) {
            return self.give_up(client, task, cx);
        }
        let number = self.round.number;
        match self.stage {
            Stage::Waiting if token == timer::waiting(number) => self.invite(cx),
            Stage::Collecting if token == timer::deadline(number) => self.close(cx),
            Stage::Closing if token == timer::closing(number) => {
                self.begin(Phase::AfterRound(number), cx);
            }
            Stage::Working { .. } if token & timer::modelled(0) != 0 => {
                self.modelled(token & !timer::modelled(0), cx);
            }
            // The timer of a round that has moved on.
            _ => {}
        }
    }

    /// With fewer reports a round is abandoned.
    fn needed(&self) -> u32 {
        let least = self.shared.plan.schedule.least_reports;
        least.max(self.half.least_reports()).max(1)
    }

    /// No report of this round is taken any more.
    fn close(&mut self, cx: &mut Cx<'_>) {
        let number = self.round.number;
        let needed = self.needed();
        let unheard = self.round.unheard().count();
        tracing::debug!(
            round = number,
            reported = self.round.reported,
            unheard,
            "round closed"
        );
        let short = self.half.short();
        if let Some(reason) = &short {
            tracing::info!(round = number, reason, "round abandoned");
        }
        let few = self.round.reported < needed || short.is_some();
        if self.half.needs_clients() && few {
            self.half.abandon();
            self.round.outcome = Outcome::Abandoned;
            return self.evaluate(cx);
        }
        if let Err(error) = self.half.close(number) {
            return self.fail(format!("closing: {error}"), cx);
        }
        let speed = self.shared.plan.server.speed;
        let until = self.occupy(speed.time_for(self.half.round_flops()), cx);
        if until > cx.now() {
            self.stage = Stage::Closing;
            cx.timer(until.since(cx.now()), timer::closing(number));
        } else {
            self.begin(Phase::AfterRound(number), cx);
        }
    }

    /// The schedule's virtual time is over.
    fn stop(&mut self, cx: &mut Cx<'_>) {
        self.stopping = true;
        if matches!(self.stage, Stage::Waiting | Stage::Collecting) {
            self.half.abandon();
            self.round.outcome = Outcome::Stopped;
            let row = self.round_row(None, cx);
            self.tell(row, cx);
            self.begin(Phase::Finish, cx);
        } else if matches!(self.stage, Stage::Down) {
            // There is no time left to rise in: what it would have gone on with is what there is.
            self.go_on(cx);
        }
    }

    // Finished work.

    /// A job that is only modelled is over; with the last one the phase goes on.
    fn modelled(&mut self, place: u64, cx: &mut Cx<'_>) {
        let Stage::Working { phase, jobs } = &mut self.stage else {
            return;
        };
        // The timers of jobs that a crash has ended come at other times.
        if place + 1 != jobs.len() as u64 || cx.now() != self.busy_until {
            return;
        }
        let phase = *phase;
        let outputs: Option<Vec<Payload>> = jobs.drain(..).map(|(_, output)| output).collect();
        match outputs {
            Some(outputs) => self.work(phase, outputs, cx),
            None => self.fail(format!("the method's work {phase} cannot be modelled"), cx),
        }
    }

    fn done(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) {
        if self.forgotten.remove(&job) {
            return;
        }
        match (&mut self.stage, output) {
            (Stage::Working { jobs, phase }, Output::Server(Ok(payload))) => {
                if let Some(slot) = jobs.iter_mut().find(|(id, _)| *id == job) {
                    slot.1 = Some(payload);
                }
                if jobs.iter().all(|(_, payload)| payload.is_some()) {
                    let outputs = jobs.drain(..).filter_map(|(_, payload)| payload).collect();
                    let phase = *phase;
                    self.work(phase, outputs, cx);
                }
            }
            (Stage::Evaluating { pieces }, Output::Evaluation(Ok(marks))) => {
                if let Some(slot) = pieces.iter_mut().find(|(id, _)| *id == job) {
                    slot.1 = Some(marks);
                }
                if pieces.iter().all(|(_, marks)| marks.is_some()) {
                    let marks: Vec<Marks> =
                        pieces.drain(..).filter_map(|(_, marks)| marks).collect();
                    let scores = self.shared.evaluator.sum(&marks);
                    let (central, attack) = (scores.central(), scores.attack);
                    let clients = self.per_client(scores.clients);
                    self.record_clients(&clients, &scores.levels, cx);
                    if !self.is_above_servers() {
                        self.policy.measured(&self.measured(&clients));
                    }
                    self.conclude(central, attack, Some(clients), cx);
                }
            }
            (_, Output::Server(Err(error)) | Output::Evaluation(Err(error))) => {
                self.fail(error.to_string(), cx);
            }
            (_, Output::Failed(reason)) => self.fail(reason, cx),
            (_, _) => self.fail(UNASKED.into(), cx),
        }
    }

    /// A message that nobody is there to hear.
    fn overhear(&self, from: NodeId, message: &Message, cx: &mut Cx<'_>) {
        let bytes = crate::sim::Message::wire_bytes(message).0;
        let client = Federation::client_of(from).unwrap_or_default();
        let task = crate::net::Wire::round(message);
        books::tell(client, task, What::Unheard { bytes }, cx);
        if matches!(self.stage, Stage::Down) && !self.is_above_servers() {
            books::tell(client, task, What::Gone { task: false }, cx);
        }
    }

    /// What a policy that goes by accuracy is told: of the models that clients begin with, or, where
    /// they keep models of their own, of those as they last were.
    fn measured(&self, clients: &PerClient) -> Vec<Measured> {
        if self.half.personal() {
            let own = clients.own.iter().map(|(&client, own)| Measured {
                client,
                correct: u64::from(own.held_out.trained),
                count: u64::from(own.held_out.count),
            });
            return own.collect();
        }
        let now = clients.now.iter().map(|(client, tally)| Measured {
            client: *client,
            correct: tally.correct,
            count: tally.count,
        });
        now.collect()
    }

    /// Nothing that still comes is heard.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        self.stage = Stage::Finished;
        self.too_late(cx);
        self.lose_all(cx);
        // What came after the last round was told of.
        let bytes = self.round.written();
        books::tell(0, 0, What::Unheard { bytes }, cx);
        cx.finish();
    }

    /// Nobody is waited for any more; how many clients that were.
    fn lose_all(&mut self, cx: &mut Cx<'_>) -> u32 {
        let held = self.flow.as_mut().map(|flow| flow.take_held());
        for (client, task, bytes) in held.into_iter().flatten() {
            // What came during a step goes with the server's memory.
            books::tell(client, task, What::Unheard { bytes }, cx);
            if !self.is_above_servers() {
                books::tell(client, task, What::Gone { task: false }, cx);
            }
        }
        let flow = self.flow.as_mut().map(|flow| flow.clear());
        let all: Vec<(u32, Asked)> = self
            .outstanding
            .drain()
            .chain(flow.into_iter().flatten())
            .collect();
        for (client, asked) in &all {
            self.record_lost(*client, *asked, cx);
        }
        all.len() as u32
    }

    /// The run cannot go on.
    fn fail(&mut self, reason: String, cx: &mut Cx<'_>) {
        cx.record(Record::Fatal(format!(
            "round {}: {reason}",
            self.round.number
        )));
        self.finish(cx);
    }

    /// Tells the recorder of the global model, where it is to be kept as it is after this round.
    fn tell_model(&self, measured: bool, cx: &mut Cx<'_>) -> Result<(), MethodError> {
        let number = self.round.number;
        let keep = self.shared.plan.keep;
        if keep.is_some_and(|keep| keep.after(number, measured)) {
            let half = self.half.as_ref();
            if let Some(weights) = keep::global(&self.shared, half, number, Of::Round)? {
                cx.record(Record::Weights(Box::new(weights)));
            }
        }
        Ok(())
    }

    /// The method's half, and how many rounds its model has seen the end of.
    pub(super) fn half(&self) -> (&dyn ServerHalf, u32) {
        let number = self.round.number;
        let round = match self.stage {
            Stage::Finished | Stage::Evaluating { .. } => number,
            Stage::Working {
                phase: Phase::AfterRound(_) | Phase::Finish,
                ..
            } => number,
            _ => number.saturating_sub(1),
        };
        (self.half.as_ref(), round)
    }

    /// Whether those who answer to it are servers themselves.
    fn is_above_servers(&self) -> bool {
        !self.shared.plan.hierarchy.is_empty()
    }
}
