//! The population.

use super::devices::Devices;
use super::Resolver;
use crate::federation::{Budget, Group};
use crate::quantity::{Bytes, Distribution, Span};
use crate::scenario::file::{BudgetFile, GroupFile, TrainingFile};
use crate::scenario::Member;
use std::collections::BTreeMap;

/// More nodes than any machine hosts; bounds what a number in a file can ask for.
pub(super) const MOST_CLIENTS: u64 = 100_000_000;

impl Resolver<'_> {
    pub(super) fn population(
        &mut self,
        typed: Vec<GroupFile>,
        training: &TrainingFile,
    ) -> Vec<Member> {
        if typed.is_empty() {
            self.complain(
                "population",
                "expected at least one group such as (count: 100), found none",
            );
        }
        let total: u64 = typed.iter().map(|group| u64::from(group.count)).sum();
        if total > MOST_CLIENTS {
            self.complain(
                "population",
                format!("{total} clients are more than the {MOST_CLIENTS} there can be"),
            );
        }
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let members = typed.into_iter().enumerate().map(|(index, group)| {
            let path = format!("population[{index}]");
            let name = group.name.unwrap_or_else(|| format!("group {}", index + 1));
            if let Some(first) = names.insert(name.clone(), index) {
                self.complain_reading(
                    &["population[].name.*"],
                    &format!("{path}.name"),
                    format!("the name {name:?} is taken by population[{first}]: give each group its own"),
                );
            }
            if group.count == 0 {
                self.complain(&format!("{path}.count"), "expected a whole number of 1 or more, found 0");
            }
            let devices = self.device(group.device, &format!("{path}.device"));
            let link = self.link(group.link, &format!("{path}.link"));
            let (tiers, tier_links) = self.tiers(group.tiers, &path);
            let link = tier_links.first().cloned().unwrap_or(link);
            let correlation = group.correlation.map(|typed| {
                let speeds = (&devices.speed, tiers.as_slice());
                let has = ["device", "link", "tiers"].map(|field| format!("{path}.{field}"));
                let has = has.each_ref().map(String::as_str);
                self.reading(&has, |r| r.correlation(typed, speeds, (&link, &tier_links), &path))
            });
            let devices = match tiers.first() {
                Some(first) => Devices {
                    device: first.device,
                    speed: Distribution::Mixture(
                        tiers.iter().map(|tier| (tier.share, tier.speed.clone())).collect(),
                    ),
                },
                None => devices,
            };
            let capacity = group.trace.and_then(|typed| self.capacity(typed, &path));
            let size = self.size(group.size, &format!("{path}.size"));
            let (availability, leaving) =
                self.availability(group.availability, group.leaving, &path);
            let budget = group.budget.map(|typed| self.budget(typed, &format!("{path}.budget")));
            let local = self.training(&group.training, Some(training), &format!("{path}.training"));
            Member {
                group: Group {
                    name: name.into(),
                    count: group.count,
                    device: devices.device,
                    speed: devices.speed,
                    tiers,
                    correlation,
                    capacity,
                    participation: group.participation.into_distribution(),
                    availability,
                    leaving,
                    budget,
                    training: local,
                    size,
                },
                link,
                tier_links,
            }
        });
        members.collect()
    }

    fn budget(&mut self, typed: BudgetFile, path: &str) -> Budget {
        let BudgetFile { energy, data, per } = typed;
        if energy.is_none() && data.is_none() {
            self.complain(
                path,
                "expected an energy such as \"500 J\", data such as \"200 MB\", or both; found neither",
            );
        }
        if data.is_some_and(|size| size.0 == Bytes(0)) {
            self.complain(
                &format!("{path}.data"),
                "expected a size above 0 B: a client without data can take no part",
            );
        }
        if per.is_some_and(|per| per.0 == Span::ZERO) {
            self.complain(
                &format!("{path}.per"),
                "expected a duration above 0 s such as \"24 h\"",
            );
        }
        Budget {
            energy: energy.map(|energy| energy.0),
            data: data.map(|size| size.0),
            per: per.map(|per| per.0),
        }
    }
}
