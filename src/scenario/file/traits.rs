//! How the clients of a group differ, as typed.

use super::{DeviceFields, LinkFields, PresetOr};
use serde::Deserialize;
use std::path::PathBuf;

/// A device, and perhaps a link, that a share of a group's clients have.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "DeviceTier")]
pub struct DeviceTierFile {
    /// Their share, on average.
    pub share: f64,
    /// Their device.
    pub device: PresetOr<DeviceFields>,
    /// Their link; the group's when not given.
    #[serde(default)]
    pub link: Option<PresetOr<LinkFields>>,
}

/// Spearman's rank correlations.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename = "Correlation", default)]
pub struct CorrelationFile {
    /// Of speed and rates.
    pub speed_link: f64,
    /// Of speed and number of samples.
    pub speed_samples: f64,
    /// Of rates and number of samples.
    pub link_samples: f64,
}

/// Measured clients.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Trace")]
pub struct TraceFile {
    /// FedScale's capacity trace, as a table.
    pub capacity: PathBuf,
    /// Training on a sample takes so many times what the file says.
    #[serde(default = "thrice")]
    pub factor: f64,
}

/// FedScale's own: the trace has latencies of inference, and a backward pass takes twice as long again.
const fn thrice() -> f64 {
    3.0
}
