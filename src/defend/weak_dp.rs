//! Weak differential privacy: norm clipping, and Gaussian noise on the aggregate that is too small
//! for a privacy guarantee (Sun et al., "Can You Really Backdoor Federated Learning?", 2019,
//! section 4).

use super::clipping::factor;
use super::cohort::narrow;
use super::{positive, Access, Defence, Streaming, Sum, Update};
use crate::quantity::Distribution;
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// The aggregate is the mean of the clipped updates plus noise from N(0, σ²) on every value.
/// Reports are taken one by one; samples are the weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WeakDp {
    /// The bound M, in the unit of the norm of updates.
    pub bound: f64,
    /// The standard deviation σ of the noise on each value of the aggregate; the paper takes 0.025.
    pub noise: f64,
}

impl Default for WeakDp {
    fn default() -> Self {
        Self {
            bound: 1.0,
            noise: 0.025,
        }
    }
}

impl Defence for WeakDp {
    fn check(&self) -> Vec<(&'static str, String)> {
        let fields = [("bound", self.bound), ("noise", self.noise)];
        let problems = fields.map(|(field, value)| positive(field, value));
        problems.into_iter().flatten().collect()
    }

    fn access(&self) -> Access<'_> {
        Access::Streaming(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        // A draw from a normal distribution is counted as ten operations.
        n.saturating_mul(4).saturating_add(11).saturating_mul(d)
    }
}

impl Streaming for WeakDp {
    fn add(&self, sum: &mut Sum, update: &Update<'_>) {
        let factor = factor(update.values, self.bound);
        sum.add(update.values, factor, f64::from(update.samples));
    }

    fn finish(&self, sum: &Sum, draws: &mut Stream) -> Vec<f32> {
        let noise = Distribution::Normal {
            mean: 0.0,
            std: self.noise,
        };
        let mut mean = sum.mean();
        for value in &mut mean {
            *value += noise.sample(draws);
        }
        narrow(&mean)
    }
}

#[cfg(test)]
mod tests {
    use super::super::clipping::NormClipping;
    use super::super::testing::*;
    use super::*;

    #[test]
    fn the_aggregate_is_the_clipped_mean_plus_noise_of_the_stated_deviation() {
        let values: Vec<f64> = (0..20_000).map(|i| f64::from(i % 7) - 3.0).collect();
        let cohort = Fixed::around(&values, 0.1, 5);
        let plain = cohort.aggregate(&NormClipping { bound: 2.0 });
        let noisy = cohort.aggregate(&WeakDp {
            bound: 2.0,
            noise: 0.05,
        });
        let noise: Vec<f64> = noisy
            .iter()
            .zip(&plain)
            .map(|(a, b)| f64::from(a - b))
            .collect();
        let n = noise.len() as f64;
        let mean = noise.iter().sum::<f64>() / n;
        let deviation = (noise.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        // Four standard errors.
        assert!(mean.abs() < 4.0 * 0.05 / n.sqrt(), "{mean}");
        assert!(
            (deviation - 0.05).abs() < 4.0 * 0.05 / (2.0 * n).sqrt(),
            "{deviation}"
        );
        // The noise is the round's own, and the same each time.
        assert_eq!(
            noisy,
            cohort.aggregate(&WeakDp {
                bound: 2.0,
                noise: 0.05
            })
        );
        let later = Fixed { round: 8, ..cohort };
        assert_ne!(
            noisy,
            later.aggregate(&WeakDp {
                bound: 2.0,
                noise: 0.05
            })
        );
    }
}
