//! FedNova (Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
//! Optimization", NeurIPS 2020, equation 9 and section 4). Each update is divided by the weight of
//! the client's local steps, so that clients with more steps have no more influence.

use super::average::{add_flops, WeightedSum, Weighting};
use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Method, MethodError, Metrics, Payload, Phase,
    Received, ReportKind, ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{Correction, LocalTraining, Optimizer, Trained};
use crate::model::{Buffer, ParamSet};
use crate::quantity::bounds::{zero_or_more, MOST};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FedNova, with its settings; `mu` adds a proximal term to the local objectives.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedNova {
    /// The weight μ of the proximal term.
    pub mu: f64,
    /// The weight of a report (p_i in the paper).
    pub weighting: Weighting,
}

impl Method for FedNova {
    fn check(&self, local: &LocalTraining) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        problems.extend(zero_or_more("mu", self.mu, MOST));
        if local.optimizer.lr() * self.mu >= 1.0 {
            let step = local.optimizer.lr() * self.mu;
            problems.push((
                "mu",
                format!("lr · mu is {step}: from 1 on a proximal step overshoots the global model; expected less"),
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

    fn reports(&self) -> ReportKind {
        ReportKind::Parts
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            updates: WeightedSum::like(&setup.initial),
            global: setup.initial,
            weighting: self.weighting,
            samples: 0.0,
            steps: 0.0,
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client { mu: self.mu })
    }
}

/// The norm ‖a‖₁: how much the gradients of `steps` local steps weigh in the client's total change.
///
/// The sum is computed term by term, and all terms are positive. The closed forms lose digits where
/// ρ is near 1 or α is near 0, and a term costs little beside the step that it stands for.
fn step_weight(steps: u64, momentum: f64, decay: f64) -> f64 {
    let (mut norm, mut term) = (0.0, 0.0);
    for step in 0..steps {
        term = if momentum > 0.0 {
            // a_j = 1 + ρ + … + ρ^(τ−1−j)
            momentum * term + 1.0
        } else if step == 0 {
            1.0
        } else {
            // A proximal term shrinks each earlier step by the factor 1 − α, where α = η·μ.
            term * (1.0 - decay)
        };
        norm += term;
    }
    norm
}

struct Server {
    global: ParamSet,
    weighting: Weighting,
    /// The sum Σ n_i Δ_i / ‖a_i‖₁.
    updates: WeightedSum,
    /// The sum Σ n_i.
    samples: f64,
    /// The sum Σ n_i ‖a_i‖₁.
    steps: f64,
}

impl ServerHalf for Server {
    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Model(self.global.clone()))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let [update, norm] = report.payload.as_parts()?;
        let [norm] = norm.as_scalars()?;
        if !(norm.is_finite() && norm > 0.0) {
            return Err(MethodError::Number {
                what: "the weight of a client's steps",
                expected: "a finite number above 0",
                found: norm,
            });
        }
        let weight = self.weighting.of(report.samples);
        self.updates.add(update.as_update()?, weight / norm)?;
        self.samples += weight;
        self.steps += weight * norm;
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            // The step is x += τ_eff Σ p_i Δ_i/‖a_i‖₁ with p_i = n_i/n and τ_eff = Σ p_i ‖a_i‖₁.
            // The paper leaves τ_eff free. This choice keeps the length of FedAvg's step, with or
            // without a proximal term; the authors' program counts plain steps in τ_eff if there is
            // one.
            let factor = (self.steps / (self.samples * self.samples)) as f32;
            if let Some((mut x, _)) = self.updates.take()? {
                Buffer::elementwise([&mut x], [&self.global], |[sum], [x]| [x + factor * sum])?;
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

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        global.has_layout(self.global.layout())?;
        self.global = global;
        Ok(())
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        add_flops(self.global.len())
    }

    fn round_flops(&self) -> Flops {
        Flops(2 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

struct Client {
    mu: f64,
}

impl ClientHalf for Client {
    fn only_trains(&self) -> bool {
        true
    }

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
        let norm = step_weight(trained.steps, momentum, lr * self.mu);
        let metrics = Metrics::of(&trained);
        let mut update = trained.params.into_buffer()?;
        update.sub(input.task.as_model()?)?;
        Ok(ClientWork {
            report: Payload::bundle([Payload::Update(update.freeze()), Payload::scalars([norm])]),
            state: ClientState::default(),
            metrics,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Amount, Schedule};
    use crate::method::fedavg::FedAvg;
    use crate::method::testing::{close, combine, local, size, start, Descent, Toy};

    /// ‖a‖₁ from its meaning: how far unit gradients at rate 1 carry a client in `steps` steps, by
    /// the recurrence of momentum or of a proximal term.
    fn carried(steps: u64, momentum: f64, decay: f64) -> f64 {
        let (mut way, mut velocity) = (0.0, 0.0);
        for _ in 0..steps {
            velocity = momentum * velocity + 1.0;
            way = (1.0 - decay) * way + velocity;
        }
        way
    }

    /// Three rounds against x ← x + τ_eff Σ p_i Δ_i / ‖a_i‖₁ with p_i = n_i / n and
    /// τ_eff = Σ p_i ‖a_i‖₁.
    fn three_rounds(mu: f64, local: &LocalTraining, descent: &Descent) {
        let method = FedNova {
            mu,
            ..FedNova::default()
        };
        let mut toy = Toy::new(&method, local);
        let mut x = start().to_vec();
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            let lr = local.rate(u64::from(round - 1));
            let descent = Descent {
                lr,
                ..descent.clone()
            };
            let n: f64 = (0..3).map(size).sum();
            let (mut mean, mut tau_eff) = (vec![0.0; x.len()], 0.0);
            for k in 0..3 {
                let p = size(k) / n;
                let (y, steps) = descent.client(&x, k, round);
                let a = carried(steps as u64, descent.momentum, lr * descent.mu);
                mean = combine(&[(1.0, &mean), (p / a, &y), (-p / a, &x)]);
                tau_eff += p * a;
            }
            x = combine(&[(1.0, &x), (tau_eff, &mean)]);
            close(&toy.model(), &x);
        }
    }

    #[test]
    fn plain_steps_are_those_of_a_float64_reference() {
        three_rounds(0.0, &local(), &Descent::of_local());
    }

    #[test]
    fn steps_with_momentum_are_those_of_a_float64_reference() {
        let momentum = 0.6;
        let optimizer = Optimizer::Sgd {
            lr: 0.1,
            momentum,
            nesterov: false,
            weight_decay: 0.0,
        };
        let local = LocalTraining {
            optimizer,
            ..local()
        };
        let descent = Descent {
            momentum,
            ..Descent::of_local()
        };
        three_rounds(0.0, &local, &descent);
    }

    #[test]
    fn proximal_steps_are_those_of_a_float64_reference_at_every_rate_of_a_schedule() {
        let local = LocalTraining {
            schedule: Schedule::Exponential { factor: 0.5 },
            ..local()
        };
        let descent = Descent {
            mu: 0.9,
            ..Descent::of_local()
        };
        three_rounds(0.9, &local, &descent);
    }

    #[test]
    fn the_weight_of_steps_is_how_far_unit_gradients_carry() {
        let (near_one, near_zero) = (1.0 - 1e-12, 1e-12);
        for steps in (1..30).chain([3_000]) {
            for (momentum, decay) in [
                (0.0, 0.0),
                (0.9, 0.0),
                (0.3, 0.0),
                (near_one, 0.0),
                (0.0, 0.05),
                (0.0, 0.9),
                (0.0, near_zero),
            ] {
                let (got, way) = (
                    step_weight(steps, momentum, decay),
                    carried(steps, momentum, decay),
                );
                assert!((got - way).abs() < 1e-10 * way, "{got} against {way}");
            }
        }
    }

    #[test]
    fn with_equal_steps_it_is_fedavg_to_rounding() {
        let local = LocalTraining {
            amount: Amount::Steps(4),
            ..local()
        };
        let (nova, average) = (FedNova::default(), FedAvg::default());
        let (mut a, mut b) = (Toy::new(&nova, &local), Toy::new(&average, &local));
        for cohort in [[0, 1, 2], [2, 1, 0]] {
            a.round(&cohort);
            b.round(&cohort);
            let apart = a.model().distance_squared(&b.model()).unwrap();
            assert!(apart < 1e-12, "{apart}");
        }
    }

    #[test]
    fn a_step_weight_that_is_not_above_zero_is_refused_and_counts_nothing() {
        let method = FedNova::default();
        let mut toy = Toy::new(&method, &local());
        toy.open();
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let payload = Payload::bundle([Payload::Update(toy.model()), Payload::scalars([bad])]);
            let report = toy.received(0, payload);
            let error = toy.server.receive(&report).unwrap_err();
            let message = format!(
                "expected the weight of a client's steps to be a finite number above 0, got {bad}"
            );
            assert_eq!(error.to_string(), message);
        }
        toy.close();
        close(&toy.model(), &start());
    }

    #[test]
    fn combinations_whose_step_weight_is_unknown_are_refused() {
        let sgd = |momentum, nesterov| LocalTraining {
            optimizer: Optimizer::Sgd {
                lr: 0.5,
                momentum,
                nesterov,
                weight_decay: 0.0,
            },
            ..local()
        };
        let fields = |mu, local: &LocalTraining| -> Vec<&str> {
            let method = FedNova {
                mu,
                ..FedNova::default()
            };
            method
                .check(local)
                .into_iter()
                .map(|(field, _)| field)
                .collect()
        };
        assert_eq!(fields(0.0, &sgd(0.9, false)), Vec::<&str>::new());
        assert_eq!(fields(0.0, &sgd(0.9, true)), [""]);
        assert_eq!(fields(0.1, &sgd(0.9, false)), ["mu"]);
        assert_eq!(fields(0.0, &LocalTraining::adam(0.1)), [""]);
        assert_eq!(fields(2.0, &sgd(0.0, false)), ["mu"]);
        assert_eq!(fields(f64::NAN, &sgd(0.0, false)), ["mu"]);
    }
}
