//! Numbers and names in the form that people read, for the terminal and the report.

use crate::quantity::{Bytes, Span};

const SECOND: u64 = 1_000_000_000;

/// A duration in at most two units ("1 h 12 min", "34.2 s", "20 ms").
pub(super) fn span(span: Span) -> String {
    let seconds = span.nanos() / SECOND;
    match seconds {
        0..60 => {
            let nanos = span.nanos() as f64;
            let (value, unit) = match span.nanos() {
                0 => return "0 s".to_owned(),
                1..1_000 => (nanos, "ns"),
                1_000..1_000_000 => (nanos / 1e3, "µs"),
                1_000_000..SECOND => (nanos / 1e6, "ms"),
                _ => (nanos / 1e9, "s"),
            };
            format!("{} {unit}", significant(value))
        }
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A number to three significant digits, without superfluous decimals; a whole number from a thousand
/// on.
pub(super) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    if (999.5..1e15).contains(&value) {
        return grouped(value.round() as u64);
    }
    let decimals = match value.abs() {
        v if v >= 99.95 || v == 0.0 => 0,
        v if v >= 9.995 => 1,
        v if v >= 0.9995 => 2,
        v if v >= 0.09995 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A whole number with its thousands separated.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number of things, in words ("1 client", "1,200 clients").
pub(super) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

/// A share as a percentage with two decimals; a dash when there is none.
pub(super) fn percent(share: Option<f64>) -> String {
    match share {
        None => "–".to_owned(),
        Some(share) if !share.is_finite() => "not a number".to_owned(),
        Some(share) => format!("{:.2} %", share * 100.0),
    }
}

/// Bytes in the largest unit that fits.
pub(super) fn bytes(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// Energy in joules, or in the larger unit that keeps the text short.
pub(super) fn joules(joules: f64) -> String {
    match joules {
        j if j >= 3.6e6 => format!("{} kWh", significant(j / 3.6e6)),
        j if j >= 1e3 => format!("{} kJ", significant(j / 1e3)),
        j => format!("{} J", significant(j)),
    }
}

pub(super) use crate::quantity::{is_harmless, shown};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_in_at_most_two_units() {
        for (nanos, text) in [
            (0, "0 s"),
            (7, "7 ns"),
            (1_500, "1.5 µs"),
            (20_000_000, "20 ms"),
            (34_249_000_000, "34.2 s"),
            (61 * SECOND, "1 min 1 s"),
            (4_350 * SECOND, "1 h 12 min"),
            (90_000 * SECOND, "1 d 1 h"),
        ] {
            assert_eq!(span(Span::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn numbers_keep_three_digits_and_their_thousands_apart() {
        assert_eq!(significant(0.0), "0");
        assert_eq!(significant(87_731.4), "87,731");
        assert_eq!(significant(99.96), "100");
        assert_eq!(significant(0.1234), "0.123");
        assert_eq!(significant(2.5), "2.5");
        assert_eq!(significant(f64::NAN), "not a number");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(percent(Some(0.93456)), "93.46 %");
        assert_eq!(percent(None), "–");
        assert_eq!(count(1, "client"), "1 client");
        assert_eq!(count(1200, "client"), "1,200 clients");
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        assert_eq!(
            shown("a\x1b[2Jb\u{202e}c\n", 50),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}"
        );
        assert_eq!(shown("abcdef", 3), "abc…");
        assert_eq!(shown("abc", 3), "abc");
    }
}
