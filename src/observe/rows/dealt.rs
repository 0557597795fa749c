//! Which client has which samples: a line of `partition.csv`.

use super::Row;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The samples of one class that a client has, or that a whole group has where there are too many
/// clients for a line each. A client has one line for each class of which it has samples, and one line
/// without a class if it has no samples at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRow {
    /// The client, from 0; empty in a line of a group.
    pub client: Option<u32>,
    /// The client's group in the scenario.
    pub group: Arc<str>,
    /// The number of clients that the line is about: 1, or all of the group.
    pub clients: u32,
    /// The class, from 0; empty for clients without samples.
    pub class: Option<u32>,
    /// The number of samples of the class for training; for a group, the sum over its clients.
    pub train: u64,
    /// The number of samples of the class held out for the client's own evaluation; for a group, the
    /// sum over its clients.
    pub held_out: u64,
}

impl Row for PartitionRow {
    const COLUMNS: &'static [&'static str] =
        &["client", "group", "clients", "class", "train", "held_out"];
}
