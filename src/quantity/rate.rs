//! Amounts and rates: bytes, bits per second, floating-point operations and their speed.

use super::{exact, Span};
use serde::{Serialize, Serializer};
use std::fmt;

/// A number of bytes, in memory or on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub u64);

/// A rate in bits per second, always positive.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Bandwidth(f64);

/// A number of floating-point operations (one multiply-add is two).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Flops(pub u64);

/// A speed in floating-point operations per second, always positive.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Speed(f64);

macro_rules! written_exactly {
    ($($name:ident: $units:expr;)*) => {
        $(impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                exact::serialize(self.0, $units, to)
            }
        })*
    };
}

written_exactly! {
    Bytes: exact::BYTES;
    Bandwidth: exact::BANDWIDTH;
    Flops: exact::FLOPS;
    Speed: exact::SPEED;
}

impl Bandwidth {
    /// A rate of one bit per second.
    pub const SLOWEST: Self = Self(1.0);

    /// Accepts a positive, finite rate in bits per second.
    pub fn bits_per_second(rate: f64) -> Option<Self> {
        (rate.is_finite() && rate > 0.0).then_some(Self(rate))
    }

    /// The rate in bits per second.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The time that `bytes` take at this rate.
    pub fn time_for(self, bytes: Bytes) -> Span {
        Span::from_seconds(bytes.0 as f64 * 8.0 / self.0)
    }
}

impl Speed {
    /// A speed of one FLOP/s.
    pub const ONE: Self = Self(1.0);

    /// Accepts a positive, finite speed in FLOP/s.
    pub fn flops_per_second(speed: f64) -> Option<Self> {
        (speed.is_finite() && speed > 0.0).then_some(Self(speed))
    }

    /// The speed in FLOP/s.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The time that `work` takes at this speed.
    pub fn time_for(self, work: Flops) -> Span {
        Span::from_seconds(work.0 as f64 / self.0)
    }
}

/// Writes `value` in the largest decimal unit that keeps it at or above one.
fn scaled(f: &mut fmt::Formatter<'_>, value: f64, units: &[&str]) -> fmt::Result {
    let mut value = value;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    f.pad(&format!("{text} {}", units[unit]))
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0 as f64, exact::BYTES)
    }
}

impl fmt::Display for Bandwidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, exact::BANDWIDTH)
    }
}

impl fmt::Display for Flops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0 as f64, exact::FLOPS)
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, self.0, exact::SPEED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialisation_and_compute_times_follow_from_the_rates() {
        let link = Bandwidth::bits_per_second(8e6).unwrap();
        assert_eq!(link.time_for(Bytes(1_000_000)), Span::from_secs(1));
        let phone = Speed::flops_per_second(2e9).unwrap();
        assert_eq!(phone.time_for(Flops(1_000_000_000)), Span::from_millis(500));
        assert!(Bandwidth::bits_per_second(0.0).is_none());
        assert!(Speed::flops_per_second(f64::INFINITY).is_none());
    }

    #[test]
    fn amounts_read_in_their_largest_unit() {
        assert_eq!(Bytes(6_505_768).to_string(), "6.51 MB");
        assert_eq!(Flops(5_060_000_000).to_string(), "5.06 GFLOP");
    }
}
