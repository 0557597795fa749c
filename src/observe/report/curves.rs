//! Curves over the rounds: accuracy, loss, and accuracy against virtual time.

use super::axis::Axis;
use super::plot::Frame;
use super::theme::{self, Ink};
use super::{evenly, Figure};
use crate::observe::rows::{RoundRow, SizeRow};
use crate::observe::{text, ObserveError};

/// The number of points of a curve; more could not be seen.
const MOST_POINTS: usize = 600;
/// A loss that spans more than this factor is drawn on a logarithmic scale.
const WIDE_LOSS: f64 = 60.0;

type Pick = fn(&RoundRow) -> Option<f64>;
type Curve = (String, Ink, Vec<(f64, f64)>);

/// One curve for each name, from the rounds that have a value, sampled evenly; and the number of values
/// before the sampling.
fn curves(
    rounds: &[RoundRow],
    x: fn(&RoundRow) -> f64,
    wanted: &[(&'static str, Ink, Pick)],
) -> (Vec<Curve>, usize) {
    let mut most = 0;
    let curves = wanted.iter().filter_map(|&(name, ink, pick)| {
        let points: Vec<(f64, f64)> = rounds
            .iter()
            .filter_map(|row| Some((x(row), pick(row)?)))
            .collect();
        most = most.max(points.len());
        let kept = evenly(points.len(), MOST_POINTS);
        let points: Vec<_> = kept
            .iter()
            .filter_map(|&i| points.get(i).copied())
            .collect();
        points
            .iter()
            .any(|p| p.1.is_finite())
            .then_some((name.to_owned(), ink, points))
    });
    (curves.collect(), most)
}

/// The least and the greatest value of all curves; (0, 1) if there are none.
fn bounds(curves: &[Curve]) -> (f64, f64) {
    let values = curves.iter().flat_map(|(.., points)| points);
    let finite = values.map(|p| p.1).filter(|v| v.is_finite());
    finite
        .fold(None, |held: Option<(f64, f64)>, v| match held {
            None => Some((v, v)),
            Some((low, high)) => Some((low.min(v), high.max(v))),
        })
        .unwrap_or((0.0, 1.0))
}

/// The rounds as a scale.
pub(super) fn round_axis(rounds: &[RoundRow], margin: f64) -> Axis {
    let round = |row: &RoundRow| row.round;
    axis_of(rounds.first().map(round), rounds.last().map(round), margin)
}

/// A scale from the first round to the last.
pub(super) fn axis_of(first: Option<u32>, last: Option<u32>, margin: f64) -> Axis {
    let (first, last) = (first.map_or(1.0, f64::from), last.map_or(1.0, f64::from));
    // A single round stands in the middle, with room on both sides.
    let margin = if last > first { margin } else { 0.9 };
    Axis::whole(first - margin, last + margin, 8)
}

fn draw(
    title: &'static str,
    x: Axis,
    x_title: String,
    y: Axis,
    y_title: &str,
    (curves, most): (Vec<Curve>, usize),
) -> Result<Figure, ObserveError> {
    let mut notes = Vec::new();
    if most > MOST_POINTS {
        notes.push(format!(
            "{MOST_POINTS} of {} evaluations are drawn, evenly spread.",
            text::grouped(most as u64)
        ));
    }
    let broken = |(.., points): &Curve| points.iter().any(|p| !p.1.is_finite());
    if curves.iter().any(broken) {
        notes.push("A gap is a value that is not a finite number.".to_owned());
    }
    let frame = Frame {
        what: title,
        width: 560,
        height: 300,
        x,
        y,
        x_title,
        y_title: y_title.to_owned(),
        grid: true,
    };
    let svg = frame.draw(|plot| {
        // The first curve is the most important one, so it is drawn last, on top.
        for (_, ink, points) in curves.iter().rev() {
            plot.line(points, *ink, 2.0)?;
        }
        Ok(())
    })?;
    Ok(Figure {
        title,
        notes,
        legend: curves
            .iter()
            .map(|(name, ink, _)| (*ink, name.clone()))
            .collect(),
        svg,
        wide: false,
    })
}

const ACCURACIES: [(&str, Ink, Pick); 4] = [
    ("central test set", theme::BLUE, |row| row.accuracy),
    ("mean over clients", theme::ORANGE, |row| row.client_mean),
    (
        "mean over clients, after local training",
        theme::GREEN,
        |row| row.trained_mean,
    ),
    ("success of the attack", theme::RED, |row| {
        row.attack_success
    }),
];

fn number(row: &RoundRow) -> f64 {
    f64::from(row.round)
}

/// Accuracy against rounds.
pub(super) fn accuracy(rounds: &[RoundRow]) -> Result<Option<Figure>, ObserveError> {
    let curves = curves(rounds, number, &ACCURACIES);
    if curves.0.is_empty() {
        return Ok(None);
    }
    let y = Axis::percent(bounds(&curves.0).0);
    let x = round_axis(rounds, 0.0);
    draw(
        "Accuracy by round",
        x,
        "round".to_owned(),
        y,
        "accuracy",
        curves,
    )
    .map(Some)
}

/// Accuracy against virtual time.
pub(super) fn accuracy_in_time(rounds: &[RoundRow]) -> Result<Option<Figure>, ObserveError> {
    let curves = curves(rounds, |row| row.ended.seconds(), &ACCURACIES);
    if curves.0.is_empty() {
        return Ok(None);
    }
    let y = Axis::percent(bounds(&curves.0).0);
    let end = rounds.iter().map(|row| row.ended.seconds());
    let (x, unit) = Axis::seconds(end.fold(0.0, f64::max), 7);
    let title = format!("virtual time ({unit})");
    draw("Accuracy in virtual time", x, title, y, "accuracy", curves).map(Some)
}

/// Loss against rounds.
pub(super) fn loss(rounds: &[RoundRow]) -> Result<Option<Figure>, ObserveError> {
    let curves = curves(
        rounds,
        number,
        &[
            ("central test set", theme::BLUE, |row| row.loss),
            ("training, mean over clients", theme::GREEN, |row| {
                row.train_loss
            }),
        ],
    );
    if curves.0.is_empty() {
        return Ok(None);
    }
    let (low, high) = bounds(&curves.0);
    let (y, title) = match low > 0.0 && high / low > WIDE_LOSS {
        true => (Axis::logarithmic(low, high), "loss (logarithmic)"),
        false => (Axis::plain(low.min(0.0), high * 1.04), "loss"),
    };
    let x = round_axis(rounds, 0.0);
    draw("Loss by round", x, "round".to_owned(), y, title, curves).map(Some)
}

/// Accuracy of the models of each width against rounds, where there are several widths.
pub(super) fn by_size(
    rounds: &[RoundRow],
    sizes: &[SizeRow],
) -> Result<Option<Figure>, ObserveError> {
    let mut widths: Vec<f64> = sizes.iter().map(|row| row.size).collect();
    widths.sort_by(|a, b| b.total_cmp(a));
    widths.dedup();
    // One quantity for all widths: the first that every width has.
    type Pick = fn(&SizeRow) -> Option<f64>;
    let figures: [(Pick, &str); 3] = [
        (|row| row.accuracy, "accuracy on the central test set"),
        (|row| row.client_mean, "accuracy, mean over clients"),
        (
            |row| row.trained_mean,
            "accuracy, mean over clients, after training",
        ),
    ];
    let has = |width: f64, pick: Pick| {
        let mut of = sizes.iter().filter(|row| row.size == width);
        of.any(|row| pick(row).is_some())
    };
    let of_all = figures
        .into_iter()
        .find(|(pick, _)| widths.iter().all(|&width| has(width, *pick)));
    let Some((pick, what)) = of_all else {
        return Ok(None);
    };
    let mut most = 0;
    // More curves than colours could not be distinguished.
    let curves = widths
        .iter()
        .zip(theme::SERIES)
        .filter_map(|(&width, ink)| {
            let points: Vec<(f64, f64)> = sizes
                .iter()
                .filter(|row| row.size == width)
                .filter_map(|row| Some((f64::from(row.round), pick(row)?)))
                .collect();
            most = most.max(points.len());
            let kept = evenly(points.len(), MOST_POINTS);
            let points: Vec<_> = kept
                .iter()
                .filter_map(|&i| points.get(i).copied())
                .collect();
            let drawn = points.iter().any(|p| p.1.is_finite());
            drawn.then_some((format!("width {width}"), ink, points))
        });
    let curves: Vec<Curve> = curves.collect();
    if curves.is_empty() {
        return Ok(None);
    }
    let y = Axis::percent(bounds(&curves).0);
    let mut figure = draw(
        "Accuracy by width",
        round_axis(rounds, 0.0),
        "round".to_owned(),
        y,
        what,
        (curves, most),
    )?;
    if let Some(more) = widths
        .len()
        .checked_sub(theme::SERIES.len())
        .filter(|n| *n > 0)
    {
        figure.notes.push(format!(
            "{} are not drawn.",
            text::count(more as u64, "width")
        ));
    }
    Ok(Some(figure))
}
