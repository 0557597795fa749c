//! The lines of the run's tables: one struct a file, one field a column.
//!
//! Times and spans are written as seconds with nine decimals, straight from the integer nanoseconds,
//! so that reading a file back gives the same row bit for bit. Units are in the column names.

mod seconds;

use crate::quantity::{Span, VirtualTime};
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
}

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
    /// Clients whose report was used.
    pub reported: u32,
    /// Clients whose report came after the round had closed.
    pub late: u32,
    /// Clients that declined.
    pub refused: u32,
    /// Clients asked and not heard of until the round closed: late or lost, `clients.csv` says which.
    pub lost: u32,
    /// Accuracy on the central test set after the round, in [0, 1].
    pub accuracy: Option<f64>,
    /// Mean loss on the central test set after the round.
    pub loss: Option<f64>,
    /// Mean training loss of the clients that reported.
    pub train_loss: Option<f64>,
    /// Mean of the per-client accuracies.
    pub client_mean: Option<f64>,
    /// Standard deviation of the per-client accuracies.
    pub client_std: Option<f64>,
    /// 5th percentile of the per-client accuracies.
    pub client_p5: Option<f64>,
    /// 95th percentile of the per-client accuracies.
    pub client_p95: Option<f64>,
    /// Mean accuracy of the worst tenth of the clients.
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
        "late",
        "refused",
        "lost",
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
    ];
}

/// What became of a client in a round. In a file: the variant in lower case, a refusal with its
/// reason after a colon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ClientOutcome {
    /// It reported in time.
    #[default]
    Reported,
    /// It reported after the round had closed.
    Late,
    /// It declined, and why ("needs 1.2 GB, has 512 MB").
    Refused(Arc<str>),
    /// It was asked and never heard of.
    Lost,
    /// Its handler failed.
    Crashed,
}

const REFUSED: &str = "refused: ";

impl fmt::Display for ClientOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported => f.write_str("reported"),
            Self::Late => f.write_str("late"),
            Self::Refused(reason) => write!(f, "{REFUSED}{reason}"),
            Self::Lost => f.write_str("lost"),
            Self::Crashed => f.write_str("crashed"),
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
            "lost" => Ok(Self::Lost),
            "crashed" => Ok(Self::Crashed),
            other => match other.strip_prefix(REFUSED) {
                Some(reason) => Ok(Self::Refused(reason.into())),
                None => Err(serde::de::Error::custom(format!(
                    "client outcome {other:?} is none of reported, late, refused: REASON, lost, crashed"
                ))),
            },
        }
    }
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
    /// When the request had arrived in full.
    #[serde(rename = "received_s", with = "seconds::optional")]
    pub received: Option<VirtualTime>,
    /// When local training was done.
    #[serde(rename = "trained_s", with = "seconds::optional")]
    pub trained: Option<VirtualTime>,
    /// When its report had arrived in full at the server.
    #[serde(rename = "reported_s", with = "seconds::optional")]
    pub reported: Option<VirtualTime>,
    /// Virtual time spent computing on its device.
    #[serde(rename = "compute_s", with = "seconds")]
    pub compute: Span,
    /// Virtual time its report waited at the server for earlier reports to be taken in.
    #[serde(rename = "queue_wait_s", with = "seconds")]
    pub queue_wait: Span,
    /// Bytes it was sent.
    pub bytes_down: u64,
    /// Bytes it sent.
    pub bytes_up: u64,
    /// Samples it trained on, each counted once.
    pub samples: u32,
    /// Optimiser steps it took.
    pub steps: u32,
    /// Mean training loss over its steps.
    pub loss: Option<f64>,
    /// Accuracy on its own held-out samples, in [0, 1].
    pub accuracy: Option<f64>,
}

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
        "accuracy",
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
    /// Held-out samples classified right.
    pub correct: u32,
    /// Held-out samples.
    pub count: u32,
}

impl ClientAccuracyRow {
    /// The share classified right, if the client has held-out samples.
    pub fn accuracy(&self) -> Option<f64> {
        (self.count > 0).then(|| f64::from(self.correct) / f64::from(self.count))
    }
}

impl Row for ClientAccuracyRow {
    const COLUMNS: &'static [&'static str] = &["round", "client", "group", "correct", "count"];
}
