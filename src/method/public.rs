//! The public set (proxy set), as methods see it.

use crate::learn::{DeviceData, Samples};
use std::sync::Arc;

/// Labelled samples that belong to no client, known as the proxy set.
///
/// The samples that a server trains on and those that it selects by are two lists without a common
/// sample. Neither contains test data: the numbers of test samples refer to another data set, which
/// no method gets.
/// method is given.
#[derive(Debug, Clone)]
pub struct PublicData {
    /// The training data, which both lists are parts of.
    pub data: Arc<DeviceData>,
    /// The samples to learn from.
    pub train: Samples,
    /// The samples to select by, for example the best epoch or when to stop.
    pub select: Samples,
}
