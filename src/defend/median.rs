//! The coordinate-wise median and the coordinate-wise trimmed mean (Yin et al., "Byzantine-Robust
//! Distributed Learning: Towards Optimal Statistical Rates", ICML 2018, definitions 1 and 2).

use super::{Access, Cohort, Defence, Keeping, Memory};
use serde::{Deserialize, Serialize};

/// Each value of the aggregate is the median of the reported values; for an even number of reports
/// it is the mean of the middle two. The updates of the cohort are kept; samples are no weights.
/// The rule works while fewer than half of the reports come from adversaries.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Median {}

/// For each coordinate, the share `trim` of the reports with the largest values and as many with
/// the smallest are left out, and the rest are averaged. The updates of the cohort are kept;
/// samples are no weights. The rule works while at most ⌊trim · n⌋ reports come from adversaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrimmedMean {
    /// The share β of the reports that is left out at each end, in [0, 1/2).
    pub trim: f64,
}

impl Default for TrimmedMean {
    fn default() -> Self {
        Self { trim: 0.2 }
    }
}

/// The number of coordinates that are gathered at once: for small cohorts, their columns fit the
/// first-level cache.
const TILE: usize = 64;

/// Calls `f` for each coordinate with its number and with its value in every report. `f` may
/// reorder the values.
pub(super) fn each_coordinate(updates: &[&[f32]], mut f: impl FnMut(usize, &mut [f32])) {
    let n = updates.len();
    let length = updates.iter().map(|update| update.len()).min().unwrap_or(0);
    let mut columns = vec![0.0f32; n * TILE];
    for start in (0..length).step_by(TILE) {
        let width = TILE.min(length - start);
        for (row, update) in updates.iter().enumerate() {
            for (at, value) in update[start..start + width].iter().enumerate() {
                columns[at * n + row] = *value;
            }
        }
        for (at, column) in columns.chunks_exact_mut(n).take(width).enumerate() {
            f(start + at, column);
        }
    }
}

/// The median of `values`, which are reordered; 0 if there are none.
pub(super) fn median(values: &mut [f32]) -> f32 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (below, middle, _) = values.select_nth_unstable_by(n / 2, f32::total_cmp);
    let upper = *middle;
    if n % 2 == 1 {
        return upper;
    }
    let lower = below.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    ((f64::from(lower) + f64::from(upper)) / 2.0) as f32
}

impl Defence for Median {
    /// Adversaries must be less than half of the reports.
    fn bears(&self, n: u32) -> Option<u32> {
        Some(n.saturating_sub(1) / 2)
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        // Selecting the median takes about three comparisons for each value.
        n.saturating_mul(d).saturating_mul(3)
    }
}

impl Keeping for Median {
    fn aggregate(&self, cohort: &Cohort<'_>, _: &Memory) -> Vec<f32> {
        let mut out = vec![0.0; cohort.values()];
        each_coordinate(cohort.updates, |at, column| out[at] = median(column));
        out
    }
}

impl Defence for TrimmedMean {
    /// Adversaries may be as many as the reports left out at each end.
    fn bears(&self, n: u32) -> Option<u32> {
        Some(libm::floor(self.trim * f64::from(n) + 1e-9) as u32)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        match (0.0..0.5).contains(&self.trim) {
            true => Vec::new(),
            false => vec![(
                "trim",
                format!(
                    "{} is outside [0, 0.5): that share is left out at each end",
                    self.trim
                ),
            )],
        }
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        let comparisons = n.saturating_mul(u64::from(n.max(2).ilog2()));
        comparisons.saturating_add(n).saturating_mul(d)
    }
}

impl Keeping for TrimmedMean {
    fn aggregate(&self, cohort: &Cohort<'_>, _: &Memory) -> Vec<f32> {
        let n = cohort.len();
        // A share below a half leaves at least one report. The small addition makes up for products
        // such as 0.1 · 30 = 2.9999….
        let cut = libm::floor(self.trim * n as f64 + 1e-9) as usize;
        let cut = cut.min(n.saturating_sub(1) / 2);
        let mut out = vec![0.0; cohort.values()];
        each_coordinate(cohort.updates, |at, column| {
            column.sort_unstable_by(f32::total_cmp);
            let kept = &column[cut..n - cut];
            let sum: f64 = kept.iter().map(|value| f64::from(*value)).sum();
            out[at] = (sum / kept.len() as f64) as f32;
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    fn sorted(cohort: &Fixed, i: usize) -> Vec<f64> {
        let mut column: Vec<f64> = cohort.wide().iter().map(|u| u[i]).collect();
        column.sort_by(f64::total_cmp);
        column
    }

    proptest! {
        #[test]
        fn the_median_is_that_of_sorted_columns(cohort in cohorts(1..12)) {
            let got = cohort.aggregate(&Median {});
            for (i, got) in got.iter().enumerate() {
                let column = sorted(&cohort, i);
                let n = column.len();
                let exact = (column[(n - 1) / 2] + column[n / 2]) / 2.0;
                prop_assert!(near(*got, exact));
            }
        }

        #[test]
        fn the_trimmed_mean_is_that_of_sorted_columns(cohort in cohorts(1..12), trim in 0.0f64..0.499) {
            let got = cohort.aggregate(&TrimmedMean { trim });
            for (i, got) in got.iter().enumerate() {
                let column = sorted(&cohort, i);
                let cut = (trim * column.len() as f64).floor() as usize;
                let kept = &column[cut..column.len() - cut];
                prop_assert!(near(*got, kept.iter().sum::<f64>() / kept.len() as f64));
            }
        }

        #[test]
        fn nothing_is_trimmed_of_a_share_of_0_and_the_mean_is_left(cohort in cohorts(1..12)) {
            let got = cohort.aggregate(&TrimmedMean { trim: 0.0 });
            prop_assert!(apart(&got, &cohort.mean()) < 1e-4);
        }
    }

    #[test]
    fn columns_are_right_beyond_one_tile() {
        let updates: Vec<Vec<f32>> = (0..5)
            .map(|i| (0..200).map(|j| (i * j) as f32).collect())
            .collect();
        let got = Fixed::of(updates).aggregate(&Median {});
        let exact: Vec<f32> = (0..200).map(|j| 2.0 * j as f32).collect();
        assert_eq!(got, exact);
    }

    #[test]
    fn the_median_stands_below_half_of_the_reports_and_falls_at_it() {
        let honest = Fixed::around(&[1.0, -2.0], 0.1, 11);
        let attacked = |f| honest.clone().with(f, |_| vec![1e6, 1e6]);
        assert!(apart(&attacked(5).aggregate(&Median {}), &[1.0, -2.0]) < 0.2);
        assert!(norm(&attacked(6).aggregate(&Median {})) > 1e5);
    }

    #[test]
    fn the_trimmed_mean_stands_up_to_its_share_and_falls_beyond() {
        let honest = Fixed::around(&[1.0, -2.0], 0.1, 10);
        let defence = TrimmedMean { trim: 0.3 };
        let attacked = |f| honest.clone().with(f, |_| vec![1e6, 1e6]);
        assert!(apart(&attacked(3).aggregate(&defence), &[1.0, -2.0]) < 0.2);
        assert!(norm(&attacked(4).aggregate(&defence)) > 1e4);
    }
}
