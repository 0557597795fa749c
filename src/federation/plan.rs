//! The plan of a federation: everything that a scenario says, resolved.

use super::budget::Budget;
use super::compute::Compute;
use super::gossip::Gossip;
use super::hierarchy::{Hierarchy, Tier};
use super::keep::Keep;
use super::layers::Layers;
use super::on_deadline::OnDeadline;
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
    /// The seed, which is part of the name of every random stream.
    pub seed: u64,
    /// The network.
    pub model: Arc<Model>,
    /// How the first weights are drawn, where there is no `initial`.
    pub init: Initializer,
    /// The first weights, where they come from a file.
    pub initial: Option<ParamSet>,
    /// The widths that clients have, widest first: `model` itself, then its sub-models.
    pub levels: Vec<Level>,
    /// Training samples that belong to no client: the proxy set.
    pub public: PublicSplit,
    /// The training data of all clients, on the host device.
    pub train: Arc<DeviceData>,
    /// The central test data, on the host device. Only the evaluation reads it.
    pub test: Arc<DeviceData>,
    /// Which samples each client trains on.
    pub partition: Partition,
    /// Which samples each client keeps for its own evaluation.
    pub holdout: Partition,
    /// The population, group after group.
    pub groups: Vec<Group>,
    /// By group, the ranks of its clients by their number of samples; empty where the ranks do not matter.
    pub(crate) ranks: Vec<Ranks>,
    /// The server's speed and memory.
    pub server: VirtualDevice,
    /// The tiers of edge servers between the server and the clients, from the top down.
    pub hierarchy: Vec<Tier>,
    /// The clients in the order of how long a round is expected to take each of them; empty unless a tier
    /// assigns clients by speed. The order is found when the federation is set up.
    pub by_speed: Vec<u32>,
    /// After every so many rounds the simulated server writes a checkpoint, from which it goes on after a
    /// crash.
    pub server_checkpoint: u32,
    /// The method.
    pub method: MethodSpec,
    /// The policy that chooses the clients of a round.
    pub selection: SelectionSpec,
    /// How the server aggregates reports of which some may be adversaries'.
    pub defence: Option<DefenceSpec>,
    /// Which clients are adversaries, with the samples that they train on.
    pub adversaries: Arc<Adversaries>,
    /// Test samples with the labels that adversaries want the model to give them, on the host device.
    pub triggered: Option<Arc<DeviceData>>,
    /// The layers around the method: compression, privacy, secure aggregation.
    pub layers: Layers,
    /// When rounds begin and end.
    pub schedule: Schedule,
    /// How clients exchange models, where there is no server.
    pub gossip: Option<Gossip>,
    /// What is measured.
    pub evaluation: Evaluation,
    /// Which clients really train.
    pub compute: Compute,
    /// After every so many rounds the run writes a checkpoint, from which it can be resumed.
    pub checkpoint_every: Option<u32>,
    /// Which models the run writes as files.
    pub keep: Option<Keep>,
}

/// Clients of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The name of the group.
    pub name: Arc<str>,
    /// How many clients it has.
    pub count: u32,
    /// The clients' device; its speed is the mean of `speed`.
    pub device: VirtualDevice,
    /// The law of a client's speed in FLOP/s, drawn once for each client.
    pub speed: Distribution,
    /// Several devices instead of one; each client has one of them, drawn once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<DeviceTier>,
    /// How speeds, link rates and numbers of samples are correlated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation: Option<Correlation>,
    /// Speeds and link rates as they were measured, instead of drawn ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The law of a client's participation, drawn once for each client.
    pub participation: Distribution,
    /// When its clients are present.
    #[serde(skip_serializing_if = "Availability::is_always")]
    pub availability: Availability,
    /// What happens to a client's work when the client becomes absent.
    #[serde(skip_serializing_if = "Leaving::is_continue")]
    pub leaving: Leaving,
    /// What each client may spend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How the clients train.
    pub training: LocalTraining,
    /// Which width of the model each client trains.
    pub size: SizeRule,
}

/// The size of a cohort.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Cohort {
    /// This many clients.
    Count(u32),
    /// This share of the population, at least one client.
    Ratio(Probability),
}

impl Cohort {
    /// How many clients of a population the cohort has.
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

/// When rounds begin and how they end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schedule {
    /// The most rounds that are held.
    pub rounds: u32,
    /// How many reports a round wants.
    pub cohort: Cohort,
    /// How many clients are asked for each report that the round wants; at least 1.
    pub over_selection: f64,
    /// How long after its beginning a round ends with the reports that it has.
    pub deadline: Option<Span>,
    /// What becomes of a client whose local training would not end before the deadline.
    #[serde(skip_serializing_if = "OnDeadline::is_drop")]
    pub on_deadline: OnDeadline,
    /// A round with fewer reports than this is abandoned.
    pub least_reports: u32,
    /// The run stops at this accuracy on the central test data.
    pub stop_at_accuracy: Option<Probability>,
    /// The run stops at this virtual time.
    pub stop_at_time: Option<Span>,
    /// How an asynchronous server waits; `None` for a server that holds rounds. With an asynchronous server a
    /// round is one server step and `cohort` the reports of a step, and `deadline`, `over_selection` and
    /// `least_reports` have no meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// What is measured, and how often.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// The rounds from one evaluation to the next. There is also one after the last round.
    pub every: u32,
    /// Whether accuracy and loss on the central test data are measured.
    pub central: bool,
    /// Whether accuracy on each client's held-out samples is measured, with the model of its width.
    pub per_client: bool,
    /// Whether the central figures are measured at every width that clients have.
    pub by_size: bool,
    /// The most clients on whose samples the statistics of batch normalisations are measured before an
    /// aggregated model is evaluated; `None` where no statistics are queried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statistics_clients: Option<u32>,
}

/// The properties of one client. They are drawn from the client's streams whenever they are needed, and
/// never stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedClient {
    /// The index of the client's group.
    pub group: usize,
    /// The client's device.
    pub device: VirtualDevice,
    /// The client's participation.
    pub participation: Probability,
}

impl Plan {
    /// How many clients there are.
    pub fn population(&self) -> u32 {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// A digest, in 64 bits, of everything in a plan that its scenario does not say: which samples there
    /// are, which client has which, and weights from a file.
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

    /// A digest, in 64 bits, of the samples themselves, as far as they are in host memory.
    pub fn contents(&self) -> u64 {
        let triggered = self.triggered.as_ref().map_or(0, |data| data.digest());
        mix_words(&[self.train.digest(), self.test.digest(), triggered])
    }

    /// Whether models are measured after this round, if the round is completed.
    pub fn is_measured_after(&self, round: u32) -> bool {
        round.is_multiple_of(self.evaluation.every) || round >= self.schedule.rounds
    }

    /// Which clients are present at which time.
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

    /// The index of a client's group. For a client that does not exist, it is that of the last group.
    pub fn group_of(&self, client: u32) -> usize {
        self.place_of(client).0
    }

    /// The index of a client's group, and the client's number in the group.
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

    /// What a client may spend, if its group has a budget.
    pub fn budget(&self, client: u32) -> Option<&Budget> {
        let limited = self.groups.iter().any(|group| group.budget.is_some());
        limited.then(|| self.groups[self.group_of(client)].budget.as_ref())?
    }

    /// The name of a client's group.
    pub fn group_name(&self, client: u32) -> Arc<str> {
        Arc::clone(&self.groups[self.group_of(client)].name)
    }

    /// Which members answer to which server.
    pub fn hierarchy(&self) -> Hierarchy<'_> {
        Hierarchy {
            tiers: &self.hierarchy,
            population: self.population(),
            by_speed: &self.by_speed,
        }
    }

    /// Draws the properties of a client.
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
