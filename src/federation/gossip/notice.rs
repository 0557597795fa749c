//! What a client without a server reports to the observer of its round. A notice is on no link and takes no
//! bytes.

use crate::learn::Cost;
use crate::method::{Metrics, Payload};
use crate::quantity::{Span, VirtualTime};
use crate::sim::mix_words;
use crate::snapshot::snapshot_struct;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A client's round, as the observer learns of it.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    /// The round.
    pub round: u32,
    /// The client's model after it, in rounds that are measured.
    pub model: Payload,
    /// Why the client did not train, or why its training failed; `None` if it trained.
    pub refused: Option<Arc<str>>,
    /// Whether the client's training diverged.
    pub diverged: bool,
    /// When the client began the round.
    pub began: VirtualTime,
    /// When training was done; `None` if the client did not train.
    pub trained: Option<VirtualTime>,
    /// When the client ended the round.
    pub ended: VirtualTime,
    /// How long the virtual device worked, for training and mixing together.
    pub compute: Span,
    /// How long the client waited for its neighbours' models.
    pub waited: Span,
    /// How many samples the client trained on.
    pub samples: u32,
    /// FLOPs and memory of training and mixing.
    pub cost: Cost,
    /// The energy that the device drew, in joules.
    pub energy: f64,
    /// What the method's client half measured.
    pub metrics: Metrics,
    /// The bytes of the models that the client sent.
    pub sent: u64,
    /// The bytes of the models that arrived.
    pub received: u64,
    /// How many models arrived when the client had gone on without them.
    pub late: u32,
}

snapshot_struct!(Notice {
    round,
    model,
    refused,
    diverged,
    began,
    trained,
    ended,
    compute,
    waited,
    samples,
    cost,
    energy,
    metrics,
    sent,
    received,
    late,
});

impl Notice {
    /// The notice of a round that begins at `began`.
    pub fn open(round: u32, began: VirtualTime) -> Self {
        Self {
            round,
            began,
            ..Self::default()
        }
    }

    /// A digest of the content, in 64 bits. Figures that are also in a table are in the hash through the
    /// table.
    pub fn digest(&self) -> u64 {
        let refused = self.refused.as_ref();
        mix_words(&[
            u64::from(self.round),
            self.model.digest(),
            refused.map_or(0, |reason| xxh3_64(reason.as_bytes())),
            self.began.nanos(),
            self.ended.nanos(),
            self.sent,
            self.received,
            u64::from(self.late),
        ])
    }
}
