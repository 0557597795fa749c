//! Which clients something concerns, for example a fault or an attack.

use crate::quantity::Probability;
use crate::sim::rng::{below, stream, Purpose};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A choice of clients, as a scenario gives it, checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Who {
    /// All clients.
    All,
    /// The clients with these numbers.
    Clients(Vec<u32>),
    /// The clients of a group, by its name.
    Group(Arc<str>),
    /// A share of the population, drawn once from the seed, without replacement.
    Share(Probability),
    /// This many clients, drawn once from the seed, without replacement.
    Count(u32),
}

/// A set of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Clients with consecutive numbers.
    Range(Range<u32>),
    /// Any clients, in ascending order, each once.
    Listed(Arc<[u32]>),
}

impl Who {
    /// The clients of a population of groups with these names and numbers of clients. `which` separates
    /// the draws of different choices: two choices with one `which` draw from one order, so that the
    /// smaller set is part of the larger.
    pub fn members<'a>(
        &self,
        groups: impl Iterator<Item = (&'a str, u32)> + Clone,
        seed: u64,
        which: u64,
    ) -> Members {
        let counts = groups.clone().map(|(_, count)| count);
        let population = counts.fold(0u32, u32::saturating_add);
        match self {
            Self::All => Members::Range(0..population),
            Self::Clients(clients) => Members::listed(clients.clone()),
            Self::Group(name) => {
                let mut first = 0;
                for (group, count) in groups {
                    if group == name.as_ref() {
                        return Members::Range(first..first.saturating_add(count));
                    }
                    first = u32::saturating_add(first, count);
                }
                Members::Range(0..0)
            }
            Self::Share(share) => {
                let count = libm::round(share.get() * f64::from(population)) as u32;
                Members::drawn(count, population, seed, which)
            }
            Self::Count(count) => Members::drawn(*count, population, seed, which),
        }
    }
}

impl Members {
    /// The empty set.
    pub const NONE: Self = Self::Range(0..0);

    fn listed(mut clients: Vec<u32>) -> Self {
        clients.sort_unstable();
        clients.dedup();
        Self::Listed(clients.into())
    }

    /// The first `count` clients of a random order (Fisher–Yates, only as far as needed).
    fn drawn(count: u32, population: u32, seed: u64, which: u64) -> Self {
        let mut rng = stream(seed, 0, Purpose::Members, which);
        let mut moved: BTreeMap<u32, u32> = BTreeMap::new();
        let places = 0..count.min(population);
        let drawn = places.map(|place| {
            let other = place + below(&mut rng, u64::from(population - place)) as u32;
            let client = moved.get(&other).copied().unwrap_or(other);
            let here = moved.remove(&place).unwrap_or(place);
            if other != place {
                moved.insert(other, here);
            }
            client
        });
        Self::listed(drawn.collect())
    }

    /// Whether a client is in the set.
    pub fn contains(&self, client: u32) -> bool {
        match self {
            Self::Range(range) => range.contains(&client),
            Self::Listed(clients) => clients.binary_search(&client).is_ok(),
        }
    }

    /// The number of clients in the set.
    pub fn len(&self) -> usize {
        match self {
            Self::Range(range) => range.len(),
            Self::Listed(clients) => clients.len(),
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All clients of the set, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let (range, listed) = match self {
            Self::Range(range) => (range.clone(), [].as_slice()),
            Self::Listed(clients) => (0..0, clients.as_ref()),
        };
        range.chain(listed.iter().copied())
    }

    /// The position of a client in the set, from 0, if it is in the set.
    pub fn place(&self, client: u32) -> Option<usize> {
        match self {
            Self::Range(range) => range
                .contains(&client)
                .then(|| (client - range.start) as usize),
            Self::Listed(clients) => clients.binary_search(&client).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: [(&str, u32); 2] = [("phones", 7), ("laptops", 13)];

    #[test]
    fn each_selector_names_its_clients() {
        let of = |who: Who| {
            who.members(GROUPS.into_iter(), 1, 0)
                .iter()
                .collect::<Vec<_>>()
        };
        assert_eq!(of(Who::All), (0..20).collect::<Vec<_>>());
        assert_eq!(of(Who::Clients(vec![9, 2, 9])), [2, 9]);
        assert_eq!(
            of(Who::Group("laptops".into())),
            (7..20).collect::<Vec<_>>()
        );
        assert_eq!(of(Who::Group("nobody".into())), [0u32; 0]);
        assert_eq!(of(Who::Count(50)).len(), 20, "never more than there are");
        let share = Who::Share(Probability::new(0.25).unwrap());
        assert_eq!(of(share).len(), 5);
    }

    #[test]
    fn draws_are_nested_differ_by_seed_and_reach_everybody() {
        let drawn = |count, seed, which| Who::Count(count).members(GROUPS.into_iter(), seed, which);
        let (few, many) = (drawn(4, 3, 0), drawn(9, 3, 0));
        assert!(few.iter().all(|client| many.contains(client)));
        assert_ne!(drawn(9, 3, 0), drawn(9, 4, 0));
        assert_ne!(drawn(9, 3, 0), drawn(9, 3, 1));
        let mut counts = [0u32; 20];
        for seed in 0..4_000 {
            for client in drawn(5, seed, 0).iter() {
                counts[client as usize] += 1;
            }
        }
        // Binomial(4000, 1/4): mean 1000, deviation 27.4.
        assert!(
            counts.iter().all(|&n| (863..1_137).contains(&n)),
            "{counts:?}"
        );
    }

    #[test]
    fn places_count_the_members_in_order() {
        for members in [Members::Range(3..9), Members::listed(vec![8, 1, 4])] {
            for (place, client) in members.iter().enumerate() {
                assert_eq!(members.place(client), Some(place));
                assert!(members.contains(client));
            }
            assert_eq!(members.place(2), None);
            assert_eq!(members.len(), members.iter().count());
        }
    }
}
