//! Centralised training: the server trains on all clients' data pooled, and nothing is sent. The
//! baseline that says what federation costs in accuracy.

use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, Payload, Phase, Received, ServerHalf,
    ServerJob, Setup, Training,
};
use crate::learn::{train, Correction, Cost, LocalTraining, TrainJob, Trained};
use crate::model::ParamSet;
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Centralised training: one round is the scenario's local training (of its first group), once, on
/// the pooled data. The optimiser starts afresh each round, as it does at a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Centralised {}

impl Method for Centralised {
    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            global: setup.initial.clone(),
            setup,
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Nobody)
    }
}

struct Server {
    setup: Setup,
    global: ParamSet,
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

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        let Phase::BeforeRound(round) = phase else {
            return Ok(Vec::new());
        };
        if let Some(trained) = outputs.into_iter().next() {
            self.global = trained.as_model()?.clone();
            return Ok(Vec::new());
        }
        let setup = &self.setup;
        let job = TrainJob {
            model: Arc::clone(&setup.model),
            start: self.global.clone(),
            data: Arc::clone(&setup.data),
            samples: setup.pooled.clone(),
            local: LocalTraining::clone(&setup.local),
            round: u64::from(round - 1),
            seed: setup.seed,
            // No client has this number: the server's streams are its own.
            client: u64::MAX,
            correction: Correction::default(),
        };
        Ok(vec![ServerJob {
            flops: Cost::training(&setup.model, &setup.local, setup.pooled.len(), 0).flops,
            work: Arc::new(move |scratch| {
                Ok(Payload::Model(
                    train(&job, scratch)?.params.to_device(tch::Device::Cpu)?,
                ))
            }),
        }])
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

/// The client half of a method that asks no client.
pub(super) struct Nobody;

impl ClientHalf for Nobody {
    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        Err(MethodError::payload("no task at all", &input.task))
    }

    fn report(&self, _: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        Ok(ClientWork::stateless(Payload::Nothing, &trained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{close, local, pooled, start, Descent, Toy};

    #[test]
    fn rounds_are_sgd_on_all_samples_in_double_precision() {
        let method = Centralised::default();
        let mut toy = Toy::new(&method, &local());
        assert!(!toy.server.needs_clients());
        let mut w = start().to_vec();
        for round in 1..=3 {
            toy.round(&[]);
            (w, _) = Descent::of_local().run(&w, u64::MAX, &pooled(), round);
            close(&toy.model(), &w);
        }
    }
}
