//! FedNova (Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
//! Optimization", NeurIPS 2020, equation 9 and section 4): clients that take more local steps no
//! longer pull harder, because each update is divided by the weight of its own steps.

use super::average::{add_flops, WeightedMean, Weighting};
use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, Payload, Phase, Received, ServerHalf,
    ServerJob, Setup, Training,
};
use crate::learn::{Correction, LocalTraining, Optimizer, Trained};
use crate::model::{Buffer, ParamSet};
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedNova; `mu` adds a proximal term to the local objectives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedNova {
    /// The proximal weight μ.
    pub mu: f64,
    /// How much a report counts (the p_i of the paper).
    pub weighting: Weighting,
}

impl Method for FedNova {
    fn check(&self, local: &LocalTraining) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(self.mu.is_finite() && self.mu >= 0.0) {
            let found = self.mu;
            problems.push((
                "mu",
                format!("expected a number of 0 or more, found {found}"),
            ));
        }
        match &local.optimizer {
            Optimizer::Sgd { nesterov: true, .. } => problems.push((
                "",
                "the weight of Nesterov steps is not defined by the paper: expected plain momentum"
                    .into(),
            )),
            Optimizer::Sgd { momentum, .. } if *momentum > 0.0 && self.mu > 0.0 => problems.push((
                "mu",
                "the paper gives the weight of steps with momentum or with a proximal term, \
                 not with both: expected one of them to be 0"
                    .into(),
            )),
            Optimizer::Sgd { .. } => {}
            Optimizer::Adam { .. } => problems.push((
                "",
                "the weight of local steps is known for SGD only: expected Sgd".into(),
            )),
        }
        problems
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            global: setup.initial,
            weighting: self.weighting,
            updates: WeightedMean::default(),
            samples: 0.0,
            steps: 0.0,
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client { mu: self.mu })
    }
}

/// ‖a‖₁: how much the gradients of `steps` local steps weigh in the client's total change.
fn step_weight(tau: f64, momentum: f64, decay: f64) -> f64 {
    if momentum > 0.0 {
        // a_j = (1 − ρ^(τ−j)) / (1 − ρ), summed over j.
        (tau - momentum * (1.0 - libm::pow(momentum, tau)) / (1.0 - momentum)) / (1.0 - momentum)
    } else if decay > 0.0 {
        // A proximal term shrinks earlier steps by 1 − α each, α = η·μ.
        (1.0 - libm::pow(1.0 - decay, tau)) / decay
    } else {
        tau
    }
}

struct Server {
    global: ParamSet,
    weighting: Weighting,
    /// Σ n_i Δ_i / ‖a_i‖₁, with weight Σ n_i / ‖a_i‖₁.
    updates: WeightedMean,
    /// Σ n_i
    samples: f64,
    /// Σ n_i ‖a_i‖₁
    steps: f64,
}

impl ServerHalf for Server {
    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Model(self.global.clone()))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let [update, norm] = report.payload.as_parts()?;
        let [norm] = norm.as_scalars()?;
        let weight = self.weighting.of(report.samples);
        self.updates.add(update.as_update()?, weight / norm)?;
        self.samples += weight;
        self.steps += weight * norm;
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            // x += τ_eff Σ p_i Δ_i/‖a_i‖₁ with p_i = n_i/n and τ_eff = Σ p_i ‖a_i‖₁
            let (n, steps) = (self.samples, self.steps);
            if let Some(mut x) = self.updates.take_over(n * n / steps)? {
                x.add_scaled(1.0, &self.global)?;
                self.global = x.freeze();
            }
            self.abandon();
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.updates.clear();
        self.samples = 0.0;
        self.steps = 0.0;
    }

    fn receive_flops(&self) -> Flops {
        add_flops(self.global.len())
    }

    fn round_flops(&self) -> Flops {
        Flops(3 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

struct Client {
    mu: f64,
}

impl ClientHalf for Client {
    fn corrections(&self) -> u64 {
        u64::from(self.mu > 0.0)
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        Ok(Training {
            start: input.task.as_model()?.clone(),
            correction: Correction {
                proximal: (self.mu > 0.0).then_some(self.mu),
                ..Correction::default()
            },
        })
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let momentum = match input.local.optimizer {
            Optimizer::Sgd { momentum, .. } => momentum,
            Optimizer::Adam { .. } => 0.0,
        };
        let lr = input.local.rate(u64::from(input.round - 1));
        let norm = step_weight(trained.steps.max(1) as f64, momentum, lr * self.mu);
        let mut update = Buffer::copy_of(&trained.params)?;
        update.sub(input.task.as_model()?)?;
        let report = Payload::bundle([Payload::Update(update.freeze()), Payload::scalars([norm])]);
        Ok(ClientWork::stateless(report, &trained))
    }
}
