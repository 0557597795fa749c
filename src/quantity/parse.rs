//! Reading quantities as people type them: `"20 ms"`, `"10 Mbit/s"`, `"2.5 GFLOP/s"`, `"4 GB"`.

use thiserror::Error;

/// The dimension that a text should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A time, in seconds.
    Time,
    /// An amount of data, in bytes.
    Bytes,
    /// A rate, in bits per second.
    Bandwidth,
    /// A computing speed, in FLOP/s.
    Speed,
    /// A power, in watts.
    Power,
    /// An energy, in joules.
    Energy,
}

/// Why a text is not a quantity of the wanted dimension.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum UnitError {
    /// The text does not begin with a number.
    #[error("expected {expected}, found {found:?}")]
    NotANumber {
        /// What would be right, with an example.
        expected: &'static str,
        /// The text as given.
        found: String,
    },
    /// The unit is of another dimension, missing or misspelt.
    #[error("expected {expected}, found {found:?}: {unit:?} is not one of {allowed}{hint}")]
    WrongUnit {
        /// What would be right, with an example.
        expected: &'static str,
        /// The text as given.
        found: String,
        /// The unit as given.
        unit: String,
        /// The units that would be right.
        allowed: String,
        /// A suggestion, "; did you mean ...?", or nothing.
        hint: String,
    },
}

impl Unit {
    /// What a value of this dimension looks like.
    pub const fn expected(self) -> &'static str {
        match self {
            Self::Time => "a duration such as \"20 ms\"",
            Self::Bytes => "a size such as \"4 GB\"",
            Self::Bandwidth => "a bandwidth such as \"10 Mbit/s\"",
            Self::Speed => "a speed such as \"2.5 GFLOP/s\"",
            Self::Power => "a power such as \"4 W\"",
            Self::Energy => "an energy such as \"500 J\"",
        }
    }

    const fn table(self) -> &'static [(&'static str, f64)] {
        match self {
            Self::Time => &[
                ("ns", 1e-9),
                ("us", 1e-6),
                ("ms", 1e-3),
                ("s", 1.0),
                ("min", 60.0),
                ("h", 3600.0),
                ("d", 86400.0),
            ],
            Self::Bytes => &[
                ("B", 1.0),
                ("kB", 1e3),
                ("MB", 1e6),
                ("GB", 1e9),
                ("TB", 1e12),
                ("PB", 1e15),
                ("KiB", 1024.0),
                ("MiB", 1048576.0),
                ("GiB", 1073741824.0),
            ],
            Self::Bandwidth => &[
                ("bit/s", 1.0),
                ("kbit/s", 1e3),
                ("Mbit/s", 1e6),
                ("Gbit/s", 1e9),
                ("Tbit/s", 1e12),
            ],
            Self::Speed => &[
                ("FLOP/s", 1.0),
                ("kFLOP/s", 1e3),
                ("MFLOP/s", 1e6),
                ("GFLOP/s", 1e9),
                ("TFLOP/s", 1e12),
                ("PFLOP/s", 1e15),
            ],
            Self::Power => &[("mW", 1e-3), ("W", 1.0), ("kW", 1e3)],
            Self::Energy => &[
                ("J", 1.0),
                ("kJ", 1e3),
                ("MJ", 1e6),
                ("Wh", 3.6e3),
                ("kWh", 3.6e6),
            ],
        }
    }
}

/// Units that other programs use, each with its name here.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("msec", "ms"),
    ("µs", "us"),
    ("m", "min"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("K", "kB"),
    ("M", "MB"),
    ("G", "GB"),
    ("bps", "bit/s"),
    ("kbps", "kbit/s"),
    ("Mbps", "Mbit/s"),
    ("Gbps", "Gbit/s"),
    ("Mb/s", "Mbit/s"),
    ("Gb/s", "Gbit/s"),
    ("FLOPS", "FLOP/s"),
    ("MFLOPS", "MFLOP/s"),
    ("GFLOPS", "GFLOP/s"),
    ("TFLOPS", "TFLOP/s"),
    ("watt", "W"),
    ("watts", "W"),
    ("joule", "J"),
    ("joules", "J"),
];

/// The unit among `units` that `typed` most likely means.
fn nearest_unit<'a>(
    typed: &str,
    mut units: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let other = OTHER_NAMES.iter().find(|(name, _)| *name == typed);
    match other {
        Some((_, unit)) => units.find(|known| known == unit),
        None => nearest(typed, units),
    }
}

/// The name in `known` that `typed` most likely means: within a third of its length in edits (a
/// transposition counts as one), where letter case is ignored.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = typed.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (typed.chars().count().max(name.len())).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Reads `text` as a finite number and a unit of dimension `unit`, and returns it in the base unit
/// (seconds, bytes, bit/s, FLOP/s, watts, joules). For example, `"20 ms"` gives 0.02. The sign is kept:
/// the caller decides whether a negative value makes sense.
///
/// # Errors
/// Returns a [`UnitError`] with what was expected and what was found.
pub fn parse_quantity(text: &str, unit: Unit) -> Result<f64, UnitError> {
    let trimmed = text.trim();
    let number_end = trimmed
        .char_indices()
        .find(|(at, c)| {
            let exponent = matches!(c, 'e' | 'E')
                && trimmed[at + 1..]
                    .starts_with(|d: char| d.is_ascii_digit() || d == '-' || d == '+');
            let exponent_sign = matches!(c, '+' | '-') && trimmed[..*at].ends_with(['e', 'E']);
            let sign = *at == 0 && matches!(c, '+' | '-');
            !(c.is_ascii_digit() || matches!(c, '.' | '_') || exponent || exponent_sign || sign)
        })
        .map_or(trimmed.len(), |(at, _)| at);
    let (number, rest) = trimmed.split_at(number_end);
    let value = number
        .replace('_', "")
        .parse::<f64>()
        .ok()
        .filter(|v| v.is_finite());
    let Some(value) = value else {
        return Err(UnitError::NotANumber {
            expected: unit.expected(),
            found: text.to_string(),
        });
    };
    let name = rest.trim();
    match unit.table().iter().find(|(known, _)| *known == name) {
        Some((_, factor)) => Ok(value * factor),
        None => {
            let names = unit.table().iter().map(|(known, _)| *known);
            Err(UnitError::WrongUnit {
                expected: unit.expected(),
                found: text.to_string(),
                unit: name.to_string(),
                allowed: names.clone().collect::<Vec<_>>().join(", "),
                hint: nearest_unit(name, names)
                    .map_or(String::new(), |n| format!("; did you mean {n}?")),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_with_and_without_a_space() {
        assert_eq!(parse_quantity("20 ms", Unit::Time), Ok(0.02));
        assert_eq!(parse_quantity("1.5e3ms", Unit::Time), Ok(1.5));
        assert_eq!(parse_quantity("-1 s", Unit::Time), Ok(-1.0));
        assert_eq!(parse_quantity("10Mbit/s", Unit::Bandwidth), Ok(1e7));
        assert_eq!(parse_quantity("4 GB", Unit::Bytes), Ok(4e9));
        assert_eq!(parse_quantity("1 PFLOP/s", Unit::Speed), Ok(1e15));
    }

    #[test]
    fn a_wrong_unit_is_named_with_the_nearest_right_one() {
        let error = parse_quantity("20 msec", Unit::Time).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a duration such as \"20 ms\", found \"20 msec\": \"msec\" is not one of ns, us, ms, s, min, h, d; did you mean ms?"
        );
        for (typed, meant) in [("30 seconds", "s"), ("5 m", "min"), ("1 Min", "min")] {
            let error = parse_quantity(typed, Unit::Time).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("; did you mean {meant}?")),
                "{error}"
            );
        }
        let error = parse_quantity("10 Mbps", Unit::Bandwidth).unwrap_err();
        assert!(error.to_string().ends_with("; did you mean Mbit/s?"));
        // A minute is no size.
        let error = parse_quantity("10 minutes", Unit::Bytes).unwrap_err();
        assert!(error.to_string().ends_with("GiB"), "{error}");
        assert!(parse_quantity("20", Unit::Time).is_err());
        assert!(parse_quantity("", Unit::Time).is_err());
        assert!(parse_quantity("inf s", Unit::Time).is_err());
        assert!(parse_quantity("1e999 s", Unit::Time).is_err());
        assert!(parse_quantity("é s", Unit::Time).is_err());
    }

    #[test]
    fn nearest_finds_slips_and_refuses_strangers() {
        let known = ["FedAvg", "FedProx", "Scaffold"];
        assert_eq!(nearest("FedAgv", known), Some("FedAvg"));
        assert_eq!(nearest("fedprox", known), Some("FedProx"));
        assert_eq!(nearest("Krum", known), None);
    }
}
