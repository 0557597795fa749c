//! Secure aggregation: the server learns the sum of the updates and nothing else (Bonawitz et al.,
//! "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017).
//!
//! Every pair of clients u and v agrees on a key (X25519, HKDF) and expands it to a mask
//! (ChaCha20), which u adds to its update and v subtracts from its own, so that the masks cancel in
//! the sum. Each client also adds a mask of its own. Keys and seeds are shared among the cohort by
//! Shamir's scheme. As long as at least a threshold of clients report, their shares suffice to
//! remove the masks of the clients that dropped out.
//!
//! - `quantise`: updates as integers, packed
//! - `masks`: keys and masks
//! - `shamir`: shares of a secret
//! - `roster`: the clients of a round with their public keys
//! - `client`, `server`: the two ends of the layer
//! - `witness`: a check of the sums, for tests of the engine
//!
//! The arithmetic is the real one. The messages of the protocol before and after the masked vector
//! are not sent one by one; their bytes are counted in the task and the report. All keys come from
//! the run's named random streams, so that a run can be repeated: **nothing here is secret**. All
//! parties follow the protocol. The round of messages by which clients would find out a server that
//! does not is left out.

mod client;
mod masks;
mod quantise;
mod roster;
mod server;
mod shamir;
#[cfg(test)]
mod tests;
mod witness;

pub use client::Masker;
pub use server::Unmasker;
pub use witness::Witness;

use crate::quantity::bounds::{above_zero, MOST};
use serde::{Deserialize, Serialize};

/// The name of this layer in error messages.
const NAME: &str = "secure aggregation";

/// Sums of updates whose values are clipped to ±`range` and quantised to `bits` bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecAgg {
    /// The share of the invited clients that must report; with fewer reports the round is
    /// abandoned.
    pub threshold: f64,
    /// The number of bits of a quantised value.
    pub bits: u32,
    /// The largest magnitude of a value of an update; larger values are clipped.
    pub range: f64,
}

impl Default for SecAgg {
    fn default() -> Self {
        Self {
            threshold: 0.6,
            bits: 16,
            range: 1.0,
        }
    }
}

/// A protocol of secure aggregation by its name in a scenario, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SecureAggregation {
    /// Pairwise masks (Bonawitz et al. 2017).
    SecAgg(SecAgg),
}

impl SecureAggregation {
    /// All protocols: the name, and a description with its source, as `shoal list` shows them.
    pub const ALL: &'static [(&'static str, &'static str)] = &[(
        "SecAgg",
        "Pairwise masks that cancel in the sum, with dropout recovery (Bonawitz et al. 2017)",
    )];

    /// The name of the protocol, as a scenario writes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SecAgg(_) => "SecAgg",
        }
    }

    /// The settings of the protocol.
    pub const fn settings(&self) -> &SecAgg {
        match self {
            Self::SecAgg(settings) => settings,
        }
    }
}

impl SecAgg {
    /// The least number of reports from `asked` invited clients: at least two, so that the sum
    /// hides each of them.
    pub fn least(&self, asked: usize) -> usize {
        (libm::ceil(asked as f64 * self.threshold - 1e-9) as usize).max(2)
    }

    /// The problems with the settings where `asked` clients are invited for `cohort` reports: for
    /// each, the name of the field and a message.
    pub fn check(&self, asked: u32, cohort: u32) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(self.threshold > 0.0 && self.threshold <= 1.0) {
            let found = self.threshold;
            let message = format!("expected a share of the cohort in (0, 1], found {found}");
            problems.push(("threshold", message));
        } else if (cohort as usize) < self.least(asked as usize) {
            let message = format!(
                "a round ends with {cohort} reports of {asked} clients asked, {} are needed",
                self.least(asked as usize)
            );
            problems.push(("threshold", message));
        }
        problems.extend(above_zero("range", self.range, MOST));
        let most = 32u32.saturating_sub(quantise::headroom(asked as usize));
        if !(2..=most.min(24)).contains(&self.bits) {
            let found = self.bits;
            let message = format!(
                "expected 2 to {} bits (sums over {asked} clients must fit 32), found {found}",
                most.min(24)
            );
            problems.push(("bits", message));
        }
        problems
    }
}
