//! The server: holds rounds according to the schedule.
//!
//! It is a state machine over stages: the method's own work, collecting reports, finishing its
//! virtual computations, evaluating. Reports are taken in one by one as they come, each at its cost
//! on the virtual server; those that come faster than it computes queue. `state` is what a checkpoint
//! has of it.

mod state;

use super::evaluation::{Marks, Scores};
use super::job::{Job, Output};
use super::message::{Message, Refusal, Report, Task};
use super::outstanding::{Asked, Outstanding};
use super::record::Record;
use super::round::{Invited, Round};
use super::selection::select;
use super::world::{Bug, Federation, Shared};
use crate::learn::Tally;
use crate::method::{Payload, Phase, Received, ServerHalf};
use crate::observe::rows::{
    ClientAccuracyRow, ClientOutcome, ClientRow, Outcome, Rejection, RejectionRow, RoundRow,
    SizeRow,
};
use crate::quantity::{Span, VirtualTime};
use crate::sim::{Context, Input, JobId, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// Reports with a larger value are not used. The sum of all reports of any round, weighed by their
/// samples, stays finite with it, and so does the square of a mean.
const LARGEST: f64 = 1e15;

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
}

/// The timers a server sets.
mod timer {
    /// The virtual time at which the schedule ends.
    pub const STOP: u64 = u64::MAX;
    /// The deadline of a round.
    pub const fn deadline(round: u32) -> u64 {
        round as u64
    }
    /// The end of the virtual server's computations for a round.
    pub const fn closing(round: u32) -> u64 {
        1 << 32 | round as u64
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
            Stage::Finished => None,
        }
    }

    pub(super) fn on(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                if let Some(span) = self.shared.plan.schedule.stop_at_time {
                    cx.timer(span, timer::STOP);
                }
                self.begin(Phase::Setup, cx);
            }
            Input::Message { from, message, .. } => match message {
                Message::Report(report) => self.receive(from, *report, cx),
                Message::Refusal(refusal) => self.refused(from, &refusal, cx),
                // Nobody invites a server.
                Message::Task(_) => {}
            },
            Input::Timer(timer::STOP) => self.stop(cx),
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
        let mut under_way = Vec::with_capacity(jobs.len());
        for job in jobs {
            // One after the other on one virtual server.
            let until = self.occupy(self.shared.plan.server.duration(job.cost.flops), cx);
            let id = cx.work(Job::Server(job), until.since(cx.now()));
            under_way.push((id, None));
        }
        self.stage = Stage::Working {
            phase,
            jobs: under_way,
        };
    }

    fn over(&mut self, phase: Phase, cx: &mut Cx<'_>) {
        match phase {
            Phase::Setup => self.next_round(cx),
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
        for client in chosen {
            let payload = match self.half.task(client, number) {
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

    fn receive(&mut self, from: NodeId, report: Report, cx: &mut Cx<'_>) {
        let Some(client) = Federation::client_of(from) else {
            return;
        };
        let bytes = report.wire_bytes();
        self.round.count_up(bytes);
        let telemetry = report.telemetry;
        let round = report.round;
        let Some(row) = self.answered(client, round, cx) else {
            if self.is_let_in(client, round) {
                self.take_in(client, report, cx);
                return self.close_if_complete(cx);
            }
            return self.unasked(client, round, cx);
        };
        let mut row = ClientRow {
            received: Some(telemetry.received),
            trained: Some(telemetry.trained),
            compute: telemetry.compute,
            bytes_down: telemetry.bytes_down.0,
            bytes_up: bytes.0,
            samples: report.samples,
            steps: telemetry.metrics.steps,
            loss: telemetry.metrics.loss,
            accuracy: telemetry.metrics.personal.map(|tally| tally.accuracy()),
            flops: telemetry.cost.flops.0,
            memory_bytes: telemetry.cost.memory.0,
            energy_j: telemetry.energy,
            ..row
        };
        row.outcome = if self.is_waiting_for(client, round) {
            row.queue_wait = self.busy_until.since(cx.now());
            self.take_in(client, report, cx)
        } else {
            self.round.late += 1;
            ClientOutcome::Late
        };
        cx.record(Record::Client(Box::new(row)));
        self.close_if_complete(cx);
    }

    /// A report that nobody waits for: it is counted, and not used.
    fn unasked(&mut self, client: u32, round: u32, cx: &mut Cx<'_>) {
        let reason = if round > self.round.number {
            Rejection::Future
        } else if round < self.round.number {
            Rejection::Stale
        } else if self.round.has_answered(client) {
            Rejection::Again
        } else {
            Rejection::NotAsked
        };
        if reason == Rejection::Stale {
            self.round.late += 1;
            if !self.shared.faults.is_any() {
                // A straggler that was asked again: its old task is in the books as lost.
                return;
            }
        }
        self.reject(client, round, reason, cx);
        if reason == Rejection::Future && self.is_waiting_for(client, self.round.number) {
            // No copy of an older report: it is this client's answer, and nobody need wait for another.
            let answered = self.answered(client, self.round.number, cx);
            self.round.answer(client, Invited::Refused);
            if let Some(row) = answered {
                let outcome = ClientOutcome::Rejected(reason.to_string().into());
                cx.record(Record::Client(Box::new(ClientRow { outcome, ..row })));
            }
            self.close_if_complete(cx);
        }
    }

    /// Whether a planted defect lets in a report that nobody waits for.
    fn is_let_in(&self, client: u32, round: u32) -> bool {
        let collecting = matches!(self.stage, Stage::Collecting);
        match self.shared.bug {
            Some(Bug::DoubleCount) => {
                collecting && round == self.round.number && self.round.has_answered(client)
            }
            Some(Bug::IgnoreRound) => collecting && round != self.round.number,
            Some(Bug::NeverTimeOut) | None => false,
        }
    }

    /// Counts a report that is not used, and why.
    fn reject(&mut self, client: u32, round: u32, reason: Rejection, cx: &mut Cx<'_>) {
        let row = RejectionRow {
            round: self.round.number,
            client,
            time: cx.now(),
            said: round,
            reason,
        };
        cx.record(Record::Rejection(Box::new(row)));
    }

    /// Gives a report to the method, at its cost on the virtual server.
    fn take_in(&mut self, client: u32, report: Report, cx: &mut Cx<'_>) -> ClientOutcome {
        let speed = self.shared.plan.server.speed;
        self.occupy(speed.time_for(self.half.receive_flops()), cx);
        let metrics = report.telemetry.metrics;
        let largest = report.payload.largest();
        if largest.is_nan() || largest > LARGEST {
            let reason = if largest.is_finite() {
                Rejection::TooLarge
            } else {
                Rejection::NotFinite
            };
            self.round.answer(client, Invited::Refused);
            self.reject(client, report.round, reason, cx);
            return ClientOutcome::Rejected(reason.to_string().into());
        }
        let received = Received {
            client,
            round: report.round,
            samples: report.samples,
            payload: report.payload,
        };
        if let Err(error) = self.half.receive(&received) {
            self.round.answer(client, Invited::Refused);
            self.reject(client, received.round, Rejection::Misfit, cx);
            return ClientOutcome::Rejected(error.to_string().into());
        }
        self.round.answer(client, Invited::Reported);
        self.round.count_loss(metrics.loss, received.samples);
        if let Some(tally) = metrics.personal {
            self.personal.insert(client, tally);
        }
        ClientOutcome::Reported
    }

    fn refused(&mut self, from: NodeId, refusal: &Refusal, cx: &mut Cx<'_>) {
        let Some(client) = Federation::client_of(from) else {
            return;
        };
        self.round.count_up(refusal.wire_bytes());
        if let Some(row) = self.answered(client, refusal.round, cx) {
            cx.record(Record::Client(Box::new(ClientRow {
                received: Some(refusal.received),
                bytes_up: refusal.wire_bytes().0,
                outcome: ClientOutcome::Refused(Arc::clone(&refusal.reason)),
                ..row
            })));
        }
        if self.is_waiting_for(client, refusal.round) {
            self.round.answer(client, Invited::Refused);
        }
        self.close_if_complete(cx);
    }

    /// The line of a client that answers now; `None` if it has one for that round already.
    fn answered(&mut self, client: u32, round: u32, cx: &Cx<'_>) -> Option<ClientRow> {
        let asked = self.outstanding.answer(client, round)?;
        Some(ClientRow {
            reported: Some(cx.now()),
            ..self.row(client, asked)
        })
    }

    /// Whether an answer of this client, for this round, still counts.
    fn is_waiting_for(&self, client: u32, round: u32) -> bool {
        matches!(self.stage, Stage::Collecting)
            && round == self.round.number
            && self.round.is_waiting_for(client)
    }

    fn close_if_complete(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.stage, Stage::Collecting) && self.round.is_complete() {
            self.close(cx);
        }
    }

    /// Records a task that was never answered.
    fn record_lost(&self, client: u32, asked: Asked, cx: &mut Cx<'_>) {
        cx.record(Record::Client(Box::new(ClientRow {
            outcome: ClientOutcome::Lost,
            ..self.row(client, asked)
        })));
    }

    fn timed(&mut self, token: u64, cx: &mut Cx<'_>) {
        let number = self.round.number;
        match self.stage {
            Stage::Collecting if token == timer::deadline(number) => self.close(cx),
            Stage::Closing if token == timer::closing(number) => {
                self.begin(Phase::AfterRound(number), cx);
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
        }
    }

    // Evaluation.

    fn evaluate(&mut self, cx: &mut Cx<'_>) {
        let plan = &self.shared.plan;
        let number = self.round.number;
        let due = number.is_multiple_of(plan.evaluation.every)
            || number >= plan.schedule.rounds
            || self.stopping;
        let pieces = match self.half.global().filter(|_| due) {
            Some(global) => {
                let half = &self.half;
                let at_level = |level| Ok(half.at_level(level)?.unwrap_or_else(|| global.clone()));
                match self.shared.evaluator.pieces(plan, global, at_level) {
                    Ok(pieces) => pieces,
                    Err(error) => return self.fail(format!("evaluation: {error}"), cx),
                }
            }
            None => Vec::new(),
        };
        if pieces.is_empty() {
            let personal = if due {
                self.personal_accuracies(cx)
            } else {
                Vec::new()
            };
            return self.conclude(None, None, personal, cx);
        }
        let pieces = pieces.into_iter().map(|piece| {
            let id = cx.work(Job::Evaluation(Box::new(piece)), Span::ZERO);
            (id, None)
        });
        self.stage = Stage::Evaluating {
            pieces: pieces.collect(),
        };
    }

    /// The clients' own models, as they last measured them.
    fn personal_accuracies(&self, cx: &mut Cx<'_>) -> Vec<f64> {
        for (client, tally) in &self.personal {
            self.record_accuracy(*client, *tally, cx);
        }
        let scores = Scores {
            levels: Vec::new(),
            clients: self.measured(),
            attack: None,
        };
        if !scores.clients.is_empty() {
            self.record_sizes(&scores, cx);
        }
        self.personal.values().map(Tally::accuracy).collect()
    }

    /// How good each client's own model was when the client last measured it.
    fn measured(&self) -> Vec<(u32, Tally)> {
        self.personal.iter().map(|(&c, &t)| (c, t)).collect()
    }

    fn record_accuracy(&self, client: u32, tally: Tally, cx: &mut Cx<'_>) {
        let row = ClientAccuracyRow {
            round: self.round.number,
            client,
            group: self.group(client),
            correct: tally.correct as u32,
            count: tally.count as u32,
        };
        cx.record(Record::Accuracy(Box::new(row)));
    }

    /// A line for each width, where there are several.
    fn record_sizes(&self, scores: &Scores, cx: &mut Cx<'_>) {
        let sizes = &self.shared.sizes;
        if sizes.levels().len() == 1 {
            return;
        }
        let counts = sizes.counts(self.shared.plan.population());
        for (number, (level, clients)) in sizes.levels().iter().zip(counts).enumerate() {
            let own: Vec<f64> = scores
                .clients
                .iter()
                .filter(|(client, _)| sizes.level_of(*client) == number)
                .map(|(_, tally)| tally.accuracy())
                .collect();
            let central = scores.levels.get(number).copied().flatten();
            let row = SizeRow {
                round: self.round.number,
                size: level.ratio,
                clients,
                accuracy: central.map(|tally| tally.accuracy()),
                loss: central.map(|tally| tally.mean_loss()),
                client_mean: (!own.is_empty()).then(|| own.iter().sum::<f64>() / own.len() as f64),
            };
            cx.record(Record::Size(Box::new(row)));
        }
    }

    fn conclude(
        &mut self,
        central: Option<Tally>,
        attack: Option<Tally>,
        clients: Vec<f64>,
        cx: &mut Cx<'_>,
    ) {
        let spread = super::Spread::of(clients);
        let row = RoundRow {
            attack_success: attack.map(|tally| tally.accuracy()),
            ..self.round_row(central, spread, cx)
        };
        let goal = self.shared.plan.schedule.stop_at_accuracy;
        if let (Some(goal), Some(accuracy)) = (goal, row.accuracy) {
            self.stopping |= accuracy >= goal.get();
        }
        cx.record(Record::Round(Box::new(row)));
        self.next_round(cx);
    }

    fn round_row(
        &self,
        central: Option<Tally>,
        spread: Option<super::Spread>,
        cx: &Cx<'_>,
    ) -> RoundRow {
        RoundRow {
            epsilon: self.half.epsilon(),
            ..self.round.row(cx.now(), central, spread)
        }
    }

    // Finished work.

    fn done(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) {
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
