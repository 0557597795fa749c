//! The majority vote of signSGD, applied to updates instead of gradients (Bernstein et al.,
//! "signSGD with Majority Vote is Communication Efficient and Fault Tolerant", ICLR 2019, algorithm
//! 1).

use super::{positive, Access, Defence, Streaming, Sum, Update};
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// Each value of the aggregate is `rate · sign(Σ sign(Δ_k))`; a tie moves nothing. Reports are
/// taken one by one, and every client has one vote on every value. A value is right while fewer
/// than half of the votes on it come from adversaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignMajority {
    /// The amount by which a value of the model moves in a round.
    pub rate: f64,
}

impl Default for SignMajority {
    fn default() -> Self {
        Self { rate: 0.001 }
    }
}

impl Defence for SignMajority {
    /// Adversaries must be less than half of the reports.
    fn bears(&self, n: u32) -> Option<u32> {
        Some(n.saturating_sub(1) / 2)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        positive("rate", self.rate).into_iter().collect()
    }

    fn access(&self) -> Access<'_> {
        Access::Streaming(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        n.saturating_mul(2).saturating_add(2).saturating_mul(d)
    }
}

impl Streaming for SignMajority {
    fn add(&self, sum: &mut Sum, update: &Update<'_>) {
        for (votes, value) in sum.values.iter_mut().zip(update.values) {
            // Rust's `signum` of a zero is 1, so zeros are left out: they are no vote.
            if *value != 0.0 {
                *votes += f64::from(value.signum());
            }
        }
        sum.weight += 1.0;
    }

    fn finish(&self, sum: &Sum, _: &mut Stream) -> Vec<f32> {
        let step = |votes: &f64| match *votes {
            v if v > 0.0 => self.rate as f32,
            v if v < 0.0 => -self.rate as f32,
            _ => 0.0,
        };
        sum.values.iter().map(step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_moves_by_the_rate_to_where_more_updates_point(cohort in cohorts(1..9)) {
            let got = cohort.aggregate(&SignMajority { rate: 0.5 });
            let wide = cohort.wide();
            for (i, got) in got.iter().enumerate() {
                let up = wide.iter().filter(|u| u[i] > 0.0).count();
                let down = wide.iter().filter(|u| u[i] < 0.0).count();
                let exact = match up.cmp(&down) {
                    std::cmp::Ordering::Greater => 0.5,
                    std::cmp::Ordering::Less => -0.5,
                    std::cmp::Ordering::Equal => 0.0,
                };
                prop_assert_eq!(*got, exact);
            }
        }
    }

    #[test]
    fn it_stands_below_half_of_the_votes_and_falls_beyond() {
        let honest = Fixed::around(&[1.0, -1.0, 2.0], 0.1, 11);
        let defence = SignMajority { rate: 0.1 };
        let against = |f| {
            honest
                .clone()
                .with(f, |u| u.iter().map(|v| -9.0 * v).collect())
        };
        let expected = vec![0.1, -0.1, 0.1];
        assert_eq!(against(5).aggregate(&defence), expected);
        assert_eq!(against(6).aggregate(&defence), vec![-0.1, 0.1, -0.1]);
    }
}
