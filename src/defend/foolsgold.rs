//! FoolsGold: clients whose updates have always pointed in one common direction get little weight
//! (Fung, Yoon and Beschastnikh, "The Limitations of Federated Learning in Sybil Settings", RAID
//! 2020, algorithm 1).

use super::cohort::narrow;
use super::distances::products;
use super::{Access, Cohort, Defence, Keeping, Memory};
use serde::{Deserialize, Serialize};

/// The aggregate is `Σ α_k Δ_k / Σ α_k`; it is zero if all α are 0. The weight α_k falls with the
/// largest cosine between the sum of all updates of client k so far and the sum of another
/// client's.
///
/// The updates of the cohort are kept, and a vector for every client that has ever reported;
/// samples are no weights. The rule withstands any number of sybils, but not a single adversary
/// without sybils.
///
/// It differs from the paper in two points. It takes the mean where the paper takes the sum, since
/// the paper's clients send gradients. It computes the cosines from all values, where the paper may
/// choose the values that matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FoolsGold {
    /// The confidence κ: how steeply the logit function separates small weights from large ones.
    pub confidence: f64,
}

impl Default for FoolsGold {
    fn default() -> Self {
        Self { confidence: 1.0 }
    }
}

impl FoolsGold {
    /// The weight α of each update of the cohort.
    fn weights(&self, cohort: &Cohort<'_>, memory: &Memory) -> Vec<f64> {
        // The sum of the updates of each client so far, including this round's.
        let histories: Vec<Vec<f32>> = cohort
            .clients
            .iter()
            .zip(cohort.updates)
            .map(|(client, update)| match memory.get(*client) {
                Some(kept) => kept.iter().zip(*update).map(|(k, u)| k + u).collect(),
                None => update.to_vec(),
            })
            .collect();
        let rows: Vec<&[f32]> = histories.iter().map(Vec::as_slice).collect();
        let pairs = products(&rows);
        let n = rows.len();
        let cosine = |i: usize, j: usize| {
            let scale = (pairs.at(i, i) * pairs.at(j, j)).sqrt();
            if scale > 0.0 {
                pairs.at(i, j) / scale
            } else {
                0.0
            }
        };
        let others = |i: usize| (0..n).filter(move |&j| j != i);
        let most: Vec<f64> = (0..n)
            .map(|i| others(i).map(|j| cosine(i, j)).fold(0.0, f64::max))
            .collect();
        let weight = |i: usize| {
            // The paper calls this pardoning: a client keeps its weight if the client that it
            // resembles is even more like others.
            let pardoned = others(i).map(|j| {
                let pardon = if most[j] > most[i] && most[j] > 0.0 {
                    most[i] / most[j]
                } else {
                    1.0
                };
                cosine(i, j) * pardon
            });
            (1.0 - pardoned.fold(0.0, f64::max)).clamp(0.0, 1.0)
        };
        let mut weights: Vec<f64> = (0..n).map(weight).collect();
        let largest = weights.iter().copied().fold(0.0, f64::max);
        for weight in &mut weights {
            // A difference 1 − 1 that rounding has left above 0 must not become a weight.
            *weight = match largest > 1e-9 {
                true => self.logit(*weight / largest),
                false => 0.0,
            };
        }
        weights
    }

    /// The paper's logit κ (ln(α / (1 − α)) + 1/2), cut to [0, 1].
    fn logit(&self, weight: f64) -> f64 {
        let weight = weight.min(0.99);
        if weight <= 0.0 {
            return 0.0;
        }
        let logit = self.confidence * (libm::log(weight / (1.0 - weight)) + 0.5);
        logit.clamp(0.0, 1.0)
    }
}

impl Defence for FoolsGold {
    fn check(&self) -> Vec<(&'static str, String)> {
        let problem = super::positive("confidence", self.confidence);
        problem.into_iter().collect()
    }

    fn keeps_clients(&self) -> bool {
        true
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        let sums = n.saturating_mul(d).saturating_mul(4);
        super::distances::flops(n, d).saturating_add(sums)
    }
}

impl Keeping for FoolsGold {
    fn aggregate(&self, cohort: &Cohort<'_>, memory: &Memory) -> Vec<f32> {
        narrow(&cohort.mean(&self.weights(cohort, memory)))
    }

    fn settle(&self, cohort: &Cohort<'_>, _: &[f32], memory: &mut Memory) {
        for (client, update) in cohort.clients.iter().zip(cohort.updates) {
            memory.accumulate(*client, update);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settle;
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    /// Algorithm 1, line by line, in double precision.
    fn reference(histories: &[Vec<f64>]) -> Option<Vec<f64>> {
        let n = histories.len();
        let mut cs = vec![vec![0.0; n]; n];
        let mut v = vec![0.0f64; n];
        for i in 0..n {
            for j in 0..n {
                if i != j {
                    let product: f64 = histories[i]
                        .iter()
                        .zip(&histories[j])
                        .map(|(a, b)| a * b)
                        .sum();
                    let length = |k: usize| histories[k].iter().map(|x| x * x).sum::<f64>().sqrt();
                    cs[i][j] = product / (length(i) * length(j));
                    v[i] = v[i].max(cs[i][j]);
                }
            }
        }
        let mut alpha = vec![0.0f64; n];
        for i in 0..n {
            let mut most = 0.0f64;
            for j in 0..n {
                if i != j {
                    if v[j] > v[i] {
                        cs[i][j] *= v[i] / v[j];
                    }
                    most = most.max(cs[i][j]);
                }
            }
            alpha[i] = 1.0 - most;
        }
        let top = alpha.iter().copied().fold(0.0, f64::max);
        // Where all are alike, the weights hang on rounding.
        let weight = |a: &f64| {
            let a = (a / top).min(0.99);
            ((a / (1.0 - a)).ln() + 0.5).clamp(0.0, 1.0)
        };
        (top > 1e-4).then(|| alpha.iter().map(weight).collect())
    }

    proptest! {
        #[test]
        fn weights_over_two_rounds_are_those_of_algorithm_1(cohort in cohorts(2..8), turn in 1usize..5) {
            let defence = FoolsGold::default();
            let mut second = cohort.clone();
            second.updates.rotate_left(turn % cohort.updates.len());
            let mut memory = Memory::default();
            let mut histories = vec![vec![0.0; cohort.updates[0].len()]; cohort.updates.len()];
            for round in [&cohort, &second] {
                let got = round.look(|c| defence.weights(c, &memory));
                round.look(|c| settle(&defence, c, &[], &mut memory));
                for (history, update) in histories.iter_mut().zip(round.wide()) {
                    history.iter_mut().zip(update).for_each(|(h, u)| *h += u);
                }
                prop_assume!(histories.iter().all(|h| h.iter().any(|x| x.abs() > 1e-2)));
                let exact = reference(&histories);
                prop_assume!(exact.is_some());
                for (got, exact) in got.iter().zip(exact.unwrap_or_default()) {
                    prop_assert!((got - exact).abs() < 1e-3, "{} against {}", got, exact);
                }
            }
        }
    }

    /// Honest clients whose data differ, and sybils that all push one way.
    fn setting(honest: usize, sybils: usize) -> Fixed {
        let update = |i: usize| {
            (0..40)
                .map(|j| if j % honest == i { 1.0 } else { 0.02 })
                .collect()
        };
        let mut updates: Vec<Vec<f32>> = (0..honest).map(update).collect();
        updates.extend((0..sybils).map(|s| vec![-1.0 - 1e-4 * s as f32; 40]));
        Fixed::of(updates)
    }

    #[test]
    fn sybils_count_for_nothing_however_many_they_are() {
        for sybils in [2, 5, 20] {
            let weights =
                setting(5, sybils).look(|c| FoolsGold::default().weights(c, &Memory::default()));
            assert!(weights[..5].iter().all(|w| *w > 0.9), "{weights:?}");
            assert!(weights[5..].iter().all(|w| *w < 1e-6), "{weights:?}");
        }
    }

    #[test]
    fn one_adversary_alone_is_not_seen() {
        let weights = setting(5, 1).look(|c| FoolsGold::default().weights(c, &Memory::default()));
        assert!(weights[5] > 0.9, "{weights:?}");
    }
}
