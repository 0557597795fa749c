//! Sparsification: the values at random places are sent.

use super::bits::{Reader, Writer};
use super::{check_share, kept, Scheme};
use crate::sim::rng::{below, stream, Purpose, Stream};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A `share` of the values is sent: k of n, at places drawn uniformly (Wangni et al., "Gradient
/// Sparsification for Communication-Efficient Distributed Optimization", NeurIPS 2018; Stich et
/// al., NeurIPS 2018).
///
/// Without error feedback the values are scaled by n/k, which makes the result unbiased, with
/// E‖C(x) − x‖² = (n/k − 1) ‖x‖². With error feedback they are not scaled, which makes the scheme a
/// contraction by 1 − k/n.
///
/// On the wire, the report has 8 bytes for the seed that the places are drawn from, and 4 bytes for
/// each value sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RandomK {
    /// The share of the values that is sent, in (0, 1].
    pub share: f64,
    /// Whether the values that were not sent are added to the next report.
    pub error_feedback: bool,
}

impl Default for RandomK {
    fn default() -> Self {
        Self {
            share: 0.01,
            error_feedback: false,
        }
    }
}

/// Draws `k` of `n` places so that every set of places has equal probability (Floyd's algorithm).
/// The places are in ascending order.
fn places(seed: u64, n: usize, k: usize) -> BTreeSet<u64> {
    let mut rng = stream(seed, 0, Purpose::Compression, 0);
    let (n, k) = (n as u64, k as u64);
    let mut chosen = BTreeSet::new();
    for top in n - k..n {
        let drawn = below(&mut rng, top + 1);
        if !chosen.insert(drawn) {
            chosen.insert(top);
        }
    }
    chosen
}

impl Scheme for RandomK {
    fn check(&self) -> Vec<(&'static str, String)> {
        check_share(self.share)
    }

    fn feedback(&self) -> bool {
        self.error_feedback
    }

    fn encode(&self, values: &[f32], _: &[usize], rng: &mut Stream) -> Vec<u8> {
        let k = kept(values.len(), self.share);
        let seed = rng.next_u64();
        let mut writer = Writer::with_capacity(8 + 4 * k);
        writer.whole(&seed.to_le_bytes());
        for place in places(seed, values.len(), k) {
            writer.float(values[place as usize]);
        }
        writer.finish()
    }

    fn decode(&self, bytes: &[u8], _: &[usize], values: &mut [f32]) -> Option<()> {
        let n = values.len();
        let k = kept(n, self.share);
        let mut reader = Reader::new(bytes);
        let seed = u64::from_le_bytes(reader.whole()?);
        let scale = if self.error_feedback {
            1.0
        } else {
            n as f64 / k.max(1) as f64
        };
        values.fill(0.0);
        for place in places(seed, n, k) {
            values[place as usize] = (f64::from(reader.float()?) * scale) as f32;
        }
        reader.end()
    }

    fn operations(&self) -> u64 {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::tests::{noise, rng, round_trip, unbiased, vector};

    #[test]
    fn it_is_unbiased_with_the_variance_that_scaling_gives() {
        let scheme = RandomK {
            share: 0.25,
            error_feedback: false,
        };
        let values = vector(60);
        unbiased(&scheme, &values, 20_000);
        let norm: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        let measured = noise(&scheme, &values, 20_000);
        // E‖C(x) − x‖² = (n/k − 1) ‖x‖² exactly; the mean of 20,000 lies within 3 % of it.
        assert!((measured / (3.0 * norm) - 1.0).abs() < 0.03, "{measured}");
    }

    #[test]
    fn with_feedback_values_arrive_as_they_are_and_as_many_as_said() {
        let scheme = RandomK {
            share: 0.1,
            error_feedback: true,
        };
        let values = vector(500);
        let got = round_trip(&scheme, &values, &mut rng(3));
        let arrived: Vec<usize> = (0..500).filter(|&i| got[i] != 0.0).collect();
        assert_eq!(arrived.len(), 50);
        assert!(arrived.iter().all(|&i| got[i] == values[i]));
        assert_eq!(
            scheme.encode(&values, &[500], &mut rng(3)).len(),
            8 + 4 * 50
        );
    }

    #[test]
    fn every_place_is_drawn_equally_often() {
        let mut counts = [0u32; 12];
        for seed in 0..12_000 {
            let drawn = places(seed, 12, 5);
            assert_eq!(drawn.len(), 5);
            drawn.iter().for_each(|&place| counts[place as usize] += 1);
        }
        // Binomial(12000, 5/12): mean 5000, deviation 54; five of them.
        assert!(
            counts.iter().all(|c| (4_730..5_270).contains(c)),
            "{counts:?}"
        );
    }
}
