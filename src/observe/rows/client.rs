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
    /// The client's group in the scenario.
    pub group: Arc<str>,
    /// What became of the invitation.
    pub outcome: ClientOutcome,
    /// When the server asked the client.
    #[serde(rename = "invited_s", with = "seconds")]
    pub invited: VirtualTime,
    /// When the task had arrived in full.
    #[serde(rename = "received_s", with = "seconds::optional")]
    pub received: Option<VirtualTime>,
    /// When local training was done.
    #[serde(rename = "trained_s", with = "seconds::optional")]
    pub trained: Option<VirtualTime>,
    /// When the client's answer had arrived in full at the server.
    #[serde(rename = "reported_s", with = "seconds::optional")]
    pub reported: Option<VirtualTime>,
    /// The virtual time from the beginning of the client's work to its end, whether the work was done
    /// by then or given up.
    #[serde(rename = "compute_s", with = "seconds")]
    pub compute: Span,
    /// The virtual time for which the report waited at the server while earlier reports were taken in.
    #[serde(rename = "queue_wait_s", with = "seconds")]
    pub queue_wait: Span,
    /// Bytes of the task, whether it arrived or not.
    pub bytes_down: u64,
    /// Bytes of all answers that the client sent, whether they arrived or not.
    pub bytes_up: u64,
    /// The number of samples that the client trained on, each counted once, according to its report.
    pub samples: u32,
    /// The number of optimiser steps, according to the client's report.
    pub steps: u32,
    /// The mean training loss over these steps, according to the client's report.
    pub loss: Option<f64>,
    /// The accuracy of the client's model after local training, on the client's held-out samples, in
    /// [0, 1].
    pub trained_accuracy: Option<f64>,
    /// The share of the model's width that the client trains.
    pub size: f64,
    /// The number of operations of the client's training, computed from its model; for training that
    /// was given up, the share of the time for which it had gone on.
    pub flops: u64,
    /// The largest memory that the training needs, in bytes.
    pub memory_bytes: u64,
    /// The energy of the client's device while it computed, in joules; for training that was given up,
    /// the share of the time for which it had gone on.
    pub energy_j: f64,
    /// The accuracy of the client's model before local training, on the client's held-out samples, in
    /// [0, 1].
    #[serde(default)]
    pub received_accuracy: Option<f64>,
    /// Bytes that crossed links in addition to the client's messages and their headers, in both
    /// directions together: to set up connections, and to acknowledge packets.
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
