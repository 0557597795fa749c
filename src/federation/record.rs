//! What the nodes of a federation record.

use super::keep::Weights;
use crate::observe::ledger::Fact;
use crate::observe::rows::{
    ClientAccuracyRow, ClientRow, RejectionRow, RoundRow, ServerRow, SizeRow,
};
use crate::quantity::VirtualTime;
use crate::sim::{mix_words, Digest, NodeId};
use serde::Serialize;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// One thing that a node records.
#[derive(Debug, Clone)]
pub enum Record {
    /// A round is over.
    Round(Box<RoundRow>),
    /// A round of an edge server is over.
    Server(Box<ServerRow>),
    /// A client has answered a task, or its task is lost.
    Client(Box<ClientRow>),
    /// A client's accuracy was measured.
    Accuracy(Box<ClientAccuracyRow>),
    /// The models of one width were measured.
    Size(Box<SizeRow>),
    /// A report was not used.
    Rejection(Box<RejectionRow>),
    /// How many reports were used in a round, by their staleness; only where clients are asked one by one.
    Staleness(BTreeMap<u32, u32>),
    /// A node's handler panicked.
    Crash {
        /// The node.
        node: NodeId,
        /// When it panicked.
        at: VirtualTime,
        /// The panic's message.
        reason: String,
    },
    /// The federation cannot go on, and the run ends, for this reason.
    Fatal(String),
    /// Something happened to an invitation. Facts follow from events that are in the trace hash.
    Fact(Fact),
    /// Models at one moment. They follow from what is in the trace hash.
    Weights(Box<Weights>),
    /// The ε of differential privacy at the end of the run by the tighter accountant. It follows from the
    /// rounds, which are in the trace hash.
    Privacy(f64),
}

impl Digest for Record {
    fn digest(&self) -> u64 {
        match self {
            Self::Round(row) => round(row),
            Self::Server(row) => server(row),
            Self::Client(row) => client(row),
            Self::Accuracy(row) => accuracy(row),
            Self::Size(row) => size(row),
            Self::Rejection(row) => content(7, row),
            Self::Staleness(counts) => {
                let words = counts
                    .iter()
                    .flat_map(|(&tau, &n)| [u64::from(tau), u64::from(n)]);
                mix_words(&[8, mix_words(&words.collect::<Vec<u64>>())])
            }
            // The reason names a place in the source code, which is not part of what happened.
            Self::Crash { node, at, .. } => mix_words(&[4, u64::from(node.0), at.nanos()]),
            Self::Fatal(reason) => mix_words(&[5, xxh3_64(reason.as_bytes())]),
            Self::Fact(_) | Self::Weights(_) | Self::Privacy(_) => 0,
        }
    }

    fn counts(&self) -> bool {
        !matches!(self, Self::Fact(_) | Self::Weights(_) | Self::Privacy(_))
    }
}

/// Columns of rounds that were added after the first hashes were recorded. An empty column does not count,
/// so that runs which do not fill it keep their hash.
const LATER: &[&str] = &[
    "attack_success",
    "epsilon",
    "restored",
    "available",
    "staleness_mean",
    "staleness_max",
    "consensus_distance",
    "statistics_bytes",
    "partial",
];

/// Columns of rounds that are in no hash. They are filled also in runs whose hashes were recorded before
/// there were such columns, and they follow from what is hashed (reports, refusals and models).
const ROUND_ASIDE: &[&str] = &[
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
];

/// Columns of the other tables that are in no hash. `trained_accuracy` has the place of an older column that
/// only some methods filled; see [`client`].
const CLIENT_ASIDE: &[&str] = &["received_accuracy", "overhead_bytes"];
const ACCURACY_ASIDE: &[&str] = &["received_correct", "trained_correct", "trained_round"];
const SIZE_ASIDE: &[&str] = &["received_mean", "trained_mean"];

/// The digest of a round: that of its JSON as it was before columns were added and renamed. Later columns
/// that are empty are left out, and reports that were not used are counted among the refusals.
fn round(row: &RoundRow) -> u64 {
    let row = RoundRow {
        refused: row.refused.saturating_add(row.rejected),
        ..row.clone()
    };
    hashed(1, as_before(&without(&row, ROUND_ASIDE, LATER)))
}

/// The digest of a round of an edge server, found in the same way.
fn server(row: &ServerRow) -> u64 {
    let row = ServerRow {
        refused: row.refused.saturating_add(row.rejected),
        ..row.clone()
    };
    hashed(
        9,
        as_before(&without(
            &row,
            &["rejected", "server_flops", "server_energy_j"],
            &[],
        )),
    )
}

/// A row's JSON with the names that columns had when the first hashes were recorded.
fn as_before(text: &str) -> String {
    let text = text.replacen(",\"late_arrivals\":", ",\"late\":", 1);
    text.replacen(",\"unanswered\":", ",\"lost\":", 1)
}

/// The digest of a client's line. The place of the accuracy after training is kept, but is empty, as it
/// was for most methods.
fn client(row: &ClientRow) -> u64 {
    let row = ClientRow {
        trained_accuracy: None,
        ..row.clone()
    };
    let text = without(&row, CLIENT_ASIDE, &[]);
    hashed(
        2,
        text.replace("\"trained_accuracy\":null", "\"accuracy\":null"),
    )
}

/// The digest of a client's accuracy.
fn accuracy(row: &ClientAccuracyRow) -> u64 {
    hashed(3, without(row, ACCURACY_ASIDE, &[]))
}

/// The digest of the figures of a width.
fn size(row: &SizeRow) -> u64 {
    hashed(6, without(row, SIZE_ASIDE, &[]))
}

/// A row as JSON, without the columns `aside` and without those columns of `later` that are empty.
fn without(row: &impl Serialize, aside: &[&str], later: &[&str]) -> String {
    let mut text = serde_json::to_string(row).unwrap_or_default();
    for column in aside {
        // The values of these columns are numbers or empty, so they contain no comma and no bracket.
        if let Some(from) = text.find(&format!(",\"{column}\":")) {
            let value = &text[from + 1..];
            let ends = value.find([',', '}']).unwrap_or(value.len());
            text.replace_range(from..from + 1 + ends, "");
        }
    }
    for column in later {
        text = text.replace(&format!(",\"{column}\":null"), "");
    }
    text
}

/// The digest of a row's text. `kind` keeps rows of different tables apart.
fn hashed(kind: u64, text: impl AsRef<[u8]>) -> u64 {
    mix_words(&[kind, xxh3_64(text.as_ref())])
}

/// The digest of a row as JSON, whose decimals are the shortest that give the number back, on every
/// machine.
fn content(kind: u64, row: &impl Serialize) -> u64 {
    // Rows are structs of numbers and text, so writing them to memory cannot fail.
    hashed(kind, serde_json::to_vec(row).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_later_column_leaves_the_hash_of_a_round_as_it_always_was() {
        let row = RoundRow::default();
        let digest = |row: RoundRow| Record::Round(Box::new(row)).digest();
        // The row as it was written before there was any such column.
        let text = serde_json::to_string(&row).unwrap();
        let text = text
            .replace("late_arrivals", "late")
            .replace("unanswered", "lost");
        let (old, new) = text.split_once(r#","attack_success""#).unwrap();
        assert_eq!(
            new,
            r#":null,"epsilon":null,"restored":null,"available":null,"staleness_mean":null,"staleness_max":null,"consensus_distance":null,"rejected":0,"client_worst10_clients":null,"client_worst10_samples":null,"received_mean":null,"received_std":null,"received_p5":null,"received_p95":null,"received_worst10":null,"received_worst10_samples":null,"trained_mean":null,"trained_std":null,"trained_p5":null,"trained_p95":null,"trained_worst10":null,"trained_worst10_samples":null,"trained_worst10_clients":null,"trained_clients":null,"diverged":null,"server_flops":0,"server_energy_j":0.0,"select_accuracy":null,"select_loss":null,"statistics_bytes":null,"partial":null}"#
        );
        let old = format!("{old}}}");
        assert_eq!(
            digest(row.clone()),
            mix_words(&[1, xxh3_64(old.as_bytes())])
        );
        // Filled or not, columns that no hash knows of change nothing.
        let measured = RoundRow {
            received_mean: Some(0.25),
            trained_worst10: Some(0.125),
            trained_clients: Some(7),
            diverged: Some(3),
            server_flops: 9,
            server_energy: 0.5,
            select_accuracy: Some(0.75),
            ..row.clone()
        };
        assert_eq!(digest(measured), digest(row.clone()));
        let spent = RoundRow {
            epsilon: Some(0.5),
            ..row.clone()
        };
        assert_ne!(digest(spent), digest(row.clone()));
        let partial = RoundRow {
            partial: Some(0),
            ..row.clone()
        };
        assert_ne!(digest(partial), digest(row.clone()));
        // Reports that are not used have always been among the refusals, and the rest is derived.
        let apart = RoundRow {
            refused: 2,
            rejected: 3,
            client_worst10_clients: Some(4),
            client_worst10_samples: Some(40),
            ..row.clone()
        };
        let together = RoundRow { refused: 5, ..row };
        assert_eq!(digest(apart), digest(together));
    }

    #[test]
    fn rows_of_clients_and_evaluations_hash_as_before_they_had_figures_around_training() {
        let row = ClientAccuracyRow {
            round: 2,
            client: 5,
            group: "phones".into(),
            correct: Some(3),
            count: 4,
            received_correct: Some(1),
            trained_correct: Some(4),
            trained_round: Some(2),
        };
        let old = r#"{"round":2,"client":5,"group":"phones","correct":3,"count":4}"#;
        let digest = Record::Accuracy(Box::new(row.clone())).digest();
        assert_eq!(digest, mix_words(&[3, xxh3_64(old.as_bytes())]));
        // What was hashed before is hashed still.
        let other = ClientAccuracyRow {
            correct: Some(2),
            ..row
        };
        assert_ne!(digest, Record::Accuracy(Box::new(other)).digest());

        let row = SizeRow {
            round: 2,
            size: 0.5,
            clients: 3,
            accuracy: Some(0.5),
            loss: None,
            client_mean: Some(0.25),
            received_mean: Some(0.125),
            trained_mean: None,
        };
        let old =
            r#"{"round":2,"size":0.5,"clients":3,"accuracy":0.5,"loss":null,"client_mean":0.25}"#;
        let digest = Record::Size(Box::new(row)).digest();
        assert_eq!(digest, mix_words(&[6, xxh3_64(old.as_bytes())]));
    }
}
