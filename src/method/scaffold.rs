//! SCAFFOLD: control variates correct the drift in the clients' gradients (Karimireddy et al., ICML
//! 2020, algorithm 1, option II).

use super::average::{add_flops, WeightedSum};
use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Method, MethodError, Metrics, Payload, Phase,
    Received, ReportKind, ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{Correction, LocalTraining, Optimizer, Trained};
use crate::model::{Buffer, ParamSet};
use crate::quantity::bounds::{above_zero, MOST};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// SCAFFOLD, with its settings.
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
        if local.optimizer.lr() == 0.0 {
            let rule = "control variates are steps divided by the learning rate: \
                        expected an lr above 0 for the clients";
            problems.push(("", rule.to_string()));
        }
        problems.extend(above_zero("server_lr", self.server_lr, MOST));
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
        let control = Buffer::zeros_like(&setup.initial)?.freeze();
        Ok(Box::new(Server {
            updates: WeightedSum::like(&setup.initial),
            controls: WeightedSum::like(&setup.initial),
            global: setup.initial,
            control,
            population: setup.population,
            server_lr: self.server_lr,
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client)
    }
}

struct Server {
    global: ParamSet,
    /// The server's control variate c.
    control: ParamSet,
    /// The number N of clients.
    population: u32,
    /// The global learning rate η_g.
    server_lr: f64,
    /// The sum of Δy_i over the cohort.
    updates: WeightedSum,
    /// The sum of Δc_i over the cohort.
    controls: WeightedSum,
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
        // Both parts of a report are used, or neither; otherwise c would no longer be the mean of
        // the c_i.
        control.has_layout(self.control.layout())?;
        // The paper gives all clients equal weight.
        self.updates.add(update, 1.0)?;
        self.controls.add(control, 1.0)?;
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            let sums = (self.updates.take()?, self.controls.take()?);
            if let (Some((mut x, cohort)), Some((mut c, _))) = sums {
                // The step is x += η_g/|S| Σ Δy_i and c += 1/N Σ Δc_i; the latter is |S|/N times
                // the mean of the Δc_i.
                let step = (self.server_lr / cohort) as f32;
                let share = (1.0 / f64::from(self.population)) as f32;
                let old = [&self.global, &self.control];
                Buffer::elementwise([&mut x, &mut c], old, |[dy, dc], [x, c]| {
                    [x + step * dy, c + share * dc]
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

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        global.has_layout(self.global.layout())?;
        self.global = global;
        Ok(())
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
        self.control.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        self.control = Snapshot::load(from)?;
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        add_flops(2 * self.global.len())
    }

    fn round_flops(&self) -> Flops {
        Flops(4 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

struct Client;

impl ClientHalf for Client {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        match name {
            CONTROL => matches!(payload, Payload::Update(_)),
            _ => true,
        }
    }

    fn only_trains(&self) -> bool {
        true
    }

    fn corrections(&self) -> u64 {
        1
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        let [model, control] = input.task.as_parts()?;
        // Each local step follows g(y) − c_i + c.
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
        // The new control variate is c_i⁺ with c_i⁺ − c_i = −c + (x − y_i) / (K·η_l).
        let per_step = trained.steps as f64 * input.local.rate(u64::from(input.round - 1));
        let scale = (1.0 / per_step) as f32;
        let mut update = trained.params.into_buffer()?;
        let mut change = Buffer::copy_of(c)?;
        if per_step > 0.0 {
            Buffer::elementwise([&mut update, &mut change], [x], |[y, c], [x]| {
                [y - x, (x - y) * scale - c]
            })?;
        } else {
            // Steps of length 0, when a schedule has reached 0, contain no information about the
            // gradient.
            update.clear()?;
            change.clear()?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Schedule;
    use crate::method::testing::{close, combine, local, mean, start, Descent, Toy, Vector};

    fn control(toy: &mut Toy) -> ParamSet {
        let task = toy.server.task(0, 1).unwrap();
        let [_, control] = task.as_parts().unwrap();
        control.as_update().unwrap().clone()
    }

    /// Algorithm 1 with option II, written out: five clients, of whom two are never asked.
    #[test]
    fn three_rounds_with_changing_cohorts_are_those_of_a_float64_reference() {
        let local = LocalTraining {
            schedule: Schedule::Exponential { factor: 0.5 },
            ..local()
        };
        let method = Scaffold { server_lr: 0.9 };
        let mut toy = Toy::of_population(&method, &local, 5);
        let mut x = start().to_vec();
        let mut c = vec![0.0; x.len()];
        let mut own: [Vector; 3] = std::array::from_fn(|_| c.clone());
        let cohorts: [&[u32]; 3] = [&[0, 1, 2], &[0, 2], &[2, 1]];
        for (round, cohort) in (1u32..).zip(cohorts) {
            toy.round(cohort);
            let lr = 0.25 * 0.5f64.powi(round as i32 - 1);
            let (mut dx, mut dc) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            for &k in cohort {
                let mine = &mut own[k as usize];
                let descent = Descent {
                    lr,
                    drift: Some(combine(&[(1.0, &c), (-1.0, mine)])),
                    ..Descent::of_local()
                };
                let (y, steps) = descent.client(&x, k, round);
                let per_step = 1.0 / (steps * lr);
                let new = combine(&[(1.0, mine), (-1.0, &c), (per_step, &x), (-per_step, &y)]);
                dx = combine(&[(1.0, &dx), (1.0, &y), (-1.0, &x)]);
                dc = combine(&[(1.0, &dc), (1.0, &new), (-1.0, mine)]);
                *mine = new;
                close(toy.kept(k, CONTROL).as_update().unwrap(), mine);
            }
            x = combine(&[(1.0, &x), (0.9 / cohort.len() as f64, &dx)]);
            c = combine(&[(1.0, &c), (1.0 / 5.0, &dc)]);
            close(&toy.model(), &x);
            close(&control(&mut toy), &c);
        }
    }

    #[test]
    fn when_all_take_part_the_servers_control_is_the_mean_of_the_clients() {
        let method = Scaffold::default();
        let mut toy = Toy::new(&method, &local());
        for cohort in [[0, 1, 2], [1, 2, 0]] {
            toy.round(&cohort);
            let owns: Vec<Vector> = (0..3)
                .map(|k| {
                    let own = toy.kept(k, CONTROL).as_update().unwrap();
                    own.as_slice()
                        .unwrap()
                        .iter()
                        .map(|&v| f64::from(v))
                        .collect()
                })
                .collect();
            close(&control(&mut toy), &mean(&owns, |_| 1.0));
        }
    }

    #[test]
    fn half_a_report_is_not_taken() {
        let method = Scaffold::default();
        let mut toy = Toy::new(&method, &local());
        toy.open();
        let stranger = crate::method::testing::set(&crate::method::testing::layout(), &[1.0; 6]);
        let payload = Payload::bundle([Payload::Update(toy.model()), Payload::Update(stranger)]);
        let report = toy.received(0, payload);
        assert!(toy.server.receive(&report).is_err());
        toy.close();
        close(&toy.model(), &start());
    }

    #[test]
    fn at_a_rate_of_zero_nothing_moves_and_controls_stay() {
        let local = LocalTraining {
            schedule: Schedule::Cosine {
                rounds: 1,
                min: 0.0,
            },
            ..local()
        };
        let method = Scaffold::default();
        let mut toy = Toy::new(&method, &local);
        toy.round(&[0, 1, 2]);
        let (model, controls) = (toy.model(), control(&mut toy));
        toy.round(&[0, 1, 2]);
        assert_eq!(toy.model().as_slice().unwrap(), model.as_slice().unwrap());
        assert_eq!(
            control(&mut toy).as_slice().unwrap(),
            controls.as_slice().unwrap()
        );
    }

    #[test]
    fn what_option_two_cannot_be_computed_from_is_refused() {
        let method = Scaffold::default();
        assert!(method.check(&local()).is_empty());
        let clipped = LocalTraining {
            clip: Some(1.0),
            ..local()
        };
        for bad in [clipped, LocalTraining::adam(0.1), LocalTraining::sgd(0.0)] {
            let problems = method.check(&bad);
            assert_eq!(problems.len(), 1, "{problems:?}");
        }
        let method = Scaffold { server_lr: 0.0 };
        assert_eq!(method.check(&local())[0].0, "server_lr");
    }
}
