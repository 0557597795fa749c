//! FedAdagrad (Reddi et al., ICLR 2021, algorithm 2): `v ← v + Δ²`.

use super::fedavg::Trainer;
use super::server_optimizer::{check, Optimizing, Rule};
use super::{ClientHalf, Method, MethodError, ServerHalf, Setup, Weighting};
use crate::learn::LocalTraining;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedAdagrad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedAdagrad {
    /// The server learning rate η.
    pub lr: f64,
    /// The decay β₁ of the first moment.
    pub beta1: f64,
    /// The degree of adaptivity τ.
    pub tau: f64,
    /// How much a report counts.
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

impl Method for FedAdagrad {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        check(self.lr, &[("beta1", self.beta1)], Some(self.tau))
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

impl Rule for FedAdagrad {
    const FLOPS: u64 = 9;

    fn initial_second_moment(&self) -> f32 {
        (self.tau * self.tau) as f32
    }

    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32) {
        let beta1 = self.beta1 as f32;
        let m = beta1 * m + (1.0 - beta1) * delta;
        let v = v + delta * delta;
        (w + self.lr as f32 * m / (v.sqrt() + self.tau as f32), m, v)
    }
}
