//! The public set, as methods see it.

use crate::learn::{DeviceData, Samples};
use std::sync::Arc;

/// Labelled samples that belong to no client (the proxy set).
///
/// What a server trains on and what it chooses by are two lists without a common sample. Neither is
/// test data: that is of no use here, because its indices name samples of another data set, which no
/// method is given.
#[derive(Debug, Clone)]
pub struct PublicData {
    /// The training data, of which both lists are a part.
    pub data: Arc<DeviceData>,
    /// To learn from.
    pub train: Samples,
    /// To choose by: epochs, stopping, restarts.
    pub select: Samples,
}
