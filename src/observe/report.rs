//! `report.html`: one file that shows a run, with nothing to load and no script.
//!
//! Pictures are drawn with plotters as SVG inside the page; colours follow the reader's light or dark
//! setting. Names from a scenario are hostile until escaped, and a policy in the page forbids scripts
//! and loading altogether. What would be too much to draw is sampled evenly, and the picture says so.
//!
//! In the folder: `axis` scales and ticks, `plot` the frame and the marks of a picture, `theme` the
//! colours, `html` the page's parts, `page` the whole, and one file for each family of pictures:
//! `curves` over the rounds, `spread` of the clients, `stacks` of reports and bytes, `timeline` of one
//! round, `latency` percentiles, `labels` of the clients' samples, `scaling` over the population,
//! `swept` over a parameter.

mod axis;
mod curves;
mod html;
mod labels;
mod latency;
mod page;
mod plot;
mod scaling;
mod spread;
mod stacks;
mod swept;
mod theme;
mod timeline;

pub use scaling::scaling;
pub use swept::swept;

use super::digest::Digest;
use super::histograms::Histograms;
use super::record::{ClassEntry, Messages, Rejections, Status, Totals};
use super::staleness::Staleness;
use super::ObserveError;
use crate::quantity::Span;

/// What a report is made from.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// The scenario's name.
    pub name: &'a str,
    /// The seed.
    pub seed: u64,
    /// Version of shoal.
    pub version: &'a str,
    /// How the run ended.
    pub status: Status,
    /// The trace hash.
    pub hash: Option<&'a str>,
    /// What a reader wants to know of the scenario before any picture, as name and value
    /// ("method", "FedAvg").
    pub facts: &'a [(&'a str, String)],
    /// The command that runs it again.
    pub command: &'a str,
    /// The run in a few figures.
    pub totals: &'a Totals,
    /// The rows.
    pub digest: &'a Digest,
    /// Everything measured in time.
    pub histograms: &'a Histograms,
    /// Message accounting, per kind.
    pub messages: &'a Messages,
    /// Reports that were not used, by reason.
    pub rejections: &'a Rejections,
    /// The classes of the data.
    pub classes: &'a [ClassEntry],
    /// How old those were that were used, where the server holds no rounds.
    pub staleness: &'a Staleness,
    /// Whom the rounds are held with.
    pub party: Party,
    /// The rounds' deadline.
    pub deadline: Option<Span>,
    /// The scenario's text.
    pub scenario: &'a str,
}

/// Whom rounds are held with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// A server with clients.
    Clients,
    /// A server with servers that stand between it and the clients.
    Servers,
    /// Clients with each other.
    Peers,
}

impl Report<'_> {
    /// The page.
    pub fn render(&self) -> Result<String, ObserveError> {
        page::render(self)
    }
}

/// A picture with what stands around it.
struct Figure {
    title: &'static str,
    /// What to know when reading it, one sentence each.
    notes: Vec<String>,
    /// Colour and label.
    legend: Vec<(theme::Ink, String)>,
    svg: String,
    /// Over the page's whole width.
    wide: bool,
}

/// `most` of `n` positions, evenly spread, the first and the last among them; all if they are fewer.
pub(super) fn evenly(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let last = most.saturating_sub(1).max(1);
    (0..most).map(|i| i * (n - 1) / last).collect()
}

#[cfg(test)]
mod tests;
