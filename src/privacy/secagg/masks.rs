//! Keys, and the masks that they expand to.

use super::shamir::{Polynomial, Secret};
use crate::sim::rng::{stream, Purpose};
use chacha20::cipher::{KeyIvInit, StreamCipher};
use chacha20::ChaCha20;
use hkdf::Hkdf;
use rand::Rng;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};

/// A public key, as it is on the wire.
pub type Public = [u8; 32];

/// Streams of this purpose whose counter is the number of a round make noise; with this bit set
/// they make keys.
const KEYS: u64 = 1 << 32;

/// The secrets of a client in a round. They come from a named random stream, so anybody who has the
/// seed of the run knows them.
pub struct Secrets {
    /// The secret key from which pairwise masks are agreed on.
    pub key: Secret,
    /// The seed of the client's own mask.
    pub own: Secret,
    /// The polynomials that share the key among the cohort.
    pub key_shares: Polynomial,
    /// The polynomials that share the seed of the own mask among the cohort.
    pub own_shares: Polynomial,
}

impl Secrets {
    /// The secrets of `client` in `round`, shared so that `least` shares suffice to recover each.
    pub fn draw(seed: u64, client: u32, round: u32, least: usize) -> Self {
        let counter = KEYS | u64::from(round);
        let mut rng = stream(seed, u64::from(client) + 1, Purpose::Privacy, counter);
        let mut secret = || {
            let mut bytes = [0; 32];
            for eight in bytes.chunks_mut(8) {
                eight.copy_from_slice(&rng.next_u64().to_le_bytes());
            }
            bytes
        };
        let (key, own) = (secret(), secret());
        Self {
            key_shares: Polynomial::new(&key, least, &mut rng),
            own_shares: Polynomial::new(&own, least, &mut rng),
            key,
            own,
        }
    }
}

/// The public key that belongs to the secret key `key`.
pub fn public(key: &Secret) -> Public {
    PublicKey::from(&StaticSecret::from(*key)).to_bytes()
}

/// The seed of the mask between the owner of the secret `key` and the owner of the public key
/// `other`. Both owners compute the same seed.
pub fn agree(key: &Secret, other: &Public, round: u32) -> Secret {
    let shared = StaticSecret::from(*key).diffie_hellman(&PublicKey::from(*other));
    let mut seed = [0; 32];
    let info = [b"shoal mask ".as_slice(), &round.to_le_bytes()].concat();
    // HKDF can expand to far more than 32 bytes, so this cannot fail.
    let expanded = Hkdf::<Sha256>::new(None, shared.as_bytes()).expand(&info, &mut seed);
    debug_assert!(expanded.is_ok());
    seed
}

/// Adds the mask of `seed` to `words` and to `weight`, or subtracts the mask if `add` is false.
pub fn apply(seed: &Secret, add: bool, words: &mut [u32], weight: &mut u32) {
    let mut cipher = ChaCha20::new(&(*seed).into(), &[0u8; 12].into());
    let mut block = [0u8; 4096];
    let mut next = |count: usize| {
        let bytes = &mut block[..4 * count];
        bytes.fill(0);
        cipher.apply_keystream(bytes);
        let fours = bytes.chunks_exact(4);
        let words = fours.map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        words.collect::<Vec<u32>>()
    };
    let combine = |word: &mut u32, mask: u32| {
        *word = match add {
            true => word.wrapping_add(mask),
            false => word.wrapping_sub(mask),
        };
    };
    for part in words.chunks_mut(1024) {
        let masks = next(part.len());
        for (word, mask) in part.iter_mut().zip(masks) {
            combine(word, mask);
        }
    }
    combine(weight, next(1)[0]);
}
