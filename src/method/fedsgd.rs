//! FedSGD (McMahan et al., 2017, section 2): each client takes one gradient over all its data, the
//! server takes one step along their mean. FedAvg with one local step on the whole local set.

use super::average::Weighting;
use super::fedavg::{Averager, Trainer};
use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, ServerHalf, Setup, Training,
};
use crate::learn::{Amount, LocalTraining, Trained};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedSGD; the learning rate is that of the local training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedSgd {
    /// How much a report counts.
    pub weighting: Weighting,
}

impl Method for FedSgd {
    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Averager::new(setup.initial, self.weighting)))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(OneStep(Trainer { proximal: None }))
    }
}

#[derive(Debug)]
struct OneStep(Trainer);

impl ClientHalf for OneStep {
    fn local(&self, scenario: &LocalTraining) -> LocalTraining {
        LocalTraining {
            amount: Amount::Steps(1),
            batch: 0,
            ..scenario.clone()
        }
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        self.0.training(input)
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        self.0.report(input, trained)
    }
}
