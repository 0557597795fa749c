//! Gradient descent on the public set, for any quantities that a network's parameters are made
//! from.

use super::adam::Adam;
use crate::learn::{evaluate, go_on, LearnError};
use crate::method::{MethodError, PublicData};
use crate::model::{Buffer, Mode, Model, ParamSet};
use crate::sim::rng::{shuffle, stream, Purpose};
use std::sync::Arc;
use tch::{Device, TchError, Tensor};

/// The settings of the descent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// The largest number of passes over the public training samples; the best pass is kept.
    pub epochs: u32,
    /// Adam's learning rate.
    pub lr: f64,
    /// The number of samples in a step.
    pub batch: usize,
    /// The seed of the run.
    pub seed: u64,
    /// The number that names the random stream for the order of the samples.
    pub counter: u64,
}

/// The result of the descent.
pub(super) struct Fitted {
    /// The leaves after the best pass.
    pub leaves: Vec<Tensor>,
    /// The network's parameters made from these leaves.
    pub params: ParamSet,
}

impl Fit {
    /// Changes `leaves` so that the network with the parameters `build(leaves)` has a small cross
    /// entropy on the public samples. Of the start and the states after each pass, the one with the
    /// best score on the samples for selection is kept, where the score is the accuracy in percent
    /// minus the loss. If there are no such samples, the last state is kept.
    ///
    /// # Errors
    /// The errors of torch and of `build`.
    pub fn run(
        &self,
        model: &Arc<Model>,
        public: &PublicData,
        leaves: Vec<Tensor>,
        build: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, TchError>,
    ) -> Result<Fitted, MethodError> {
        let _guard = tch::no_grad_guard();
        let wrap = |error: TchError| MethodError::Learn(LearnError::from(error));
        let mut leaves: Vec<Tensor> = leaves
            .into_iter()
            .map(|leaf| leaf.f_detach()?.f_set_requires_grad(true))
            .collect::<Result<_, TchError>>()
            .map_err(wrap)?;
        let mut adam = Adam::new(&leaves).map_err(wrap)?;
        let score = |leaves: &[Tensor]| -> Result<(f64, ParamSet), MethodError> {
            let params = freeze(model, &build(leaves).map_err(wrap)?)?;
            if public.select.is_empty() {
                return Ok((f64::NEG_INFINITY, params));
            }
            let samples = public.select.as_slice();
            let sums = evaluate(model, &params, &public.data, samples, 64, None)?;
            let score = 100.0 * sums.accuracy() - sums.mean_loss();
            // A comparison with NaN is never true, so a NaN would be kept for ever.
            let score = if score.is_nan() {
                f64::NEG_INFINITY
            } else {
                score
            };
            Ok((score, params))
        };
        let copies = |leaves: &[Tensor]| -> Result<Vec<Tensor>, TchError> {
            leaves.iter().map(Tensor::f_detach_copy).collect()
        };
        let (mut best, params) = score(&leaves)?;
        let mut kept = Fitted {
            leaves: copies(&leaves).map_err(wrap)?,
            params,
        };
        let mut order = public.train.as_slice().to_vec();
        let mut rng = stream(self.seed, 0, Purpose::Method, self.counter);
        let mut labels = Vec::new();
        for _ in 0..self.epochs {
            shuffle(&mut rng, &mut order);
            for samples in order.chunks(self.batch.max(1)) {
                go_on()?;
                let x = public.data.batch(samples, model.starts_with_images())?;
                public.data.labels_of(samples, &mut labels)?;
                let targets: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
                let gradients = tch::with_grad(|| {
                    let targets = Tensor::f_from_slice(&targets)?.f_to_device(x.device())?;
                    let params = build(&leaves)?;
                    let scores = model.forward(&params, &x, Mode::Evaluate)?;
                    let loss = scores.f_cross_entropy_loss(
                        &targets,
                        None::<&Tensor>,
                        tch::Reduction::Mean,
                        -100,
                        0.0,
                    )?;
                    Tensor::f_run_backward(&[loss], &leaves, false, false)
                });
                adam.step(&mut leaves, &gradients.map_err(wrap)?, self.lr)?;
            }
            let (reached, params) = score(&leaves)?;
            // Without samples for selection all states have equal scores, and the last is kept.
            if reached > best || public.select.is_empty() {
                best = reached;
                kept = Fitted {
                    leaves: copies(&leaves).map_err(wrap)?,
                    params,
                };
            }
        }
        if !kept.params.is_finite()? {
            return Err(MethodError::Learn(LearnError::Diverged {
                step: 0,
                loss: f64::NAN,
            }));
        }
        Ok(kept)
    }
}

/// The parameters as one frozen vector in host memory.
pub(super) fn freeze(model: &Model, params: &[Tensor]) -> Result<ParamSet, MethodError> {
    let mut buffer = Buffer::zeros(Arc::clone(model.layout()), Device::Cpu)?;
    let target = buffer.as_mut_slice()?;
    for (entry, tensor) in model.layout().entries().iter().zip(params) {
        let here = tensor
            .f_detach()
            .and_then(|t| t.f_to_device(Device::Cpu))
            .and_then(|t| t.f_contiguous())
            .map_err(LearnError::from)?;
        here.f_copy_data(
            &mut target[entry.offset..entry.offset + entry.len],
            entry.len,
        )
        .map_err(LearnError::from)?;
    }
    Ok(buffer.freeze())
}
