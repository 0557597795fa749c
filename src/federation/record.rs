//! What the federation tells the recorder.

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
    Fact(Box<Fact>),
}

impl Digest for Record {
    fn digest(&self) -> u64 {
        match self {
            Self::Round(row) => round(row),
            Self::Server(row) => server(row),
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
            Self::Fact(_) => 0,
        }
    }

    fn counts(&self) -> bool {
        !matches!(self, Self::Fact(_))
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

/// Columns that follow from others, or from events, and came later still: they never count.
const DERIVED: &[&str] = &[
    "rejected",
    "client_worst10_clients",
    "client_worst10_samples",
];

/// A round as its JSON, as it was before columns were added and named anew: without the later ones that
/// are empty, and with reports that are not used among the refusals.
fn round(row: &RoundRow) -> u64 {
    let row = RoundRow {
        refused: row.refused.saturating_add(row.rejected),
        ..row.clone()
    };
    let mut text = serde_json::to_string(&row).unwrap_or_default();
    for column in LATER {
        text = text.replace(&format!(",\"{column}\":null"), "");
    }
    let text = as_before(text);
    mix_words(&[1, xxh3_64(text.as_bytes())])
}

/// A round of a server between, likewise.
fn server(row: &ServerRow) -> u64 {
    let row = ServerRow {
        refused: row.refused.saturating_add(row.rejected),
        ..row.clone()
    };
    let text = as_before(serde_json::to_string(&row).unwrap_or_default());
    mix_words(&[9, xxh3_64(text.as_bytes())])
}

/// The names that columns had, and none of the derived ones.
fn as_before(mut text: String) -> String {
    for column in DERIVED {
        let name = format!(",\"{column}\":");
        // A number or nothing: it ends where the next column or the row does.
        if let Some((before, rest)) = text.split_once(&name) {
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            text = format!("{before}{}", &rest[end..]);
        }
    }
    let text = text.replacen(",\"late_arrivals\":", ",\"late\":", 1);
    text.replacen(",\"unanswered\":", ",\"lost\":", 1)
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
        let text = text
            .replace("late_arrivals", "late")
            .replace("unanswered", "lost");
        let (old, new) = text.split_once(r#","attack_success""#).unwrap();
        assert_eq!(
            new,
            r#":null,"epsilon":null,"restored":null,"available":null,"staleness_mean":null,"staleness_max":null,"consensus_distance":null,"rejected":0,"client_worst10_clients":null,"client_worst10_samples":null}"#
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
}
