//! The public set alone: the server trains the global model on the public samples and asks no
//! client. The control that says how much of a method's result the public set would have given by
//! itself.

use super::centralised::Nobody;
use super::public_tuning::{tuned, PublicTuning, SetGlobal};
use super::{
    ClientHalf, Method, MethodError, Payload, Phase, Received, ServerHalf, ServerJob, Setup,
};
use crate::learn::LocalTraining;
use crate::model::ParamSet;
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Training on the public set: each round the passes of the settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicOnly(pub PublicTuning);

impl Method for PublicOnly {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let problems = self.0.check().into_iter();
        problems.map(|(_, message)| ("", message)).collect()
    }

    fn needs_public(&self) -> bool {
        true
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let inner = Server {
            global: setup.initial.clone(),
        };
        tuned(inner, Some(&self.0), &setup)
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Nobody)
    }
}

/// A global model that only tuning moves.
struct Server {
    global: ParamSet,
}

impl SetGlobal for Server {
    fn set_global(&mut self, global: ParamSet) {
        self.global = global;
    }
}

impl ServerHalf for Server {
    fn needs_clients(&self) -> bool {
        false
    }

    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Nothing)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        Err(MethodError::payload("no report at all", &report.payload))
    }

    fn step(&mut self, _: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        Ok(Vec::new())
    }

    fn abandon(&mut self) {}

    fn receive_flops(&self) -> Flops {
        Flops(0)
    }

    fn round_flops(&self) -> Flops {
        Flops(0)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}
