//! Secure aggregation: the server learns the sum of the updates and nothing else (Bonawitz et al.,
//! "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017).
//!
//! Clients u and v agree on a key (X25519, HKDF) and expand it to a mask (ChaCha20) that u adds and
//! v takes away, so that masks cancel in the sum; each adds a mask of its own besides. Keys and seeds
//! are shared among the cohort (Shamir), so that, from a threshold on, those who are left can take
//! the masks of those who are gone out of the sum.
//!
//! - `quantise`: updates as integers, packed
//! - `masks`: keys and masks
//! - `shamir`: shares of a secret
//! - `roster`: who takes part, with public keys
//! - `client`, `server`: the two ends of the layer
//! - `witness`: whether sums are what they should be, for tests of the engine
//!
//! What is simulated: the arithmetic is the real one; the messages before and after the masked vector
//! are not sent one by one: their bytes are counted in the task and the report. All keys come from the
//! run's named streams, so that a run can be repeated: **nothing here is secret**. Parties follow the
//! protocol: the round that would find out a lying server is left out.

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

/// What errors call this layer.
const NAME: &str = "secure aggregation";

/// Sums of updates that are quantised to `bits` bits within ±`range`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecAgg {
    /// Share of those who are asked that must report; with fewer the round is abandoned.
    pub threshold: f64,
    /// Bits of a quantised value.
    pub bits: u32,
    /// Values of an update are clipped to this magnitude.
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

/// A way to add up in secret, by its name in a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum SecureAggregation {
    /// Pairwise masks.
    SecAgg(SecAgg),
}

impl SecureAggregation {
    /// Every way: its name, what it is, and its source.
    pub const ALL: &'static [(&'static str, &'static str)] = &[(
        "SecAgg",
        "Pairwise masks that cancel in the sum, with dropout recovery (Bonawitz et al. 2017)",
    )];

    /// The name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SecAgg(_) => "SecAgg",
        }
    }

    /// The settings.
    pub const fn settings(&self) -> &SecAgg {
        match self {
            Self::SecAgg(settings) => settings,
        }
    }
}

impl SecAgg {
    /// How many of `asked` clients must report: never fewer than two, whose sum hides either.
    pub fn least(&self, asked: usize) -> usize {
        (libm::ceil(asked as f64 * self.threshold - 1e-9) as usize).max(2)
    }

    /// What is wrong with it, each with its field, where `asked` clients are asked for `cohort`
    /// reports.
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
