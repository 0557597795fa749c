//! What a client did in a round: a line of `clients.csv`.

use super::{seconds, ClientOutcome, Row};
use crate::quantity::{Span, VirtualTime};
use crate::snapshot::snapshot_struct;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One client in one round: a line of `clients.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientRow {
    /// The round, from 1.
    pub round: u32,
    /// The client, from 0.
    pub client: u32,
    /// Its group in the scenario.
    pub group: Arc<str>,
    /// What became of it.
    pub outcome: ClientOutcome,
    /// When the server asked it.
    #[serde(rename = "invited_s", with = "seconds")]
    pub invited: VirtualTime,
    /// When the task had arrived in full.
    #[serde(rename = "received_s", with = "seconds::optional")]
    pub received: Option<VirtualTime>,
    /// When local training was done.
    #[serde(rename = "trained_s", with = "seconds::optional")]
    pub trained: Option<VirtualTime>,
    /// When its answer had arrived in full at the server.
    #[serde(rename = "reported_s", with = "seconds::optional")]
    pub reported: Option<VirtualTime>,
    /// Virtual time from the beginning of its work to the end of it, whether that was done by then or
    /// given up.
    #[serde(rename = "compute_s", with = "seconds")]
    pub compute: Span,
    /// Virtual time its report waited at the server for earlier reports to be taken in.
    #[serde(rename = "queue_wait_s", with = "seconds")]
    pub queue_wait: Span,
    /// Bytes of the task, whether it arrived or not.
    pub bytes_down: u64,
    /// Bytes of all answers that it sent, whether they arrived or not.
    pub bytes_up: u64,
    /// Samples it trained on, each counted once, as its report says.
    pub samples: u32,
    /// Optimiser steps it took, as its report says.
    pub steps: u32,
    /// Mean training loss over its steps, as its report says.
    pub loss: Option<f64>,
    /// Accuracy of its model after local training on the samples that it holds out, in [0, 1].
    pub trained_accuracy: Option<f64>,
    /// Share of the model's width that it trains.
    pub size: f64,
    /// Operations of its training, counted from its model; of training that was given up, the share of
    /// the time that it had gone on.
    pub flops: u64,
    /// Most memory that its training needs.
    pub memory_bytes: u64,
    /// What its device drew while it computed, in joules; likewise.
    pub energy_j: f64,
    /// Accuracy of its model before local training on the samples that it holds out, in [0, 1].
    #[serde(default)]
    pub received_accuracy: Option<f64>,
    /// Bytes that crossed links beside its messages and their headers, both ways together: to set
    /// connections up, and to acknowledge.
    #[serde(default)]
    pub overhead_bytes: u64,
}

snapshot_struct!(ClientRow {
    round,
    client,
    group,
    outcome,
    invited,
    received,
    trained,
    reported,
    compute,
    queue_wait,
    bytes_down,
    bytes_up,
    samples,
    steps,
    loss,
    trained_accuracy,
    size,
    flops,
    memory_bytes,
    energy_j,
    received_accuracy,
    overhead_bytes,
});

impl Row for ClientRow {
    const COLUMNS: &'static [&'static str] = &[
        "round",
        "client",
        "group",
        "outcome",
        "invited_s",
        "received_s",
        "trained_s",
        "reported_s",
        "compute_s",
        "queue_wait_s",
        "bytes_down",
        "bytes_up",
        "samples",
        "steps",
        "loss",
        "trained_accuracy",
        "size",
        "flops",
        "memory_bytes",
        "energy_j",
        "received_accuracy",
        "overhead_bytes",
    ];
}
