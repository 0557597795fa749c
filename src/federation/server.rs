//! The server, which holds rounds according to the schedule.
//!
//! The server is a state machine over stages: it does the method's own work, collects reports, finishes
//! its virtual computations, and evaluates. It takes in each report when the report arrives, at the
//! report's cost on the virtual server; reports that arrive faster than the virtual server computes
//! queue.
//!
//! - `work`: the method's own work;
//! - `invite`: which clients a round asks, and waiting for enough of them to be present;
//! - `reports`: what clients answer;
//! - `evaluate`: the end of a round;
//! - `one_by_one`: clients that are asked one by one instead of in rounds;
//! - `crash`: the server's own checkpoints, and how it goes on after a crash;
//! - `ending`: how a run ends;
//! - `timer`: the numbers of its timers;
//! - `state`: the server in a checkpoint.

mod crash;
mod ending;
mod evaluate;
mod invite;
mod one_by_one;
mod reports;
mod state;
mod timer;
mod work;

use super::evaluation::Marks;
use super::job::Output;
use super::message::Message;
use super::outstanding::Outstanding;
use super::query::Queried;
use super::round::Round;
use super::spread::Own;
use super::world::{Federation, Shared};
use crate::method::{MethodError, Payload, Phase, ServerHalf};
use crate::model::Statistics;
use crate::observe::rows::Outcome;
use crate::quantity::{Span, VirtualTime};
use crate::select::Policy;
use crate::sim::{Context, Input, JobId};
use crash::Kept;
use one_by_one::ActiveClients;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// The server.
pub struct Server {
    shared: Arc<Shared>,
    /// The method's server half, with everything that is around it.
    half: Box<dyn ServerHalf>,
    /// Chooses the clients of a round.
    policy: Box<dyn Policy>,
    stage: Stage,
    /// The record of the present round.
    round: Round,
    outstanding: Outstanding,
    /// When the virtual server will have done all it was given.
    busy_until: VirtualTime,
    /// When the last job of the method's own work ends, or ended: a job that begins then needs no
    /// start-up. `None` before the first job, and after a crash.
    ready_until: Option<VirtualTime>,
    /// How each client's own model did before and after its latest local training whose report was used.
    own: BTreeMap<u32, Own>,
    /// Whether the run ends after the present round.
    stopping: bool,
    /// The server's own checkpoints, the latest last.
    kept: VecDeque<Kept>,
    /// How many checkpoints of its own the server has written.
    written: u64,
    /// The round that the server was restored to after a crash, until the next round has begun.
    restored: Option<u32>,
    /// Jobs that were under way when the server crashed; their outcomes are not used.
    forgotten: BTreeSet<JobId>,
    /// How many timers the server has set for its crashes.
    timers: u64,
    /// Which clients train, where clients are asked one by one.
    active: Option<Box<ActiveClients>>,
    /// The statistics that were measured last.
    queried: Queried,
    /// Whether [`Server::keep_busy`] is running; always false between two events.
    keeping_busy: bool,
}

/// What the server is doing.
enum Stage {
    /// The method's own work is under way.
    Working {
        phase: Phase,
        jobs: Vec<(JobId, Option<Payload>)>,
    },
    /// Waiting for absent clients, so that enough clients can be asked.
    Waiting,
    /// Waiting for reports.
    Collecting,
    /// Waiting for the virtual server to finish its arithmetic.
    Closing,
    /// Waiting for the pieces of the queries of statistics that come before an evaluation.
    Querying {
        pieces: Vec<(JobId, (usize, Option<Statistics>))>,
    },
    /// Waiting for the pieces of an evaluation.
    Evaluating { pieces: Vec<(JobId, Option<Marks>)> },
    /// The run is over.
    Finished,
    /// Down, until the timer at which the server comes up.
    Down,
}

/// `what` and the first eight of `all`, with the number of the others.
fn named(what: &str, all: &[String]) -> String {
    let shown = all.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(8) {
        0 => format!("{what} {shown}"),
        more => format!("{what} {shown} and {more} more"),
    }
}

impl Server {
    /// A server before its first event.
    pub(super) fn new(shared: Arc<Shared>, half: Box<dyn ServerHalf>) -> Self {
        let active = shared.plan.schedule.waiting.map(|_| Box::default());
        Self {
            policy: shared.plan.selection.selection().policy(),
            shared,
            half,
            stage: Stage::Finished,
            round: Round::open(0, VirtualTime::ZERO, 0),
            outstanding: Outstanding::default(),
            busy_until: VirtualTime::ZERO,
            ready_until: None,
            own: BTreeMap::new(),
            stopping: false,
            kept: VecDeque::new(),
            written: 0,
            restored: None,
            forgotten: BTreeSet::new(),
            timers: 0,
            active,
            queried: Queried::default(),
            keeping_busy: false,
        }
    }

    /// What the server waits for, in words, for the error of a run that cannot go on; `None` if it
    /// waits for nothing.
    pub(super) fn waiting_for(&self) -> Option<String> {
        let round = self.round.number;
        match &self.stage {
            Stage::Working { phase, .. } => Some(format!("its own work {phase}")),
            Stage::Collecting if self.active.is_some() => Some(self.waits_for_at_work()),
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
            Stage::Querying { .. } => Some(format!("the statistics of round {round}")),
            Stage::Evaluating { .. } => Some(format!("the evaluation of round {round}")),
            Stage::Down => Some("the end of its own crash, which does not come".into()),
            Stage::Finished => None,
        }
    }

    /// Handles an event of the server.
    pub(super) fn on(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                if let Some(span) = self.shared.plan.schedule.stop_at_time {
                    cx.timer(span, timer::STOP);
                }
                self.await_crash(cx);
                self.begin(Phase::Setup, cx);
            }
            // A server that is down hears nothing, and a message that arrives as the server comes up was
            // meant for the server before the crash. A server that has finished has recorded all tasks
            // without an answer.
            Input::Message { from, message, .. }
                if matches!(self.stage, Stage::Down | Stage::Finished) =>
            {
                self.discard(from, &message, cx);
            }
            Input::Message { from, message, .. } => match message {
                Message::Report(report) => self.receive(from, *report, cx),
                Message::Refusal(refusal) => self.refused(from, &refusal, cx),
                // Nobody sends a task to the server, and models between neighbours and notices are for
                // federations without a server.
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

    /// Opens the next round, or ends the run after the last.
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

    /// Opens the record of a round that begins now.
    fn open(&mut self, number: u32, target: u32, cx: &Cx<'_>) {
        // Where clients are asked one by one, the reports of an abandoned round stay in the buffer and
        // count for the next round.
        let left = self.round.outcome == Outcome::Abandoned;
        let reported = if left { self.round.reported } else { 0 };
        let round = Round::open(number, cx.now(), target);
        self.round = match &mut self.active {
            Some(active) => {
                active.turn(number, left, reported);
                round.one_by_one()
            }
            None => round,
        };
        let drops = self.shared.plan.schedule.on_deadline.is_drop();
        self.round.partial = (!drops).then_some(0);
    }

    /// What a client is sent. Where all clients of a width are sent the same, `alike` has what was sent to
    /// each width.
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

    /// Acts on a timer.
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

    /// How many reports a round needs; a round with fewer is abandoned.
    fn needed(&self) -> u32 {
        let least = self.shared.plan.schedule.least_reports;
        least.max(self.half.least_reports()).max(1)
    }

    /// Closes the round: no report of this round is used after this.
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
        let until = self.occupy(self.half.round_flops(), Span::ZERO, cx);
        if until > cx.now() {
            self.stage = Stage::Closing;
            cx.timer(until.since(cx.now()), timer::closing(number));
        } else {
            self.begin(Phase::AfterRound(number), cx);
        }
    }

    /// The method's half, and the number of rounds that are in its model.
    pub(super) fn half(&self) -> (&dyn ServerHalf, u32) {
        let number = self.round.number;
        let round = match self.stage {
            Stage::Finished | Stage::Querying { .. } | Stage::Evaluating { .. } => number,
            Stage::Working {
                phase: Phase::AfterRound(_) | Phase::Finish,
                ..
            } => number,
            _ => number.saturating_sub(1),
        };
        (self.half.as_ref(), round)
    }

    /// The statistics that were measured last.
    pub(super) const fn queried(&self) -> &Queried {
        &self.queried
    }

    /// Whether edge servers answer to the server, and not clients.
    fn is_above_servers(&self) -> bool {
        !self.shared.plan.hierarchy.is_empty()
    }
}
