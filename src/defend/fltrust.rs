//! FLTrust: the server trains on a small clean set of its own and trusts the updates that point in
//! the direction of its own update (Cao et al., "FLTrust: Byzantine-robust Federated Learning via
//! Trust Bootstrapping", NDSS 2021, section IV).

use super::cohort::{dot, narrow, norm_squared};
use super::{Access, Defence, Streaming, Sum, Update};
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// The aggregate is `Σ TS_k (‖g₀‖ / ‖Δ_k‖) Δ_k / Σ TS_k` with the trust scores `TS_k = max(0,
/// cos(Δ_k, g₀))`; it is zero if no report is trusted. The server's own update g₀ comes from
/// training the global model on the public set of the scenario, with the local training of the
/// first group, before the clients are asked.
///
/// Reports are taken one by one; trust scores are the weights, samples are not. No number of
/// adversaries breaks the rule as long as the public set is like the clients' data.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlTrust {}

impl Defence for FlTrust {
    fn needs_public(&self) -> bool {
        true
    }

    fn access(&self) -> Access<'_> {
        Access::Streaming(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        n.saturating_mul(6).saturating_add(2).saturating_mul(d)
    }
}

impl Streaming for FlTrust {
    fn add(&self, sum: &mut Sum, update: &Update<'_>) {
        let Some(trusted) = update.trusted else {
            return;
        };
        let own = norm_squared(trusted).sqrt();
        let theirs = norm_squared(update.values).sqrt();
        let scale = own * theirs;
        if scale > 0.0 && scale.is_finite() {
            let trust = (dot(update.values, trusted) / scale).clamp(0.0, 1.0);
            if trust > 0.0 {
                sum.add(update.values, own / theirs, trust);
            }
        }
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

    fn trusting(cohort: Fixed, own: &[f32]) -> Fixed {
        let trusted = Some(own[..cohort.updates[0].len()].to_vec());
        Fixed { trusted, ..cohort }
    }

    proptest! {
        #[test]
        fn it_is_that_of_a_float64_reference(
            cohort in cohorts(1..9), own in prop::collection::vec(-10.0f32..10.0, 7),
        ) {
            let cohort = trusting(cohort, &own);
            let got = cohort.aggregate(&FlTrust {});
            let g: Vec<f64> = cohort.trusted.as_ref().unwrap().iter().map(|v| f64::from(*v)).collect();
            let zero = vec![0.0; g.len()];
            let length = |v: &[f64]| squared(v, &zero).sqrt();
            let (mut sum, mut total) = (zero.clone(), 0.0);
            for u in cohort.wide() {
                let product: f64 = u.iter().zip(&g).map(|(a, b)| a * b).sum();
                let trust = (product / (length(&u) * length(&g))).max(0.0);
                if trust > 0.0 {
                    total += trust;
                    for (sum, u_i) in sum.iter_mut().zip(&u) {
                        *sum += trust * u_i * length(&g) / length(&u);
                    }
                }
            }
            for (got, sum) in got.iter().zip(&sum) {
                let exact = if total > 0.0 { sum / total } else { 0.0 };
                prop_assert!(near(*got, exact));
            }
            prop_assert!(norm(&got) <= length(&g) * (1.0 + 1e-5));
        }
    }

    #[test]
    fn adversaries_that_outnumber_the_honest_are_not_heard() {
        let honest = trusting(Fixed::around(&[1.0, -2.0], 0.1, 10), &[0.9, -2.1]);
        let attacked = honest.with(8, |u| u.iter().map(|v| -100.0 * v).collect());
        assert!(apart(&attacked.aggregate(&FlTrust {}), &[1.0, -2.0]) < 0.3);
    }

    #[test]
    fn where_nobody_is_trusted_nothing_moves() {
        let cohort = trusting(Fixed::around(&[1.0, -2.0], 0.1, 4), &[-1.0, 2.0]);
        assert_eq!(cohort.aggregate(&FlTrust {}), [0.0, 0.0]);
        let blind = Fixed::around(&[1.0, -2.0], 0.1, 4);
        assert_eq!(blind.aggregate(&FlTrust {}), [0.0, 0.0]);
    }
}
