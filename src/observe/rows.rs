//! The lines of the run's tables: one struct a file, one field a column.
//!
//! Times and spans are written as seconds with nine decimals, straight from the integer nanoseconds,
//! so that reading a file back gives the same row bit for bit. Units are in the column names.

mod dealt;
mod invitations;
mod seconds;

pub use dealt::PartitionRow;
pub use invitations::{InvitationRow, Spending};

use crate::quantity::{Span, VirtualTime};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// A line of a table, and the names of its columns.
pub trait Row {
    /// Column names, in the order of the fields.
    const COLUMNS: &'static [&'static str];
}

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

/// What became of an invitation: exactly one of these. In a file: the variant in lower case, a refusal
/// with its reason after a colon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientOutcome {
    /// Its report came in time and was taken in.
    #[default]
    Reported,
    /// Its report came when the server waited for it no longer, and was not used.
    Late,
    /// The client declined, and why ("needs 1.2 GB, has 512 MB").
    Refused(Arc<str>),
    /// Its report came in time and was not used, and why.
    Rejected(Arc<str>),
    /// The client gave it up for a newer one, and no report came.
    Superseded,
    /// No answer came, and none can: a message was lost or dropped, or the client left its work.
    Lost,
    /// The client's handler panicked over it.
    Crashed,
    /// The run ended while it was on its way, at work, or on its way back.
    Unfinished,
}

snapshot_enum!(ClientOutcome {
    0 => Reported,
    1 => Late,
    2 => Refused(why),
    3 => Rejected(why),
    4 => Superseded,
    5 => Lost,
    6 => Crashed,
    7 => Unfinished,
});

impl ClientOutcome {
    /// Whether the work of it was taken in.
    pub const fn is_used(&self) -> bool {
        matches!(self, Self::Reported)
    }
}

const REFUSED: &str = "refused: ";
const REJECTED: &str = "rejected: ";

impl fmt::Display for ClientOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported => f.write_str("reported"),
            Self::Late => f.write_str("late"),
            Self::Refused(reason) => write!(f, "{REFUSED}{reason}"),
            Self::Rejected(reason) => write!(f, "{REJECTED}{reason}"),
            Self::Superseded => f.write_str("superseded"),
            Self::Lost => f.write_str("lost"),
            Self::Crashed => f.write_str("crashed"),
            Self::Unfinished => f.write_str("unfinished"),
        }
    }
}

impl Serialize for ClientOutcome {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClientOutcome {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "reported" => Ok(Self::Reported),
            "late" => Ok(Self::Late),
            "superseded" => Ok(Self::Superseded),
            "lost" => Ok(Self::Lost),
            "crashed" => Ok(Self::Crashed),
            "unfinished" => Ok(Self::Unfinished),
            other => {
                let refused = other.strip_prefix(REFUSED).map(|r| Self::Refused(r.into()));
                let rejected = || {
                    other
                        .strip_prefix(REJECTED)
                        .map(|r| Self::Rejected(r.into()))
                };
                refused.or_else(rejected).ok_or_else(|| {
                    serde::de::Error::custom(format!(
                        "client outcome {other:?} is none of reported, late, refused: REASON, \
                         rejected: REASON, superseded, lost, crashed, unfinished"
                    ))
                })
            }
        }
    }
}

/// Why a report was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// A value is not a finite number.
    NotFinite,
    /// A value is so large that no sum with it would be of any use.
    TooLarge,
    /// It does not fit the model, or is not what the method's clients report.
    Misfit,
    /// Its client has answered in this round already.
    Again,
    /// It is said to belong to a round that has not begun.
    Future,
    /// It belongs to a round that is over, and its client has answered in it or was asked again since.
    Stale,
    /// Its client was not asked in this round.
    NotAsked,
    /// The server has made too many steps since its client was asked.
    TooStale,
}

snapshot_enum!(Rejection {
    0 => NotFinite,
    1 => TooLarge,
    2 => Misfit,
    3 => Again,
    4 => Future,
    5 => Stale,
    6 => NotAsked,
    7 => TooStale,
});

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFinite => "a value is not a finite number",
            Self::TooLarge => "a value is larger than 1e15",
            Self::Misfit => "does not fit the model",
            Self::Again => "the client has answered already",
            Self::Future => "belongs to a round that has not begun",
            Self::Stale => "belongs to a round that is over",
            Self::NotAsked => "was not asked for",
            Self::TooStale => "is older than max_staleness",
        })
    }
}

/// A report that was not used: a line of `rejections.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RejectionRow {
    /// The round that was open.
    pub round: u32,
    /// Who sent it.
    pub client: u32,
    /// When it had arrived.
    #[serde(rename = "time_s", with = "seconds")]
    pub time: VirtualTime,
    /// The round that it says it belongs to.
    #[serde(rename = "said_round")]
    pub said: u32,
    /// Why.
    pub reason: Rejection,
}

impl Row for RejectionRow {
    const COLUMNS: &'static [&'static str] = &["round", "client", "time_s", "said_round", "reason"];
}

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
    ];
}

/// One client's score in one evaluation: a line of `accuracy.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientAccuracyRow {
    /// The round after which the evaluation was made.
    pub round: u32,
    /// The client, from 0.
    pub client: u32,
    /// Its group in the scenario.
    pub group: Arc<str>,
    /// Held-out samples that the model which it would be handed now, and begin with, classifies right;
    /// without a server, the model that it has. Empty where clients begin with models of their own.
    pub correct: Option<u32>,
    /// Held-out samples.
    pub count: u32,
    /// Held-out samples that the model with which its latest local training began classifies right;
    /// empty before its first.
    #[serde(default)]
    pub received_correct: Option<u32>,
    /// Held-out samples that the model with which that training ended classifies right.
    #[serde(default)]
    pub trained_correct: Option<u32>,
    /// The round in which the report of that training was used.
    #[serde(default)]
    pub trained_round: Option<u32>,
}

impl ClientAccuracyRow {
    /// The share that the model which it would be handed now classifies right.
    pub fn accuracy(&self) -> Option<f64> {
        self.share(self.correct)
    }

    /// The share that the model with which its latest local training ended classifies right.
    pub fn trained_accuracy(&self) -> Option<f64> {
        self.share(self.trained_correct)
    }

    fn share(&self, correct: Option<u32>) -> Option<f64> {
        let correct = correct.filter(|_| self.count > 0)?;
        Some(f64::from(correct) / f64::from(self.count))
    }
}

impl Row for ClientAccuracyRow {
    const COLUMNS: &'static [&'static str] = &[
        "round",
        "client",
        "group",
        "correct",
        "count",
        "received_correct",
        "trained_correct",
        "trained_round",
    ];
}

/// The models of one width in one evaluation: a line of `sizes.csv`, which has lines where clients
/// have models of several widths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizeRow {
    /// The round after which the evaluation was made.
    pub round: u32,
    /// Share of the model's width; 1 is the global model.
    pub size: f64,
    /// Clients that have this width.
    pub clients: u32,
    /// Accuracy of the model of this width on the central test set, in [0, 1].
    pub accuracy: Option<f64>,
    /// Its mean loss there.
    pub loss: Option<f64>,
    /// As in `rounds.csv`, over the clients of this width.
    pub client_mean: Option<f64>,
    /// As in `rounds.csv`, over the clients of this width.
    #[serde(default)]
    pub received_mean: Option<f64>,
    /// As in `rounds.csv`, over the clients of this width.
    #[serde(default)]
    pub trained_mean: Option<f64>,
}

impl Row for SizeRow {
    const COLUMNS: &'static [&'static str] = &[
        "round",
        "size",
        "clients",
        "accuracy",
        "loss",
        "client_mean",
        "received_mean",
        "trained_mean",
    ];
}

/// What the clients of one width cost over the whole run: a line of `costs.csv`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CostRow {
    /// Share of the model's width.
    pub size: f64,
    /// Clients that have it.
    pub clients: u32,
    /// Trainable values of their model.
    pub parameters: u64,
    /// Its size in bytes.
    pub model_bytes: u64,
    /// Operations of a training step, per sample.
    pub step_flops: u64,
    /// Most memory that a client's training needed.
    pub memory_bytes: u64,
    /// Times they were asked.
    pub invited: u64,
    /// Times they trained to the end, whatever became of the report.
    pub trained: u64,
    /// Operations of all their training, wasted ones included; as what follows.
    pub flops: u64,
    /// Bytes they were sent.
    pub bytes_down: u64,
    /// Bytes they sent.
    pub bytes_up: u64,
    /// Virtual time they computed, summed over clients.
    #[serde(rename = "compute_s", with = "seconds")]
    pub compute: Span,
    /// What their devices drew while they computed, in joules.
    pub energy_j: f64,
    /// Times a report of theirs came in time and was taken in.
    #[serde(default)]
    pub reported: u64,
    /// Operations, of `flops`, that moved no model: of invitations that were not `reported`, and of
    /// those that were, in rounds that were not completed.
    #[serde(default)]
    pub wasted_flops: u64,
    /// Bytes, of `bytes_down`, likewise.
    #[serde(default)]
    pub wasted_bytes_down: u64,
    /// Bytes, of `bytes_up`, likewise.
    #[serde(default)]
    pub wasted_bytes_up: u64,
    /// Virtual time, of `compute_s`, likewise.
    #[serde(rename = "wasted_compute_s", default, with = "seconds")]
    pub wasted_compute: Span,
    /// Joules, of `energy_j`, likewise.
    #[serde(default)]
    pub wasted_energy_j: f64,
}

snapshot_struct!(CostRow {
    size,
    clients,
    parameters,
    model_bytes,
    step_flops,
    memory_bytes,
    invited,
    trained,
    flops,
    bytes_down,
    bytes_up,
    compute,
    energy_j,
    reported,
    wasted_flops,
    wasted_bytes_down,
    wasted_bytes_up,
    wasted_compute,
    wasted_energy_j,
});

impl CostRow {
    /// Counts an invitation.
    pub fn count(&mut self, row: &ClientRow) {
        self.invited += 1;
        self.reported += u64::from(row.outcome.is_used());
        self.trained += u64::from(row.trained.is_some());
        self.memory_bytes = self.memory_bytes.max(row.memory_bytes);
        self.flops = self.flops.saturating_add(row.flops);
        self.bytes_down = self.bytes_down.saturating_add(row.bytes_down);
        self.bytes_up = self.bytes_up.saturating_add(row.bytes_up);
        self.compute = self.compute + row.compute;
        self.energy_j += row.energy_j;
        if !row.outcome.is_used() {
            self.waste(&Spending::of(row));
        }
    }

    /// What was spent and counted has moved no model.
    pub fn waste(&mut self, spent: &Spending) {
        self.wasted_flops = self.wasted_flops.saturating_add(spent.flops);
        self.wasted_bytes_down = self.wasted_bytes_down.saturating_add(spent.bytes_down);
        self.wasted_bytes_up = self.wasted_bytes_up.saturating_add(spent.bytes_up);
        self.wasted_compute = self.wasted_compute + spent.compute;
        self.wasted_energy_j += spent.energy_j;
    }
}

impl Row for CostRow {
    const COLUMNS: &'static [&'static str] = &[
        "size",
        "clients",
        "parameters",
        "model_bytes",
        "step_flops",
        "memory_bytes",
        "invited",
        "trained",
        "flops",
        "bytes_down",
        "bytes_up",
        "compute_s",
        "energy_j",
        "reported",
        "wasted_flops",
        "wasted_bytes_down",
        "wasted_bytes_up",
        "wasted_compute_s",
        "wasted_energy_j",
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_add_up_over_rounds_and_memory_is_the_most() {
        let row = |flops, memory_bytes, energy_j| ClientRow {
            round: 1,
            client: 0,
            group: "a".into(),
            outcome: match flops {
                0 => ClientOutcome::Lost,
                _ => ClientOutcome::Reported,
            },
            invited: VirtualTime::ZERO,
            received: None,
            trained: (flops > 0).then_some(VirtualTime::ZERO),
            reported: None,
            compute: Span::from_secs(2),
            queue_wait: Span::ZERO,
            bytes_down: 5,
            bytes_up: 7,
            samples: 0,
            steps: 0,
            loss: None,
            trained_accuracy: None,
            size: 0.5,
            flops,
            memory_bytes,
            energy_j,
            received_accuracy: None,
        };
        let mut cost = CostRow::default();
        for row in [row(10, 300, 1.5), row(0, 0, 0.0), row(4, 200, 0.5)] {
            cost.count(&row);
        }
        let expected = CostRow {
            invited: 3,
            // The second is lost with what it had spent.
            reported: 2,
            trained: 2,
            wasted_bytes_down: 5,
            wasted_bytes_up: 7,
            wasted_compute: Span::from_secs(2),
            flops: 14,
            memory_bytes: 300,
            bytes_down: 15,
            bytes_up: 21,
            compute: Span::from_secs(6),
            energy_j: 2.0,
            ..CostRow::default()
        };
        assert_eq!(cost, expected);
    }
}
