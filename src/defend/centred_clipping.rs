//! Centred clipping: updates are clipped around the aggregate of the last round (Karimireddy, He
//! and Jaggi, "Learning from History for Byzantine Robust Optimization", ICML 2021, algorithm 2).

use super::cohort::narrow;
use super::geometric_median::distance;
use super::{iterations, positive, Access, Cohort, Defence, Keeping, Memory};
use serde::{Deserialize, Serialize};

/// Starting from the aggregate v of the last round (0 at first), the step `v ← v + 1/n Σ (Δ_k − v)
/// min(1, τ / ‖Δ_k − v‖)` is taken `iterations` times. A step moves v by at most τ, whatever
/// clients report.
///
/// The updates of the cohort are kept, and one vector between rounds; samples are no weights. The
/// proof in the paper assumes that clients use momentum, which lowers the variance of what they
/// send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CentredClipping {
    /// The radius τ, in the unit of the norm of updates.
    pub radius: f64,
    /// The number of steps in a round; the paper takes one.
    pub iterations: u32,
}

impl Default for CentredClipping {
    fn default() -> Self {
        Self {
            radius: 1.0,
            iterations: 1,
        }
    }
}

/// The number under which [`Memory`] keeps the last aggregate.
const CENTRE: u32 = 0;

impl Defence for CentredClipping {
    fn check(&self) -> Vec<(&'static str, String)> {
        let problems = [
            positive("radius", self.radius),
            iterations("iterations", self.iterations),
        ];
        problems.into_iter().flatten().collect()
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        let steps = u64::from(self.iterations).saturating_mul(6);
        steps.saturating_mul(n).saturating_mul(d)
    }
}

impl Keeping for CentredClipping {
    fn aggregate(&self, cohort: &Cohort<'_>, memory: &Memory) -> Vec<f32> {
        let mut v = vec![0.0f64; cohort.values()];
        for (v, kept) in v.iter_mut().zip(memory.get(CENTRE).unwrap_or_default()) {
            *v = f64::from(*kept);
        }
        let part = 1.0 / cohort.len().max(1) as f64;
        for _ in 0..self.iterations {
            let mut step = vec![0.0f64; v.len()];
            for update in cohort.updates {
                let apart = distance(&v, update);
                let factor = if apart > self.radius {
                    part * self.radius / apart
                } else {
                    part
                };
                for ((step, v), update) in step.iter_mut().zip(&v).zip(*update) {
                    *step += factor * (f64::from(*update) - v);
                }
            }
            v.iter_mut().zip(&step).for_each(|(v, step)| *v += step);
        }
        narrow(&v)
    }

    fn settle(&self, _: &Cohort<'_>, aggregate: &[f32], memory: &mut Memory) {
        memory.keep(CENTRE, aggregate.to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::super::settle;
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_rounds_are_those_of_a_float64_reference(
            cohort in cohorts(1..9), radius in 0.1f64..30.0, iterations in 1u32..4,
        ) {
            let defence = CentredClipping { radius, iterations };
            let wide = cohort.wide();
            let n = wide.len() as f64;
            let mut memory = Memory::default();
            let mut v = vec![0.0; wide[0].len()];
            for _ in 0..2 {
                let got = cohort.aggregate_after(&defence, &memory);
                cohort.look(|cohort| settle(&defence, cohort, &got, &mut memory));
                for _ in 0..iterations {
                    let old = v.clone();
                    for u in &wide {
                        let factor = (radius / squared(u, &old).sqrt().max(1e-300)).min(1.0);
                        for i in 0..v.len() {
                            v[i] += (u[i] - old[i]) * factor / n;
                        }
                    }
                }
                for (got, exact) in got.iter().zip(&v) {
                    prop_assert!((f64::from(*got) - exact).abs() < 1e-4, "{} {}", got, exact);
                }
            }
        }
    }

    #[test]
    fn adversaries_move_it_by_their_share_of_the_radius_at_most() {
        let honest = Fixed::around(&[0.3, -0.2], 0.05, 10);
        let attacked = honest.clone().with(3, |_| vec![1e6, 1e6]);
        let defence = CentredClipping {
            radius: 1.0,
            iterations: 1,
        };
        let (with, without) = (attacked.aggregate(&defence), honest.aggregate(&defence));
        assert!(apart(&with, &without) < 2.0 * 0.3 + 0.1);
        assert!(apart(&with, &without) > 0.2, "they do move it");
    }
}
