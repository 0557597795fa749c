//! Evaluations beside the figures of the round: the lines of `accuracy.csv` and `sizes.csv`.

use super::Row;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The result of one client in one evaluation: a line of `accuracy.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientAccuracyRow {
    /// The round after which the evaluation was made.
    pub round: u32,
    /// The client, from 0.
    pub client: u32,
    /// The client's group in the scenario.
    pub group: Arc<str>,
    /// The number of held-out samples that are classified correctly by the model which the client would
    /// be handed now, and begin with; without a server, by the model that it has. Empty where clients
    /// begin with models of their own.
    pub correct: Option<u32>,
    /// The number of held-out samples.
    pub count: u32,
    /// The number of held-out samples that are classified correctly by the model with which the
    /// client's latest local training began; empty before its first training.
    #[serde(default)]
    pub received_correct: Option<u32>,
    /// The number of held-out samples that are classified correctly by the model with which that
    /// training ended.
    #[serde(default)]
    pub trained_correct: Option<u32>,
    /// The round in which the report of that training was used.
    #[serde(default)]
    pub trained_round: Option<u32>,
}

impl ClientAccuracyRow {
    /// The accuracy of the model that the client would be handed now.
    pub fn accuracy(&self) -> Option<f64> {
        self.share(self.correct)
    }

    /// The accuracy of the model with which the client's latest local training ended.
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

/// The models of one width in one evaluation: a line of `sizes.csv`, a table that exists where clients
/// have models of several widths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizeRow {
    /// The round after which the evaluation was made.
    pub round: u32,
    /// The share of the model's width; 1 is the global model.
    pub size: f64,
    /// The number of clients with this width.
    pub clients: u32,
    /// Accuracy of the model of this width on the central test set, in [0, 1].
    pub accuracy: Option<f64>,
    /// The mean loss of this model on the central test set.
    pub loss: Option<f64>,
    /// The value of `client_mean` in `rounds.csv`, computed over the clients of this width only.
    pub client_mean: Option<f64>,
    /// The value of `received_mean` in `rounds.csv`, computed over the clients of this width only.
    #[serde(default)]
    pub received_mean: Option<f64>,
    /// The value of `trained_mean` in `rounds.csv`, computed over the clients of this width only.
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
