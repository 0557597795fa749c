//! The forward pass as a function of an explicit parameter list.

use super::plan::{Op, NORM_EPS};
use super::{MaskSource, Model, Statistics};
use std::ops::Range;
use tch::{TchError, Tensor};

/// What a forward pass is for.
#[derive(Debug)]
pub enum Mode<'a> {
    /// Measuring: dropout does nothing.
    Evaluate,
    /// Measuring what batch normalisations get: they normalise by the batch as in learning, dropout
    /// and scalers do nothing.
    Statistics {
        /// Where the sums go.
        sums: &'a mut Statistics,
    },
    /// Learning: dropout takes its masks from here.
    Train {
        /// Where masks come from.
        dropout: &'a mut MaskSource,
    },
}

impl Model {
    /// Class scores of `x` under `params`: `[batch, input...]` gives `[batch, classes]`. Where the
    /// network has exits, the mean of all its classifiers' scores.
    ///
    /// `params` has one tensor per entry of [`Model::layout`], of that shape, on the device of `x`.
    /// They may be leaves, views of a [`super::ParamSet`] or results of other computations;
    /// gradients flow where torch's gradient mode lets them.
    ///
    /// # Errors
    /// When a parameter is missing or a shape does not fit.
    pub fn forward(
        &self,
        params: &[Tensor],
        x: &Tensor,
        mut mode: Mode,
    ) -> Result<Tensor, TchError> {
        let mut scores = Vec::new();
        let last = run(self.ops(), params, x, &mut mode, &mut scores)?;
        scores.push(last);
        mean(&scores)
    }

    /// As [`Model::forward`], through the given layers only: features at a cut are the result of
    /// `0..cut`, and scores from features that of `cut..`. `params` is the whole list always. Exits on
    /// the way are left out.
    ///
    /// # Errors
    /// When the range goes past the last layer, a parameter is missing or a shape does not fit.
    pub fn forward_layers(
        &self,
        layers: Range<usize>,
        params: &[Tensor],
        x: &Tensor,
        mut mode: Mode,
    ) -> Result<Tensor, TchError> {
        let ops = self.ops().get(layers.clone()).ok_or_else(|| {
            TchError::Shape(format!(
                "layers {layers:?} of a network of {}",
                self.ops().len()
            ))
        })?;
        run(ops, params, x, &mut mode, &mut Vec::new())
    }
}

/// The mean of several classifiers' scores.
pub(crate) fn mean(scores: &[Tensor]) -> Result<Tensor, TchError> {
    match scores {
        [only] => Ok(only.shallow_clone()),
        several => Tensor::f_stack(several, 0)?.f_mean_dim([0i64].as_slice(), false, None),
    }
}

/// The parameter at `index`, or an error that says how many there are.
pub(crate) fn parameter(params: &[Tensor], index: usize) -> Result<&Tensor, TchError> {
    params.get(index).ok_or_else(|| {
        TchError::Shape(format!(
            "the network reads parameter {index}, the list has {}",
            params.len()
        ))
    })
}

/// The result of a list; the scores of its exits go to `exits`.
fn run(
    ops: &[Op],
    params: &[Tensor],
    x: &Tensor,
    mode: &mut Mode,
    exits: &mut Vec<Tensor>,
) -> Result<Tensor, TchError> {
    let mut x = x.shallow_clone();
    for op in ops {
        x = apply(op, params, &x, mode, exits)?;
    }
    Ok(x)
}

fn apply(
    op: &Op,
    params: &[Tensor],
    x: &Tensor,
    mode: &mut Mode,
    exits: &mut Vec<Tensor>,
) -> Result<Tensor, TchError> {
    let get = |index: usize| parameter(params, index);
    match op {
        Op::Conv {
            weight,
            bias,
            stride,
            padding,
        } => {
            let bias = bias.map(get).transpose()?;
            x.f_conv2d(get(*weight)?, bias, [*stride; 2], [*padding; 2], [1, 1], 1)
        }
        Op::Dense { weight, bias } => x.f_linear(get(*weight)?, bias.map(get).transpose()?),
        Op::Relu => x.f_relu(),
        Op::Tanh => x.f_tanh(),
        Op::Sigmoid => x.f_sigmoid(),
        Op::MaxPool { size, stride } => {
            x.f_max_pool2d([*size; 2], [*stride; 2], [0, 0], [1, 1], false)
        }
        Op::AvgPool { size, stride } => {
            x.f_avg_pool2d([*size; 2], [*stride; 2], [0, 0], false, true, None)
        }
        Op::GlobalAvgPool => x.f_mean_dim([2i64, 3].as_slice(), false, None),
        Op::Flatten => x.f_flatten(1, -1),
        Op::Dropout { threshold } => match mode {
            Mode::Evaluate | Mode::Statistics { .. } => Ok(x.shallow_clone()),
            Mode::Train { dropout } => x.f_mul(&dropout.mask(&x.size(), *threshold, x.device())?),
        },
        Op::Scaler { factor } => match mode {
            Mode::Evaluate | Mode::Statistics { .. } => Ok(x.shallow_clone()),
            Mode::Train { .. } => x.f_mul_scalar(*factor),
        },
        Op::GroupNorm {
            groups,
            weight,
            bias,
        } => x.f_group_norm(
            *groups,
            Some(get(*weight)?),
            Some(get(*bias)?),
            NORM_EPS,
            false,
        ),
        Op::BatchNorm {
            weight,
            bias,
            mean,
            square,
        } => {
            let (weight, bias) = (get(*weight)?, get(*bias)?);
            match mode {
                Mode::Evaluate => {
                    let (mean, square) = (get(*mean)?, get(*square)?);
                    // Rounding can bring the mean square below the square of the mean.
                    let variance = square.f_sub(&mean.f_square()?)?.f_clamp_min(0.0)?;
                    x.f_batch_norm(
                        Some(weight),
                        Some(bias),
                        Some(mean),
                        Some(&variance),
                        false,
                        0.0,
                        NORM_EPS,
                        false,
                    )
                }
                Mode::Train { .. } => by_batch(x, weight, bias),
                Mode::Statistics { sums } => {
                    sums.add(*mean, *square, x)?;
                    by_batch(x, weight, bias)
                }
            }
        }
        Op::Residual { body, shortcut } => {
            let body = run(body, params, x, mode, exits)?;
            body.f_add(&run(shortcut, params, x, mode, exits)?)
        }
        Op::Script { script } => match mode {
            Mode::Evaluate | Mode::Statistics { .. } => script.scores(params, x),
            Mode::Train { .. } => Err(TchError::Shape(
                "a module of the user's is trained on tapes only".into(),
            )),
        },
        Op::Other { layer, tensors } => {
            let own = tensors.iter().map(|&index| Ok(get(index)?.shallow_clone()));
            let own = own.collect::<Result<Vec<_>, TchError>>()?;
            let masks = match mode {
                Mode::Train { dropout } => Some(&mut **dropout),
                Mode::Evaluate | Mode::Statistics { .. } => None,
            };
            layer.get().forward(&own, x, masks)
        }
        Op::Exit { head } => {
            let scores = run(head, params, x, mode, exits)?;
            exits.push(scores);
            Ok(x.shallow_clone())
        }
    }
}

/// Batch normalisation by the batch's own mean and variance.
pub(crate) fn by_batch(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor, TchError> {
    x.f_batch_norm(
        Some(weight),
        Some(bias),
        None::<&Tensor>,
        None::<&Tensor>,
        true,
        0.0,
        NORM_EPS,
        false,
    )
}
