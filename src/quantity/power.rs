//! Power in watts, and the energy that it takes over time.

use super::Span;
use serde::{Serialize, Serializer};
use std::fmt;

/// A power in watts, zero or more.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default)]
pub struct Power(f64);

impl Power {
    /// A power of zero.
    pub const ZERO: Self = Self(0.0);

    /// Accepts a finite number of watts that is not negative.
    pub fn watts(watts: f64) -> Option<Self> {
        (watts.is_finite() && watts >= 0.0).then_some(Self(watts))
    }

    /// The power in watts.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The energy in joules that this power takes in `span`.
    pub fn energy(self, span: Span) -> f64 {
        self.0 * span.seconds()
    }
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} W", self.0)
    }
}

impl Serialize for Power {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
