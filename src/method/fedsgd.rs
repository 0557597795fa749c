//! FedSGD (McMahan et al., 2017, section 2): each client computes one gradient over all its data,
//! and the server takes one step along the mean of the gradients. It is FedAvg with one local step
//! on the whole local data set.

use super::average::Weighting;
use super::fedavg::{Averager, Trainer};
use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, ReportKind, ServerHalf, Setup,
    Training,
};
use crate::learn::{Amount, LocalTraining, Optimizer, Trained};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedSGD, with its settings; the learning rate is that of the local training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedSgd {
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Method for FedSgd {
    fn check(&self, local: &LocalTraining) -> Vec<(&'static str, String)> {
        match local.optimizer {
            Optimizer::Sgd { momentum: 0.0, .. } => Vec::new(),
            Optimizer::Sgd { momentum, .. } => {
                let rule = format!(
                    "clients take one step from a fresh state, where momentum is idle and Nesterov's \
                     only scales the rate: expected Sgd with momentum 0, found {momentum}"
                );
                vec![("", rule)]
            }
            Optimizer::Adam { .. } => {
                let rule = "the mean of models after one step is a step along the mean gradient \
                            for SGD only: expected Sgd";
                vec![("", rule.to_string())]
            }
        }
    }

    fn is_plain_mean(&self) -> bool {
        true
    }

    fn mixes_without_server(&self) -> bool {
        true
    }

    fn weighting(&self) -> Weighting {
        self.weighting
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Model
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Err("they take a single step over all their samples, and that is not to be halved")
    }

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
    fn only_trains(&self) -> bool {
        true
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{close, local, pooled, start, Descent, Toy};

    /// The mean of the clients' gradients, weighted by samples, is the gradient over all their data.
    #[test]
    fn a_round_is_one_step_along_the_gradient_over_all_data() {
        let method = FedSgd::default();
        let mut toy = Toy::new(&method, &local());
        let step = Descent {
            epochs: 1,
            batch: 0,
            ..Descent::of_local()
        };
        let mut w = start().to_vec();
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            (w, _) = step.run(&w, 0, &pooled(), round);
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn adam_at_the_clients_is_refused() {
        let problems = FedSgd::default().check(&LocalTraining::adam(0.01));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].1.ends_with("expected Sgd"), "{}", problems[0].1);
    }
}
