//! Message latency by percentile, one curve for each kind, with the tail stretched out.

use super::axis::Axis;
use super::plot::Frame;
use super::theme::{self, Ink};
use super::Figure;
use crate::observe::histograms::{Histograms, Spans};
use crate::observe::text;
use crate::observe::ObserveError;

/// The number of points of a curve.
const POINTS: u32 = 160;
/// A message that takes no time also needs a position on a logarithmic scale.
const SHORTEST_S: f64 = 1e-9;

/// Percentiles, as numbers of nines, and latencies in seconds.
type Points = Vec<(f64, f64)>;

/// Latencies at percentiles that come closer to 100 % by a power of ten at each step, up to the
/// percentile that a single message decides.
fn curve(spans: &Spans) -> Points {
    // Even a few messages make a line, to the 90th percentile at least.
    let end = (spans.count() as f64).log10().max(1.0);
    (0..=POINTS)
        .map(|i| {
            let nines = end * f64::from(i) / f64::from(POINTS);
            let quantile = 1.0 - 10f64.powf(-nines);
            (nines, spans.at(quantile).seconds().max(SHORTEST_S))
        })
        .collect()
}

/// The picture, if any message was delivered.
pub(super) fn percentiles(histograms: &Histograms) -> Result<Option<Figure>, ObserveError> {
    let mut kinds: Vec<(&str, &Spans)> = histograms.latencies().collect();
    let all = kinds.len();
    // The kinds with the most messages come first; names decide between equals.
    kinds.sort_by(|a, b| b.1.count().cmp(&a.1.count()).then(a.0.cmp(b.0)));
    kinds.truncate(theme::SERIES.len());
    let curves: Vec<(Ink, &str, Points)> = kinds
        .iter()
        .zip(theme::SERIES)
        .map(|((kind, spans), ink)| (ink, *kind, curve(spans)))
        .collect();
    if curves.is_empty() {
        return Ok(None);
    }
    let points = || curves.iter().flat_map(|(.., points)| points);
    let low = points().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = points().map(|p| p.1).fold(SHORTEST_S, f64::max);
    let end = points().map(|p| p.0).fold(0.0, f64::max);
    // At least one whole decade is shown, so that a tick is visible.
    let low = 10f64.powf(low.log10().floor());
    let high = (high * 1.3).max(low * 10.0);
    let frame = Frame {
        what: "the latency percentiles",
        width: 560,
        height: 300,
        x: Axis::nines(end),
        y: Axis::logarithmic_seconds(low, high),
        x_title: "percentile of messages".to_owned(),
        y_title: "latency (logarithmic)".to_owned(),
        grid: true,
    };
    let svg = frame.draw(|plot| {
        for (ink, _, points) in curves.iter().rev() {
            plot.line(points, *ink, 2.0)?;
        }
        Ok(())
    })?;
    let mut notes = vec!["From sending to full arrival, in virtual time.".to_owned()];
    if all > curves.len() {
        notes.push(format!(
            "The {} commonest of {all} kinds are drawn.",
            curves.len()
        ));
    }
    Ok(Some(Figure {
        title: "Message latency",
        notes,
        legend: curves
            .iter()
            .map(|(ink, kind, _)| (*ink, text::shown(kind, 40)))
            .collect(),
        svg,
        wide: false,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Span;

    #[test]
    fn a_curve_ends_at_the_slowest_message() {
        let mut spans = Spans::new();
        for millis in 1..=1000 {
            spans.record(Span::from_millis(millis));
        }
        let curve = curve(&spans);
        let at = |nines: f64| {
            let near = |p: &&(f64, f64)| (p.0 - nines).abs() < 0.01;
            curve.iter().find(near).unwrap().1
        };
        assert!((at(1.0) - 0.9).abs() < 0.005, "{}", at(1.0));
        assert!((at(2.0) - 0.99).abs() < 0.005, "{}", at(2.0));
        let last = curve.last().unwrap();
        assert!((last.0 - 3.0).abs() < 1e-9 && (last.1 - 0.9995).abs() < 0.001);
    }
}
