//! Where each client's samples stand in the row of indices.

use crate::sim::rng::{below, stream, Purpose};
use std::ops::Range;

/// The counter of the streams that places are drawn from; nodes are clients, from 1.
const PLACE: u64 = 1 << 33;

/// Clients whose samples lie anywhere in the row and may lie in others' too: nothing is stored for
/// a client, its place is drawn again whenever it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared {
    pub clients: usize,
    /// Samples of each client.
    pub each: usize,
    /// How far behind its place a client's samples begin.
    pub skipped: usize,
    /// A client's place is one of so many.
    pub places: usize,
    pub seed: u64,
}

/// How the row of indices is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    /// Client after client; one more than there are clients, the first is 0, the last the length of
    /// the row.
    Offsets(Vec<usize>),
    /// Each client has its range, and ranges overlap.
    Shared(Shared),
}

impl Rows {
    pub fn clients(&self) -> usize {
        match self {
            Self::Offsets(offsets) => offsets.len().saturating_sub(1),
            Self::Shared(shared) => shared.clients,
        }
    }

    /// The places of a client's samples; empty for a client that does not exist.
    pub fn range(&self, client: usize) -> Range<usize> {
        match self {
            Self::Offsets(offsets) => {
                let bounds = offsets
                    .get(client)
                    .zip(offsets.get(client.saturating_add(1)));
                bounds.map_or(0..0, |(start, end)| *start..*end)
            }
            Self::Shared(shared) if client < shared.clients => {
                let node = client as u64 + 1;
                let mut rng = stream(shared.seed, node, Purpose::Partition, PLACE);
                let start = below(&mut rng, shared.places as u64) as usize + shared.skipped;
                start..start + shared.each
            }
            Self::Shared(_) => 0..0,
        }
    }

    /// How many samples a client has.
    pub fn size(&self, client: usize) -> usize {
        match self {
            Self::Offsets(_) => self.range(client).len(),
            Self::Shared(shared) if client < shared.clients => shared.each,
            Self::Shared(_) => 0,
        }
    }
}
