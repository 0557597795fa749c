//! Adversaries and what is done about them, around a method's halves: a client trains and adversaries
//! change what comes of it; the server lets in what arrives, defends, and aggregates.

use super::plan::Plan;
use crate::attack::{Collusion, Poisoner};
use crate::defend::Defended;
use crate::method::{ClientHalf, MethodError, ServerHalf, Setup};
use std::sync::Arc;

/// A method's client half with the layers of `plan`; itself where there are none.
pub(super) fn client(plan: &Plan, half: Arc<dyn ClientHalf>) -> Arc<dyn ClientHalf> {
    let parties = plan.adversaries.parties();
    if parties.iter().all(|party| party.attack().forge().is_none()) {
        return half;
    }
    Arc::new(Poisoner {
        inner: half,
        adversaries: Arc::clone(&plan.adversaries),
        kind: plan.method.method().reports(),
        cohort: plan.schedule.cohort.of(plan.population()),
    })
}

/// A method's server half with the layers of `plan`; itself where there are none.
///
/// # Errors
/// When a layer cannot be set up.
pub(super) fn server(
    plan: &Plan,
    half: Box<dyn ServerHalf>,
    setup: &Setup,
) -> Result<Box<dyn ServerHalf>, MethodError> {
    let kind = plan.method.method().reports();
    let mut half = half;
    if let Some(defence) = &plan.defence {
        half = Box::new(Defended::new(half, kind, defence.clone(), setup)?);
    }
    let parties = plan.adversaries.parties();
    if parties.iter().any(|party| party.attack().craft().is_some()) {
        let adversaries = Arc::clone(&plan.adversaries);
        half = Box::new(Collusion::new(
            half,
            kind,
            adversaries,
            plan.defence.clone(),
            plan.seed,
        ));
    }
    Ok(half)
}
