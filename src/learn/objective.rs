//! Local training on an objective of the method's own: the same epochs, batches, order of samples,
//! learning rate and optimiser as [`super::train`], and a gradient that the caller computes.

use super::train::{fits, read};
use super::update::{self, Moments, Terms};
use super::{cross_entropy, Gradients, LearnError, TrainJob, Trained};
use crate::model::{Buffer, MaskSource};
use crate::sim::rng::{shuffle, stream, Purpose};
use std::sync::Arc;
use tch::Tensor;

/// What one step learns from.
pub(super) struct Batch<'a> {
    /// The parameters, one view per entry of the job's layout.
    pub params: &'a [Tensor],
    /// The samples.
    pub x: &'a Tensor,
    /// Their labels.
    pub labels: &'a [u32],
    /// Where dropout gets its masks.
    pub masks: &'a mut MaskSource,
}

/// Trains on `objective`, which replaces the gradients by those of the mean of its loss over a batch
/// and returns the sum of that loss. Corrections of the job have no part in it.
pub(super) fn train_on(
    job: &TrainJob,
    mut objective: impl FnMut(Batch, &mut Gradients) -> Result<f64, LearnError>,
) -> Result<Trained, LearnError> {
    fits(&job.model, &job.start, &job.data)?;
    if job.samples.is_empty() {
        return Err(LearnError::NoSamples);
    }
    let _guard = tch::no_grad_guard();
    let device = job.data.device();
    let local = &job.local;
    let lr = local.rate(job.round);
    let wanted = local.steps(job.samples.len());
    let batch = local.batch_of(job.samples.len());
    let mut weights = Buffer::copy_of(&job.start.to_device(device)?)?;
    let mut gradients = Gradients::new(Arc::clone(job.model.layout()), device)?;
    let mut moments = Moments::new(&local.optimizer, gradients.flat())?;
    let mut order_stream = stream(job.seed, job.client, Purpose::Shuffle, job.round);
    let mut masks = MaskSource::new(job.seed, job.client, job.round);
    let params = weights.views()?;
    let mut order = job.samples.as_slice().to_vec();
    let mut labels = Vec::new();
    let (mut steps, mut seen, mut total, mut last) = (0u64, 0u64, 0.0f64, 0.0f64);
    while steps < wanted {
        shuffle(&mut order_stream, &mut order);
        let left = usize::try_from(wanted - steps).unwrap_or(usize::MAX);
        for samples in order.chunks(batch).take(left) {
            let x = job.data.batch(samples, job.model.starts_with_images())?;
            job.data.labels_of(samples, &mut labels)?;
            let batch = Batch {
                params: &params,
                x: &x,
                labels: &labels,
                masks: &mut masks,
            };
            let loss = objective(batch, &mut gradients)?;
            last = loss / samples.len() as f64;
            if !loss.is_finite() {
                return Err(LearnError::Diverged {
                    step: steps,
                    loss: last,
                });
            }
            steps += 1;
            seen += samples.len() as u64;
            total += loss;
            let flat = gradients.flat_mut();
            let terms = Terms::default();
            update::step(&mut weights, flat, &mut moments, terms, local, lr, steps)?;
        }
    }
    drop(params);
    let params = weights.freeze();
    if !params.is_finite()? {
        return Err(LearnError::Diverged {
            step: steps,
            loss: last,
        });
    }
    Ok(Trained {
        params,
        steps,
        samples_seen: seen,
        mean_loss: total / seen.max(1) as f64,
        last_loss: last,
    })
}

/// Class scores on the host, where losses are computed: they are few.
pub(super) struct Scores {
    pub values: Vec<f32>,
    pub classes: usize,
}

impl Scores {
    pub(super) fn of(tensor: &Tensor) -> Result<Self, LearnError> {
        let mut values = Vec::new();
        read(tensor, &mut values)?;
        let classes = tensor.size().last().map_or(0, |&n| n as usize);
        Ok(Self { values, classes })
    }

    /// Sum of the cross entropies, and `weight` times the gradient of their mean.
    pub(super) fn cross_entropy(&self, labels: &[u32], weight: f64) -> (f64, Vec<f32>) {
        let mut gradient = vec![0.0; self.values.len()];
        let loss = cross_entropy(&self.values, self.classes, labels, Some(&mut gradient));
        if weight != 1.0 {
            let scale = |value: &mut f32| *value *= weight as f32;
            gradient.iter_mut().for_each(scale);
        }
        (loss, gradient)
    }
}

/// A gradient with respect to `scores`, where they are.
pub(super) fn like(scores: &Tensor, gradient: &[f32]) -> Result<Tensor, LearnError> {
    let flat = Tensor::f_from_slice(gradient)?;
    Ok(flat
        .f_reshape(scores.size())?
        .f_to_device(scores.device())?)
}
