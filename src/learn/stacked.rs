//! Stacked training: jobs with one network and one way of training run as one, with their
//! parameters stacked along a first dimension.
//!
//! On a GPU, one client's batch takes a few microseconds for an operation, less than the launch of
//! the operation. In a stack, one operation performs the step of all clients. Each client keeps its
//! own weights, batches, dropout masks, optimiser state and clipping. Clients with fewer samples
//! are padded with samples of weight 0, and clients with fewer steps leave the stack early. The
//! result agrees with training one by one to float tolerance, on any device.

mod network;
mod optimizer;

use super::course::{go_on, Course, Progress};
use super::train::check;
use super::{train, LearnError, Scratch, TrainJob, Trained};
use crate::model::{Buffer, MaskSource, ParamSet};
use network::Networks;
use optimizer::{step, Stacked};
use std::sync::Arc;
use tch::{Device, Kind, TchError, Tensor};

/// Trains all `jobs` in the way that suits the device of their data. On the CPU they are trained
/// one by one, which suits its caches and gives the bits of [`train`]. On other devices they are
/// stacked. A stack that does not fit the memory of the device is halved, down to single jobs.
/// There is one result for each job, in order.
pub fn train_all(jobs: &[TrainJob], scratch: &mut Scratch) -> Vec<Result<Trained, LearnError>> {
    let on_cpu = jobs.iter().any(|job| job.data.device() == Device::Cpu);
    if on_cpu || !alike(jobs) {
        return jobs.iter().map(|job| train(job, scratch)).collect();
    }
    halving(jobs, &mut |jobs| match jobs {
        [job] => Ok(vec![train(job, scratch)]),
        jobs => train_stack(jobs),
    })
}

/// The results of a stack of jobs, one for each, or the error of the stack as a whole.
type Attempt = Result<Vec<Result<Trained, LearnError>>, LearnError>;

/// Returns the results of `attempt`, which is called on ever fewer jobs at once while it fails as a
/// whole.
fn halving(
    jobs: &[TrainJob],
    attempt: &mut impl FnMut(&[TrainJob]) -> Attempt,
) -> Vec<Result<Trained, LearnError>> {
    let error = match attempt(jobs) {
        Ok(results) => return results,
        Err(error) if jobs.len() < 2 => return vec![Err(error)],
        Err(error) => error,
    };
    tracing::info!(jobs = jobs.len(), %error, "a stack is halved and tried again");
    let (left, right) = jobs.split_at(jobs.len() / 2);
    let mut results = halving(left, attempt);
    results.extend(halving(right, attempt));
    results
}

/// Whether the jobs can be stacked. Jobs with a mask or with frozen layers are trained one by one.
fn alike(jobs: &[TrainJob]) -> bool {
    let Some((first, others)) = jobs.split_first() else {
        return true;
    };
    let rate = |job: &TrainJob| job.local.rate(job.round).to_bits();
    others.iter().all(|job| {
        (Arc::ptr_eq(&job.model, &first.model) || job.model == first.model)
            && Arc::ptr_eq(&job.data, &first.data)
            && job.local == first.local
            && rate(job) == rate(first)
            && job.correction.proximal == first.correction.proximal
            && job.correction.drift.is_some() == first.correction.drift.is_some()
    }) && jobs.iter().all(|job| {
        let whole = job.model.frozen().is_empty() && job.model.script().is_none();
        job.correction.mask.is_none() && whole
    })
}

/// Trains a stack of jobs that are alike. An error that concerns a single job is the result of that
/// job.
///
/// # Errors
/// When the stack as a whole cannot be trained: the device has too little memory, or the jobs are
/// not alike.
pub fn train_stack(jobs: &[TrainJob]) -> Attempt {
    let _guard = tch::no_grad_guard();
    let mut results: Vec<Option<Result<Trained, LearnError>>> =
        jobs.iter().map(|job| check(job).err().map(Err)).collect();
    // Jobs with more steps come first, so that those still in training are the first of the stack.
    let mut places: Vec<usize> = (0..jobs.len()).filter(|&k| results[k].is_none()).collect();
    places.sort_by_key(|&k| std::cmp::Reverse(jobs[k].local.steps(jobs[k].samples.len())));
    let sound: Vec<&TrainJob> = places.iter().map(|&k| &jobs[k]).collect();
    if !alike(jobs) {
        return Err(LearnError::Unlike { jobs: jobs.len() });
    }
    if let Some(first) = sound.first() {
        let mut run = Run::begin(&sound)?;
        while run.step(first)? {
            go_on()?;
        }
        for (place, trained) in places.into_iter().zip(run.end()?) {
            results[place] = Some(trained);
        }
    }
    Ok(results.into_iter().flatten().collect())
}

/// A stack in training.
struct Run<'a> {
    jobs: &'a [&'a TrainJob],
    /// The stacked parameters, one tensor for each entry of the layout.
    stack: Vec<Stacked>,
    courses: Vec<Course>,
    masks: Vec<MaskSource>,
    /// The mean losses of each step, on the device, with the sizes of the batches.
    losses: Vec<(Tensor, Vec<usize>)>,
}

impl<'a> Run<'a> {
    fn begin(jobs: &'a [&'a TrainJob]) -> Result<Self, LearnError> {
        let mut run = Self {
            jobs,
            stack: Vec::new(),
            courses: jobs.iter().map(|job| Course::of(job)).collect(),
            masks: jobs
                .iter()
                .map(|job| MaskSource::new(job.seed, job.client, job.round))
                .collect(),
            losses: Vec::new(),
        };
        let Some(first) = jobs.first() else {
            return Ok(run);
        };
        let device = first.data.device();
        let starts = stacked(jobs.iter().map(|job| Some(&job.start)), device)?;
        let drifts = stacked(jobs.iter().map(|job| job.correction.drift.as_ref()), device)?;
        let pulled = first.correction.proximal.is_some();
        for weights in starts {
            let start = pulled.then(|| weights.f_detach_copy()).transpose()?;
            let mut stacked = Stacked::new(weights, &first.local.optimizer)?;
            stacked.start = start;
            run.stack.push(stacked);
        }
        for (stacked, drift) in run.stack.iter_mut().zip(drifts) {
            stacked.drift = Some(drift);
        }
        Ok(run)
    }

    /// Takes one step for all jobs that have one left; returns false if none has. `first` is any of
    /// the jobs.
    fn step(&mut self, first: &TrainJob) -> Result<bool, LearnError> {
        let mut samples: Vec<Vec<u32>> = Vec::new();
        for course in &mut self.courses {
            match course.next() {
                Some(batch) => samples.push(batch.to_vec()),
                // The jobs are sorted, so those after it have no step left either.
                None => break,
            }
        }
        let batches: Vec<usize> = samples.iter().map(Vec::len).collect();
        let Some(&batch) = batches.iter().max() else {
            return Ok(false);
        };
        let count = batches.len() as i64;
        let (filled, shares) = fill_up(&samples, batch);
        let mut labels = Vec::new();
        first.data.labels_of(&filled, &mut labels)?;
        let labels: Vec<i64> = labels.into_iter().map(i64::from).collect();
        let device = first.data.device();
        let labels = Tensor::f_from_slice(&labels)?.f_to_device(device)?;
        let labels = labels.f_reshape([count, batch as i64, 1])?;
        let shares = Tensor::f_from_slice(&shares)?.f_to_device(device)?;
        let shares = shares.f_reshape([count, batch as i64])?;
        let x = first.data.batch(&filled, false)?;
        let counted = self.counted(batches.len(), device)?;

        let leaves = self.stack.iter().map(|of| {
            let rows = of.weights.f_narrow(0, 0, count)?;
            rows.f_detach()?.f_set_requires_grad(true)
        });
        let leaves: Vec<Tensor> = leaves.collect::<Result<_, TchError>>()?;
        let masks = self.masks.get_mut(..batches.len()).unwrap_or_default();
        let (loss, gradients) = tch::with_grad(|| {
            let mut networks = Networks {
                params: &leaves,
                precision: first.local.precision,
                masks,
                batches: &batches,
                batch,
            };
            let mut scores = networks.forward(first.model.ops(), &x)?;
            if let Some(counted) = &counted {
                scores = scores.f_mul(counted)?;
            }
            let chances = scores.f_log_softmax(-1, Kind::Float)?;
            let own = chances.f_gather(2, &labels, false)?.f_squeeze_dim(2)?;
            let loss = own
                .f_mul(&shares)?
                .f_sum_dim_intlist([1i64].as_slice(), false, Kind::Float)?
                .f_neg()?;
            // The loss of each network depends only on its own parameters, so the sum of all losses
            // serves them all.
            let gradients =
                Tensor::f_run_backward(&[loss.f_sum(Kind::Float)?], &leaves, false, false)?;
            Ok::<_, TchError>((loss.f_detach()?, gradients))
        })?;
        self.losses.push((loss, batches));
        let mu = first.correction.proximal.map(|mu| mu as f32);
        let lr = first.local.rate(first.round);
        let done = self.losses.len() as u64;
        step(&mut self.stack, gradients, &first.local, mu, lr, done)?;
        Ok(true)
    }

    /// The mask of the scores that count in each network's loss, 1 or 0, as `[networks, 1,
    /// classes]`; `None` if all scores count.
    fn counted(&self, networks: usize, device: Device) -> Result<Option<Tensor>, TchError> {
        let jobs = self.jobs.get(..networks).unwrap_or_default();
        if jobs.iter().all(|job| job.correction.classes.is_none()) {
            return Ok(None);
        }
        let flags = jobs.iter().flat_map(|job| {
            let all = job.model.classes();
            let classes = job.correction.classes.as_deref();
            (0..all).map(move |c| f32::from(u8::from(classes.is_none_or(|held| held[c]))))
        });
        let flags = Tensor::f_from_slice(&flags.collect::<Vec<f32>>())?.f_to_device(device)?;
        Ok(Some(flags.f_reshape([networks as i64, 1, -1])?))
    }

    /// The results of the jobs.
    fn end(self) -> Attempt {
        let mut progress: Vec<Result<Progress, LearnError>> =
            self.jobs.iter().map(|_| Ok(Progress::default())).collect();
        for (losses, batches) in self.losses {
            let losses = Vec::<f32>::try_from(&losses.f_to_device(Device::Cpu)?)?;
            for ((loss, batch), progress) in losses.into_iter().zip(batches).zip(&mut progress) {
                if let Ok(so_far) = progress {
                    let sum = f64::from(loss) * batch as f64;
                    if let Err(error) = so_far.count(sum, batch) {
                        *progress = Err(error);
                    }
                }
            }
        }
        let mut results = Vec::with_capacity(progress.len());
        for (place, (progress, job)) in progress.into_iter().zip(self.jobs).enumerate() {
            results.push(match progress {
                Ok(progress) => Trained::of(unstacked(&self.stack, place, job)?, progress),
                Err(error) => Err(error),
            });
        }
        Ok(results)
    }
}

/// Pads the samples of all batches to `batch` by repeating the last sample of each. Returns the
/// samples, and their weights in the network's loss: 1 over the number of the batch's own samples,
/// and 0 for the padding.
fn fill_up(samples: &[Vec<u32>], batch: usize) -> (Vec<u32>, Vec<f32>) {
    let mut filled = Vec::with_capacity(samples.len() * batch);
    let mut shares = Vec::with_capacity(samples.len() * batch);
    for own in samples {
        let missing = batch - own.len();
        filled.extend_from_slice(own);
        filled.extend(own.last().iter().cycle().take(missing).copied());
        shares.extend(std::iter::repeat_n(1.0 / own.len() as f32, own.len()));
        shares.extend(std::iter::repeat_n(0.0, missing));
    }
    (filled, shares)
}

/// One tensor for each entry of the layout, `[sets, shape…]`; `None` if a set is missing.
fn stacked<'a>(
    sets: impl Iterator<Item = Option<&'a ParamSet>>,
    device: Device,
) -> Result<Vec<Tensor>, LearnError> {
    let Some(sets) = sets.collect::<Option<Vec<_>>>() else {
        return Ok(Vec::new());
    };
    let shared = sets.windows(2).all(|pair| pair[0].same(pair[1]));
    // Parameters that all jobs share are copied to the device once.
    let distinct = if shared { &sets[..1] } else { &sets[..] };
    let mut flat = Vec::with_capacity(distinct.len());
    for set in distinct {
        flat.push(set.to_device(device)?.flat().shallow_clone());
    }
    let flat = Tensor::f_stack(&flat, 0)?;
    let entries = sets.first().map_or(&[][..], |set| set.layout().entries());
    let parts = entries.iter().map(|entry| {
        let mut shape = vec![sets.len() as i64];
        shape.extend(entry.dims());
        let part = flat.f_narrow(1, entry.offset as i64, entry.len as i64)?;
        let all = part.f_expand([sets.len() as i64, entry.len as i64], false)?;
        let own = Tensor::f_empty(shape.as_slice(), (Kind::Float, device))?;
        own.f_view([sets.len() as i64, entry.len as i64])?
            .f_copy_(&all)?;
        Ok(own)
    });
    Ok(parts.collect::<Result<_, TchError>>()?)
}

/// The parameters of the network at `place` in the stack.
fn unstacked(stack: &[Stacked], place: usize, job: &TrainJob) -> Result<ParamSet, LearnError> {
    let layout = job.model.layout();
    let mut buffer = Buffer::unwritten(layout.clone(), job.data.device())?;
    for (of, entry) in stack.iter().zip(layout.entries()) {
        let own = of.weights.f_narrow(0, place as i64, 1)?.f_reshape([-1])?;
        let target = buffer.flat_mut();
        target
            .f_narrow(0, entry.offset as i64, entry.len as i64)?
            .f_copy_(&own)?;
    }
    Ok(buffer.freeze())
}

#[cfg(test)]
mod tests;
