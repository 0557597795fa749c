//! A network with a hidden layer, for methods whose clients train a part of it, and its training in
//! double precision.

use super::{feature, label, samples_of, Toy, BATCH, CLASSES, INPUTS, SEED};
use crate::learn::LocalTraining;
use crate::method::Method;
use crate::model::{LayerSpec, Model};
use crate::sim::rng::{shuffle, stream, Purpose};

/// The number of hidden units of the full network.
pub const HIDDEN: usize = 4;

/// The number of parameters: weights `[HIDDEN, INPUTS]`, biases, weights `[CLASSES, HIDDEN]`,
/// biases.
pub const PARAMETERS: usize = HIDDEN * INPUTS + HIDDEN + CLASSES * HIDDEN + CLASSES;

/// The initial global model, which is exact in single precision and has both signs everywhere.
pub fn start() -> [f64; PARAMETERS] {
    std::array::from_fn(|i| (i * 11 % 16) as f64 / 32.0 - 0.25)
}

/// A federation of clients 0, 1 and 2 with the given shares of the hidden units.
pub fn toy<'a>(method: &'a dyn Method, local: &LocalTraining, ratios: [f64; 3]) -> Toy<'a> {
    toy_from(method, local, ratios, &start())
}

/// As [`toy`], with other initial parameters.
pub fn toy_from<'a>(
    method: &'a dyn Method,
    local: &LocalTraining,
    ratios: [f64; 3],
    start: &[f64; PARAMETERS],
) -> Toy<'a> {
    let layers = [
        LayerSpec::dense(HIDDEN),
        LayerSpec::Relu,
        LayerSpec::dense(CLASSES),
    ];
    let model = Model::build(&layers, &[INPUTS], CLASSES).unwrap();
    Toy::of_model(method, local, 3, model, &start.map(|v| v as f32), &ratios)
}

/// For each parameter of the sub-model with the hidden units `kept`, its place in the full network.
pub fn places(kept: &[usize]) -> Vec<usize> {
    let biases = HIDDEN * INPUTS;
    let second = biases + HIDDEN;
    let mut all = Vec::new();
    for &u in kept {
        all.extend((0..INPUTS).map(|j| u * INPUTS + j));
    }
    all.extend(kept.iter().map(|&u| biases + u));
    for c in 0..CLASSES {
        all.extend(kept.iter().map(|&u| second + c * HIDDEN + u));
    }
    all.extend((0..CLASSES).map(|c| second + CLASSES * HIDDEN + c));
    all
}

/// The class whose row of the last layer contains the full network's parameter `place`.
pub fn class_of(place: usize) -> Option<usize> {
    let second = HIDDEN * INPUTS + HIDDEN;
    let of_last = place.checked_sub(second)?;
    Some(match of_last.checked_sub(CLASSES * HIDDEN) {
        Some(class) => class,
        None => of_last / HIDDEN,
    })
}

/// The classes that a client has.
pub fn classes_of(client: u32) -> [bool; CLASSES] {
    let mut held = [false; CLASSES];
    for s in samples_of(client) {
        held[label(s) as usize] = true;
    }
    held
}

/// Plain SGD on a sub-model in double precision.
#[derive(Clone)]
pub struct NarrowDescent {
    /// The learning rate.
    pub lr: f64,
    /// The number of epochs.
    pub epochs: usize,
    /// The number by which the hidden layer's outputs are divided before the activation.
    pub rate: f64,
    /// The classes that count; the scores of other classes are replaced by 0.
    pub classes: Option<[bool; CLASSES]>,
}

impl NarrowDescent {
    /// The training that [`super::local`] describes.
    pub fn of_local() -> Self {
        Self {
            lr: 0.25,
            epochs: 2,
            rate: 1.0,
            classes: None,
        }
    }

    /// The sub-model's parameters after a client's training in `round` (counted from 1) from
    /// `start`.
    pub fn client(&self, start: &[f64], client: u32, round: u32) -> Vec<f64> {
        let mut order_stream = stream(
            SEED,
            u64::from(client),
            Purpose::Shuffle,
            u64::from(round - 1),
        );
        let mut order = samples_of(client);
        let mut w = start.to_vec();
        for _ in 0..self.epochs {
            shuffle(&mut order_stream, &mut order);
            for chosen in order.chunks(BATCH) {
                let g = self.gradient(&w, chosen);
                w.iter_mut().zip(g).for_each(|(w, g)| *w -= self.lr * g);
            }
        }
        w
    }

    /// The gradient of the mean cross entropy over `batch` at `w`.
    pub fn gradient(&self, w: &[f64], batch: &[u32]) -> Vec<f64> {
        let hidden = (w.len() - CLASSES) / (INPUTS + 1 + CLASSES);
        let (first, rest) = w.split_at(hidden * INPUTS);
        let (first_bias, rest) = rest.split_at(hidden);
        let (second, second_bias) = rest.split_at(CLASSES * hidden);
        let mut g = vec![0.0; w.len()];
        for &s in batch {
            let x: [f64; INPUTS] = std::array::from_fn(|j| feature(s, j));
            let h: Vec<f64> = (0..hidden)
                .map(|u| {
                    let sum: f64 = (0..INPUTS).map(|j| first[u * INPUTS + j] * x[j]).sum();
                    ((sum + first_bias[u]) / self.rate).max(0.0)
                })
                .collect();
            let counts = |c: usize| self.classes.is_none_or(|classes| classes[c]);
            let scores: [f64; CLASSES] = std::array::from_fn(|c| match counts(c) {
                true => {
                    let sum: f64 = (0..hidden).map(|u| second[c * hidden + u] * h[u]).sum();
                    sum + second_bias[c]
                }
                false => 0.0,
            });
            let total: f64 = scores.iter().map(|s| s.exp()).sum();
            let d: [f64; CLASSES] = std::array::from_fn(|c| {
                let target = f64::from(u8::from(c == label(s) as usize));
                match counts(c) {
                    true => (scores[c].exp() / total - target) / batch.len() as f64,
                    false => 0.0,
                }
            });
            let (second_at, bias_at) = (hidden * INPUTS + hidden, w.len() - CLASSES);
            for c in 0..CLASSES {
                (0..hidden).for_each(|u| g[second_at + c * hidden + u] += d[c] * h[u]);
                g[bias_at + c] += d[c];
            }
            for u in 0..hidden {
                if h[u] > 0.0 {
                    let back: f64 = (0..CLASSES).map(|c| d[c] * second[c * hidden + u]).sum();
                    let back = back / self.rate;
                    (0..INPUTS).for_each(|j| g[u * INPUTS + j] += back * x[j]);
                    g[hidden * INPUTS + u] += back;
                }
            }
        }
        g
    }
}

/// A trained sub-model, for [`merge`].
pub struct Part {
    /// The hidden units that it kept.
    pub kept: Vec<usize>,
    /// Its parameters.
    pub values: Vec<f64>,
    /// Its weight.
    pub weight: f64,
    /// The classes whose rows of the last layer it may change.
    pub classes: Option<[bool; CLASSES]>,
}

/// The global model after a round: each parameter is the mean over the sub-models that have it.
pub fn merge(global: &[f64], parts: &[Part]) -> Vec<f64> {
    let (mut sum, mut weight) = (vec![0.0; PARAMETERS], vec![0.0; PARAMETERS]);
    for part in parts {
        for (&place, &value) in places(&part.kept).iter().zip(&part.values) {
            let held = class_of(place)
                .zip(part.classes)
                .is_none_or(|(c, held)| held[c]);
            if held {
                sum[place] += part.weight * value;
                weight[place] += part.weight;
            }
        }
    }
    let each = sum.iter().zip(&weight).zip(global);
    each.map(|((sum, &weight), &old)| if weight > 0.0 { sum / weight } else { old })
        .collect()
}
