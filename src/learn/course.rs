//! The batches of a job, in the order they are trained on, and what came of them.

use super::{LearnError, TrainJob};
use crate::sim::given_up;
use crate::sim::rng::{shuffle, stream, Purpose, Stream};

/// The batches of one job, step by step: the client's samples in passes, each in a new order drawn
/// from its own stream, the last batch of a pass possibly short.
#[derive(Debug)]
pub(super) struct Course {
    stream: Stream,
    order: Vec<u32>,
    batch: usize,
    at: usize,
    left: u64,
}

impl Course {
    pub fn of(job: &TrainJob) -> Self {
        let samples = job.samples.as_slice();
        Self {
            stream: stream(job.seed, job.client, Purpose::Shuffle, job.round),
            order: samples.to_vec(),
            batch: job.local.batch_of(samples.len()),
            // The first step begins a pass.
            at: samples.len(),
            left: job.local.steps(samples.len()),
        }
    }

    /// The samples of the next step.
    pub fn next(&mut self) -> Option<&[u32]> {
        self.left = self.left.checked_sub(1)?;
        if self.at >= self.order.len() {
            shuffle(&mut self.stream, &mut self.order);
            self.at = 0;
        }
        let from = self.at;
        self.at = self.order.len().min(from + self.batch);
        self.order.get(from..self.at)
    }
}

/// What the steps so far came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    pub steps: u64,
    pub seen: u64,
    /// Sum of all samples' losses.
    pub total: f64,
    /// Mean loss of the last batch.
    pub last: f64,
}

impl Progress {
    /// Counts a step whose batch of `samples` had losses of sum `loss`.
    ///
    /// # Errors
    /// When that is not a number, or the run is over: the step is not to be taken.
    pub fn count(&mut self, loss: f64, samples: usize) -> Result<(), LearnError> {
        go_on()?;
        self.last = loss / samples as f64;
        if !loss.is_finite() {
            return Err(LearnError::Diverged {
                step: self.steps,
                loss: self.last,
            });
        }
        self.steps += 1;
        self.seen += samples as u64;
        self.total += loss;
        Ok(())
    }
}

/// To be asked between the parts of a job that may have very many of them.
///
/// # Errors
/// When the run is over, so that the rest would be for nothing.
pub(crate) fn go_on() -> Result<(), LearnError> {
    match given_up() {
        true => Err(LearnError::GivenUp),
        false => Ok(()),
    }
}
