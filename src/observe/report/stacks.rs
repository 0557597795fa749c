//! Stacked bars over the rounds: what became of the invitations, and bytes.

use super::axis::Axis;
use super::curves::round_axis;
use super::plot::Frame;
use super::theme::{self, Ink};
use super::{Figure, Party};
use crate::observe::rows::RoundRow;
use crate::observe::text;
use crate::observe::ObserveError;

/// Bars of a picture; with more rounds, neighbours share one.
const MOST_BARS: usize = 140;

type Layer = (&'static str, Ink, fn(&RoundRow) -> f64);

struct Bar {
    from: f64,
    to: f64,
    /// Means over the bar's rounds, one a layer.
    layers: Vec<f64>,
}

fn bars(rounds: &[RoundRow], layers: &[Layer]) -> (Vec<Bar>, usize) {
    let size = rounds.len().div_ceil(MOST_BARS).max(1);
    let bars = rounds.chunks(size).map(|chunk| {
        let first = chunk.first().map_or(0.0, |row| f64::from(row.round));
        let last = chunk.last().map_or(0.0, |row| f64::from(row.round));
        let mean =
            |value: fn(&RoundRow) -> f64| chunk.iter().map(value).sum::<f64>() / chunk.len() as f64;
        Bar {
            from: first - 0.5,
            to: last + 0.5,
            layers: layers.iter().map(|layer| mean(layer.2)).collect(),
        }
    });
    (bars.collect(), size)
}

fn draw(
    title: &'static str,
    rounds: &[RoundRow],
    layers: &[Layer],
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
        x: round_axis(rounds, 0.5),
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

/// What became of those that were asked.
pub(super) fn reports(rounds: &[RoundRow], party: Party) -> Result<Option<Figure>, ObserveError> {
    // Where there is no server it is models that are late, not clients.
    let late: fn(&RoundRow) -> f64 = match party {
        Party::Peers => |_| 0.0,
        Party::Clients | Party::Servers => |row| row.late.into(),
    };
    let unit = match party {
        Party::Servers => "servers",
        Party::Clients | Party::Peers => "clients",
    };
    let layers: [Layer; 4] = [
        ("reported", theme::GREEN, |row| row.reported.into()),
        ("late", theme::ORANGE, late),
        ("refused", theme::PURPLE, |row| row.refused.into()),
        ("lost", theme::RED, |row| row.lost.into()),
    ];
    draw("Reports by round", rounds, &layers, |highest| {
        (Axis::whole(0.0, highest * 1.04, 4), unit.to_owned())
    })
}

/// Bytes over the server's link; what clients got and sent, where there is no server.
pub(super) fn bytes(rounds: &[RoundRow], party: Party) -> Result<Option<Figure>, ObserveError> {
    let (down, up) = match party {
        Party::Clients => ("server to clients", "clients to server"),
        Party::Servers => ("to servers between", "from servers between"),
        Party::Peers => ("got by clients", "sent by clients"),
    };
    let layers: [Layer; 2] = [
        (down, theme::SKY, |row| row.bytes_down as f64),
        (up, theme::BLUE, |row| row.bytes_up as f64),
    ];
    draw("Traffic by round", rounds, &layers, |highest| {
        let (axis, unit) = Axis::bytes(highest * 1.04);
        (axis, unit.to_owned())
    })
}
