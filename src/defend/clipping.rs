//! Norm clipping: an update longer than a bound is scaled down to the bound (Sun et al., "Can You
//! Really Backdoor Federated Learning?", 2019, section 4).

use super::cohort::{narrow, norm_squared};
use super::{positive, Access, Defence, Streaming, Sum, Update};
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// The aggregate is `Σ n_k Δ_k min(1, M / ‖Δ_k‖) / Σ n_k`, where n_k is the number of samples of
/// client k, as in the plain mean. Clipping bounds the influence of one client but does not change
/// the direction of its update. Reports are taken one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NormClipping {
    /// The bound M, in the unit of the norm of updates.
    pub bound: f64,
}

impl Default for NormClipping {
    fn default() -> Self {
        Self { bound: 1.0 }
    }
}

/// The factor by which an update is multiplied so that its norm is at most `bound`.
pub(super) fn factor(update: &[f32], bound: f64) -> f64 {
    let norm = norm_squared(update).sqrt();
    if norm > bound {
        bound / norm
    } else {
        1.0
    }
}

impl Defence for NormClipping {
    fn check(&self) -> Vec<(&'static str, String)> {
        positive("bound", self.bound).into_iter().collect()
    }

    fn access(&self) -> Access<'_> {
        Access::Streaming(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        n.saturating_mul(d).saturating_mul(4)
    }
}

impl Streaming for NormClipping {
    fn add(&self, sum: &mut Sum, update: &Update<'_>) {
        let factor = factor(update.values, self.bound);
        sum.add(update.values, factor, f64::from(update.samples));
    }

    fn finish(&self, sum: &Sum, _: &mut Stream) -> Vec<f32> {
        narrow(&sum.mean())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_mean_of_clipped_updates_is_that_of_a_float64_reference(
            cohort in cohorts(1..9), bound in 0.01f64..20.0,
        ) {
            let got = cohort.aggregate(&NormClipping { bound });
            let clipped: Vec<Vec<f64>> = cohort.wide().into_iter().map(|u| {
                let norm = u.iter().map(|v| v * v).sum::<f64>().sqrt();
                u.iter().map(|v| v * (bound / norm.max(1e-300)).min(1.0)).collect()
            }).collect();
            let total: f64 = cohort.samples.iter().map(|n| f64::from(*n)).sum();
            for i in 0..got.len() {
                let exact: f64 = clipped.iter().zip(&cohort.samples)
                    .map(|(u, n)| u[i] * f64::from(*n) / total).sum();
                prop_assert!(near(got[i], exact));
            }
            // Whatever is sent, the aggregate is no longer than the bound.
            prop_assert!(norm(&got) <= bound * (1.0 + 1e-5));
        }
    }

    #[test]
    fn one_huge_update_moves_the_aggregate_by_its_share_of_the_bound_at_most() {
        let honest = Fixed::around(&[0.1, -0.2, 0.3], 0.01, 9);
        let attacked = honest.clone().with(1, |_| vec![1e6, 0.0, 0.0]);
        let defence = NormClipping { bound: 1.0 };
        let got = attacked.aggregate(&defence);
        assert!(apart(&got, &honest.mean()) < 0.11 + 0.05, "{got:?}");
        // Without the defence the mean is lost.
        assert!(apart(&attacked.mean(), &honest.mean()) > 1e4);
    }
}
