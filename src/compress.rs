//! Compression of the clients' reports: a layer around any method whose clients report models or
//! updates.
//!
//! A model is compressed as its difference to the model that the client was sent. Only the packed
//! form travels ([`Coded`](crate::method::Coded)): the links carry its bytes, and the server
//! decodes the report from these bytes alone. Masks, class scores, samples and numbers pass
//! unchanged, and so do the statistics of normalisation layers, which are measured rather than
//! learned.
//!
//! - [`registry`]: the list of schemes; each scheme is one file in this folder
//! - `bits`: packing of numbers into bytes
//! - `codec`: a scheme applied to the parameters of a network
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

/// A compression scheme: a way to write a vector in fewer bytes.
pub trait Scheme: Debug + Send + Sync {
    /// The problems with the settings: for each, the name of the field and a message. Where a field
    /// contradicts others, their names follow its own, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)>;

    /// Whether the scheme uses error feedback: clients add what this report left out to the next
    /// one.
    fn feedback(&self) -> bool {
        false
    }

    /// Writes `values`, all of them finite. `tensors` are the lengths of the tensors that the
    /// values belong to, in order; `rng` is a random stream for this vector alone.
    fn encode(&self, values: &[f32], tensors: &[usize], rng: &mut Stream) -> Vec<u8>;

    /// Reads what [`Scheme::encode`] wrote into `values`, from the bytes alone. Returns `None` if
    /// the bytes are not an encoding of so many values.
    fn decode(&self, bytes: &[u8], tensors: &[usize], values: &mut [f32]) -> Option<()>;

    /// The operations that encoding takes for each value.
    fn operations(&self) -> u64;
}

/// A problem with a field whose value is not in its range.
fn outside(
    field: &'static str,
    expected: &str,
    found: impl std::fmt::Display,
) -> (&'static str, String) {
    (field, format!("expected {expected}, found {found}"))
}

/// The number of values that are kept of `n`: the share, rounded, but at least one.
fn kept(n: usize, share: f64) -> usize {
    (libm::round(n as f64 * share) as usize).clamp(n.min(1), n)
}

/// The problem with a share of the values that is not in (0, 1].
fn check_share(share: f64) -> Vec<(&'static str, String)> {
    if share > 0.0 && share <= 1.0 {
        return Vec::new();
    }
    vec![outside("share", "a share of the values in (0, 1]", share)]
}
