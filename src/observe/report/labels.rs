//! The classes of each client's samples: one dot for each client and class, whose area is the number of
//! samples, as in papers on federated learning.

use super::axis::Axis;
use super::plot::Frame;
use super::spread::colours;
use super::theme::{self, Ink};
use super::Figure;
use crate::observe::dealt::{Dealt, MOST_DRAWN};
use crate::observe::digest::GroupSummary;
use crate::observe::rows::PartitionRow;
use crate::observe::text;
use crate::observe::ObserveError;
use std::collections::BTreeMap;

/// The largest number of lines of classes; of more classes, neighbours share a line.
const MOST_LINES: u32 = 50;
/// The width of the picture, and the height of a line of classes where there are few, in CSS pixels.
const WIDTH: u32 = 1160;
const LINE: f64 = 20.0;

/// The columns of the picture: one for each client, or one for each group.
struct Columns {
    /// The number of samples by column and line.
    cells: BTreeMap<(usize, u32), u64>,
    /// The label below each column, and its group.
    names: Vec<(String, String)>,
}

impl Columns {
    fn of(dealt: &Dealt, share: u32) -> Self {
        let mut columns = Self {
            cells: BTreeMap::new(),
            names: Vec::new(),
        };
        let mut last = None;
        for row in &dealt.rows {
            let whose = (row.client, &row.group);
            if last != Some(whose) {
                let name = match row.client {
                    Some(client) => text::grouped(client.into()),
                    None => text::shown(&row.group, 24),
                };
                columns.names.push((name, row.group.to_string()));
                last = Some(whose);
            }
            if let Some(class) = row.class {
                let at = (columns.names.len() - 1, class / share);
                *columns.cells.entry(at).or_default() += samples(row);
            }
        }
        columns
    }
}

/// The samples that count for a dot: training and held-out ones.
fn samples(row: &PartitionRow) -> u64 {
    row.train.saturating_add(row.held_out)
}

/// The picture; `None` where no client has samples.
pub(super) fn bubbles(
    dealt: &Dealt,
    groups: &[GroupSummary],
) -> Result<Option<Figure>, ObserveError> {
    let share = dealt.classes.div_ceil(MOST_LINES).max(1);
    let columns = Columns::of(dealt, share);
    let Some(&most) = columns.cells.values().max() else {
        return Ok(None);
    };
    let lines = dealt.classes.div_ceil(share);
    let height = (f64::from(lines) * LINE).clamp(140.0, 560.0);
    let n = columns.names.len();
    // The largest dot touches its neighbours.
    let room = (f64::from(WIDTH) - 80.0) / n as f64;
    let largest = (room.min(height / f64::from(lines)) / 2.0 - 0.5).clamp(1.0, 14.0);
    let ticks = |count: usize, wanted: usize, name: &dyn Fn(usize) -> String| {
        let step = count.div_ceil(wanted).max(1);
        let at = (0..count).step_by(step);
        at.map(|i| (i as f64, name(i))).collect::<Vec<_>>()
    };
    let (x_title, wanted) = match dealt.is_of_groups() {
        true => ("group", 8),
        false => ("client", 25),
    };
    let frame = Frame {
        what: "the samples of clients by class",
        width: WIDTH,
        height: (height + 74.0) as u32,
        x: Axis::labelled(
            -0.5,
            n as f64 - 0.5,
            ticks(n, wanted, &|i| columns.names[i].0.clone()),
        ),
        y: Axis::labelled(
            -0.5,
            f64::from(lines) - 0.5,
            ticks(lines as usize, 25, &|i| (i as u32 * share).to_string()),
        ),
        x_title: x_title.to_owned(),
        y_title: "class".to_owned(),
        grid: true,
    };
    let colour = colours(groups);
    let svg = frame.draw(|plot| {
        for (&(column, line), &samples) in &columns.cells {
            let radius = largest * (samples as f64 / most as f64).sqrt();
            let ink = colour(&columns.names[column].1);
            // Even a client's only sample of a class has to be visible.
            let at = (column as f64, f64::from(line));
            plot.dot(at, ink, radius.max(0.8))?;
        }
        Ok(())
    })?;
    let seen = |group: &&GroupSummary| columns.names.iter().any(|name| *name.1 == *group.group);
    let mut legend: Vec<(Ink, String)> = groups
        .iter()
        .take(theme::SERIES.len())
        .filter(seen)
        .map(|group| (colour(&group.group), text::shown(&group.group, 40)))
        .collect();
    if columns
        .names
        .iter()
        .any(|name| colour(&name.1) == theme::IDLE)
    {
        legend.push((theme::IDLE, "other groups".to_owned()));
    }
    Ok(Some(Figure {
        title: "Who has which samples",
        notes: notes(dealt, most, share),
        legend,
        svg,
        wide: true,
    }))
}

fn notes(dealt: &Dealt, most: u64, share: u32) -> Vec<String> {
    let mut notes = vec![format!(
        "The area of a dot is the number of samples of a class, held-out ones included; the largest is {}.",
        text::grouped(most)
    )];
    if let (Some(least), Some(largest)) = (dealt.sizes.first(), dealt.sizes.last()) {
        let median = dealt.sizes[dealt.sizes.len() / 2];
        notes.push(format!(
            "Clients train on {} to {} samples, half of them on {} or more; {} are held out in all.",
            text::grouped(*least),
            text::grouped(*largest),
            text::grouped(median),
            text::grouped(dealt.held_out),
        ));
    }
    if dealt.is_of_groups() {
        notes.push("Groups are drawn, since there is no line for each client.".to_owned());
    }
    if dealt.sizes.len() > MOST_DRAWN {
        notes.push(format!(
            "{MOST_DRAWN} of {} clients are drawn, evenly spread.",
            text::grouped(dealt.sizes.len() as u64)
        ));
    }
    if share > 1 {
        notes.push(format!("Every line is {share} classes."));
    }
    notes
}
