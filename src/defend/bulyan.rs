//! Bulyan over Krum: a selection of updates, then a trimmed mean of each coordinate (El Mhamdi,
//! Guerraoui and Rouault, "The Hidden Vulnerability of Distributed Learning in Byzantium", ICML
//! 2018, section 4).

use super::distances::{distances, flops};
use super::krum::scores;
use super::median::{each_coordinate, median};
use super::{Access, Cohort, Defence, Keeping, Memory};
use serde::{Deserialize, Serialize};

/// Krum chooses θ = n − 2f updates, one after the other, each among the updates that are left. Each
/// value of the aggregate is the mean of the β = θ − 2f chosen values that are nearest to their
/// median.
///
/// The updates of the cohort are kept; samples are no weights. The rule needs n ≥ 4f + 3 reports
/// and then withstands f adversaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bulyan {
    /// The number f of adversaries in a cohort that the rule shall withstand.
    pub byzantine: u32,
}

impl Default for Bulyan {
    fn default() -> Self {
        Self { byzantine: 1 }
    }
}

impl Bulyan {
    /// The places in the cohort of θ updates, chosen by Krum again and again among those left.
    fn choose(&self, cohort: &Cohort<'_>) -> Vec<usize> {
        let n = cohort.len();
        let theta = n.saturating_sub(2 * self.byzantine as usize).max(1);
        let pairs = distances(cohort.updates);
        let mut left: Vec<usize> = (0..n).collect();
        let mut chosen = Vec::with_capacity(theta);
        while chosen.len() < theta && !left.is_empty() {
            let scores = scores(&pairs, &left, self.byzantine);
            let places = 0..left.len();
            // `min_by` returns the first of several equal scores.
            match places.min_by(|&a, &b| scores[a].total_cmp(&scores[b])) {
                Some(best) => chosen.push(left.remove(best)),
                None => break,
            }
        }
        chosen
    }
}

impl Defence for Bulyan {
    fn bears(&self, _: u32) -> Option<u32> {
        Some(self.byzantine)
    }

    fn least(&self) -> u32 {
        self.byzantine.saturating_mul(4).saturating_add(3)
    }

    fn least_because(&self) -> &'static str {
        "n ≥ 4f + 3"
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        let repeated = n.saturating_mul(n).saturating_mul(n);
        let columns = n.saturating_mul(d).saturating_mul(5);
        flops(n, d).saturating_add(repeated).saturating_add(columns)
    }
}

impl Keeping for Bulyan {
    fn aggregate(&self, cohort: &Cohort<'_>, _: &Memory) -> Vec<f32> {
        let chosen = self.choose(cohort);
        let updates = chosen.iter().filter_map(|&at| cohort.updates.get(at));
        let updates: Vec<&[f32]> = updates.copied().collect();
        let beta = updates.len().saturating_sub(2 * self.byzantine as usize);
        let beta = beta.max(1).min(updates.len());
        let mut out = vec![0.0; cohort.values()];
        each_coordinate(&updates, |at, column| {
            let middle = median(column);
            column.sort_unstable_by(|a, b| {
                let near = |v: &f32| (v - middle).abs();
                near(a).total_cmp(&near(b)).then(a.total_cmp(b))
            });
            let sum: f64 = column[..beta].iter().map(|value| f64::from(*value)).sum();
            out[at] = (sum / beta as f64) as f32;
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    /// Both phases, from the paper, without matrices.
    fn reference(updates: &[Vec<f64>], f: usize) -> Vec<f64> {
        let n = updates.len();
        let mut left: Vec<&Vec<f64>> = updates.iter().collect();
        let mut chosen: Vec<&Vec<f64>> = Vec::new();
        while chosen.len() < n - 2 * f {
            let score = |x: usize| {
                let mut apart: Vec<f64> = (0..left.len())
                    .filter(|y| *y != x)
                    .map(|y| squared(left[x], left[y]))
                    .collect();
                apart.sort_by(f64::total_cmp);
                let near = left.len().saturating_sub(f + 2).max(1).min(apart.len());
                apart[..near].iter().sum::<f64>()
            };
            let all: Vec<f64> = (0..left.len()).map(score).collect();
            let best = (0..all.len())
                .min_by(|a, b| all[*a].total_cmp(&all[*b]))
                .unwrap();
            chosen.push(left.remove(best));
        }
        let beta = chosen.len() - 2 * f;
        (0..updates[0].len())
            .map(|i| {
                let mut column: Vec<f64> = chosen.iter().map(|u| u[i]).collect();
                column.sort_by(f64::total_cmp);
                let n = column.len();
                let middle = (column[(n - 1) / 2] + column[n / 2]) / 2.0;
                // The nearest β of a sorted column lie side by side.
                let windows = column.windows(beta);
                let best = windows.min_by(|a, b| {
                    let far = |w: &[f64]| (w[0] - middle).abs().max((w[beta - 1] - middle).abs());
                    far(a).total_cmp(&far(b))
                });
                best.unwrap().iter().sum::<f64>() / beta as f64
            })
            .collect()
    }

    proptest! {
        #[test]
        fn it_is_that_of_a_float64_reference(cohort in cohorts(7..13)) {
            let f = (cohort.updates.len() - 3) / 4;
            let got = cohort.aggregate(&Bulyan { byzantine: f as u32 });
            let exact = reference(&cohort.wide(), f);
            for (got, exact) in got.iter().zip(&exact) {
                prop_assert!(near(*got, *exact), "{} against {}", got, exact);
            }
        }
    }

    #[test]
    fn it_stands_with_f_and_falls_with_a_majority() {
        let honest = Fixed::around(&[1.0, -2.0, 0.5], 0.2, 11);
        let defence = Bulyan { byzantine: 2 };
        assert_eq!(defence.least(), 11);
        let attacked = |f| honest.clone().with(f, |_| vec![50.0, 50.0, 50.0]);
        assert!(apart(&attacked(2).aggregate(&defence), &[1.0, -2.0, 0.5]) < 0.4);
        assert!(norm(&attacked(8).aggregate(&defence)) > 40.0);
    }

    /// What Krum alone lets through: near in all values but one.
    #[test]
    fn one_value_far_off_is_not_taken_even_from_a_chosen_update() {
        let centre = vec![0.0; 200];
        let honest = Fixed::around(&centre, 1.0, 11);
        let attacked = honest.with(2, |_| {
            let mut forged = vec![0.0; 200];
            forged[0] = 4.0;
            forged
        });
        let krum = attacked.aggregate(&super::super::krum::Krum { byzantine: 2 });
        assert_eq!(krum[0], 4.0);
        assert!(attacked.aggregate(&Bulyan { byzantine: 2 })[0].abs() < 1.0);
    }
}
