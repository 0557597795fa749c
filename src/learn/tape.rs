//! A forward pass that keeps the values that its reverse pass needs.
//!
//! The reverse pass is written out here instead of left to autograd, so that gradients go directly
//! into one flat buffer and small networks avoid most of the bookkeeping. Convolutions and group
//! normalisation use autograd for themselves alone, since torch does not offer their reverse
//! kernels separately. The functional forward pass of [`Model`] under autograd gives equal
//! gradients, which the tests check layer by layer.

use super::dense::Kernel;
use super::{LearnError, Precision};
use crate::model::{
    by_batch, mean, parameter, read, write_apart, Buffer, Fresh, Layout, MaskSource, Model, Op,
    ParamError, Passed, ViewError, Viewed, NORM_EPS,
};
use std::sync::Arc;
use tch::{Device, Kind, TchError, Tensor};

/// The gradients of all parameters, in one flat buffer.
#[derive(Debug)]
pub struct Gradients(Viewed);

impl Gradients {
    /// Gradients of zero.
    ///
    /// # Errors
    /// When there is too little memory.
    pub fn new(layout: Arc<Layout>, device: Device) -> Result<Self, ParamError> {
        Ok(Self(Viewed::new(Buffer::zeros(layout, device)?)?))
    }

    /// The flat buffer.
    pub const fn flat(&self) -> &Buffer {
        self.0.flat()
    }

    pub(crate) fn flat_mut(&mut self) -> &mut Buffer {
        self.0.flat_mut()
    }

    /// One tensor for each entry of the layout, to read.
    pub(super) fn views(&self) -> &[Tensor] {
        self.0.views()
    }

    /// One tensor for each entry of the layout, to write.
    pub(super) fn views_mut(&mut self) -> &mut [Tensor] {
        self.0.views_mut()
    }
}

/// One forward pass in training, ready for its reverse pass.
#[derive(Debug)]
pub struct Tape<'a> {
    model: &'a Model,
    params: &'a [Tensor],
    precision: Precision,
    saved: Vec<Saved>,
    /// The scores of each exit, in order, and of the last layer.
    classifiers: Vec<Tensor>,
    scores: Tensor,
}

/// The values that one operation keeps for the reverse pass.
#[derive(Debug)]
enum Saved {
    /// The input of a dense layer, and whether anything before the layer learns.
    Input(Tensor, bool),
    /// A piece of autograd's graph: its leaves (the input first, if its gradient is needed) and its
    /// result.
    Graph {
        input: Option<Tensor>,
        leaves: Vec<(usize, Tensor)>,
        output: Tensor,
    },
    /// A pass of a TorchScript module.
    Script(Passed),
    /// The result of an activation function.
    Output(Tensor),
    /// The input of a pooling, and for maximum pooling the places of the maxima.
    Pool(Tensor, Option<Tensor>),
    /// The shape of the input.
    Shape(Vec<i64>),
    /// The shape of the input, and whether its channel was the fastest dimension.
    Layout(Vec<i64>, bool),
    /// The factors of a dropout.
    Mask(Tensor),
    /// Nothing is kept: the gradient is scaled as the value was.
    Factor,
    /// Both branches of a residual block, and whether anything before the block learns.
    Branches(Vec<Saved>, Vec<Saved>, bool),
    /// The head of an exit.
    Exit(Vec<Saved>),
    /// Nothing in the operation or before it learns.
    Nothing,
}

impl<'a> Tape<'a> {
    /// Runs `model` forward on the batch `x` with the parameters `params`, which are one tensor for
    /// each entry of the layout and not tracked by autograd. Dropout masks come from `masks`;
    /// products have the given `precision` in both directions.
    ///
    /// # Errors
    /// When a parameter is missing, a shape does not fit, or there is too little memory.
    pub fn forward(
        model: &'a Model,
        params: &'a [Tensor],
        x: &Tensor,
        masks: &mut MaskSource,
        precision: Precision,
    ) -> Result<Self, LearnError> {
        let _guard = tch::no_grad_guard();
        let mut walk = Forward {
            params,
            masks,
            precision,
            learns: false,
            exits: Vec::new(),
        };
        let (saved, last) = walk.list(model.ops(), x.shallow_clone())?;
        let mut classifiers = walk.exits;
        classifiers.push(last);
        Ok(Self {
            model,
            params,
            precision,
            saved,
            scores: mean(&classifiers)?,
            classifiers,
        })
    }

    /// The class scores, `[batch, classes]`: the mean over the classifiers if there are several.
    pub const fn scores(&self) -> &Tensor {
        &self.scores
    }

    /// The scores of each classifier: those of the exits in order, then those of the last layer.
    pub fn classifiers(&self) -> &[Tensor] {
        &self.classifiers
    }

    /// Replaces `gradients` by those of a loss whose gradient with respect to the scores is
    /// `of_scores`, `[batch, classes]`.
    ///
    /// # Errors
    /// The errors of torch, for example if shapes differ.
    pub fn backward(self, of_scores: Tensor, gradients: &mut Gradients) -> Result<(), LearnError> {
        let _guard = tch::no_grad_guard();
        let several = self.classifiers.len();
        let of_each = match several {
            1 => of_scores,
            _ => of_scores.f_div_scalar(several as i64)?,
        };
        let of_each = (0..several).map(|_| of_each.shallow_clone()).collect();
        self.backward_each(of_each, gradients)
    }

    /// As [`Self::backward`], for a loss of all classifiers: `of_each` has one gradient for each of
    /// [`Self::classifiers`].
    ///
    /// # Errors
    /// The errors of torch, and an error if there are fewer gradients than classifiers.
    pub fn backward_each(
        self,
        mut of_each: Vec<Tensor>,
        gradients: &mut Gradients,
    ) -> Result<(), LearnError> {
        let _guard = tch::no_grad_guard();
        let last = next_exit(&mut of_each)?;
        let mut walk = Reverse {
            params: self.params,
            precision: self.precision,
            gradients: gradients.views_mut(),
            of_exits: of_each,
        };
        walk.list(self.model.ops(), self.saved, last)?;
        Ok(())
    }
}

struct Forward<'a> {
    params: &'a [Tensor],
    masks: &'a mut MaskSource,
    precision: Precision,
    /// Whether the current value depends on a parameter, so that its gradient is needed.
    learns: bool,
    /// The scores of the exits passed so far.
    exits: Vec<Tensor>,
}

impl Forward<'_> {
    fn list(&mut self, ops: &[Op], mut x: Tensor) -> Result<(Vec<Saved>, Tensor), TchError> {
        let mut saved = Vec::with_capacity(ops.len());
        for op in ops {
            let (kept, next) = self.step(op, &x)?;
            saved.push(if self.learns { kept } else { Saved::Nothing });
            x = next;
        }
        Ok((saved, x))
    }

    fn step(&mut self, op: &Op, x: &Tensor) -> Result<(Saved, Tensor), TchError> {
        Ok(match op {
            Op::Dense { weight, bias } => {
                let precision = self.precision;
                let x = precision.factor(x)?;
                let weight = precision.factor(parameter(self.params, *weight)?)?;
                let bias = bias.map(|bias| precision.addend(parameter(self.params, bias)?));
                let y = linear(&x, &weight, bias.transpose()?.as_ref())?;
                let kept = Saved::Input(x, self.learns);
                self.learns = true;
                (kept, precision.result(y)?)
            }
            Op::Conv {
                weight,
                bias,
                stride,
                padding,
            } => {
                let tensors: Vec<usize> = std::iter::once(*weight).chain(*bias).collect();
                let precision = self.precision;
                self.graph(x, &tensors, |x, p, _| {
                    let bias = p.get(1).map(|bias| precision.addend(bias));
                    let y = precision.factor(x)?.f_conv2d(
                        &precision.factor(parameter(p, 0)?)?,
                        bias.transpose()?.as_ref(),
                        [*stride; 2],
                        [*padding; 2],
                        [1, 1],
                        1,
                    )?;
                    precision.result(y)
                })?
            }
            Op::GroupNorm {
                groups,
                weight,
                bias,
            } => self.graph(x, &[*weight, *bias], |x, p, _| {
                x.f_group_norm(*groups, p.first(), p.get(1), NORM_EPS, false)
            })?,
            // The statistics are not trained, so their gradients stay zero.
            Op::BatchNorm { weight, bias, .. } => self.graph(x, &[*weight, *bias], |x, p, _| {
                by_batch(x, parameter(p, 0)?, parameter(p, 1)?)
            })?,
            Op::Relu => kept_output(x.f_relu()?),
            Op::Tanh => kept_output(x.f_tanh()?),
            Op::Sigmoid => kept_output(x.f_sigmoid()?),
            Op::MaxPool { size, stride } => {
                let (y, places) =
                    x.f_max_pool2d_with_indices([*size; 2], [*stride; 2], [0, 0], [1, 1], false)?;
                (Saved::Pool(x.shallow_clone(), Some(places)), y)
            }
            Op::AvgPool { size, stride } => {
                let y = x.f_avg_pool2d([*size; 2], [*stride; 2], [0, 0], false, true, None)?;
                (Saved::Pool(x.shallow_clone(), None), y)
            }
            Op::GlobalAvgPool => {
                let y = x.f_mean_dim([2i64, 3].as_slice(), false, None)?;
                (Saved::Shape(x.size()), y)
            }
            Op::Flatten => (
                Saved::Layout(x.size(), !x.is_contiguous()),
                x.f_flatten(1, -1)?,
            ),
            Op::Dropout { threshold } => {
                let mask = self.masks.mask(&x.size(), *threshold, x.device())?;
                let y = x.f_mul(&mask)?;
                (Saved::Mask(mask), y)
            }
            Op::Scaler { factor } => (Saved::Factor, x.f_mul_scalar(*factor)?),
            Op::Residual { body, shortcut } => {
                let before = self.learns;
                let (kept, y) = self.list(body, x.shallow_clone())?;
                let after_body = std::mem::replace(&mut self.learns, before);
                let (other, z) = self.list(shortcut, x.shallow_clone())?;
                self.learns |= after_body;
                (Saved::Branches(kept, other, before), y.f_add(&z)?)
            }
            Op::Script { script } => {
                let (passed, scores) = script.forward(self.params, x)?;
                self.learns = true;
                (Saved::Script(passed), scores)
            }
            Op::Other { layer, tensors } => self.graph(x, tensors, |x, p, masks| {
                layer.get().forward(p, x, Some(masks))
            })?,
            Op::Exit { head } => {
                let (kept, scores) = self.list(head, x.shallow_clone())?;
                self.exits.push(scores);
                (Saved::Exit(kept), x.shallow_clone())
            }
        })
    }

    /// Runs `f` under autograd, separated from everything around it.
    fn graph(
        &mut self,
        x: &Tensor,
        tensors: &[usize],
        f: impl FnOnce(&Tensor, &[Tensor], &mut MaskSource) -> Result<Tensor, TchError>,
    ) -> Result<(Saved, Tensor), TchError> {
        let x = x.f_detach()?.f_set_requires_grad(self.learns)?;
        let leaves = tensors
            .iter()
            .map(|&index| {
                parameter(self.params, index)?
                    .f_detach()?
                    .f_set_requires_grad(true)
            })
            .collect::<Result<Vec<_>, TchError>>()?;
        let masks = &mut *self.masks;
        let output = tch::with_grad(|| f(&x, &leaves, masks))?;
        let kept = Saved::Graph {
            input: self.learns.then_some(x),
            leaves: tensors.iter().copied().zip(leaves).collect(),
            output: output.shallow_clone(),
        };
        self.learns |= !tensors.is_empty();
        Ok((kept, output))
    }
}

/// Computes `x · weightᵀ + bias`.
fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor, TchError> {
    let Some((kernel, [batch, outputs])) = kernel(x, weight) else {
        return x.f_linear(weight, bias);
    };
    let fits = |b: &Tensor| b.size() == [outputs];
    if !bias.is_none_or(fits) {
        return x.f_linear(weight, bias);
    }
    // SAFETY: inputs and parameters of a pass are this thread's to use until it is over, parameters
    // perhaps beside others who read them; what is written below is a tensor of its own.
    let lent = unsafe { (read(x), read(weight), bias.map(|bias| read(bias))) };
    let (Ok(values), Ok(weights), Ok(biases)) = (lent.0, lent.1, lent.2.transpose()) else {
        return x.f_linear(weight, bias);
    };
    let mut y = Fresh::unwritten(&[batch, outputs])?;
    kernel.forward(values, weights, biases, y.values()?);
    Ok(y.into_tensor())
}

/// Writes `gᵀ · x` to `target`.
fn weight_gradient(g: &Tensor, x: &Tensor, target: &mut Tensor) -> Result<(), TchError> {
    let fits = |(_, [batch, outputs]): &(Kernel, [i64; 2])| g.size() == [*batch, *outputs];
    if let Some((kernel, _)) = kernel(x, target).filter(fits) {
        // SAFETY: all three are this pass's own: the target is its part of the gradients, which are
        // borrowed to write, and the others are values that it keeps until it is over.
        match unsafe { write_apart(target, [g, x]) } {
            Ok((out, [g, x])) => {
                kernel.weight_gradient(g, x, out);
                return Ok(());
            }
            // Torch would not notice the overlap and would read values that it has just written.
            Err(ViewError::Overlap) => return Err(ViewError::Overlap.into()),
            // The kernels do not take these tensors, so torch computes the product.
            Err(_) => {}
        }
    }
    if x.f_kind()? == KIND {
        let _ = g.f_tr()?.f_mm_out(target, x)?;
    } else {
        target.f_copy_(&g.f_tr()?.f_mm(x)?)?;
    }
    Ok(())
}

/// Computes `g · weight`.
fn input_gradient(g: &Tensor, weight: &Tensor) -> Result<Tensor, TchError> {
    let (&[batch, outputs], &[rows, inputs]) = (&*g.size(), &*weight.size()) else {
        return g.f_mm(weight);
    };
    let kernel = Kernel::for_batch(batch as usize, inputs as usize, outputs as usize);
    let Some(kernel) = kernel.filter(|_| rows == outputs) else {
        return g.f_mm(weight);
    };
    // SAFETY: as in `linear`.
    let (Ok(factors), Ok(weights)) = (unsafe { (read(g), read(weight)) }) else {
        return g.f_mm(weight);
    };
    let mut dx = Fresh::unwritten(&[batch, inputs])?;
    kernel.input_gradient(factors, weights, dx.values()?);
    Ok(dx.into_tensor())
}

/// The kernel for a batch `x` and weights of matching shapes, with the shape of the result.
fn kernel(x: &Tensor, weight: &Tensor) -> Option<(Kernel, [i64; 2])> {
    let (&[batch, inputs], &[outputs, columns]) = (&*x.size(), &*weight.size()) else {
        return None;
    };
    let kernel = Kernel::for_batch(batch as usize, inputs as usize, outputs as usize)?;
    (inputs == columns).then_some((kernel, [batch, outputs]))
}

fn kept_output(y: Tensor) -> (Saved, Tensor) {
    (Saved::Output(y.shallow_clone()), y)
}

struct Reverse<'a> {
    params: &'a [Tensor],
    precision: Precision,
    gradients: &'a mut [Tensor],
    /// The gradients with respect to the scores of the exits that are still to come, the deepest
    /// last.
    of_exits: Vec<Tensor>,
}

/// The place for the gradient of a parameter.
fn target(gradients: &mut [Tensor], index: usize) -> Result<&mut Tensor, TchError> {
    let none = || TchError::Shape(format!("no gradient for parameter {index}"));
    gradients.get_mut(index).ok_or_else(none)
}

/// The gradient with respect to the deepest classifier that is left.
fn next_exit(of_exits: &mut Vec<Tensor>) -> Result<Tensor, TchError> {
    let none = || TchError::Shape("fewer gradients than classifiers".into());
    of_exits.pop().ok_or_else(none)
}

impl Reverse<'_> {
    /// The gradient with respect to the input of the list of operations, if anything before the
    /// list learns.
    fn list(
        &mut self,
        ops: &[Op],
        saved: Vec<Saved>,
        g: Tensor,
    ) -> Result<Option<Tensor>, TchError> {
        let mut g = g;
        for (op, kept) in ops.iter().zip(saved).rev() {
            match self.step(op, kept, g)? {
                Some(next) => g = next,
                None => return Ok(None),
            }
        }
        Ok(Some(g))
    }

    fn step(&mut self, op: &Op, kept: Saved, g: Tensor) -> Result<Option<Tensor>, TchError> {
        Ok(Some(match (op, kept) {
            (_, Saved::Nothing) => return Ok(None),
            (Op::Dense { weight, bias }, Saved::Input(x, wanted)) => {
                let factor = self.precision.factor(&g)?;
                weight_gradient(&factor, &x, target(self.gradients, *weight)?)?;
                if let Some(bias) = bias {
                    let target = parameter(self.gradients, *bias)?;
                    let _ = g.f_sum_intlist_out(target, [0i64].as_slice(), false, None)?;
                }
                if !wanted {
                    return Ok(None);
                }
                let weight = self.precision.factor(parameter(self.params, *weight)?)?;
                self.precision.result(input_gradient(&factor, &weight)?)?
            }
            (
                op,
                Saved::Graph {
                    input,
                    leaves,
                    output,
                },
            ) => {
                // A convolution casts to bfloat16 by itself.
                let g = match (op, self.precision) {
                    (Op::Conv { .. }, Precision::Tf32) => self.precision.factor(&g)?,
                    _ => g,
                };
                let inputs: Vec<&Tensor> =
                    leaves.iter().map(|(_, leaf)| leaf).chain(&input).collect();
                // This root is a number whose gradient with respect to the output is g.
                let found = tch::with_grad(|| {
                    let root = output.f_mul(&g)?.f_sum(None)?;
                    Tensor::f_run_backward(&[root], &inputs, false, false)
                })?;
                let mut found = found.into_iter();
                for ((index, _), gradient) in leaves.iter().zip(found.by_ref()) {
                    if let Some(target) = self.gradients.get_mut(*index) {
                        match gradient.defined() {
                            true => target.f_copy_(&gradient)?,
                            // A layer from the registry may leave a parameter unused.
                            false => drop(target.f_zero_()?),
                        }
                    }
                }
                return Ok(found.next());
            }
            (Op::Script { .. }, Saved::Script(passed)) => {
                let found = passed.gradients(&g)?;
                for (target, gradient) in self.gradients.iter_mut().zip(&found) {
                    match gradient.defined() {
                        true => target.f_copy_(gradient)?,
                        // No score depends on the parameter.
                        false => drop(target.f_zero_()?),
                    }
                }
                // Nothing before the operation learns.
                return Ok(None);
            }
            (Op::Relu, Saved::Output(y)) => y.f_threshold_backward(&g, 0.0)?,
            (Op::Tanh, Saved::Output(y)) => Tensor::f_tanh_backward(&g, &y)?,
            (Op::Sigmoid, Saved::Output(y)) => Tensor::f_sigmoid_backward(&g, &y)?,
            (Op::MaxPool { size, stride }, Saved::Pool(x, Some(places))) => x
                .f_max_pool2d_with_indices_backward(
                    &g,
                    [*size; 2],
                    [*stride; 2],
                    [0, 0],
                    [1, 1],
                    false,
                    &places,
                )?,
            (Op::AvgPool { size, stride }, Saved::Pool(x, None)) => {
                x.f_avg_pool2d_backward(&g, [*size; 2], [*stride; 2], [0, 0], false, true, None)?
            }
            (Op::GlobalAvgPool, Saved::Shape(shape)) => {
                let places: i64 = shape.iter().skip(2).product();
                let each = g.f_div_scalar(places)?;
                each.f_unsqueeze(-1)?
                    .f_unsqueeze(-1)?
                    .f_expand(shape.as_slice(), false)?
            }
            (Op::Flatten, Saved::Layout(shape, channels_last)) => {
                let g = g.f_reshape(shape.as_slice())?;
                if channels_last && shape.len() == 4 {
                    // The operations before this one work in this memory layout; mixing the two is
                    // several times slower.
                    let moved = g.f_permute([0, 2, 3, 1])?.f_contiguous()?;
                    moved.f_permute([0, 3, 1, 2])?
                } else {
                    g
                }
            }
            (Op::Dropout { .. }, Saved::Mask(mask)) => g.f_mul(&mask)?,
            (Op::Scaler { factor }, Saved::Factor) => g.f_mul_scalar(*factor)?,
            (Op::Residual { body, shortcut }, Saved::Branches(kept, other, wanted)) => {
                let through = self.list(body, kept, g.shallow_clone())?;
                let around = self.list(shortcut, other, g)?;
                match (wanted, through, around) {
                    (true, Some(a), Some(b)) => a.f_add(&b)?,
                    (true, Some(a), None) | (true, None, Some(a)) => a,
                    _ => return Ok(None),
                }
            }
            (Op::Exit { head }, Saved::Exit(kept)) => {
                let of_head = next_exit(&mut self.of_exits)?;
                match self.list(head, kept, of_head)? {
                    Some(through) => g.f_add(&through)?,
                    None => g,
                }
            }
            (op, kept) => {
                return Err(TchError::Shape(format!(
                    "the reverse pass of {op:?} was given {kept:?}"
                )));
            }
        }))
    }
}

/// The type of every tensor on a tape: single precision.
pub(super) const KIND: Kind = Kind::Float;

#[cfg(test)]
mod tests;
