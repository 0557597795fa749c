//! The layers around a method, in the order in which a real system has them.
//!
//! When a client has trained, its report is made private (clipped, with noise added), compressed, masked
//! and sent. The server takes the masks out of the sum, decompresses, clips again, adds its own noise, and
//! gives the result to the method.

use super::plan::{Group, Plan};
use crate::compress::{Compression, Compressor, Decompressor};
use crate::method::{ClientHalf, LayeredClient, LayeredServer, ServerHalf, Setup};
use crate::privacy::secagg::{Masker, SecureAggregation, Unmasker, Witness};
use crate::privacy::{Clipper, NoisyMean, Participations, Privacy};
use crate::quantity::Distribution;
use serde::Serialize;
use std::sync::Arc;

/// The layers around a method; a scenario has none unless it says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Layers {
    /// How reports are compressed.
    pub compression: Option<Compression>,
    /// Which differential privacy reports have.
    pub privacy: Option<Privacy>,
    /// How reports are added up without the server seeing any single one.
    pub secure_aggregation: Option<SecureAggregation>,
}

impl Layers {
    /// Puts the layers around a client half, the innermost first.
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

    /// The client's part of privacy. Where the clipping bound adapts, only the server knows it, and only the
    /// server clips; it is trusted with the updates anyway.
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

    /// The client's part of secure aggregation, which the server's part contains too. Under central privacy
    /// all updates have one weight, and rounding may not make an update longer than the bound.
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

    /// Puts the layers around a server half, the innermost first.
    pub(super) fn around_server(
        &self,
        half: Box<dyn ServerHalf>,
        setup: &Setup,
        plan: &Plan,
        witness: &Arc<Witness>,
    ) -> Box<dyn ServerHalf> {
        let mut half = half;
        // Edge servers hold rounds, whichever way the server at the top waits.
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

/// How many clients a round asks, where enough are present.
fn asked(plan: &Plan) -> u32 {
    let cohort = plan.schedule.cohort.of(plan.population());
    let asked = libm::ceil(f64::from(cohort) * plan.schedule.over_selection) as u32;
    asked.min(plan.population())
}

/// The probability that a client takes part in a round, for the privacy accountant: the number of clients
/// asked over the population. Where some clients may be absent, those present can be asked more often than
/// that; then the probability is taken to be 1, and sampling adds no privacy.
fn sampling_rate(plan: &Plan) -> f64 {
    // Only a uniform sample hides which clients take part.
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
