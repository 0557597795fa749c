//! The population.

use super::Resolver;
use crate::federation::Group;
use crate::scenario::file::{GroupFile, TrainingFile};
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
                self.complain(
                    &format!("{path}.name"),
                    format!("the name {name:?} is taken by population[{first}]: give each group its own"),
                );
            }
            if group.count == 0 {
                self.complain(&format!("{path}.count"), "expected a whole number of 1 or more, found 0");
            }
            let devices = self.device(group.device, &format!("{path}.device"));
            let link = self.link(group.link, &format!("{path}.link"));
            let size = self.size(group.size, &format!("{path}.size"));
            let (availability, leaving) =
                self.availability(group.availability, group.leaving, &path);
            let local = self.training(&group.training, Some(training), &format!("{path}.training"));
            Member {
                group: Group {
                    name: name.into(),
                    count: group.count,
                    device: devices.device,
                    speed: devices.speed,
                    participation: group.participation.into_distribution(),
                    availability,
                    leaving,
                    training: local,
                    size,
                },
                link,
            }
        });
        members.collect()
    }
}
