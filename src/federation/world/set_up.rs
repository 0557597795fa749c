//! Setting a federation up: from a plan and its links to a world that a simulation can run.

use super::super::adversarial;
use super::super::candidates::Candidates;
use super::super::evaluation::Evaluator;
use super::super::gossip::{Common, PeerWatcher};
use super::super::hierarchy::{sorted, Assign, Below};
use super::super::plan::Plan;
use super::super::query::Query;
use super::super::sizing::sizes;
use super::super::stand_ins::StandIns;
use super::halves::{server_half, setup};
use super::{Bug, Federation, Shared};
use crate::fault;
use crate::learn::LocalTraining;
use crate::method::{MethodError, PublicData, ServerHalf};
use crate::model::Spill;
use crate::net::LinkNetwork;
use crate::quantity::{Bytes, VirtualTime};
use crate::select::Population;
use std::sync::{Arc, Mutex, PoisonError};

impl Federation {
    /// Sets up the method of `plan` and prepares its evaluation.
    ///
    /// # Errors
    /// When the initial model or the method's state cannot be made.
    pub fn new(plan: Plan, network: LinkNetwork) -> Result<Self, MethodError> {
        let method = plan.method.method();
        let client_half = adversarial::client(&plan, method.client());
        let witness = Arc::default();
        let client_half = plan.layers.around_client(client_half, &plan, &witness);
        let local = plan
            .groups
            .iter()
            .map(|group| Arc::new(client_half.local(&group.training)));
        let local: Vec<Arc<LocalTraining>> = local.collect();
        let sizes = sizes(&plan, &local, client_half.as_ref());
        let public = (!plan.public.is_empty()).then(|| PublicData {
            data: Arc::clone(&plan.train),
            train: plan.public.train.clone().into(),
            select: plan.public.select.clone().into(),
        });
        let indices: Arc<[u32]> = Arc::from(plan.partition.indices());
        let setup = setup(&plan, &sizes, public.as_ref(), &local, &indices)?;
        let half = server_half(&plan, &setup, &witness, None)?;
        let (clients, seed) = (plan.population(), plan.seed);
        let gossip = plan.gossip.clone();
        let gossip = gossip
            .map(|gossip| Arc::new(Common::new(gossip, setup.initial.clone(), clients, seed)));
        let personal = half.personal() || gossip.is_some();
        let evaluator = Evaluator::new(&plan, &sizes, personal);
        let query = Query::new(&plan, &sizes, personal, &local, &indices);
        let presence = Arc::new(plan.presence());
        let network = network.with_presence(&presence);
        let mut shared = Shared {
            client_half,
            local,
            sizes,
            public,
            spill: None,
            evaluator,
            query,
            faults: fault::FaultPlan::default(),
            presence,
            network,
            bug: None,
            stand_ins: StandIns::default(),
            audit: None,
            peer_watcher: None,
            witness,
            gossip,
            indices,
            held_out: Arc::from(plan.holdout.indices()),
            edges: (!plan.hierarchy.is_empty()).then_some(setup),
            plan,
        };
        if let Some(tier) = shared.plan.hierarchy.last() {
            if tier.assign == Assign::BySpeed {
                shared.plan.by_speed = by_speed(&shared, tier.count);
            }
        }
        // Clients that stop early have to know how long their reports will take.
        if !shared.plan.compute.is_real() || !shared.plan.schedule.on_deadline.is_drop() {
            shared.stand_ins = StandIns::find(&shared)?;
        }
        Ok(Self {
            memory: None,
            half: Mutex::new(Some(half)),
            shared: Arc::new(shared),
        })
    }

    /// Moves the parameters that dormant clients keep to `spill` where they exceed its budget. Call this
    /// before the federation is handed to a simulation.
    pub fn spill_to(&mut self, spill: Arc<Spill>) {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.spill = Some(spill);
        }
    }

    /// Returns the federation with these faults on its links, its clients and its server.
    pub fn amid(mut self, faults: fault::FaultPlan) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.network.set_faults(faults.links.clone());
            shared.faults = faults;
        }
        self
    }

    /// Returns the federation with its server half wrapped in `audit`, which sees each call of the half.
    pub fn audited(
        mut self,
        audit: impl Fn(Box<dyn ServerHalf>) -> Box<dyn ServerHalf> + Send + Sync + 'static,
    ) -> Self {
        let half = self.half.get_mut().unwrap_or_else(PoisonError::into_inner);
        *half = half.take().map(&audit);
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.audit = Some(Arc::new(audit));
        }
        self
    }

    /// Returns the federation with a check of secure aggregation: `complain` is called with a sentence
    /// for each sum of masked updates that is not the sum of the plain updates.
    pub fn witnessed(self, complain: impl Fn(String) + Send + Sync + 'static) -> Self {
        self.shared.witness.watch(complain);
        self
    }

    /// Returns the federation with `audit` watching its clients, where they have no server.
    pub fn with_peer_watcher(mut self, audit: Arc<dyn PeerWatcher>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.peer_watcher = Some(audit);
        }
        self
    }

    /// Returns the federation with a defect planted on purpose, on which a search for defects can be
    /// tried.
    ///
    /// # Errors
    /// When the method's state cannot be made anew.
    pub fn planted(mut self, bug: Option<Bug>) -> Result<Self, MethodError> {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.bug = bug;
        }
        if bug.is_some() {
            // The server half is made anew, since some defects are its own.
            let half = self.shared.fresh_half()?;
            self.half = Mutex::new(Some(half));
        }
        Ok(self)
    }

    /// Returns the federation with a limit on stacks of jobs: a stack is only as wide as by estimate
    /// fits into `memory`.
    pub fn within(self, memory: Option<Bytes>) -> Self {
        Self { memory, ..self }
    }
}

/// All clients in the order of how long a round with the server is expected to take each of them, cut
/// among `servers` ([`sorted`]).
fn by_speed(shared: &Shared, servers: u32) -> Vec<u32> {
    let population = shared.plan.population();
    let candidates = Candidates {
        shared,
        server: Federation::SERVER,
        below: Below::all(population),
        round: 1,
        now: VirtualTime::ZERO,
        deadline: None,
    };
    sorted(population, servers, |client| {
        candidates.expected(client).total()
    })
}
