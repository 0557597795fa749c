//! Stacked bars over the rounds: what became of the invitations, and bytes.

use super::axis::Axis;
use super::curves::axis_of;
use super::plot::Frame;
use super::theme::{self, Ink};
use super::{Figure, Party};
use crate::observe::digest::Digest;
use crate::observe::rows::{InvitationRow, RoundRow};
use crate::observe::text;
use crate::observe::ObserveError;

/// The number of bars of a picture; with more rounds, neighbours share a bar.
const MOST_BARS: usize = 140;

type Layer<R> = (&'static str, Ink, fn(&R) -> f64);

/// A row that belongs to a round.
trait OfRound {
    fn round(&self) -> u32;
}

impl OfRound for RoundRow {
    fn round(&self) -> u32 {
        self.round
    }
}

impl OfRound for InvitationRow {
    fn round(&self) -> u32 {
        self.round
    }
}

struct Bar {
    from: f64,
    to: f64,
    /// The means over the bar's rounds, one for each layer.
    layers: Vec<f64>,
}

fn bars<R: OfRound>(rounds: &[R], layers: &[Layer<R>]) -> (Vec<Bar>, usize) {
    let size = rounds.len().div_ceil(MOST_BARS).max(1);
    let bars = rounds.chunks(size).map(|chunk| {
        let first = chunk.first().map_or(0.0, |row| f64::from(row.round()));
        let last = chunk.last().map_or(0.0, |row| f64::from(row.round()));
        let mean = |value: fn(&R) -> f64| chunk.iter().map(value).sum::<f64>() / chunk.len() as f64;
        Bar {
            from: first - 0.5,
            to: last + 0.5,
            layers: layers.iter().map(|layer| mean(layer.2)).collect(),
        }
    });
    (bars.collect(), size)
}

fn draw<R: OfRound>(
    title: &'static str,
    rounds: &[R],
    layers: &[Layer<R>],
    y: impl FnOnce(f64) -> (Axis, String),
) -> Result<Option<Figure>, ObserveError> {
    let (bars, size) = bars(rounds, layers);
    let highest = bars.iter().map(|bar| bar.layers.iter().sum::<f64>());
    let highest = highest.fold(0.0, f64::max);
    if highest <= 0.0 {
        return Ok(None);
    }
    let (y, y_title) = y(highest);
    let frame = Frame {
        what: title,
        width: 560,
        height: 260,
        x: axis_of(
            rounds.first().map(R::round),
            rounds.last().map(R::round),
            0.5,
        ),
        y,
        x_title: "round".to_owned(),
        y_title,
        grid: true,
    };
    let svg = frame.draw(|plot| {
        for bar in &bars {
            let gap = (bar.to - bar.from) * if bars.len() > 60 { 0.06 } else { 0.12 };
            let mut floor = 0.0;
            for (value, (_, ink, _)) in bar.layers.iter().zip(layers) {
                if *value > 0.0 {
                    let ceiling = floor + value;
                    plot.bar((bar.from + gap, floor), (bar.to - gap, ceiling), *ink)?;
                    floor = ceiling;
                }
            }
        }
        Ok(())
    })?;
    let notes = match size {
        1 => Vec::new(),
        _ => vec![format!(
            "Every bar is the mean of {} rounds.",
            text::grouped(size as u64)
        )],
    };
    let present = |i: usize| {
        bars.iter()
            .any(|bar| bar.layers.get(i).is_some_and(|v| *v > 0.0))
    };
    Ok(Some(Figure {
        title,
        notes,
        legend: layers
            .iter()
            .enumerate()
            .filter(|(i, _)| present(*i))
            .map(|(_, &(name, ink, _))| (ink, name.to_owned()))
            .collect(),
        svg,
        wide: false,
    }))
}

/// What became of the invited clients, with every invitation counted once.
pub(super) fn invitations(digest: &Digest, party: Party) -> Result<Option<Figure>, ObserveError> {
    let whole = |highest: f64, unit: &str| {
        let axis = Axis::whole(0.0, highest * 1.04, 4);
        (axis, unit.to_owned())
    };
    if party == Party::Servers || digest.invitations.is_empty() {
        // The invitations of the server at the top; for a run that was killed, as far as their outcome
        // was known when its rounds closed.
        let layers: [Layer<RoundRow>; 4] = [
            ("reported", theme::GREEN, |row| row.reported.into()),
            ("refused", theme::PURPLE, |row| row.refused.into()),
            ("rejected", theme::BLUE, |row| row.rejected.into()),
            ("unanswered", theme::RED, |row| row.unanswered.into()),
        ];
        let unit = match party {
            Party::Servers => "servers",
            Party::Clients | Party::Peers => "clients",
        };
        return draw("Answers by round", &digest.rounds, &layers, |highest| {
            whole(highest, unit)
        });
    }
    let layers: [Layer<InvitationRow>; 8] = [
        ("reported", theme::GREEN, |row| row.reported.into()),
        ("late", theme::ORANGE, |row| row.late.into()),
        ("refused", theme::PURPLE, |row| row.refused.into()),
        ("rejected", theme::BLUE, |row| row.rejected.into()),
        ("superseded", theme::OLIVE, |row| row.superseded.into()),
        ("lost", theme::RED, |row| row.lost.into()),
        ("crashed", theme::TEXT, |row| row.crashed.into()),
        ("unfinished", theme::IDLE, |row| row.unfinished.into()),
    ];
    draw(
        "Invitations by round",
        &digest.invitations,
        &layers,
        |highest| whole(highest, "invitations"),
    )
}

/// The meaning of an outcome's name.
pub(super) fn meaning(outcome: &str) -> &'static str {
    match outcome {
        "reported" => "the report came in time and was taken in",
        "late" => "the report came when nobody waited for it any more",
        "refused" => "the client declined",
        "rejected" => "the report came in time and was not used",
        "superseded" => "the client was asked again while it was at it",
        "lost" => "a message was lost, or the client left its work",
        "crashed" => "the client's handler panicked",
        "unfinished" => "the run ended first",
        _ => "",
    }
}

/// Bytes over the server's link; without a server, the bytes that clients received and sent.
pub(super) fn bytes(rounds: &[RoundRow], party: Party) -> Result<Option<Figure>, ObserveError> {
    let (down, up) = match party {
        Party::Clients => ("server to clients", "clients to server"),
        Party::Servers => ("to servers between", "from servers between"),
        Party::Peers => ("got by clients", "sent by clients"),
    };
    let layers: [Layer<RoundRow>; 2] = [
        (down, theme::SKY, |row| row.bytes_down as f64),
        (up, theme::BLUE, |row| row.bytes_up as f64),
    ];
    draw("Traffic by round", rounds, &layers, |highest| {
        let (axis, unit) = Axis::bytes(highest * 1.04);
        (axis, unit.to_owned())
    })
}
