//! `report.html`: one file that shows a run, with nothing to load and no script.
//!
//! Pictures are drawn with plotters as SVG inside the page; colours follow the reader's light or dark
//! setting. Names from a scenario may contain markup, so they are escaped, and a policy in the page
//! forbids scripts and loading altogether. Where there are too many values to draw, they are sampled
//! evenly, and the picture says so.
//!
//! The submodules: `axis` has scales and ticks, `plot` the frame and the marks of a picture, `theme`
//! the colours, `html` the parts of the page, and `page` the whole page. There is one file for each
//! family of pictures: `curves` over the rounds, `spread` over the clients, `stacks` of reports and
//! bytes, `timeline` of one round, `latency` percentiles, `labels` of the clients' samples, `scaling`
//! over the population, and `swept` over a parameter.

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

/// The data from which `report.html` is made.
#[derive(Debug, Clone, Copy)]
pub struct ReportPage<'a> {
    /// The name of the scenario.
    pub name: &'a str,
    /// The seed of the run.
    pub seed: u64,
    /// The version of Shoal.
    pub version: &'a str,
    /// How the run ended.
    pub status: Status,
    /// The trace hash.
    pub hash: Option<&'a str>,
    /// The facts about the scenario that the page shows before any picture, as name and value
    /// ("method", "FedAvg").
    pub facts: &'a [(&'a str, String)],
    /// The command that runs the scenario again.
    pub command: &'a str,
    /// The run in a few figures.
    pub totals: &'a Totals,
    /// The rows of the tables, reduced to what is drawn.
    pub digest: &'a Digest,
    /// The histograms of durations.
    pub histograms: &'a Histograms,
    /// What became of messages, by kind.
    pub messages: &'a Messages,
    /// The number of reports that were not used, by reason.
    pub rejections: &'a Rejections,
    /// The classes of the data.
    pub classes: &'a [ClassEntry],
    /// The staleness of the used reports, where the server holds no rounds.
    pub staleness: &'a Staleness,
    /// Which nodes the rounds are held with.
    pub party: Party,
    /// The deadline of the rounds, if there is one.
    pub deadline: Option<Span>,
    /// The text of the scenario.
    pub scenario: &'a str,
}

/// Which nodes rounds are held with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// A server holds rounds with clients.
    Clients,
    /// A server holds rounds with servers between it and the clients.
    Servers,
    /// Clients hold rounds with each other.
    Peers,
}

impl ReportPage<'_> {
    /// Makes the page; returns an error if a picture cannot be drawn.
    pub fn render(&self) -> Result<String, ObserveError> {
        page::render(self)
    }
}

/// A picture, with the text around it.
struct Figure {
    title: &'static str,
    /// Sentences that a reader of the picture should know.
    notes: Vec<String>,
    /// The colours of the legend, each with its label.
    legend: Vec<(theme::Ink, String)>,
    svg: String,
    /// Whether the picture takes the whole width of the page.
    wide: bool,
}

/// The indices of `most` of `n` positions, evenly spread, with the first and the last among them; all
/// indices if there are fewer.
pub(super) fn evenly(n: usize, most: usize) -> Vec<usize> {
    if n <= most {
        return (0..n).collect();
    }
    let last = most.saturating_sub(1).max(1);
    (0..most).map(|i| i * (n - 1) / last).collect()
}

#[cfg(test)]
mod tests;
