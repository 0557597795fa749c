//! Where each client's samples are in the array of indices.

use crate::sim::rng::{below, stream, Purpose};
use std::ops::Range;

/// The counter of the streams from which positions are drawn; the nodes are clients, from 1.
const PLACE: u64 = 1 << 33;

/// Clients whose ranges may begin anywhere in the array and may overlap. Nothing is stored for a
/// client: its position is drawn again whenever it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shared {
    pub clients: usize,
    /// The number of samples of each client.
    pub each: usize,
    /// How far behind its position a client's range begins.
    pub skipped: usize,
    /// The number of possible positions.
    pub places: usize,
    pub seed: u64,
}

/// How the array of indices is divided among clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    /// One client after the other. There is one offset more than there are clients; the first is 0, and
    /// the last is the length of the array.
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

    /// The range of a client's samples; empty for a client that does not exist.
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

    /// The number of samples of a client.
    pub fn size(&self, client: usize) -> usize {
        match self {
            Self::Offsets(_) => self.range(client).len(),
            Self::Shared(shared) if client < shared.clients => shared.each,
            Self::Shared(_) => 0,
        }
    }
}
