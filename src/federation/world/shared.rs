//! What all nodes of a federation share: the plan, and everything that is found once from the plan.

use super::super::budget::Spent;
use super::super::client::keeps_of_faults;
use super::super::evaluation::Evaluator;
use super::super::gossip::{Common, PeerWatcher};
use super::super::plan::Plan;
use super::super::query::Query;
use super::super::stand_ins::StandIns;
use super::Bug;
use crate::availability::Presence;
use crate::data::Partition;
use crate::fault;
use crate::learn::{LocalTraining, Samples};
use crate::method::{ClientHalf, ClientInput, ClientState, Payload, PublicData, ServerHalf, Setup};
use crate::model::{Layouts, Sizes, Spill};
use crate::net::LinkNetwork;
use crate::privacy::secagg::Witness;
use crate::snapshot::{Damaged, Reader, Snapshot};
use std::sync::Arc;

/// What all nodes of a federation share. A node holds one reference to it.
pub struct Shared {
    /// The plan that the federation was set up from.
    pub plan: Plan,
    /// The method's client half with its layers, for all clients.
    pub(in super::super) client_half: Arc<dyn ClientHalf>,
    /// The local training of each group, as the method wants it.
    pub(in super::super) local: Vec<Arc<LocalTraining>>,
    /// The width of each client's model.
    pub(in super::super) sizes: Sizes,
    /// The samples that belong to no client, where there are any.
    pub(in super::super) public: Option<PublicData>,
    /// The file to which the parameters of dormant clients go beyond a memory budget.
    pub(in super::super) spill: Option<Arc<Spill>>,
    /// The pieces into which an evaluation is cut.
    pub(in super::super) evaluator: Evaluator,
    /// The pieces into which a query of statistics is cut.
    pub(in super::super) query: Query,
    /// The faults of the run; empty where the scenario plans none.
    pub(in super::super) faults: fault::FaultPlan,
    /// Which clients are present at which time.
    pub(in super::super) presence: Arc<Presence>,
    /// The planted defect, if there is one.
    pub(in super::super) bug: Option<Bug>,
    /// Stand-ins for the reports of clients that do not really train.
    pub(in super::super) stand_ins: StandIns,
    /// The audit that each server half is wrapped in, where a swarm watches the server.
    pub(super) audit: Option<Arc<Auditing>>,
    /// The audit of clients without a server, where a swarm watches them.
    pub(in super::super) peer_watcher: Option<Arc<dyn PeerWatcher>>,
    /// The links of all nodes.
    pub(in super::super) network: LinkNetwork,
    /// The check that sums of masked updates are the sums of the plain ones.
    pub(super) witness: Arc<Witness>,
    /// The graph and the initial model of clients without a server.
    pub(in super::super) gossip: Option<Arc<Common>>,
    /// The training samples of all clients, one client after the other.
    pub(super) indices: Arc<[u32]>,
    /// The held-out samples of all clients, one client after the other.
    pub(super) held_out: Arc<[u32]>,
    /// What the halves of edge servers are built from, where there are edge servers.
    pub(super) edges: Option<Setup>,
}

/// Wraps a server half in an audit.
pub(super) type Auditing = dyn Fn(Box<dyn ServerHalf>) -> Box<dyn ServerHalf> + Send + Sync;

impl Shared {
    /// The samples a client trains on in a round: its range of the partition or, for an adversary that
    /// poisons data, the poisoned copy.
    pub(in super::super) fn train_samples(&self, client: u32, round: u32) -> Samples {
        match self.plan.adversaries.samples(client, round) {
            Some(poisoned) => poisoned.clone(),
            None => part(&self.indices, &self.plan.partition, client),
        }
    }

    /// The samples that a client holds out from training for its own evaluation.
    pub(in super::super) fn holdout_samples(&self, client: u32) -> Samples {
        part(&self.held_out, &self.plan.holdout, client)
    }

    /// Everything that a client's work in a round depends on.
    pub(in super::super) fn input(
        &self,
        (client, round): (u32, u32),
        local: Arc<LocalTraining>,
        train: Samples,
        task: Payload,
        state: ClientState,
    ) -> ClientInput {
        ClientInput {
            client,
            round,
            seed: self.plan.seed,
            model: Arc::clone(&self.sizes.of(client).model),
            sizes: self.sizes.clone(),
            init: self.plan.init,
            public: self.public.clone(),
            data: Arc::clone(&self.plan.train),
            train,
            holdout: self.holdout_samples(client),
            watched: self.plan.evaluation.per_client && !self.plan.compute.is_modelled(),
            local,
            task,
            state,
        }
    }

    /// The layouts of the networks of all widths, which the reader of a checkpoint needs.
    pub(in super::super) fn layouts(&self) -> Layouts {
        let levels = self.sizes.levels().iter();
        Layouts::new(levels.map(|level| Arc::clone(level.model.layout())))
    }

    /// Reads the state of a dormant client from a checkpoint.
    ///
    /// # Errors
    /// [`Damaged`] for an entry that neither the method, nor the faults, nor a budget can have kept.
    pub(in super::super) fn kept(&self, from: &mut Reader) -> Result<ClientState, Damaged> {
        let state = ClientState::load(from)?;
        let wrong = state.iter().find(|(name, payload)| {
            let own = Spent::keeps(name, payload) && keeps_of_faults(name, payload);
            !(own && self.client_half.keeps(name, payload))
        });
        match wrong {
            Some((name, _)) => Err(Damaged::new(format!(
                "what a client keeps as {name:?} is of another kind than this method keeps"
            ))),
            None => Ok(state),
        }
    }

    /// Puts the state of a client that becomes dormant where it waits: in memory or on disk.
    pub(in super::super) fn keep(&self, state: ClientState) -> ClientState {
        match &self.spill {
            Some(spill) => state.map_sets(|set| spill.keep(set)),
            None => state,
        }
    }
}

/// One client's range of a partition; empty for a client that the partition does not have.
fn part(indices: &Arc<[u32]>, partition: &Partition, client: u32) -> Samples {
    let range = partition.range(client as usize);
    Samples::part(Arc::clone(indices), range).unwrap_or_else(|| Vec::new().into())
}
