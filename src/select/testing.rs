//! A small population for the tests of policies.

use super::{Ask, Expected, Policy, Population, UsedReport};
use crate::quantity::Span;
use std::ops::Range;

/// A population with given properties; clients in `away` are never present.
pub struct SmallPopulation {
    /// The number of samples of each client.
    pub samples: Vec<u32>,
    /// The time that a round takes each client, in seconds.
    pub seconds: Vec<f64>,
    /// The clients of each group.
    pub groups: Vec<Range<u32>>,
    /// The clients that are never present.
    pub away: Vec<u32>,
    /// The deadline of a round.
    pub deadline: Option<Span>,
}

impl SmallPopulation {
    /// `clients` clients with ten samples each, all equally fast.
    pub fn of(clients: u32) -> Self {
        Self {
            samples: vec![10; clients as usize],
            seconds: vec![1.0; clients as usize],
            groups: std::iter::once(0..clients).collect(),
            away: Vec::new(),
            deadline: None,
        }
    }

    /// The choice of `policy` for a round.
    pub fn ask(&self, policy: &mut dyn Policy, round: u32, wanted: u32) -> Vec<u32> {
        let chosen = policy.choose(&Ask {
            seed: 11,
            round,
            wanted,
            population: self,
        });
        let mut once = chosen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), chosen.len(), "somebody is asked twice");
        assert!(chosen.len() <= wanted as usize);
        assert!(once.iter().all(|client| !self.away.contains(client)));
        chosen
    }

    /// As [`SmallPopulation::ask`]; then all chosen clients report with these losses.
    pub fn round(
        &self,
        policy: &mut dyn Policy,
        round: u32,
        wanted: u32,
        loss: impl Fn(u32) -> f64,
    ) -> Vec<u32> {
        let chosen = self.ask(policy, round, wanted);
        for &client in &chosen {
            policy.reported(&UsedReport {
                client,
                round,
                samples: self.samples(client),
                loss: Some(loss(client)),
                took: self.expected(client).total(),
            });
        }
        chosen
    }

    /// How often each client is chosen in so many rounds.
    pub fn counts(
        &self,
        policy: &mut dyn Policy,
        rounds: u32,
        wanted: u32,
        loss: impl Fn(u32) -> f64,
    ) -> Vec<u32> {
        let mut counts = vec![0; self.samples.len()];
        for round in 1..=rounds {
            for client in self.round(policy, round, wanted, &loss) {
                counts[client as usize] += 1;
            }
        }
        counts
    }
}

impl Population for SmallPopulation {
    fn size(&self) -> u32 {
        self.samples.len() as u32
    }

    fn is_there(&self, client: u32, _: u64) -> bool {
        !self.away.contains(&client)
    }

    fn samples(&self, client: u32) -> u32 {
        self.samples[client as usize]
    }

    fn expected(&self, client: u32) -> Expected {
        let all = Span::from_seconds(self.seconds[client as usize]);
        Expected {
            download: Span::ZERO,
            compute: all.scaled(0.5),
            upload: all.scaled(0.5),
        }
    }

    fn groups(&self) -> Vec<Range<u32>> {
        self.groups.clone()
    }

    fn deadline(&self) -> Option<Span> {
        self.deadline
    }
}
