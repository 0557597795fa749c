//! FjORD: ordered dropout (Horváth, Laskaridis, Almeida, Leontiadis, Venieris and Lane, "FjORD:
//! Fair and Accurate Federated Learning under Heterogeneous Targets with Ordered Dropout", NeurIPS
//! 2021, algorithm 1). A client whose largest width is p trains, in each step, the first units of
//! every layer at a width that is drawn with equal probability from the levels up to p. So every
//! narrower network becomes a good one, too. Each parameter becomes the mean over the clients that
//! held it, weighted by their samples (equation 3).
//!
//! With self-distillation (section 3.3), each step also trains the client's largest network, and
//! the drawn network learns from its scores.

use super::average::Weighting;
use super::client::{job_of, on_host, watched};
use super::fedavg::Trainer;
use super::sub_models::{Choice, SubModelServer};
use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, ReportKind, ServerHalf, Setup,
    Training,
};
use crate::learn::{
    train_ordered, Cost, LocalTraining, Optimizer, Scratch, SelfDistillation, Trained,
};
use crate::model::Level;
use crate::quantity::bounds::above_zero;
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// FjORD, with its settings. The levels are the sizes that the scenario's clients have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fjord {
    /// Whether the client's largest network teaches the drawn one.
    pub self_distillation: bool,
    /// The weight of the teacher against the labels in the drawn network's loss, from 0 to 1.
    pub alpha: f64,
    /// The temperature: the scores of both networks are divided by it when they are compared.
    pub temperature: f64,
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Default for Fjord {
    fn default() -> Self {
        Self {
            self_distillation: false,
            alpha: 1.0,
            temperature: 1.0,
            weighting: Weighting::Samples,
        }
    }
}

impl Method for Fjord {
    fn check(&self, local: &LocalTraining) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if !(0.0..=1.0).contains(&self.alpha) {
            let message = format!("expected a weight from 0 to 1, found {}", self.alpha);
            problems.push(("alpha", message));
        }
        problems.extend(above_zero("temperature", self.temperature, 1e6));
        let plain = matches!(
            local.optimizer,
            Optimizer::Sgd { momentum, weight_decay, .. } if momentum == 0.0 && weight_decay == 0.0
        );
        if !plain {
            let rule = "a step must leave the units alone that it has dropped, which momentum, \
                        weight decay and Adam's moments do not: expected plain Sgd";
            problems.push(("", rule.to_string()));
        }
        problems
    }

    fn sizes(&self) -> bool {
        true
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Parts
    }

    fn reads_layers(&self) -> Option<&'static str> {
        Some("its sub-models keep some of the units of every layer")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let server = SubModelServer::new(setup, Choice::Prefix, self.weighting);
        Ok(Box::new(server))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client {
            teacher: self.self_distillation.then_some(SelfDistillation {
                alpha: self.alpha,
                temperature: self.temperature,
            }),
        })
    }
}

struct Client {
    teacher: Option<SelfDistillation>,
}

/// Clients are sent and report what they are sent and report in FedAvg.
const PLAIN: Trainer = Trainer { proximal: None };

impl ClientHalf for Client {
    /// The mean cost over the widths that a step may draw, and the cost of the teacher's step if
    /// there is one. The gradients of a drawn network take at most the memory of another copy of
    /// the parameters.
    fn cost(&self, own: &Level, narrower: &[Level], local: &LocalTraining, samples: usize) -> Cost {
        let widest = Cost::training(&own.model, local, samples, 1);
        let flops = |level: &Level| Cost::training(&level.model, local, samples, 1).flops.0;
        let all: u64 = narrower.iter().map(flops).sum::<u64>() + widest.flops.0;
        let drawn = all / (narrower.len() as u64 + 1);
        let teacher = self.teacher.map_or(0, |_| widest.flops.0);
        Cost {
            flops: Flops(drawn + teacher),
            memory: widest.memory,
        }
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        PLAIN.training(input)
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        PLAIN.report(input, trained)
    }

    fn run(&self, input: &ClientInput, _: &mut Scratch) -> Result<ClientWork, MethodError> {
        let narrower = input.sizes.narrower(input.client).iter();
        let mut widths = vec![Arc::clone(&input.model)];
        widths.extend(narrower.map(|level| Arc::clone(&level.model)));
        let job = job_of(self, input)?;
        let trained = on_host(train_ordered(&job, &widths, self.teacher)?)?;
        self.report(input, watched(input, &job.start, trained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Correction, TrainJob};
    use crate::method::heterofl::HeteroFl;
    use crate::method::testing::narrow::{merge, places, start, toy, NarrowDescent, Part, HIDDEN};
    use crate::method::testing::{
        close, feature, label, local, samples_of, size, BATCH, CLASSES, INPUTS, SEED,
    };
    use crate::model::{LayerSpec, Model};
    use crate::sim::rng::{below, shuffle, stream, Purpose};

    /// Where the parameters of the first `units` lie in a network of `of` hidden units.
    fn first(units: usize, of: usize) -> Vec<usize> {
        let second = of * INPUTS + of;
        let mut all: Vec<usize> = (0..units * INPUTS).collect();
        all.extend((0..units).map(|u| of * INPUTS + u));
        all.extend((0..CLASSES).flat_map(|c| (0..units).map(move |u| second + c * of + u)));
        all.extend((0..CLASSES).map(|c| second + CLASSES * of + c));
        all
    }

    /// Class scores of sample `s`, from the definition.
    fn scores(w: &[f64], s: u32) -> Vec<f64> {
        let hidden = (w.len() - CLASSES) / (INPUTS + 1 + CLASSES);
        let second = hidden * INPUTS + hidden;
        let h = (0..hidden).map(|u| {
            let sum: f64 = (0..INPUTS).map(|j| w[u * INPUTS + j] * feature(s, j)).sum();
            (sum + w[hidden * INPUTS + u]).max(0.0)
        });
        let h: Vec<f64> = h.collect();
        let score = |c: usize| {
            let sum: f64 = (0..hidden).map(|u| w[second + c * hidden + u] * h[u]).sum();
            sum + w[second + CLASSES * hidden + c]
        };
        (0..CLASSES).map(score).collect()
    }

    fn softmax(scores: &[f64], temperature: f64) -> Vec<f64> {
        let exps: Vec<f64> = scores.iter().map(|s| (s / temperature).exp()).collect();
        let sum: f64 = exps.iter().sum();
        exps.iter().map(|e| e / sum).collect()
    }

    /// The student's mean loss over a batch; the teacher's parameters are constants.
    fn student(w: &[f64], teacher: &[f64], batch: &[u32], method: &Fjord) -> f64 {
        let each = batch.iter().map(|&s| {
            let (own, target) = (scores(w, s), scores(teacher, s));
            let hard = -softmax(&own, 1.0)[label(s) as usize].ln();
            let (p, q) = (
                softmax(&target, method.temperature),
                softmax(&own, method.temperature),
            );
            let apart: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
            let soft = method.temperature * method.temperature * apart;
            (1.0 - method.alpha) * hard + method.alpha * soft
        });
        each.sum::<f64>() / batch.len() as f64
    }

    /// One client's training from the definition: the drawn network's gradient where it has parameters;
    /// with a teacher, central differences of the student's loss beside the teacher's own gradient.
    fn reference(
        method: &Fjord,
        start: &[f64],
        widths: &[usize],
        client: u32,
        round: u32,
    ) -> Vec<f64> {
        let plain = NarrowDescent::of_local();
        let named = |purpose| stream(SEED, u64::from(client), purpose, u64::from(round - 1));
        let (mut order_stream, mut draws) = (named(Purpose::Shuffle), named(Purpose::Method));
        let mut order = samples_of(client);
        let mut w = start.to_vec();
        for _ in 0..plain.epochs {
            shuffle(&mut order_stream, &mut order);
            for batch in order.chunks(BATCH) {
                let drawn = widths[below(&mut draws, widths.len() as u64) as usize];
                let kept = first(drawn, widths[0]);
                let part: Vec<f64> = kept.iter().map(|&place| w[place]).collect();
                let mut g = vec![0.0; w.len()];
                if !method.self_distillation {
                    let own = plain.gradient(&part, batch);
                    kept.iter()
                        .zip(own)
                        .for_each(|(&place, own)| g[place] += own);
                } else {
                    g = plain.gradient(&w, batch);
                    for (i, &place) in kept.iter().enumerate() {
                        let moved = |by: f64| {
                            let mut part = part.clone();
                            part[i] += by;
                            student(&part, &w, batch, method)
                        };
                        g[place] += (moved(1e-6) - moved(-1e-6)) / 2e-6;
                    }
                }
                w.iter_mut().zip(g).for_each(|(w, g)| *w -= plain.lr * g);
            }
        }
        w
    }

    fn rounds(method: &Fjord, ratios: [f64; 3]) {
        let mut toy = toy(method, &local(), ratios);
        let mut levels: Vec<usize> = ratios
            .iter()
            .map(|r| (HIDDEN as f64 * r) as usize)
            .collect();
        levels.sort_unstable_by(|a, b| b.cmp(a));
        levels.dedup();
        let mut w = start().to_vec();
        for round in 1..=3 {
            toy.round(&[0, 1, 2]);
            let parts = (0..3u32).map(|k| {
                let widest = (HIDDEN as f64 * ratios[k as usize]) as usize;
                let up_to: Vec<usize> = levels.iter().copied().filter(|&n| n <= widest).collect();
                let kept: Vec<usize> = (0..widest).collect();
                let own: Vec<f64> = places(&kept).iter().map(|&place| w[place]).collect();
                Part {
                    values: reference(method, &own, &up_to, k, round),
                    kept,
                    weight: size(k),
                    classes: None,
                }
            });
            w = merge(&w, &parts.collect::<Vec<Part>>());
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn rounds_are_those_of_a_float64_reference() {
        rounds(&Fjord::default(), [1.0, 0.5, 1.0]);
        rounds(&Fjord::default(), [0.5, 1.0, 0.25]);
    }

    #[test]
    fn self_distillation_is_that_of_central_differences_in_float64() {
        let paper = Fjord {
            self_distillation: true,
            ..Fjord::default()
        };
        rounds(&paper, [1.0, 0.5, 1.0]);
        let mixed = Fjord {
            alpha: 0.75,
            temperature: 2.0,
            ..paper
        };
        rounds(&mixed, [1.0, 0.5, 0.25]);
    }

    #[test]
    fn with_one_level_it_is_heterofl_without_scaler_and_masked_loss() {
        let nested = HeteroFl {
            scaler: false,
            masked_loss: false,
            weighting: Weighting::Samples,
            ..HeteroFl::default()
        };
        let method = Fjord::default();
        for ratio in [1.0, 0.5] {
            let (mut a, mut b) = (
                toy(&method, &local(), [ratio; 3]),
                toy(&nested, &local(), [ratio; 3]),
            );
            for cohort in [vec![0, 1, 2], vec![2, 1]] {
                a.round(&cohort);
                b.round(&cohort);
                assert!(a.model().distance_squared(&b.model()).unwrap() < 1e-12);
            }
        }
    }

    #[test]
    fn convolutions_and_what_is_flattened_behind_them_are_cut_to_their_first_units() {
        // A client of the full width whose every step draws the half one: what it trains is what a
        // client of half the width trains, and the rest of its network stays.
        let layers = [
            LayerSpec::conv(4, 2, 0),
            LayerSpec::Relu,
            LayerSpec::Flatten,
            LayerSpec::dense(CLASSES),
        ];
        let full = Arc::new(Model::build(&layers, &[1, 3, 3], CLASSES).unwrap());
        let half = Arc::new(full.narrowed(0.5).unwrap());
        let samples: Vec<u32> = (0..12).collect();
        let features = (0..12 * 9).map(|i| (i * 29 % 37) as f32 / 18.0 - 1.0);
        let plain = crate::learn::Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let data = crate::learn::DeviceData::new(
            &[1, 3, 3],
            crate::learn::Features::F32(features.collect()),
            plain,
            samples.iter().map(|s| s % CLASSES as u32).collect(),
            CLASSES,
            tch::Device::Cpu,
        );
        let start = full.init(3, crate::model::Initializer::PyTorch).unwrap();
        let prefix = crate::model::Selection::prefix(full.units(), half.units());
        let job = |model: &Arc<Model>, start| TrainJob {
            model: Arc::clone(model),
            start,
            data: Arc::new(data.unwrap()),
            samples: samples.clone().into(),
            local: local(),
            round: 0,
            seed: SEED,
            client: 1,
            correction: Correction::default(),
        };
        let whole = job(&full, start.clone());
        let mut narrow = whole.clone();
        narrow.model = Arc::clone(&half);
        narrow.start = prefix.gather(&full, &half, &start).unwrap();
        let got = train_ordered(&whole, &[Arc::clone(&half)], None).unwrap();
        let alone = crate::learn::train(&narrow, &mut Scratch::new()).unwrap();
        let mut merged = crate::model::PartialSum::new(Arc::clone(&full));
        merged
            .add(&prefix, &half, &alone.params, 1.0, None)
            .unwrap();
        let expected = merged.take_mean(&start).unwrap().unwrap();
        assert!(got.params.distance_squared(&expected).unwrap() < 1e-10);
        assert!(got.params.distance_squared(&start).unwrap() > 1e-4);
    }

    #[test]
    fn a_step_costs_the_mean_of_the_widths_and_the_teacher_on_top() {
        let model = Model::build(&[LayerSpec::dense(8), LayerSpec::dense(2)], &[3], 2).unwrap();
        let level = |ratio| Level {
            ratio,
            model: Arc::new(model.narrowed(ratio).unwrap()),
        };
        let (own, narrower) = (level(0.5), [level(0.25)]);
        let flops = |method: &Fjord| method.client().cost(&own, &narrower, &local(), 10).flops.0;
        // Per sample forward: u units of 3 inputs and a bias, 2 scores of u inputs and a bias.
        let forward = |u: u64| u * (2 * 3 + 1) + 2 * (2 * u + 1);
        let (wide, thin) = (20 * 3 * forward(4), 20 * 3 * forward(2));
        assert_eq!(flops(&Fjord::default()), (wide + thin) / 2);
        let taught = Fjord {
            self_distillation: true,
            ..Fjord::default()
        };
        assert_eq!(flops(&taught), (wide + thin) / 2 + wide);
    }

    #[test]
    fn what_would_move_dropped_units_is_refused() {
        let with = |momentum, weight_decay| LocalTraining {
            optimizer: Optimizer::Sgd {
                lr: 0.1,
                momentum,
                nesterov: false,
                weight_decay,
            },
            ..local()
        };
        let method = Fjord::default();
        assert!(method.check(&with(0.0, 0.0)).is_empty());
        for bad in [with(0.9, 0.0), with(0.0, 1e-4), LocalTraining::adam(0.1)] {
            assert_eq!(method.check(&bad).len(), 1);
        }
        let odd = Fjord {
            alpha: 1.5,
            temperature: 0.0,
            ..method
        };
        let fields: Vec<&str> = odd
            .check(&local())
            .iter()
            .map(|(field, _)| *field)
            .collect();
        assert_eq!(fields, ["alpha", "temperature"]);
    }
}
