//! Quantities with their units in the type: virtual time, bytes, rates, probabilities, distributions.
//!
//! A constructor either returns a value that obeys the rule of its type, or says which rule was broken,
//! for example with an [`OutOfRange`]. This module knows nothing of the simulation, and every other
//! module may use it.

pub(crate) mod bounds;
mod distribution;
mod exact;
mod normal;
mod parse;
mod power;
mod probability;
mod rate;
mod shown;
mod snapshots;
mod time;

pub(crate) use distribution::{picked, standard_normal, unit};
pub use distribution::{Distribution, Sampled};
pub use normal::{normal_cdf, normal_quantile};
pub use parse::{nearest, parse_quantity, Unit, UnitError};
pub use power::Power;
pub use probability::Probability;
pub use rate::{Bandwidth, Bytes, Flops, Speed};
pub use shown::shown;
pub(crate) use shown::{is_harmless, listed};
pub use time::{Span, VirtualTime};

/// An error: a value outside the range that its type allows.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what} {found} is outside {allowed}")]
pub struct OutOfRange {
    /// The name of the quantity in the words of the field ("probability").
    pub what: &'static str,
    /// The value as given.
    pub found: String,
    /// The allowed range, in mathematical notation ("[0, 1]").
    pub allowed: &'static str,
}

impl OutOfRange {
    /// An error which says that `found` is not a legal `what`.
    pub fn new(what: &'static str, found: impl ToString, allowed: &'static str) -> Self {
        Self {
            what,
            found: found.to_string(),
            allowed,
        }
    }
}
