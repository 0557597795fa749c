//! Scales of pictures: from a value to a position, with ticks at the numbers that people expect.

use super::super::text;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use std::ops::Range;

/// The largest number of ticks, whatever the values are.
const MOST_TICKS: usize = 24;

/// A scale with its ticks. A value outside the range is drawn at the end of the range.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
    /// The ticks in ascending order.
    ticks: Vec<(f64, String)>,
}

/// Units of time, with their length in seconds.
const TIME_UNITS: [(&str, f64); 7] = [
    ("ns", 1e-9),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("min", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];
const BYTE_UNITS: [(&str, f64); 6] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("TB", 1e12),
    ("PB", 1e15),
];

/// The largest unit of which `value` has at least `least`; the smallest unit if there is none.
fn unit(units: &[(&'static str, f64)], value: f64, least: f64) -> (&'static str, f64) {
    let fits = units.iter().rev().find(|(_, size)| value >= least * size);
    fits.or(units.first()).copied().unwrap_or(("", 1.0))
}

/// Multiples of 1, 2 or 5 times a power of ten in [low, high], about `wanted` of them.
fn round_numbers(low: f64, high: f64, wanted: usize, least_step: f64) -> Vec<f64> {
    let rough = ((high - low) / wanted as f64).max(least_step);
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .iter()
        .map(|m| m * magnitude)
        .find(|&step| step >= rough * (1.0 - 1e-9))
        .unwrap_or(rough);
    let first = (low / step - 1e-9).ceil();
    (0..MOST_TICKS)
        .map(|i| (first + i as f64) * step)
        .take_while(|&tick| tick <= high + step * 1e-9)
        .collect()
}

impl Axis {
    fn new(low: f64, high: f64, logarithmic: bool) -> Self {
        let (low, high) = match low.is_finite() && high.is_finite() && high > low {
            true => (low, high),
            false if low.is_finite() && (low + 1.0) > low => (low, low + 1.0),
            false => (0.0, 1.0),
        };
        Self {
            low,
            high,
            logarithmic: logarithmic && low > 0.0,
            ticks: Vec::new(),
        }
    }

    /// From `low` to `high`; ticks are labelled in multiples of `size`.
    fn linear(low: f64, high: f64, wanted: usize, size: f64, label: fn(f64) -> String) -> Self {
        let mut axis = Self::new(low, high, false);
        axis.ticks = round_numbers(axis.low / size, axis.high / size, wanted, 0.0)
            .into_iter()
            .map(|tick| (tick * size, label(tick)))
            .collect();
        axis
    }

    /// A scale of whole numbers.
    pub fn whole(low: f64, high: f64, wanted: usize) -> Self {
        let mut axis = Self::new(low, high, false);
        axis.ticks = round_numbers(axis.low, axis.high, wanted, 1.0)
            .into_iter()
            .map(|tick| (tick, text::grouped(tick.max(0.0) as u64)))
            .collect();
        axis
    }

    /// A scale of plain numbers.
    pub fn plain(low: f64, high: f64) -> Self {
        Self::linear(low, high, 5, 1.0, short)
    }

    /// A scale of percentages, from the multiple of ten below `low`, if that is high, to 100 %.
    pub fn percent(low: f64) -> Self {
        let low = match low > 0.4 {
            true => ((low * 10.0).floor() / 10.0).min(0.9),
            false => 0.0,
        };
        Self::linear(low, 1.0, 5, 0.01, |tick| format!("{} %", short(tick)))
    }

    /// A scale of seconds from zero, and the unit of its ticks.
    pub fn seconds(high: f64, wanted: usize) -> (Self, &'static str) {
        let (name, size) = unit(&TIME_UNITS, high, 2.0);
        (Self::linear(0.0, high, wanted, size, short), name)
    }

    /// A scale of bytes from zero, and the unit of its ticks.
    pub fn bytes(high: f64) -> (Self, &'static str) {
        let (name, size) = unit(&BYTE_UNITS, high, 2.0);
        (Self::linear(0.0, high, 4, size, short), name)
    }

    /// A scale of powers of ten from `low` to `high`, both above zero.
    fn decades(low: f64, high: f64, label: impl Fn(f64) -> String) -> Self {
        let mut axis = Self::new(low, high, true);
        if axis.logarithmic {
            let (first, last) = (axis.low.log10().ceil(), axis.high.log10().floor());
            let stride = ((last - first) / 7.0).ceil().max(1.0);
            axis.ticks = (0..MOST_TICKS)
                .map(|i| first + i as f64 * stride)
                .take_while(|&power| power <= last)
                .map(|power| 10f64.powf(power))
                .map(|tick| (tick, label(tick)))
                .collect();
        }
        axis
    }

    /// A logarithmic scale of numbers.
    pub fn logarithmic(low: f64, high: f64) -> Self {
        Self::decades(low, high, short)
    }

    /// A logarithmic scale of seconds.
    pub fn logarithmic_seconds(low: f64, high: f64) -> Self {
        Self::decades(low, high, |tick| {
            let (name, size) = unit(&TIME_UNITS, tick * 1.000_001, 1.0);
            format!("{} {name}", text::significant(tick / size))
        })
    }

    /// A scale of percentiles by their distance from 100 %, one power of ten a step: 0, 90, 99, 99.9 %,
    /// …
    pub fn nines(steps: f64) -> Self {
        let mut axis = Self::new(0.0, steps.clamp(1.0, 9.0), false);
        let labels = [
            "0 %",
            "90 %",
            "99 %",
            "99.9 %",
            "99.99 %",
            "99.999 %",
            "99.9999 %",
        ];
        axis.ticks = labels
            .iter()
            .enumerate()
            .map(|(i, label)| (i as f64, (*label).to_owned()))
            .take_while(|(at, _)| *at <= axis.high)
            .collect();
        // The median is not a whole number of nines, but every reader looks for it. On a long scale its
        // label would overlap its neighbour's.
        if axis.high <= 4.0 {
            axis.ticks.insert(1, (2f64.log10(), "50 %".to_owned()));
        }
        axis
    }

    /// A scale from `low` to `high` with given ticks, in ascending order.
    pub fn labelled(low: f64, high: f64, ticks: Vec<(f64, String)>) -> Self {
        let mut axis = Self::new(low, high, false);
        axis.ticks = ticks;
        axis
    }

    /// The number of characters of the longest label.
    pub fn label_width(&self) -> usize {
        let widths = self.ticks.iter().map(|(_, label)| label.chars().count());
        widths.max().unwrap_or(0)
    }

    /// The position of a value, 0 at the low end and 1 at the high end; the middle for a value that is
    /// not a number.
    fn place(&self, value: f64) -> f64 {
        let scale = |v: f64| match self.logarithmic {
            true => v.max(f64::MIN_POSITIVE).ln(),
            false => v,
        };
        let (low, high) = (scale(self.low), scale(self.high));
        let place = (scale(value) - low) / (high - low);
        match place.is_nan() {
            true => 0.5,
            false => place.clamp(0.0, 1.0),
        }
    }
}

/// The number of a tick, without superfluous digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:e}");
    }
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let span = f64::from(limit.1) - f64::from(limit.0);
        (f64::from(limit.0) + self.place(*value) * span).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.iter().map(|(at, _)| *at).collect(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| at == value);
        tick.map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers_in_the_unit_of_the_scale() {
        assert_eq!(
            labels(&Axis::plain(0.0, 2.3)),
            ["0", "0.5", "1", "1.5", "2"]
        );
        assert_eq!(labels(&Axis::whole(0.5, 3.5, 8)), ["1", "2", "3"]);
        let (axis, unit) = Axis::seconds(400.0, 4);
        assert_eq!((labels(&axis), unit), (vec!["0", "2", "4", "6"], "min"));
        assert_eq!(axis.ticks[1].0, 120.0);
        let (axis, unit) = Axis::bytes(6.2e6);
        assert_eq!((labels(&axis), unit), (vec!["0", "2", "4", "6"], "MB"));
        let axis = Axis::logarithmic_seconds(0.5e-3, 20.0);
        assert_eq!(labels(&axis), ["1 ms", "10 ms", "100 ms", "1 s", "10 s"]);
        assert_eq!(
            labels(&Axis::percent(0.55)),
            ["50 %", "60 %", "70 %", "80 %", "90 %", "100 %"]
        );
        assert_eq!(labels(&Axis::nines(2.5)), ["0 %", "50 %", "90 %", "99 %"]);
    }

    #[test]
    fn values_map_in_proportion_and_stay_inside() {
        let axis = Axis::plain(0.0, 10.0);
        assert_eq!(axis.map(&2.5, (100, 200)), 125);
        assert_eq!(axis.map(&2.5, (200, 100)), 175);
        assert_eq!(axis.map(&1e300, (100, 200)), 200);
        assert_eq!(axis.map(&f64::NEG_INFINITY, (100, 200)), 100);
        assert_eq!(axis.map(&f64::NAN, (100, 200)), 150);
        assert_eq!(Axis::logarithmic(1.0, 100.0).map(&10.0, (0, 200)), 100);
    }

    #[test]
    fn no_range_however_odd_is_without_a_scale_or_full_of_ticks() {
        let odd = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            1e-320,
            1e300,
            -1e300,
            1e18,
            f64::MAX,
            f64::MIN,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::EPSILON,
        ];
        for low in odd {
            for high in odd {
                for axis in [
                    Axis::plain(low, high),
                    Axis::whole(low, high, 8),
                    Axis::seconds(high, 5).0,
                    Axis::bytes(high).0,
                    Axis::logarithmic(low, high),
                    Axis::logarithmic_seconds(low, high),
                    Axis::nines(high),
                    Axis::percent(low),
                ] {
                    assert!(axis.high > axis.low, "{axis:?}");
                    assert!(axis.ticks.len() <= MOST_TICKS + 1, "{axis:?}");
                    for value in odd {
                        assert!((0..=100).contains(&axis.map(&value, (0, 100))), "{axis:?}");
                    }
                }
            }
        }
    }
}
