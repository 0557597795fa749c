//! FedAvgM (Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
//! Visual Classification", 2019, section 4.3): `v ← β v + Δ`, `w ← w + η v`.

use super::fedavg::Trainer;
use super::server_optimizer::{check, Optimizing, Rule};
use super::{ClientHalf, Method, MethodError, ServerHalf, Setup, Weighting};
use crate::learn::LocalTraining;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedAvg with server momentum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAvgM {
    /// The server learning rate η.
    pub lr: f64,
    /// The momentum β.
    pub momentum: f64,
    /// How much a report counts.
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

impl Method for FedAvgM {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        check(self.lr, &[("momentum", self.momentum)], None)
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Optimizing::new(
            self.clone(),
            self.weighting,
            setup,
        )?))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Trainer { proximal: None })
    }
}

impl Rule for FedAvgM {
    const FLOPS: u64 = 4;

    fn initial_second_moment(&self) -> f32 {
        0.0
    }

    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32) {
        let m = self.momentum as f32 * m + delta;
        (w + self.lr as f32 * m, m, v)
    }
}
