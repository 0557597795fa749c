//! The spread of accuracy over the clients: over the rounds, and client by client.

use super::axis::Axis;
use super::curves::round_axis;
use super::plot::Frame;
use super::theme::{self, Ink};
use super::{evenly, Figure};
use crate::observe::digest::GroupSummary;
use crate::observe::rows::{ClientAccuracyRow, RoundRow};
use crate::observe::text;
use crate::observe::ObserveError;

const MOST_POINTS: usize = 600;
const MOST_BARS: usize = 240;

/// One quantity by which clients are compared.
struct Kind {
    what: &'static str,
    mean: fn(&RoundRow) -> Option<f64>,
    p5: fn(&RoundRow) -> Option<f64>,
    p95: fn(&RoundRow) -> Option<f64>,
    worst: fn(&RoundRow) -> Option<f64>,
    /// The number of clients and of samples in the worst tenth.
    stands_on: fn(&RoundRow) -> Option<(u32, u64)>,
    of_client: fn(&ClientAccuracyRow) -> Option<f64>,
}

/// The model with which a client would begin, and, where clients keep models of their own, the model
/// after each client's latest training.
const KINDS: [Kind; 2] = [
    Kind {
        what: "with the model it would be handed now",
        mean: |row| row.client_mean,
        p5: |row| row.client_p5,
        p95: |row| row.client_p95,
        worst: |row| row.client_worst10,
        stands_on: |row| row.client_worst10_clients.zip(row.client_worst10_samples),
        of_client: ClientAccuracyRow::accuracy,
    },
    Kind {
        what: "with its model after its latest local training",
        mean: |row| row.trained_mean,
        p5: |row| row.trained_p5,
        p95: |row| row.trained_p95,
        worst: |row| row.trained_worst10,
        stands_on: |row| row.trained_worst10_clients.zip(row.trained_worst10_samples),
        of_client: ClientAccuracyRow::trained_accuracy,
    },
];

/// The band from the 5th to the 95th percentile, the mean, and the worst tenth, over the rounds.
pub(super) fn bands(rounds: &[RoundRow]) -> Result<Option<Figure>, ObserveError> {
    let finite = |value: Option<f64>| value.filter(|v| v.is_finite());
    let there = |kind: &&Kind| rounds.iter().any(|row| finite((kind.mean)(row)).is_some());
    let Some(kind) = KINDS.iter().find(there) else {
        return Ok(None);
    };
    let scored: Vec<(f64, &RoundRow)> = rounds
        .iter()
        .filter(|row| finite((kind.mean)(row)).is_some())
        .map(|row| (f64::from(row.round), row))
        .collect();
    let kept: Vec<_> = evenly(scored.len(), MOST_POINTS)
        .into_iter()
        .filter_map(|i| scored.get(i).copied())
        .collect();
    let pick = |value: fn(&RoundRow) -> Option<f64>| -> Vec<(f64, f64)> {
        kept.iter()
            .filter_map(|(x, row)| Some((*x, finite(value(row))?)))
            .collect()
    };
    let mean = pick(kind.mean);
    let worst = pick(kind.worst);
    let band: Vec<(f64, f64, f64)> = kept
        .iter()
        .filter_map(|(x, row)| Some((*x, finite((kind.p5)(row))?, finite((kind.p95)(row))?)))
        .collect();
    let lows = band.iter().map(|b| b.1).chain(worst.iter().map(|w| w.1));
    let mut notes = vec![format!(
        "Every client is scored on its own held-out samples, {}.",
        kind.what
    )];
    let stands_on = scored.last().and_then(|(_, row)| (kind.stands_on)(row));
    if let Some((clients, samples)) = stands_on {
        notes.push(format!(
            "The worst tenth at the end: {} with {} held out together.",
            text::count(clients.into(), "client"),
            text::count(samples, "sample"),
        ));
    }
    if scored.len() > MOST_POINTS {
        let all = text::grouped(scored.len() as u64);
        notes.push(format!(
            "{MOST_POINTS} of {all} evaluations are drawn, evenly spread."
        ));
    }
    let frame = Frame {
        what: "the spread over the clients",
        width: 560,
        height: 300,
        x: round_axis(rounds, 0.0),
        y: Axis::percent(lows.fold(1.0, f64::min)),
        x_title: "round".to_owned(),
        y_title: "accuracy of clients".to_owned(),
        grid: true,
    };
    let svg = frame.draw(|plot| {
        match band[..] {
            // A single evaluation has no area, so a line from end to end shows it.
            [(x, low, high)] => plot.line(&[(x, low), (x, high)], theme::SKY, 6.0)?,
            _ => plot.band(&band, theme::BLUE)?,
        }
        plot.line(&worst, theme::RED, 2.0)?;
        plot.line(&mean, theme::BLUE, 2.0)
    })?;
    Ok(Some(Figure {
        title: "Spread over the clients",
        notes,
        legend: vec![
            (theme::BLUE, "mean, and 5 % to 95 % of clients".to_owned()),
            (theme::RED, "worst tenth".to_owned()),
        ],
        svg,
        wide: false,
    }))
}

/// A colour for every group; groups after the last colour share the idle one.
pub(super) fn colours(groups: &[GroupSummary]) -> impl Fn(&str) -> Ink + '_ {
    |name| {
        let position = groups.iter().position(|group| &*group.group == name);
        let ink = position.and_then(|i| theme::SERIES.get(i));
        ink.copied().unwrap_or(theme::IDLE)
    }
}

/// The last evaluation: one bar for each client, from the best to the worst, in the colour of its
/// group.
pub(super) fn clients(
    rows: &[ClientAccuracyRow],
    groups: &[GroupSummary],
) -> Result<Option<Figure>, ObserveError> {
    let there = |kind: &&Kind| rows.iter().any(|row| (kind.of_client)(row).is_some());
    let Some(kind) = KINDS.iter().find(there) else {
        return Ok(None);
    };
    let mut scores: Vec<(f64, u32, &str)> = rows
        .iter()
        .filter_map(|row| Some(((kind.of_client)(row)?, row.client, &*row.group)))
        .collect();
    let Some(round) = rows.first().map(|row| row.round) else {
        return Ok(None);
    };
    scores.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let kept = evenly(scores.len(), MOST_BARS);
    let bars: Vec<(usize, (f64, u32, &str))> = kept
        .iter()
        .filter_map(|&i| Some((i, *scores.get(i)?)))
        .collect();

    let n = scores.len() as f64;
    let mean = scores.iter().map(|s| s.0).sum::<f64>() / n;
    let mut notes = vec![format!(
        "Evaluation after round {}; {}, each {}; mean {}.",
        text::grouped(round.into()),
        text::count(scores.len() as u64, "client"),
        kind.what,
        text::percent(Some(mean))
    )];
    if bars.len() < scores.len() {
        notes.push(format!(
            "Every bar stands for {} clients or so.",
            text::significant(n / bars.len() as f64)
        ));
    }
    let colour = colours(groups);
    let mut legend: Vec<(Ink, String)> = groups
        .iter()
        .take(theme::SERIES.len())
        .filter(|group| scores.iter().any(|s| s.2 == &*group.group))
        .map(|group| (colour(&group.group), text::shown(&group.group, 40)))
        .collect();
    if scores.iter().any(|s| colour(s.2) == theme::IDLE) {
        legend.push((theme::IDLE, "other groups".to_owned()));
    }
    legend.push((theme::TEXT, "mean".to_owned()));

    let frame = Frame {
        what: "the clients' accuracies",
        width: 560,
        height: 300,
        x: Axis::whole(0.5, n + 0.5, 8),
        y: Axis::percent(0.0),
        x_title: "clients, from best to worst".to_owned(),
        y_title: "accuracy of client".to_owned(),
        grid: true,
    };
    let step = n / bars.len() as f64;
    let svg = frame.draw(|plot| {
        for (i, (_, (accuracy, _, group))) in bars.iter().enumerate() {
            let left = 0.5 + i as f64 * step;
            let gap = step * 0.08;
            // A client that classifies no sample correctly still has a visible bar.
            let top = accuracy.max(0.006);
            plot.bar((left + gap, 0.0), (left + step - gap, top), colour(group))?;
        }
        plot.line(&[(0.5, mean), (n + 0.5, mean)], theme::TEXT, 1.25)
    })?;
    Ok(Some(Figure {
        title: "Client by client",
        notes,
        legend,
        svg,
        wide: false,
    }))
}
