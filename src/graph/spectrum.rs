//! How fast mixing alone brings all models together: the second largest magnitude among the eigenvalues
//! of the mixing matrix W. One minus this value is the spectral gap.

use super::{Graph, GraphKind, Weights};
use crate::sim::rng::{stream, Purpose};
use rand::Rng;
use std::f64::consts::PI;

/// The largest amount of work for a check of a scenario: entries of W times steps.
const MOST: u64 = 200_000_000;

/// The number of steps of a power iteration; where they are too few, the result is a little too small.
const STEPS: u64 = 500;

impl Graph {
    /// ρ = max(|λ₂|, |λ_n|) of W: the distance to the mean falls by at least this factor in each round.
    /// The value is exact where a closed form exists; otherwise it comes from power iteration. `None`
    /// for graphs that change in every round, and for graphs that are too large.
    pub fn contraction(&self, weights: Weights) -> Option<f64> {
        let n = self.nodes;
        match &self.shape {
            GraphKind::Complete => Some(0.0),
            GraphKind::Exponential => None,
            GraphKind::Ring if n < 3 => Some(0.0),
            GraphKind::Ring => {
                // All other eigenvalues lie between those of the longest and the shortest wave.
                let ends = [1, n / 2, n.div_ceil(2), n - 1];
                let each = ends.map(|k| (1.0 + 2.0 * wave(k, n)) / 3.0);
                Some(
                    each.into_iter()
                        .fold(0.0, |most, value| f64::max(most, value.abs())),
                )
            }
            GraphKind::Torus { columns } => {
                // The least and the largest eigenvalue of each direction decide.
                let ends = |n: u32| [wave(0, n), wave(1, n), wave(n / 2, n)];
                let mut most = 0.0f64;
                for (i, a) in ends(n / columns).into_iter().enumerate() {
                    for (j, b) in ends(*columns).into_iter().enumerate() {
                        if (i, j) != (0, 0) {
                            most = most.max(((1.0 + 2.0 * a + 2.0 * b) / 5.0).abs());
                        }
                    }
                }
                Some(most)
            }
            GraphKind::Sparse(lists) => {
                let entries = lists.entries() + u64::from(n);
                (entries <= MOST / STEPS).then(|| self.by_power_iteration(weights))
            }
        }
    }

    fn by_power_iteration(&self, weights: Weights) -> f64 {
        let rows: Vec<_> = (0..self.nodes)
            .map(|node| self.links(node, 1, weights))
            .collect();
        let mut rng = stream(0, 0, Purpose::Graph, u64::MAX);
        let mut x: Vec<f64> = rows
            .iter()
            .map(|_| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64)
            .collect();
        let mut norm = 0.0;
        for _ in 0..STEPS {
            // The first eigenvector is the vector of all ones.
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            x.iter_mut().for_each(|value| *value -= mean);
            let length = x.iter().map(|value| value * value).sum::<f64>().sqrt();
            if length == 0.0 {
                return 0.0;
            }
            x.iter_mut().for_each(|value| *value /= length);
            let next = rows.iter().zip(&x).map(|(row, own)| {
                let others = row.sources.iter();
                row.own * own + others.map(|(j, w)| w * x[*j as usize]).sum::<f64>()
            });
            x = next.collect();
            norm = x.iter().map(|value| value * value).sum::<f64>().sqrt();
        }
        norm
    }
}

/// The cosine of 2πk/n, from which the eigenvalues of rings and tori follow.
fn wave(k: u32, n: u32) -> f64 {
    libm::cos(2.0 * PI * f64::from(k) / f64::from(n))
}
