//! Who is asked in a round: a uniform sample of those who are there.

use crate::quantity::Probability;
use crate::sim::rng::{below, stream, Purpose, Stream};
use rand::Rng;
use std::collections::BTreeMap;

/// Draws up to `wanted` clients, each at most once, in the order drawn.
///
/// Every client is present in this round with its own participation ratio, independently of all
/// else; the sample is uniform among those present. Clients are looked at in the order of a lazy
/// random permutation, so the cost follows the cohort, not the population, where most are present.
pub fn select(
    seed: u64,
    round: u32,
    population: u32,
    wanted: u32,
    participation: impl Fn(u32) -> Probability,
) -> Vec<u32> {
    let mut rng = stream(seed, 0, Purpose::Selection, u64::from(round));
    // Fisher–Yates from the front; `moved` holds the places that no longer hold their own index.
    let mut moved: BTreeMap<u32, u32> = BTreeMap::new();
    let mut chosen = Vec::with_capacity(wanted.min(population) as usize);
    for place in 0..population {
        if chosen.len() as u32 == wanted {
            break;
        }
        let other = place + below(&mut rng, u64::from(population - place)) as u32;
        let client = moved.get(&other).copied().unwrap_or(other);
        let here = moved.remove(&place).unwrap_or(place);
        if other != place {
            moved.insert(other, here);
        }
        // One draw a client looked at, present or not.
        if participation(client).hit(rng.next_u64()) {
            chosen.push(client);
        }
    }
    chosen
}

/// Draws one client that is not in `taken`, uniformly; `None` if there is none.
///
/// While half of the population is free a draw takes two tries in the mean; where hardly anybody is,
/// those that are taken are passed over in their order instead.
pub fn one_of_the_rest<T>(
    rng: &mut Stream,
    population: u32,
    taken: &BTreeMap<u32, T>,
) -> Option<u32> {
    let free = u64::from(population).checked_sub(taken.len() as u64)?;
    if free == 0 {
        return None;
    }
    for _ in 0..TRIES {
        let client = below(rng, u64::from(population)) as u32;
        if !taken.contains_key(&client) {
            return Some(client);
        }
    }
    // The place among the free ones becomes a number as the taken ones before it are counted.
    let mut client = below(rng, free) as u32;
    for &other in taken.keys() {
        if other > client {
            break;
        }
        client += 1;
    }
    Some(client)
}

/// Draws that may fall on a taken client before all of those are looked at.
const TRIES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_full_sample_is_everybody_once() {
        let all = select(1, 1, 50, 50, |_| Probability::ONE);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 50);
        assert_eq!(select(1, 1, 50, 80, |_| Probability::ONE).len(), 50);
        assert!(select(1, 1, 50, 5, |_| Probability::ZERO).is_empty());
        assert_eq!(select(1, 1, 0, 5, |_| Probability::ONE), Vec::<u32>::new());
    }

    #[test]
    fn everybody_is_asked_equally_often() {
        let mut counts = [0u32; 20];
        let rounds = 20_000;
        for round in 0..rounds {
            for client in select(3, round, 20, 5, |_| Probability::ONE) {
                counts[client as usize] += 1;
            }
        }
        // Binomial(20 000, 1/4): mean 5 000, deviation 61; five of them.
        assert!(
            counts.iter().all(|c| (4_690..5_310).contains(c)),
            "{counts:?}"
        );
    }

    #[test]
    fn each_of_the_rest_is_drawn_equally_often_however_few_they_are() {
        let taken = |clients: &[u32]| -> BTreeMap<u32, ()> {
            clients.iter().map(|&client| (client, ())).collect()
        };
        let most: Vec<u32> = (0..40).filter(|c| ![0, 7, 8, 39].contains(c)).collect();
        for taken in [taken(&[3, 4]), taken(&most)] {
            let free = 40 - taken.len();
            let mut counts = BTreeMap::new();
            let mut rng = stream(2, 0, Purpose::Selection, 1 << 63);
            for _ in 0..free * 1_000 {
                let client = one_of_the_rest(&mut rng, 40, &taken).unwrap();
                assert!(client < 40 && !taken.contains_key(&client));
                *counts.entry(client).or_insert(0u32) += 1;
            }
            assert_eq!(counts.len(), free);
            // Poisson: mean 1,000, deviation 32; six of them.
            assert!(
                counts.values().all(|n| (800..1_200).contains(n)),
                "{counts:?}"
            );
        }
        let mut rng = stream(2, 0, Purpose::Selection, 0);
        assert_eq!(one_of_the_rest(&mut rng, 2, &taken(&[0, 1])), None);
    }

    #[test]
    fn participation_ratios_are_kept_when_all_present_are_asked() {
        let ratio = |client: u32| Probability::new(f64::from(client + 1) / 10.0).unwrap();
        let mut counts = [0u32; 10];
        for round in 0..10_000 {
            for client in select(4, round, 10, 10, ratio) {
                counts[client as usize] += 1;
            }
        }
        for (client, count) in counts.iter().enumerate() {
            let expected = 1_000.0 * (client + 1) as f64;
            assert!((f64::from(*count) - expected).abs() < 250.0, "{counts:?}");
        }
    }
}
