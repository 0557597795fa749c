//! Federated methods: each is one file, with a server half and a client half that exchange typed
//! payloads.
//!
//! A method never sees virtual time, links or devices. It defines four things:
//! - what a client is sent ([`ServerHalf::task`]);
//! - what the client does with it ([`ClientHalf`], which runs on a device worker as a pure function
//!   of its input);
//! - how the server takes in a report ([`ServerHalf::receive`]: one report at a time, so that
//!   memory does not grow with the cohort);
//! - what the server computes between rounds ([`ServerHalf::step`]).
//!
//! The state of clients and server is kept apart from jobs.
//!
//! A new method is one file in this folder, one line in [`registry`] and one scenario.

mod average;
mod centralised;
mod client;
mod depthfl;
mod error;
mod fedadagrad;
mod fedadam;
mod fedavg;
mod fedavgm;
mod fedconv;
mod feddropout;
mod fedmd;
mod fednova;
mod fedprox;
mod fedrolex;
mod fedsgd;
mod fedyogi;
mod fjord;
mod frozen;
mod hermes;
mod heterofl;
mod layer;
mod local_only;
mod lotteryfl;
mod payload;
mod pruning;
mod public;
mod public_only;
mod public_tuning;
pub mod registry;
mod scaffold;
mod server;
mod server_optimizer;
mod server_training;
mod sub_models;
mod tailorfl;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod value_mask;
mod whole;

pub use average::{WeightedSum, Weighting};
pub use client::{
    run_together, ClientHalf, ClientInput, ClientState, ClientWork, Metrics, Prospect, Training,
};
pub use error::MethodError;
pub(crate) use fedavg::FedAvg;
pub(crate) use frozen::Frozen;
pub use layer::{ClientLayer, LayeredClient, LayeredServer, ServerLayer};
pub use payload::{Coded, Form, Masked, Packet, Payload, PublicSamples, Scores};
pub use public::PublicData;
pub use public_tuning::PublicTuning;
pub use registry::MethodSpec;
pub use server::{Phase, Received, ServerHalf, ServerJob, ServerWork, Setup};
pub use server_optimizer::{server_of_rule, training_client, ServerRule};
pub use value_mask::{UnitFlags, ValueMask};
pub use whole::ReportKind;

pub(crate) use server_training::OwnTraining;
pub(crate) use whole::{difference, moved, Whole};

use crate::learn::LocalTraining;
use crate::model::{Model, ModelError};
use std::fmt::Debug;
use std::sync::Arc;

/// The models that exist when a run of a method is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves {
    /// Whether there is a global model.
    pub global: bool,
    /// Whether each client that took part has a model of its own.
    pub own: bool,
}

/// A federated method, with its hyper-parameters.
pub trait Method: Debug + Send + Sync {
    /// The problems with the hyper-parameters, alone or together with the clients' local training:
    /// for each, the name of the field (empty for the method as a whole) and a message. Where a
    /// field contradicts others, their names follow its own, as in `"weights, tiers"`.
    fn check(&self, local: &LocalTraining) -> Vec<(&'static str, String)> {
        let _ = local;
        Vec::new()
    }

    /// Whether clients may train sub-models of different sizes.
    fn sizes(&self) -> bool {
        false
    }

    /// Whether the statistics of batch normalisations are queried: local training leaves them alone,
    /// reports do not contain them, and they are measured on an aggregated model when it is evaluated
    /// (static batch normalisation, Diao et al., ICLR 2021, section 3). What a normalisation is given in
    /// a sub-model is not what it is given in a wider one, so the statistics of sub-models of different
    /// sizes have no mean that any of them could use.
    fn queries_statistics(&self) -> bool {
        self.sizes() && self.reports() == ReportKind::Parts
    }

    /// The network of clients of width `ratio`, made from the network `full`.
    ///
    /// # Errors
    /// When the layers do not fit at that width.
    fn sub_model(&self, full: &Model, ratio: f64) -> Result<Model, ModelError> {
        full.narrowed(ratio)
    }

    /// Whether the method learns from a public set.
    fn needs_public(&self) -> bool {
        false
    }

    /// The models that exist when a run is over and can be written to files.
    fn leaves(&self) -> Leaves {
        Leaves {
            global: true,
            own: false,
        }
    }

    /// Whether all clients start from one model, the server's.
    fn begins_with_one(&self) -> bool {
        true
    }

    /// Whether the method keeps frozen layers unchanged, bit for bit. That is so if clients train
    /// by [`crate::learn::train`] and the server changes its model only by a mean, which can be
    /// corrected ([`ServerHalf::adopt`]).
    ///
    /// # Errors
    /// The reason why it does not, in words.
    fn freezes(&self) -> Result<(), &'static str> {
        Err("it changes parameters in ways of its own")
    }

    /// The reason why the method has to know the layers of the network, in words; `None` if it
    /// works with any network, including a TorchScript module.
    fn reads_layers(&self) -> Option<&'static str> {
        None
    }

    /// What the method's clients report. Layers, defences and attacks use this to know whether they
    /// can be combined with the method.
    fn reports(&self) -> ReportKind {
        ReportKind::Other
    }

    /// The weight of a report in the method's mean; servers between the clients and the server use
    /// it, too.
    fn weighting(&self) -> Weighting {
        Weighting::Samples
    }

    /// Whether the new model is the mean of the clients' models, weighted as [`Self::weighting`]
    /// says, and nothing else. The mean can then be computed from the reports alone, as the swarm's
    /// audit does.
    fn is_plain_mean(&self) -> bool {
        false
    }

    /// Whether clients need nothing from a server but a model. In a federation without a server,
    /// they can then train the models that they have mixed among themselves.
    fn mixes_without_server(&self) -> bool {
        false
    }

    /// Whether a client can stop its local training after any step, and report what it has by then as it
    /// reports a whole training: with the number of steps that it has taken, where the method counts them.
    ///
    /// # Errors
    /// The reason why it cannot, in words.
    fn stops_early(&self) -> Result<(), &'static str> {
        Err("they do more than take local steps, and all of it has to be done")
    }

    /// Whether rounds can be modelled without computing them (`compute: Modelled`). For that, the
    /// work of clients and server and the sizes of their messages must not depend on what is
    /// learned.
    ///
    /// # Errors
    /// The reason why they cannot, in words.
    fn modelled(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// Makes the server half for a run.
    ///
    /// # Errors
    /// When the server half cannot be set up, for example for lack of memory.
    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError>;

    /// The client half, which all clients share.
    fn client(&self) -> Arc<dyn ClientHalf>;
}
