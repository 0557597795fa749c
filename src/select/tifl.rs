//! TiFL: tiers of equally fast clients take turns.

use super::draw::{draws, is_there, weighted};
use super::{Ask, Measured, Policy, Selection};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The largest number of tiers: the policy keeps as much for a tier as for a client.
const MOST_TIERS: u32 = 10_000;

/// TiFL (Chai et al., HPDC 2020) with static probabilities. Clients are sorted by the time that a
/// round is expected to take them and are cut into tiers of equal size, the fastest first. In each
/// round one tier is drawn, and then clients uniformly within it, so that no client has to wait for
/// a much slower one. With `credits`, a tier is used in at most so many rounds; when all tiers have
/// used theirs, all get new ones.
///
/// With `adaptive`, the probabilities change (the paper's algorithm 2). Whenever the model is
/// measured and is no better on the samples of the tier that was asked last than the time before,
/// the probability of each tier becomes proportional to its error 1 − A_t. The paper leaves the
/// function open; public implementations (bacox/fltk) go by the order of the accuracies alone: the
/// i-th worst of n tiers has the probability `(n − i + 1) / (n (n + 1) / 2)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TiFL {
    /// The number of tiers.
    pub tiers: u32,
    /// The relative probability of each tier, the fastest first; equal probabilities if empty.
    pub weights: Vec<f64>,
    /// The number of rounds in which a tier may be used before all tiers get new credits.
    pub credits: Option<u32>,
    /// Whether the probabilities follow the accuracies of the tiers.
    pub adaptive: bool,
}

impl Default for TiFL {
    fn default() -> Self {
        Self {
            tiers: 5,
            weights: Vec::new(),
            credits: None,
            adaptive: false,
        }
    }
}

impl Selection for TiFL {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Tiers {
            settings: self.clone(),
            order: Vec::new(),
            spent: Vec::new(),
            weights: self.weights.clone(),
            before: Vec::new(),
            last: 0,
        })
    }

    fn needs_accuracies(&self) -> bool {
        self.adaptive
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.tiers == 0 {
            problems.push(("tiers", "expected 1 or more, found 0".to_string()));
        } else if self.tiers > MOST_TIERS {
            let message = format!("{} is outside [1, {MOST_TIERS}]", self.tiers);
            problems.push(("tiers", message));
        }
        let all = self.weights.len();
        if all > 0 && all != self.tiers as usize {
            let message = format!(
                "expected a weight for each of {} tiers, found {all}",
                self.tiers
            );
            problems.push(("weights, tiers", message));
        }
        let right = |weight: &f64| weight.is_finite() && *weight >= 0.0;
        if all > 0 && !(self.weights.iter().all(right) && self.weights.iter().any(|w| *w > 0.0)) {
            let message = "expected numbers of 0 or more, and one above 0".to_string();
            problems.push(("weights", message));
        }
        if self.credits == Some(0) {
            problems.push(("credits", "expected 1 or more, found 0".to_string()));
        }
        problems
    }
}

struct Tiers {
    settings: TiFL,
    /// All clients, the fastest first; the order follows from the population.
    order: Vec<u32>,
    /// The number of rounds that each tier has been used in since credits were given.
    spent: Vec<u32>,
    /// The relative probability of each tier now; equal probabilities if empty.
    weights: Vec<f64>,
    /// The accuracy of the model on each tier when it was last measured.
    before: Vec<f64>,
    /// The tier that was asked last.
    last: u32,
}

impl Tiers {
    /// The members of a tier.
    fn tier(&self, number: usize) -> &[u32] {
        let (all, tiers) = (self.order.len(), self.settings.tiers.max(1) as usize);
        &self.order[all * number / tiers..all * (number + 1) / tiers]
    }
}

impl Policy for Tiers {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let tiers = self.settings.tiers.max(1) as usize;
        if self.order.is_empty() {
            self.order = (0..ask.population.size()).collect();
            let population = ask.population;
            self.order
                .sort_by_cached_key(|&client| (population.expected(client).total(), client));
        }
        self.spent.resize(tiers, 0);
        let mut rng = draws(ask);
        let mut weights: Vec<(u32, f64)> = (0u32..)
            .take(tiers)
            .map(|tier| {
                let weight = self.weights.get(tier as usize);
                (tier, weight.copied().unwrap_or(1.0))
            })
            .collect();
        if let Some(credits) = self.settings.credits {
            let left = |tier: &u32| self.spent[*tier as usize] < credits;
            if !weights
                .iter()
                .any(|(tier, weight)| left(tier) && *weight > 0.0)
            {
                self.spent.fill(0);
            }
            weights.retain(|(tier, _)| self.spent[*tier as usize] < credits);
        }
        // If no client of a tier is present, the next tier in the drawn order is taken.
        for tier in weighted(&mut rng, &weights, tiers as u32) {
            let there = self.tier(tier as usize).iter().copied();
            let there: Vec<(u32, f64)> = there
                .filter(|client| is_there(ask, *client))
                .map(|client| (client, 1.0))
                .collect();
            if !there.is_empty() {
                self.spent[tier as usize] += 1;
                self.last = tier;
                return weighted(&mut rng, &there, ask.wanted);
            }
        }
        Vec::new()
    }

    fn measured(&mut self, clients: &[Measured]) {
        if !self.settings.adaptive || self.order.is_empty() {
            return;
        }
        let tiers = self.settings.tiers.max(1) as usize;
        let by_client: BTreeMap<u32, &Measured> = clients.iter().map(|m| (m.client, m)).collect();
        let accuracies = (0..tiers).map(|tier| {
            let own = self
                .tier(tier)
                .iter()
                .filter_map(|client| by_client.get(client));
            let (correct, count) = own.fold((0, 0), |(correct, count), measured| {
                (correct + measured.correct, count + measured.count)
            });
            // A tier without any measured sample counts as wholly wrong, so that it is asked.
            match count {
                0 => 0.0,
                count => correct as f64 / count as f64,
            }
        });
        let now: Vec<f64> = accuracies.collect();
        let last = self.last as usize;
        let before = self.before.get(last).copied().unwrap_or(f64::INFINITY);
        if now.get(last).is_some_and(|now| *now <= before) {
            // Every tier keeps some probability, however accurate the model is on it.
            self.weights = now
                .iter()
                .map(|accuracy| (1.0 - accuracy).max(1e-3))
                .collect();
        }
        self.before = now;
    }

    fn save(&self, to: &mut Writer) {
        self.spent.save(to);
        self.weights.save(to);
        self.before.save(to);
        self.last.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.spent = Snapshot::load(from)?;
        self.weights = Snapshot::load(from)?;
        self.before = Snapshot::load(from)?;
        self.last = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;

    fn population() -> SmallPopulation {
        let mut population = SmallPopulation::of(20);
        // The slowest come first in the population.
        population.seconds = (0..20).map(|client| f64::from(40 - client)).collect();
        population
    }

    #[test]
    fn a_round_is_held_with_one_tier_alone() {
        let population = population();
        let mut policy = TiFL {
            weights: vec![0.7, 0.1, 0.1, 0.05, 0.05],
            ..TiFL::default()
        }
        .policy();
        let mut rounds = [0u32; 5];
        for round in 1..=4_000 {
            let chosen = population.ask(policy.as_mut(), round, 3);
            let tiers: Vec<u32> = chosen.iter().map(|client| 4 - client / 4).collect();
            assert!(chosen.len() == 3 && tiers.iter().all(|tier| *tier == tiers[0]));
            rounds[tiers[0] as usize] += 1;
        }
        for (count, expected) in rounds.iter().zip([2_800u32, 400, 400, 200, 200]) {
            assert!(count.abs_diff(expected) < 5 * 30, "{rounds:?}");
        }
    }

    #[test]
    fn credits_are_spent_and_given_again() {
        let mut population = population();
        let mut policy = TiFL {
            tiers: 2,
            weights: vec![1.0, 1e-9],
            credits: Some(2),
            adaptive: false,
        }
        .policy();
        let fast = |chosen: &[u32]| chosen.iter().all(|client| *client >= 10);
        let turns: Vec<bool> = (1..=8)
            .map(|round| fast(&population.ask(policy.as_mut(), round, 4)))
            .collect();
        assert_eq!(turns, [true, true, false, false, true, true, false, false]);
        // Whose tier is away does not hold up the others.
        population.away = (10..20).collect();
        assert_eq!(population.ask(policy.as_mut(), 9, 4).len(), 4);
    }

    /// Twenty clients in two tiers; the model is right on nine tenths of the fast ones' samples and on
    /// four tenths of the slow ones'.
    #[test]
    fn tiers_on_which_the_model_is_wrong_are_asked_more_often_if_it_does_not_get_better() {
        let population = population();
        let mut policy = TiFL {
            tiers: 2,
            adaptive: true,
            ..TiFL::default()
        }
        .policy();
        let measured = |right: u64| -> Vec<Measured> {
            let all = 0..20u32;
            all.map(|client| Measured {
                client,
                correct: if client >= 10 { right } else { 4 },
                count: 10,
            })
            .collect()
        };
        let fast = |policy: &mut dyn Policy, rounds: std::ops::Range<u32>| {
            let chosen = rounds.map(|round| population.ask(policy, round, 2));
            chosen.filter(|chosen| chosen[0] >= 10).count() as u32
        };
        fast(policy.as_mut(), 1..2);
        // Measured for the first time it is no better than before.
        policy.measured(&measured(9));
        // 0.1 against 0.6: a seventh of 4,000, deviation 22.
        let turns = fast(policy.as_mut(), 2..4_002);
        assert!(turns.abs_diff(571) < 110, "{turns}");
        // Better on both: nothing changes. Then worse on both.
        let better: Vec<Measured> = measured(10)
            .into_iter()
            .map(|one| Measured {
                correct: one.correct.max(8),
                ..one
            })
            .collect();
        policy.measured(&better);
        let turns = fast(policy.as_mut(), 4_002..8_002);
        assert!(turns.abs_diff(571) < 110, "{turns}");
        let worse: Vec<Measured> = measured(7)
            .into_iter()
            .map(|one| Measured { correct: 7, ..one })
            .collect();
        policy.measured(&worse);
        let turns = fast(policy.as_mut(), 8_002..12_002);
        assert!(turns.abs_diff(2_000) < 160, "{turns}");
        let bytes = crate::snapshot::testing::bytes_of(|to| policy.save(to));
        let mut again = TiFL {
            tiers: 2,
            adaptive: true,
            ..TiFL::default()
        }
        .policy();
        again
            .restore(&mut crate::snapshot::testing::reader(&bytes))
            .unwrap();
        let choices = |policy: &mut dyn Policy| {
            (20_000..20_050)
                .map(|round| population.ask(policy, round, 2))
                .collect::<Vec<_>>()
        };
        assert_eq!(choices(policy.as_mut()), choices(again.as_mut()));
    }

    #[test]
    fn what_cannot_be_is_told() {
        let fields = |tifl: TiFL| -> Vec<&str> {
            tifl.check().into_iter().map(|(field, _)| field).collect()
        };
        assert!(fields(TiFL::default()).is_empty());
        let wrong = TiFL {
            tiers: 0,
            weights: vec![-1.0],
            credits: Some(0),
            adaptive: false,
        };
        assert_eq!(
            fields(wrong),
            ["tiers", "weights, tiers", "weights", "credits"]
        );
    }
}
