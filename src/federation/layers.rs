//! The layers around a method, in the order a real system has them.
//!
//! A client trains, then its report is made private (clipped, noise added), compressed, masked and
//! sent; the server takes masks out of the sum, decompresses, clips again and adds its own noise, and
//! gives what comes out to the method.

use super::plan::{Group, Plan};
use crate::compress::{Compression, Compressor, Decompressor};
use crate::method::{ClientHalf, LayeredClient, LayeredServer, ServerHalf, Setup};
use crate::privacy::secagg::{Masker, SecureAggregation, Unmasker, Witness};
use crate::privacy::{Clipper, NoisyMean, Participations, Privacy};
use crate::quantity::Distribution;
use serde::Serialize;
use std::sync::Arc;

/// What is worn; nothing, unless a scenario says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Layers {
    /// How reports are compressed.
    pub compression: Option<Compression>,
    /// What differential privacy they have.
    pub privacy: Option<Privacy>,
    /// How they are added up in secret.
    pub secure_aggregation: Option<SecureAggregation>,
}

impl Layers {
    /// The client half in its layers, innermost first.
    pub(super) fn around_client(
        &self,
        half: Arc<dyn ClientHalf>,
        plan: &Plan,
        witness: &Arc<Witness>,
    ) -> Arc<dyn ClientHalf> {
        let mut half = half;
        if let Some(clipper) = self.clipper() {
            half = Arc::new(LayeredClient::new(half, clipper));
        }
        if let Some(compression) = &self.compression {
            let layer = Compressor::new(compression.clone());
            half = Arc::new(LayeredClient::new(half, layer));
        }
        if let Some(masker) = self.masker(plan, witness) {
            half = Arc::new(LayeredClient::new(half, masker));
        }
        half
    }

    /// The client's end of privacy. A bound that moves is known to the server alone, which is
    /// trusted with the updates anyway.
    fn clipper(&self) -> Option<Clipper> {
        match self.privacy.as_ref()? {
            Privacy::CentralDp(central) => central.adaptive.is_none().then_some(Clipper {
                bound: central.clip,
                noise: None,
            }),
            Privacy::LocalDp(local) => Some(Clipper {
                bound: local.clip,
                noise: Some(local.noise * local.clip),
            }),
        }
    }

    /// The client's end of secure aggregation, which the server's end knows too. Under central privacy
    /// all updates count alike and none may grow by rounding.
    fn masker(&self, plan: &Plan, witness: &Arc<Witness>) -> Option<Masker> {
        let settings = self.secure_aggregation.as_ref()?.settings().clone();
        let central = matches!(self.privacy, Some(Privacy::CentralDp(_)));
        let samples = (0..plan.population()).map(|k| plan.partition.size(k as usize));
        let heaviest = u32::try_from(samples.max().unwrap_or(0)).unwrap_or(u32::MAX);
        let heaviest = (!central).then_some(heaviest);
        Some(Masker::new(
            settings,
            asked(plan) as usize,
            heaviest,
            central,
            Arc::clone(witness),
        ))
    }

    /// The server half in its layers, innermost first.
    pub(super) fn around_server(
        &self,
        half: Box<dyn ServerHalf>,
        setup: &Setup,
        plan: &Plan,
        witness: &Arc<Witness>,
    ) -> Box<dyn ServerHalf> {
        let mut half = half;
        // Servers between hold rounds, however the one at the top waits.
        let one_by_one = plan.schedule.waiting.is_some() && plan.hierarchy.is_empty();
        match &self.privacy {
            Some(Privacy::CentralDp(central)) => {
                let cohort = plan.schedule.cohort.of(plan.population());
                let rate = sampling_rate(plan);
                let mut layer =
                    NoisyMean::new(central.clone(), cohort, rate, plan.seed, &setup.initial);
                if self.secure_aggregation.is_some() {
                    layer = layer.behind_aggregation();
                }
                half = Box::new(LayeredServer::new(half, layer).one_by_one(one_by_one));
            }
            Some(Privacy::LocalDp(local)) => {
                half = Box::new(
                    LayeredServer::new(half, Participations::new(local)).one_by_one(one_by_one),
                );
            }
            None => {}
        }
        if let Some(compression) = &self.compression {
            let layer = Decompressor::new(compression.clone(), setup.initial.len());
            half = Box::new(LayeredServer::new(half, layer).one_by_one(one_by_one));
        }
        if let Some(masker) = self.masker(plan, witness) {
            let layout = Arc::clone(setup.initial.layout());
            let layer = Unmasker::new(masker, layout, plan.seed);
            half = Box::new(LayeredServer::new(half, layer).one_by_one(one_by_one));
        }
        half
    }
}

/// How many clients are asked a round, where enough are there.
fn asked(plan: &Plan) -> u32 {
    let cohort = plan.schedule.cohort.of(plan.population());
    let asked = libm::ceil(f64::from(cohort) * plan.schedule.over_selection) as u32;
    asked.min(plan.population())
}

/// The probability that a client takes part in a round, for the accountant: those asked over the
/// population. Where some clients may not be there, those who are can be asked more often than that;
/// then nothing is claimed of sampling.
fn sampling_rate(plan: &Plan) -> f64 {
    // Nothing else than a uniform sample hides who takes part.
    if !plan.selection.selection().is_uniform() {
        return 1.0;
    }
    let mut groups = plan.groups.iter();
    let always = |group: &Group| {
        group.participation == Distribution::Constant(1.0) && group.availability.is_always()
    };
    if !groups.all(always) {
        return 1.0;
    }
    f64::from(asked(plan)) / f64::from(plan.population().max(1))
}
