//! Random streams: one independent stream for each (seed, node, purpose, counter).
//!
//! A stream is named, not stored. Code that needs randomness builds the stream from its purpose and a
//! counter that it has anyway (a sequence number, a round). So a dormant node holds no generator state,
//! a job can be run again with the same draws, and no draw depends on what another node drew.
//!
//! For example, `stream(seed, 3, Purpose::Shuffle, 7)` gives the order in which client node 3 visits
//! its samples in round 7, whatever else has been drawn before.

use rand_xoshiro::rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The generator behind every stream: Xoshiro256++ (Blackman and Vigna, 2019), portable and pinned
/// by tests.
pub type Stream = Xoshiro256PlusPlus;

/// What a stream is used for. The numbers are part of every recorded hash and must never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Purpose {
    /// Data generation, for synthetic sources.
    Data = 1,
    /// Splitting samples among clients.
    Partition = 2,
    /// Drawing the properties of a population (device speeds, participation ratios).
    Population = 3,
    /// Initial weights of models.
    Weights = 4,
    /// Which clients a server asks.
    Selection = 5,
    /// What happens to a message on its link; the counter is the message's sequence number.
    Link = 6,
    /// Order of samples in local training; the counter is the round.
    Shuffle = 7,
    /// Dropout masks in local training; the counter is the round.
    Dropout = 8,
    /// Free use by the handlers of a node; the counter is the sequence number at the draw.
    Node = 9,
    /// Which samples of a client are held out for its own evaluation.
    Holdout = 10,
    /// What a method draws for itself; the counter is the round.
    Method = 11,
    /// Which samples are public.
    Public = 12,
    /// Which clients a fault or an attack concerns; the counter is the number of the fault or attack.
    Members = 13,
    /// Times, targets and amounts of faults; the counter combines the number of the fault and of its
    /// occurrence.
    Fault = 14,
    /// What adversaries draw; the counter is the round.
    Attack = 15,
    /// What a defence draws; the counter is the round.
    Defence = 16,
    /// What compression draws; the counter is the round.
    Compression = 17,
    /// Noise, masks and shares of privacy layers; the counter is the round.
    Privacy = 18,
    /// Graphs of federations without a server; the counter combines the number of the graph and of the
    /// attempt.
    Graph = 19,
    /// What happens to a message over TCP; the counter combines its sequence number and the number of
    /// the draw.
    Tcp = 20,
}

/// The finaliser of SplitMix64: a bijection on 64 bits in which every input bit affects every output
/// bit.
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The stream for `purpose` of `node` under `seed`, at `counter`.
///
/// The four words pass through a permutation of 256 bits and become the generator's state, so two
/// different names never share a state.
pub fn stream(seed: u64, node: u64, purpose: Purpose, counter: u64) -> Stream {
    let mut s = [
        seed ^ 0x9e37_79b9_7f4a_7c15,
        node ^ 0xd1b5_4a32_d192_ed03,
        (purpose as u64) ^ 0x8cb9_2ba7_2f3d_8dd7,
        counter ^ 0xaaaa_aaaa_aaaa_aaab,
    ];
    // A four-lane Feistel network: each step can be inverted, and in three rounds each word reaches
    // each.
    for round in 0..3u64 {
        for i in 0..4 {
            let key = mix(s[i].wrapping_add(round.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            s[(i + 1) % 4] ^= key;
        }
    }
    // All zeros is the one state that the generator must not have; one name in 2^256 leads to it.
    let mut bytes = [0u8; 32];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(s) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    Xoshiro256PlusPlus::from_seed(bytes)
}

/// An unbiased draw from `0..bound` (Lemire 2019); 0 if `bound` is 0.
pub fn below(rng: &mut Stream, bound: u64) -> u64 {
    use rand::Rng;
    if bound == 0 {
        return 0;
    }
    let mut product = u128::from(rng.next_u64()) * u128::from(bound);
    if (product as u64) < bound {
        let threshold = bound.wrapping_neg() % bound;
        while (product as u64) < threshold {
            product = u128::from(rng.next_u64()) * u128::from(bound);
        }
    }
    (product >> 64) as u64
}

/// Shuffles the whole slice (Fisher–Yates).
pub fn shuffle<T>(rng: &mut Stream, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        let j = below(rng, i as u64 + 1) as usize;
        items.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    /// The expected numbers come from a second implementation of this file's definition, in Python.
    #[test]
    fn streams_are_pinned() {
        let draws = |seed, node, purpose, counter| {
            let mut s = stream(seed, node, purpose, counter);
            [s.next_u64(), s.next_u64()]
        };
        assert_eq!(
            draws(1, 0, Purpose::Link, 0),
            [9_645_294_946_206_981_715, 12_042_227_646_181_589_319]
        );
        assert_eq!(
            draws(1, 0, Purpose::Link, 1),
            [5_064_815_105_454_837_637, 5_960_734_851_387_507_339]
        );
        assert_eq!(
            draws(1, 1, Purpose::Link, 0),
            [7_169_347_646_064_238_619, 10_168_831_047_386_992_475]
        );
        assert_eq!(
            draws(2, 0, Purpose::Shuffle, 0),
            [15_789_390_391_801_578_337, 1_512_176_284_938_334_029]
        );
    }

    #[test]
    fn every_bit_of_a_name_moves_half_the_bits_of_the_state() {
        let first =
            |words: [u64; 3]| stream(words[0], words[1], Purpose::Node, words[2]).next_u64();
        let base = first([7, 8, 9]);
        for word in 0..3 {
            for bit in 0..64 {
                let mut words = [7, 8, 9];
                words[word] ^= 1 << bit;
                let moved = (base ^ first(words)).count_ones();
                assert!(
                    (14..=50).contains(&moved),
                    "word {word} bit {bit}: {moved} bits"
                );
            }
        }
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut rng = stream(1, 2, Purpose::Node, 3);
        let mut counts = [0u32; 6];
        for _ in 0..60_000 {
            counts[below(&mut rng, 6) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&c| (9_500..10_500).contains(&c)),
            "{counts:?}"
        );
        assert_eq!(below(&mut rng, 0), 0);
        assert_eq!(below(&mut rng, 1), 0);
    }
}
