//! Local training on an objective of the method's own. Epochs, batches, order of samples, learning
//! rate and optimiser are those of [`super::train`], but the caller computes the gradient.

use super::course::{Course, Progress};
use super::train::{check, measure, read};
use super::update::{self, Moments, Terms};
use super::{cross_entropy, Gradients, LearnError, TrainJob, Trained};
use crate::model::{Buffer, MaskSource, Viewed};
use std::sync::Arc;
use tch::Tensor;

/// The batch that one step learns from.
pub(super) struct Batch<'a> {
    /// The parameters, with one view for each entry of the job's layout.
    pub params: &'a [Tensor],
    /// The numbers of the samples.
    pub samples: &'a [u32],
    /// The samples, normalised.
    pub x: &'a Tensor,
    /// The labels of the samples.
    pub labels: &'a [u32],
    /// The source of dropout masks.
    pub masks: &'a mut MaskSource,
}

/// Trains on `objective`, which is called for every batch. It replaces the gradients by those of
/// its mean loss over the batch, and returns the sum of the loss. Corrections of the job are
/// ignored.
pub(super) fn train_on(
    job: &TrainJob,
    mut objective: impl FnMut(Batch, &mut Gradients) -> Result<f64, LearnError>,
) -> Result<Trained, LearnError> {
    check(job)?;
    let _guard = tch::no_grad_guard();
    let device = job.data.device();
    let local = &job.local;
    let lr = local.rate(job.round);
    let mut weights = Viewed::new(Buffer::copy_of(&job.start.to_device(device)?)?)?;
    let mut gradients = Gradients::new(Arc::clone(job.model.layout()), device)?;
    let mut moments = Moments::new(&local.optimizer, gradients.flat())?;
    let mut masks = MaskSource::new(job.seed, job.client, job.round);
    let mut labels = Vec::new();
    let mut course = Course::of(job);
    let mut progress = Progress::default();
    while let Some(samples) = course.next() {
        let x = job.data.batch(samples, job.model.starts_with_images())?;
        job.data.labels_of(samples, &mut labels)?;
        let batch = Batch {
            params: weights.views(),
            samples,
            x: &x,
            labels: &labels,
            masks: &mut masks,
        };
        progress.count(objective(batch, &mut gradients)?, samples.len())?;
        let flat = gradients.flat_mut();
        let (terms, step) = (Terms::default(), progress.steps);
        let weights = weights.flat_mut();
        update::step(weights, flat, &mut moments, terms, local, lr, step)?;
    }
    if job.model.measures_statistics() {
        measure(job, &mut weights)?;
    }
    Trained::of(weights.into_flat().freeze(), progress)
}

/// Class scores in the memory of the host. Losses are computed there, since scores are few.
pub(super) struct Scores {
    /// The scores, sample after sample.
    pub values: Vec<f32>,
    /// The number of classes.
    pub classes: usize,
}

impl Scores {
    pub(super) fn of(tensor: &Tensor) -> Result<Self, LearnError> {
        let mut values = Vec::new();
        read(tensor, &mut values)?;
        let classes = tensor.size().last().map_or(0, |&n| n as usize);
        Ok(Self { values, classes })
    }

    /// The sum of the cross entropies, and `weight` times the gradient of their mean.
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

/// A gradient with respect to `scores`, as a tensor on their device.
pub(super) fn like(scores: &Tensor, gradient: &[f32]) -> Result<Tensor, LearnError> {
    let flat = Tensor::f_from_slice(gradient)?;
    Ok(flat
        .f_reshape(scores.size())?
        .f_to_device(scores.device())?)
}
