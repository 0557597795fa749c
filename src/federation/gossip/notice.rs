//! What the observer is told of a client's round. Not on the wire: it takes no bytes.

use crate::learn::Cost;
use crate::method::{Metrics, Payload};
use crate::quantity::{Span, VirtualTime};
use crate::sim::mix_words;
use crate::snapshot::snapshot_struct;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A client's round.
#[derive(Debug, Clone, Default)]
pub struct Notice {
    /// Which.
    pub round: u32,
    /// The client's model after it, in rounds that are measured.
    pub model: Payload,
    /// Why the client did not train, if it did not.
    pub refused: Option<Arc<str>>,
    /// Whether it did, and diverged.
    pub diverged: bool,
    /// When the client began it.
    pub began: VirtualTime,
    /// When training was done, if it was.
    pub trained: Option<VirtualTime>,
    /// When the client was through with it.
    pub ended: VirtualTime,
    /// How long the virtual device worked: training and mixing.
    pub compute: Span,
    /// How long the client waited for its neighbours.
    pub waited: Span,
    /// On how many samples it trained.
    pub samples: u32,
    /// Operations and memory.
    pub cost: Cost,
    /// What the device drew, in joules.
    pub energy: f64,
    /// What the method tells.
    pub metrics: Metrics,
    /// Bytes of the models that it sent.
    pub sent: u64,
    /// Bytes of the models that came.
    pub received: u64,
    /// Models that came when the client had gone on without them.
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
    /// Of a round that begins.
    pub fn open(round: u32, began: VirtualTime) -> Self {
        Self {
            round,
            began,
            ..Self::default()
        }
    }

    /// 64 bits of the content. Observation that is in tables too is in the hash by them.
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
