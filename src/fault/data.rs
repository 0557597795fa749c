//! Faults of data: samples that are wrong from the start.

use crate::quantity::Probability;
use serde::Serialize;

/// Something that is wrong with a client's training samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum DataFault {
    /// A label is replaced with this probability by another class, drawn uniformly (symmetric label
    /// noise).
    LabelNoise(Probability),
    /// Gaussian noise on every feature, with this standard deviation in units of the normalised input.
    FeatureNoise(f64),
}
