//! A server between the clients and the server at the top.
//!
//! To the server above it is what a client is: it gets a task with a model and reports a model. What
//! it does in between is what a server does: it holds rounds with those below it, so many for each
//! task, from the model that it was sent, and reports the last mean, with the samples behind it
//! (hierarchical FedAvg: Liu, Zhang, Song and Letaief, "Client-Edge-Cloud Hierarchical Federated
//! Learning", ICC 2020, algorithm 1).
//!
//! Its rounds are numbered through over all tasks: those below it never hear a number twice. `reports`
//! is what comes back from below; `state` what a checkpoint has of it.

mod reports;
mod state;

use super::books;
use super::crowd::Gathering;
use super::hierarchy::{Below, Place, Tier};
use super::message::{FromBelow, Message, Refusal, Report, Task, Telemetry};
use super::outstanding::{Asked, Outstanding};
use super::record::Record;
use super::round::Round;
use super::world::{Federation, Shared};
use crate::learn::Cost;
use crate::method::{MethodError, Metrics, Payload, Phase, ServerHalf};
use crate::observe::rows::{Outcome, ServerRow};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::select::{Ask, Policy};
use crate::sim::{mix_words, Context, Input, NodeId};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use std::collections::BTreeMap;
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// One server between, live.
pub struct Edge {
    shared: Arc<Shared>,
    member: u32,
    place: Place,
    /// Takes means, behind the layers that the scenario has.
    half: Box<dyn ServerHalf>,
    policy: Box<dyn Policy>,
    /// What it is at for the server above.
    errand: Option<Errand>,
    stage: Stage,
    round: Round,
    outstanding: Outstanding,
    /// When the virtual server has done all it was given.
    busy_until: VirtualTime,
}

/// A task of the server above.
struct Errand {
    from: NodeId,
    round: u32,
    received: VirtualTime,
    bytes_down: Bytes,
    /// The size of the model, for a report that nobody computed.
    model: Bytes,
    /// Rounds held for it.
    held: u32,
    /// What came of them.
    gain: Option<Gain>,
    compute: Span,
    /// What was heard of clients, for those who observe.
    below: FromBelow,
}

/// What a round with reports leaves.
struct Gain {
    samples: u32,
    loss: Option<f64>,
    /// Whether some report was really made.
    real: bool,
}

/// What it is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing: no task.
    Idle,
    /// Waiting for reports.
    Collecting,
    /// Waiting for its own arithmetic.
    Closing,
}

snapshot_struct!(Errand {
    from,
    round,
    received,
    bytes_down,
    model,
    held,
    gain,
    compute,
    below,
});
snapshot_struct!(Gain {
    samples,
    loss,
    real
});
snapshot_enum!(Stage { 0 => Idle, 1 => Collecting, 2 => Closing });

/// Timers for the end of its arithmetic have this bit; those of deadlines have not.
const CLOSING: u64 = 1 << 32;

impl Edge {
    pub(super) fn new(shared: Arc<Shared>, member: u32, place: Place) -> Result<Self, MethodError> {
        Ok(Self {
            half: shared.edge_half()?,
            policy: shared.plan.selection.selection().policy(),
            member,
            place,
            errand: None,
            stage: Stage::Idle,
            round: Round::open(0, VirtualTime::ZERO, 0),
            outstanding: Outstanding::default(),
            busy_until: VirtualTime::ZERO,
            shared,
        })
    }

    pub(super) fn waiting_for(&self) -> Option<String> {
        let round = self.round.number;
        match self.stage {
            Stage::Idle => None,
            Stage::Collecting => {
                let unheard: Vec<String> = self.round.unheard().map(|m| m.to_string()).collect();
                let deadline = match self.tier().deadline {
                    Some(_) => "",
                    None => {
                        ", and it has no deadline (set one in hierarchy, or a reliable transport)"
                    }
                };
                Some(format!(
                    "reports of its round {round} from members {}{deadline}",
                    unheard.join(", ")
                ))
            }
            Stage::Closing => Some(format!("its arithmetic for its round {round}")),
        }
    }

    pub(super) fn on(&mut self, input: Input<Message, super::job::Output>, cx: &mut Cx<'_>) {
        match input {
            Input::Message { from, message, .. } => match message {
                Message::Task(task) => self.begin(from, *task, cx),
                Message::Report(report) => self.receive(from, *report, cx),
                Message::Refusal(refusal) => self.refused(from, &refusal, cx),
                // Of federations without a server.
                Message::Model(_) | Message::Notice(_) => {}
            },
            Input::Timer(token) => self.timed(token, cx),
            // It submits no work and starts with its first task.
            Input::Start | Input::Done { .. } => {}
        }
    }

    fn tier(&self) -> &Tier {
        &self.shared.plan.hierarchy[self.place.tier]
    }

    fn below(&self) -> Below<'_> {
        self.shared.plan.hierarchy().below(self.place)
    }

    /// Whether clients answer to it, and not servers.
    fn has_clients(&self) -> bool {
        self.place.tier + 1 == self.shared.plan.hierarchy.len()
    }

    // Tasks of the server above.

    /// Starts on a task; one from a later round takes the place of what is under way.
    fn begin(&mut self, from: NodeId, task: Task, cx: &mut Cx<'_>) {
        let busy = self.errand.as_ref();
        if busy.is_some_and(|errand| errand.round >= task.round) {
            return;
        }
        if self.stage != Stage::Idle {
            self.half.abandon();
            self.told(Outcome::Stopped, cx);
            self.stage = Stage::Idle;
        }
        let bytes_down = task.wire_bytes();
        let errand = Errand {
            from,
            round: task.round,
            received: cx.now(),
            bytes_down,
            model: task.payload.wire_bytes(),
            held: 0,
            gain: None,
            compute: Span::ZERO,
            below: FromBelow::default(),
        };
        self.errand = Some(errand);
        let adopted = match task.payload {
            Payload::Model(model) => self.half.adopt(model),
            other => Err(MethodError::payload("a model", &other)),
        };
        match adopted {
            Ok(()) => self.open(cx),
            Err(error) => self.decline(format!("cannot begin: {error}"), cx),
        }
    }

    /// Tells the server above that there is nothing to report.
    fn decline(&mut self, reason: String, cx: &mut Cx<'_>) {
        self.stage = Stage::Idle;
        let Some(errand) = self.errand.take() else {
            return;
        };
        let refusal = Refusal {
            round: errand.round,
            reason: reason.into(),
            received: errand.received,
            diverged: errand.below.diverged,
        };
        cx.send(errand.from, Message::Refusal(Box::new(refusal)));
    }

    /// Reports what the rounds have come to.
    fn report(&mut self, cx: &mut Cx<'_>) {
        let Some(errand) = &mut self.errand else {
            return;
        };
        let Some(gain) = errand.gain.take() else {
            return self.decline("nobody below it reported".into(), cx);
        };
        let payload = match self.half.global() {
            Some(model) if gain.real => Payload::Model(model.clone()),
            _ => Payload::Blank(errand.model),
        };
        self.stage = Stage::Idle;
        let Some(errand) = self.errand.take() else {
            return;
        };
        let device = self.tier().device;
        let report = Report {
            round: errand.round,
            samples: gain.samples,
            payload,
            telemetry: Telemetry {
                task: errand.round,
                received: errand.received,
                trained: cx.now(),
                compute: errand.compute,
                cost: Cost::default(),
                energy: device.power.energy(errand.compute),
                bytes_down: errand.bytes_down,
                metrics: Metrics {
                    loss: gain.loss,
                    ..Metrics::default()
                },
            },
            below: errand.below,
        };
        cx.send(errand.from, Message::Report(Box::new(report)));
    }

    // Its own rounds.

    /// Asks those below it.
    fn open(&mut self, cx: &mut Cx<'_>) {
        let Some(errand) = &self.errand else { return };
        let shared = Arc::clone(&self.shared);
        let (rounds, deadline) = (self.tier().rounds.max(1), self.tier().deadline);
        let before = errand.round.saturating_sub(1).saturating_mul(rounds);
        let number = before.saturating_add(errand.held + 1);
        let (below, place) = (shared.plan.hierarchy().below(self.place), self.place);
        let target = shared
            .plan
            .hierarchy()
            .wanted(place, shared.plan.schedule.cohort);
        self.round = Round::open(number, cx.now(), target).after(&self.round);
        let chosen = match self.has_clients() {
            true => self.choose(target, deadline, cx),
            false => below.members().collect(),
        };
        // The half before a round has nothing to do but to forget the last one.
        if let Err(error) = self.half.step(Phase::BeforeRound(number), Vec::new()) {
            return self.decline(error.to_string(), cx);
        }
        self.half.cohort(number, &chosen);
        // Where nothing is computed all are sent the same.
        let mut alike = shared.plan.compute.is_modelled().then(BTreeMap::new);
        for member in chosen {
            let level = shared.sizes.level_of(member);
            let known = alike.as_ref().and_then(|alike| alike.get(&level).cloned());
            let payload = match known.map_or_else(|| self.half.task(member, number), Ok) {
                Ok(payload) => payload,
                Err(error) => return self.decline(format!("task for {member}: {error}"), cx),
            };
            if let Some(alike) = &mut alike {
                alike.insert(level, payload.clone());
            }
            let task = Task {
                round: number,
                payload,
            };
            self.round.invite(member, task.wire_bytes());
            let asked = Asked {
                round: number,
                at: cx.now(),
            };
            if let Some(lost) = self.outstanding.ask(member, asked) {
                self.record_lost(member, lost, cx);
            }
            if self.has_clients() {
                let bytes = Some(task.wire_bytes());
                books::tell_asked(&shared, (member, number), asked, bytes, cx);
            }
            cx.send(Federation::node_of(member), Message::Task(Box::new(task)));
        }
        self.stage = Stage::Collecting;
        if self.round.is_complete() {
            // Nobody was there to be asked.
            return self.close(cx);
        }
        if let Some(deadline) = deadline {
            cx.timer(deadline, u64::from(number));
        }
    }

    /// Clients for a round that wants `target` reports.
    fn choose(&mut self, target: u32, deadline: Option<Span>, cx: &Cx<'_>) -> Vec<u32> {
        let shared = Arc::clone(&self.shared);
        let (plan, below) = (&shared.plan, shared.plan.hierarchy().below(self.place));
        let number = self.round.number;
        let wanted = libm::ceil(f64::from(target) * plan.schedule.over_selection) as u32;
        let chosen = self.policy.choose(&Ask {
            // Policies of two servers draw apart.
            seed: mix_words(&[plan.seed, u64::from(self.member)]),
            round: number,
            wanted,
            population: &Gathering {
                shared: &self.shared,
                server: Federation::node_of(self.member),
                below,
                round: number,
                now: cx.now(),
                deadline,
            },
        });
        if self.shared.presence.is_any() {
            let (presence, now) = (&self.shared.presence, cx.now());
            let there = below
                .members()
                .filter(|&c| presence.is_there(c, number, now));
            self.round.available = Some(there.count() as u32);
        }
        chosen
            .into_iter()
            .map(|place| below.member(place))
            .collect()
    }

    /// No report of this round is taken any more.
    fn close(&mut self, cx: &mut Cx<'_>) {
        let number = self.round.number;
        if self.round.reported < self.half.least_reports() || self.half.short().is_some() {
            self.half.abandon();
            self.told(Outcome::Abandoned, cx);
            return self.next(cx);
        }
        if let Err(error) = self.half.close(number) {
            return self.decline(error.to_string(), cx);
        }
        let until = self.occupy(
            self.tier().device.speed.time_for(self.half.round_flops()),
            cx,
        );
        if until > cx.now() {
            self.stage = Stage::Closing;
            cx.timer(until.since(cx.now()), CLOSING | u64::from(number));
        } else {
            self.settle(cx);
        }
    }

    /// The mean is made.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        let number = self.round.number;
        match self.half.step(Phase::AfterRound(number), Vec::new()) {
            Ok(jobs) if jobs.is_empty() => {}
            Ok(_) => {
                return self.decline("it has no device workers for jobs of its own".into(), cx)
            }
            Err(error) => return self.decline(error.to_string(), cx),
        }
        self.told(Outcome::Completed, cx);
        self.next(cx);
    }

    /// The next round for the task there is, or its report.
    fn next(&mut self, cx: &mut Cx<'_>) {
        let rounds = self.tier().rounds.max(1);
        let Some(errand) = &mut self.errand else {
            return;
        };
        errand.held += 1;
        if errand.held < rounds {
            self.open(cx);
        } else {
            self.report(cx);
        }
    }

    fn timed(&mut self, token: u64, cx: &mut Cx<'_>) {
        let number = u64::from(self.round.number);
        match self.stage {
            Stage::Collecting if token == number => self.close(cx),
            Stage::Closing if token == CLOSING | number => self.settle(cx),
            // The timer of a round that has moved on.
            _ => {}
        }
    }

    /// Keeps the virtual server busy for `span` after what it already has; when it will be done.
    fn occupy(&mut self, span: Span, cx: &Cx<'_>) -> VirtualTime {
        let start = self.busy_until.max(cx.now());
        self.busy_until = start + span;
        self.round.server_compute = self.round.server_compute + span;
        if let Some(errand) = &mut self.errand {
            errand.compute = errand.compute + span;
        }
        self.busy_until
    }

    /// Writes down the round that is over.
    fn told(&mut self, outcome: Outcome, cx: &mut Cx<'_>) {
        let Some(errand) = &self.errand else { return };
        let row = self.round.row(cx.now(), None);
        let row = ServerRow {
            tier: Arc::clone(&self.tier().name),
            server: self.place.index,
            round: row.round,
            above_round: errand.round,
            started: row.started,
            ended: row.ended,
            invited: row.invited,
            reported: row.reported,
            late_arrivals: row.late_arrivals,
            refused: row.refused,
            unanswered: row.unanswered,
            available: row.available,
            train_loss: row.train_loss,
            samples: errand.gain.as_ref().map_or(0, |gain| gain.samples),
            bytes_down: row.bytes_down,
            bytes_up: row.bytes_up,
            server_compute: row.server_compute,
            outcome,
            rejected: row.rejected,
        };
        cx.record(Record::Server(Box::new(row)));
        self.round.written();
    }
}
