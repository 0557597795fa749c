//! Local-only training: every client trains its own model on its own data and shares nothing. The
//! baseline that says what federation is worth to a client.

use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Method, MethodError, Metrics, Payload, Phase,
    Received, ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{evaluate, Correction, Scratch, Trained};
use crate::model::ParamSet;
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Local-only training; all clients start from the same initial model.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalOnly {}

/// The name of the client's own model in its state.
const MODEL: &str = "model";

impl Method for LocalOnly {
    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            initial: setup.initial,
            known: Vec::new(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client)
    }
}

struct Server {
    initial: ParamSet,
    /// Who has reported before, sorted: those have a model of their own.
    known: Vec<u32>,
}

impl ServerHalf for Server {
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(match self.known.binary_search(&client) {
            Ok(_) => Payload::Nothing,
            Err(_) => Payload::Model(self.initial.clone()),
        })
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        if let Err(place) = self.known.binary_search(&report.client) {
            self.known.insert(place, report.client);
        }
        Ok(())
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
        None
    }
}

struct Client;

impl ClientHalf for Client {
    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        // A model of its own wins over one sent again (after a lost report, say).
        let own = input.state.get(MODEL).unwrap_or(&input.task);
        Ok(Training {
            start: own.as_model()?.clone(),
            correction: Correction::default(),
        })
    }

    fn report(&self, _: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        Ok(ClientWork {
            report: Payload::Nothing,
            metrics: Metrics::of(&trained),
            state: ClientState::default().with(MODEL, Payload::Model(trained.params)),
        })
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let trained = super::client::train_locally(self, input, scratch)?;
        let mut work = self.report(input, trained)?;
        if !input.holdout.is_empty() {
            if let Some(Payload::Model(own)) = work.state.get(MODEL) {
                let samples = input.holdout.as_slice();
                let tally = evaluate(&input.model, own, &input.data, samples, 64, None)?;
                work.metrics.personal = Some(tally);
            }
        }
        Ok(work)
    }
}
