//! One round in detail: one bar for each client, from the invitation to the report.

use super::axis::Axis;
use super::plot::Frame;
use super::theme::{self, Ink};
use super::{evenly, Figure};
use crate::observe::digest::Digest;
use crate::observe::rows::{ClientOutcome, ClientRow, Outcome, RoundRow};
use crate::observe::text;
use crate::observe::ObserveError;
use crate::quantity::{Span, VirtualTime};

const MOST_CLIENTS: usize = 60;
const ROW_PX: u32 = 15;
/// The picture ends at most at this multiple of the round's duration, however late a report is.
const LATEST: f64 = 1.4;

const DOWNLOAD: Ink = theme::SKY;
const WAIT: Ink = theme::IDLE;
const COMPUTE: Ink = theme::BLUE;
const UPLOAD: Ink = theme::ORANGE;

/// A section of a client's bar, in seconds since the round's start.
type Stretch = (f64, f64, Ink);

/// What the client did and when, as far as the server's record shows.
fn stretches(row: &ClientRow, start: VirtualTime) -> Vec<Stretch> {
    let at = |time: VirtualTime| time.since(start).seconds();
    let mut out = vec![];
    let Some(received) = row.received else {
        return out;
    };
    out.push((at(row.invited), at(received), DOWNLOAD));
    let Some(trained) = row.trained else {
        return out;
    };
    let computing = VirtualTime::from_nanos(trained.nanos().saturating_sub(row.compute.nanos()));
    let computing = computing.max(received);
    out.push((at(received), at(computing), WAIT));
    out.push((at(computing), at(trained), COMPUTE));
    if let Some(reported) = row.reported {
        out.push((at(trained), at(reported), UPLOAD));
    }
    out.retain(|(from, to, _)| to > from);
    out
}

/// The last known moment of a client.
fn last_heard(row: &ClientRow) -> VirtualTime {
    let times = [row.received, row.trained, row.reported];
    times
        .into_iter()
        .flatten()
        .fold(row.invited, VirtualTime::max)
}

fn order(row: &ClientRow) -> (bool, VirtualTime, u32) {
    (row.reported.is_none(), last_heard(row), row.client)
}

fn label(row: &ClientRow) -> String {
    format!("{} · {}", text::shown(&row.group, 14), row.client)
}

/// A word for a client whose task did not go as it should, with its colour.
fn remark(row: &ClientRow) -> Option<(String, Ink)> {
    match &row.outcome {
        ClientOutcome::Reported => None,
        ClientOutcome::Late => Some(("late".to_owned(), theme::MUTED)),
        ClientOutcome::Lost => Some(("lost".to_owned(), theme::RED)),
        ClientOutcome::Crashed => Some(("crashed".to_owned(), theme::RED)),
        ClientOutcome::Superseded => Some(("superseded".to_owned(), theme::MUTED)),
        ClientOutcome::Unfinished => Some(("unfinished".to_owned(), theme::MUTED)),
        ClientOutcome::Refused(why) => {
            Some((format!("refused: {}", text::shown(why, 40)), theme::PURPLE))
        }
        ClientOutcome::Rejected(why) => {
            Some((format!("rejected: {}", text::shown(why, 40)), theme::RED))
        }
    }
}

/// The timeline of the digest's round.
pub(super) fn timeline(
    digest: &Digest,
    deadline: Option<Span>,
) -> Result<Option<Figure>, ObserveError> {
    let Some(round) = digest.timeline_round() else {
        return Ok(None);
    };
    let mut all: Vec<&ClientRow> = digest.timeline.iter().collect();
    all.sort_by_key(|row| order(row));
    let rows: Vec<&ClientRow> = evenly(all.len(), MOST_CLIENTS)
        .into_iter()
        .filter_map(|i| all.get(i).copied())
        .collect();
    let deadline = deadline.map(Span::seconds);
    let (shown, latest) = time_range(round, &rows, deadline);
    let (x, unit) = Axis::seconds(shown, 10);

    let others = digest.rounds.len() > 1 && round.outcome == Outcome::Completed;
    let mut notes = vec![format!(
        "Round {} took {}{}.",
        text::grouped(round.round.into()),
        text::span(round.duration()),
        if others {
            ", the median of the completed rounds"
        } else {
            ""
        }
    )];
    if rows.len() < all.len() {
        notes.push(format!(
            "{} of {} clients are drawn, evenly spread.",
            rows.len(),
            text::grouped(all.len() as u64)
        ));
    }
    if latest > shown {
        notes.push("Bars that touch the right edge go on beyond it.".to_owned());
    }

    let n = rows.len() as f64;
    let middle = |i: usize| n - i as f64 - 0.5;
    let ticks = rows.iter().enumerate().rev();
    let ticks = ticks.map(|(i, row)| (middle(i), label(row))).collect();
    let frame = Frame {
        what: "the timeline of a round",
        width: 1160,
        height: 24 + 40 + ROW_PX * (rows.len() as u32).max(3),
        x,
        y: Axis::labelled(0.0, n, ticks),
        x_title: format!("virtual time since the round began ({unit})"),
        y_title: "group · client".to_owned(),
        grid: false,
    };
    let end = round.duration().seconds();
    let svg = frame.draw(|plot| {
        for (i, row) in rows.iter().enumerate() {
            let (low, high) = (middle(i) - 0.36, middle(i) + 0.36);
            for (from, to, ink) in stretches(row, round.started) {
                plot.bar((from, low), (to, high), ink)?;
            }
            let at = last_heard(row).since(round.started).seconds();
            // Text after a bar that fills the picture would leave the page.
            if let Some((words, ink)) = remark(row).filter(|_| at < 0.95 * shown) {
                plot.words((at, middle(i)), words, ink)?;
            }
        }
        plot.line(&[(end, 0.0), (end, n)], theme::TEXT, 1.25)?;
        match deadline.filter(|d| *d <= shown) {
            Some(deadline) => plot.line(&[(deadline, 0.0), (deadline, n)], theme::RED, 1.5),
            None => Ok(()),
        }
    })?;
    let mut legend = vec![
        (DOWNLOAD, "download".to_owned()),
        (WAIT, "waiting".to_owned()),
        (COMPUTE, "compute".to_owned()),
        (UPLOAD, "upload".to_owned()),
        (theme::TEXT, "end of the round".to_owned()),
    ];
    let deadline_shown = deadline.is_some_and(|d| d <= shown);
    if deadline_shown {
        legend.push((theme::RED, "deadline".to_owned()));
    }
    Ok(Some(Figure {
        title: "A round as it went",
        notes,
        legend,
        svg,
        wide: true,
    }))
}

/// Where the picture ends and when the last event happened, in seconds since the round's start.
fn time_range(round: &RoundRow, rows: &[&ClientRow], deadline: Option<f64>) -> (f64, f64) {
    let end = round.duration().seconds();
    let latest = rows
        .iter()
        .map(|row| last_heard(row).since(round.started).seconds())
        .fold(end, f64::max);
    let shown = latest.min(end * LATEST).max(end);
    // A deadline far away only shows that it was not needed.
    let shown = shown.max(deadline.filter(|d| *d <= end * LATEST).unwrap_or(0.0));
    (shown * 1.02, latest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(received: Option<u64>, trained: Option<u64>, reported: Option<u64>) -> ClientRow {
        let at = |s: u64| VirtualTime::from_nanos(s * 1_000_000_000);
        ClientRow {
            round: 1,
            client: 0,
            group: "a".into(),
            outcome: ClientOutcome::Reported,
            invited: at(10),
            received: received.map(at),
            trained: trained.map(at),
            reported: reported.map(at),
            compute: Span::from_secs(4),
            queue_wait: Span::ZERO,
            bytes_down: 0,
            bytes_up: 0,
            samples: 0,
            steps: 0,
            loss: None,
            trained_accuracy: None,
            size: 1.0,
            flops: 0,
            memory_bytes: 0,
            energy_j: 0.0,
            received_accuracy: None,
            overhead_bytes: 0,
        }
    }

    const START: VirtualTime = VirtualTime::from_nanos(10_000_000_000);

    #[test]
    fn a_bar_is_download_wait_compute_and_upload_in_turn() {
        assert_eq!(
            stretches(&row(Some(12), Some(17), Some(20)), START),
            [
                (0.0, 2.0, DOWNLOAD),
                (2.0, 3.0, WAIT),
                (3.0, 7.0, COMPUTE),
                (7.0, 10.0, UPLOAD)
            ]
        );
    }

    #[test]
    fn a_bar_ends_where_the_record_does() {
        assert_eq!(stretches(&row(None, None, None), START), []);
        assert_eq!(
            stretches(&row(Some(12), None, Some(20)), START),
            [(0.0, 2.0, DOWNLOAD)]
        );
        // A compute time that does not fit is cut at the arrival.
        assert_eq!(
            stretches(&row(Some(12), Some(13), None), START),
            [(0.0, 2.0, DOWNLOAD), (2.0, 3.0, COMPUTE)]
        );
    }
}
