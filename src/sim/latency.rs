//! How long messages took, per kind.

use crate::quantity::Span;
use hdrhistogram::Histogram;

/// HdrHistograms of message latency in nanoseconds, three significant digits, one a kind.
#[derive(Debug, Clone)]
pub struct Latencies {
    kinds: Vec<Option<Histogram<u64>>>,
}

impl Latencies {
    pub(crate) fn new(kinds: usize) -> Self {
        Self {
            kinds: vec![None; kinds],
        }
    }

    pub(crate) fn record(&mut self, kind: u8, latency: Span) {
        let Some(slot) = self.kinds.get_mut(usize::from(kind)) else {
            return;
        };
        if slot.is_none() {
            // Three digits is within what the crate allows, so this never fails.
            *slot = Histogram::new(3).ok();
        }
        if let Some(histogram) = slot {
            histogram.saturating_record(latency.nanos());
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.kinds.iter_mut().zip(&other.kinds) {
            match (mine.as_mut(), theirs) {
                (Some(mine), Some(theirs)) => {
                    // Both resize by themselves; adding cannot fail.
                    let _ = mine.add(theirs);
                }
                (None, Some(theirs)) => *mine = Some(theirs.clone()),
                (_, None) => {}
            }
        }
    }

    /// The histogram of each kind that was seen, by the kind's index.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Histogram<u64>)> {
        let seen = self.kinds.iter().enumerate();
        seen.filter_map(|(kind, histogram)| Some((kind, histogram.as_ref()?)))
    }
}
