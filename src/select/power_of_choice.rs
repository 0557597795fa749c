//! Power of choice: of some candidates, the clients with the largest loss.

use super::by_data::ByData;
use super::{Ask, Policy, Selection, UsedReport};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Power of choice (Cho, Wang and Joshi, AISTATS 2022), in the form rpow-d, which needs no extra
/// message for losses. Candidates are drawn in proportion to their samples, and those with the
/// largest loss at their last report are chosen. A client that has never reported comes before all
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PowerOfChoice {
    /// The number of candidates for each client wanted (the paper's d over m), at least 1.
    pub candidates: f64,
}

impl Default for PowerOfChoice {
    fn default() -> Self {
        Self { candidates: 3.0 }
    }
}

impl Selection for PowerOfChoice {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(Choosy {
            candidates: self.candidates,
            draw: ByData {}.policy(),
            losses: BTreeMap::new(),
        })
    }

    fn needs_losses(&self) -> bool {
        true
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        if (1.0..=1e6).contains(&self.candidates) {
            return Vec::new();
        }
        let found = self.candidates;
        vec![("candidates", format!("{found} is outside [1, 1000000]"))]
    }
}

struct Choosy {
    candidates: f64,
    draw: Box<dyn Policy>,
    losses: BTreeMap<u32, f64>,
}

impl Policy for Choosy {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let wanted = libm::ceil(f64::from(ask.wanted) * self.candidates) as u32;
        let mut candidates = self.draw.choose(&Ask { wanted, ..*ask });
        let loss = |client: &u32| self.losses.get(client).copied().unwrap_or(f64::INFINITY);
        // The sort is stable: of equal losses, the candidate that was drawn first comes first.
        candidates.sort_by(|a, b| loss(b).total_cmp(&loss(a)));
        candidates.truncate(ask.wanted as usize);
        candidates
    }

    fn reported(&mut self, report: &UsedReport) {
        if let Some(loss) = report.loss.filter(|loss| !loss.is_nan()) {
            self.losses.insert(report.client, loss);
        }
    }

    fn save(&self, to: &mut Writer) {
        self.losses.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.losses = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;

    #[test]
    fn the_largest_losses_among_the_candidates_are_asked() {
        let population = SmallPopulation::of(30);
        // With as many candidates as there are clients nothing is left to chance.
        let mut policy = PowerOfChoice { candidates: 6.0 }.policy();
        let mut seen = Vec::new();
        for round in 1..=6 {
            seen.extend(population.round(policy.as_mut(), round, 5, f64::from));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..30).collect::<Vec<u32>>(), "strangers first");
        let next = population.ask(policy.as_mut(), 7, 5);
        assert_eq!(next, [29, 28, 27, 26, 25]);
        let mut uniform = PowerOfChoice { candidates: 1.0 }.policy();
        let counts = population.counts(uniform.as_mut(), 3_000, 5, f64::from);
        // Binomial: mean 500, deviation 20.
        assert!(
            counts.iter().all(|count| count.abs_diff(500) < 105),
            "{counts:?}"
        );
    }
}
