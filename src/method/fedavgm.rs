//! FedAvgM: FedAvg with momentum on the server, `v ← β v + Δ` and `w ← w + η v` (Hsu, Qi and Brown,
//! "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
//! 2019, section 4.3).

use super::server_optimizer::{check, method_of_rule, ServerRule};
use super::Weighting;
use serde::{Deserialize, Serialize};

/// FedAvg with server momentum, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAvgM {
    /// The server's learning rate η.
    pub lr: f64,
    /// The momentum β.
    pub momentum: f64,
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Default for FedAvgM {
    fn default() -> Self {
        Self {
            lr: 1.0,
            momentum: 0.9,
            weighting: Weighting::Samples,
        }
    }
}

method_of_rule!(FedAvgM);

impl ServerRule for FedAvgM {
    const FLOPS: u64 = 4;

    fn problems(&self) -> Vec<(&'static str, String)> {
        check(self.lr, &[("momentum", self.momentum)], None)
    }

    fn initial_second_moment(&self) -> Option<f32> {
        None
    }

    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32) {
        let m = self.momentum as f32 * m + delta;
        (w + self.lr as f32 * m, m, v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::fedavg::FedAvg;
    use crate::method::testing::{close, combine, local, mean, size, start, Descent, Toy};

    #[test]
    fn three_rounds_are_those_of_a_float64_reference() {
        let method = FedAvgM {
            lr: 0.8,
            momentum: 0.7,
            ..FedAvgM::default()
        };
        let mut toy = Toy::new(&method, &local());
        let (mut w, mut v) = (start().to_vec(), vec![0.0; start().len()]);
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            let average = mean(&Descent::of_local().cohort(&w, round), size);
            v = combine(&[(0.7, &v), (1.0, &average), (-1.0, &w)]);
            w = combine(&[(1.0, &w), (0.8, &v)]);
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn without_momentum_at_rate_1_it_is_fedavg_to_rounding() {
        let method = FedAvgM {
            momentum: 0.0,
            ..FedAvgM::default()
        };
        let average = FedAvg::default();
        let (mut a, mut b) = (Toy::new(&method, &local()), Toy::new(&average, &local()));
        for cohort in [[0, 1, 2], [2, 1, 0]] {
            a.round(&cohort);
            b.round(&cohort);
            let apart = a.model().distance_squared(&b.model()).unwrap();
            assert!(apart < 1e-12, "{apart}");
        }
    }
}
