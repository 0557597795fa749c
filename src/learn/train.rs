//! Local training: the job, and how it is done.

use super::tape::KIND;
use super::update::{self, Moments, Terms};
use super::{cross_entropy, DeviceData, Gradients, LearnError, LocalTraining, Optimizer, Tape};
use crate::model::{Buffer, Layout, MaskSource, Model, ParamError, ParamSet};
use crate::sim::rng::{shuffle, stream, Purpose};
use std::ops::Range;
use std::sync::Arc;
use tch::{Device, Tensor};

/// Some samples of a data set, by index; a clone shares the indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    indices: Arc<[u32]>,
    range: Range<usize>,
}

impl Samples {
    /// The samples at `range` of a shared list; nothing when the range goes past its end.
    pub fn part(indices: Arc<[u32]>, range: Range<usize>) -> Option<Self> {
        indices.get(range.clone())?;
        Some(Self { indices, range })
    }

    /// Their indices.
    pub fn as_slice(&self) -> &[u32] {
        self.indices.get(self.range.clone()).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }
}

impl From<Vec<u32>> for Samples {
    fn from(indices: Vec<u32>) -> Self {
        Self {
            range: 0..indices.len(),
            indices: indices.into(),
        }
    }
}

/// What a method adds to the gradient of the loss.
#[derive(Debug, Clone, Default)]
pub struct Correction {
    /// μ of FedProx: adds μ(w − w₀), the gradient of μ/2·‖w − w₀‖², where w₀ is where the job starts
    /// (Li et al., 2020).
    pub proximal: Option<f64>,
    /// Added to every gradient as it is: SCAFFOLD's c − cᵢ (Karimireddy et al., 2020).
    pub drift: Option<ParamSet>,
    /// The classes that count, one flag each: in the loss, the scores of all others are replaced by 0
    /// (HeteroFL's masked cross entropy, Diao et al. 2021, section 3).
    pub classes: Option<Arc<[bool]>>,
    /// Every gradient is multiplied by it before anything else is done with it: with zeros for what
    /// is pruned, that stays exactly as it starts.
    pub mask: Option<ParamSet>,
}

/// One client's local training in one round.
#[derive(Debug, Clone)]
pub struct TrainJob {
    /// The network.
    pub model: Arc<Model>,
    /// Where training starts.
    pub start: ParamSet,
    /// The data set.
    pub data: Arc<DeviceData>,
    /// The client's share of it.
    pub samples: Samples,
    /// Optimiser, amount, batches.
    pub local: LocalTraining,
    /// The round, from 0: sets the learning rate and names the random streams.
    pub round: u64,
    /// The run's seed.
    pub seed: u64,
    /// The client's node number.
    pub client: u64,
    /// What the method adds to the gradient.
    pub correction: Correction,
}

/// What local training gives.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The parameters after the last step.
    pub params: ParamSet,
    /// Steps taken.
    pub steps: u64,
    /// Samples gone through, repetitions counted.
    pub samples_seen: u64,
    /// Mean loss over those samples, each as it was met (with dropout, before its step); 0 if there
    /// was no step.
    pub mean_loss: f64,
    /// Mean loss of the last batch; 0 if there was no step.
    pub last_loss: f64,
}

/// Memory that a worker thread reuses from job to job. It carries nothing from one job to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    work: Option<Work>,
    order: Vec<u32>,
    labels: Vec<u32>,
    host: Vec<f32>,
}

#[derive(Debug)]
struct Work {
    layout: Arc<Layout>,
    device: Device,
    gradients: Gradients,
    moments: Option<(Optimizer, Moments)>,
}

impl Scratch {
    /// Without memory yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Work {
    /// The memory of the last job if it fits this one.
    fn fitting(
        last: Option<Self>,
        layout: &Arc<Layout>,
        device: Device,
    ) -> Result<Self, LearnError> {
        match last {
            Some(work)
                if work.device == device
                    && (Arc::ptr_eq(&work.layout, layout) || work.layout == *layout) =>
            {
                Ok(work)
            }
            _ => Ok(Self {
                gradients: Gradients::new(layout.clone(), device)?,
                layout: layout.clone(),
                device,
                moments: None,
            }),
        }
    }

    /// The optimiser's state, all zeros.
    fn fresh_moments(&mut self, optimizer: &Optimizer) -> Result<(), LearnError> {
        match &mut self.moments {
            Some((of, moments)) if of == optimizer => moments.clear(),
            slot => {
                *slot = Some((
                    optimizer.clone(),
                    Moments::new(optimizer, self.gradients.flat())?,
                ));
                Ok(())
            }
        }
    }
}

/// Trains, from the job alone: equal jobs give equal bits on every thread that was prepared with
/// [`super::prepare_worker_thread`].
///
/// The parameters of the result lie on the device of the data.
///
/// # Errors
/// When the parts of the job do not fit each other, training diverges, or the host device cannot.
pub fn train(job: &TrainJob, scratch: &mut Scratch) -> Result<Trained, LearnError> {
    fits(&job.model, &job.start, &job.data)?;
    if job.samples.is_empty() {
        return Err(LearnError::NoSamples);
    }
    for vector in [&job.correction.drift, &job.correction.mask]
        .into_iter()
        .flatten()
    {
        same_layout(&job.start, vector)?;
    }
    if let Some(classes) = &job.correction.classes {
        if classes.len() != job.model.classes() {
            return Err(LearnError::Classes {
                expected: job.model.classes(),
                found: classes.len(),
            });
        }
    }
    let _guard = tch::no_grad_guard();
    let device = job.data.device();
    let start = job.start.to_device(device)?;
    let there = |vector: &Option<ParamSet>| {
        let vector = vector.as_ref();
        vector.map(|vector| vector.to_device(device)).transpose()
    };
    let drift = there(&job.correction.drift)?;
    let mask = there(&job.correction.mask)?;
    let terms = Terms {
        proximal: job
            .correction
            .proximal
            .filter(|&mu| mu != 0.0)
            .map(|mu| (mu as f32, &start)),
        drift: drift.as_ref(),
        mask: mask.as_ref(),
    };

    let mut work = Work::fitting(scratch.work.take(), job.model.layout(), device)?;
    work.fresh_moments(&job.local.optimizer)?;
    let mut weights = Buffer::copy_of(&start)?;
    let result = descend(job, &mut weights, &mut work, scratch, terms);
    scratch.work = Some(work);
    let (steps, samples_seen, total, last_loss) = result?;

    let params = weights.freeze();
    if !params.is_finite()? {
        return Err(LearnError::Diverged {
            step: steps,
            loss: last_loss,
        });
    }
    Ok(Trained {
        params,
        steps,
        samples_seen,
        mean_loss: total / samples_seen.max(1) as f64,
        last_loss,
    })
}

/// The steps of a job; returns how many, samples seen, the sum of their losses and the last batch's
/// mean.
fn descend(
    job: &TrainJob,
    weights: &mut Buffer,
    work: &mut Work,
    scratch: &mut Scratch,
    terms: Terms,
) -> Result<(u64, u64, f64, f64), LearnError> {
    let local = &job.local;
    let lr = local.rate(job.round);
    let wanted = local.steps(job.samples.len());
    let batch = local.batch_of(job.samples.len());
    let mut order_stream = stream(job.seed, job.client, Purpose::Shuffle, job.round);
    let mut masks = MaskSource::new(job.seed, job.client, job.round);
    let views = weights.views()?;
    let mut order = std::mem::take(&mut scratch.order);
    order.clear();
    order.extend_from_slice(job.samples.as_slice());

    let (mut steps, mut seen, mut total, mut last) = (0u64, 0u64, 0.0f64, 0.0f64);
    while steps < wanted {
        shuffle(&mut order_stream, &mut order);
        for samples in order.chunks(batch) {
            if steps == wanted {
                break;
            }
            let x = job.data.batch(samples, job.model.starts_with_images())?;
            job.data.labels_of(samples, &mut scratch.labels)?;
            let tape = Tape::forward(&job.model, &views, &x, &mut masks)?;
            let classes = job.correction.classes.as_deref();
            let (loss, gradient) =
                loss(tape.scores(), &scratch.labels, classes, &mut scratch.host)?;
            last = loss / samples.len() as f64;
            if !loss.is_finite() {
                return Err(LearnError::Diverged {
                    step: steps,
                    loss: last,
                });
            }
            tape.backward(gradient, &mut work.gradients)?;
            steps += 1;
            seen += samples.len() as u64;
            total += loss;
            let Some((_, moments)) = &mut work.moments else {
                continue;
            };
            let gradients = work.gradients.flat_mut();
            update::step(weights, gradients, moments, terms, local, lr, steps)?;
        }
    }
    scratch.order = order;
    Ok((steps, seen, total, last))
}

/// Sum of the batch's losses, and the gradient of their mean with respect to the scores. The scores
/// are few, so both are computed on the CPU wherever the network is.
fn loss(
    scores: &Tensor,
    labels: &[u32],
    counted: Option<&[bool]>,
    host: &mut Vec<f32>,
) -> Result<(f64, Tensor), LearnError> {
    let classes = scores.size().last().map_or(0, |&n| n as usize);
    read(scores, host)?;
    // A score that was replaced by a constant has no gradient.
    let silence = |rows: &mut [f32]| {
        let Some(counted) = counted else { return };
        for row in rows.chunks_exact_mut(classes.max(1)) {
            let silent = row
                .iter_mut()
                .zip(counted)
                .filter(|(_, counted)| !**counted);
            silent.for_each(|(value, _)| *value = 0.0);
        }
    };
    silence(host);
    let gradient = Tensor::f_empty(scores.size(), (KIND, Device::Cpu))?;
    // SAFETY: a fresh contiguous float tensor on the CPU of exactly `numel` elements, not yet known
    // to anyone else.
    let out = unsafe {
        std::slice::from_raw_parts_mut(gradient.data_ptr().cast::<f32>(), gradient.numel())
    };
    let loss = cross_entropy(host, classes, labels, Some(&mut *out));
    silence(out);
    Ok((loss, gradient.f_to_device(scores.device())?))
}

/// Copies a tensor of floats into `host`.
pub(super) fn read(tensor: &Tensor, host: &mut Vec<f32>) -> Result<(), LearnError> {
    let here = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    let n = here.numel();
    host.resize(n, 0.0);
    here.f_copy_data(host.as_mut_slice(), n)?;
    Ok(())
}

/// Whether data and parameters are what the model takes.
pub(super) fn fits(model: &Model, params: &ParamSet, data: &DeviceData) -> Result<(), LearnError> {
    if model.input() != data.shape() || model.classes() != data.classes() {
        return Err(LearnError::Shape {
            model: model.input().to_vec(),
            classes: model.classes(),
            data: data.shape().to_vec(),
            labels: data.classes(),
        });
    }
    if Arc::ptr_eq(model.layout(), params.layout()) || model.layout() == params.layout() {
        return Ok(());
    }
    Err(LearnError::Parameters(ParamError::Layout {
        expected: model.layout().describe(),
        found: params.layout().describe(),
    }))
}

fn same_layout(a: &ParamSet, b: &ParamSet) -> Result<(), LearnError> {
    if Arc::ptr_eq(a.layout(), b.layout()) || a.layout() == b.layout() {
        return Ok(());
    }
    Err(LearnError::Parameters(ParamError::Layout {
        expected: a.layout().describe(),
        found: b.layout().describe(),
    }))
}

#[cfg(test)]
mod tests;
