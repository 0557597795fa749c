//! What a federation is made of: everything resolved, nothing left to look up.

use super::compute::Compute;
use super::gossip::Gossip;
use super::layers::Layers;
use super::sizing::SizeRule;
use super::waiting::Waiting;
use crate::attack::Adversaries;
use crate::availability::{Availability, Crowd, Holdings, Leaving, Presence};
use crate::data::{Partition, PublicSplit};
use crate::defend::DefenceSpec;
use crate::learn::{DeviceData, LocalTraining, VirtualDevice};
use crate::method::MethodSpec;
use crate::model::{Initializer, Level, Model};
use crate::quantity::{Distribution, Probability, Span, Speed};
use crate::select::SelectionSpec;
use crate::sim::mix_words;
use crate::sim::rng::{stream, Purpose};
use serde::Serialize;
use std::sync::Arc;

/// A federation, ready to be simulated.
#[derive(Debug)]
pub struct Plan {
    /// Names every stream.
    pub seed: u64,
    /// The architecture.
    pub model: Arc<Model>,
    /// How its weights begin.
    pub init: Initializer,
    /// The widths that clients have, widest first: `model` itself, then its sub-models.
    pub levels: Vec<Level>,
    /// Training samples that belong to no client.
    pub public: PublicSplit,
    /// The training data of all clients, on the host device.
    pub train: Arc<DeviceData>,
    /// The central test data, on the host device; nothing but evaluation reads it.
    pub test: Arc<DeviceData>,
    /// Which samples each client trains on.
    pub partition: Partition,
    /// Which samples each client keeps for its own evaluation.
    pub holdout: Partition,
    /// The population, group after group.
    pub groups: Vec<Group>,
    /// The server's speed and memory.
    pub server: VirtualDevice,
    /// After every so many rounds the server writes a checkpoint, from which it goes on after a crash.
    pub server_checkpoint: u32,
    /// The method.
    pub method: MethodSpec,
    /// Who is asked.
    pub selection: SelectionSpec,
    /// How the server aggregates what may be adversaries'.
    pub defence: Option<DefenceSpec>,
    /// Who attacks, with what they train on.
    pub adversaries: Arc<Adversaries>,
    /// Test samples as adversaries want them to be seen, on the host device.
    pub triggered: Option<Arc<DeviceData>>,
    /// The layers that it wears.
    pub layers: Layers,
    /// When rounds are held.
    pub schedule: Schedule,
    /// How clients talk to each other, where there is no server.
    pub gossip: Option<Gossip>,
    /// What is measured.
    pub evaluation: Evaluation,
    /// Which clients really train.
    pub compute: Compute,
    /// After every so many rounds the server asks for a checkpoint.
    pub checkpoint_every: Option<u32>,
}

/// Clients of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// How many.
    pub count: u32,
    /// What their device is like; its speed is the mean of `speed`.
    pub device: VirtualDevice,
    /// A client's speed in FLOP/s, drawn once a client.
    pub speed: Distribution,
    /// A client's participation ratio, drawn once a client.
    pub participation: Distribution,
    /// When its clients are there.
    #[serde(skip_serializing_if = "Availability::is_always")]
    pub availability: Availability,
    /// What becomes of a client's work when it goes away.
    #[serde(skip_serializing_if = "Leaving::is_continue")]
    pub leaving: Leaving,
    /// How they train.
    pub training: LocalTraining,
    /// What width of the model they train.
    pub size: SizeRule,
}

/// The size of a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Cohort {
    /// So many clients.
    Count(u32),
    /// This share of the population, at least one client.
    Ratio(Probability),
}

impl Cohort {
    /// How many clients of a population that is.
    pub fn of(self, population: u32) -> u32 {
        match self {
            Self::Count(count) => count.min(population),
            Self::Ratio(ratio) => {
                let share = libm::round(ratio.get() * f64::from(population)) as u32;
                share.clamp(1, population.max(1))
            }
        }
    }
}

/// When rounds are held and how they end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// At most so many rounds.
    pub rounds: u32,
    /// How many reports a round is to have.
    pub cohort: Cohort,
    /// Clients asked for each report wanted; at least 1.
    pub over_selection: f64,
    /// When a round ends with the reports it has.
    pub deadline: Option<Span>,
    /// With fewer reports than this a round is abandoned.
    pub least_reports: u32,
    /// Stop at this accuracy on the central test data.
    pub stop_at_accuracy: Option<Probability>,
    /// Stop at this virtual time.
    pub stop_at_time: Option<Span>,
    /// How an asynchronous server waits; `None` is a server that holds rounds. A round is a server step
    /// then, `cohort` the reports of one, and `deadline`, `over_selection` and `least_reports` say nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// What is measured, and how often.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Every so many rounds, and after the last.
    pub every: u32,
    /// Accuracy and loss on the central test data.
    pub central: bool,
    /// Accuracy on each client's held-out samples, with the model of its width.
    pub per_client: bool,
    /// Accuracy and loss on the central test data at every width that clients have.
    pub by_size: bool,
}

/// What is particular to one client; drawn from its streams whenever asked, never stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedClient {
    /// The index of its group.
    pub group: usize,
    /// Its device.
    pub device: VirtualDevice,
    /// Its participation ratio.
    pub participation: Probability,
}

impl Plan {
    /// How many clients there are.
    pub fn population(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// 64 bits of which samples there are and who has which: of all in a plan that its scenario does
    /// not say.
    pub fn fingerprint(&self) -> u64 {
        let lists = [
            self.partition.indices(),
            self.holdout.indices(),
            self.public.train.as_slice(),
            self.public.select.as_slice(),
        ];
        let mut words = vec![self.train.len() as u64, self.test.len() as u64];
        for list in lists {
            words.push(list.len() as u64);
            words.extend(list.iter().map(|&sample| u64::from(sample)));
        }
        for partition in [&self.partition, &self.holdout] {
            words.extend(partition.words());
        }
        mix_words(&words)
    }

    /// Whether models are measured after a round that runs its course.
    pub fn is_measured_after(&self, round: u32) -> bool {
        round.is_multiple_of(self.evaluation.every) || round >= self.schedule.rounds
    }

    /// Who is there when.
    pub fn presence(&self) -> Presence {
        let crowds = self.groups.iter().map(|group| Crowd {
            count: group.count,
            availability: &group.availability,
            leaving: group.leaving,
        });
        let holdings = Holdings {
            partition: &self.partition,
            holdout: &self.holdout,
            labels: self.train.labels(),
            classes: self.train.classes(),
        };
        Presence::new(self.seed, crowds, &holdings)
    }

    /// The index of a client's group; the last one's for a client that does not exist.
    pub fn group_of(&self, client: u32) -> usize {
        let mut first = 0;
        for (index, group) in self.groups.iter().enumerate() {
            first += group.count;
            if client < first {
                return index;
            }
        }
        self.groups.len().saturating_sub(1)
    }

    /// What is particular to a client.
    pub fn client(&self, client: u32) -> PlannedClient {
        let index = self.group_of(client);
        let group = &self.groups[index];
        let node = u64::from(client) + 1;
        let draw = |distribution: &Distribution, which| {
            distribution.sample(&mut stream(self.seed, node, Purpose::Population, which))
        };
        // A draw that is no speed (a normal's far tail, say) is the slowest there can be.
        let speed = Speed::flops_per_second(draw(&group.speed, 0));
        let ratio = draw(&group.participation, 1).clamp(0.0, 1.0);
        PlannedClient {
            group: index,
            device: VirtualDevice {
                speed: speed.unwrap_or(Speed::ONE),
                ..group.device
            },
            participation: Probability::new(ratio).unwrap_or(Probability::ZERO),
        }
    }
}
