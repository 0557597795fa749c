//! XXH3 of long inputs, compiled for the registers that the processor has.
//!
//! The digest of a parameter set is that of the `xxhash-rust` crate, which picks its vector code when
//! it is compiled; a binary for every x86-64 gets the narrow one, and a tenth of a small network's
//! training would be hashing. This is the same function (XXH3_64bits without a seed, for more than
//! 240 bytes, as in the specification of xxHash 0.8), over a loop that [`wide`] widens.

use super::wide::wide;
use xxhash_rust::xxh3::xxh3_64;

const STRIPE: usize = 64;
/// Stripes between two scramblings.
const BLOCK: usize = 16 * STRIPE;
/// Shorter inputs are hashed by other rules.
const LONG: usize = 241;

const PRIME32: [u64; 3] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d];
const PRIME64: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// The specification's default secret.
#[rustfmt::skip]
const SECRET: [u8; 192] = [
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
    0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
    0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
    0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
    0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
    0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
    0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
    0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
    0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e,
    0x2b, 0x16, 0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce,
    0x45, 0xcb, 0x3a, 0x8f, 0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
];

/// XXH3 of some bytes, 64 bits.
pub(super) fn xxh3(bytes: &[u8]) -> u64 {
    if bytes.len() < LONG {
        xxh3_64(bytes)
    } else {
        long(bytes)
    }
}

#[inline(always)]
fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[inline(always)]
fn accumulate(sums: &mut [u64; 8], stripe: &[u8], secret: &[u8]) {
    let (stripe, secret) = (&stripe[..STRIPE], &secret[..STRIPE]);
    let mut data = [0; 8];
    for (i, data) in data.iter_mut().enumerate() {
        *data = word(stripe, 8 * i);
    }
    for i in 0..8 {
        let key = data[i] ^ word(secret, 8 * i);
        let product = (key & 0xffff_ffff).wrapping_mul(key >> 32);
        sums[i] = sums[i].wrapping_add(data[i ^ 1]).wrapping_add(product);
    }
}

wide! {
    fn long(bytes: &[u8]) -> u64 {
        let [q1, q2, q3, q4, q5] = PRIME64;
        let [p1, p2, p3] = PRIME32;
        let mut sums = [p3, q1, q2, q3, q4, p2, q5, p1];
        // The last stripe is taken by itself at the end, so the last byte is never in a whole block.
        let mut blocks = bytes[..bytes.len() - 1].chunks_exact(BLOCK);
        for block in &mut blocks {
            for (n, stripe) in block.chunks_exact(STRIPE).enumerate() {
                accumulate(&mut sums, stripe, &SECRET[8 * n..]);
            }
            for (i, sum) in sums.iter_mut().enumerate() {
                let mixed = *sum ^ (*sum >> 47) ^ word(&SECRET, SECRET.len() - STRIPE + 8 * i);
                *sum = mixed.wrapping_mul(p1);
            }
        }
        for (n, stripe) in blocks.remainder().chunks_exact(STRIPE).enumerate() {
            accumulate(&mut sums, stripe, &SECRET[8 * n..]);
        }
        let (last, secret) = (bytes.len() - STRIPE, SECRET.len() - STRIPE - 7);
        accumulate(&mut sums, &bytes[last..], &SECRET[secret..]);
        let mut hash = (bytes.len() as u64).wrapping_mul(q1);
        for i in 0..4 {
            let (a, b) = (word(&SECRET, 11 + 16 * i), word(&SECRET, 19 + 16 * i));
            hash = hash.wrapping_add(fold(sums[2 * i] ^ a, sums[2 * i + 1] ^ b));
        }
        hash = (hash ^ (hash >> 37)).wrapping_mul(0x1656_6791_9e37_79f9);
        hash ^ (hash >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_has_the_hash_of_the_specification() {
        let bytes: Vec<u8> = (0..6_000usize)
            .map(|i| (i * i * 31 + i / 7) as u8)
            .collect();
        let lengths = (0..2_400).chain([3_072, 3_073, 4_095, 4_096, 4_097, 5_999]);
        for length in lengths {
            let bytes = &bytes[..length];
            assert_eq!(xxh3(bytes), xxh3_64(bytes), "{length} bytes");
            if length >= LONG {
                assert_eq!(long(bytes), xxh3_64(bytes), "{length} bytes, narrow");
            }
        }
    }
}
