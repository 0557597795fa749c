//! Virtual time: integer nanoseconds since the start of the run.

use super::exact;
use serde::{Serialize, Serializer};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};

const NANOS: u64 = 1_000_000_000;

/// A moment of the simulated world, in nanoseconds since the run began.
///
/// It never comes from a clock of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct VirtualTime(u64);

/// A length of virtual time, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(u64);

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        exact::serialize(self.0, exact::TIME, to)
    }
}

impl VirtualTime {
    /// The start of the run.
    pub const ZERO: Self = Self(0);
    /// A moment later than every event.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }

    /// The span from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Span {
    /// A span of zero.
    pub const ZERO: Self = Self(0);

    /// A span of whole nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A span of whole milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// A span of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(NANOS))
    }

    /// A span of `seconds`, rounded up to a whole nanosecond, so that rounding never makes work take no
    /// time. Negative numbers and NaN give zero; a number that is too large gives the longest span.
    pub fn from_seconds(seconds: f64) -> Self {
        let exact = seconds * NANOS as f64;
        let nearest = libm::round(exact);
        // A whole number of nanoseconds, such as 0.02 s, need not be exact as a float: a value within
        // the rounding of its parts is taken as that whole number.
        let whole = (exact - nearest).abs() <= 2.0 * f64::EPSILON * exact;
        let nanos = if whole { nearest } else { libm::ceil(exact) };
        // `as` saturates and turns NaN into zero.
        Self(nanos as u64)
    }

    /// The length in nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// The length in seconds.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / NANOS as f64
    }

    /// The span multiplied by `times`; a result that is too large gives the longest span.
    pub fn scaled(self, times: f64) -> Self {
        Self::from_seconds(self.seconds() * times)
    }
}

impl Add<Span> for VirtualTime {
    type Output = Self;
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl AddAssign<Span> for VirtualTime {
    fn add_assign(&mut self, span: Span) {
        *self = *self + span;
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for VirtualTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Span(self.0).fmt(f)
    }
}

impl fmt::Display for Span {
    /// Shows the span in the largest unit that keeps the number at or above one, to six significant
    /// digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        let (value, unit) = match self.0 {
            0 => (0.0, "s"),
            1..=999 => (n, "ns"),
            1_000..=999_999 => (n / 1e3, "us"),
            1_000_000..=999_999_999 => (n / 1e6, "ms"),
            _ => (n / 1e9, "s"),
        };
        let text = format!("{value:.3}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        f.pad(&format!("{text} {unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_up_and_saturate() {
        assert_eq!(Span::from_seconds(1e-9 / 3.0).nanos(), 1);
        assert_eq!(Span::from_seconds(1.000_001e-3).nanos(), 1_000_001);
        assert_eq!(Span::from_seconds(1.000_000_1e-3).nanos(), 1_000_001);
        assert_eq!(Span::from_seconds(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_seconds(-1.0), Span::ZERO);
        assert_eq!(Span::from_seconds(1e300).nanos(), u64::MAX);
        assert_eq!(
            VirtualTime::from_nanos(u64::MAX - 1) + Span::from_secs(1),
            VirtualTime::NEVER
        );
    }

    #[test]
    fn spans_read_as_people_write_them() {
        assert_eq!(Span::from_nanos(20_000_000).to_string(), "20 ms");
        assert_eq!(Span::from_nanos(1_500_000_000).to_string(), "1.5 s");
        assert_eq!(Span::from_nanos(7).to_string(), "7 ns");
        assert_eq!(Span::ZERO.to_string(), "0 s");
    }

    #[test]
    fn a_whole_number_of_nanoseconds_stays_one() {
        for nanos in (1..200_000u64).chain((1..2_000).map(|ms| ms * 1_000_000)) {
            // As a file gives it (a decimal, read to the nearest float) and as a product of units.
            let decimal: f64 = format!("{}e-9", nanos).parse().unwrap();
            assert_eq!(Span::from_seconds(decimal).nanos(), nanos);
            assert_eq!(Span::from_seconds(nanos as f64 * 1e-9).nanos(), nanos);
        }
    }
}
