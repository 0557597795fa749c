//! What the federation tells the recorder.

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
}

impl Digest for Record {
    fn digest(&self) -> u64 {
        match self {
            Self::Round(row) => round(row),
            Self::Server(row) => content(9, row),
            Self::Client(row) => content(2, row),
            Self::Accuracy(row) => content(3, row),
            Self::Size(row) => content(6, row),
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
        }
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

/// A round as its JSON, without the later columns that are empty.
fn round(row: &RoundRow) -> u64 {
    let mut text = serde_json::to_string(row).unwrap_or_default();
    for column in LATER {
        text = text.replace(&format!(",\"{column}\":null"), "");
    }
    mix_words(&[1, xxh3_64(text.as_bytes())])
}

/// A row as its JSON: shortest round-trip decimals, the same on every machine.
fn content(kind: u64, row: &impl Serialize) -> u64 {
    // Rows are plain structs of numbers and text; writing them to memory cannot fail.
    let text = serde_json::to_vec(row).unwrap_or_default();
    mix_words(&[kind, xxh3_64(&text)])
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
        let (old, new) = text.split_once(r#","attack_success""#).unwrap();
        assert_eq!(
            new,
            r#":null,"epsilon":null,"restored":null,"available":null,"staleness_mean":null,"staleness_max":null,"consensus_distance":null}"#
        );
        let old = format!("{old}}}");
        assert_eq!(
            digest(row.clone()),
            mix_words(&[1, xxh3_64(old.as_bytes())])
        );
        let spent = RoundRow {
            epsilon: Some(0.5),
            ..row.clone()
        };
        assert_ne!(digest(spent), digest(row));
    }
}
