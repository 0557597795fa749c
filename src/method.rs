//! Federated methods: one file each, a server half and a client half over typed payloads.
//!
//! A method never sees virtual time, links or devices. It says what a client is sent
//! ([`ServerHalf::task`]), what the client does with it ([`ClientHalf`], run on a device worker as a
//! pure function of its input), how a report is taken in ([`ServerHalf::receive`], one at a time, so
//! that memory does not grow with the cohort) and what the server works on between rounds
//! ([`ServerHalf::step`]). Client and server state are kept apart from jobs.
//!
//! A new method is one file here, one line in [`registry`], one scenario.

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
pub use value_mask::{UnitFlags, ValueMask};
pub use whole::ReportKind;

pub(crate) use server_training::OwnTraining;
pub(crate) use whole::{difference, moved, Whole};

use crate::learn::LocalTraining;
use crate::model::{Model, ModelError};
use std::fmt::Debug;
use std::sync::Arc;

/// The models that a method leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaves {
    /// A global one.
    pub global: bool,
    /// One of its own for each client that took part.
    pub own: bool,
}

/// A federated method, with its hyper-parameters.
pub trait Method: Debug + Send + Sync {
    /// What is wrong with the hyper-parameters, or with their combination with the clients' local
    /// training: each with the name of the field at fault (empty: the method as a whole).
    /// Fields that it was held against are named after it, as in `"weights, tiers"`.
    fn check(&self, local: &LocalTraining) -> Vec<(&'static str, String)> {
        let _ = local;
        Vec::new()
    }

    /// Whether clients may train sub-models of different sizes.
    fn sizes(&self) -> bool {
        false
    }

    /// The network of clients of width `ratio`.
    ///
    /// # Errors
    /// When the layers do not fit at that width.
    fn sub_model(&self, full: &Model, ratio: f64) -> Result<Model, ModelError> {
        full.narrowed(ratio)
    }

    /// Whether it learns from a public set.
    fn needs_public(&self) -> bool {
        false
    }

    /// Which models there are when a run is over, for a record of them.
    fn leaves(&self) -> Leaves {
        Leaves {
            global: true,
            own: false,
        }
    }

    /// Whether all clients begin with one model, the server's.
    fn begins_with_one(&self) -> bool {
        true
    }

    /// Whether layers that nobody is to train keep their values in it, bit for bit: clients train by
    /// [`crate::learn::train`] and nothing else changes the model but the server's mean, which can be put
    /// right ([`ServerHalf::adopt`]).
    ///
    /// # Errors
    /// Why not, in words.
    fn freezes(&self) -> Result<(), &'static str> {
        Err("it changes parameters in ways of its own")
    }

    /// Why it has to know the layers of the network, in words; `None` where any network will do, a module of
    /// the user's too.
    fn reads_layers(&self) -> Option<&'static str> {
        None
    }

    /// What its clients report: layers around a method ask, to know whether they can be worn.
    fn reports(&self) -> ReportKind {
        ReportKind::Other
    }

    /// How much a report counts in its mean: servers between take means the same way.
    fn weighting(&self) -> Weighting {
        Weighting::Samples
    }

    /// Whether the new model is the mean of the clients' models, weighted as [`Self::weighting`] says, and
    /// nothing else: then whoever saw the reports can work it out, as the swarm's audit does.
    fn is_plain_mean(&self) -> bool {
        false
    }

    /// Whether its clients need nothing of a server but a model, so that they can train what they have
    /// mixed among themselves.
    fn mixes_without_server(&self) -> bool {
        false
    }

    /// Whether its rounds can be modelled without their arithmetic: what clients and server do, and
    /// the size of what they send, must not depend on what is learned.
    ///
    /// # Errors
    /// Why not, in words.
    fn modelled(&self) -> Result<(), &'static str> {
        Ok(())
    }

    /// The server half of a run.
    ///
    /// # Errors
    /// When the set-up cannot be done (out of memory).
    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError>;

    /// The client half, shared by all clients.
    fn client(&self) -> Arc<dyn ClientHalf>;
}
