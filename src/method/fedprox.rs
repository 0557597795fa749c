//! FedProx: FedAvg whose clients minimise `F_k(w) + μ/2 ‖w − w_t‖²` (Li et al., "Federated
//! Optimization in Heterogeneous Networks", MLSys 2020, equation 2).

use super::average::Weighting;
use super::fedavg::{Averager, Trainer};
use super::{ClientHalf, Method, MethodError, ReportKind, ServerHalf, Setup};
use crate::learn::LocalTraining;
use crate::quantity::bounds::{zero_or_more, MOST};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedProx, with its settings; with `mu: 0` it is FedAvg.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedProx {
    /// The weight μ of the proximal term.
    pub mu: f64,
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Default for FedProx {
    fn default() -> Self {
        Self {
            mu: 0.01,
            weighting: Weighting::Samples,
        }
    }
}

impl Method for FedProx {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let problem = zero_or_more("mu", self.mu, MOST);
        problem.into_iter().collect()
    }

    fn is_plain_mean(&self) -> bool {
        true
    }

    fn mixes_without_server(&self) -> bool {
        true
    }

    fn weighting(&self) -> Weighting {
        self.weighting
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Model
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Averager::new(setup.initial, self.weighting)))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Trainer {
            proximal: (self.mu > 0.0).then_some(self.mu),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::fedavg::FedAvg;
    use crate::method::testing::{close, local, mean, size, start, Descent, Toy};

    #[test]
    fn three_rounds_are_those_of_a_float64_reference() {
        let method = FedProx {
            mu: 0.7,
            ..FedProx::default()
        };
        let mut toy = Toy::new(&method, &local());
        let descent = Descent {
            mu: 0.7,
            ..Descent::of_local()
        };
        let mut w = start().to_vec();
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            w = mean(&descent.cohort(&w, round), size);
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn without_its_term_it_is_fedavg_bit_for_bit() {
        let after = |method: &dyn Method| {
            let mut toy = Toy::new(method, &local());
            toy.round(&[0, 1, 2]);
            toy.round(&[1, 2]);
            toy.model().digest().unwrap()
        };
        let mut plain = FedProx::default();
        let with_term = after(&plain);
        plain.mu = 0.0;
        assert_eq!(after(&plain), after(&FedAvg::default()));
        assert_ne!(after(&plain), with_term);
        assert_eq!(plain.client().corrections(), 0);
    }

    #[test]
    fn a_negative_term_is_refused() {
        let method = FedProx {
            mu: -1.0,
            ..FedProx::default()
        };
        let problems = method.check(&local());
        let message = "expected a number of 0 or more, found -1".to_string();
        assert_eq!(problems, [("mu", message)]);
    }
}
