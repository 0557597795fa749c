//! How an asynchronous server waits, as typed.

use crate::federation::Staleness;
use crate::method::Weighting;
use crate::text::fields::Duration;
use serde::Deserialize;

/// `FedBuff(concurrency: 40, ...)` or `FedAsync(concurrency: 40, ...)`.
#[derive(Debug, Clone, Deserialize)]
pub enum WaitingFile {
    /// A server step of every few updates.
    FedBuff(FedBuffFile),
    /// Each model is mixed in as it comes.
    FedAsync(FedAsyncFile),
    /// Of servers between, the latest model of each.
    FedAT(FedAtFile),
}

/// FedBuff.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "FedBuff")]
pub struct FedBuffFile {
    /// How many clients train at any time.
    pub concurrency: u32,
    /// Updates a server step.
    #[serde(default = "ten")]
    pub buffer: u32,
    /// The server's learning rate.
    #[serde(default = "one")]
    pub server_lr: f64,
    /// How much an update counts beside its staleness.
    #[serde(default = "uniform")]
    pub weighting: Weighting,
    /// How much an old update counts.
    #[serde(default)]
    pub staleness: Staleness,
    /// Older ones are not used.
    #[serde(default)]
    pub max_staleness: Option<u32>,
    /// When a client is given up.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// FedAsync.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "FedAsync")]
pub struct FedAsyncFile {
    /// How many clients train at any time.
    pub concurrency: u32,
    /// The share of a fresh model.
    #[serde(default = "six_tenths")]
    pub alpha: f64,
    /// How much an old model counts.
    #[serde(default)]
    pub staleness: Staleness,
    /// Older ones are not used.
    #[serde(default)]
    pub max_staleness: Option<u32>,
    /// When a client is given up.
    #[serde(default)]
    pub timeout: Option<Duration>,
}

/// FedAT.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "FedAT", default)]
pub struct FedAtFile {
    /// When a server between is given up.
    pub timeout: Option<Duration>,
}

const fn ten() -> u32 {
    10
}

const fn one() -> f64 {
    1.0
}

/// As in the paper's algorithm 1.
const fn uniform() -> Weighting {
    Weighting::Uniform
}

/// As in the paper's experiments.
const fn six_tenths() -> f64 {
    0.6
}
