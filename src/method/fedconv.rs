//! FedConv (Shen et al., "FedConv: A Learning-on-Model Paradigm for Heterogeneous Federated
//! Clients", MobiSys 2024). On a public set, the server learns convolutions over the parameters
//! themselves. They compress the global model to each client's width and dilate the models that
//! come back. The server also learns element-wise weights with which it adds the dilated models.
//! Clients know nothing of this: they are sent a dense sub-model and return one.
//!
//! A round, with the authors' names: The global model θ is fine-tuned on the public set. For each
//! width, a bank F_j is learned so that Compress(θ, F_j) performs well on the set. The clients
//! train. Each client's model is fine-tuned on the public set, and a bank G_k is learned for it so
//! that Dilate(θ_k, G_k) performs well. At last, weights a_k with one number for each value are
//! learned so that Σ n_k a_k ∘ Θ_k / Σ n_k performs well.
//!
//! Where this implementation departs from the authors' program, and why, is in `docs/methods.md`.
//!
//! - `adam`: the optimiser
//! - `bank`: the filters
//! - `fit`: gradient descent on the public set
//! - `learn`: learning of banks and of aggregation weights
//! - `jobs`: the jobs of the server
//! - `server`: the order of these jobs

mod adam;
mod bank;
mod fit;
mod jobs;
mod learn;
mod server;
#[cfg(test)]
mod tests;

pub use bank::FilterInit;

use super::average::Weighting;
use super::fedavg::Trainer;
use super::{ClientHalf, Method, MethodError, ReportKind, ServerHalf, Setup};
use crate::learn::LocalTraining;
use crate::model::{LayerProblem, Model, ModelError};
use crate::quantity::bounds::{above_zero, at_most, MOST_PASSES};
use serde::{Deserialize, Serialize};
use server::Server;
use std::sync::Arc;
use tch::{TchError, Tensor};

/// FedConv, with its settings. Every number of epochs is a budget; the authors' numbers are in
/// brackets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedConv {
    /// The passes over the public set that fine-tune the global model before a round [10].
    pub tune: u32,
    /// The passes that learn a compression bank, and as many for a dilation bank [20].
    pub filter: u32,
    /// The passes that learn a bank from the sixth round on [10].
    pub filter_later: u32,
    /// The passes that fine-tune each client's model after a round [10].
    pub tune_clients: u32,
    /// The passes that learn the weights of the aggregation [20].
    pub aggregate: u32,
    /// Adam's learning rate for fine-tuning.
    pub tune_lr: f64,
    /// Adam's learning rate for filters and weights, halved every 25 rounds while it is above 1e-4.
    pub filter_lr: f64,
    /// The number of samples in a training step on the server.
    pub batch: usize,
    /// The function that is applied, twice, to every compressed or dilated value.
    pub activation: Activation,
    /// The initial filters.
    pub init: FilterInit,
    /// The initial weights of the aggregation.
    pub weights: WeightInit,
    /// The weight of a report, beside its learned weights.
    pub weighting: Weighting,
}

/// The function that is applied to compressed and dilated values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Activation {
    /// The identity. With [`FilterInit::Delta`], a round then starts as one of HeteroFL.
    #[default]
    Identity,
    /// The authors' modified leaky ReLU: `negative · x` below 0 and `positive · x` above; the
    /// authors use 0.001 and 0.85. Applied twice, it leaves a millionth of a negative weight.
    Mlr {
        /// The slope below 0.
        negative: f64,
        /// The slope above 0.
        positive: f64,
    },
}

impl Activation {
    /// The function applied twice, in one pass: a slope of 0 or more leaves the sign, so the value
    /// meets that slope again; a slope below 0 sends the value to the other one.
    fn twice(self, x: Tensor) -> Result<Tensor, TchError> {
        let Self::Mlr { negative, positive } = self else {
            return Ok(x);
        };
        let again = |slope: f64, other| slope * if slope < 0.0 { other } else { slope };
        let (below, above) = (again(negative, positive), again(positive, negative));
        let upper = x.f_relu()?.f_mul_scalar(above)?;
        upper.f_add(&x.f_clamp_max(0.0)?.f_mul_scalar(below)?)
    }
}

/// The initial element-wise weights of the aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum WeightInit {
    /// Ones: before anything is learned, the aggregation is the weighted mean.
    #[default]
    Ones,
    /// Numbers drawn from N(0, 1), as the authors do.
    Normal,
}

impl Default for FedConv {
    fn default() -> Self {
        Self {
            tune: 10,
            filter: 20,
            filter_later: 10,
            tune_clients: 10,
            aggregate: 20,
            tune_lr: 1e-4,
            filter_lr: 1e-3,
            batch: 32,
            activation: Activation::default(),
            init: FilterInit::default(),
            weights: WeightInit::default(),
            weighting: Weighting::Samples,
        }
    }
}

impl Method for FedConv {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (field, rate) in [("tune_lr", self.tune_lr), ("filter_lr", self.filter_lr)] {
            problems.extend(above_zero(field, rate, 1e6));
        }
        for (field, passes) in [
            ("tune", self.tune),
            ("filter", self.filter),
            ("filter_later", self.filter_later),
            ("tune_clients", self.tune_clients),
            ("aggregate", self.aggregate),
        ] {
            problems.extend(at_most(field, passes, MOST_PASSES));
        }
        if self.batch == 0 {
            problems.push((
                "batch",
                "expected a whole number of 1 or more, found 0".into(),
            ));
        }
        if let Activation::Mlr { negative, positive } = self.activation {
            let fine = |slope: f64| (-1e6..=1e6).contains(&slope);
            if !(fine(negative) && fine(positive)) {
                problems.push(("activation", "expected slopes in [-1e6, 1e6]".into()));
            }
        }
        problems
    }

    fn sizes(&self) -> bool {
        true
    }

    fn needs_public(&self) -> bool {
        true
    }

    fn sub_model(&self, full: &Model, ratio: f64) -> Result<Model, ModelError> {
        if full.has_statistics() {
            // Batch statistics are measured, not learned, so no filter can make them from others.
            return Err(ModelError {
                problems: vec![LayerProblem {
                    path: "layers".into(),
                    message: STATISTICS.into(),
                }],
            });
        }
        full.narrowed(ratio)
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Parts
    }

    fn modelled(&self) -> Result<(), &'static str> {
        Err("its server works on each report with what it has learned")
    }

    fn reads_layers(&self) -> Option<&'static str> {
        Some("its filters compress every layer")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        if setup.model.has_statistics() {
            // This check is needed where all clients have the full width, so that no sub-model was
            // refused.
            return Err(MethodError::Network(STATISTICS));
        }
        Ok(Box::new(Server::new(self.clone(), setup)))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Trainer { proximal: None })
    }
}

/// Why batch statistics are refused, and what to use instead.
const STATISTICS: &str =
    "FedConv cannot learn the statistics of BatchNorm, which are measured: use GroupNorm";
