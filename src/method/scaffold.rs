//! SCAFFOLD (Karimireddy et al., ICML 2020, algorithm 1, option II): control variates take the
//! clients' drift out of their gradients.

use super::average::{add_flops, WeightedMean};
use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Method, MethodError, Metrics, Payload, Phase,
    Received, ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{Correction, LocalTraining, Optimizer, Trained};
use crate::model::{Buffer, ParamSet};
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// SCAFFOLD with global learning rate `server_lr` (η_g).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scaffold {
    /// The global learning rate η_g.
    pub server_lr: f64,
}

impl Default for Scaffold {
    fn default() -> Self {
        Self { server_lr: 1.0 }
    }
}

/// The name of the client's control variate c_i in its state.
const CONTROL: &str = "control";

impl Method for Scaffold {
    fn check(&self, local: &LocalTraining) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(self.server_lr.is_finite() && self.server_lr > 0.0) {
            let found = self.server_lr;
            problems.push((
                "server_lr",
                format!("expected a number above 0, found {found}"),
            ));
        }
        let plain = matches!(
            local.optimizer,
            Optimizer::Sgd { momentum, weight_decay, .. } if momentum == 0.0 && weight_decay == 0.0
        );
        if !plain || local.clip.is_some() {
            let rule = "option II computes its control variates from plain SGD steps: \
                        expected Sgd without momentum or weight decay and no gradient clipping";
            problems.push(("", rule.to_string()));
        }
        problems
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let control = Buffer::zeros_like(&setup.initial)?.freeze();
        Ok(Box::new(Server {
            global: setup.initial,
            control,
            population: setup.population,
            server_lr: self.server_lr as f32,
            updates: WeightedMean::default(),
            controls: WeightedMean::default(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client)
    }
}

struct Server {
    global: ParamSet,
    /// c
    control: ParamSet,
    /// N
    population: u32,
    server_lr: f32,
    /// Mean of Δy_i over the cohort.
    updates: WeightedMean,
    /// Sum of Δc_i over the cohort.
    controls: WeightedMean,
}

impl ServerHalf for Server {
    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::bundle([
            Payload::Model(self.global.clone()),
            Payload::Update(self.control.clone()),
        ]))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let [update, control] = report.payload.as_parts()?;
        let (update, control) = (update.as_update()?, control.as_update()?);
        // The paper weighs all clients alike.
        self.updates.add(update, 1.0)?;
        self.controls.add(control, 1.0)?;
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            let population = f64::from(self.population);
            let update = self.updates.take()?;
            let control = self.controls.take_over(population)?;
            if let (Some(mut x), Some(mut c)) = (update, control) {
                let lr = self.server_lr;
                let (global, old) = (&self.global, &self.control);
                Buffer::elementwise([&mut x, &mut c], [global, old], |[dy, dc], [x, c]| {
                    [x + lr * dy, c + dc]
                })?;
                self.global = x.freeze();
                self.control = c.freeze();
            }
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.updates.clear();
        self.controls.clear();
    }

    fn receive_flops(&self) -> Flops {
        add_flops(2 * self.global.len())
    }

    fn round_flops(&self) -> Flops {
        Flops(5 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

struct Client;

impl ClientHalf for Client {
    fn corrections(&self) -> u64 {
        1
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        let [model, control] = input.task.as_parts()?;
        // Each step follows g(y) − c_i + c.
        let drift = match input.state.get(CONTROL) {
            Some(own) => {
                let mut drift = Buffer::copy_of(control.as_update()?)?;
                drift.sub(own.as_update()?)?;
                drift.freeze()
            }
            None => control.as_update()?.clone(),
        };
        Ok(Training {
            start: model.as_model()?.clone(),
            correction: Correction {
                drift: Some(drift),
                ..Correction::default()
            },
        })
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let [model, control] = input.task.as_parts()?;
        let (x, c) = (model.as_model()?, control.as_update()?);
        let metrics = Metrics::of(&trained);
        // c_i⁺ − c_i = −c + (x − y_i) / (K·η_l)
        let lr = input.local.rate(u64::from(input.round - 1));
        let scale = (1.0 / (trained.steps.max(1) as f64 * lr)) as f32;
        let mut update = Buffer::copy_of(&trained.params)?;
        let mut change = Buffer::zeros_like(x)?;
        Buffer::elementwise([&mut update, &mut change], [x, c], |[y, _], [x, c]| {
            [y - x, (x - y) * scale - c]
        })?;
        let (update, change) = (update.freeze(), change.freeze());
        let own = match input.state.get(CONTROL) {
            Some(own) => {
                let mut own = Buffer::copy_of(own.as_update()?)?;
                own.add_scaled(1.0, &change)?;
                own.freeze()
            }
            None => change.clone(),
        };
        Ok(ClientWork {
            report: Payload::bundle([Payload::Update(update), Payload::Update(change)]),
            state: ClientState::default().with(CONTROL, Payload::Update(own)),
            metrics,
        })
    }
}
