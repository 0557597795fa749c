//! The server half that FedAvgM, FedAdagrad, FedAdam and FedYogi share. It treats the mean change
//! of the clients, `Δ = Σ n_k w_k / Σ n_k − w`, as a gradient (Reddi et al., "Adaptive Federated
//! Optimization", ICLR 2021, algorithm 2) and leaves the step to a rule.

use super::average::{add_flops, WeightedSum, Weighting};
use super::{ClientHalf, MethodError, Payload, Phase, Received, ServerHalf, ServerJob, Setup};
use crate::model::{Buffer, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

/// What a server does with the mean change of its clients, for a single parameter. A method whose clients
/// train as in FedAvg is a rule and a few lines: [`server_of_rule`] makes its server half.
pub trait ServerRule: Send + 'static {
    /// The problems with the hyper-parameters: for each, the name of the field and a message.
    fn problems(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The operations of a step for each parameter, which the virtual server is charged.
    const FLOPS: u64;

    /// The operations of a step for each parameter with these settings, where they change the number.
    fn flops(&self) -> u64 {
        Self::FLOPS
    }

    /// The second moment before the first round. `None` if the rule has none; the `v` of its steps
    /// is then 0.
    fn initial_second_moment(&self) -> Option<f32> {
        None
    }

    /// The step of one parameter: from the model `w`, the moments `m` and `v`, and the mean change
    /// `delta` to the new `(w, m, v)`. The first moment is 0 before the first round.
    fn step(&self, w: f32, m: f32, v: f32, delta: f32) -> (f32, f32, f32);
}

/// A server half that weighs the clients' models by `weighting`, takes their mean, and makes the step of
/// `rule` with its difference to the global model.
///
/// # Errors
/// When there is no memory for the moments.
pub fn server_of_rule(
    rule: impl ServerRule,
    weighting: Weighting,
    setup: Setup,
) -> Result<Box<dyn ServerHalf>, MethodError> {
    Ok(Box::new(Optimizing::new(rule, weighting, setup)?))
}

/// A client half that trains the model it is sent and reports it, as in FedAvg.
pub fn training_client() -> Arc<dyn ClientHalf> {
    Arc::new(super::fedavg::Trainer { proximal: None })
}

/// Implements [`super::Method`] for a server optimiser with a field `weighting`: clients train as
/// in FedAvg, and the server makes the step of the type's [`ServerRule`].
macro_rules! method_of_rule {
    ($optimiser:ty) => {
        impl $crate::method::Method for $optimiser {
            fn check(&self, _: &$crate::learn::LocalTraining) -> Vec<(&'static str, String)> {
                $crate::method::ServerRule::problems(self)
            }

            fn weighting(&self) -> $crate::method::Weighting {
                self.weighting
            }

            fn reports(&self) -> $crate::method::ReportKind {
                $crate::method::ReportKind::Model
            }

            fn freezes(&self) -> Result<(), &'static str> {
                Ok(())
            }

            fn stops_early(&self) -> Result<(), &'static str> {
                Ok(())
            }

            fn server(
                &self,
                setup: $crate::method::Setup,
            ) -> Result<Box<dyn $crate::method::ServerHalf>, $crate::method::MethodError> {
                $crate::method::server_of_rule(self.clone(), self.weighting, setup)
            }

            fn client(&self) -> std::sync::Arc<dyn $crate::method::ClientHalf> {
                $crate::method::training_client()
            }
        }
    };
}
pub(super) use method_of_rule;

/// The first moment after a step of FedAdagrad, FedAdam or FedYogi: `β₁ m + (1 − β₁) Δ`.
pub(super) fn first_moment(beta1: f64, m: f32, delta: f32) -> f32 {
    beta1 as f32 * m + (1.0 - beta1) as f32 * delta
}

/// The parameter after a step of FedAdagrad, FedAdam or FedYogi with the new moments `m` and `v`:
/// `w + η m / (√v + τ)`.
pub(super) fn adaptive_step([lr, tau]: [f64; 2], w: f32, m: f32, v: f32) -> f32 {
    w + lr as f32 * m / (v.sqrt() + tau as f32)
}

/// A server half whose model follows a [`ServerRule`].
pub(super) struct Optimizing<R> {
    rule: R,
    weighting: Weighting,
    global: ParamSet,
    models: WeightedSum,
    first: Buffer,
    second: Option<Buffer>,
}

impl<R: ServerRule> Optimizing<R> {
    /// A server half with the rule `rule` and the initial parameters of `setup`.
    pub fn new(rule: R, weighting: Weighting, setup: Setup) -> Result<Self, MethodError> {
        let global = setup.initial;
        let mut second = None;
        if let Some(start) = rule.initial_second_moment() {
            let mut moment = Buffer::zeros_like(&global)?;
            Buffer::elementwise([&mut moment], [], |_, []| [start])?;
            second = Some(moment);
        }
        Ok(Self {
            rule,
            weighting,
            models: WeightedSum::like(&global),
            first: Buffer::zeros_like(&global)?,
            second,
            global,
        })
    }
}

impl<R: ServerRule> ServerHalf for Optimizing<R> {
    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Model(self.global.clone()))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let weight = self.weighting.of(report.samples);
        Ok(self.models.add(report.payload.as_model()?, weight)?)
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            if let Some((mut x, weight)) = self.models.take()? {
                let (rule, part) = (&self.rule, (1.0 / weight) as f32);
                let (m, global) = (&mut self.first, &self.global);
                match &mut self.second {
                    Some(v) => Buffer::elementwise([&mut x, m, v], [global], |[x, m, v], [w]| {
                        rule.step(w, m, v, x * part - w).into()
                    }),
                    None => Buffer::elementwise([&mut x, m], [global], |[x, m], [w]| {
                        let (w, m, _) = rule.step(w, m, 0.0, x * part - w);
                        [w, m]
                    }),
                }?;
                self.global = x.freeze();
            }
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.models.clear();
    }

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        global.has_layout(self.global.layout())?;
        self.global = global;
        Ok(())
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
        self.first.save(to);
        self.second.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        self.first = Snapshot::load(from)?;
        self.second = Snapshot::load(from)?;
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        add_flops(self.global.len())
    }

    fn round_flops(&self) -> Flops {
        // The operations of the rule, and those of the mean and of its difference to the model.
        Flops((self.rule.flops() + 2) * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

/// The problems with hyper-parameters that several rules have.
pub(super) fn check(
    lr: f64,
    betas: &[(&'static str, f64)],
    tau: Option<f64>,
) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    let positive = [("lr", Some(lr)), ("tau", tau)];
    for (name, value) in positive {
        match value {
            Some(value) if !(value.is_finite() && value > 0.0) => {
                problems.push((name, format!("expected a number above 0, found {value}")));
            }
            // Numbers that are squared or divided by in single precision must neither vanish nor
            // overflow.
            Some(value) if !(1e-15..=1e6).contains(&value) => {
                problems.push((name, format!("{value:e} is outside [1e-15, 1e6]")));
            }
            _ => {}
        }
    }
    for (name, beta) in betas {
        if !(0.0..1.0).contains(beta) {
            problems.push((name, format!("{beta} is outside [0, 1)")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hyper_parameter_out_of_its_range_is_reported() {
        let betas = [("beta1", 0.0), ("beta2", 1.0)];
        let found = check(0.0, &betas, Some(1e-20));
        let fields: Vec<&str> = found.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["lr", "tau", "beta2"]);
        assert!(check(1.0, &[("momentum", 0.9)], None).is_empty());
        assert_eq!(check(f64::NAN, &[], Some(f64::INFINITY)).len(), 2);
    }
}
