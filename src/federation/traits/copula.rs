//! Correlations between a client's speed, its link rates and its number of samples: a Gaussian copula.
//!
//! Each of the three has a standard normal value, and the three values are jointly normal. A normal value
//! z becomes a speed or a rate by its rank: the quantile of the law at Φ(z), so that the laws stay as they
//! are. The number of samples is given by the partition, so its normal value is that of the client's rank
//! in the group. A scenario gives Spearman's rank correlations ρ; the correlation of the normal values is
//! then r = 2 sin(πρ/6) (Pearson 1907).

use crate::quantity::{normal_quantile, standard_normal};
use crate::sim::rng::{stream, Purpose};
use rand::Rng;
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// The counters of a client's streams. They must never be renumbered.
const FOR_SPEED: u64 = 6;
const FOR_LINK: u64 = 7;
const FOR_TIES: u64 = 8;

/// Spearman's rank correlations, each in [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Correlation {
    /// The correlation of the speed of a client's device with the rates of its link.
    pub speed_link: f64,
    /// The correlation of the speed with the number of samples.
    pub speed_samples: f64,
    /// The correlation of the rates with the number of samples.
    pub link_samples: f64,
}

/// The correlation of two normal values whose ranks have this correlation.
pub(super) fn pearson(spearman: f64) -> f64 {
    2.0 * libm::sin(std::f64::consts::PI * spearman / 6.0)
}

impl Correlation {
    /// The correlations of the normal values: speed with link, speed with samples, link with samples.
    fn pearson(&self) -> [f64; 3] {
        [self.speed_link, self.speed_samples, self.link_samples].map(pearson)
    }

    /// Whether three normal values can have these correlations: the determinant of their matrix may not be
    /// negative.
    pub fn is_possible(&self) -> bool {
        let [c, a, b] = self.pearson();
        1.0 + 2.0 * a * b * c - a * a - b * b - c * c >= -1e-12
    }

    /// Whether the number of samples is correlated with anything.
    pub fn needs_samples(&self) -> bool {
        self.speed_samples != 0.0 || self.link_samples != 0.0
    }

    /// A client's normal values for speed and link, given that for its number of samples. They come from the
    /// Cholesky factor of the matrix, row by row.
    pub(super) fn normals(&self, seed: u64, client: u32, samples: f64) -> [f64; 2] {
        let draw = |which| {
            let node = u64::from(client) + 1;
            standard_normal(&mut stream(seed, node, Purpose::Population, which))
        };
        let [c, a, b] = self.pearson();
        let own = libm::sqrt((1.0 - a * a).max(0.0));
        let speed_alone = draw(FOR_SPEED);
        let speed = a * samples + own * speed_alone;
        // Where the speed follows from the number of samples, it says nothing more of the link.
        let with_speed = if own > 0.0 { (c - a * b) / own } else { 0.0 };
        let rest = libm::sqrt((1.0 - b * b - with_speed * with_speed).max(0.0));
        [
            speed,
            b * samples + with_speed * speed_alone + rest * draw(FOR_LINK),
        ]
    }
}

/// The ranks of the clients of a group by their number of samples.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ranks(Arc<[u32]>);

impl Ranks {
    /// The ranks of the clients `of`, by their `samples`. Clients with equally many samples are in an order
    /// that is drawn.
    pub fn of(samples: impl Fn(u32) -> usize, of: Range<u32>, seed: u64) -> Self {
        let mut order: Vec<(usize, u64, u32)> = of
            .clone()
            .map(|client| {
                let node = u64::from(client) + 1;
                let tie = stream(seed, node, Purpose::Population, FOR_TIES).next_u64();
                (samples(client), tie, client - of.start)
            })
            .collect();
        order.sort_unstable();
        let mut ranks = vec![0u32; order.len()];
        for (rank, (.., place)) in order.into_iter().enumerate() {
            ranks[place as usize] = rank as u32;
        }
        Self(ranks.into())
    }

    /// The normal value of the client at `place`: Φ⁻¹((rank + ½) / n), or zero where there are no ranks.
    pub(super) fn normal(&self, place: u32) -> f64 {
        match self.0.get(place as usize) {
            Some(&rank) => normal_quantile((f64::from(rank) + 0.5) / self.0.len() as f64),
            None => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const N: u32 = 20_000;

    fn ranks(values: &[f64]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let mut ranks = vec![0.0; values.len()];
        for (rank, at) in order.into_iter().enumerate() {
            ranks[at] = rank as f64;
        }
        ranks
    }

    /// From the definition: the correlation of ranks.
    fn spearman(a: &[f64], b: &[f64]) -> f64 {
        let (a, b) = (ranks(a), ranks(b));
        let n = a.len() as f64;
        let mean = (n - 1.0) / 2.0;
        let sum = |x: &[f64], y: &[f64]| -> f64 {
            x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
        };
        sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt()
    }

    /// Numbers of samples in no order, all different.
    fn some_ranks() -> Ranks {
        let mut all: Vec<u32> = (0..N).collect();
        let mut rng = stream(1, 0, Purpose::Node, 0);
        crate::sim::rng::shuffle(&mut rng, &mut all);
        Ranks(all.into())
    }

    /// With independent pairs the standard deviation of Spearman's correlation is 1/√(n - 1), 0.007
    /// here; with others it is smaller.
    #[test]
    fn ranks_correlate_as_asked() {
        let samples = some_ranks();
        for (speed_link, speed_samples, link_samples) in [
            (0.0, 0.0, 0.0),
            (0.8, 0.0, 0.0),
            (-0.5, 0.0, 0.0),
            (1.0, 0.0, 0.0),
            (0.0, 0.6, -0.3),
            (0.7, 0.5, 0.4),
            (1.0, 1.0, 1.0),
            (-1.0, 1.0, -1.0),
        ] {
            let correlation = Correlation {
                speed_link,
                speed_samples,
                link_samples,
            };
            assert!(correlation.is_possible(), "{correlation:?}");
            let (mut speeds, mut links, mut counts) = (vec![], vec![], vec![]);
            for client in 0..N {
                let normal = samples.normal(client);
                let [speed, link] = correlation.normals(3, client, normal);
                speeds.push(speed);
                links.push(link);
                counts.push(f64::from(samples.0[client as usize]));
            }
            for (found, asked) in [
                (spearman(&speeds, &links), speed_link),
                (spearman(&speeds, &counts), speed_samples),
                (spearman(&links, &counts), link_samples),
            ] {
                assert!((found - asked).abs() < 0.03, "{correlation:?}: {found}");
            }
            // And each is a standard normal by itself.
            for all in [&speeds, &links] {
                let n = f64::from(N);
                let mean = all.iter().sum::<f64>() / n;
                let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
                assert!(
                    mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04,
                    "{mean}, {variance}"
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_together_is_known() {
        let of = |speed_link, speed_samples, link_samples| Correlation {
            speed_link,
            speed_samples,
            link_samples,
        };
        assert!(!of(-0.9, 0.9, 0.9).is_possible());
        assert!(!of(1.0, 1.0, 0.0).is_possible());
        assert!(!of(0.9, 0.9, 0.0).is_possible());
        assert!(of(0.6, 0.6, 0.0).is_possible());
    }

    #[test]
    fn those_with_as_many_samples_stand_in_an_order_of_their_own() {
        let sizes = [3usize, 1, 3, 3, 9, 3];
        let samples = |client: u32| sizes[client as usize];
        let of = |seed| Ranks::of(samples, 0..6, seed).0.to_vec();
        let first = of(1);
        assert_eq!((first[1], first[4]), (0, 5));
        let mut equal = [first[0], first[2], first[3], first[5]];
        equal.sort_unstable();
        assert_eq!(equal, [1, 2, 3, 4]);
        assert_eq!(first, of(1));
        assert!((2..20).any(|seed| of(seed) != first));
        // A group somewhere in the population.
        assert_eq!(Ranks::of(samples, 3..5, 1).0.to_vec(), [0, 1]);
    }

    proptest! {
        #[test]
        fn the_correlation_of_normals_is_within_bounds_and_keeps_its_sign(asked in -1.0f64..=1.0) {
            let r = pearson(asked);
            prop_assert!((-1.0..=1.0).contains(&r));
            // Never weaker than what is asked for: ranks lose a little.
            prop_assert!(r.abs() >= asked.abs() - 1e-15 && r * asked >= 0.0);
        }
    }
}
