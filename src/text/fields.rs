//! Field types for what people write in a scenario: `"20 ms"`, `"4 GB"`, a fraction, a distribution.
//!
//! Each type holds the checked quantity of [`crate::quantity`] that was read. Quantities with a unit
//! are written as texts, ratios as bare numbers; [`OrDistribution`] takes a constant of any such type,
//! or a distribution over it.

mod distribution;

pub use distribution::OrDistribution;

use crate::quantity::{bounds, parse_quantity, Bandwidth, Bytes, Power, Probability, Speed, Unit};
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A type of one number that scenarios contain.
pub trait Parameter: Copy {
    /// The dimension of the text in which the value is written; `None` for a bare number.
    const UNIT: Option<Unit>;
    /// What a value looks like, for messages.
    const EXPECTED: &'static str;
    /// The allowed values in base units (seconds, bytes, bit/s, FLOP/s, ratio).
    const ALLOWED: Range;
    /// A value in base units that is allowed and is no mistake, for placeholders.
    const HARMLESS: f64 = 1.0;

    /// The value for `base` in base units; `None` if it is not allowed.
    fn from_base(base: f64) -> Option<Self>;

    /// This value in base units.
    fn to_base(self) -> f64;
}

/// An interval of allowed values, and how messages write it.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The lower end.
    pub low: f64,
    /// Whether the lower end itself is left out.
    pub above_low: bool,
    /// The upper end, which is allowed.
    pub high: f64,
    /// The interval in mathematical notation, with units.
    pub text: &'static str,
}

impl Range {
    /// Whether `value` is in the interval.
    pub fn contains(&self, value: f64) -> bool {
        let low = if self.above_low {
            value > self.low
        } else {
            value >= self.low
        };
        low && value <= self.high
    }
}

/// A number in base units that was written in the syntax of `V`.
struct Written<'a> {
    base: f64,
    text: Option<&'a str>,
}

impl Written<'_> {
    /// Checks the number against `range`; for a ratio that looks like a slip or a percentage, the error
    /// has a guess of what was meant.
    fn check(&self, range: &Range) -> Result<f64, String> {
        if range.contains(self.base) {
            return Ok(self.base);
        }
        let found = self
            .text
            .map_or_else(|| bounds::plain(self.base), |text| text.trim().to_string());
        let guess = match self.base {
            x if range.high > 1.0 || x <= 1.0 => None,
            x if x <= 10.0 => Some(x / 10.0),
            x if x <= 100.0 => Some(x / 100.0),
            _ => None,
        };
        // Six decimals are enough: a person would not type the digits that a division leaves.
        let hint = guess.map_or(String::new(), |guess| {
            let guess = format!("{guess:.6}");
            format!(
                "; did you mean {}?",
                guess.trim_end_matches('0').trim_end_matches('.')
            )
        });
        Err(format!("{found} is outside {}{hint}", range.text))
    }
}

/// Reads a number in base units in the syntax of `V`, with `check` as the rule it must obey.
struct NumberVisitor<V> {
    check: fn(&Written<'_>) -> Result<f64, String>,
    harmless: f64,
    kind: PhantomData<V>,
}

impl<V: Parameter> NumberVisitor<V> {
    fn bare<E: Error>(&self, found: Unexpected<'_>, base: f64) -> Result<f64, E> {
        match V::UNIT {
            None => (self.check)(&Written { base, text: None }).map_err(E::custom),
            Some(_) => Err(E::invalid_type(found, self)),
        }
    }
}

impl<V: Parameter> Visitor<'_> for NumberVisitor<V> {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(V::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        let Some(unit) = V::UNIT else {
            return Err(E::invalid_type(Unexpected::Str(text), &self));
        };
        let base = parse_quantity(text, unit).map_err(E::custom)?;
        let text = Some(text);
        (self.check)(&Written { base, text }).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<f64, E> {
        self.bare(Unexpected::Signed(value), value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<f64, E> {
        self.bare(Unexpected::Unsigned(value), value as f64)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<f64, E> {
        self.bare(Unexpected::Float(value), value)
    }

    /// The reader's placeholder for a value already reported is a byte string, which no document
    /// contains.
    fn visit_bytes<E: Error>(self, _: &[u8]) -> Result<f64, E> {
        Ok(self.harmless)
    }
}

/// A number within the range of `V`, in base units.
struct InRange<V>(f64, PhantomData<V>);

impl<'de, V: Parameter> Deserialize<'de> for InRange<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = NumberVisitor::<V> {
            check: |written| written.check(&V::ALLOWED),
            harmless: V::HARMLESS,
            kind: PhantomData,
        };
        let base = deserializer.deserialize_any(visitor)?;
        Ok(Self(base, PhantomData))
    }
}

macro_rules! parameter {
    ($(#[$doc:meta])* $name:ident($inner:ty), $unit:expr, $expected:expr, $range:expr,
     |$base:ident| $from:expr, |$value:ident| $to:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name(pub $inner);

        impl Parameter for $name {
            const UNIT: Option<Unit> = $unit;
            const EXPECTED: &'static str = $expected;
            const ALLOWED: Range = $range;

            fn from_base($base: f64) -> Option<Self> {
                if Self::ALLOWED.contains($base) { $from.map(Self) } else { None }
            }

            fn to_base(self) -> f64 {
                let $value = self.0;
                $to
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let InRange(base, _) = InRange::<Self>::deserialize(deserializer)?;
                let range = Self::ALLOWED.text;
                Self::from_base(base).ok_or_else(|| {
                    D::Error::custom(format!("{base} is outside {range}"))
                })
            }
        }
    };
}

/// The span nearest to `seconds`. A number typed in whole nanoseconds gives exactly that many, although
/// its seconds as a float can be slightly different: `"268 us"` is 268000 ns.
fn nearest_span(seconds: f64) -> crate::quantity::Span {
    crate::quantity::Span::from_nanos(libm::round(seconds * 1e9) as u64)
}

parameter! {
    /// A length of virtual time, from none to 1e10 s (about 317 years): `"20 ms"`.
    Duration(crate::quantity::Span), Some(Unit::Time), Unit::Time.expected(),
    Range { low: 0.0, above_low: false, high: 1e10, text: "[0 s, 1e10 s]" },
    |base| Some(nearest_span(base)), |span| span.seconds()
}

parameter! {
    /// A number of bytes, from none to 1e18, rounded to a whole one: `"4 GB"`.
    Size(Bytes), Some(Unit::Bytes), Unit::Bytes.expected(),
    Range { low: 0.0, above_low: false, high: 1e18, text: "[0 B, 1e18 B]" },
    |base| Some(Bytes(libm::round(base) as u64)), |bytes| bytes.0 as f64
}

parameter! {
    /// A bandwidth above zero, to 1e18 bit/s: `"10 Mbit/s"`.
    Rate(Bandwidth), Some(Unit::Bandwidth), Unit::Bandwidth.expected(),
    Range { low: 0.0, above_low: true, high: 1e18, text: "(0 bit/s, 1e18 bit/s]" },
    |base| Bandwidth::bits_per_second(base), |rate| rate.get()
}

parameter! {
    /// A computing speed above zero, to 1e21 FLOP/s: `"2 GFLOP/s"`.
    ComputeSpeed(Speed), Some(Unit::Speed), Unit::Speed.expected(),
    Range { low: 0.0, above_low: true, high: 1e21, text: "(0 FLOP/s, 1e21 FLOP/s]" },
    |base| Speed::flops_per_second(base), |speed| speed.get()
}

parameter! {
    /// A power from none to 1e9 W: `"4 W"`.
    Draw(Power), Some(Unit::Power), Unit::Power.expected(),
    Range { low: 0.0, above_low: false, high: 1e9, text: "[0 W, 1e9 W]" },
    |base| Power::watts(base), |power| power.get()
}

parameter! {
    /// An energy above zero, to 1e15 J, in joules: `"500 J"`.
    Energy(f64), Some(Unit::Energy), Unit::Energy.expected(),
    Range { low: 0.0, above_low: true, high: 1e15, text: "(0 J, 1e15 J]" },
    |base| Some(base), |joules| joules
}

parameter! {
    /// A ratio or probability in [0, 1].
    Fraction(Probability), None, "a number in [0, 1]",
    Range { low: 0.0, above_low: false, high: 1.0, text: "[0, 1]" },
    |base| Probability::new(base).ok(), |p| p.get()
}

parameter! {
    /// A ratio in (0, 1]: one that nothing would come of if it were zero.
    PositiveFraction(Probability), None, "a number in (0, 1]",
    Range { low: 0.0, above_low: true, high: 1.0, text: "(0, 1]" },
    |base| Probability::new(base).ok(), |p| p.get()
}

#[cfg(test)]
mod tests;
