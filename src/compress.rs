//! Compression of what clients report: a layer that any method can wear whose clients report models
//! or updates.
//!
//! A model is compressed as its difference to the model that the client was sent. What travels is
//! the packed form and nothing else ([`Coded`](crate::method::Coded)): the server decodes from those
//! bytes, and those bytes are what the links carry. Masks, scores, samples and numbers pass as they
//! are, and so do the statistics of normalisations, which are measured and not learned.
//!
//! - [`registry`]: the list of schemes, one file each beside it
//! - `bits`: packing
//! - `client`, `server`: the two ends of the layer

pub(crate) mod bits;
mod client;
mod codec;
mod int8;
mod qsgd;
mod random_k;
pub mod registry;
mod server;
mod sign;
mod ternary;
#[cfg(test)]
mod tests;
mod top_k;

pub use client::Compressor;
pub(crate) use codec::Codec;
pub use registry::Compression;
pub use server::Decompressor;

use crate::sim::rng::Stream;
use std::fmt::Debug;

/// A way to write a vector in fewer bytes.
pub trait Scheme: Debug + Send + Sync {
    /// What is wrong with the parameters, each with its field.
    /// Fields that it was held against are named after it, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)>;

    /// Whether clients add what was not sent this time to what they send next time.
    fn feedback(&self) -> bool {
        false
    }

    /// Writes `values`, all finite. `tensors` are the lengths of the tensors they belong to, in
    /// order; `rng` is for this vector alone.
    fn encode(&self, values: &[f32], tensors: &[usize], rng: &mut Stream) -> Vec<u8>;

    /// Reads what [`Scheme::encode`] wrote into `values`, from the bytes alone. `None` if they are
    /// not what it writes for as many values.
    fn decode(&self, bytes: &[u8], tensors: &[usize], values: &mut [f32]) -> Option<()>;

    /// Operations per value that writing takes.
    fn operations(&self) -> u64;
}

/// A complaint about a number that is not in its range.
fn outside(
    field: &'static str,
    expected: &str,
    found: impl std::fmt::Display,
) -> (&'static str, String) {
    (field, format!("expected {expected}, found {found}"))
}

/// Values kept of `n`: the share, rounded, at least one.
fn kept(n: usize, share: f64) -> usize {
    (libm::round(n as f64 * share) as usize).clamp(n.min(1), n)
}

/// What is wrong with a share of the values.
fn check_share(share: f64) -> Vec<(&'static str, String)> {
    if share > 0.0 && share <= 1.0 {
        return Vec::new();
    }
    vec![outside("share", "a share of the values in (0, 1]", share)]
}

/// A uniform draw in [0, 1).
fn unit(rng: &mut Stream) -> f64 {
    use rand::Rng;
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}
