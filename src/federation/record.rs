//! What the federation tells the recorder.

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

/// One thing worth recording.
#[derive(Debug, Clone)]
pub enum Record {
    /// A round is over.
    Round(Box<RoundRow>),
    /// A round of a server between is over.
    Server(Box<ServerRow>),
    /// A client's round is over.
    Client(Box<ClientRow>),
    /// A client's accuracy was measured.
    Accuracy(Box<ClientAccuracyRow>),
    /// The models of one width were measured.
    Size(Box<SizeRow>),
    /// A report was not used.
    Rejection(Box<RejectionRow>),
    /// Reports used in a round, by their staleness in server steps; only where clients are asked one
    /// by one.
    Staleness(BTreeMap<u32, u32>),
    /// A node's handler panicked.
    Crash {
        /// Which node.
        node: NodeId,
        /// When.
        at: VirtualTime,
        /// The panic's message.
        reason: String,
    },
    /// The method cannot go on; the run ends.
    Fatal(String),
    /// Something happened to an invitation. It follows from events that are in the hash.
    Fact(Fact),
    /// Models as they are. They follow from what is in the hash.
    Weights(Box<Weights>),
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
            // Where in the source a panic happened is not part of what happened.
            Self::Crash { node, at, .. } => mix_words(&[4, u64::from(node.0), at.nanos()]),
            Self::Fatal(reason) => mix_words(&[5, xxh3_64(reason.as_bytes())]),
            Self::Fact(_) | Self::Weights(_) => 0,
        }
    }

    fn counts(&self) -> bool {
        !matches!(self, Self::Fact(_) | Self::Weights(_))
    }
}

/// Columns of rounds that came after the first hashes were recorded. Empty, they do not count: the
/// hash of a run that knows nothing of them stays.
const LATER: &[&str] = &[
    "attack_success",
    "epsilon",
    "restored",
    "available",
    "staleness_mean",
    "staleness_max",
    "consensus_distance",
];

/// Columns of rounds that no hash knows of: they would be filled in runs whose hashes were recorded
/// before there were such columns, and follow from what is hashed (reports, refusals and models).
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
];

/// The same of the other tables. `trained_accuracy` stands where a column was that only some methods
/// filled; see [`client`].
const CLIENT_ASIDE: &[&str] = &["received_accuracy", "overhead_bytes"];
const ACCURACY_ASIDE: &[&str] = &["received_correct", "trained_correct", "trained_round"];
const SIZE_ASIDE: &[&str] = &["received_mean", "trained_mean"];

/// A round as its JSON, as it was before columns were added and named anew: without the later ones that
/// are empty, and with reports that are not used among the refusals.
fn round(row: &RoundRow) -> u64 {
    let row = RoundRow {
        refused: row.refused.saturating_add(row.rejected),
        ..row.clone()
    };
    hashed(1, as_before(&without(&row, ROUND_ASIDE, LATER)))
}

/// A round of a server between, likewise.
fn server(row: &ServerRow) -> u64 {
    let row = ServerRow {
        refused: row.refused.saturating_add(row.rejected),
        ..row.clone()
    };
    hashed(9, as_before(&without(&row, &["rejected"], &[])))
}

/// The names that columns had.
fn as_before(text: &str) -> String {
    let text = text.replacen(",\"late_arrivals\":", ",\"late\":", 1);
    text.replacen(",\"unanswered\":", ",\"lost\":", 1)
}

/// A client's round as its JSON. The place of its accuracy after training is kept, empty as it was for
/// most methods.
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

fn accuracy(row: &ClientAccuracyRow) -> u64 {
    hashed(3, without(row, ACCURACY_ASIDE, &[]))
}

fn size(row: &SizeRow) -> u64 {
    hashed(6, without(row, SIZE_ASIDE, &[]))
}

/// A row as its JSON, without the columns `aside`, and without those of `later` that are empty.
fn without(row: &impl Serialize, aside: &[&str], later: &[&str]) -> String {
    let mut text = serde_json::to_string(row).unwrap_or_default();
    for column in aside {
        // Those are numbers or empty: they hold no comma and no bracket.
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

fn hashed(kind: u64, text: impl AsRef<[u8]>) -> u64 {
    mix_words(&[kind, xxh3_64(text.as_ref())])
}

/// A row as its JSON: shortest round-trip decimals, the same on every machine.
fn content(kind: u64, row: &impl Serialize) -> u64 {
    // Rows are plain structs of numbers and text; writing them to memory cannot fail.
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
            r#":null,"epsilon":null,"restored":null,"available":null,"staleness_mean":null,"staleness_max":null,"consensus_distance":null,"rejected":0,"client_worst10_clients":null,"client_worst10_samples":null,"received_mean":null,"received_std":null,"received_p5":null,"received_p95":null,"received_worst10":null,"received_worst10_samples":null,"trained_mean":null,"trained_std":null,"trained_p5":null,"trained_p95":null,"trained_worst10":null,"trained_worst10_samples":null,"trained_worst10_clients":null,"trained_clients":null,"diverged":null}"#
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
            ..row.clone()
        };
        assert_eq!(digest(measured), digest(row.clone()));
        let spent = RoundRow {
            epsilon: Some(0.5),
            ..row.clone()
        };
        assert_ne!(digest(spent), digest(row.clone()));
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
