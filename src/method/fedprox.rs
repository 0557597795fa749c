//! FedProx (Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020, equation 2):
//! FedAvg whose clients minimise `F_k(w) + μ/2 ‖w − w_t‖²`.

use super::average::Weighting;
use super::fedavg::{Averager, Trainer};
use super::{ClientHalf, Method, MethodError, ServerHalf, Setup};
use crate::learn::LocalTraining;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedProx with proximal weight `mu`; 0 is FedAvg.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedProx {
    /// The proximal weight μ.
    pub mu: f64,
    /// How much a report counts.
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
        if self.mu.is_finite() && self.mu >= 0.0 {
            Vec::new()
        } else {
            vec![(
                "mu",
                format!("expected a number of 0 or more, found {}", self.mu),
            )]
        }
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Averager::new(setup.initial, self.weighting)))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Trainer {
            proximal: Some(self.mu),
        })
    }
}
