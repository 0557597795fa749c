//! Who has which samples: a line of `partition.csv`.

use super::Row;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The samples of one class that a client has; of a whole group, where there are too many clients for a
/// line each. A client has a line for each class of which it has samples, and one without a class if
/// it has none at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRow {
    /// The client, from 0; empty in a line of a group.
    pub client: Option<u32>,
    /// Its group in the scenario.
    pub group: Arc<str>,
    /// Clients that the line is about: 1, or all of the group.
    pub clients: u32,
    /// The class, from 0; empty for who has no samples.
    pub class: Option<u32>,
    /// Samples of the class to train on; over a group, their sum.
    pub train: u64,
    /// Samples of the class held out for the client's own evaluation, likewise.
    pub held_out: u64,
}

impl Row for PartitionRow {
    const COLUMNS: &'static [&'static str] =
        &["client", "group", "clients", "class", "train", "held_out"];
}
