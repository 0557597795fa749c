//! How a server half of the method is made, with everything that is around it.
//!
//! From the inside out a half has: the method's own, the frozen layers, the defence and the
//! adversaries' attacks at the server's door, the buffer of a server that does not wait for rounds,
//! and the layers between server and clients (compression, privacy).

use super::super::adversarial;
use super::super::buffered::Buffered;
use super::super::plan::Plan;
use super::{Bug, Shared};
use crate::learn::{LocalTraining, Samples};
use crate::method::{FedAvg, Frozen, Method, MethodError, PublicData, ServerHalf, Setup};
use crate::model::Sizes;
use crate::privacy::secagg::Witness;
use std::sync::Arc;

impl Shared {
    /// The method's server half as it is before the first round, for a server that has lost its own in
    /// a crash.
    pub(in super::super) fn fresh_half(&self) -> Result<Box<dyn ServerHalf>, MethodError> {
        let public = self.public.as_ref();
        let setup = setup(&self.plan, &self.sizes, public, &self.local, &self.indices)?;
        let half = server_half(&self.plan, &setup, &self.witness, self.bug)?;
        Ok(match &self.audit {
            Some(audit) => audit(half),
            None => half,
        })
    }

    /// A half for an edge server. It takes the mean of its members' models, whatever the method's own
    /// server half does with the means.
    pub(in super::super) fn edge_half(&self) -> Result<Box<dyn ServerHalf>, MethodError> {
        let setup = self.edges.as_ref();
        let setup = setup.ok_or(MethodError::Network("a federation without servers between"))?;
        let plan = &self.plan;
        let means = FedAvg {
            weighting: plan.method.method().weighting(),
            fine_tune: None,
        };
        let half = means.server(setup.clone())?;
        let half = Frozen::around(half, &setup.initial, plan.model.frozen());
        Ok(plan.layers.around_server(half, setup, plan, &self.witness))
    }
}

/// What the method's server half is built from.
pub(super) fn setup(
    plan: &Plan,
    sizes: &Sizes,
    public: Option<&PublicData>,
    local: &[Arc<LocalTraining>],
    indices: &Arc<[u32]>,
) -> Result<Setup, MethodError> {
    let pooled = Samples::part(Arc::clone(indices), 0..plan.partition.len());
    Ok(Setup {
        model: Arc::clone(&plan.model),
        initial: match &plan.initial {
            Some(initial) => initial.clone(),
            None => plan.model.init(plan.seed, plan.init)?,
        },
        sizes: sizes.clone(),
        public: public.cloned(),
        population: plan.population(),
        seed: plan.seed,
        data: Arc::clone(&plan.train),
        pooled: pooled.unwrap_or_else(|| Vec::new().into()),
        local: local
            .first()
            .cloned()
            .unwrap_or_else(|| Arc::new(LocalTraining::sgd(0.1))),
    })
}

/// The method's server half with everything that is around it.
pub(super) fn server_half(
    plan: &Plan,
    setup: &Setup,
    witness: &Arc<Witness>,
    bug: Option<Bug>,
) -> Result<Box<dyn ServerHalf>, MethodError> {
    let buffered = |half: Box<dyn ServerHalf>, waiting| -> Box<dyn ServerHalf> {
        Box::new(Buffered::new(half, waiting, &setup.initial).planted(bug))
    };
    let half = plan.method.method().server(setup.clone())?;
    let half = Frozen::around(half, &setup.initial, plan.model.frozen());
    if !plan.hierarchy.is_empty() {
        // The layers are between clients and the servers they answer to, which are the edge servers.
        return Ok(match plan.schedule.waiting {
            Some(waiting) => buffered(half, waiting),
            None => half,
        });
    }
    let mut half = adversarial::server(plan, half, setup)?;
    if let Some(waiting) = plan.schedule.waiting {
        half = buffered(half, waiting);
    }
    Ok(plan.layers.around_server(half, setup, plan, witness))
}
