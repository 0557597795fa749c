//! Limits for the numbers of a scenario, where a method, an attack, a defence or a layer has them.
//!
//! Every number has an upper limit as well as a lower one: models are in single precision, and every
//! repetition must come to an end.

/// The name of a field, and what is wrong with the field.
pub type Problem = (&'static str, String);

/// The largest value of a factor, a rate or a deviation.
pub const MOST: f64 = 1e12;

/// The largest number of repetitions within a round, such as passes over samples or iterations to a
/// fixed point.
pub const MOST_PASSES: u32 = 10_000;

/// A number as people write it, with an exponent where it would have many zeros.
pub fn plain(value: f64) -> String {
    match value.abs() {
        x if x >= 1e15 && x.is_finite() || x > 0.0 && x < 1e-6 => format!("{value:e}"),
        _ => value.to_string(),
    }
}

/// A problem with a field unless its number is in (0, `most`].
pub fn above_zero(field: &'static str, value: f64, most: f64) -> Option<Problem> {
    if !(value.is_finite() && value > 0.0) {
        return Some((
            field,
            format!("expected a number above 0, found {}", plain(value)),
        ));
    }
    (value > most).then(|| (field, format!("{value:e} is outside (0, {most:e}]")))
}

/// A problem with a field unless its number is in [0, `most`].
pub fn zero_or_more(field: &'static str, value: f64, most: f64) -> Option<Problem> {
    if !(value.is_finite() && value >= 0.0) {
        return Some((
            field,
            format!("expected a number of 0 or more, found {}", plain(value)),
        ));
    }
    (value > most).then(|| (field, format!("{value:e} is outside [0, {most:e}]")))
}

/// A problem with a field unless its number is in [1, `most`].
pub fn at_least_1(field: &'static str, value: u32, most: u32) -> Option<Problem> {
    match value {
        0 => Some((field, "expected a number of 1 or more, found 0".to_string())),
        value if value > most => Some((field, format!("{value} is outside [1, {most}]"))),
        _ => None,
    }
}

/// A problem with a field unless its number is in [0, `most`].
pub fn at_most(field: &'static str, value: u32, most: u32) -> Option<Problem> {
    (value > most).then(|| (field, format!("{value} is outside [0, {most}]")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_many_zeros_are_written_with_an_exponent() {
        let numbers = [
            0.0,
            -1.0,
            0.25,
            1e6,
            1e300,
            -1e-300,
            f64::NAN,
            f64::INFINITY,
        ];
        let written = numbers.map(plain);
        assert_eq!(
            written,
            ["0", "-1", "0.25", "1000000", "1e300", "-1e-300", "NaN", "inf"]
        );
    }

    #[test]
    fn the_ends_of_a_range_are_in_it_and_what_is_no_number_is_in_none() {
        assert_eq!(above_zero("x", 1e12, MOST), None);
        assert_eq!(zero_or_more("x", 0.0, MOST), None);
        assert_eq!(at_least_1("x", MOST_PASSES, MOST_PASSES), None);
        assert_eq!(at_most("x", MOST_PASSES, MOST_PASSES), None);
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(above_zero("x", wrong, MOST).is_some(), "{wrong}");
        }
        for wrong in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert!(zero_or_more("x", wrong, MOST).is_some(), "{wrong}");
        }
        let (field, message) = at_least_1("passes", u32::MAX, MOST_PASSES).unwrap();
        assert_eq!(
            (field, message.as_str()),
            ("passes", "4294967295 is outside [1, 10000]")
        );
        let (_, message) = above_zero("x", 1e300, MOST).unwrap();
        assert_eq!(message, "1e300 is outside (0, 1e12]");
    }
}
