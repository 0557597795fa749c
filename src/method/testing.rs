//! Helpers for the tests of methods: a tiny federation that runs the real halves in one process,
//! and the same federation in double precision, written from the definitions.
//!
//! The reference uses nothing of the engine but the order of samples, which it draws from the
//! engine's named streams. The module `narrow` has both for sub-models.
//! same named streams. `narrow` has the same for sub-models.

pub mod narrow;
pub mod pruned;

use super::{
    ClientState, ClientWork, Method, Payload, Phase, PublicData, Received, ServerHalf, Setup,
};
use crate::learn::{Amount, DeviceData, Features, LocalTraining, Normalisation, Scratch};
use crate::method::ClientInput;
use crate::model::{Initializer, LayerSpec, Layout, Level, Model, ParamSet, Sizes};
use crate::sim::rng::{shuffle, stream, Purpose};
use std::collections::BTreeMap;
use std::sync::Arc;
use tch::Device;

/// A layout of six values, for two inputs and two outputs.
pub fn layout() -> Arc<Layout> {
    let model = Model::build(&[LayerSpec::dense(2)], &[2], 2).unwrap();
    Arc::clone(model.layout())
}

/// The parameters `values` with the given layout.
pub fn set(layout: &Arc<Layout>, values: &[f32]) -> ParamSet {
    ParamSet::from_slice(layout, values).unwrap()
}

/// Asserts that the vectors agree to the precision that single precision has after a few dozen
/// steps.
#[track_caller]
pub fn close(got: &ParamSet, expected: &[f64]) {
    let got = got.as_slice().unwrap();
    assert_eq!(got.len(), expected.len());
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let off = (f64::from(*got) - expected).abs();
        assert!(off < 1e-5, "value {i}: {got} against {expected}");
    }
}

/// The number of features of a sample.
pub const INPUTS: usize = 3;
/// The number of classes.
pub const CLASSES: usize = 3;
/// The seed of the run.
pub const SEED: u64 = 17;
/// The sizes of the clients' local data sets: 2, 3 and 5 batches of at most [`BATCH`].
const SIZES: [u32; 3] = [7, 12, 22];
/// The number of samples in a batch.
pub const BATCH: usize = 5;
const HOLDOUT: u32 = 6;
/// The number of public samples: half of them to learn from, half to select by.
const PUBLIC: u32 = 16;

/// Feature `j` of sample `s`, which is exact in single precision.
pub fn feature(s: u32, j: usize) -> f64 {
    f64::from((s * 13 + j as u32 * 29 + s * s * (j as u32 + 3)) % 33) / 16.0 - 1.0
}

/// The label of sample `s`. Labels are skewed by client, so that local optima differ.
pub fn label(s: u32) -> u32 {
    let owner = owner(s);
    if (s * 7 + 3) % 5 < 3 {
        owner % CLASSES as u32
    } else {
        s % CLASSES as u32
    }
}

fn owner(s: u32) -> u32 {
    let ends = SIZES.iter().scan(0, |end, n| {
        *end += n;
        Some(*end)
    });
    ends.filter(|&end| end <= s).count() as u32
}

/// The samples of `client`.
pub fn samples_of(client: u32) -> Vec<u32> {
    let all = 0..SIZES.iter().sum();
    all.filter(|&s| owner(s) == client).collect()
}

/// The samples of all clients.
pub fn pooled() -> Vec<u32> {
    (0..SIZES.iter().sum()).collect()
}

/// The number n_k of samples of a client.
pub fn size(client: u32) -> f64 {
    f64::from(SIZES[client as usize])
}

/// Plain SGD with two epochs a round: 4, 6 and 10 steps.
pub fn local() -> LocalTraining {
    LocalTraining {
        amount: Amount::Epochs(2),
        batch: BATCH,
        ..LocalTraining::sgd(0.25)
    }
}

/// A federation of three clients without time, links or devices. With a larger `population`, the
/// other clients never take part.
pub struct Toy<'a> {
    method: &'a dyn Method,
    /// The server half.
    pub server: Box<dyn ServerHalf>,
    setup: Setup,
    local: Arc<LocalTraining>,
    states: BTreeMap<u32, ClientState>,
    scratch: Scratch,
    round: u32,
}

impl<'a> Toy<'a> {
    /// A federation of three clients with the method `method`.
    pub fn new(method: &'a dyn Method, local: &LocalTraining) -> Self {
        Self::of_population(method, local, SIZES.len() as u32)
    }

    /// A federation of `population` clients, of which three take part.
    pub fn of_population(method: &'a dyn Method, local: &LocalTraining, population: u32) -> Self {
        let model = Model::build(&[LayerSpec::dense(CLASSES)], &[INPUTS], CLASSES).unwrap();
        let start = start().map(|v| v as f32);
        Self::of_model(method, local, population, model, &start, &[])
    }

    /// A federation with the network `model` and the initial parameters `start`, with one client
    /// for each of `ratios`; clients without a ratio have the full width.
    pub fn of_model(
        method: &'a dyn Method,
        local: &LocalTraining,
        population: u32,
        model: Model,
        start: &[f32],
        ratios: &[f64],
    ) -> Self {
        assert!(method.check(local).is_empty(), "{:?}", method.check(local));
        let model = Arc::new(model);
        let mut widths = ratios.to_vec();
        widths.push(1.0);
        widths.sort_by(|a, b| b.total_cmp(a));
        widths.dedup();
        let levels = widths.iter().map(|&ratio| Level {
            ratio,
            model: match ratio {
                1.0 => Arc::clone(&model),
                ratio => Arc::new(method.sub_model(&model, ratio).unwrap()),
            },
        });
        let number = |ratio: &f64| widths.iter().position(|width| width == ratio).unwrap() as u8;
        let sizes = Sizes::new(levels.collect(), ratios.iter().map(number).collect());
        let total = pooled().len() as u32 + HOLDOUT + PUBLIC;
        let public: Vec<u32> = (total - PUBLIC..total).collect();
        let features = (0..total)
            .flat_map(|s| (0..INPUTS).map(move |j| feature(s, j) as f32))
            .collect();
        let plain = Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let data = DeviceData::new(
            &[INPUTS],
            Features::F32(features),
            plain,
            (0..total).map(label).collect(),
            CLASSES,
            Device::Cpu,
        );
        let data = Arc::new(data.unwrap());
        let setup = Setup {
            initial: set(model.layout(), start),
            sizes,
            public: Some(PublicData {
                data: Arc::clone(&data),
                train: public[..public.len() / 2].to_vec().into(),
                select: public[public.len() / 2..].to_vec().into(),
            }),
            model,
            population,
            seed: SEED,
            data,
            pooled: pooled().into(),
            local: Arc::new(local.clone()),
        };
        Self {
            server: method.server(setup.clone()).unwrap(),
            local: Arc::new(method.client().local(local)),
            method,
            setup,
            states: BTreeMap::new(),
            scratch: Scratch::new(),
            round: 0,
        }
    }

    /// The set-up that the server half was built from.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// The global model.
    pub fn model(&self) -> ParamSet {
        self.server.global().unwrap().clone()
    }

    /// The payload that `client` keeps under `name`.
    pub fn kept(&self, client: u32, name: &'static str) -> &Payload {
        self.states[&client].get(name).unwrap()
    }

    /// A digest of 64 bits of the state of all clients.
    pub fn kept_digest(&self) -> u64 {
        let states: Vec<u64> = self.states.values().map(ClientState::digest).collect();
        crate::sim::mix_words(&states)
    }

    /// The input of `client` in the current round, with the task `task`.
    pub fn input(&self, client: u32, task: Payload) -> ClientInput {
        let held_out = pooled().len() as u32..pooled().len() as u32 + HOLDOUT;
        ClientInput {
            client,
            round: self.round,
            seed: SEED,
            model: Arc::clone(&self.setup.sizes.of(client).model),
            sizes: self.setup.sizes.clone(),
            init: Initializer::PyTorch,
            public: self.setup.public.clone(),
            data: Arc::clone(&self.setup.data),
            train: samples_of(client).into(),
            holdout: held_out.collect::<Vec<u32>>().into(),
            watched: true,
            local: Arc::clone(&self.local),
            task,
            state: self.states.get(&client).cloned().unwrap_or_default(),
        }
    }

    /// Begins a round with the server's own work.
    pub fn open(&mut self) {
        self.round += 1;
        self.work(Phase::BeforeRound(self.round));
    }

    /// Sends `client` its task and lets it work.
    pub fn ask(&mut self, client: u32) -> (Payload, ClientWork) {
        let task = self.server.task(client, self.round).unwrap();
        let input = self.input(client, task.clone());
        let half = self.method.client();
        let work = half.run(&input, &mut self.scratch).unwrap();
        self.states.insert(client, work.state.clone());
        (task, work)
    }

    /// A report of `client`, as the server gets it.
    pub fn received(&self, client: u32, payload: Payload) -> Received {
        Received {
            client,
            round: self.round,
            samples: samples_of(client).len() as u32,
            payload,
        }
    }

    /// Ends a round.
    pub fn close(&mut self) {
        self.server.close(self.round).unwrap();
        self.work(Phase::AfterRound(self.round));
    }

    /// Performs a whole round with the clients `cohort`, which is empty if the method asks no
    /// clients.
    pub fn round(&mut self, cohort: &[u32]) {
        self.open();
        let cohort = cohort.iter().filter(|_| self.server.needs_clients());
        for &client in &cohort.copied().collect::<Vec<u32>>() {
            let (_, work) = self.ask(client);
            let report = self.received(client, work.report);
            self.server.receive(&report).unwrap();
        }
        self.close();
    }

    fn work(&mut self, phase: Phase) {
        let mut outputs = Vec::new();
        loop {
            let jobs = self.server.step(phase, outputs).unwrap();
            if jobs.is_empty() {
                return;
            }
            let scratch = &mut self.scratch;
            outputs = jobs
                .iter()
                .map(|job| (job.work)(scratch).unwrap())
                .collect();
        }
    }
}

// The reference in double precision.

/// A flat vector in double precision: weights `[CLASSES, INPUTS]`, then biases.
pub type Vector = Vec<f64>;

const PARAMETERS: usize = CLASSES * INPUTS + CLASSES;

/// The initial global model, which is exact in single precision.
pub fn start() -> [f64; PARAMETERS] {
    std::array::from_fn(|i| (i * 11 % 16) as f64 / 32.0 - 0.25)
}

/// The sum Σ factor · vector.
pub fn combine(terms: &[(f64, &[f64])]) -> Vector {
    let at = |i: usize| terms.iter().map(|(factor, v)| factor * v[i]).sum();
    (0..PARAMETERS).map(at).collect()
}

/// The mean of `vectors[k]`, weighted by `weight(k)`.
pub fn mean(vectors: &[Vector], weight: impl Fn(u32) -> f64) -> Vector {
    let total: f64 = (0..vectors.len() as u32).map(&weight).sum();
    let terms: Vec<(f64, &[f64])> = (0u32..)
        .zip(vectors)
        .map(|(k, v)| (weight(k) / total, v.as_slice()))
        .collect();
    combine(&terms)
}

/// The gradient of the mean cross entropy of softmax regression over `batch` at `w`.
fn gradient(w: &[f64], batch: &[u32]) -> Vector {
    let mut g = vec![0.0; PARAMETERS];
    for &s in batch {
        let x: [f64; INPUTS] = std::array::from_fn(|j| feature(s, j));
        let exps: [f64; CLASSES] = std::array::from_fn(|c| {
            let score: f64 = (0..INPUTS).map(|j| w[c * INPUTS + j] * x[j]).sum();
            (score + w[CLASSES * INPUTS + c]).exp()
        });
        let total: f64 = exps.iter().sum();
        for (c, e) in exps.iter().enumerate() {
            let target = f64::from(u8::from(c == label(s) as usize));
            let d = (e / total - target) / batch.len() as f64;
            (0..INPUTS).for_each(|j| g[c * INPUTS + j] += d * x[j]);
            g[CLASSES * INPUTS + c] += d;
        }
    }
    g
}

/// Local SGD in double precision.
#[derive(Clone, Default)]
pub struct Descent {
    /// The learning rate.
    pub lr: f64,
    /// The number of epochs.
    pub epochs: usize,
    /// The number of samples in a batch; 0 is the whole local data set.
    pub batch: usize,
    /// The momentum.
    pub momentum: f64,
    /// The factor μ of the proximal term μ(w − w₀).
    pub mu: f64,
    /// A vector that is added to every gradient.
    pub drift: Option<Vector>,
}

impl Descent {
    /// The training that [`local`] describes.
    pub fn of_local() -> Self {
        Self {
            lr: 0.25,
            epochs: 2,
            batch: BATCH,
            ..Self::default()
        }
    }

    /// The parameters after training on `samples` in `round` (counted from 1) from `start`, and the
    /// number of steps. `client` is the client's number among the random streams.
    pub fn run(&self, start: &[f64], client: u64, samples: &[u32], round: u32) -> (Vector, f64) {
        let mut order_stream = stream(SEED, client, Purpose::Shuffle, u64::from(round - 1));
        let mut order = samples.to_vec();
        let (mut w, mut velocity) = (start.to_vec(), vec![0.0; PARAMETERS]);
        let batch = if self.batch == 0 {
            order.len()
        } else {
            self.batch
        };
        let mut steps = 0.0;
        for _ in 0..self.epochs {
            shuffle(&mut order_stream, &mut order);
            for chosen in order.chunks(batch) {
                let g = gradient(&w, chosen);
                for i in 0..PARAMETERS {
                    let drift = self.drift.as_ref().map_or(0.0, |d| d[i]);
                    let g = g[i] + self.mu * (w[i] - start[i]) + drift;
                    velocity[i] = self.momentum * velocity[i] + g;
                    w[i] -= self.lr * velocity[i];
                }
                steps += 1.0;
            }
        }
        (w, steps)
    }

    /// The training of one of the three clients on its own samples.
    pub fn client(&self, start: &[f64], client: u32, round: u32) -> (Vector, f64) {
        self.run(start, u64::from(client), &samples_of(client), round)
    }

    /// The models of all three clients after training.
    pub fn cohort(&self, start: &[f64], round: u32) -> Vec<Vector> {
        (0..SIZES.len() as u32)
            .map(|k| self.client(start, k, round).0)
            .collect()
    }
}
