//! Rounds: the lines of `rounds.csv`, and those of `servers.csv`.

use super::{seconds, Row};
use crate::quantity::{Span, VirtualTime};
use crate::snapshot::snapshot_enum;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Enough clients reported and the model moved on.
    #[default]
    Completed,
    /// Too few clients reported; the model stayed as it was.
    Abandoned,
    /// The run was stopped while the round was open.
    Stopped,
    /// The server went down before the round was over.
    Crashed,
}

snapshot_enum!(Outcome { 0 => Completed, 1 => Abandoned, 2 => Stopped, 3 => Crashed });

/// One communication round, as the server saw it: a line of `rounds.csv`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RoundRow {
    /// The round, from 1.
    pub round: u32,
    /// When the server opened it.
    #[serde(rename = "started_s", with = "seconds")]
    pub started: VirtualTime,
    /// When the server closed it.
    #[serde(rename = "ended_s", with = "seconds")]
    pub ended: VirtualTime,
    /// Clients asked, over-selection included.
    pub invited: u32,
    /// Clients whose report came in time and was taken in.
    pub reported: u32,
    /// Reports that came in this round to earlier ones, which were over; where there is no server,
    /// models that came when their receiver had mixed.
    pub late_arrivals: u32,
    /// Clients that declined.
    pub refused: u32,
    /// Clients that had not answered when the server stopped waiting for them: at the end of the round
    /// or, where they are asked one by one, when their time ran out. What became of them is in
    /// `invitations.csv`.
    pub unanswered: u32,
    /// Accuracy on the central test set after the round, in [0, 1].
    pub accuracy: Option<f64>,
    /// Mean loss on the central test set after the round.
    pub loss: Option<f64>,
    /// Mean training loss of the clients that reported.
    pub train_loss: Option<f64>,
    /// Mean over all clients of the accuracy, on each one's held-out samples, of the model that it would
    /// be handed now and begin with; without a server, of the model that it has. Empty where clients
    /// begin with models that they keep themselves.
    pub client_mean: Option<f64>,
    /// Standard deviation of the same accuracies.
    pub client_std: Option<f64>,
    /// 5th percentile of the same accuracies.
    pub client_p5: Option<f64>,
    /// 95th percentile of the same accuracies.
    pub client_p95: Option<f64>,
    /// Mean of the same accuracies over the worst tenth of the clients.
    pub client_worst10: Option<f64>,
    /// Bytes sent by the server.
    pub bytes_down: u64,
    /// Bytes sent to the server.
    pub bytes_up: u64,
    /// Virtual time that the server's own work took.
    #[serde(rename = "server_compute_s", with = "seconds")]
    pub server_compute: Span,
    /// How it ended.
    pub outcome: Outcome,
    /// Share of the test samples that adversaries aim at which the model sees as they want; empty
    /// where no attack wants anything in particular.
    #[serde(default)]
    pub attack_success: Option<f64>,
    /// The ε of differential privacy spent by the end of the round, where something is guaranteed.
    pub epsilon: Option<f64>,
    /// The round whose checkpoint the server began this one from, where it had just been down; 0 is
    /// what it was set up with.
    #[serde(default)]
    pub restored: Option<u32>,
    /// Clients that were there when the server asked, where some may be away.
    #[serde(default)]
    pub available: Option<u32>,
    /// Mean number of server steps made since the clients that reported were asked, where they are
    /// asked one by one.
    #[serde(default)]
    pub staleness_mean: Option<f64>,
    /// The largest.
    #[serde(default)]
    pub staleness_max: Option<u32>,
    /// Mean square distance of the clients' models from their mean, where there is no server.
    #[serde(default)]
    pub consensus_distance: Option<f64>,
    /// Clients whose report came in time and was not used; `rejections.csv` says why.
    #[serde(default)]
    pub rejected: u32,
    /// Clients in the worst tenth of `client_worst10`.
    #[serde(default)]
    pub client_worst10_clients: Option<u32>,
    /// Held-out samples that those have together.
    #[serde(default)]
    pub client_worst10_samples: Option<u64>,
    /// Mean, over the clients that have trained, of the accuracy of the model with which a client's
    /// latest local training began, on its held-out samples.
    #[serde(default)]
    pub received_mean: Option<f64>,
    /// Standard deviation of the same accuracies.
    #[serde(default)]
    pub received_std: Option<f64>,
    /// 5th percentile of the same accuracies.
    #[serde(default)]
    pub received_p5: Option<f64>,
    /// 95th percentile of the same accuracies.
    #[serde(default)]
    pub received_p95: Option<f64>,
    /// Mean of the same accuracies over the worst tenth of those clients.
    #[serde(default)]
    pub received_worst10: Option<f64>,
    /// Held-out samples that the clients of `received_worst10` have together.
    #[serde(default)]
    pub received_worst10_samples: Option<u64>,
    /// Mean, over the same clients, of the accuracy of the model with which that training ended.
    #[serde(default)]
    pub trained_mean: Option<f64>,
    /// Standard deviation of the same accuracies.
    #[serde(default)]
    pub trained_std: Option<f64>,
    /// 5th percentile of the same accuracies.
    #[serde(default)]
    pub trained_p5: Option<f64>,
    /// 95th percentile of the same accuracies.
    #[serde(default)]
    pub trained_p95: Option<f64>,
    /// Mean of the same accuracies over the worst tenth of those clients.
    #[serde(default)]
    pub trained_worst10: Option<f64>,
    /// Held-out samples that the clients of `trained_worst10` have together.
    #[serde(default)]
    pub trained_worst10_samples: Option<u64>,
    /// Clients in the worst tenth of `received_worst10`, and of `trained_worst10`.
    #[serde(default)]
    pub trained_worst10_clients: Option<u32>,
    /// Clients that `received_` and `trained_` columns stand on.
    #[serde(default)]
    pub trained_clients: Option<u32>,
    /// Clients whose local training ended because its loss or the weights stopped being numbers, told of
    /// in this round.
    #[serde(default)]
    pub diverged: Option<u32>,
}

impl RoundRow {
    /// From the round's start to its end.
    pub fn duration(&self) -> Span {
        self.ended.since(self.started)
    }
}

impl Row for RoundRow {
    const COLUMNS: &'static [&'static str] = &[
        "round",
        "started_s",
        "ended_s",
        "invited",
        "reported",
        "late_arrivals",
        "refused",
        "unanswered",
        "accuracy",
        "loss",
        "train_loss",
        "client_mean",
        "client_std",
        "client_p5",
        "client_p95",
        "client_worst10",
        "bytes_down",
        "bytes_up",
        "server_compute_s",
        "outcome",
        "attack_success",
        "epsilon",
        "restored",
        "available",
        "staleness_mean",
        "staleness_max",
        "consensus_distance",
        "rejected",
        "client_worst10_clients",
        "client_worst10_samples",
        "received_mean",
        "received_std",
        "received_p5",
        "received_p95",
        "received_worst10",
        "received_worst10_samples",
        "trained_mean",
        "trained_std",
        "trained_p5",
        "trained_p95",
        "trained_worst10",
        "trained_worst10_samples",
        "trained_worst10_clients",
        "trained_clients",
        "diverged",
    ];
}

/// One round of a server between the clients and the server at the top: a line of `servers.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerRow {
    /// Its tier in the scenario.
    pub tier: Arc<str>,
    /// Its number in the tier, from 0.
    pub server: u32,
    /// Its own round, from 1, numbered through over all tasks that it had.
    pub round: u32,
    /// The round of the server above that it was held for.
    pub above_round: u32,
    /// When it asked.
    #[serde(rename = "started_s", with = "seconds")]
    pub started: VirtualTime,
    /// When it was over.
    #[serde(rename = "ended_s", with = "seconds")]
    pub ended: VirtualTime,
    /// Clients, or servers below it, that it asked.
    pub invited: u32,
    /// Those whose report came in time and was taken in.
    pub reported: u32,
    /// Reports that came in this round to earlier ones, which were over.
    pub late_arrivals: u32,
    /// Those that declined.
    pub refused: u32,
    /// Those that had not answered when the round was over.
    pub unanswered: u32,
    /// Its clients that were there when it asked, where some may be away.
    pub available: Option<u32>,
    /// Mean training loss of those that reported.
    pub train_loss: Option<f64>,
    /// Training samples behind its mean.
    pub samples: u32,
    /// Bytes it sent to those below it.
    pub bytes_down: u64,
    /// Bytes they sent to it.
    pub bytes_up: u64,
    /// Virtual time that its own arithmetic took.
    #[serde(rename = "server_compute_s", with = "seconds")]
    pub server_compute: Span,
    /// How it ended; `stopped` where the server above went on without it.
    pub outcome: Outcome,
    /// Those whose report came in time and was not used.
    #[serde(default)]
    pub rejected: u32,
}

impl Row for ServerRow {
    const COLUMNS: &'static [&'static str] = &[
        "tier",
        "server",
        "round",
        "above_round",
        "started_s",
        "ended_s",
        "invited",
        "reported",
        "late_arrivals",
        "refused",
        "unanswered",
        "available",
        "train_loss",
        "samples",
        "bytes_down",
        "bytes_up",
        "server_compute_s",
        "outcome",
        "rejected",
    ];
}
