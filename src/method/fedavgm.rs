//! FedAvgM: FedAvg with momentum on the server, `v ← β v + Δ` and `w ← w + η v` (Hsu, Qi and Brown,
//! "Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification",
//! 2019, section 4.3). With Nesterov's momentum the step looks ahead, `w ← w + η (Δ + β v)`, in the
//! form of PyTorch (Sutskever et al., 2013).

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
    /// Whether the momentum is Nesterov's.
    pub nesterov: bool,
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Default for FedAvgM {
    fn default() -> Self {
        Self {
            lr: 1.0,
            momentum: 0.9,
            nesterov: false,
            weighting: Weighting::Samples,
        }
    }
}

method_of_rule!(FedAvgM);

impl ServerRule for FedAvgM {
    const FLOPS: u64 = 4;

    /// Nesterov's step multiplies and adds once more.
    fn flops(&self) -> u64 {
        match self.nesterov {
            true => Self::FLOPS + 2,
            false => Self::FLOPS,
        }
    }

    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = check(self.lr, &[("momentum", self.momentum)], None);
        if self.nesterov && self.momentum == 0.0 {
            let message = "expected a number in (0, 1) with nesterov, found 0".to_string();
            problems.push(("momentum, nesterov", message));
        }
        problems
    }

    fn initial_second_moment(&self) -> Option<f32> {
        None
    }

    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32) {
        let beta = self.momentum as f32;
        let m = beta * m + delta;
        let step = if self.nesterov { delta + beta * m } else { m };
        (w + self.lr as f32 * step, m, v)
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

    /// After the first round `w + η (1 + β) Δ`, and from then on `v ← β v + Δ`, `w ← w + η (Δ + β v)`.
    #[test]
    fn three_rounds_with_nesterovs_momentum_are_those_of_a_float64_reference() {
        let method = FedAvgM {
            lr: 0.8,
            momentum: 0.7,
            nesterov: true,
            ..FedAvgM::default()
        };
        let mut toy = Toy::new(&method, &local());
        let (mut w, mut v) = (start().to_vec(), vec![0.0; start().len()]);
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            let average = mean(&Descent::of_local().cohort(&w, round), size);
            let delta = combine(&[(1.0, &average), (-1.0, &w)]);
            v = combine(&[(0.7, &v), (1.0, &delta)]);
            if round == 1 {
                close(&toy.model(), &combine(&[(1.0, &w), (0.8 * 1.7, &delta)]));
            }
            w = combine(&[(1.0, &w), (0.8, &delta), (0.8 * 0.7, &v)]);
            close(&toy.model(), &w);
        }
        assert_eq!(method.flops(), FedAvgM::default().flops() + 2);
    }

    #[test]
    fn nesterovs_momentum_needs_a_momentum() {
        let method = FedAvgM {
            momentum: 0.0,
            nesterov: true,
            ..FedAvgM::default()
        };
        let fields: Vec<&str> = method
            .problems()
            .into_iter()
            .map(|(field, _)| field)
            .collect();
        assert_eq!(fields, ["momentum, nesterov"]);
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
