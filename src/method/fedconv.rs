//! FedConv (Shen et al., "FedConv: A Learning-on-Model Paradigm for Heterogeneous Federated Clients",
//! MobiSys 2024): the server learns, on a public set, convolutions over the parameters themselves
//! that compress the global model to each client's width and dilate what comes back, and learns
//! element-wise weights to add the dilated models up with. Clients know nothing of this: they are
//! sent a dense sub-model and return one.
//!
//! A round, with the authors' names: the global model θ is fine-tuned on the public set; a bank F_j
//! a width is learned so that Compress(θ, F_j) is good on it; clients train; each client's model is
//! fine-tuned on the public set, and a bank G_k of its own learned so that Dilate(θ_k, G_k) is good;
//! at last weights a_k, one for each value, so that Σ n_k a_k ∘ Θ_k / Σ n_k is good.
//!
//! Where this departs from the authors' program, and why, is in `docs/methods.md`.
//!
//! In the folder: `bank`, the filters; `fit`, learning on the public set; `tests`.

mod bank;
mod fit;
#[cfg(test)]
mod tests;

pub use bank::FilterInit;

use super::average::Weighting;
use super::fedavg::Trainer;
use super::{
    ClientHalf, Method, MethodError, Payload, Phase, PublicData, Received, ServerHalf, ServerJob,
    Setup,
};
use crate::learn::{train, Amount, Cost, LocalTraining, TrainJob};
use crate::model::{Buffer, LayerProblem, Model, ModelError, ParamSet, Sizes};
use crate::quantity::Flops;
use crate::sim::mix_words;
use crate::sim::rng::{stream, Purpose};
use bank::{Plan, Way};
use fit::Fit;
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tch::{Device, Kind, TchError, Tensor};

/// FedConv. Every number of epochs is a budget; the authors' are in brackets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FedConv {
    /// Passes over the public set that fine-tune the global model before a round [10].
    pub tune: u32,
    /// Passes that learn a compression bank, and as many for a dilation bank [20].
    pub filter: u32,
    /// The same from the sixth round on [10].
    pub filter_later: u32,
    /// Passes that fine-tune each client's model after a round [10].
    pub tune_clients: u32,
    /// Passes that learn the weights of the aggregation [20].
    pub aggregate: u32,
    /// Adam's rate for fine-tuning.
    pub tune_lr: f64,
    /// Adam's rate for filters and weights, halved every 25 rounds while above 1e-4.
    pub filter_lr: f64,
    /// Samples a step on the server.
    pub batch: usize,
    /// What is done, twice, to every compressed or dilated value.
    pub activation: Activation,
    /// How filters begin.
    pub init: FilterInit,
    /// How the weights of the aggregation begin.
    pub weights: WeightInit,
    /// How much a report counts, beside its learned weights.
    pub weighting: Weighting,
}

/// What is done to compressed and dilated values.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub enum Activation {
    /// Nothing. With [`FilterInit::Delta`] a round then begins as HeteroFL's.
    #[default]
    Identity,
    /// The authors' modified leaky ReLU: `negative · x` below 0 and `positive · x` above; theirs has
    /// 0.001 and 0.85. Applied twice it leaves a millionth of a negative weight.
    Mlr {
        /// Slope below 0.
        negative: f64,
        /// Slope above 0.
        positive: f64,
    },
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Identity => Ok(x.shallow_clone()),
            Self::Mlr { negative, positive } => {
                let above = x.f_relu()?.f_mul_scalar(positive)?;
                above.f_add(&x.f_clamp_max(0.0)?.f_mul_scalar(negative)?)
            }
        }
    }
}

/// How the element-wise weights of the aggregation begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum WeightInit {
    /// Ones: before anything is learned, the aggregation is the weighted mean.
    #[default]
    Ones,
    /// Drawn from N(0, 1), as the authors have it.
    Normal,
}

impl Default for FedConv {
    fn default() -> Self {
        Self {
            tune: 10,
            filter: 20,
            filter_later: 10,
            tune_clients: 10,
            aggregate: 20,
            tune_lr: 1e-4,
            filter_lr: 1e-3,
            batch: 32,
            activation: Activation::default(),
            init: FilterInit::default(),
            weights: WeightInit::default(),
            weighting: Weighting::Samples,
        }
    }
}

impl Method for FedConv {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        for (field, rate) in [("tune_lr", self.tune_lr), ("filter_lr", self.filter_lr)] {
            if !(rate.is_finite() && rate > 0.0) {
                problems.push((field, format!("expected a number above 0, found {rate}")));
            }
        }
        if self.batch == 0 {
            problems.push((
                "batch",
                "expected a whole number of 1 or more, found 0".into(),
            ));
        }
        if let Activation::Mlr { negative, positive } = self.activation {
            if !(negative.is_finite() && positive.is_finite()) {
                problems.push((
                    "activation",
                    "expected slopes that are finite numbers".into(),
                ));
            }
        }
        problems
    }

    fn sizes(&self) -> bool {
        true
    }

    fn needs_public(&self) -> bool {
        true
    }

    fn sub_model(&self, full: &Model, ratio: f64) -> Result<Model, ModelError> {
        if full.has_statistics() {
            // They are measured, not learned: no filter could make them from others.
            return Err(ModelError {
                problems: vec![LayerProblem {
                    path: "layers".into(),
                    message: STATISTICS.into(),
                }],
            });
        }
        full.narrowed(ratio)
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        if setup.model.has_statistics() {
            // Where all clients have the full width, no sub-model was refused.
            return Err(MethodError::Network(STATISTICS));
        }
        Ok(Box::new(Server::new(self.clone(), setup)))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Trainer { proximal: None })
    }
}

/// Why batch statistics are refused, and what to do.
const STATISTICS: &str =
    "FedConv cannot learn the statistics of BatchNorm, which are measured: use GroupNorm";

/// Filters between the full network and one width.
struct Filters {
    compress: Arc<Plan>,
    dilate: Arc<Plan>,
    /// Learned numbers of the width's compression bank.
    learned: Arc<[f32]>,
    /// What clients of the width are sent this round.
    cut: Option<ParamSet>,
}

/// A report of this round.
struct Reported {
    client: u32,
    weight: f64,
    params: ParamSet,
}

/// What the server waits for within a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The phase has just begun.
    Begun,
    /// The global model is being fine-tuned.
    Tuning,
    /// Compression banks are being learned.
    Compressing,
    /// Clients' models are being fine-tuned and dilated.
    Dilating,
    /// Weights of the aggregation are being learned.
    Weighing,
}

struct Server {
    method: FedConv,
    setup: Setup,
    global: ParamSet,
    /// By width; none at the full one.
    filters: Vec<Option<Filters>>,
    /// Dilation banks of the clients that have reported.
    dilation: BTreeMap<u32, Arc<[f32]>>,
    /// Weights of the aggregation of the clients that have reported.
    weights: BTreeMap<u32, ParamSet>,
    reported: Vec<Reported>,
    dilated: Vec<ParamSet>,
    stage: Stage,
    round: u32,
}

/// What counters of the server's streams are for.
mod purpose {
    pub const COMPRESSION: u64 = 1;
    pub const DILATION: u64 = 2;
    pub const WEIGHTS: u64 = 3;
    pub const FIT_COMPRESSION: u64 = 4;
    pub const FIT_DILATION: u64 = 5;
    pub const FIT_WEIGHTS: u64 = 6;
}

/// Names a stream of the server's.
fn counter(round: u32, purpose: u64, which: u64) -> u64 {
    mix_words(&[u64::from(round), purpose, which])
}

impl Server {
    fn new(method: FedConv, setup: Setup) -> Self {
        let filters = setup
            .sizes
            .levels()
            .iter()
            .enumerate()
            .map(|(number, level)| {
                if number == 0 {
                    return None;
                }
                let compress = Plan::new(Way::Compress, &setup.model, &level.model);
                let name = counter(0, purpose::COMPRESSION, number as u64);
                let mut rng = stream(setup.seed, 0, Purpose::Method, name);
                Some(Filters {
                    learned: compress.begin(method.init, &mut rng).into(),
                    compress: Arc::new(compress),
                    dilate: Arc::new(Plan::new(Way::Dilate, &setup.model, &level.model)),
                    cut: None,
                })
            });
        Self {
            filters: filters.collect(),
            global: setup.initial.clone(),
            method,
            setup,
            dilation: BTreeMap::new(),
            weights: BTreeMap::new(),
            reported: Vec::new(),
            dilated: Vec::new(),
            stage: Stage::Begun,
            round: 0,
        }
    }

    fn sizes(&self) -> &Sizes {
        &self.setup.sizes
    }

    fn public(&self) -> Result<PublicData, MethodError> {
        self.setup.public.clone().ok_or(MethodError::NoPublicData)
    }

    /// Passes that a bank may take in this round.
    fn filter_epochs(&self) -> u32 {
        match self.round {
            ..=5 => self.method.filter,
            _ => self.method.filter_later,
        }
    }

    /// Rate of filters and weights: halved every 25 rounds while above 1e-4.
    fn filter_lr(&self) -> f64 {
        let mut lr = self.method.filter_lr;
        for _ in 0..self.round / 25 {
            if lr > 1e-4 {
                lr /= 2.0;
            }
        }
        lr
    }

    fn fit(&self, epochs: u32, purpose: u64, which: u64) -> Fit {
        Fit {
            epochs,
            lr: self.filter_lr(),
            batch: self.method.batch,
            seed: self.setup.seed,
            counter: counter(self.round, purpose, which),
        }
    }

    /// Operations of `epochs` passes over the public set through `model`, with `each` more a step,
    /// and of choosing among the start and what each pass gives. What is chosen from is made by the
    /// third part of a step's `each` that leads forwards.
    fn fit_flops(&self, model: &Model, epochs: u32, each: u64) -> u64 {
        let (learned, chosen) = match &self.setup.public {
            Some(public) => (public.train.len() as u64, public.select.len() as u64),
            None => (0, 0),
        };
        let steps = learned.div_ceil(self.method.batch.max(1) as u64);
        let learning = learned.saturating_mul(model.training_flops().0);
        let choosing = chosen.saturating_mul(model.forward_flops().0);
        let (pass, choice) = (
            learning.saturating_add(steps.saturating_mul(each)),
            choosing.saturating_add(each / 3),
        );
        let epochs = u64::from(epochs);
        pass.saturating_mul(epochs)
            .saturating_add(choice.saturating_mul(epochs + 1))
    }

    /// Fine-tuning of `start` on the public set; nothing if the budget has none.
    fn tuning(
        &self,
        model: &Arc<Model>,
        start: ParamSet,
        epochs: u32,
        which: u64,
    ) -> Option<TrainJob> {
        let public = self.setup.public.as_ref().filter(|_| epochs > 0)?;
        Some(TrainJob {
            model: Arc::clone(model),
            start,
            data: Arc::clone(&public.data),
            samples: public.train.clone(),
            local: LocalTraining {
                amount: Amount::Epochs(epochs),
                batch: self.method.batch,
                ..LocalTraining::adam(self.method.tune_lr)
            },
            round: u64::from(self.round - 1),
            seed: self.setup.seed,
            // No client has such a number: the server's streams are its own.
            client: u64::MAX - which,
            correction: Default::default(),
        })
    }

    // The jobs.

    fn tune_global(&self) -> Vec<ServerJob> {
        let model = &self.setup.model;
        let job = self.tuning(model, self.global.clone(), self.method.tune, 0);
        let jobs = job.into_iter().map(|job| ServerJob {
            flops: Cost::training(model, &job.local, job.samples.len(), 0).flops,
            work: Arc::new(move |scratch| {
                let trained = train(&job, scratch)?;
                Ok(Payload::Model(trained.params.to_device(Device::Cpu)?))
            }),
        });
        jobs.collect()
    }

    /// Learns every width's compression bank.
    fn compress(&self) -> Result<Vec<ServerJob>, MethodError> {
        let mut jobs = Vec::new();
        for (number, filters) in self.filters.iter().enumerate() {
            let Some(filters) = filters else { continue };
            let sub = Arc::clone(&self.sizes().levels()[number].model);
            let plan = Arc::clone(&filters.compress);
            let (learned, global) = (Arc::clone(&filters.learned), self.global.clone());
            let (public, activation) = (self.public()?, self.method.activation);
            let epochs = self.filter_epochs();
            let fit = self.fit(epochs, purpose::FIT_COMPRESSION, number as u64);
            jobs.push(ServerJob {
                flops: Flops(self.fit_flops(&sub, epochs, plan.flops())),
                work: Arc::new(move |_| {
                    learn_bank(&plan, &learned, &global, &sub, &public, fit, activation)
                }),
            });
        }
        Ok(jobs)
    }

    /// Fine-tunes every client's model and brings it to the full width.
    fn dilate(&self) -> Result<Vec<ServerJob>, MethodError> {
        let full = &self.setup.model;
        let mut jobs = Vec::new();
        for report in &self.reported {
            let number = self.sizes().level_of(report.client);
            let model = Arc::clone(&self.sizes().levels()[number].model);
            let which = 1 + u64::from(report.client);
            let epochs = self.method.tune_clients;
            let tuning = self.tuning(&model, report.params.clone(), epochs, which);
            let mut flops = tuning.as_ref().map_or(0, |job| {
                Cost::training(&model, &job.local, job.samples.len(), 0)
                    .flops
                    .0
            });
            let bank = match self.filters.get(number).and_then(Option::as_ref) {
                None => None,
                Some(filters) => {
                    let plan = Arc::clone(&filters.dilate);
                    let learned = match self.dilation.get(&report.client) {
                        Some(learned) => Arc::clone(learned),
                        None => {
                            let name = counter(0, purpose::DILATION, which);
                            let mut rng = stream(self.setup.seed, 0, Purpose::Method, name);
                            plan.begin(self.method.init, &mut rng).into()
                        }
                    };
                    let epochs = self.filter_epochs();
                    let fit = self.fit(epochs, purpose::FIT_DILATION, which);
                    flops += self.fit_flops(full, epochs, plan.flops());
                    Some((plan, learned, fit))
                }
            };
            let (params, full) = (report.params.clone(), Arc::clone(full));
            let (public, activation) = (self.public()?, self.method.activation);
            jobs.push(ServerJob {
                flops: Flops(flops),
                work: Arc::new(move |scratch| {
                    let tuned = match &tuning {
                        Some(job) => train(job, scratch)?.params.to_device(Device::Cpu)?,
                        None => params.clone(),
                    };
                    match &bank {
                        Some((plan, learned, fit)) => {
                            learn_bank(plan, learned, &tuned, &full, &public, *fit, activation)
                        }
                        None => Ok(Payload::bundle([
                            Payload::scalars([]),
                            Payload::Model(tuned),
                        ])),
                    }
                }),
            });
        }
        Ok(jobs)
    }

    /// The element-wise weights with which a client's model enters the mean.
    fn weights_of(&self, client: u32) -> Result<ParamSet, MethodError> {
        if let Some(weights) = self.weights.get(&client) {
            return Ok(weights.clone());
        }
        let mut buffer = Buffer::zeros(Arc::clone(self.setup.model.layout()), Device::Cpu)?;
        let values = buffer.as_mut_slice()?;
        match self.method.weights {
            WeightInit::Ones => values.fill(1.0),
            WeightInit::Normal => {
                let name = counter(0, purpose::WEIGHTS, u64::from(client));
                let mut rng = stream(self.setup.seed, 0, Purpose::Method, name);
                let mut unit = || ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                for value in values {
                    let radius = libm::sqrt(-2.0 * libm::log(unit()));
                    *value = (radius * libm::cos(std::f64::consts::TAU * unit())) as f32;
                }
            }
        }
        Ok(buffer.freeze())
    }

    /// Learns the weights of the aggregation.
    fn weigh(&self) -> Result<Vec<ServerJob>, MethodError> {
        let model = Arc::clone(&self.setup.model);
        let dilated = self.dilated.clone();
        let each = self
            .reported
            .iter()
            .map(|report| self.weights_of(report.client));
        let weights: Vec<ParamSet> = each.collect::<Result<_, _>>()?;
        let total: f64 = self.reported.iter().map(|report| report.weight).sum();
        let shares: Vec<f32> = self
            .reported
            .iter()
            .map(|r| (r.weight / total) as f32)
            .collect();
        let (public, epochs) = (self.public()?, self.method.aggregate);
        let fit = self.fit(epochs, purpose::FIT_WEIGHTS, 0);
        // Product and sum over all clients' values, and back.
        let mixing = 3 * 2 * (dilated.len() * model.parameters()) as u64;
        let flops = Flops(self.fit_flops(&model, epochs, mixing));
        let work =
            move |_: &mut _| learn_weights(&model, &dilated, &weights, &shares, &public, fit);
        Ok(vec![ServerJob {
            flops,
            work: Arc::new(work),
        }])
    }
}

/// Learns a bank on the public set: `[learned numbers, parameters of the network it leads to]`.
fn learn_bank(
    plan: &Plan,
    learned: &[f32],
    from: &ParamSet,
    to: &Arc<Model>,
    public: &PublicData,
    fit: Fit,
    activation: Activation,
) -> Result<Payload, MethodError> {
    let device = public.data.device();
    let from = from.to_device(device)?;
    let source = from.views()?;
    let leaves = plan
        .tensors(learned, device)
        .map_err(crate::learn::LearnError::from)?;
    let fitted = fit.run(to, public, leaves, |leaves| {
        plan.apply(&source, leaves, activation)
    })?;
    let mut numbers = Vec::with_capacity(learned.len());
    for leaf in &fitted.leaves {
        let flat = leaf
            .f_to_device(Device::Cpu)
            .and_then(|t| t.f_flatten(0, -1));
        let flat = flat.map_err(crate::learn::LearnError::from)?;
        let values = Vec::<f32>::try_from(&flat).map_err(crate::learn::LearnError::from)?;
        numbers.extend(values.into_iter().map(f64::from));
    }
    Ok(Payload::bundle([
        Payload::scalars(numbers),
        Payload::Model(fitted.params),
    ]))
}

/// Learns the weights of the aggregation on the public set: `[aggregated model, each client's
/// weights...]`.
fn learn_weights(
    model: &Arc<Model>,
    dilated: &[ParamSet],
    weights: &[ParamSet],
    shares: &[f32],
    public: &PublicData,
    fit: Fit,
) -> Result<Payload, MethodError> {
    let device = public.data.device();
    let prepare = || -> Result<(Tensor, Tensor), TchError> {
        let flat = |sets: &[ParamSet]| -> Result<Tensor, TchError> {
            let rows: Vec<Tensor> = sets.iter().map(|set| set.flat().shallow_clone()).collect();
            Tensor::f_stack(&rows, 0)?.f_to_device(device)
        };
        let shares = Tensor::f_from_slice(shares)?
            .f_to_device(device)?
            .f_unsqueeze(1)?;
        Ok((flat(dilated)?.f_mul(&shares)?, flat(weights)?))
    };
    let (scaled, leaves) = prepare().map_err(crate::learn::LearnError::from)?;
    let layout = Arc::clone(model.layout());
    let fitted = fit.run(model, public, vec![leaves], |leaves| {
        let weights = leaves
            .first()
            .ok_or_else(|| TchError::Shape("no weights".into()))?;
        let mean =
            weights
                .f_mul(&scaled)?
                .f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float)?;
        let parts = layout.entries().iter().map(|entry| {
            let part = mean.f_narrow(0, entry.offset as i64, entry.len as i64)?;
            part.f_view(entry.dims().as_slice())
        });
        parts.collect()
    })?;
    let mut parts = vec![Payload::Model(fitted.params)];
    for leaf in &fitted.leaves {
        for row in 0..weights.len() {
            let own = leaf
                .f_get(row as i64)
                .and_then(|t| t.f_to_device(Device::Cpu));
            let own = own.map_err(crate::learn::LearnError::from)?;
            let values = Vec::<f32>::try_from(&own).map_err(crate::learn::LearnError::from)?;
            parts.push(Payload::Model(ParamSet::from_slice(
                model.layout(),
                &values,
            )?));
        }
    }
    Ok(Payload::bundle(parts))
}

/// The learned numbers and the parameters of a bank's job.
fn bank_of(output: &Payload) -> Result<(Arc<[f32]>, ParamSet), MethodError> {
    let [numbers, model] = output.as_parts()?;
    let Payload::Scalars(numbers) = numbers else {
        return Err(MethodError::payload("scalars", numbers));
    };
    let numbers = numbers.iter().map(|&number| number as f32);
    Ok((numbers.collect(), model.as_model()?.clone()))
}

impl ServerHalf for Server {
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        let number = self.setup.sizes.level_of(client);
        let cut = self.filters.get(number).and_then(Option::as_ref);
        let cut = match cut.and_then(|filters| filters.cut.clone()) {
            Some(cut) => Some(cut),
            None => self.at_level(number)?,
        };
        Ok(Payload::Model(cut.unwrap_or_else(|| self.global.clone())))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let params = report.payload.as_model()?;
        params.has_layout(self.sizes().of(report.client).model.layout())?;
        self.reported.push(Reported {
            client: report.client,
            weight: self.method.weighting.of(report.samples),
            params: params.clone(),
        });
        Ok(())
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        match (phase, self.stage) {
            (Phase::BeforeRound(round), Stage::Begun) => {
                self.round = round;
                self.stage = Stage::Tuning;
                let jobs = self.tune_global();
                match jobs.is_empty() {
                    true => self.step(phase, outputs),
                    false => Ok(jobs),
                }
            }
            (Phase::BeforeRound(_), Stage::Tuning) => {
                if let Some(tuned) = outputs.first() {
                    self.global = tuned.as_model()?.clone();
                }
                let jobs = self.compress()?;
                self.stage = match jobs.is_empty() {
                    true => Stage::Begun,
                    false => Stage::Compressing,
                };
                Ok(jobs)
            }
            (Phase::BeforeRound(_), Stage::Compressing) => {
                let learned = self.filters.iter_mut().flatten().zip(&outputs);
                for (filters, output) in learned {
                    let (numbers, cut) = bank_of(output)?;
                    filters.learned = numbers;
                    filters.cut = Some(cut);
                }
                self.stage = Stage::Begun;
                Ok(Vec::new())
            }
            (Phase::AfterRound(_), Stage::Begun) if self.reported.is_empty() => {
                self.abandon();
                Ok(Vec::new())
            }
            (Phase::AfterRound(_), Stage::Begun) => {
                // In the order of the clients, whoever reported first.
                self.reported.sort_by_key(|report| report.client);
                self.stage = Stage::Dilating;
                self.dilate()
            }
            (Phase::AfterRound(_), Stage::Dilating) => {
                self.dilated.clear();
                for (report, output) in self.reported.iter().zip(&outputs) {
                    let (numbers, full) = bank_of(output)?;
                    if !numbers.is_empty() {
                        self.dilation.insert(report.client, numbers);
                    }
                    self.dilated.push(full);
                }
                self.stage = Stage::Weighing;
                self.weigh()
            }
            (Phase::AfterRound(_), Stage::Weighing) => {
                if let Some(Payload::Bundle(parts)) = outputs.first() {
                    if let Some((global, weights)) = parts.split_first() {
                        self.global = global.as_model()?.clone();
                        for (report, own) in self.reported.iter().zip(weights) {
                            self.weights.insert(report.client, own.as_model()?.clone());
                        }
                    }
                }
                self.abandon();
                Ok(Vec::new())
            }
            _ => Ok(Vec::new()),
        }
    }

    fn abandon(&mut self) {
        self.reported.clear();
        self.dilated.clear();
        self.stage = Stage::Begun;
        for filters in self.filters.iter_mut().flatten() {
            filters.cut = None;
        }
    }

    /// Reports are only kept: their work is the jobs of the end of the round.
    fn receive_flops(&self) -> Flops {
        Flops(0)
    }

    fn round_flops(&self) -> Flops {
        Flops(0)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    /// The global model through the bank of the width, as last learned.
    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        let Some(filters) = self.filters.get(level).and_then(Option::as_ref) else {
            return Ok(None);
        };
        let _guard = tch::no_grad_guard();
        let sub = &self.sizes().levels()[level].model;
        let wrap = crate::learn::LearnError::from;
        let learned = filters
            .compress
            .tensors(&filters.learned, Device::Cpu)
            .map_err(wrap)?;
        let source = self.global.views()?;
        let cut = filters
            .compress
            .apply(&source, &learned, self.method.activation);
        Ok(Some(fit::freeze(sub, &cut.map_err(wrap)?)?))
    }
}
