//! Centralised training, a baseline: the server trains on the pooled data of all clients, and
//! nothing is sent. The difference to a federated method is the accuracy that federation costs.

use super::server_training::{Alone, Nobody, OwnTraining, TrainedAfter};
use super::{ClientHalf, Method, MethodError, ReportKind, ServerHalf, Setup};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Centralised training. Each round performs the local training of the scenario's first group once,
/// on the pooled data. The optimiser starts anew in each round, as it does at a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Centralised {}

impl Method for Centralised {
    fn reports(&self) -> ReportKind {
        ReportKind::Nothing
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Err("no client trains")
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let training = OwnTraining {
            model: setup.model,
            data: setup.data,
            samples: setup.pooled,
            local: setup.local,
            seed: setup.seed,
        };
        let global = setup.initial;
        Ok(Box::new(TrainedAfter::new(Alone { global }, training)))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Nobody)
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
