//! What was measured at one evaluation, beside the figures of the round: lines of `accuracy.csv` and
//! `sizes.csv`.

use super::Row;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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
