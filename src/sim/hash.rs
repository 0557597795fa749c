//! The trace hash, one number for everything that happened in a run.
//!
//! Every delivered event has a 64-bit digest of its key, target, kind and content. The digests of a
//! window are added up. A sum does not depend on the order in which shards deliver, and that loses
//! nothing, because the keys of the events fix their order. The sums of the windows and the digests of
//! all records are then chained in the order of virtual time.

use super::event::{Key, NodeId};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::fmt;

/// Content that enters the trace hash.
pub trait Digest {
    /// A digest of 64 bits: equal for equal content on every machine, and different for different
    /// content except by chance.
    fn digest(&self) -> u64;

    /// Whether the content enters the hash. Content that follows from other content which does, and
    /// only describes it further, need not enter the hash. The default is true.
    fn counts(&self) -> bool {
        true
    }
}

impl Digest for () {
    fn digest(&self) -> u64 {
        0
    }
}

impl Digest for u64 {
    fn digest(&self) -> u64 {
        *self
    }
}

/// Multiplies two words to 128 bits and combines the halves, so that every input bit affects every
/// output bit at the cost of one multiplication.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Mixes words into one, in order. This is for small content of a fixed size; large content is hashed
/// with xxh3 first.
pub fn mix_words(words: &[u64]) -> u64 {
    words.iter().fold(0x243f_6a88_85a3_08d3, |state, word| {
        fold(state ^ word, 0x9e37_79b9_7f4a_7c15) ^ state.rotate_left(29)
    })
}

/// The digest of one delivered event.
pub(crate) fn event_digest(key: Key, target: NodeId, kind: u8, content: u64) -> u64 {
    let place = (u64::from(key.source.0) << 32) | u64::from(target.0);
    let a = fold(
        key.time.nanos() ^ 0x1319_8a2e_0370_7344,
        place ^ 0xa409_3822_299f_31d0,
    );
    let b = fold(
        key.sequence ^ 0x082e_fa98_ec4e_6c89 ^ (u64::from(kind) << 56),
        content ^ 0x4528_21e6_38d0_1377,
    );
    fold(a ^ 0xbe54_66cf_34e9_0c6c, b ^ 0xc0ac_29b7_c97c_50dd) ^ a ^ b
}

/// The hash of a run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceHash(u64);

impl TraceHash {
    /// The hash of a run in which nothing has happened yet.
    pub const START: Self = Self(0x452a_93c1_07e5_d84b);

    /// Chains the digest of the next window or record.
    pub(crate) fn chain(&mut self, word: u64) {
        self.0 = mix_words(&[self.0, word]);
    }

    /// The hash as a number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Snapshot for TraceHash {
    fn save(&self, to: &mut Writer) {
        to.number(self.0);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        from.number().map(Self)
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::VirtualTime;

    #[test]
    fn every_part_of_an_event_moves_its_digest() {
        let key = |time, source, sequence| Key {
            time: VirtualTime::from_nanos(time),
            source: NodeId(source),
            sequence,
        };
        let digests = [
            event_digest(key(1, 2, 3), NodeId(4), 5, 6),
            event_digest(key(0, 2, 3), NodeId(4), 5, 6),
            event_digest(key(1, 0, 3), NodeId(4), 5, 6),
            event_digest(key(1, 2, 0), NodeId(4), 5, 6),
            event_digest(key(1, 2, 3), NodeId(0), 5, 6),
            event_digest(key(1, 2, 3), NodeId(4), 0, 6),
            event_digest(key(1, 2, 3), NodeId(4), 5, 0),
            event_digest(key(1, 4, 3), NodeId(2), 5, 6),
        ];
        for (i, a) in digests.iter().enumerate() {
            for b in &digests[..i] {
                assert!((a ^ b).count_ones() > 10, "{digests:x?}");
            }
        }
    }

    #[test]
    fn the_chain_depends_on_order() {
        let mut ab = TraceHash::START;
        ab.chain(1);
        ab.chain(2);
        let mut ba = TraceHash::START;
        ba.chain(2);
        ba.chain(1);
        assert_ne!(ab, ba);
    }
}
