//! A batch in pieces: its gradient is the weighted sum of those of its parts. This is for devices
//! that have too little memory for the activations of the whole batch.

use super::super::tape::Tape;
use super::super::{Gradients, LearnError, TrainJob};
use super::autograd::by_autograd;
use super::{loss, FastPath, Scratch};
use crate::model::{MaskSource, Op};
use tch::Tensor;

/// The number of pieces that the batches of a job are cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pieces {
    count: usize,
    /// Whether a batch may be cut at all.
    separable: bool,
}

impl Pieces {
    /// The smallest number of pieces with which the job is estimated to fit `limit` bytes.
    pub fn within(limit: Option<u64>, job: &TrainJob) -> Self {
        let batch = job.local.batch_of(job.samples.len());
        let extra = u64::from(job.correction.drift.is_some()) + 1;
        let fits = |pieces: usize| {
            let piece = batch.div_ceil(pieces) as u64;
            limit.is_none_or(|limit| job.model.training_memory(piece, extra).0 <= limit)
        };
        let separable = separable(job.model.ops());
        let mut count = 1;
        while count < batch && !fits(count) && separable {
            count *= 2;
        }
        Self { count, separable }
    }

    /// The result of `attempt` for a batch of `samples` samples. If it runs out of memory, it is
    /// called again with twice as many pieces, as long as they can be smaller.
    pub fn attempt<T>(
        &mut self,
        samples: usize,
        mut attempt: impl FnMut(usize) -> Result<T, LearnError>,
    ) -> Result<T, LearnError> {
        loop {
            match attempt(self.count) {
                Err(LearnError::OutOfMemory { detail })
                    if self.separable && self.count < samples =>
                {
                    self.count *= 2;
                    tracing::info!(
                        detail,
                        pieces = self.count,
                        "a batch is cut and tried again"
                    );
                }
                result => return result,
            }
        }
    }
}

/// Whether each sample passes the layers independently of the others, so that a batch may be cut.
pub(super) fn separable(ops: &[Op]) -> bool {
    ops.iter().all(|op| match op {
        Op::Conv { .. }
        | Op::Dense { .. }
        | Op::Relu
        | Op::Tanh
        | Op::Sigmoid
        | Op::MaxPool { .. }
        | Op::AvgPool { .. }
        | Op::GlobalAvgPool
        | Op::Flatten
        | Op::Dropout { .. }
        | Op::Scaler { .. }
        | Op::GroupNorm { .. } => true,
        // A batch normalisation depends on the whole batch, and what a TorchScript module does is
        // unknown.
        Op::BatchNorm { .. } | Op::Script { .. } => false,
        Op::Other { layer, .. } => layer.get().takes_samples_apart(),
        Op::Exit { head } => separable(head),
        Op::Residual { body, shortcut } => separable(body) && separable(shortcut),
    })
}

/// The gradients of a batch's mean loss, computed in `pieces`; returns the sum of the losses.
/// Dropout masks are those of the whole batch.
pub(super) fn gradients_of(
    job: &TrainJob,
    views: &[Tensor],
    samples: &[u32],
    masks: &mut MaskSource,
    gradients: &mut Gradients,
    pieces: usize,
    scratch: &mut Scratch,
) -> Result<f64, LearnError> {
    let autograd = scratch.without == Some(FastPath::Tape);
    let (labels, host) = (&mut scratch.labels, &mut scratch.host);
    let mut one = |part: &[u32], masks: &mut MaskSource, gradients: &mut Gradients| {
        let x = job.data.batch(part, job.model.starts_with_images())?;
        job.data.labels_of(part, labels)?;
        if autograd {
            let classes = job.correction.classes.as_deref();
            let loss = |scores: &Tensor| loss(scores, labels, classes, host);
            return by_autograd(&job.model, views, &x, masks, loss, gradients);
        }
        let tape = Tape::forward(&job.model, views, &x, masks, job.local.precision)?;
        let (loss, gradient) = loss(
            tape.scores(),
            labels,
            job.correction.classes.as_deref(),
            host,
        )?;
        // If the loss is not finite, the gradients are not either: the caller stops then.
        if loss.is_finite() {
            tape.backward(gradient, gradients)?;
        }
        Ok::<_, LearnError>(loss)
    };
    // After a failure the stream must be where it was, for another attempt.
    let mut source = masks.clone();
    if pieces < 2 {
        let loss = one(samples, &mut source, gradients)?;
        *masks = source;
        return Ok(loss);
    }
    let mut total = 0.0;
    let mut sum = gradients.flat_mut().flat_mut().f_zeros_like()?;
    let size = samples.len().div_ceil(pieces).max(1);
    for (place, part) in samples.chunks(size).enumerate() {
        source = masks.of_part(samples.len(), place * size..place * size + part.len());
        total += one(part, &mut source, gradients)?;
        let share = part.len() as f64 / samples.len() as f64;
        let of_part = gradients.flat_mut().flat_mut().f_mul_scalar(share)?;
        let _ = sum.f_add_(&of_part)?;
    }
    gradients.flat_mut().flat_mut().f_copy_(&sum)?;
    *masks = source.of_whole();
    Ok(total)
}
