//! What colluding adversaries know of a round, and the line on which they look for their update.

use serde::{Deserialize, Serialize};

/// How much adversaries know when they decide what to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Knowledge {
    /// They know the updates that they themselves would have sent if they were honest.
    #[default]
    Own,
    /// They also know the updates that the honest clients have sent in the round.
    Cohort,
    /// They also know the server's defence: they try several strengths against it and send the
    /// update that does the most damage.
    Defence,
}

/// The part of a round that the adversaries know.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Honest updates: those of the other clients or, if the adversaries do not know these, their
    /// own.
    pub updates: &'a [&'a [f32]],
    /// The number n of reports of the round.
    pub reports: usize,
    /// The number m of adversaries among them.
    pub colluders: usize,
}

/// The candidates for the update that all adversaries send: `from + scale · along`.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The start of the line, one value for each parameter.
    pub from: Vec<f64>,
    /// The direction of the line, one value for each parameter.
    pub along: Vec<f64>,
    /// How far along the line the attack goes.
    pub scale: f64,
}

impl Line {
    /// The update at the distance `scale` along the line.
    pub fn at(&self, scale: f64) -> Vec<f32> {
        let pairs = self.from.iter().zip(&self.along);
        pairs
            .map(|(from, along)| (from + scale * along) as f32)
            .collect()
    }
}

impl Known<'_> {
    /// The mean of the known updates, value by value.
    pub fn mean(&self) -> Vec<f64> {
        let n = self.updates.len().max(1) as f64;
        self.sum(|_, value| value / n)
    }

    /// The standard deviation of each value of the known updates, with the divisor n; `mean` is
    /// their mean.
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
