//! The begin of a round: which clients are asked, once enough are present.
//!
//! Where clients may be absent, a round waits until as many are present as it needs reports. The server
//! looks ahead to the moment at which so many can be back, and looks again at that moment. It does not
//! wait for clients that are present or absent for whole rounds. A round that has looked too often, or
//! for which nobody comes back, opens with the clients that are present.

use super::super::candidates::Candidates;
use super::super::invitation;
use super::super::message::{Message, Task};
use super::super::outstanding::Asked;
use super::super::world::{Bug, Federation};
use super::{timer, Cx, Server, Stage};
use crate::quantity::VirtualTime;
use crate::select::Ask;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The most times that a round looks for clients.
const MOST_LOOKS: u32 = 1_000;

impl Server {
    /// Opens the round: chooses clients and asks them, or waits until enough are present.
    pub(super) fn invite(&mut self, cx: &mut Cx<'_>) {
        if !self.half.needs_clients() {
            return self.close(cx);
        }
        if self.active.is_some() {
            self.stage = Stage::Collecting;
            return self.keep_busy(cx);
        }
        let number = self.round.number;
        let shared = Arc::clone(&self.shared);
        let (plan, presence) = (&shared.plan, &shared.presence);
        let below = plan.hierarchy().below_top();
        if self.is_above_servers() {
            return self.ask(below.members().collect(), cx);
        }
        if presence.is_any() {
            let there = presence.count(number, cx.now());
            if there < self.needed() && self.wait(self.needed() - there, cx) {
                return;
            }
            self.round.available = Some(there);
        }
        let target = plan.schedule.cohort.of(plan.population());
        let wanted = libm::ceil(f64::from(target) * plan.schedule.over_selection) as u32;
        let chosen = self.policy.choose(&Ask {
            seed: plan.seed,
            round: number,
            wanted,
            population: &Candidates {
                shared: &shared,
                server: Federation::SERVER,
                below,
                round: number,
                now: cx.now(),
                deadline: plan.schedule.deadline,
            },
        });
        self.ask(chosen, cx);
    }

    /// Asks these clients.
    fn ask(&mut self, chosen: Vec<u32>, cx: &mut Cx<'_>) {
        let number = self.round.number;
        let shared = Arc::clone(&self.shared);
        let plan = &shared.plan;
        self.half.cohort(number, &chosen);
        // Where nothing is computed, all clients of a width are sent the same task.
        let mut alike = plan.compute.is_modelled().then(BTreeMap::new);
        let schedule = &plan.schedule;
        let ends = schedule.on_deadline.told(cx.now(), schedule.deadline);
        for client in chosen {
            let payload = match self.task(client, alike.as_mut()) {
                Ok(payload) => payload,
                Err(error) => return self.fail(format!("task for client {client}: {error}"), cx),
            };
            let task = Task {
                round: number,
                payload,
                ends,
            };
            self.round.invite(client, task.wire_bytes());
            let asked = Asked {
                round: number,
                at: cx.now(),
            };
            if let Some(lost) = self.outstanding.ask(client, asked) {
                self.record_lost(client, lost, cx);
            }
            if !self.is_above_servers() {
                let bytes = Some(task.wire_bytes());
                invitation::record_asked(&shared, (client, number), asked, bytes, cx);
            }
            cx.send(Federation::node_of(client), Message::Task(Box::new(task)));
        }
        tracing::debug!(round = number, asked = self.round.asked(), "round opened");
        self.stage = Stage::Collecting;
        if self.round.is_complete() {
            // Nobody was present to be asked.
            return self.close(cx);
        }
        let deadline = self.shared.plan.schedule.deadline;
        if let Some(deadline) = deadline.filter(|_| self.shared.bug != Some(Bug::NeverTimeOut)) {
            let deadline = self.shared.faults.server.by_its_clock(cx.now(), deadline);
            cx.timer(deadline, timer::deadline(number));
        }
    }

    /// Waits until `more` clients can be back. Returns whether there is anything to wait for.
    fn wait(&mut self, more: u32, cx: &mut Cx<'_>) -> bool {
        let back = self.shared.presence.return_of(more, cx.now());
        let back = back.filter(|back| *back < VirtualTime::NEVER && self.round.waits < MOST_LOOKS);
        let round = self.round.number;
        let Some(back) = back else {
            tracing::info!(round, more, "too few clients are there, and no more come");
            return false;
        };
        self.round.waits += 1;
        tracing::debug!(round, more, %back, "waiting for clients");
        self.stage = Stage::Waiting;
        cx.timer(back.since(cx.now()), timer::waiting(round));
        true
    }
}
