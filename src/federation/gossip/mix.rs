//! The arithmetic of federations without a server, as jobs: a client's mixing, and the observer's mean.
//!
//! Sums are made in double precision, for one block of values at a time, so that the sum of a thousand
//! models takes the memory of one block.

use crate::method::MethodError;
use crate::model::{Buffer, ParamSet};
use crate::snapshot::snapshot_struct;

/// How many values are summed at a time, so that their sums stay in the cache.
const BLOCK: usize = 4096;

/// The mixing of models by a client.
#[derive(Debug)]
pub struct MixJob {
    /// The models with their weights, the client's own among them. They are in the order of their clients, so
    /// that clients which mix the same models get the same bits.
    pub terms: Vec<(f64, ParamSet)>,
    /// A model and what training made of it, whose difference is added to the mixture.
    pub step: Option<(ParamSet, ParamSet)>,
}

impl MixJob {
    /// Σ w x, plus the step.
    ///
    /// # Errors
    /// Without a model, or with models of different layouts.
    pub fn run(&self) -> Result<ParamSet, MethodError> {
        let (_, first) = self.terms.first().ok_or_else(no_model)?;
        let mut terms: Vec<(f64, &[f32])> = Vec::with_capacity(self.terms.len() + 2);
        let step = self.step.as_ref();
        let step = step.map(|(from, to)| [(-1.0, from), (1.0, to)]);
        let all = self.terms.iter().map(|(weight, set)| (*weight, set));
        for (weight, set) in all.chain(step.into_iter().flatten()) {
            set.has_layout(first.layout())?;
            terms.push((weight, set.as_slice()?));
        }
        let mut mixed = Buffer::zeros_like(first)?;
        let mut sums = [0.0f64; BLOCK];
        for (number, out) in mixed.as_mut_slice()?.chunks_mut(BLOCK).enumerate() {
            let sums = &mut sums[..out.len()];
            sums.fill(0.0);
            for (weight, values) in &terms {
                add(sums, *weight, &values[number * BLOCK..]);
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = *sum as f32;
            }
        }
        Ok(mixed.freeze())
    }
}

/// The mean of all clients' models, which the observer wants.
#[derive(Debug)]
pub struct ConsensusJob {
    /// One model for each client.
    pub models: Vec<ParamSet>,
}

/// The mean of all clients' models, and their distance from it.
#[derive(Debug, Clone)]
pub struct Consensus {
    /// x̄, the mean of all models.
    pub mean: ParamSet,
    /// The consensus distance 1/n Σ ‖x_i − x̄‖².
    pub distance: f64,
}

snapshot_struct!(Consensus { mean, distance });

impl ConsensusJob {
    /// The mean of the models, and their distance from it.
    ///
    /// # Errors
    /// Without a model, or with models of different layouts.
    pub fn run(&self) -> Result<Consensus, MethodError> {
        let first = self.models.first().ok_or_else(no_model)?;
        let mut models: Vec<&[f32]> = Vec::with_capacity(self.models.len());
        for set in &self.models {
            set.has_layout(first.layout())?;
            models.push(set.as_slice()?);
        }
        let n = models.len() as f64;
        let mut mean = Buffer::zeros_like(first)?;
        let (mut sums, mut distance) = ([0.0f64; BLOCK], 0.0f64);
        for (number, out) in mean.as_mut_slice()?.chunks_mut(BLOCK).enumerate() {
            let sums = &mut sums[..out.len()];
            sums.fill(0.0);
            for values in &models {
                add(sums, 1.0, &values[number * BLOCK..]);
            }
            sums.iter_mut().for_each(|sum| *sum /= n);
            for values in &models {
                let values = values[number * BLOCK..].iter().zip(&*sums);
                let away = values.map(|(x, mean)| f64::from(*x) - mean);
                distance += away.map(|d| d * d).sum::<f64>();
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = *sum as f32;
            }
        }
        Ok(Consensus {
            mean: mean.freeze(),
            distance: distance / n,
        })
    }
}

/// Adds `weight` times the values to the sums.
fn add(sums: &mut [f64], weight: f64, values: &[f32]) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += weight * f64::from(*value);
    }
}

fn no_model() -> MethodError {
    MethodError::layer("mixing", "there is no model to mix")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Layout;
    use std::sync::Arc;

    fn set(values: &[f32]) -> ParamSet {
        ParamSet::from_slice(&Arc::new(Layout::flat(values.len())), values).unwrap()
    }

    /// More than two blocks of values that all differ.
    fn long(of: usize) -> Vec<f32> {
        (0..2 * BLOCK + 77)
            .map(|i| ((i * 31 + of * 17) % 1009) as f32 * 0.37 - 150.0)
            .collect()
    }

    #[test]
    fn a_mixture_is_the_weighted_sum_and_the_step() {
        let (a, b, c) = (long(1), long(2), long(3));
        let job = MixJob {
            terms: vec![(0.25, set(&a)), (0.75, set(&b))],
            step: Some((set(&a), set(&c))),
        };
        let mixed = job.run().unwrap();
        let mixed = mixed.as_slice().unwrap();
        for i in 0..a.len() {
            let [a, b, c] = [a[i], b[i], c[i]].map(f64::from);
            assert_eq!(mixed[i], (0.25 * a + 0.75 * b - a + c) as f32, "{i}");
        }
    }

    #[test]
    fn the_consensus_distance_is_the_mean_square_from_the_mean() {
        let models: Vec<Vec<f32>> = (0..5).map(long).collect();
        let job = ConsensusJob {
            models: models.iter().map(|values| set(values)).collect(),
        };
        let found = job.run().unwrap();
        let mut expected = 0.0;
        for i in 0..models[0].len() {
            let values: Vec<f64> = models.iter().map(|m| f64::from(m[i])).collect();
            let mean = values.iter().sum::<f64>() / 5.0;
            expected += values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 5.0;
            assert_eq!(found.mean.as_slice().unwrap()[i], mean as f32);
        }
        assert!((found.distance / expected - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nothing_and_what_does_not_fit_is_told() {
        let none = MixJob {
            terms: Vec::new(),
            step: None,
        };
        assert!(none.run().is_err());
        assert!(ConsensusJob { models: Vec::new() }.run().is_err());
        let models = vec![set(&[1.0, 2.0]), set(&[1.0])];
        assert!(ConsensusJob {
            models: models.clone()
        }
        .run()
        .is_err());
        let terms = models.into_iter().map(|model| (0.5, model)).collect();
        assert!(MixJob { terms, step: None }.run().is_err());
    }
}
