//! The begin of a round: who is asked, once enough are there to be.
//!
//! Where clients may be away a round waits until as many are there as it needs reports: it looks
//! ahead to the moment at which so many can have come back, and looks again then. A client that is
//! there or not for whole rounds is not waited for. A round that has looked often enough, or that
//! nobody will come for, opens with who is there.

use super::super::books;
use super::super::crowd::Gathering;
use super::super::message::{Message, Task};
use super::super::outstanding::Asked;
use super::super::world::{Bug, Federation};
use super::{timer, Cx, Server, Stage};
use crate::quantity::VirtualTime;
use crate::select::Ask;
use std::collections::BTreeMap;
use std::sync::Arc;

/// So often a round looks for clients.
const MOST_LOOKS: u32 = 1_000;

impl Server {
    pub(super) fn invite(&mut self, cx: &mut Cx<'_>) {
        if !self.half.needs_clients() {
            return self.close(cx);
        }
        if self.flow.is_some() {
            self.stage = Stage::Collecting;
            return self.go_round(cx);
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
            population: &Gathering {
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

    /// Asks these.
    fn ask(&mut self, chosen: Vec<u32>, cx: &mut Cx<'_>) {
        let number = self.round.number;
        let shared = Arc::clone(&self.shared);
        let plan = &shared.plan;
        self.half.cohort(number, &chosen);
        // Where nothing is computed all clients of a width are sent the same.
        let mut alike = plan.compute.is_modelled().then(BTreeMap::new);
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
            if !self.is_above_servers() {
                let bytes = Some(task.wire_bytes());
                books::tell_asked(&shared, (client, number), asked, bytes, cx);
            }
            cx.send(Federation::node_of(client), Message::Task(Box::new(task)));
        }
        tracing::debug!(round = number, asked = self.round.asked(), "round opened");
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

    /// Waits until `more` clients can have come back; whether there is anything to wait for.
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
