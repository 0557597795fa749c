//! Servers between the clients and the server, and what cannot go with them.

use super::draft::Draft;
use super::population::MOST_CLIENTS;
use super::{Resolver, CLIENTS};
use crate::fault::{ServerFault, What};
use crate::federation::{Assign, Tier};
use crate::method::ReportKind;
use crate::quantity::Distribution;
use crate::scenario::file::TierFile;
use crate::scenario::Between;
use std::collections::BTreeMap;

/// More rounds than any run holds; bounds the numbers of rounds of rounds.
const MOST_ROUNDS: u64 = 1 << 31;

impl Resolver<'_> {
    /// The servers between.
    pub(super) fn hierarchy(&mut self, typed: Vec<TierFile>, clients: u64) -> Vec<Between> {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let last = typed.len().saturating_sub(1);
        let mut total = clients;
        let mut above = 1;
        let tiers = typed.into_iter().enumerate().map(|(index, tier)| {
            let path = format!("hierarchy[{index}]");
            let name = tier.name.unwrap_or_else(|| match last {
                0 => "edge".into(),
                _ => format!("tier {}", index + 1),
            });
            if let Some(first) = names.insert(name.clone(), index) {
                let message = format!(
                    "the name {name:?} is taken by hierarchy[{first}]: give each tier its own"
                );
                self.complain_reading(&["hierarchy[].name.*"], &format!("{path}.name"), message);
            }
            total += u64::from(tier.count);
            let count = u64::from(tier.count);
            if count == 0 {
                let message = "expected a whole number of 1 or more, found 0";
                self.complain(&format!("{path}.count"), message);
            } else if count < above {
                let message = format!(
                    "{count} servers cannot be below {above}: each has at least one below it"
                );
                self.complain_reading(&["hierarchy[].count.*"], &format!("{path}.count"), message);
            } else if index == last && count > clients && clients > 0 {
                let message = format!(
                    "{count} servers for {clients} clients: each needs at least one client"
                );
                self.complain_reading(&[CLIENTS], &format!("{path}.count"), message);
            }
            above = count.max(1);
            if tier.rounds == 0 {
                let message = "expected a number of rounds of 1 or more, found 0";
                self.complain(&format!("{path}.rounds"), message);
            }
            if tier.deadline.is_some_and(|span| span.0.nanos() == 0) {
                let message = "expected a duration above 0 s, found 0 s";
                self.complain(&format!("{path}.deadline"), message);
            }
            let devices = self.device(tier.device, &format!("{path}.device"));
            if !matches!(devices.speed, Distribution::Constant(_)) {
                let message =
                    "the servers of a tier are alike: expected one speed, found a distribution";
                self.complain(&format!("{path}.device"), message);
            }
            Between {
                tier: Tier {
                    name: name.into(),
                    count: tier.count.max(1),
                    device: devices.device,
                    rounds: tier.rounds.max(1),
                    deadline: tier.deadline.map(|span| span.0),
                    assign: tier.assign,
                },
                link: self.link(tier.link, &format!("{path}.link")),
            }
        });
        let tiers: Vec<Between> = tiers.collect();
        if total > MOST_CLIENTS && !tiers.is_empty() {
            let message = format!("{total} nodes are more than the {MOST_CLIENTS} there can be");
            self.complain_reading(&[CLIENTS], "hierarchy", message);
        }
        tiers
    }

    /// Complains of what cannot be done by servers between.
    pub(super) fn between(&mut self, tiers: &[Between], around: &Draft<'_>) {
        if tiers.is_empty() {
            return;
        }
        let rounds = tiers.iter().map(|above| u64::from(above.tier.rounds));
        let rounds = rounds.fold(u64::from(around.schedule.rounds), u64::saturating_mul);
        if rounds > MOST_ROUNDS {
            let message = format!("{rounds} rounds with clients are more than {MOST_ROUNDS}");
            self.complain_reading(
                &["schedule.rounds", "hierarchy[].rounds"],
                "hierarchy",
                message,
            );
        }
        let clients = around.population.iter().map(|member| member.group.count);
        let clients = clients.fold(0, u32::saturating_add);
        let edges = tiers.last().map_or(0, |above| above.tier.count);
        let cohort = around.schedule.cohort.of(clients);
        // What nobody typed is as many as need be.
        if self.document.has("schedule.cohort") && cohort < edges && edges <= clients {
            let message = format!(
                "a cohort of {cohort} for {edges} servers that clients report to: each of them asks one \
                 client or more, so expected at least {edges}, or fewer servers"
            );
            self.complain_reading(&[CLIENTS, "hierarchy[].count"], "schedule.cohort", message);
        }
        let name = around.method.name();
        if around.method.method().reports() != ReportKind::Model {
            let message = format!(
                "servers between take means of models of the whole network, and clients of {name} \
                 report something else: expected a method such as FedAvg, FedProx or FedAdam"
            );
            self.complain_reading(&["method?"], "hierarchy", message);
        }
        if around.schedule.waiting.is_some() {
            for field in ["deadline", "least_reports"] {
                let path = format!("schedule.{field}");
                if self.document.has(&path) {
                    let message =
                        "the server at the top holds no rounds: deadlines of servers between \
                                   are in hierarchy";
                    self.complain_reading(&["schedule.waiting?", "hierarchy?"], &path, message);
                }
            }
        }
        if !around.schedule.on_deadline.is_drop() {
            let message =
                "clients of servers between train to the end, since their server is not the one \
                           that schedule.deadline is about: expected Drop, or no hierarchy";
            self.complain("schedule.on_deadline", message);
        }
        for (index, above) in tiers.iter().enumerate() {
            if above.tier.assign == Assign::BySpeed && index + 1 < tiers.len() {
                let message = "only clients are sorted by speed: expected Blocks or Interleaved";
                self.complain_reading(&[], &format!("hierarchy[{index}].assign"), message);
            }
        }
        if around.layers.privacy.is_some() {
            let message =
                "the accountant knows one server that clients report to: expected one of \
                           privacy and hierarchy";
            self.complain("privacy", message);
        }
        if around.layers.secure_aggregation.is_some() {
            let message = "masks are agreed on among the clients of one server: expected one of \
                           secure_aggregation and hierarchy";
            self.complain("secure_aggregation", message);
        }
        if let Some(defence) = around.defence {
            let message = format!(
                "{} compares the reports of all clients of a round, and each server between sees its \
                 own only: expected one of defence and hierarchy",
                defence.name()
            );
            self.complain("defence", message);
        }
        for (index, adversary) in around.adversaries.iter().enumerate() {
            if adversary.attack.attack().craft().is_some() {
                let message = format!(
                    "{} is made of the other reports of its round, which go to several servers: \
                     expected an attack on own reports such as SignFlip",
                    adversary.attack.name()
                );
                self.complain(&format!("adversaries[{index}].attack"), message);
            }
        }
        for (index, fault) in around.faults.iter().enumerate() {
            if matches!(
                fault.what,
                What::Server(ServerFault::Crash | ServerFault::Torn)
            ) {
                let message =
                    "the server cannot go down where there are servers between: drop this fault, or the \
                               hierarchy";
                self.complain(&format!("faults[{index}]"), message);
            }
        }
    }
}
