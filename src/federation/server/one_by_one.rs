//! A server that asks clients one by one: FedBuff, FedAsync and FedAT.
//!
//! As many clients train at any time as the scenario says. Whenever a client has reported, declined or
//! been given up, another client is asked, with the model of that moment. A *round* is the time from one
//! server step to the next; a step has the stages of any round. Reports that arrive while the server is
//! busy with a step are held until the step is done.
//!
//! Messages carry the number of a *task* where they otherwise carry the number of a round. A task has
//! the number of the open round or, if its client was asked in this round before, one more than the
//! client's last task. For example, a client that is asked twice in round 7 gets the tasks 7 and 8. So
//! each task of a client has a higher number than the tasks before, as in a federation that holds rounds;
//! clients cannot tell the difference, and no two tasks of a client share a random stream.
//!
//! - `active`: which clients train at the moment.

mod active;

pub(super) use active::ActiveClients;

use super::super::candidates::Candidates;
use super::super::hierarchy::Below;
use super::super::invitation;
use super::super::message::{Message, Report, Task};
use super::super::outstanding::Asked;
use super::super::waiting::Waiting;
use super::super::world::{Bug, Federation};
use super::{named, timer, Cx, Server, Stage};
use crate::observe::rows::Outcome;
use crate::quantity::{Span, VirtualTime};
use crate::select::{one_of_the_rest, Ask, Expected, Population};
use crate::sim::mix_words;
use crate::sim::rng::{below as index, stream, Purpose};
use active::{ActiveTask, Held};
use rand::Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// The most times that a round looks whether an absent client is back.
const MOST_LOOKS: u32 = 100_000;

/// The most clients that one draw looks at to find one that is present. Where fewer than one client in a
/// thousand is present, a place may stay free until the server's next event.
const LOOKED_AT: u32 = 4_000;

/// This bit keeps the streams of draws one by one apart from the streams of rounds.
const ONE_BY_ONE: u64 = 1 << 63;

/// The clients that are not training at the moment.
struct Free<'a> {
    candidates: Candidates<'a>,
    tasks: &'a BTreeMap<u32, ActiveTask>,
}

impl Population for Free<'_> {
    fn size(&self) -> u32 {
        self.candidates.size()
    }

    fn is_there(&self, client: u32, draw: u64) -> bool {
        !self.tasks.contains_key(&client) && self.candidates.is_there(client, draw)
    }

    fn samples(&self, client: u32) -> u32 {
        self.candidates.samples(client)
    }

    fn expected(&self, client: u32) -> Expected {
        self.candidates.expected(client)
    }

    fn groups(&self) -> Vec<Range<u32>> {
        self.candidates.groups()
    }

    fn deadline(&self) -> Option<Span> {
        None
    }
}

impl Server {
    /// Which clients the server waits for, in words.
    pub(super) fn waits_for_at_work(&self) -> String {
        let at_work = self.active.iter().flat_map(|active| active.clients());
        let all: Vec<String> = at_work.map(|client| client.to_string()).collect();
        format!(
            "{}, and there is no timeout (set schedule.waiting.timeout, or a reliable transport)",
            named("reports from clients", &all)
        )
    }

    /// How the server waits, where it does not hold rounds.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.shared.plan.schedule.waiting
    }

    /// Holds a report back if the server is busy with a step; otherwise returns it.
    pub(super) fn holds_back(
        &mut self,
        client: u32,
        report: Report,
        now: VirtualTime,
    ) -> Option<Report> {
        let busy = !matches!(self.stage, Stage::Collecting | Stage::Finished);
        match &mut self.active {
            Some(active) if busy => {
                active.held.push_back(Held {
                    client,
                    report,
                    at: now,
                });
                None
            }
            _ => Some(report),
        }
    }

    /// Keeps clients busy and takes in held reports, until the server can only wait.
    pub(super) fn keep_busy(&mut self, cx: &mut Cx<'_>) {
        let Some(waiting) = self.waiting() else {
            return;
        };
        // A step that takes no time calls this function again. That call returns at once and the loop goes
        // on, so that the stack does not grow with the number of rounds.
        if std::mem::replace(&mut self.keeping_busy, true) {
            return;
        }
        while matches!(self.stage, Stage::Collecting) {
            let carried = self.active.as_ref().map_or(0, |active| active.carried);
            if self.round.reported > 0 && carried + self.round.reported >= waiting.buffer() {
                self.close(cx);
                continue;
            }
            if let Err(reason) = self.fill(waiting, cx) {
                self.fail(reason, cx);
                continue;
            }
            let Some(active) = &mut self.active else {
                break;
            };
            if let Some(held) = active.held.pop_front() {
                self.hear(held.client, held.report, held.at, cx);
                continue;
            }
            let nobody = active.tasks.is_empty();
            let returns = self.await_return(waiting, cx);
            if (nobody && !returns) || self.round.asked() >= waiting.patience() {
                tracing::info!(round = self.round.number, "round abandoned");
                self.round.outcome = Outcome::Abandoned;
                self.evaluate(cx);
            } else {
                break;
            }
        }
        self.keeping_busy = false;
    }

    /// Asks clients until as many train as the scenario says, or no more are present.
    fn fill(&mut self, waiting: Waiting, cx: &mut Cx<'_>) -> Result<(), String> {
        while let Some(client) = self.draw(waiting, cx.now()) {
            let Some(active) = &mut self.active else {
                break;
            };
            let number = active.number(client, self.round.number);
            let payload = self.half.task(client, number);
            let payload = payload.map_err(|error| format!("task for client {client}: {error}"))?;
            let task = Task {
                round: number,
                payload,
                // There are no rounds that could end.
                ends: None,
            };
            self.round.invite(client, task.wire_bytes());
            let given = ActiveTask {
                task: number,
                round: self.round.number,
                at: cx.now(),
            };
            if self.shared.plan.hierarchy.is_empty() {
                let (round, at) = (given.round, given.at);
                let bytes = Some(task.wire_bytes());
                let asked = Asked { round, at };
                invitation::record_asked(&self.shared, (client, number), asked, bytes, cx);
            }
            active.ask(client, given);
            let timeout = waiting.timeout;
            if let Some(timeout) = timeout.filter(|_| self.shared.bug != Some(Bug::NeverTimeOut)) {
                let timeout = self.shared.faults.server.by_its_clock(cx.now(), timeout);
                cx.timer(timeout, timer::task(client, number));
            }
            cx.send(Federation::node_of(client), Message::Task(Box::new(task)));
        }
        Ok(())
    }

    /// Draws a client for a free place, of those that are present and do not train.
    fn draw(&mut self, waiting: Waiting, now: VirtualTime) -> Option<u32> {
        let active = self.active.as_mut()?;
        if active.tasks.len() as u64 >= u64::from(waiting.concurrency) {
            return None;
        }
        let (shared, round) = (&self.shared, self.round.number);
        let plan = &shared.plan;
        let draws = ONE_BY_ONE | active.draws;
        active.draws += 1;
        if !plan.hierarchy.is_empty() {
            // Edge servers are few, and always present.
            let below = plan.hierarchy().below_top().members();
            let free: Vec<u32> = below.filter(|m| !active.tasks.contains_key(m)).collect();
            let mut rng = stream(plan.seed, 0, Purpose::Selection, draws);
            return free
                .get(index(&mut rng, free.len() as u64) as usize)
                .copied();
        }
        if !plan.selection.selection().is_uniform() {
            let candidates = Candidates {
                shared,
                server: Federation::SERVER,
                below: Below::all(plan.population()),
                round,
                now,
                deadline: None,
            };
            let chosen = self.policy.choose(&Ask {
                // Two choices in one round draw from different streams.
                seed: mix_words(&[plan.seed, draws]),
                round,
                wanted: 1,
                population: &Free {
                    candidates,
                    tasks: &active.tasks,
                },
            });
            return chosen.first().copied();
        };
        // Uniform selection does not look at the whole population.
        let mut rng = stream(plan.seed, 0, Purpose::Selection, draws);
        for _ in 0..LOOKED_AT {
            let client = one_of_the_rest(&mut rng, plan.population(), &active.tasks)?;
            let there = plan.client(client).participation.hit(rng.next_u64());
            if there && shared.presence.is_there(client, round, now) {
                return Some(client);
            }
        }
        None
    }

    /// Sets a timer for the moment at which an absent client may be back, where a place is free that no
    /// present client can take. Returns whether there is such a moment.
    fn await_return(&mut self, waiting: Waiting, cx: &mut Cx<'_>) -> bool {
        let Some(active) = &mut self.active else {
            return false;
        };
        let full = active.tasks.len() as u64 >= u64::from(waiting.concurrency);
        if full || !self.shared.presence.is_any() {
            return false;
        }
        if active.back.is_some() {
            return true;
        }
        let back = self.shared.presence.return_of(1, cx.now());
        let back = back.filter(|back| *back < VirtualTime::NEVER && self.round.waits < MOST_LOOKS);
        let Some(back) = back else {
            return false;
        };
        self.round.waits += 1;
        active.back = Some(back);
        cx.timer(back.since(cx.now()), timer::BACK);
        true
    }

    /// Acts on the timer at which a client may be back.
    pub(super) fn back(&mut self, cx: &mut Cx<'_>) {
        let due = self
            .active
            .as_mut()
            .is_some_and(|active| active.is_due(cx.now()));
        if due {
            self.keep_busy(cx);
        }
    }

    /// Gives up a client that has not answered in time, and asks another in its place.
    pub(super) fn give_up(&mut self, client: u32, task: u32, cx: &mut Cx<'_>) {
        let Some(active) = &mut self.active else {
            return;
        };
        let task_of = active
            .task_of(client)
            .filter(|full| timer::is_of(task, *full));
        let Some(asked) = task_of.and_then(|task| active.end_task(client, task, false)) else {
            return;
        };
        self.half.gone(client);
        self.round.give_up();
        self.record_lost(client, asked, cx);
        self.keep_busy(cx);
    }

    /// Takes in the held reports when the run is over, where they count as late.
    pub(super) fn too_late(&mut self, cx: &mut Cx<'_>) {
        let held = self
            .active
            .as_mut()
            .map(|active| std::mem::take(&mut active.held));
        for held in held.into_iter().flatten() {
            self.hear(held.client, held.report, held.at, cx);
        }
    }
}
