//! Adversaries and the defence against them, as layers around a method's halves. Around the client half, an
//! adversary changes what its training has made. Around the server half, attacks that know the whole round
//! change the reports at the server's door, and the defence aggregates them.

use super::plan::Plan;
use crate::attack::{Collusion, Poisoner};
use crate::defend::Defended;
use crate::method::{ClientHalf, MethodError, ServerHalf, Setup};
use std::sync::Arc;

/// A method's client half with the attacks of `plan` around it; the half itself where no adversary forges
/// reports.
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

/// A method's server half with the defence of `plan` and the attacks at the server's door around it; the
/// half itself where there are neither.
///
/// # Errors
/// When the defence cannot be set up.
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
