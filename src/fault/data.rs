//! Faults of data: samples that are wrong from the start of a run.

use crate::quantity::Probability;
use serde::Serialize;

/// A fault of a client's training samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum DataFault {
    /// With this probability a label is replaced by another class, drawn uniformly (symmetric label
    /// noise).
    LabelNoise(Probability),
    /// Gaussian noise is added to every feature, with this standard deviation in units of the
    /// normalised input.
    FeatureNoise(f64),
}
