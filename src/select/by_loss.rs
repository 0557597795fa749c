//! Active federated learning: selection in which clients with a larger loss are more likely.

use super::draw::{draws, is_there, weighted};
use super::{Ask, Policy, Selection, UsedReport};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Active federated learning (Goetz et al. 2019, algorithm 1). The value of a client is √n · loss,
/// from its last report on n samples. The share `drop` of the clients with the least values is left
/// out. A share 1 − `uniform` of the places is drawn with probabilities in proportion to
/// exp(`temperature` · value), and the other places uniformly from all clients that are left.
///
/// A client that has never reported has the largest value of any client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ByLoss {
    /// The share of clients with the least values that is left out; the paper's α₁.
    pub drop: f64,
    /// The factor on values in the exponent; the paper's α₂.
    pub temperature: f64,
    /// The share of places that is drawn uniformly; the paper's α₃.
    pub uniform: f64,
}

impl Default for ByLoss {
    fn default() -> Self {
        Self {
            drop: 0.75,
            temperature: 0.01,
            uniform: 0.1,
        }
    }
}

impl Selection for ByLoss {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Active {
            settings: *self,
            values: BTreeMap::new(),
        })
    }

    fn needs_losses(&self) -> bool {
        true
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (field, found) in [("drop", self.drop), ("uniform", self.uniform)] {
            if !(0.0..=1.0).contains(&found) {
                problems.push((field, format!("{found} is outside [0, 1]")));
            }
        }
        if !(self.temperature >= 0.0 && self.temperature <= 1e6) {
            let found = self.temperature;
            let message = format!("expected 0 or more (and at most 1e6), found {found}");
            problems.push(("temperature", message));
        }
        problems
    }
}

struct Active {
    settings: ByLoss,
    values: BTreeMap<u32, f64>,
}

impl Policy for Active {
    /// The choice looks at every client of the population.
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let mut rng = draws(ask);
        let highest = self.values.values().copied().fold(0.0, f64::max);
        let there = (0..ask.population.size()).filter(|client| is_there(ask, *client));
        let mut valued: Vec<(u32, f64)> = there
            .map(|client| (client, self.values.get(&client).copied().unwrap_or(highest)))
            .collect();
        valued.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let kept = libm::ceil(valued.len() as f64 * (1.0 - self.settings.drop)) as usize;
        let weights: Vec<(u32, f64)> = valued
            .iter()
            .take(kept)
            // The largest exponent is subtracted from all, which changes no ratio and avoids an
            // overflow.
            .map(|&(client, value)| {
                let below = self.settings.temperature * (value - highest);
                (client, libm::exp(below).max(f64::MIN_POSITIVE))
            })
            .collect();
        let active = libm::round(f64::from(ask.wanted) * (1.0 - self.settings.uniform)) as u32;
        let mut chosen = weighted(&mut rng, &weights, active);
        let taken: BTreeSet<u32> = chosen.iter().copied().collect();
        let rest: Vec<(u32, f64)> = valued
            .iter()
            .filter(|(client, _)| !taken.contains(client))
            .map(|&(client, _)| (client, 1.0))
            .collect();
        let left = ask.wanted - chosen.len() as u32;
        chosen.extend(weighted(&mut rng, &rest, left));
        chosen
    }

    fn reported(&mut self, report: &UsedReport) {
        if let Some(loss) = report.loss.filter(|loss| loss.is_finite()) {
            let value = libm::sqrt(f64::from(report.samples)) * loss;
            self.values.insert(report.client, value);
        }
    }

    fn save(&self, to: &mut Writer) {
        self.values.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.values = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;

    #[test]
    fn large_losses_are_likelier_and_the_least_have_uniform_places_only() {
        let population = SmallPopulation::of(8);
        let settings = ByLoss {
            drop: 0.5,
            temperature: 1.0,
            uniform: 0.0,
        };
        let mut policy = settings.policy();
        // √10 · loss: 1 for the last, 0.5 for the four before it, nothing for the others.
        let loss = |client: u32| {
            let value = match client {
                7 => 1.0,
                4..=6 => 0.5,
                _ => 0.0,
            };
            value / 10f64.sqrt()
        };
        population.round(policy.as_mut(), 1, 8, loss);
        let n = 8_000;
        let mut counts = [0u32; 8];
        for round in 2..2 + n {
            counts[population.ask(policy.as_mut(), round, 1)[0] as usize] += 1;
        }
        assert_eq!(counts[..4], [0; 4]);
        let total = 1.0 + 3.0 * (-0.5f64).exp();
        let expected = f64::from(n) / total;
        assert!(
            (f64::from(counts[7]) - expected).abs() < 5.0 * 45.0,
            "{counts:?}"
        );
        let soft = ByLoss {
            uniform: 1.0,
            ..settings
        };
        let mut policy = soft.policy();
        let counts = population.counts(policy.as_mut(), 4_000, 2, loss);
        assert!(
            counts.iter().all(|count| count.abs_diff(1_000) < 140),
            "{counts:?}"
        );
    }
}
