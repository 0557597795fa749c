//! How good the global model is: centrally, and for each client.
//!
//! An evaluation is cut into pieces of a fixed size, run by device workers side by side and added up
//! in order, so its figures do not depend on how many workers there are.

use super::plan::Plan;
use crate::learn::{evaluate, DeviceData, Samples, Tally};
use crate::method::MethodError;
use crate::model::{Model, ParamSet};
use crate::sim::mix_words;
use std::sync::Arc;

/// Samples in a piece: a few times what amortises a piece's overhead, few enough to share out.
const PIECE: usize = 512;

/// Samples that go through the network at once: enough to amortise a layer's overhead, few enough
/// for their activations to stay in the cache.
const BATCH: usize = 64;

/// One piece.
#[derive(Debug)]
pub struct EvaluationJob {
    model: Arc<Model>,
    params: ParamSet,
    data: Arc<DeviceData>,
    samples: Samples,
}

/// The outcome of one piece: its sums, and which samples were classified correctly.
#[derive(Debug, Clone, PartialEq)]
pub struct Marks {
    /// Sums over the piece.
    pub tally: Tally,
    /// Sample by sample.
    pub correct: Vec<bool>,
}

impl EvaluationJob {
    /// Runs it.
    ///
    /// # Errors
    /// What torch says.
    pub fn run(&self) -> Result<Marks, MethodError> {
        let mut correct = Vec::with_capacity(self.samples.len());
        let samples = self.samples.as_slice();
        let hits = Some(&mut correct);
        let tally = evaluate(&self.model, &self.params, &self.data, samples, BATCH, hits)?;
        Ok(Marks { tally, correct })
    }
}

impl Marks {
    /// 64 bits of the content.
    pub fn digest(&self) -> u64 {
        let loss = self.tally.loss_sum.to_bits();
        let words = [self.tally.correct, self.tally.count, loss];
        self.correct
            .chunks(64)
            .fold(mix_words(&words), |digest, chunk| {
                let bits = chunk.iter().fold(0u64, |bits, c| bits << 1 | u64::from(*c));
                mix_words(&[digest, bits])
            })
    }
}

/// What can be asked of a model: prepared once a run.
#[derive(Debug)]
pub struct Evaluator {
    central: Vec<Samples>,
    /// The held-out samples of all clients, one after the other.
    held_out: Vec<Samples>,
    /// Where each client's begin in them, and where the last one's end.
    bounds: Vec<usize>,
}

impl Evaluator {
    /// Prepares what the plan asks for.
    pub fn new(plan: &Plan) -> Self {
        let mut bounds = vec![0];
        let mut all = Vec::new();
        if plan.evaluation.per_client {
            for client in 0..plan.population() {
                all.extend_from_slice(plan.holdout.client(client as usize));
                bounds.push(all.len());
            }
        }
        Self {
            central: match plan.evaluation.central {
                true => pieces((0..plan.test.len() as u32).collect()),
                false => Vec::new(),
            },
            held_out: pieces(all),
            bounds,
        }
    }

    /// The pieces of an evaluation of `params`: the central ones first. Their number is the same
    /// every time.
    pub fn pieces(&self, plan: &Plan, params: &ParamSet) -> Vec<EvaluationJob> {
        let piece = |data: &Arc<DeviceData>, samples: Samples| EvaluationJob {
            model: Arc::clone(&plan.model),
            params: params.clone(),
            data: Arc::clone(data),
            samples,
        };
        let central = self
            .central
            .iter()
            .map(|samples| piece(&plan.test, samples.clone()));
        let held_out = self
            .held_out
            .iter()
            .map(|samples| piece(&plan.train, samples.clone()));
        central.chain(held_out).collect()
    }

    /// Adds up the outcomes of all pieces, in their order: the central figures, and each client's.
    pub fn sum(&self, marks: &[Marks]) -> (Option<Tally>, Vec<(u32, Tally)>) {
        let (central, held_out) = marks.split_at(self.central.len().min(marks.len()));
        let central = (!central.is_empty()).then(|| {
            let mut sum = Tally::default();
            for marks in central {
                sum.merge(&marks.tally);
            }
            sum
        });
        let correct: Vec<bool> = held_out
            .iter()
            .flat_map(|m| m.correct.iter().copied())
            .collect();
        let clients = self
            .bounds
            .windows(2)
            .enumerate()
            .filter_map(|(client, bounds)| {
                let own = correct
                    .get(bounds[0]..bounds[1])
                    .filter(|own| !own.is_empty())?;
                let tally = Tally {
                    count: own.len() as u64,
                    correct: own.iter().filter(|c| **c).count() as u64,
                    loss_sum: 0.0,
                };
                Some((client as u32, tally))
            });
        (central, clients.collect())
    }
}

/// Cuts samples into pieces that share one list.
fn pieces(samples: Vec<u32>) -> Vec<Samples> {
    let (all, count): (Arc<[u32]>, _) = (samples.into(), 0..);
    let starts = count
        .map(|piece| piece * PIECE)
        .take_while(|start| *start < all.len());
    let ranges = starts.map(|start| start..all.len().min(start + PIECE));
    ranges
        .filter_map(|range| Samples::part(Arc::clone(&all), range))
        .collect()
}

/// Per-client accuracy as a distribution; every client counts once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Standard deviation (of the population).
    pub std: f64,
    /// 5th percentile, interpolated linearly between order statistics.
    pub p5: f64,
    /// 95th percentile, likewise.
    pub p95: f64,
    /// Mean of the worst tenth, at least one client.
    pub worst10: f64,
}

impl Spread {
    /// The spread of a set of accuracies; `None` of an empty one.
    pub fn of(mut accuracies: Vec<f64>) -> Option<Self> {
        if accuracies.is_empty() {
            return None;
        }
        accuracies.sort_by(f64::total_cmp);
        let n = accuracies.len();
        let mean = accuracies.iter().sum::<f64>() / n as f64;
        let variance = accuracies
            .iter()
            .map(|a| (a - mean) * (a - mean))
            .sum::<f64>()
            / n as f64;
        let percentile = |p: f64| {
            let place = p * (n - 1) as f64;
            let below = accuracies[place as usize];
            let above = accuracies[(place as usize + 1).min(n - 1)];
            below + (above - below) * (place - libm::floor(place))
        };
        let worst = &accuracies[..n.div_ceil(10)];
        Some(Self {
            mean,
            std: variance.sqrt(),
            p5: percentile(0.05),
            p95: percentile(0.95),
            worst10: worst.iter().sum::<f64>() / worst.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_known_accuracies() {
        // 0.00, 0.05, ..., 0.95 shuffled: numpy.percentile gives 0.0475 and 0.9025.
        let values: Vec<f64> = (0..20).map(|i| f64::from(i * 7 % 20) * 0.05).collect();
        let spread = Spread::of(values).unwrap();
        assert!((spread.mean - 0.475).abs() < 1e-12);
        assert!(
            (spread.std - 0.288_314_064_867_1).abs() < 1e-9,
            "{}",
            spread.std
        );
        assert!((spread.p5 - 0.0475).abs() < 1e-12);
        assert!((spread.p95 - 0.9025).abs() < 1e-12);
        assert!((spread.worst10 - 0.025).abs() < 1e-12);
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
