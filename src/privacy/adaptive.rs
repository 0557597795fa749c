//! Adaptive clipping: a bound that follows a quantile of the norms of the updates (Andrew, Thakkar,
//! McMahan and Ramaswamy, "Differentially Private Learning with Adaptive Clipping", NeurIPS 2021).

use crate::quantity::bounds::{above_zero, MOST};
use serde::{Deserialize, Serialize};

/// The settings of adaptive clipping. After each round the bound C becomes C·exp(−rate·(b̃ −
/// quantile)), where b̃ is the noisy share of updates that were within the bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adaptive {
    /// The share of updates that shall be within the bound.
    pub quantile: f64,
    /// The rate η_C of the geometric step.
    pub rate: f64,
    /// The standard deviation σ_b of the noise on the number of updates within the bound. If not
    /// given, it is a twentieth of the cohort, as in the paper.
    pub count_noise: Option<f64>,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            quantile: 0.5,
            rate: 0.2,
            count_noise: None,
        }
    }
}

impl Adaptive {
    /// The standard deviation σ_b in rounds of `cohort` clients.
    pub fn count_noise(&self, cohort: u32) -> f64 {
        self.count_noise.unwrap_or(f64::from(cohort) / 20.0)
    }

    /// The noise multiplier z_Δ of the updates with which updates and count together cost as much
    /// privacy as one mechanism with the multiplier `z`: z_Δ = (z⁻² − (2σ_b)⁻²)^−½ (theorem 1).
    /// `None` if the count alone costs more.
    pub fn noise(&self, z: f64, cohort: u32) -> Option<f64> {
        let twice = 2.0 * self.count_noise(cohort);
        let left = 1.0 / (z * z) - 1.0 / (twice * twice);
        (left > 0.0).then(|| 1.0 / libm::sqrt(left))
    }

    /// The bound after a round in which the noisy share `within` of the updates was within `bound`.
    pub fn next(&self, bound: f64, within: f64) -> f64 {
        let next = bound * libm::exp(-self.rate * (within - self.quantile));
        // Noise must not drive the bound so far that it cannot return.
        next.clamp(1e-12, 1e12)
    }

    /// The problems with the settings for the noise multiplier `z` and rounds of `cohort` clients:
    /// for each, the name of the field and a message.
    pub fn check(&self, z: f64, cohort: u32) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(0.0..=1.0).contains(&self.quantile) {
            let found = self.quantile;
            let message = format!("expected a share in [0, 1], found {found}");
            problems.push(("adaptive.quantile", message));
        }
        problems.extend(above_zero("adaptive.rate", self.rate, 1e3));
        let count_noise = self.count_noise(cohort);
        if let Some(problem) = above_zero("adaptive.count_noise", count_noise, MOST) {
            problems.push(problem);
        } else if z > 0.0 && self.noise(z, cohort).is_none() {
            let message = format!(
                "noise of {count_noise} on the count reveals more than noise: {z} is to allow: \
                 expected a number above {}",
                z / 2.0
            );
            problems.push(("adaptive.count_noise", message));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_moves_to_the_quantile_and_stays_there() {
        let adaptive = Adaptive::default();
        let norms: Vec<f64> = (1..=100).map(|i| f64::from(i) / 10.0).collect();
        for start in [0.01, 90.0] {
            let mut bound = start;
            for _ in 0..400 {
                let within = norms.iter().filter(|norm| **norm <= bound).count();
                bound = adaptive.next(bound, within as f64 / 100.0);
            }
            assert!((bound - 5.0).abs() < 0.3, "{bound}");
        }
    }

    #[test]
    fn update_and_count_together_cost_what_the_noise_says() {
        // Two Gaussian mechanisms with multipliers a and b are one with (a⁻² + b⁻²)^−½; the count,
        // shifted to ±½, has sensitivity ½.
        let adaptive = Adaptive {
            count_noise: Some(3.0),
            ..Adaptive::default()
        };
        let updates = adaptive.noise(1.1, 100).unwrap();
        let both = (updates.powi(-2) + (3.0f64 / 0.5).powi(-2)).powf(-0.5);
        assert!((both - 1.1).abs() < 1e-12);
        assert_eq!(Adaptive::default().count_noise(100), 5.0);
    }

    #[test]
    fn a_count_that_tells_too_much_is_refused_with_the_least_noise() {
        let adaptive = Adaptive {
            count_noise: Some(0.5),
            quantile: 1.5,
            rate: 0.0,
        };
        let problems = adaptive.check(1.1, 20);
        let fields: Vec<&str> = problems.iter().map(|(field, _)| *field).collect();
        assert_eq!(
            fields,
            ["adaptive.quantile", "adaptive.rate", "adaptive.count_noise"]
        );
        assert!(problems[2].1.ends_with("above 0.55"), "{problems:?}");
    }
}
