//! Selection by the number of samples: clients with many samples are chosen more often.

use super::draw::{draws, is_there, weighted};
use super::{Ask, Policy, Selection};
use crate::sim::rng::below;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Clients are drawn one after the other, each time with probabilities in proportion to the samples
/// of those left. FedProx's algorithm 2 samples by data (Li et al., MLSys 2020), with a
/// plain mean of the models; its experiments and its authors' program sample uniformly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ByData {}

impl Selection for ByData {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Weighing { most: None })
    }
}

struct Weighing {
    /// The largest number of samples of any client. It follows from the data and is looked up once.
    most: Option<u32>,
}

impl Policy for Weighing {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let population = ask.population;
        let all = 0..population.size();
        let samples = |client| population.samples(client);
        let most = self.most;
        let most = most.unwrap_or_else(|| all.clone().map(samples).max().unwrap_or(0));
        self.most = Some(most);
        let mut rng = draws(ask);
        let mut chosen = Vec::new();
        let mut passed = BTreeSet::new();
        // Rejection sampling needs about as many draws as clients are wanted, times the largest
        // number of samples over the mean. If that is more than there are clients, all clients are
        // weighed instead; the distribution is the same.
        for _ in 0..all.end {
            if chosen.len() as u32 == ask.wanted || most == 0 {
                return chosen;
            }
            let client = below(&mut rng, u64::from(all.end)) as u32;
            let accepted = below(&mut rng, u64::from(most)) < u64::from(samples(client));
            if accepted && passed.insert(client) && is_there(ask, client) {
                chosen.push(client);
            }
        }
        let rest = all.filter(|client| !passed.contains(client) && is_there(ask, *client));
        let rest: Vec<(u32, f64)> = rest.map(|c| (c, f64::from(samples(c)))).collect();
        let left = ask.wanted - chosen.len() as u32;
        chosen.extend(weighted(&mut rng, &rest, left));
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;

    #[test]
    fn chances_follow_the_samples() {
        let mut population = SmallPopulation::of(4);
        population.samples = vec![10, 20, 30, 0];
        let mut policy = ByData {}.policy();
        let counts = population.counts(policy.as_mut(), 12_000, 1, |_| 1.0);
        // Deviations of binomials are below 55.
        for (count, expected) in counts.iter().zip([2_000, 4_000, 6_000, 0u32]) {
            assert!(count.abs_diff(expected) < 5 * 55, "{counts:?}");
        }
        // All who have samples and are there, if as many are wanted.
        population.away = vec![1];
        let mut all = population.ask(policy.as_mut(), 1, 4);
        all.sort_unstable();
        assert_eq!(all, [0, 2]);
    }
}
