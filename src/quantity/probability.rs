//! A number in [0, 1].

use super::OutOfRange;
use serde::Serialize;

/// A probability or ratio in [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Probability(f64);

impl Probability {
    /// The probability 0: it never happens.
    pub const ZERO: Self = Self(0.0);
    /// The probability 1: it always happens.
    pub const ONE: Self = Self(1.0);

    /// Accepts `p` in [0, 1].
    ///
    /// # Errors
    /// Returns an [`OutOfRange`] for any other number, NaN included.
    pub fn new(p: f64) -> Result<Self, OutOfRange> {
        if (0.0..=1.0).contains(&p) {
            Ok(Self(p))
        } else {
            Err(OutOfRange::new("probability", p, "[0, 1]"))
        }
    }

    /// The probability as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// Whether a uniform draw from the full range of `u64` falls within this probability.
    pub fn hit(self, draw: u64) -> bool {
        // 53 bits give every double in [0, 1) its exact share; p = 1 always hits.
        ((draw >> 11) as f64) * (1.0 / (1u64 << 53) as f64) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_unit_interval_is_a_probability() {
        assert!(Probability::new(1.4).is_err());
        assert!(Probability::new(-0.1).is_err());
        assert!(Probability::new(f64::NAN).is_err());
        assert_eq!(
            Probability::new(1.4).unwrap_err().to_string(),
            "probability 1.4 is outside [0, 1]"
        );
    }

    #[test]
    fn the_ends_are_never_and_always() {
        for draw in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(!Probability::ZERO.hit(draw));
            assert!(Probability::ONE.hit(draw));
        }
    }
}
