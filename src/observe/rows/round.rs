//! Rounds: the lines of `rounds.csv` and of `servers.csv`.

use super::{seconds, Row};
use crate::quantity::{Span, VirtualTime};
use crate::snapshot::snapshot_enum;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Enough clients reported, and the model was updated.
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
    /// The number of clients asked, over-selection included.
    pub invited: u32,
    /// The number of clients whose report came in time and was taken in.
    pub reported: u32,
    /// The number of reports for earlier rounds that came in this round; without a server, the number
    /// of models that came after their receiver had mixed.
    pub late_arrivals: u32,
    /// The number of clients that declined.
    pub refused: u32,
    /// The number of clients that had not answered when the server stopped waiting for them: at the end
    /// of the round or, where clients are asked one by one, when their time had run out. What became of
    /// them is in `invitations.csv`.
    pub unanswered: u32,
    /// The accuracy on the central test set after the round, in [0, 1].
    pub accuracy: Option<f64>,
    /// The mean loss on the central test set after the round.
    pub loss: Option<f64>,
    /// The mean training loss of the clients that reported.
    pub train_loss: Option<f64>,
    /// The mean over all clients of the accuracy, on each client's held-out samples, of the model that
    /// the client would be handed now and begin with; without a server, of the model that it has. Empty
    /// where clients begin with models that they keep themselves.
    pub client_mean: Option<f64>,
    /// The standard deviation of the accuracies in `client_mean`.
    pub client_std: Option<f64>,
    /// The 5th percentile of the accuracies in `client_mean`.
    pub client_p5: Option<f64>,
    /// The 95th percentile of the accuracies in `client_mean`.
    pub client_p95: Option<f64>,
    /// The mean of the accuracies in `client_mean` over the worst tenth of the clients.
    pub client_worst10: Option<f64>,
    /// Bytes sent by the server.
    pub bytes_down: u64,
    /// Bytes sent to the server.
    pub bytes_up: u64,
    /// The virtual time that the server's own work took.
    #[serde(rename = "server_compute_s", with = "seconds")]
    pub server_compute: Span,
    /// How the round ended.
    pub outcome: Outcome,
    /// The share of the test samples which adversaries aim at that the model classifies as the
    /// adversaries want; empty where no attack has such an aim.
    #[serde(default)]
    pub attack_success: Option<f64>,
    /// The ε of differential privacy spent by the end of the round, where a guarantee exists.
    pub epsilon: Option<f64>,
    /// The round whose checkpoint the server used to begin this round, after it had been down; 0 is its
    /// initial state.
    #[serde(default)]
    pub restored: Option<u32>,
    /// The number of clients that were present when the server asked, where some may be away.
    #[serde(default)]
    pub available: Option<u32>,
    /// The mean number of server steps between the task and the report of the clients that reported,
    /// where clients are asked one by one.
    #[serde(default)]
    pub staleness_mean: Option<f64>,
    /// The largest number of these server steps.
    #[serde(default)]
    pub staleness_max: Option<u32>,
    /// The mean square distance of the clients' models from their mean, where there is no server.
    #[serde(default)]
    pub consensus_distance: Option<f64>,
    /// The number of clients whose report came in time and was not used; `rejections.csv` says why.
    #[serde(default)]
    pub rejected: u32,
    /// The number of clients in the worst tenth of `client_worst10`.
    #[serde(default)]
    pub client_worst10_clients: Option<u32>,
    /// The number of held-out samples that these clients have together.
    #[serde(default)]
    pub client_worst10_samples: Option<u64>,
    /// The mean, over the clients that have trained, of the accuracy on a client's held-out samples of
    /// the model with which its latest local training began.
    #[serde(default)]
    pub received_mean: Option<f64>,
    /// The standard deviation of the accuracies in `received_mean`.
    #[serde(default)]
    pub received_std: Option<f64>,
    /// The 5th percentile of the accuracies in `received_mean`.
    #[serde(default)]
    pub received_p5: Option<f64>,
    /// The 95th percentile of the accuracies in `received_mean`.
    #[serde(default)]
    pub received_p95: Option<f64>,
    /// The mean of the accuracies in `received_mean` over the worst tenth of the clients that have
    /// trained.
    #[serde(default)]
    pub received_worst10: Option<f64>,
    /// The number of held-out samples that the clients of `received_worst10` have together.
    #[serde(default)]
    pub received_worst10_samples: Option<u64>,
    /// The mean, over the clients that have trained, of the accuracy of the model with which that
    /// training ended.
    #[serde(default)]
    pub trained_mean: Option<f64>,
    /// The standard deviation of the accuracies in `trained_mean`.
    #[serde(default)]
    pub trained_std: Option<f64>,
    /// The 5th percentile of the accuracies in `trained_mean`.
    #[serde(default)]
    pub trained_p5: Option<f64>,
    /// The 95th percentile of the accuracies in `trained_mean`.
    #[serde(default)]
    pub trained_p95: Option<f64>,
    /// The mean of the accuracies in `trained_mean` over the worst tenth of the clients that have
    /// trained.
    #[serde(default)]
    pub trained_worst10: Option<f64>,
    /// The number of held-out samples that the clients of `trained_worst10` have together.
    #[serde(default)]
    pub trained_worst10_samples: Option<u64>,
    /// The number of clients in the worst tenth of `received_worst10`, and of `trained_worst10`.
    #[serde(default)]
    pub trained_worst10_clients: Option<u32>,
    /// The number of clients from which the `received_` and `trained_` columns are computed.
    #[serde(default)]
    pub trained_clients: Option<u32>,
    /// The number of clients whose local training ended because its loss or the weights stopped being
    /// numbers, by the reports of this round.
    #[serde(default)]
    pub diverged: Option<u32>,
    /// The operations of the server's own work.
    #[serde(default)]
    pub server_flops: u64,
    /// The energy of the server's device while it computed, in joules.
    #[serde(default, rename = "server_energy_j")]
    pub server_energy: f64,
    /// The accuracy of the global model on the samples of the public set for selection, in [0, 1]; by it
    /// a round can be chosen without the test data.
    #[serde(default)]
    pub select_accuracy: Option<f64>,
    /// The mean loss on these samples.
    #[serde(default)]
    pub select_loss: Option<f64>,
    /// The bytes that the query of statistics before the evaluation would take on the links, down and up
    /// together, where statistics are queried. They are no part of `bytes_down` and `bytes_up`.
    #[serde(default)]
    pub statistics_bytes: Option<u64>,
    /// The number of reports among `reported` of clients that stopped training early, to report before
    /// the deadline; empty where clients train to the end.
    #[serde(default)]
    pub partial: Option<u32>,
}

impl RoundRow {
    /// The time from the start of the round to its end.
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
        "server_flops",
        "server_energy_j",
        "select_accuracy",
        "select_loss",
        "statistics_bytes",
        "partial",
    ];
}

/// One round of a server between the clients and the server at the top: a line of `servers.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerRow {
    /// The server's tier in the scenario.
    pub tier: Arc<str>,
    /// The server's number in the tier, from 0.
    pub server: u32,
    /// The server's own round, from 1, numbered through all tasks that the server had.
    pub round: u32,
    /// The round of the server above for which this round was held.
    pub above_round: u32,
    /// When the server asked.
    #[serde(rename = "started_s", with = "seconds")]
    pub started: VirtualTime,
    /// When the round was over.
    #[serde(rename = "ended_s", with = "seconds")]
    pub ended: VirtualTime,
    /// The number of clients, or of servers below, that the server asked.
    pub invited: u32,
    /// The number of those whose report came in time and was taken in.
    pub reported: u32,
    /// The number of reports for earlier rounds that came in this round.
    pub late_arrivals: u32,
    /// The number of those that declined.
    pub refused: u32,
    /// The number of those that had not answered when the round was over.
    pub unanswered: u32,
    /// The number of clients of the server that were present when it asked, where some may be away.
    pub available: Option<u32>,
    /// The mean training loss of those that reported.
    pub train_loss: Option<f64>,
    /// The number of training samples in the server's mean.
    pub samples: u32,
    /// Bytes that the server sent to those below it.
    pub bytes_down: u64,
    /// Bytes that those below the server sent to it.
    pub bytes_up: u64,
    /// The virtual time that the server's own arithmetic took.
    #[serde(rename = "server_compute_s", with = "seconds")]
    pub server_compute: Span,
    /// How the round ended; `stopped` where the server above went on without it.
    pub outcome: Outcome,
    /// The number of those whose report came in time and was not used.
    #[serde(default)]
    pub rejected: u32,
    /// The operations of the server's own arithmetic.
    #[serde(default)]
    pub server_flops: u64,
    /// The energy of the server's device while it computed, in joules.
    #[serde(default, rename = "server_energy_j")]
    pub server_energy: f64,
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
        "server_flops",
        "server_energy_j",
    ];
}
