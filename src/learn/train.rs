//! Local training: the job, and the function that trains it.

mod autograd;
mod pieces;

use super::course::{Course, Progress};
use super::perceptron::{Perceptron, Workspace};
use super::update::{self, Moments, Terms};
use super::{
    masked_cross_entropy, statistics::sums_of, DeviceData, Gradients, HeldOut, LearnError,
    LocalTraining, Optimizer, Precision,
};
use crate::model::{Buffer, Fresh, Layout, MaskSource, Model, ParamError, ParamSet, Viewed};
use crate::quantity::Bytes;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use pieces::{gradients_of, Pieces};
use std::ops::Range;
use std::sync::Arc;
use tch::{Device, Tensor};

/// Some samples of a data set, by their numbers; a clone shares the list of numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    indices: Arc<[u32]>,
    range: Range<usize>,
}

impl Snapshot for Samples {
    fn save(&self, to: &mut Writer) {
        self.indices.save(to);
        self.range.start.save(to);
        self.range.end.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let indices = Snapshot::load(from)?;
        let range = usize::load(from)?..usize::load(from)?;
        let beyond = || Damaged::new("samples beyond their list");
        Self::part(indices, range).ok_or_else(beyond)
    }
}

impl Samples {
    /// The samples at `range` of a shared list; `None` if the range goes past the end of the list.
    pub fn part(indices: Arc<[u32]>, range: Range<usize>) -> Option<Self> {
        indices.get(range.clone())?;
        Some(Self { indices, range })
    }

    /// The numbers of the samples.
    pub fn as_slice(&self) -> &[u32] {
        self.indices.get(self.range.clone()).unwrap_or_default()
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no samples.
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

/// The terms that a method adds to the gradient of the loss.
#[derive(Debug, Clone, Default)]
pub struct Correction {
    /// The factor μ of FedProx, which adds μ(w − w₀), the gradient of μ/2·‖w − w₀‖², where w₀ are
    /// the parameters at the start of the job (Li et al., 2020).
    pub proximal: Option<f64>,
    /// A vector that is added to every gradient: SCAFFOLD's c − cᵢ (Karimireddy et al., 2020).
    pub drift: Option<ParamSet>,
    /// The classes that count, one flag for each: in the loss, the scores of all other classes are
    /// replaced by 0 (HeteroFL's masked cross entropy, Diao et al. 2021, section 3).
    pub classes: Option<Arc<[bool]>>,
    /// Factors that every gradient is multiplied by before any other step. A factor of 0 keeps a
    /// pruned parameter exactly at its start.
    pub mask: Option<ParamSet>,
}

/// One client's local training in one round.
#[derive(Debug, Clone)]
pub struct TrainJob {
    /// The network.
    pub model: Arc<Model>,
    /// The parameters at the start of training.
    pub start: ParamSet,
    /// The data set.
    pub data: Arc<DeviceData>,
    /// The client's samples of the data set.
    pub samples: Samples,
    /// The optimiser, the amount of training and the batches.
    pub local: LocalTraining,
    /// The number of the round, counted from 0: it determines the learning rate and names the
    /// random streams.
    pub round: u64,
    /// The seed of the run.
    pub seed: u64,
    /// The node number of the client.
    pub client: u64,
    /// The terms that the method adds to the gradient.
    pub correction: Correction,
}

/// The result of local training.
#[derive(Debug, Clone)]
pub struct Trained {
    /// The parameters after the last step.
    pub params: ParamSet,
    /// The number of steps.
    pub steps: u64,
    /// The number of samples gone through, counted with repetitions.
    pub samples_seen: u64,
    /// The mean loss over those samples, each at the moment of its step (with dropout, before the
    /// update); 0 if there was no step.
    pub mean_loss: f64,
    /// The mean loss of the last batch; 0 if there was no step.
    pub last_loss: f64,
    /// The accuracy before and after training on held-out samples, if the scenario asks for it.
    pub held_out: Option<HeldOut>,
}

/// Memory that a worker thread reuses from job to job. It carries no values from one job to the
/// next.
#[derive(Debug, Default)]
pub struct Scratch {
    work: Option<Work>,
    workspace: Workspace,
    labels: Vec<u32>,
    host: Vec<f32>,
    limit: Option<u64>,
    without: Option<FastPath>,
}

/// A way to train that is faster than the general one. All ways take the steps of one rule, and differ
/// in rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FastPath {
    /// The reverse pass is written out, into one flat gradient, instead of left to autograd. Networks
    /// that train on slices do so on this path.
    Tape,
    /// Networks of dense layers train on slices, without torch.
    Slices,
}

#[derive(Debug)]
struct Work {
    layout: Arc<Layout>,
    device: Device,
    gradients: Gradients,
    moments: Option<(Optimizer, Moments)>,
}

impl Scratch {
    /// A scratch without any memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scratch without any memory yet, for a device with `limit` bytes. A batch that is estimated
    /// to need more is cut into pieces whose gradients are summed; that changes the rounding and
    /// nothing else.
    pub fn within(limit: Bytes) -> Self {
        Self {
            limit: Some(limit.0),
            ..Self::default()
        }
    }

    /// A scratch without any memory yet, with which jobs train without `path`. For benches, which
    /// measure what the path is worth; the engine takes every path.
    pub fn without(path: FastPath) -> Self {
        Self {
            without: Some(path),
            ..Self::default()
        }
    }
}

impl Work {
    /// The memory of the last job, if it fits this one.
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

    /// The gradients and the optimiser's state, all zero.
    fn fresh(
        &mut self,
        optimizer: &Optimizer,
    ) -> Result<(&mut Gradients, &mut Moments), LearnError> {
        let kept = self.moments.take().filter(|(of, _)| of == optimizer);
        let moments = match kept {
            Some((_, mut moments)) => {
                moments.clear()?;
                moments
            }
            None => Moments::new(optimizer, self.gradients.flat())?,
        };
        let (_, moments) = self.moments.insert((optimizer.clone(), moments));
        Ok((&mut self.gradients, moments))
    }
}

/// Trains a job. The result depends on the job alone: equal jobs give equal bits on every thread
/// that was prepared by [`super::prepare_worker_thread`].
///
/// The parameters of the result are on the device of the data.
///
/// # Errors
/// When the parts of the job do not fit each other, training diverges, or the host device fails.
pub fn train(job: &TrainJob, scratch: &mut Scratch) -> Result<Trained, LearnError> {
    check(job)?;
    let _guard = tch::no_grad_guard();
    let device = job.data.device();
    let start = job.start.to_device(device)?;
    let there = |vector: &Option<ParamSet>| {
        let vector = vector.as_ref();
        vector.map(|vector| vector.to_device(device)).transpose()
    };
    let drift = there(&job.correction.drift)?;
    let mask = there(&job.correction.mask)?;
    let frozen: &[Range<usize>] = job.model.frozen();
    let terms = Terms {
        proximal: job
            .correction
            .proximal
            .filter(|&mu| mu != 0.0)
            .map(|mu| (mu as f32, &start)),
        drift: drift.as_ref(),
        mask: mask.as_ref(),
        frozen: (!frozen.is_empty()).then_some((frozen, &start)),
    };

    let mut work = Work::fitting(scratch.work.take(), job.model.layout(), device)?;
    let result = steps(job, &start, &mut work, scratch, terms);
    scratch.work = Some(work);
    let (params, progress) = result?;
    Trained::of(params, progress)
}

/// Checks that the parts of a job fit each other.
pub(super) fn check(job: &TrainJob) -> Result<(), LearnError> {
    fits(&job.model, &job.start, &job.data)?;
    if job.samples.is_empty() {
        return Err(LearnError::NoSamples);
    }
    let vectors = [&job.correction.drift, &job.correction.mask];
    for vector in vectors.into_iter().flatten() {
        same_layout(&job.start, vector)?;
    }
    match &job.correction.classes {
        Some(classes) if classes.len() != job.model.classes() => Err(LearnError::Classes {
            expected: job.model.classes(),
            found: classes.len(),
        }),
        _ => Ok(()),
    }
}

impl Trained {
    /// The result of a job with these parameters and losses.
    ///
    /// # Errors
    /// When the parameters are not all finite.
    pub(super) fn of(params: ParamSet, progress: Progress) -> Result<Self, LearnError> {
        if !params.is_finite()? {
            return Err(LearnError::Diverged {
                step: progress.steps,
                loss: progress.last,
            });
        }
        Ok(Self {
            params,
            steps: progress.steps,
            samples_seen: progress.seen,
            mean_loss: progress.total / progress.seen.max(1) as f64,
            last_loss: progress.last,
            held_out: None,
        })
    }
}

/// Takes the steps of a job, with the kernels that suit its network.
fn steps(
    job: &TrainJob,
    start: &ParamSet,
    work: &mut Work,
    scratch: &mut Scratch,
    terms: Terms,
) -> Result<(ParamSet, Progress), LearnError> {
    let (gradients, moments) = work.fresh(&job.local.optimizer)?;
    let batch = job.local.batch_of(job.samples.len());
    let fits = job.data.device() == Device::Cpu
        && job.local.precision == Precision::Single
        && !matches!(scratch.without, Some(FastPath::Tape | FastPath::Slices));
    let small = fits.then(|| Perceptron::of(&job.model, batch));
    match small.flatten() {
        Some(network) => {
            let workspace = &mut scratch.workspace;
            network.train(job, terms, (workspace, gradients.flat_mut(), moments))
        }
        None => {
            let mut weights = Viewed::new(Buffer::copy_of(start)?)?;
            let progress = descend(job, &mut weights, gradients, moments, scratch, terms)?;
            if job.model.measures_statistics() {
                measure(job, &mut weights)?;
                weights.flat_mut().put_back(job.model.frozen(), start)?;
            }
            Ok((weights.into_flat().freeze(), progress))
        }
    }
}

/// Takes the steps of a job on tapes.
fn descend(
    job: &TrainJob,
    weights: &mut Viewed,
    gradients: &mut Gradients,
    moments: &mut Moments,
    scratch: &mut Scratch,
    terms: Terms,
) -> Result<Progress, LearnError> {
    let local = &job.local;
    let lr = local.rate(job.round);
    let mut masks = MaskSource::new(job.seed, job.client, job.round);
    let mut course = Course::of(job);
    let mut progress = Progress::default();
    let mut pieces = Pieces::within(scratch.limit, job);
    while let Some(samples) = course.next() {
        let loss = pieces.attempt(samples.len(), |pieces| {
            let views = weights.views();
            gradients_of(job, views, samples, &mut masks, gradients, pieces, scratch)
        })?;
        progress.count(loss, samples.len())?;
        let gradients = gradients.flat_mut();
        update::step(
            weights.flat_mut(),
            gradients,
            moments,
            terms,
            local,
            lr,
            progress.steps,
        )?;
    }
    Ok(progress)
}

/// Measures, with the trained weights, the input of every batch normalisation over the client's
/// samples, in their order and in batches of the size of training.
pub(super) fn measure(job: &TrainJob, weights: &mut Viewed) -> Result<(), LearnError> {
    let samples = job.samples.as_slice();
    let batches = samples.chunks(job.local.batch_of(samples.len()));
    let statistics = sums_of(&job.model, weights.views(), &job.data, batches)?;
    Ok(statistics.write(weights.views_mut())?)
}

/// The sum of the batch's losses, and the gradient of their mean with respect to the scores. Both
/// are computed on the CPU wherever the network is, since scores are few.
fn loss(
    scores: &Tensor,
    labels: &[u32],
    counted: Option<&[bool]>,
    host: &mut Vec<f32>,
) -> Result<(f64, Tensor), LearnError> {
    let classes = scores.size().last().map_or(0, |&n| n as usize);
    read(scores, host)?;
    let mut gradient = Fresh::unwritten(&scores.size())?;
    let out = gradient.values().map_err(ParamError::from)?;
    let loss = masked_cross_entropy(host, classes, labels, counted, out);
    let gradient = gradient.into_tensor();
    Ok((loss, gradient.f_to_device(scores.device())?))
}

/// Copies a tensor of floats to `host`.
pub(super) fn read(tensor: &Tensor, host: &mut Vec<f32>) -> Result<(), LearnError> {
    let here = tensor.f_to_device(Device::Cpu)?.f_contiguous()?;
    let n = here.numel();
    host.resize(n, 0.0);
    if n == 0 {
        return Ok(());
    }
    here.f_copy_data(host.as_mut_slice(), n)?;
    Ok(())
}

/// Checks that data and parameters are what the model takes.
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
