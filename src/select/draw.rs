//! Sampling without repetition, for several policies.

use super::Ask;
use crate::sim::rng::{below, stream, Purpose, Stream};
use rand::Rng;
use std::collections::BTreeMap;
use std::ops::Range;

/// The random stream of a policy for one round.
pub fn draws(ask: &Ask<'_>) -> Stream {
    stream(ask.seed, 0, Purpose::Selection, u64::from(ask.round))
}

/// Whether a client is present, decided by a random draw of the client's own. For policies that
/// look at clients in an order that they choose themselves.
pub fn is_there(ask: &Ask<'_>, client: u32) -> bool {
    let (node, round) = (u64::from(client) + 1, u64::from(ask.round));
    let draw = stream(ask.seed, node, Purpose::Selection, round).next_u64();
    ask.population.is_there(client, draw)
}

/// Draws up to `wanted` clients of `among`, each at most once and in the order drawn, uniformly
/// among those for which `keep` is true.
///
/// Clients are looked at in a random permutation that is computed only as far as needed, each with
/// one draw of its own for `keep`. If most clients are kept, the cost grows with `wanted` and not
/// with the population.
pub fn sample(
    rng: &mut Stream,
    among: Range<u32>,
    wanted: u32,
    mut keep: impl FnMut(u32, u64) -> bool,
) -> Vec<u32> {
    // A Fisher–Yates shuffle from the front; `moved` records the places that no longer contain
    // their own index.
    let mut moved: BTreeMap<u32, u32> = BTreeMap::new();
    let size = among.end.saturating_sub(among.start);
    let mut chosen = Vec::with_capacity(wanted.min(size) as usize);
    for place in 0..size {
        if chosen.len() as u32 == wanted {
            break;
        }
        let other = place + below(rng, u64::from(size - place)) as u32;
        let index = moved.get(&other).copied().unwrap_or(other);
        let here = moved.remove(&place).unwrap_or(place);
        if other != place {
            moved.insert(other, here);
        }
        let client = among.start + index;
        if keep(client, rng.next_u64()) {
            chosen.push(client);
        }
    }
    chosen
}

/// Draws up to `wanted` of `items`, one after the other, each time with probabilities in proportion
/// to the weights of those left (Efraimidis and Spirakis 2006, by exponential clocks). An item of
/// weight 0 is never drawn.
pub fn weighted(rng: &mut Stream, items: &[(u32, f64)], wanted: u32) -> Vec<u32> {
    let mut clocks: Vec<(f64, u32)> = Vec::with_capacity(items.len());
    for &(client, weight) in items {
        // A uniform draw in (0, 1], so that the logarithm is finite.
        let uniform = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        if weight > 0.0 && weight.is_finite() {
            clocks.push((-libm::log(uniform) / weight, client));
        }
    }
    clocks.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let first = clocks.into_iter().take(wanted as usize);
    first.map(|(_, client)| client).collect()
}

/// Draws one client that is not in `taken`, uniformly; `None` if there is none.
///
/// If half of the population is free, a client is found after two tries on average. If hardly any
/// client is free, the free ones are numbered and one number is drawn instead.
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
    // The number drawn counts free clients only; each taken client before it moves it up by one.
    let mut client = below(rng, free) as u32;
    for &other in taken.keys() {
        if other > client {
            break;
        }
        client += 1;
    }
    Some(client)
}

/// The number of draws that may fall on taken clients before all of these are looked at.
const TRIES: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Probability;
    use std::collections::BTreeSet;

    fn select(
        seed: u64,
        round: u32,
        population: u32,
        wanted: u32,
        ratio: impl Fn(u32) -> Probability,
    ) -> Vec<u32> {
        let mut rng = stream(seed, 0, Purpose::Selection, u64::from(round));
        sample(&mut rng, 0..population, wanted, |client, draw| {
            ratio(client).hit(draw)
        })
    }

    #[test]
    fn a_full_sample_is_everybody_once() {
        let all = select(1, 1, 50, 50, |_| Probability::ONE);
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 50);
        assert_eq!(select(1, 1, 50, 80, |_| Probability::ONE).len(), 50);
        assert!(select(1, 1, 50, 5, |_| Probability::ZERO).is_empty());
        assert_eq!(select(1, 1, 0, 5, |_| Probability::ONE), Vec::<u32>::new());
        let mut rng = stream(1, 0, Purpose::Selection, 1);
        let mut part = sample(&mut rng, 7..11, 9, |_, _| true);
        part.sort_unstable();
        assert_eq!(part, [7, 8, 9, 10]);
    }

    #[test]
    fn everybody_is_asked_equally_often() {
        let mut counts = [0u32; 20];
        for round in 0..20_000 {
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

    /// Of weights 1, 2 and 3 two are drawn: the probabilities that each is missing are those of
    /// successive sampling, Σ over the first draw.
    #[test]
    fn weights_are_kept_draw_after_draw() {
        let items = [(0, 1.0), (1, 2.0), (2, 3.0), (3, 0.0), (4, f64::NAN)];
        let mut missing = [0u32; 3];
        let n = 30_000u32;
        for round in 0..n {
            let mut rng = stream(8, 0, Purpose::Selection, u64::from(round));
            let drawn = weighted(&mut rng, &items, 2);
            assert!(drawn.len() == 2 && drawn.iter().all(|client| *client < 3));
            let left = (0..3).find(|client| !drawn.contains(client)).unwrap();
            missing[left as usize] += 1;
        }
        let first = [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0];
        let then = |i: usize, j: usize| first[i] * first[j] / (1.0 - first[i]);
        for left in 0..3 {
            let (a, b) = ((left + 1) % 3, (left + 2) % 3);
            let expected = f64::from(n) * (then(a, b) + then(b, a));
            let deviation = (expected * (1.0 - expected / f64::from(n))).sqrt();
            assert!(
                (f64::from(missing[left]) - expected).abs() < 5.0 * deviation,
                "{missing:?}"
            );
        }
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
}
