//! What the federation tells the recorder.

use crate::observe::rows::{ClientAccuracyRow, ClientRow, RejectionRow, RoundRow, SizeRow};
use crate::quantity::VirtualTime;
use crate::sim::{mix_words, Digest, NodeId};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// One thing worth recording.
#[derive(Debug, Clone)]
pub enum Record {
    /// A round is over.
    Round(Box<RoundRow>),
    /// A client's round is over.
    Client(Box<ClientRow>),
    /// A client's accuracy was measured.
    Accuracy(Box<ClientAccuracyRow>),
    /// The models of one width were measured.
    Size(Box<SizeRow>),
    /// A report was not used.
    Rejection(Box<RejectionRow>),
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
            Self::Round(row) => content(1, row),
            Self::Client(row) => content(2, row),
            Self::Accuracy(row) => content(3, row),
            Self::Size(row) => content(6, row),
            Self::Rejection(row) => content(7, row),
            // Where in the source a panic happened is not part of what happened.
            Self::Crash { node, at, .. } => mix_words(&[4, u64::from(node.0), at.nanos()]),
            Self::Fatal(reason) => mix_words(&[5, xxh3_64(reason.as_bytes())]),
        }
    }
}

/// What rows end in where a column that was added to them says nothing: left out, so that a run which
/// has no use for the column keeps the hash that it had without it.
const EMPTY: &[&[u8]] = &[b",\"attack_success\":null}"];

/// A row as its JSON: shortest round-trip decimals, the same on every machine.
fn content(kind: u64, row: &impl Serialize) -> u64 {
    // Rows are plain structs of numbers and text; writing them to memory cannot fail.
    let mut text = serde_json::to_vec(row).unwrap_or_default();
    for empty in EMPTY {
        if text.ends_with(empty) {
            text.truncate(text.len() - empty.len());
            text.push(b'}');
        }
    }
    mix_words(&[kind, xxh3_64(&text)])
}
