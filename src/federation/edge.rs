//! An edge server: a server between the clients and the server at the top.
//!
//! To the server above, an edge server is a client: it gets a task with a model and reports a model. To
//! its members (the clients or edge servers below it) it is a server: for each task it holds some number
//! of rounds with its members, from the model that it was sent, and reports the last mean, with the
//! number of samples in it (hierarchical FedAvg: Liu, Zhang, Song and Letaief, "Client-Edge-Cloud
//! Hierarchical Federated Learning", ICC 2020, algorithm 1).
//!
//! The rounds of an edge server are numbered on from task to task, so that its members never see one
//! number twice. With two rounds a task, for example, the third task begins with round 5.
//!
//! - `relay`: the task of the server above;
//! - `reports`: what the members answer;
//! - `state`: the edge server in a checkpoint.

mod relay;
mod reports;
mod state;

use super::candidates::Candidates;
use super::hierarchy::{Below, Place, Tier};
use super::invitation;
use super::message::{Message, Task};
use super::outstanding::{Asked, Outstanding};
use super::record::Record;
use super::round::Round;
use super::world::{Federation, Shared};
use crate::method::{MethodError, Phase, ServerHalf};
use crate::observe::rows::{Outcome, ServerRow};
use crate::quantity::{Flops, Span, VirtualTime};
use crate::select::{Ask, Policy};
use crate::sim::{mix_words, Context, Input};
use crate::snapshot::snapshot_enum;
use relay::RelayTask;
use std::collections::BTreeMap;
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// An edge server.
pub struct Edge {
    shared: Arc<Shared>,
    /// Its number among the members of the federation.
    member: u32,
    /// Its tier, and its number there.
    place: Place,
    /// Takes the mean of the members' models, inside the layers that the scenario has.
    half: Box<dyn ServerHalf>,
    policy: Box<dyn Policy>,
    /// The task of the server above that it is working at.
    relay: Option<RelayTask>,
    stage: Stage,
    /// The record of its present round.
    round: Round,
    outstanding: Outstanding,
    /// When the virtual server will have done all it was given.
    busy_until: VirtualTime,
}

/// What an edge server is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing, since it has no task.
    Idle,
    /// Waiting for reports.
    Collecting,
    /// Waiting for its virtual server to finish its arithmetic.
    Closing,
}

snapshot_enum!(Stage { 0 => Idle, 1 => Collecting, 2 => Closing });

/// Timers for the end of its arithmetic have this bit; timers of deadlines have not.
const CLOSING: u64 = 1 << 32;

impl Edge {
    /// An edge server without a task.
    pub(super) fn new(shared: Arc<Shared>, member: u32, place: Place) -> Result<Self, MethodError> {
        Ok(Self {
            half: shared.edge_half()?,
            policy: shared.plan.selection.selection().policy(),
            member,
            place,
            relay: None,
            stage: Stage::Idle,
            round: Round::open(0, VirtualTime::ZERO, 0),
            outstanding: Outstanding::default(),
            busy_until: VirtualTime::ZERO,
            shared,
        })
    }

    /// What the edge server waits for, in words, for the error of a run that cannot go on; `None` if it
    /// waits for nothing.
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

    /// Handles an event of the edge server.
    pub(super) fn on(&mut self, input: Input<Message, super::job::Output>, cx: &mut Cx<'_>) {
        match input {
            Input::Message { from, message, .. } => match message {
                Message::Task(task) => self.begin(from, *task, cx),
                Message::Report(report) => self.receive(from, *report, cx),
                Message::Refusal(refusal) => self.refused(from, &refusal, cx),
                // These are for federations without a server.
                Message::Model(_) | Message::Notice(_) => {}
            },
            Input::Timer(token) => self.timed(token, cx),
            // An edge server submits no jobs, and begins with its first task.
            Input::Start | Input::Done { .. } => {}
        }
    }

    /// Its tier.
    fn tier(&self) -> &Tier {
        &self.shared.plan.hierarchy[self.place.tier]
    }

    /// Its members.
    fn below(&self) -> Below<'_> {
        self.shared.plan.hierarchy().below(self.place)
    }

    /// Whether its members are clients, and not edge servers.
    fn has_clients(&self) -> bool {
        self.place.tier + 1 == self.shared.plan.hierarchy.len()
    }

    /// Opens a round and asks members.
    fn open(&mut self, cx: &mut Cx<'_>) {
        let Some(relay) = &self.relay else { return };
        let shared = Arc::clone(&self.shared);
        let (rounds, deadline) = (self.tier().rounds.max(1), self.tier().deadline);
        let before = relay.round.saturating_sub(1).saturating_mul(rounds);
        let number = before.saturating_add(relay.held + 1);
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
        // Before a round, the half only forgets the last round; it has no jobs.
        if let Err(error) = self.half.step(Phase::BeforeRound(number), Vec::new()) {
            return self.decline(error.to_string(), cx);
        }
        self.half.cohort(number, &chosen);
        // Where nothing is computed, all members of a width are sent the same task.
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
                // Clients of servers between train to the end.
                ends: None,
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
                invitation::record_asked(&shared, (member, number), asked, bytes, cx);
            }
            cx.send(Federation::node_of(member), Message::Task(Box::new(task)));
        }
        self.stage = Stage::Collecting;
        if self.round.is_complete() {
            // Nobody was present to be asked.
            return self.close(cx);
        }
        if let Some(deadline) = deadline {
            cx.timer(deadline, u64::from(number));
        }
    }

    /// Chooses clients for a round that wants `target` reports.
    fn choose(&mut self, target: u32, deadline: Option<Span>, cx: &Cx<'_>) -> Vec<u32> {
        let shared = Arc::clone(&self.shared);
        let (plan, below) = (&shared.plan, shared.plan.hierarchy().below(self.place));
        let number = self.round.number;
        let wanted = libm::ceil(f64::from(target) * plan.schedule.over_selection) as u32;
        let chosen = self.policy.choose(&Ask {
            // The policies of two edge servers draw from different streams.
            seed: mix_words(&[plan.seed, u64::from(self.member)]),
            round: number,
            wanted,
            population: &Candidates {
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

    /// Closes the round: no report of this round is used after this.
    fn close(&mut self, cx: &mut Cx<'_>) {
        let number = self.round.number;
        if self.round.reported < self.half.least_reports() || self.half.short().is_some() {
            self.half.abandon();
            self.record_round(Outcome::Abandoned, cx);
            return self.next(cx);
        }
        if let Err(error) = self.half.close(number) {
            return self.decline(error.to_string(), cx);
        }
        let until = self.occupy(self.half.round_flops(), cx);
        if until > cx.now() {
            self.stage = Stage::Closing;
            cx.timer(until.since(cx.now()), CLOSING | u64::from(number));
        } else {
            self.settle(cx);
        }
    }

    /// Ends the round with the mean of its reports.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        let number = self.round.number;
        match self.half.step(Phase::AfterRound(number), Vec::new()) {
            Ok(jobs) if jobs.is_empty() => {}
            Ok(_) => {
                return self.decline("it has no device workers for jobs of its own".into(), cx)
            }
            Err(error) => return self.decline(error.to_string(), cx),
        }
        self.record_round(Outcome::Completed, cx);
        self.next(cx);
    }

    /// Goes on with the next round for the task or, after the last, with the report.
    fn next(&mut self, cx: &mut Cx<'_>) {
        let rounds = self.tier().rounds.max(1);
        let Some(relay) = &mut self.relay else {
            return;
        };
        relay.held += 1;
        if relay.held < rounds {
            self.open(cx);
        } else {
            self.report(cx);
        }
    }

    /// Acts on a timer.
    fn timed(&mut self, token: u64, cx: &mut Cx<'_>) {
        let number = u64::from(self.round.number);
        match self.stage {
            Stage::Collecting if token == number => self.close(cx),
            Stage::Closing if token == CLOSING | number => self.settle(cx),
            // The timer of a round that has moved on.
            _ => {}
        }
    }

    /// Keeps the virtual server busy with `work` operations after all it was given before. Returns when
    /// it will be done.
    fn occupy(&mut self, work: Flops, cx: &Cx<'_>) -> VirtualTime {
        let span = self.tier().device.speed.time_for(work);
        self.round.server_flops = Flops(self.round.server_flops.0.saturating_add(work.0));
        let start = self.busy_until.max(cx.now());
        self.busy_until = start + span;
        self.round.server_compute = self.round.server_compute + span;
        if let Some(relay) = &mut self.relay {
            relay.compute = relay.compute + span;
        }
        self.busy_until
    }

    /// Records the line of the round that is over.
    fn record_round(&mut self, outcome: Outcome, cx: &mut Cx<'_>) {
        let Some(relay) = &self.relay else { return };
        let row = self.round.row(cx.now(), None);
        let row = ServerRow {
            tier: Arc::clone(&self.tier().name),
            server: self.place.index,
            round: row.round,
            above_round: relay.round,
            started: row.started,
            ended: row.ended,
            invited: row.invited,
            reported: row.reported,
            late_arrivals: row.late_arrivals,
            refused: row.refused,
            unanswered: row.unanswered,
            available: row.available,
            train_loss: row.train_loss,
            samples: relay.gain.as_ref().map_or(0, |gain| gain.samples),
            bytes_down: row.bytes_down,
            bytes_up: row.bytes_up,
            server_compute: row.server_compute,
            outcome,
            rejected: row.rejected,
            server_flops: row.server_flops,
            server_energy: self.tier().device.power.energy(row.server_compute),
        };
        cx.record(Record::Server(Box::new(row)));
        self.round.written();
    }
}
