//! The geometric median by the smoothed Weiszfeld algorithm, known as RFA (Pillutla, Kakade and
//! Harchaoui, "Robust Aggregation for Federated Learning", IEEE Transactions on Signal Processing
//! 2022, algorithm 2).

use super::cohort::{add, narrow};
use super::{iterations, positive, Access, Cohort, Defence, Keeping, Memory};
use serde::{Deserialize, Serialize};

/// The aggregate is approximately the point v with the least weighted sum of distances to the
/// updates. Starting from the mean of the updates, the step `v ← Σ β_k Δ_k / Σ β_k` with `β_k = n_k
/// / max(ν, ‖v − Δ_k‖)` is taken `iterations` times.
///
/// The updates of the cohort are kept; the samples n_k are the weights. The rule works while
/// adversaries have less than half of the weight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeometricMedian {
    /// The number of Weiszfeld steps; the paper finds 3 enough in practice.
    pub iterations: u32,
    /// The smoothing ν, in the unit of the norm of updates.
    pub smoothing: f64,
}

impl Default for GeometricMedian {
    fn default() -> Self {
        Self {
            iterations: 10,
            smoothing: 1e-6,
        }
    }
}

/// The Euclidean distance ‖v − x‖.
pub(super) fn distance(v: &[f64], x: &[f32]) -> f64 {
    let pairs = v.iter().zip(x);
    let squared: f64 = pairs.map(|(v, x)| (v - f64::from(*x)).powi(2)).sum();
    squared.sqrt()
}

impl Defence for GeometricMedian {
    /// Adversaries must be less than half of the reports.
    fn bears(&self, n: u32) -> Option<u32> {
        Some(n.saturating_sub(1) / 2)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let problems = [
            iterations("iterations", self.iterations),
            positive("smoothing", self.smoothing),
        ];
        problems.into_iter().flatten().collect()
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        let steps = u64::from(self.iterations)
            .saturating_mul(5)
            .saturating_add(2);
        steps.saturating_mul(n).saturating_mul(d)
    }
}

impl Keeping for GeometricMedian {
    fn aggregate(&self, cohort: &Cohort<'_>, _: &Memory) -> Vec<f32> {
        let samples: Vec<f64> = cohort.samples.iter().map(|n| f64::from(*n)).collect();
        let mut v = cohort.mean(&samples);
        for _ in 0..self.iterations {
            let each = cohort.updates.iter().zip(&samples);
            let weights: Vec<f64> = each
                .map(|(update, n)| n / distance(&v, update).max(self.smoothing))
                .collect();
            let total: f64 = weights.iter().sum();
            if !(total > 0.0 && total.is_finite()) {
                break;
            }
            v.fill(0.0);
            for (update, weight) in cohort.updates.iter().zip(&weights) {
                add(&mut v, update, weight / total);
            }
        }
        narrow(&v)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    /// Σ n ‖v − x‖
    fn objective(cohort: &Fixed, v: &[f64]) -> f64 {
        let wide = cohort.wide();
        let each = wide.iter().zip(&cohort.samples);
        each.map(|(x, n)| f64::from(*n) * squared(x, v).sqrt())
            .sum()
    }

    proptest! {
        #[test]
        fn the_steps_are_those_of_a_float64_reference(cohort in cohorts(1..9), iterations in 1u32..6) {
            let got = cohort.aggregate(&GeometricMedian { iterations, smoothing: 1e-3 });
            let wide = cohort.wide();
            let total: f64 = cohort.samples.iter().map(|n| f64::from(*n)).sum();
            let mut v: Vec<f64> = (0..got.len()).map(|i| wide.iter().zip(&cohort.samples)
                .map(|(x, n)| x[i] * f64::from(*n) / total).sum()).collect();
            for _ in 0..iterations {
                let beta: Vec<f64> = wide.iter().zip(&cohort.samples)
                    .map(|(x, n)| f64::from(*n) / squared(x, &v).sqrt().max(1e-3)).collect();
                let sum: f64 = beta.iter().sum();
                v = (0..v.len()).map(|i| wide.iter().zip(&beta).map(|(x, b)| x[i] * b / sum).sum()).collect();
            }
            for (got, exact) in got.iter().zip(&v) {
                prop_assert!(near(*got, *exact), "{} {}", got, exact);
            }
        }

        /// Nearly the minimum: no step in any direction makes the sum of distances much less.
        #[test]
        fn after_many_steps_no_neighbour_has_a_smaller_sum_of_distances(cohort in cohorts(3..8)) {
            let got = cohort.aggregate(&GeometricMedian { iterations: 3000, smoothing: 1e-7 });
            let v: Vec<f64> = got.iter().map(|v| f64::from(*v)).collect();
            let here = objective(&cohort, &v);
            for i in 0..v.len() {
                for step in [0.1, -0.1] {
                    let mut other = v.clone();
                    other[i] += step;
                    prop_assert!(objective(&cohort, &other) > here - 1e-3 * here);
                }
            }
        }
    }

    #[test]
    fn it_stands_below_half_of_the_weight_and_falls_beyond() {
        let honest = Fixed::around(&[1.0, -2.0], 0.1, 11);
        let defence = GeometricMedian {
            iterations: 100,
            smoothing: 1e-6,
        };
        let attacked = |f| honest.clone().with(f, |_| vec![1e4, 1e4]);
        assert!(apart(&attacked(5).aggregate(&defence), &[1.0, -2.0]) < 1.0);
        assert!(norm(&attacked(6).aggregate(&defence)) > 1e3);
        // It is weight that counts, not heads.
        let mut heavy = attacked(2);
        heavy.samples[10] = 10_000;
        assert!(norm(&heavy.aggregate(&defence)) > 1e3);
    }
}
