//! Quantities in text without rounding, for the records of a run.
//!
//! `Display` rounds for people; the functions here do not, so that a record says exactly what was
//! simulated. For example, a rate of 12,345,678 bit/s is written as `12.345678 Mbit/s`.

use serde::Serializer;

/// The units of a dimension from the smallest, each a thousand of the one before.
pub(super) type Units = &'static [&'static str];

pub(super) const TIME: Units = &["ns", "us", "ms", "s"];
pub(super) const BYTES: Units = &["B", "kB", "MB", "GB", "TB", "PB"];
pub(super) const BANDWIDTH: Units = &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
pub(super) const FLOPS: Units = &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"];
pub(super) const SPEED: Units = &[
    "FLOP/s", "kFLOP/s", "MFLOP/s", "GFLOP/s", "TFLOP/s", "PFLOP/s",
];

/// Serialises a number, given in the smallest unit, in the largest unit that keeps it at or above one.
pub(super) fn serialize<S: Serializer>(
    number: impl ToString,
    units: Units,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_str(&in_words(&number.to_string(), units))
}

/// Moves the decimal point of `decimal` to the left, which involves no rounding, and adds the unit.
fn in_words(decimal: &str, units: Units) -> String {
    let (whole, fraction) = decimal.split_once('.').unwrap_or((decimal, ""));
    let thousands = (whole.len().saturating_sub(1) / 3).min(units.len() - 1);
    let (whole, moved) = whole.split_at(whole.len() - 3 * thousands);
    let fraction = format!("{moved}{fraction}");
    let unit = units[thousands];
    match fraction.trim_end_matches('0') {
        "" => format!("{whole} {unit}"),
        fraction => format!("{whole}.{fraction} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Bandwidth, Bytes, Flops, Span, Speed};
    use proptest::prelude::*;
    use serde::Serialize;

    fn written(value: impl Serialize) -> String {
        ron::to_string(&value).unwrap()
    }

    #[test]
    fn quantities_are_written_with_their_units() {
        assert_eq!(written(Span::from_secs(30)), "\"30 s\"");
        assert_eq!(written(Span::from_nanos(268_000)), "\"268 us\"");
        assert_eq!(
            written(Span::from_nanos(90_000_000_001)),
            "\"90.000000001 s\""
        );
        assert_eq!(written(Span::ZERO), "\"0 ns\"");
        assert_eq!(written(Bytes(153_128)), "\"153.128 kB\"");
        assert_eq!(written(Bytes(u64::MAX)), "\"18446.744073709551615 PB\"");
        assert_eq!(written(Flops(2_034_654)), "\"2.034654 MFLOP\"");
        let rate = Bandwidth::bits_per_second(7.6e6).unwrap();
        assert_eq!(written(rate), "\"7.6 Mbit/s\"");
        let slow = Bandwidth::bits_per_second(0.25).unwrap();
        assert_eq!(written(slow), "\"0.25 bit/s\"");
        let speed = Speed::flops_per_second(16_249_306_015.124_38).unwrap();
        assert_eq!(written(speed), "\"16.24930601512438 GFLOP/s\"");
        let fast = Speed::flops_per_second(1e21).unwrap();
        assert_eq!(written(fast), "\"1000000 PFLOP/s\"");
    }

    proptest! {
        #[test]
        fn what_is_written_says_the_number_to_its_last_digit(nanos in any::<u64>()) {
            let text = written(Span::from_nanos(nanos));
            let (number, unit) = text.trim_matches('"').split_once(' ').unwrap();
            let digits = super::TIME.iter().position(|u| *u == unit).unwrap() * 3;
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            prop_assert_eq!(format!("{whole}{fraction:0<digits$}").parse::<u64>().unwrap(), nanos);
        }
    }
}
