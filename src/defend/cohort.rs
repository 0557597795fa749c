//! What a defence sees: updates, who sent them, and what was kept of earlier rounds.

use crate::sim::rng::{stream, Purpose, Stream};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;

/// The updates of a round, ascending by client. All are finite and of one length.
#[derive(Debug, Clone, Copy)]
pub struct Cohort<'a> {
    /// Whose they are.
    pub clients: &'a [u32],
    /// Training samples behind each.
    pub samples: &'a [u32],
    /// The updates: what a client reports less what it was sent.
    pub updates: &'a [&'a [f32]],
    /// The server's own update on the public set, for a defence that needs one.
    pub trusted: Option<&'a [f32]>,
    /// Which round.
    pub round: u32,
    /// The run's seed.
    pub seed: u64,
}

/// One report of a [`Cohort`].
#[derive(Debug, Clone, Copy)]
pub struct Update<'a> {
    /// The update.
    pub values: &'a [f32],
    /// Training samples behind it.
    pub samples: u32,
    /// As in [`Cohort::trusted`].
    pub trusted: Option<&'a [f32]>,
}

impl<'a> Cohort<'a> {
    /// How many reports there are.
    pub const fn len(&self) -> usize {
        self.updates.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// The length of the updates.
    pub fn values(&self) -> usize {
        self.updates.first().map_or(0, |update| update.len())
    }

    /// One after the other.
    pub fn each(&self) -> impl Iterator<Item = Update<'a>> + '_ {
        let each = self.updates.iter().zip(self.samples);
        each.map(|(values, samples)| Update {
            values,
            samples: *samples,
            trusted: self.trusted,
        })
    }

    /// The defence's stream of this round.
    pub fn draws(&self) -> Stream {
        draws(self.seed, self.round)
    }

    /// Σ weight · update / Σ weight, in double precision; zeros where nothing has weight.
    pub fn mean(&self, weights: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.values()];
        let total: f64 = weights.iter().sum();
        if total > 0.0 {
            for (update, weight) in self.updates.iter().zip(weights) {
                // What counts for nothing is not read.
                if *weight != 0.0 {
                    add(&mut sum, update, weight / total);
                }
            }
        }
        sum
    }

    /// The plain mean of those at `chosen`.
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

/// The defence's stream of a round.
pub(super) fn draws(seed: u64, round: u32) -> Stream {
    stream(seed, 0, Purpose::Defence, u64::from(round))
}

/// Adds `factor · values` to `sum`.
pub(super) fn add(sum: &mut [f64], values: &[f32], factor: f64) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += factor * f64::from(*value);
    }
}

/// In single precision.
pub(super) fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|value| *value as f32).collect()
}

/// Σ x²
pub(super) fn norm_squared(values: &[f32]) -> f64 {
    dot(values, values)
}

/// Σ a b, in double precision.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let pairs = a.iter().zip(b);
    pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// A running weighted sum of vectors, in double precision: 8 bytes a parameter, whatever the cohort.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    /// Σ weight · f(update)
    pub values: Vec<f64>,
    /// Σ weight
    pub weight: f64,
}

impl Sum {
    /// An empty sum of vectors of `values` values.
    pub fn of(values: usize) -> Self {
        Self {
            values: vec![0.0; values],
            weight: 0.0,
        }
    }

    /// Adds `weight · factor · update`, and `weight` to the weights.
    pub fn add(&mut self, update: &[f32], factor: f64, weight: f64) {
        add(&mut self.values, update, factor * weight);
        self.weight += weight;
    }

    /// Σ weight · f(update) / Σ weight; zeros where nothing has weight.
    pub fn mean(&self) -> Vec<f64> {
        let part = if self.weight > 0.0 {
            1.0 / self.weight
        } else {
            0.0
        };
        self.values.iter().map(|value| value * part).collect()
    }
}

/// What a defence keeps between rounds: vectors by number. The number is a client's, or 0 where there
/// is one vector for all.
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
    /// What is kept under a number.
    pub fn get(&self, number: u32) -> Option<&[f32]> {
        self.0.get(&number).map(Vec::as_slice)
    }

    /// Keeps `vector` under a number, instead of what was there.
    pub fn keep(&mut self, number: u32, vector: Vec<f32>) {
        self.0.insert(number, vector);
    }

    /// Adds `update` to what is kept under a number.
    pub fn accumulate(&mut self, number: u32, update: &[f32]) {
        match self.0.get_mut(&number) {
            Some(kept) => kept.iter_mut().zip(update).for_each(|(k, u)| *k += u),
            None => self.keep(number, update.to_vec()),
        }
    }
}
