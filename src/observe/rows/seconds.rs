//! Integer nanoseconds as exact decimal seconds, for the attribute `with` of serde.

use crate::quantity::{Span, VirtualTime};
use serde::{de, Deserialize, Deserializer, Serializer};

const NANOS: u64 = 1_000_000_000;

/// A type that is a number of nanoseconds.
pub(super) trait Nanos: Copy {
    fn nanos(self) -> u64;
    fn from_nanos(nanos: u64) -> Self;
}

impl Nanos for VirtualTime {
    fn nanos(self) -> u64 {
        VirtualTime::nanos(self)
    }
    fn from_nanos(nanos: u64) -> Self {
        VirtualTime::from_nanos(nanos)
    }
}

impl Nanos for Span {
    fn nanos(self) -> u64 {
        Span::nanos(self)
    }
    fn from_nanos(nanos: u64) -> Self {
        Span::from_nanos(nanos)
    }
}

fn parse<T: Nanos>(text: &str) -> Option<T> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
    whole
        .checked_mul(NANOS)?
        .checked_add(nanos)
        .map(T::from_nanos)
}

fn refuse<E: de::Error>(text: &str) -> E {
    E::custom(format!(
        "{text:?} is not a number of seconds with at most nine decimals"
    ))
}

pub(super) fn serialize<T: Nanos, S: Serializer>(time: &T, to: S) -> Result<S::Ok, S::Error> {
    let nanos = time.nanos();
    to.collect_str(&format_args!("{}.{:09}", nanos / NANOS, nanos % NANOS))
}

pub(super) fn deserialize<'de, T: Nanos, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).ok_or_else(|| refuse(&text))
}

/// Moments that may be missing: an empty field stands for a moment that never came.
pub(super) mod optional {
    use super::{parse, refuse, Nanos};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(in super::super) fn serialize<T: Nanos, S: Serializer>(
        time: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(in super::super) fn deserialize<'de, T: Nanos, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        match Option::<String>::deserialize(from)? {
            None => Ok(None),
            Some(text) => parse(&text).map(Some).ok_or_else(|| refuse(&text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_to_the_nanosecond_and_nothing_else_is() {
        let nanos = |text| parse::<Span>(text).map(Span::nanos);
        assert_eq!(nanos("1.5"), Some(1_500_000_000));
        assert_eq!(nanos("12"), Some(12_000_000_000));
        assert_eq!(nanos("18446744073.709551615"), Some(u64::MAX));
        for wrong in [
            "",
            ".",
            "1.",
            ".5",
            "-1.0",
            "+1.0",
            "1e3",
            "NaN",
            "1.0000000001",
            "18446744073.709551616",
            "1.5 ",
        ] {
            assert_eq!(nanos(wrong), None, "{wrong}");
        }
    }
}
