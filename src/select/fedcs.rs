//! FedCS: as many clients as the deadline of the round allows.

use super::draw::{draws, sample};
use super::{Ask, Expected, Policy, Selection};
use crate::quantity::Span;
use serde::{Deserialize, Serialize};

/// FedCS (Nishio and Yonetani, ICC 2019, algorithm 3). Candidates are drawn uniformly. Then clients
/// are added one after the other, always the candidate that prolongs the round least, as long as
/// the round is expected to end before its deadline.
///
/// As in the paper, all downloads happen at once at the pace of the slowest client, clients compute
/// at the same time, and uploads follow one after the other. With `parallel: true`, uploads happen
/// at the same time, as on links that clients do not share, and only the slowest client counts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedCs {
    /// The number of candidates for each client wanted, at least 1.
    pub candidates: f64,
    /// Whether uploads happen at the same time.
    pub parallel: bool,
}

impl Default for FedCs {
    fn default() -> Self {
        Self {
            candidates: 3.0,
            parallel: true,
        }
    }
}

impl Selection for FedCs {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(*self)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        if (1.0..=1e6).contains(&self.candidates) {
            return Vec::new();
        }
        let found = self.candidates;
        vec![("candidates", format!("{found} is outside [1, 1000000]"))]
    }

    fn needs_deadline(&self) -> bool {
        true
    }
}

/// The expected course of a round with the clients added so far.
#[derive(Clone, Copy, Default)]
struct Planned {
    download: Span,
    /// The time from the end of the downloads to the end of the last upload.
    rest: Span,
}

impl Planned {
    /// The expected course with one more client.
    fn with(self, client: Expected, parallel: bool) -> Self {
        let rest = if parallel {
            self.rest.max(client.compute + client.upload)
        } else {
            // The client computes while the others upload.
            self.rest.max(client.compute) + client.upload
        };
        Self {
            download: self.download.max(client.download),
            rest,
        }
    }

    fn total(self) -> Span {
        self.download + self.rest
    }
}

impl Policy for FedCs {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        let population = ask.population;
        let many = libm::ceil(f64::from(ask.wanted) * self.candidates) as u32;
        let there = |client, draw| population.is_there(client, draw);
        let drawn = sample(&mut draws(ask), 0..population.size(), many, there);
        let mut left: Vec<(u32, Expected)> = drawn
            .into_iter()
            .map(|client| (client, population.expected(client)))
            .collect();
        let deadline = population.deadline().unwrap_or(Span::from_nanos(u64::MAX));
        let mut planned = Planned::default();
        let mut chosen = Vec::new();
        while (chosen.len() as u32) < ask.wanted {
            let next = left
                .iter()
                .enumerate()
                .min_by_key(|(_, (client, expected))| {
                    let with = planned.with(*expected, self.parallel);
                    (with.total(), expected.total(), *client)
                });
            let Some((place, _)) = next else {
                break;
            };
            let (client, expected) = left.swap_remove(place);
            let with = planned.with(expected, self.parallel);
            if with.total() < deadline {
                planned = with;
                chosen.push(client);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;

    #[test]
    fn those_are_taken_who_end_before_the_deadline() {
        let mut population = SmallPopulation::of(6);
        population.seconds = vec![9.0, 2.0, 12.0, 4.0, 30.0, 6.0];
        population.deadline = Some(Span::from_secs(10));
        let mut policy = FedCs::default().policy();
        assert_eq!(population.ask(policy.as_mut(), 1, 6), [1, 3, 5, 0]);
        assert_eq!(population.ask(policy.as_mut(), 1, 2).len(), 2);
    }

    /// Half of each client's time is computing, half uploading. One after the other they end at
    /// 1 + 1, then 2 + 2, then 4 + 3 seconds; a fourth would end at 7 + 4.5.
    #[test]
    fn uploads_may_come_one_after_the_other() {
        let mut population = SmallPopulation::of(6);
        population.seconds = vec![9.0, 2.0, 12.0, 4.0, 30.0, 6.0];
        population.deadline = Some(Span::from_secs(10));
        let mut policy = FedCs {
            parallel: false,
            ..FedCs::default()
        }
        .policy();
        assert_eq!(population.ask(policy.as_mut(), 1, 6), [1, 3, 5]);
        population.deadline = Some(Span::from_secs(12));
        assert_eq!(population.ask(policy.as_mut(), 1, 6), [1, 3, 5, 0]);
    }
}
