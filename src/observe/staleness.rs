//! The staleness, in server steps, of the reports that were used by a server which holds no rounds.

use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The number of used reports by their staleness: the number of server steps between a client's task
/// and its report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Staleness(pub BTreeMap<u32, u64>);

impl Snapshot for Staleness {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Snapshot::load(from).map(Self)
    }
}

impl Staleness {
    /// Whether there are no such reports, because clients were asked in rounds.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds these numbers of reports.
    pub fn count(&mut self, counts: &BTreeMap<u32, u32>) {
        for (&tau, &reports) in counts {
            *self.0.entry(tau).or_default() += u64::from(reports);
        }
    }

    /// The number of reports.
    pub fn reports(&self) -> u64 {
        self.0.values().sum()
    }

    /// The mean staleness of the reports; 0 without reports.
    pub fn mean(&self) -> f64 {
        let sum = self.0.iter().map(|(&tau, &n)| f64::from(tau) * n as f64);
        sum.sum::<f64>() / (self.reports().max(1) as f64)
    }

    /// The largest staleness.
    pub fn max(&self) -> u32 {
        self.0.keys().last().copied().unwrap_or(0)
    }

    /// The least staleness that a share `quantile` in [0, 1] of the reports do not exceed.
    pub fn at(&self, quantile: f64) -> u32 {
        let wanted = quantile * self.reports() as f64;
        let mut seen = 0;
        for (&tau, &reports) in &self.0 {
            seen += reports;
            if seen as f64 >= wanted {
                return tau;
            }
        }
        self.max()
    }

    /// The reports in ranges of staleness, each twice as wide as the one before: the first and the last
    /// staleness of a range, and its number of reports.
    pub fn ranges(&self) -> Vec<(u32, u32, u64)> {
        let mut ranges: Vec<(u32, u32, u64)> = Vec::new();
        for (&tau, &reports) in &self.0 {
            // 0, 1, 2–3, 4–7, …
            let first = match tau {
                0 => 0,
                tau => 1 << (31 - tau.leading_zeros()),
            };
            match ranges.last_mut() {
                Some(range) if range.0 == first => range.2 += reports,
                _ => {
                    let last = (u64::from(first) * 2)
                        .saturating_sub(1)
                        .max(u64::from(first));
                    ranges.push((first, u32::try_from(last).unwrap_or(u32::MAX), reports));
                }
            }
        }
        ranges
    }
}

impl fmt::Display for Staleness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mean {:.2}, ", self.mean())?;
        let shares = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];
        for (name, share) in shares {
            write!(f, "{name} {}, ", self.at(share))?;
        }
        write!(f, "max {} server steps", self.max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_those_of_the_reports_one_by_one() {
        let mut staleness = Staleness::default();
        assert_eq!(
            (staleness.mean(), staleness.max(), staleness.at(0.5)),
            (0.0, 0, 0)
        );
        staleness.count(&[(0, 5), (1, 2)].into());
        staleness.count(&[(1, 1), (2, 1), (3, 0), (9, 1)].into());
        let each = [0, 0, 0, 0, 0, 1, 1, 1, 2, 9];
        assert_eq!(staleness.reports(), 10);
        assert_eq!(staleness.mean(), f64::from(each.iter().sum::<u32>()) / 10.0);
        for (share, place) in [(0.0, 0), (0.5, 4), (0.51, 5), (0.9, 8), (1.0, 9)] {
            assert_eq!(staleness.at(share), each[place], "{share}");
        }
        let expected = [(0, 0, 5), (1, 1, 3), (2, 3, 1), (8, 15, 1)];
        assert_eq!(staleness.ranges(), expected);
        let text = "mean 1.40, p50 0, p90 2, p99 9, max 9 server steps";
        assert_eq!(staleness.to_string(), text);
    }
}
