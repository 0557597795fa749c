//! Krum and Multi-Krum (Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant
//! Gradient Descent", NeurIPS 2017).

use super::distances::{distances, flops, Pairs};
use super::{at_least_1, Access, Cohort, Defence, Keeping, Memory};
use serde::{Deserialize, Serialize};

/// The aggregate is the update with the least score, where the score of an update is the sum of its
/// squared distances to its n − f − 2 nearest neighbours.
///
/// The updates of the cohort are kept; samples are no weights. The rule needs n ≥ 2f + 3 reports
/// and then withstands f adversaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Krum {
    /// The number f of adversaries in a cohort that the rule shall withstand.
    pub byzantine: u32,
}

/// The aggregate is the mean of the `keep` updates with the least scores; scores and requirements
/// are those of [`Krum`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MultiKrum {
    /// The number f of adversaries in a cohort that the rule shall withstand.
    pub byzantine: u32,
    /// The number of updates that are averaged.
    pub keep: u32,
}

impl Default for Krum {
    fn default() -> Self {
        Self { byzantine: 1 }
    }
}

impl Default for MultiKrum {
    fn default() -> Self {
        Self {
            byzantine: 1,
            keep: 3,
        }
    }
}

/// The score of every update within the set `among` of m updates: the sum of its m − f − 2 least
/// squared distances to the others (of at least one, if there is another).
pub(super) fn scores(pairs: &Pairs, among: &[usize], byzantine: u32) -> Vec<f64> {
    let others = among.len().saturating_sub(1);
    let nearest = among.len().saturating_sub(byzantine as usize + 2);
    let nearest = nearest.max(1).min(others);
    let mut row = Vec::with_capacity(others);
    let score = |&i: &usize| {
        row.clear();
        let each = among.iter().filter(|&&j| j != i);
        row.extend(each.map(|&j| pairs.at(i, j)));
        row.sort_unstable_by(f64::total_cmp);
        row.iter().take(nearest).sum()
    };
    among.iter().map(score).collect()
}

/// The places of all updates in ascending order of their scores; of equal scores, the first place
/// comes first.
fn by_score(cohort: &Cohort<'_>, byzantine: u32) -> Vec<usize> {
    let mut places: Vec<usize> = (0..cohort.len()).collect();
    let scores = scores(&distances(cohort.updates), &places, byzantine);
    places.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    places
}

const RULE: &str = "n ≥ 2f + 3";

const fn least(byzantine: u32) -> u32 {
    byzantine.saturating_mul(2).saturating_add(3)
}

impl Defence for Krum {
    fn bears(&self, _: u32) -> Option<u32> {
        Some(self.byzantine)
    }

    fn least(&self) -> u32 {
        least(self.byzantine)
    }

    fn least_because(&self) -> &'static str {
        RULE
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        flops(n, d)
    }
}

impl Keeping for Krum {
    fn aggregate(&self, cohort: &Cohort<'_>, _: &Memory) -> Vec<f32> {
        let best = by_score(cohort, self.byzantine).first().copied();
        best.and_then(|at| cohort.updates.get(at))
            .map_or_else(Vec::new, |update| update.to_vec())
    }
}

impl Defence for MultiKrum {
    fn bears(&self, _: u32) -> Option<u32> {
        Some(self.byzantine)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        at_least_1("keep", self.keep).into_iter().collect()
    }

    fn least(&self) -> u32 {
        // With fewer reports, an adversary's update would be among those kept.
        least(self.byzantine).max(self.keep.saturating_add(self.byzantine))
    }

    fn least_because(&self) -> &'static str {
        "n ≥ 2f + 3 and n ≥ keep + f"
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        let mean = u64::from(self.keep).saturating_mul(d);
        flops(n, d).saturating_add(mean)
    }
}

impl Keeping for MultiKrum {
    fn aggregate(&self, cohort: &Cohort<'_>, _: &Memory) -> Vec<f32> {
        let mut places = by_score(cohort, self.byzantine);
        places.truncate(self.keep as usize);
        cohort.mean_of(&places)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    /// Scores written from the definition.
    fn reference(updates: &[Vec<f64>], f: usize) -> Vec<f64> {
        let n = updates.len();
        (0..n)
            .map(|i| {
                let mut apart: Vec<f64> = (0..n)
                    .filter(|j| *j != i)
                    .map(|j| squared(&updates[i], &updates[j]))
                    .collect();
                apart.sort_by(f64::total_cmp);
                apart[..n - f - 2].iter().sum()
            })
            .collect()
    }

    proptest! {
        #[test]
        fn krum_is_the_update_of_least_score(cohort in cohorts(5..12)) {
            let f = (cohort.updates.len() - 3) / 2;
            let got = cohort.aggregate(&Krum { byzantine: f as u32 });
            let scores = reference(&cohort.wide(), f);
            let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let at = cohort.updates.iter().position(|u| *u == got).unwrap();
            prop_assert!(scores[at] <= least * (1.0 + 1e-9) + 1e-9);
        }

        #[test]
        fn multi_krum_is_the_mean_of_the_best(cohort in cohorts(5..12), keep in 1usize..4) {
            let got = cohort.aggregate(&MultiKrum { byzantine: 1, keep: keep as u32 });
            let wide = cohort.wide();
            let scores = reference(&wide, 1);
            let mut places: Vec<usize> = (0..wide.len()).collect();
            places.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
            for (i, got) in got.iter().enumerate() {
                let exact = places[..keep].iter().map(|p| wide[*p][i]).sum::<f64>() / keep as f64;
                prop_assert!(near(*got, exact));
            }
        }
    }

    #[test]
    fn krum_stands_with_f_that_collude_and_falls_with_more() {
        let honest = Fixed::around(&[1.0, -2.0, 0.5], 0.2, 11);
        let defence = Krum { byzantine: 4 };
        assert_eq!(defence.least(), 11);
        let attacked = |f| honest.clone().with(f, |_| vec![50.0, 50.0, 50.0]);
        assert!(apart(&attacked(4).aggregate(&defence), &[1.0, -2.0, 0.5]) < 0.6);
        // n − f − 2 = 5 nearest: six that say the same have no distance to each other.
        assert!(norm(&attacked(6).aggregate(&defence)) > 50.0);
    }

    #[test]
    fn multi_krum_takes_in_no_colluder_up_to_f() {
        let honest = Fixed::around(&[1.0, -2.0, 0.5], 0.2, 11);
        let defence = MultiKrum {
            byzantine: 4,
            keep: 5,
        };
        let attacked = |f| honest.clone().with(f, |_| vec![50.0, 50.0, 50.0]);
        assert!(apart(&attacked(4).aggregate(&defence), &[1.0, -2.0, 0.5]) < 0.6);
        assert!(norm(&attacked(6).aggregate(&defence)) > 50.0);
    }

    #[test]
    fn a_cohort_that_is_too_small_gives_something_and_never_a_panic() {
        for n in 1..5 {
            let cohort = Fixed::around(&[1.0, -2.0], 0.2, n);
            assert_eq!(cohort.aggregate(&Krum { byzantine: 9 }).len(), 2);
            assert_eq!(
                cohort
                    .aggregate(&MultiKrum {
                        byzantine: 9,
                        keep: 7
                    })
                    .len(),
                2
            );
        }
    }
}
