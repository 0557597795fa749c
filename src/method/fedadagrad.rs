//! FedAdagrad (Reddi et al., ICLR 2021, algorithm 2): the second moment is `v ← v + Δ²`.

use super::server_optimizer::{adaptive_step, check, first_moment, method_of_rule, ServerRule};
use super::Weighting;
use serde::{Deserialize, Serialize};

/// FedAdagrad, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAdagrad {
    /// The server's learning rate η.
    pub lr: f64,
    /// The decay β₁ of the first moment.
    pub beta1: f64,
    /// The degree of adaptivity τ.
    pub tau: f64,
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Default for FedAdagrad {
    fn default() -> Self {
        Self {
            lr: 0.1,
            // Section 5 of the paper runs FedAdagrad without momentum.
            beta1: 0.0,
            tau: 0.001,
            weighting: Weighting::Samples,
        }
    }
}

method_of_rule!(FedAdagrad);

impl ServerRule for FedAdagrad {
    const FLOPS: u64 = 10;

    fn problems(&self) -> Vec<(&'static str, String)> {
        check(self.lr, &[("beta1", self.beta1)], Some(self.tau))
    }

    fn initial_second_moment(&self) -> Option<f32> {
        Some((self.tau * self.tau) as f32)
    }

    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32) {
        let m = first_moment(self.beta1, m, delta);
        let v = v + delta * delta;
        (adaptive_step([self.lr, self.tau], w, m, v), m, v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{close, local, mean, size, start, Descent, Toy};

    #[test]
    fn three_rounds_are_those_of_a_float64_reference() {
        let method = FedAdagrad {
            lr: 0.05,
            beta1: 0.6,
            tau: 0.02,
            ..FedAdagrad::default()
        };
        let mut toy = Toy::new(&method, &local());
        let mut w = start().to_vec();
        let mut moments = vec![(0.0, 0.02 * 0.02); w.len()];
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            let average = mean(&Descent::of_local().cohort(&w, round), size);
            for ((w, (m, v)), average) in w.iter_mut().zip(&mut moments).zip(&average) {
                let delta = average - *w;
                *m = 0.6 * *m + 0.4 * delta;
                *v += delta * delta;
                *w += 0.05 * *m / (v.sqrt() + 0.02);
            }
            close(&toy.model(), &w);
        }
    }
}
