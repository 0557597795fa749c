//! DepthFL: weak clients train the first layers of the network, up to one of its exits (Kim, Yu,
//! Kim and Moon, "DepthFL: Depthwise Federated Learning for Heterogeneous Clients", ICLR 2023). The
//! classifiers of a client teach each other, and each layer becomes the mean over the clients that
//! held it.
//!
//! The network has `Exit` layers. Of its n classifiers (the exits and the last layer), a client of
//! size r has the first ⌊r·n⌋, at least one, and no layers behind the deepest of them. The global
//! model is evaluated by the mean of the scores of all classifiers, as in the paper.
//!
//! The authors' runs also use FedDyn's regulariser, which is not part of this implementation.

use super::average::Weighting;
use super::client::{job_of, on_host, watched};
use super::fedavg::Trainer;
use super::{
    ClientHalf, ClientInput, ClientWork, Method, MethodError, Payload, Phase, Received, ReportKind,
    ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{train_exits, Scratch, Trained};
use crate::model::{Buffer, Model, ModelError, ParamSet, Sizes};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// DepthFL, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DepthFl {
    /// Whether a client's classifiers teach each other; otherwise each learns from the labels
    /// alone.
    pub self_distillation: bool,
    /// The number of rounds over which the weight of that teaching rises to 1, as exp(−5 (1 −
    /// t/ramp_up)²) in round t + 1. With 0 the weight is 1 from the start.
    pub ramp_up: u32,
    /// The weight of a report; the authors give all reports equal weight.
    pub weighting: Weighting,
}

impl Default for DepthFl {
    fn default() -> Self {
        Self {
            self_distillation: true,
            ramp_up: 300,
            weighting: Weighting::Uniform,
        }
    }
}

impl DepthFl {
    /// The weight of the teaching in `round`, counted from 1.
    fn consistency(&self, round: u32) -> f64 {
        if !self.self_distillation {
            return 0.0;
        }
        if self.ramp_up == 0 {
            return 1.0;
        }
        let passed = round.saturating_sub(1).min(self.ramp_up);
        let left = 1.0 - f64::from(passed) / f64::from(self.ramp_up);
        libm::exp(-5.0 * left * left)
    }
}

impl Method for DepthFl {
    fn sizes(&self) -> bool {
        true
    }

    fn sub_model(&self, full: &Model, ratio: f64) -> Result<Model, ModelError> {
        full.shallower(ratio)
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Parts
    }

    fn reads_layers(&self) -> Option<&'static str> {
        Some("its sub-models keep some of the layers")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            global: setup.initial,
            sizes: setup.sizes,
            weighting: self.weighting,
            sum: None,
            weights: BTreeMap::new(),
            cut: BTreeMap::new(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client {
            method: self.clone(),
        })
    }
}

/// The server half. The parameters of a shallower network are the first ones of the global model.
struct Server {
    global: ParamSet,
    sizes: Sizes,
    weighting: Weighting,
    sum: Option<Buffer>,
    /// For each number of parameters that was reported, the weight of those reports.
    weights: BTreeMap<usize, f64>,
    /// The parameters that clients of each level are sent in this round.
    cut: BTreeMap<usize, ParamSet>,
}

impl Server {
    /// The first parameters of the global model, as many as the network of `level` has.
    fn first(&mut self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        if level == 0 {
            return Ok(Some(self.global.clone()));
        }
        if let Some(set) = self.cut.get(&level) {
            return Ok(Some(set.clone()));
        }
        let first = self.at_level(level)?;
        if let Some(set) = &first {
            self.cut.insert(level, set.clone());
        }
        Ok(first)
    }

    /// Replaces each value by the mean of the reports that contained it. A value that no report
    /// contained stays.
    fn merge(&mut self) -> Result<(), MethodError> {
        let weights = std::mem::take(&mut self.weights);
        let Some(mut sum) = self.sum.take() else {
            return Ok(());
        };
        let (values, before) = (sum.as_mut_slice()?, self.global.as_slice()?);
        let mut end = values.len();
        let mut weight = 0.0;
        // The loop goes from the deepest values to the first; the weight of a report is added where
        // its network ends.
        for (&len, added) in weights.iter().rev() {
            close_segment(&mut values[len..end], &before[len..end], weight);
            weight += added;
            end = len;
        }
        close_segment(&mut values[..end], &before[..end], weight);
        self.global = sum.freeze();
        self.cut.clear();
        Ok(())
    }
}

fn close_segment(sums: &mut [f32], before: &[f32], weight: f64) {
    if weight > 0.0 {
        let weight = weight as f32;
        sums.iter_mut().for_each(|sum| *sum /= weight);
    } else {
        sums.copy_from_slice(before);
    }
}

impl ServerHalf for Server {
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        let level = self.sizes.level_of(client);
        let own = self.first(level)?;
        Ok(Payload::Model(own.unwrap_or_else(|| self.global.clone())))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let trained = report.payload.as_model()?;
        let own = &self.sizes.of(report.client).model;
        trained.has_layout(own.layout())?;
        let values = trained.as_slice()?;
        if self.sum.is_none() {
            self.sum = Some(Buffer::zeros_like(&self.global)?);
        }
        let Some(sum) = &mut self.sum else {
            return Ok(());
        };
        let weight = self.weighting.of(report.samples);
        let factor = weight as f32;
        for (sum, value) in sum.as_mut_slice()?.iter_mut().zip(values) {
            *sum += factor * value;
        }
        *self.weights.entry(values.len()).or_default() += weight;
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            self.merge()?;
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.sum = None;
        self.weights.clear();
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        Ok(())
    }

    /// One multiplication and one addition for each value of the deepest network.
    fn receive_flops(&self) -> Flops {
        Flops(2 * self.global.len() as u64)
    }

    fn round_flops(&self) -> Flops {
        Flops(self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        let Some(sub) = self.sizes.levels().get(level) else {
            return Ok(None);
        };
        let layout = sub.model.layout();
        let values = &self.global.as_slice()?[..layout.total()];
        Ok(Some(ParamSet::from_slice(layout, values)?))
    }
}

struct Client {
    method: DepthFl,
}

/// Clients are sent and report what they are sent and report in FedAvg.
const PLAIN: Trainer = Trainer { proximal: None };

impl ClientHalf for Client {
    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        PLAIN.training(input)
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        PLAIN.report(input, trained)
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        // A single classifier has no other to learn from, so this is ordinary training.
        if input.model.classifiers() == 1 {
            let trained = super::client::train_locally(self, input, scratch)?;
            return self.report(input, trained);
        }
        let job = job_of(self, input)?;
        let trained = on_host(train_exits(&job, self.method.consistency(input.round))?)?;
        self.report(input, watched(input, &job.start, trained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::fedavg::FedAvg;
    use crate::method::testing::{
        close, feature, label, local, samples_of, Toy, BATCH, CLASSES, INPUTS, SEED,
    };
    use crate::model::LayerSpec;
    use crate::sim::rng::{shuffle, stream, Purpose};

    const UNITS: usize = 4;
    const TRUNK: usize = UNITS * INPUTS + UNITS;
    const HEAD: usize = CLASSES * UNITS + CLASSES;
    /// Trunk, first head, second layer, last layer.
    const DEEP: usize = TRUNK + HEAD + UNITS * UNITS + UNITS + HEAD;

    fn start() -> [f32; DEEP] {
        std::array::from_fn(|i| (i * 37 % 64) as f32 / 64.0 - 0.5)
    }

    fn shallow() -> Vec<LayerSpec> {
        let dense = LayerSpec::dense;
        vec![dense(UNITS), LayerSpec::Relu, dense(CLASSES)]
    }

    fn toy<'a>(method: &'a DepthFl, ratios: &[f64]) -> Toy<'a> {
        let dense = LayerSpec::dense;
        let layers = [
            dense(UNITS),
            LayerSpec::Relu,
            LayerSpec::Exit {
                head: vec![dense(CLASSES)],
            },
            dense(UNITS),
            LayerSpec::Relu,
            dense(CLASSES),
        ];
        let model = Model::build(&layers, &[INPUTS], CLASSES).unwrap();
        Toy::of_model(method, &local(), 3, model, &start(), ratios)
    }

    /// `weights · x + biases`, both taken off the front of `w`.
    fn affine(w: &mut &[f64], x: &[f64], rows: usize) -> Vec<f64> {
        let (weights, rest) = w.split_at(rows * x.len());
        let (biases, rest) = rest.split_at(rows);
        *w = rest;
        let row = |r: usize| {
            let terms = x.iter().zip(&weights[r * x.len()..]);
            terms.map(|(x, w)| x * w).sum::<f64>() + biases[r]
        };
        (0..rows).map(row).collect()
    }

    /// Class probabilities of the classifiers that `w` has, from the definition.
    fn probabilities(w: &[f64], s: u32) -> Vec<Vec<f64>> {
        let relu = |v: Vec<f64>| v.into_iter().map(|v| v.max(0.0)).collect::<Vec<f64>>();
        let softmax = |scores: Vec<f64>| {
            let exps: Vec<f64> = scores.iter().map(|s| s.exp()).collect();
            let sum: f64 = exps.iter().sum();
            exps.iter().map(|e| e / sum).collect::<Vec<f64>>()
        };
        let mut left = w;
        let x: Vec<f64> = (0..INPUTS).map(|j| feature(s, j)).collect();
        let h = relu(affine(&mut left, &x, UNITS));
        let mut all = vec![softmax(affine(&mut left, &h, CLASSES))];
        if !left.is_empty() {
            let h = relu(affine(&mut left, &h, UNITS));
            all.push(softmax(affine(&mut left, &h, CLASSES)));
        }
        all
    }

    /// The objective over a batch at `w`, with teachers as they are at `fixed`.
    fn objective(w: &[f64], fixed: &[f64], batch: &[u32], consistency: f64) -> f64 {
        let each = batch.iter().map(|&s| {
            let (own, teachers) = (probabilities(w, s), probabilities(fixed, s));
            let mut loss = 0.0;
            for (i, q) in own.iter().enumerate() {
                loss -= q[label(s) as usize].ln();
                for p in teachers
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| *j != i)
                    .map(|(_, p)| p)
                {
                    let apart: f64 = p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum();
                    loss += consistency * apart / (own.len() - 1) as f64;
                }
            }
            loss
        });
        each.sum::<f64>() / batch.len() as f64
    }

    /// One client's training by central differences of the objective.
    fn reference(start: &[f64], client: u32, round: u32, consistency: f64) -> Vec<f64> {
        let (node, counter) = (u64::from(client), u64::from(round - 1));
        let mut order_stream = stream(SEED, node, Purpose::Shuffle, counter);
        let mut order = samples_of(client);
        let mut w = start.to_vec();
        for _ in 0..2 {
            shuffle(&mut order_stream, &mut order);
            for batch in order.chunks(BATCH) {
                let slope = |i: usize| {
                    let moved = |by: f64| {
                        let mut moved = w.clone();
                        moved[i] += by;
                        objective(&moved, &w, batch, consistency)
                    };
                    (moved(1e-6) - moved(-1e-6)) / 2e-6
                };
                let g: Vec<f64> = (0..w.len()).map(slope).collect();
                w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.25 * g);
            }
        }
        w
    }

    fn rounds(method: &DepthFl, consistency: impl Fn(u32) -> f64) {
        let ratios = [1.0, 0.5, 1.0];
        let mut toy = toy(method, &ratios);
        let mut w: Vec<f64> = start().iter().map(|&v| f64::from(v)).collect();
        for (round, cohort) in (1u32..).zip([vec![0, 1, 2], vec![1, 2], vec![1]]) {
            toy.round(&cohort);
            let (mut sum, mut held) = (vec![0.0; DEEP], vec![0.0; DEEP]);
            for &k in &cohort {
                let len = match ratios[k as usize] {
                    1.0 => DEEP,
                    _ => TRUNK + HEAD,
                };
                let trained = reference(&w[..len], k, round, consistency(round));
                for (i, value) in trained.iter().enumerate() {
                    sum[i] += value;
                    held[i] += 1.0;
                }
            }
            for i in (0..DEEP).filter(|&i| held[i] > 0.0) {
                w[i] = sum[i] / held[i];
            }
            close(&toy.model(), &w);
        }
    }

    #[test]
    fn rounds_are_those_of_a_float64_reference_layer_by_layer_over_those_who_hold_it() {
        let constant = DepthFl {
            ramp_up: 0,
            ..DepthFl::default()
        };
        rounds(&constant, |_| 1.0);
        let alone = DepthFl {
            self_distillation: false,
            ..DepthFl::default()
        };
        rounds(&alone, |_| 0.0);
    }

    #[test]
    fn the_weight_of_the_teaching_rises_over_the_ramp() {
        let ramp = DepthFl {
            ramp_up: 2,
            ..DepthFl::default()
        };
        rounds(&ramp, |round| match round {
            1 => (-5.0f64).exp(),
            2 => (-1.25f64).exp(),
            _ => 1.0,
        });
    }

    #[test]
    fn clients_of_the_first_depth_alone_are_fedavg_of_the_first_exits_network() {
        let method = DepthFl::default();
        let mut a = toy(&method, &[0.5; 3]);
        let average = FedAvg {
            weighting: Weighting::Uniform,
            fine_tune: None,
        };
        let model = Model::build(&shallow(), &[INPUTS], CLASSES).unwrap();
        let first = &start()[..TRUNK + HEAD];
        let mut b = Toy::of_model(&average, &local(), 3, model, first, &[1.0; 3]);
        for cohort in [vec![0, 1, 2], vec![2, 0]] {
            a.round(&cohort);
            b.round(&cohort);
            let (a, b) = (a.model(), b.model());
            let (a, b) = (a.as_slice().unwrap(), b.as_slice().unwrap());
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                assert!((a - b).abs() < 1e-6, "{i}: {a} against {b}");
            }
            assert_eq!(a[TRUNK + HEAD..], start()[TRUNK + HEAD..], "the rest stays");
        }
    }

    #[test]
    fn a_shallow_client_is_sent_the_layers_up_to_its_exit_and_no_more() {
        let method = DepthFl::default();
        let mut toy = toy(&method, &[0.5, 1.0, 0.5]);
        let bytes = |toy: &mut Toy, client| toy.server.task(client, 1).unwrap().wire_bytes().0;
        assert_eq!(bytes(&mut toy, 0), 8 + 4 * (TRUNK + HEAD) as u64);
        assert_eq!(bytes(&mut toy, 1), 8 + 4 * DEEP as u64);
        let at = toy.server.at_level(1).unwrap().unwrap();
        assert_eq!(at.as_slice().unwrap(), &start()[..TRUNK + HEAD]);
    }
}
