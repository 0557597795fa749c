//! What a federation is made of: everything resolved, nothing left to look up.

use super::budget::Budget;
use super::compute::Compute;
use super::gossip::Gossip;
use super::hierarchy::{Hierarchy, Tier};
use super::keep::Keep;
use super::layers::Layers;
use super::sizing::SizeRule;
use super::traits::{Capacity, Correlation, DeviceTier, Ranks, Whose};
use super::waiting::Waiting;
use crate::attack::Adversaries;
use crate::availability::{Availability, ClientGroup, Holdings, Leaving, Presence};
use crate::data::{Partition, PublicSplit};
use crate::defend::DefenceSpec;
use crate::learn::{DeviceData, LocalTraining, VirtualDevice};
use crate::method::MethodSpec;
use crate::model::{Initializer, Level, Model, ParamSet};
use crate::quantity::{Distribution, Probability, Span};
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
    /// How its weights begin, where `initial` does not say it.
    pub init: Initializer,
    /// The weights that it begins with, where they come from a file.
    pub initial: Option<ParamSet>,
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
    /// By group, where its clients stand by their number of samples; empty where that does not matter.
    pub(crate) ranks: Vec<Ranks>,
    /// The server's speed and memory.
    pub server: VirtualDevice,
    /// Servers between it and the clients, from the top down.
    pub hierarchy: Vec<Tier>,
    /// Clients by what a round is expected to take them; empty unless a tier wants them so. Found when
    /// the federation is set up.
    pub by_speed: Vec<u32>,
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
    /// Which models the recorder is told of.
    pub keep: Option<Keep>,
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
    /// One of these instead, drawn once a client, where there are any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<DeviceTier>,
    /// How speed, rates and numbers of samples go together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Correlation>,
    /// Measured speeds and rates, instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// A client's participation ratio, drawn once a client.
    pub participation: Distribution,
    /// When its clients are there.
    #[serde(skip_serializing_if = "Availability::is_always")]
    pub availability: Availability,
    /// What becomes of a client's work when it goes away.
    #[serde(skip_serializing_if = "Leaving::is_continue")]
    pub leaving: Leaving,
    /// What each may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
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

    /// 64 bits of which samples there are and who has which, and of weights from a file: of all in a plan
    /// that its scenario does not say.
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
        // Values on the CPU always have a digest.
        words.extend(self.initial.as_ref().and_then(|set| set.digest().ok()));
        mix_words(&words)
    }

    /// 64 bits of the samples themselves, as far as they lie in host memory.
    pub fn contents(&self) -> u64 {
        let triggered = self.triggered.as_ref().map_or(0, |data| data.digest());
        mix_words(&[self.train.digest(), self.test.digest(), triggered])
    }

    /// Whether models are measured after a round that runs its course.
    pub fn is_measured_after(&self, round: u32) -> bool {
        round.is_multiple_of(self.evaluation.every) || round >= self.schedule.rounds
    }

    /// Who is there when.
    pub fn presence(&self) -> Presence {
        let groups = self.groups.iter().map(|group| ClientGroup {
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
        Presence::new(self.seed, groups, &holdings)
    }

    /// The index of a client's group; the last one's for a client that does not exist.
    pub fn group_of(&self, client: u32) -> usize {
        self.place_of(client).0
    }

    /// The index of a client's group, and its number there.
    fn place_of(&self, client: u32) -> (usize, u32) {
        let mut first = 0;
        for (index, group) in self.groups.iter().enumerate() {
            if client - first < group.count {
                return (index, client - first);
            }
            first += group.count;
        }
        (self.groups.len().saturating_sub(1), 0)
    }

    /// What a client may spend, if that is limited.
    pub fn budget(&self, client: u32) -> Option<&Budget> {
        let limited = self.groups.iter().any(|group| group.budget.is_some());
        limited.then(|| self.groups[self.group_of(client)].budget.as_ref())?
    }

    /// The name of a client's group.
    pub fn group_name(&self, client: u32) -> Arc<str> {
        Arc::clone(&self.groups[self.group_of(client)].name)
    }

    /// Who answers to whom.
    pub fn hierarchy(&self) -> Hierarchy<'_> {
        Hierarchy {
            tiers: &self.hierarchy,
            population: self.population(),
            by_speed: &self.by_speed,
        }
    }

    /// What is particular to a client.
    pub fn client(&self, client: u32) -> PlannedClient {
        let (index, place) = self.place_of(client);
        let group = &self.groups[index];
        let whose = Whose {
            seed: self.seed,
            client,
            place,
            group,
            ranks: &self.ranks[index],
        };
        let node = u64::from(client) + 1;
        let mut rng = stream(self.seed, node, Purpose::Population, 1);
        let ratio = group.participation.sample(&mut rng).clamp(0.0, 1.0);
        PlannedClient {
            group: index,
            device: whose.device(self.model.training_flops()),
            participation: Probability::new(ratio).unwrap_or(Probability::ZERO),
        }
    }
}
