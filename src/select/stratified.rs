//! Stratified selection: every group of the population is represented.

use super::draw::{draws, sample};
use super::{Ask, Policy, Selection};
use serde::{Deserialize, Serialize};

/// Each group gives a share of the wanted clients that equals its share of the population, drawn
/// uniformly within the group. Places that rounding leaves over go to the groups with the largest
/// remainders. A place that a group cannot fill stays empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stratified {}

impl Selection for Stratified {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(*self)
    }
}

/// Distributes `wanted` places over groups of these sizes by largest remainders.
fn places(sizes: &[u32], wanted: u32) -> Vec<u32> {
    let all: u64 = sizes.iter().map(|size| u64::from(*size)).sum();
    let wanted = u64::from(wanted).min(all);
    let exact = |size: &u32| u64::from(*size) * wanted;
    let mut places: Vec<u32> = sizes
        .iter()
        .map(|size| (exact(size) / all.max(1)) as u32)
        .collect();
    let given: u64 = places.iter().map(|n| u64::from(*n)).sum();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&group| (std::cmp::Reverse(exact(&sizes[group]) % all.max(1)), group));
    for group in order.into_iter().take((wanted - given) as usize) {
        places[group] += 1;
    }
    places
}

impl Policy for Stratified {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let population = ask.population;
        let groups = population.groups();
        let sizes: Vec<u32> = groups.iter().map(|group| group.end - group.start).collect();
        let mut rng = draws(ask);
        let each = groups.into_iter().zip(places(&sizes, ask.wanted));
        each.flat_map(|(group, places)| {
            sample(&mut rng, group, places, |client, draw| {
                population.is_there(client, draw)
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_are_the_shares_to_less_than_one(
            sizes in prop::collection::vec(0u32..5_000, 1..8), wanted in 0u32..9_000,
        ) {
            let all: u32 = sizes.iter().sum();
            let places = places(&sizes, wanted);
            let wanted = wanted.min(all);
            prop_assert_eq!(places.iter().sum::<u32>(), wanted);
            for (places, size) in places.iter().zip(&sizes) {
                let exact = f64::from(*size) * f64::from(wanted) / f64::from(all.max(1));
                prop_assert!((f64::from(*places) - exact).abs() < 1.0 && places <= size);
            }
        }
    }

    #[test]
    fn each_group_gives_its_share_every_round() {
        let mut population = SmallPopulation::of(100);
        population.groups = vec![0..60, 60..90, 90..100];
        let mut policy = Stratified {}.policy();
        for round in 1..50 {
            let chosen = population.ask(policy.as_mut(), round, 20);
            let of = |group: &std::ops::Range<u32>| {
                chosen
                    .iter()
                    .filter(|client| group.contains(client))
                    .count()
            };
            assert_eq!([12, 6, 2], [0, 1, 2].map(|i| of(&population.groups[i])));
        }
        let counts = population.counts(policy.as_mut(), 4_000, 20, |_| 1.0);
        // Each with probability 0.2: mean 800, deviation 25.
        assert!(
            counts.iter().all(|count| count.abs_diff(800) < 130),
            "{counts:?}"
        );
    }
}
