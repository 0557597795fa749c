//! The data that a defence works on: the updates of a round, the clients that sent them, and the
//! vectors kept from earlier rounds.

use crate::sim::rng::{stream, Purpose, Stream};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;

/// The updates of a round, in ascending order of the clients' numbers. All values are finite and
/// all updates have one length.
#[derive(Debug, Clone, Copy)]
pub struct Cohort<'a> {
    /// The number of the client that sent each update.
    pub clients: &'a [u32],
    /// The number of training samples behind each update.
    pub samples: &'a [u32],
    /// The updates, one value for each parameter: the parameters that a client reports minus those
    /// that it was sent.
    pub updates: &'a [&'a [f32]],
    /// The server's own update on the public set, for a defence that needs one.
    pub trusted: Option<&'a [f32]>,
    /// The number of the round, from 1.
    pub round: u32,
    /// The seed of the run.
    pub seed: u64,
}

/// One update of a [`Cohort`].
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The update itself, one value for each parameter.
    pub values: &'a [f32],
    /// The number of training samples behind the update.
    pub samples: u32,
    /// The server's own update, as in [`Cohort::trusted`].
    pub trusted: Option<&'a [f32]>,
}

impl<'a> Cohort<'a> {
    /// The number of updates.
    pub const fn len(&self) -> usize {
        self.updates.len()
    }

    /// Whether there are no updates.
    pub const fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// The length of an update, in values; 0 for an empty cohort.
    pub fn values(&self) -> usize {
        self.updates.first().map_or(0, |update| update.len())
    }

    /// The updates one by one, in the order of the cohort.
    pub fn each(&self) -> impl Iterator<Item = Update<'a>> + '_ {
        let each = self.updates.iter().zip(self.samples);
        each.map(|(values, samples)| Update {
            values,
            samples: *samples,
            trusted: self.trusted,
        })
    }

    /// The stream of random numbers that the defence has for this round.
    pub fn draws(&self) -> Stream {
        draws(self.seed, self.round)
    }

    /// The weighted mean Σ weight · update / Σ weight in double precision, with one weight for each
    /// update; zeros if all weights are 0.
    pub fn mean(&self, weights: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.values()];
        let total: f64 = weights.iter().sum();
        if total > 0.0 {
            for (update, weight) in self.updates.iter().zip(weights) {
                // An update of weight 0 is skipped.
                if *weight != 0.0 {
                    add(&mut sum, update, weight / total);
                }
            }
        }
        sum
    }

    /// The plain mean of the updates at the places `chosen`, in single precision.
    pub fn mean_of(&self, chosen: &[usize]) -> Vec<f32> {
        let mut weights = vec![0.0; self.len()];
        for &at in chosen {
            if let Some(weight) = weights.get_mut(at) {
                *weight = 1.0;
            }
        }
        narrow(&self.mean(&weights))
    }
}

/// The stream of random numbers that a defence has for a round.
pub(super) fn draws(seed: u64, round: u32) -> Stream {
    stream(seed, 0, Purpose::Defence, u64::from(round))
}

/// Adds `factor · values` to `sum`.
pub(super) fn add(sum: &mut [f64], values: &[f32], factor: f64) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * f64::from(*value);
    }
}

/// The values rounded to single precision.
pub(super) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// The squared Euclidean norm Σ x², in double precision.
pub(super) fn norm_squared(values: &[f32]) -> f64 {
    dot(values, values)
}

/// The scalar product Σ a b, in double precision.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// A running weighted sum of vectors in double precision. It takes 8 bytes a parameter, however
/// large the cohort is.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// The sum Σ weight · factor · update, one value for each parameter.
    pub values: Vec<f64>,
    /// The sum of the weights.
    pub weight: f64,
}

impl Sum {
    /// An empty sum of vectors with `values` values each.
    pub fn of(values: usize) -> Self {
        Self {
            values: vec![0.0; values],
            weight: 0.0,
        }
    }

    /// Adds `weight · factor · update` to the vector, and `weight` to the sum of the weights.
    pub fn add(&mut self, update: &[f32], factor: f64, weight: f64) {
        add(&mut self.values, update, factor * weight);
        self.weight += weight;
    }

    /// The mean Σ weight · factor · update / Σ weight; zeros if the sum of the weights is 0.
    pub fn mean(&self) -> Vec<f64> {
        let part = if self.weight > 0.0 {
            1.0 / self.weight
        } else {
            0.0
        };
        self.values.iter().map(|value| value * part).collect()
    }
}

/// The vectors that a defence keeps between rounds, each under a number: that of a client, or 0
/// where one vector serves for all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory(BTreeMap<u32, Vec<f32>>);

impl Snapshot for Memory {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Snapshot::load(from).map(Self)
    }
}

impl Memory {
    /// The vector kept under `number`, if there is one.
    pub fn get(&self, number: u32) -> Option<&[f32]> {
        self.0.get(&number).map(Vec::as_slice)
    }

    /// Keeps `vector` under `number`, in place of an earlier one.
    pub fn keep(&mut self, number: u32, vector: Vec<f32>) {
        self.0.insert(number, vector);
    }

    /// Adds `update` to the vector kept under `number`.
    pub fn accumulate(&mut self, number: u32, update: &[f32]) {
        match self.0.get_mut(&number) {
            Some(kept) => kept.iter_mut().zip(update).for_each(|(k, u)| *k += u),
            None => self.keep(number, update.to_vec()),
        }
    }
}
