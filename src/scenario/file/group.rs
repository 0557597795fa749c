//! The population and the server, as typed.

use super::{
    AvailabilityFile, CorrelationFile, DeviceTierFile, LeavingFile, LinkFields, PresetOr, SizeFile,
    TraceFile,
};
use crate::learn::{Optimizer, Precision, Schedule};
use crate::text::fields::{
    ComputeSpeed, Draw, Duration, Energy, OrDistribution, PositiveFraction, Size,
};
use serde::Deserialize;

/// Clients of one kind.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Group")]
pub struct GroupFile {
    /// Its name; "group 1" and so on when not given.
    #[serde(default)]
    pub name: Option<String>,
    /// How many.
    pub count: u32,
    /// Their device.
    #[serde(default = "phone")]
    pub device: PresetOr<DeviceFields>,
    /// Their link.
    #[serde(default = "broadband")]
    pub link: PresetOr<LinkFields>,
    /// Devices, and links, of which each client has one.
    #[serde(default)]
    pub tiers: Vec<DeviceTierFile>,
    /// How speed, rates and numbers of samples go together.
    #[serde(default)]
    pub correlation: Option<CorrelationFile>,
    /// Speeds and rates as they were measured.
    #[serde(default)]
    pub trace: Option<TraceFile>,
    /// Their participation ratio: the probability that a client is there when a round begins.
    #[serde(default = "always")]
    pub participation: OrDistribution<PositiveFraction>,
    /// When they are there.
    #[serde(default)]
    pub availability: AvailabilityFile,
    /// What becomes of their work when they go away.
    #[serde(default)]
    pub leaving: LeavingFile,
    /// What each may spend.
    #[serde(default)]
    pub budget: Option<BudgetFile>,
    /// What width of the model they train.
    #[serde(default)]
    pub size: SizeFile,
    /// Where their local training differs from the scenario's.
    #[serde(default)]
    pub training: TrainingFile,
}

fn phone() -> PresetOr<DeviceFields> {
    PresetOr::named("phone-mid")
}

fn broadband() -> PresetOr<LinkFields> {
    PresetOr::named("wifi")
}

fn always() -> OrDistribution<PositiveFraction> {
    OrDistribution::constant(PositiveFraction(crate::quantity::Probability::ONE))
}

/// What a client may spend.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename = "Budget", default)]
pub struct BudgetFile {
    /// On training.
    pub energy: Option<Energy>,
    /// On messages in either direction.
    pub data: Option<Size>,
    /// After so long it has all of it again; never when not given.
    pub per: Option<Duration>,
}

/// A virtual device in figures.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "Device", default)]
pub struct DeviceFields {
    /// The preset that gives what is not said here.
    pub preset: Option<String>,
    /// FLOP/s that training sustains; a distribution is drawn once a client.
    pub speed: Option<OrDistribution<ComputeSpeed>>,
    /// Memory a job may use.
    pub memory: Option<Size>,
    /// What it draws while it computes.
    pub power: Option<Draw>,
    /// What every job costs before it computes anything.
    pub startup: Option<Duration>,
}

/// Local training; what a group does not say, the scenario does.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "Training", default)]
pub struct TrainingFile {
    /// Passes over the local samples.
    pub epochs: Option<u32>,
    /// Optimiser steps, instead of epochs.
    pub steps: Option<u32>,
    /// Samples in a batch; 0 is the whole local set.
    pub batch: Option<usize>,
    /// The optimiser.
    pub optimizer: Option<Optimizer>,
    /// How the learning rate changes over rounds.
    pub schedule: Option<Schedule>,
    /// Largest gradient norm.
    pub clip: Option<f64>,
    /// How precisely products are computed.
    pub precision: Option<Precision>,
}

/// The server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Server", default)]
pub struct ServerFile {
    /// Its link, shared by all who use it.
    pub link: PresetOr<LinkFields>,
    /// Its capacity.
    pub device: PresetOr<DeviceFields>,
    /// Rounds between two checkpoints of its own, from which it goes on after a crash.
    pub checkpoint_every: u32,
}

impl Default for ServerFile {
    fn default() -> Self {
        Self {
            link: PresetOr::named("datacentre"),
            device: PresetOr::named("server"),
            checkpoint_every: 1,
        }
    }
}
