//! The server that FedAvgM, FedAdagrad, FedAdam and FedYogi share: it takes the mean client change
//! `Δ = Σ n_k w_k / Σ n_k − w` as a gradient (Reddi et al., "Adaptive Federated Optimization", ICLR
//! 2021, algorithm 2) and leaves the step to a rule.

use super::average::{add_flops, WeightedMean, Weighting};
use super::{MethodError, Payload, Phase, Received, ServerHalf, ServerJob, Setup};
use crate::model::{Buffer, ParamSet};
use crate::quantity::Flops;

/// One parameter's step: from the model `w`, the moments `m` and `v`, and the mean change `delta`
/// to the new `(w, m, v)`.
pub(super) trait Rule: Send + 'static {
    /// Operations per parameter.
    const FLOPS: u64;

    /// The second moment before the first round.
    fn initial_second_moment(&self) -> f32;

    /// The step.
    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32);
}

pub(super) struct Optimizing<R> {
    rule: R,
    weighting: Weighting,
    global: ParamSet,
    mean: WeightedMean,
    first: Option<Buffer>,
    second: Option<Buffer>,
}

impl<R: Rule> Optimizing<R> {
    pub fn new(rule: R, weighting: Weighting, setup: Setup) -> Result<Self, MethodError> {
        let mut second = Buffer::zeros_like(&setup.initial)?;
        let start = rule.initial_second_moment();
        Buffer::elementwise([&mut second], [], |_, []| [start])?;
        Ok(Self {
            first: Some(Buffer::zeros_like(&setup.initial)?),
            second: Some(second),
            rule,
            weighting,
            global: setup.initial,
            mean: WeightedMean::default(),
        })
    }
}

impl<R: Rule> ServerHalf for Optimizing<R> {
    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Model(self.global.clone()))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let weight = self.weighting.of(report.samples);
        Ok(self.mean.add(report.payload.as_model()?, weight)?)
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            if let (Some(mut x), Some(m), Some(v)) =
                (self.mean.take()?, &mut self.first, &mut self.second)
            {
                let rule = &self.rule;
                Buffer::elementwise([&mut x, m, v], [&self.global], |[mean, m, v], [w]| {
                    let (w, m, v) = rule.step(w, m, v, mean - w);
                    [w, m, v]
                })?;
                self.global = x.freeze();
            }
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.mean.clear();
    }

    fn receive_flops(&self) -> Flops {
        add_flops(self.global.len())
    }

    fn round_flops(&self) -> Flops {
        Flops((R::FLOPS + 1) * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

/// Problems of the hyper-parameters that several rules share.
pub(super) fn check(
    lr: f64,
    betas: &[(&'static str, f64)],
    tau: Option<f64>,
) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let positive = [("lr", Some(lr)), ("tau", tau)];
    for (name, value) in positive {
        if let Some(value) = value.filter(|v| !(v.is_finite() && *v > 0.0)) {
            problems.push((name, format!("expected a number above 0, found {value}")));
        }
    }
    for (name, beta) in betas {
        if !(0.0..1.0).contains(beta) {
            problems.push((name, format!("{beta} is outside [0, 1)")));
        }
    }
    problems
}
