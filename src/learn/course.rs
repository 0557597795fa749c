//! The batches of a job in the order of training, and the losses so far.

use super::{LearnError, TrainJob};
use crate::sim::given_up;
use crate::sim::rng::{shuffle, stream, Purpose, Stream};

/// The batches of one job, step by step. The client's samples are gone through in passes, each in a
/// new order drawn from the client's own random stream. The last batch of a pass may be short.
#[derive(Debug)]
pub(super) struct Course {
    stream: Stream,
    order: Vec<u32>,
    batch: usize,
    at: usize,
    left: u64,
}

impl Course {
    /// The batches of `job`, from the first step.
    pub fn of(job: &TrainJob) -> Self {
        let samples = job.samples.as_slice();
        Self {
            stream: stream(job.seed, job.client, Purpose::Shuffle, job.round),
            order: samples.to_vec(),
            batch: job.local.batch_of(samples.len()),
            // The first step begins a new pass.
            at: samples.len(),
            left: job.local.steps(samples.len()),
        }
    }

    /// The samples of the next step; `None` after the last.
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

/// The counts and losses of the steps so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The number of steps.
    pub steps: u64,
    /// The number of samples, counted once for each time that they were used.
    pub seen: u64,
    /// The sum of the losses of all samples.
    pub total: f64,
    /// The mean loss of the last batch.
    pub last: f64,
}

impl Progress {
    /// Counts a step whose batch of `samples` samples had losses with the sum `loss`.
    ///
    /// # Errors
    /// When the loss is not finite, or the run is over. The step must then not be taken.
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

/// Checks whether the run still needs the result of the current job. Jobs with very many parts call
/// this between them.
///
/// # Errors
/// When the run is over, so that the rest of the job would be computed for nothing.
pub(crate) fn go_on() -> Result<(), LearnError> {
    match given_up() {
        true => Err(LearnError::GivenUp),
        false => Ok(()),
    }
}
