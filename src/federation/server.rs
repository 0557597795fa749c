//! The server: holds rounds according to the schedule.
//!
//! It is a state machine over stages: the method's own work, collecting reports, finishing its
//! virtual computations, evaluating. Reports are taken in one by one as they come, each at its cost
//! on the virtual server; those that come faster than it computes queue.
//!
//! - `reports`: what comes back from clients;
//! - `evaluate`: the end of a round;
//! - `crash`: its own checkpoints, and what a crash leaves of it;
//! - `state`: what a checkpoint has of it.

mod crash;
mod evaluate;
mod reports;
mod state;

use super::evaluation::Marks;
use super::job::{Job, Output};
use super::message::{Message, Task};
use super::outstanding::{Asked, Outstanding};
use super::record::Record;
use super::round::Round;
use super::selection::select;
use super::world::{Bug, Federation, Shared};
use crate::learn::Tally;
use crate::method::{MethodError, Payload, Phase, ServerHalf};
use crate::observe::rows::{ClientOutcome, ClientRow, Outcome};
use crate::quantity::{Span, VirtualTime};
use crate::sim::{Context, Input, JobId};
use crash::Kept;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// The server, live.
pub struct Server {
    shared: Arc<Shared>,
    half: Box<dyn ServerHalf>,
    stage: Stage,
    round: Round,
    outstanding: Outstanding,
    /// When the virtual server has done all it was given.
    busy_until: VirtualTime,
    /// The latest accuracy of each client's own model, for methods without a global one.
    personal: BTreeMap<u32, Tally>,
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
}

/// What the server is doing.
enum Stage {
    /// The method's own work is under way.
    Working {
        phase: Phase,
        jobs: Vec<(JobId, Option<Payload>)>,
    },
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
    /// The deadline of a round.
    pub const fn deadline(round: u32) -> u64 {
        round as u64
    }
    /// The end of the virtual server's computations for a round.
    pub const fn closing(round: u32) -> u64 {
        1 << 32 | round as u64
    }
    /// The end of a job that is only modelled, by its place among those of its phase.
    pub const fn modelled(place: u64) -> u64 {
        1 << 33 | place
    }
}

impl Server {
    pub(super) fn new(shared: Arc<Shared>, half: Box<dyn ServerHalf>) -> Self {
        Self {
            shared,
            half,
            stage: Stage::Finished,
            round: Round::open(0, VirtualTime::ZERO, 0),
            outstanding: Outstanding::default(),
            busy_until: VirtualTime::ZERO,
            personal: BTreeMap::new(),
            stopping: false,
            kept: VecDeque::new(),
            written: 0,
            restored: None,
            forgotten: BTreeSet::new(),
            timers: 0,
        }
    }

    pub(super) fn waiting_for(&self) -> Option<String> {
        let round = self.round.number;
        match &self.stage {
            Stage::Working { phase, .. } => Some(format!("its own work, {phase:?}")),
            Stage::Collecting => {
                let unheard: Vec<u32> = self.round.unheard().collect();
                let shown: Vec<String> = unheard.iter().take(8).map(u32::to_string).collect();
                let more = match unheard.len().saturating_sub(8) {
                    0 => String::new(),
                    n => format!(" and {n} more"),
                };
                Some(format!(
                    "reports of round {round} from clients {}{more}, and there is no deadline \
                     (set schedule.deadline, or a reliable transport)",
                    shown.join(", ")
                ))
            }
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
            // Who is down hears nothing; what comes as it rises was sent to who it was before.
            Input::Message { .. } if matches!(self.stage, Stage::Down) => {}
            Input::Message { from, message, .. } => match message {
                Message::Report(report) => self.receive(from, *report, cx),
                Message::Refusal(refusal) => self.refused(from, &refusal, cx),
                // Nobody invites a server.
                Message::Task(_) => {}
            },
            Input::Timer(timer::STOP) => self.stop(cx),
            Input::Timer(timer::CRASH) => self.crash(cx),
            Input::Timer(timer::UP) => self.rise(cx),
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
            Err(error) => return self.fail(format!("{phase:?}: {error}"), cx),
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
        let target = schedule.cohort.of(self.shared.plan.population());
        self.round = Round::open(self.round.number + 1, cx.now(), target);
        self.round.restored = self.restored.take();
        self.begin(Phase::BeforeRound(self.round.number), cx);
    }

    fn invite(&mut self, cx: &mut Cx<'_>) {
        if !self.half.needs_clients() {
            return self.close(cx);
        }
        let plan = &self.shared.plan;
        let population = plan.population();
        let target = plan.schedule.cohort.of(population);
        let wanted = libm::ceil(f64::from(target) * plan.schedule.over_selection) as u32;
        let number = self.round.number;
        let chosen = select(plan.seed, number, population, wanted, |client| {
            plan.client(client).participation
        });
        self.half.cohort(number, &chosen);
        // Where nothing is computed all clients of a width are sent the same.
        let mut alike = self.shared.plan.compute.is_modelled().then(BTreeMap::new);
        for client in chosen {
            let payload = match self.task(client, alike.as_mut()) {
                Ok(payload) => payload,
                Err(error) => return self.fail(format!("task for client {client}: {error}"), cx),
            };
            let task = Task {
                round: number,
                payload,
            };
            self.round.invite(client, task.wire_bytes());
            let asked = Asked {
                round: number,
                at: cx.now(),
            };
            if let Some(lost) = self.outstanding.ask(client, asked) {
                self.record_lost(client, lost, cx);
            }
            cx.send(Federation::node_of(client), Message::Task(Box::new(task)));
        }
        tracing::debug!(round = number, target, wanted, "round opened");
        self.stage = Stage::Collecting;
        if self.round.is_complete() {
            // Nobody was there to be asked.
            return self.close(cx);
        }
        let deadline = self.shared.plan.schedule.deadline;
        if let Some(deadline) = deadline.filter(|_| self.shared.bug != Some(Bug::NeverTimeOut)) {
            let deadline = self.shared.faults.server.by_its_clock(cx.now(), deadline);
            cx.timer(deadline, timer::deadline(number));
        }
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
        let number = self.round.number;
        match self.stage {
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

    /// No report of this round is taken any more.
    fn close(&mut self, cx: &mut Cx<'_>) {
        let number = self.round.number;
        let schedule = &self.shared.plan.schedule;
        let needed = schedule.least_reports.max(self.half.least_reports());
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
        let few = self.round.reported < needed.max(1) || short.is_some();
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
        if matches!(self.stage, Stage::Collecting) {
            self.half.abandon();
            self.round.outcome = Outcome::Stopped;
            let row = self.round_row(None, None, cx);
            cx.record(Record::Round(Box::new(row)));
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
            None => self.fail(format!("{phase:?}: a job that cannot be modelled"), cx),
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
                    let mut scores = self.shared.evaluator.sum(&marks);
                    if self.half.personal() {
                        scores.clients = self.measured();
                    }
                    for (client, tally) in &scores.clients {
                        self.record_accuracy(*client, *tally, cx);
                    }
                    self.record_sizes(&scores, cx);
                    let clients = scores.clients.iter().map(|(_, tally)| tally.accuracy());
                    self.conclude(scores.central(), scores.attack, clients.collect(), cx);
                }
            }
            (_, Output::Server(Err(error)) | Output::Evaluation(Err(error))) => {
                self.fail(error.to_string(), cx);
            }
            (_, Output::Failed(reason)) => self.fail(reason, cx),
            (_, other) => self.fail(format!("a device worker returned {other:?}"), cx),
        }
    }

    /// Nothing that still comes is heard.
    fn finish(&mut self, cx: &mut Cx<'_>) {
        self.stage = Stage::Finished;
        for (client, asked) in self.outstanding.drain() {
            self.record_lost(client, asked, cx);
        }
        cx.finish();
    }

    /// The run cannot go on.
    fn fail(&mut self, reason: String, cx: &mut Cx<'_>) {
        cx.record(Record::Fatal(format!(
            "round {}: {reason}",
            self.round.number
        )));
        self.finish(cx);
    }

    fn group(&self, client: u32) -> Arc<str> {
        let plan = &self.shared.plan;
        Arc::clone(&plan.groups[plan.group_of(client)].name)
    }

    fn row(&self, client: u32, asked: Asked) -> ClientRow {
        ClientRow {
            round: asked.round,
            client,
            group: self.group(client),
            outcome: ClientOutcome::Reported,
            invited: asked.at,
            received: None,
            trained: None,
            reported: None,
            compute: Span::ZERO,
            queue_wait: Span::ZERO,
            bytes_down: 0,
            bytes_up: 0,
            samples: 0,
            steps: 0,
            loss: None,
            accuracy: None,
            size: self.shared.sizes.of(client).ratio,
            flops: 0,
            memory_bytes: 0,
            energy_j: 0.0,
        }
    }
}
