//! What colluding adversaries know of a round, and the line on which they look for their update.

use serde::{Deserialize, Serialize};

/// How much adversaries know when they decide what to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Knowledge {
    /// What they would have sent if they were honest.
    #[default]
    Own,
    /// What the others have sent in the round, too.
    Cohort,
    /// And by which rule the server aggregates: they try several strengths against it and send the
    /// strongest.
    Defence,
}

/// What is known of a round.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Honest updates: those of the others, or the adversaries' own where no more is known.
    pub updates: &'a [&'a [f32]],
    /// Reports of the round, n.
    pub reports: usize,
    /// Adversaries among them, m.
    pub colluders: usize,
}

/// Candidates for the update that all adversaries send: `from + scale · along`.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Where it begins.
    pub from: Vec<f64>,
    /// Its direction.
    pub along: Vec<f64>,
    /// How far the attack goes.
    pub scale: f64,
}

impl Line {
    /// The update at `scale`.
    pub fn at(&self, scale: f64) -> Vec<f32> {
        let pairs = self.from.iter().zip(&self.along);
        pairs
            .map(|(from, along)| (from + scale * along) as f32)
            .collect()
    }
}

impl Known<'_> {
    /// The mean of the known updates.
    pub fn mean(&self) -> Vec<f64> {
        let n = self.updates.len().max(1) as f64;
        self.sum(|_, value| value / n)
    }

    /// The deviation (of the population) of each value of the known updates.
    pub fn deviation(&self, mean: &[f64]) -> Vec<f64> {
        let n = self.updates.len().max(1) as f64;
        let variance = self.sum(|at, value| (value - mean[at]).powi(2) / n);
        variance.iter().map(|v| v.sqrt()).collect()
    }

    fn sum(&self, f: impl Fn(usize, f64) -> f64) -> Vec<f64> {
        let length = self.updates.first().map_or(0, |update| update.len());
        let mut sum = vec![0.0; length];
        for update in self.updates {
            for (at, (sum, value)) in sum.iter_mut().zip(*update).enumerate() {
                *sum += f(at, f64::from(*value));
            }
        }
        sum
    }
}
