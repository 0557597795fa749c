//! Training of networks of dense layers, without torch.
//!
//! For a small dense network, most of the time of a training step in torch is not arithmetic:
//! tensors are created, dispatched and dropped for a few thousand multiplications each. Here a step
//! is a loop over slices, with the kernels of [`super::dense`], and all its memory stays in the
//! cache. With plain SGD the gradient of a weight is never stored: it goes from registers into the
//! weight.
//!
//! Each job is trained by itself, so its result does not depend on the other jobs of its unit.

mod lines;
#[cfg(test)]
mod tests;

use super::course::{Course, Progress};
use super::dense::Kernel;
use super::update::{self, Moments, Terms};
use super::{masked_cross_entropy, LearnError, Optimizer, TrainJob};
use crate::model::{Buffer, MaskSource, Model, Op, ParamSet};
use lines::Lines;
use std::ops::Range;

/// A network of dense layers and activation functions.
#[derive(Debug)]
pub(super) struct Perceptron {
    steps: Vec<Step>,
    inputs: usize,
}

#[derive(Debug)]
enum Step {
    Dense {
        weight: Range<usize>,
        bias: Option<Range<usize>>,
        kernel: Kernel,
        /// Whether a layer before this one learns, so that the gradient of this layer's input is
        /// needed.
        deeper: bool,
    },
    Each(Function),
    /// A dropout: a 16-bit draw below the threshold sets the value to 0.
    Dropout(u16),
}

#[derive(Debug, Clone, Copy)]
enum Function {
    Relu,
    Tanh,
    Sigmoid,
}

/// The state of a job in training.
struct Walk<'a> {
    job: &'a TrainJob,
    masks: MaskSource,
    progress: Progress,
}

/// Whether a step only subtracts the rate times the gradient from the weights.
fn goes_straight_down(job: &TrainJob, terms: Terms) -> bool {
    let plain = match job.local.optimizer {
        Optimizer::Sgd {
            momentum,
            weight_decay,
            ..
        } => momentum == 0.0 && weight_decay == 0.0,
        Optimizer::Adam { .. } => false,
    };
    let bare = terms.proximal.is_none()
        && terms.drift.is_none()
        && terms.mask.is_none()
        && terms.frozen.is_none();
    plain && bare && job.local.clip.is_none()
}

/// Memory that is reused from job to job: the input and the output of each step, the masks of
/// dropout, the gradient on its way back and the next one, and the labels.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    values: Vec<Lines>,
    masks: Vec<Vec<f32>>,
    gradient: Vec<f32>,
    next: Vec<f32>,
    labels: Vec<u32>,
}

impl Perceptron {
    /// The network of `model` for batches of up to `batch` samples; `None` if these kernels cannot
    /// run it or would not be faster.
    pub fn of(model: &Model, batch: usize) -> Option<Self> {
        let inputs: usize = model.input().iter().product();
        let layout = model.layout().entries();
        let mut width = inputs;
        let mut deeper = false;
        let mut steps = Vec::new();
        for op in model.ops() {
            match *op {
                Op::Dense { weight, bias } => {
                    let range = |index: usize| {
                        let entry = layout.get(index)?;
                        Some(entry.offset..entry.offset + entry.len)
                    };
                    let outputs = *layout.get(weight)?.shape.first()?;
                    let kernel = Kernel::for_batch(batch, width, outputs)?;
                    steps.push(Step::Dense {
                        weight: range(weight)?,
                        bias: match bias {
                            Some(index) => Some(range(index)?),
                            None => None,
                        },
                        kernel,
                        deeper,
                    });
                    width = outputs;
                    deeper = true;
                }
                Op::Relu => steps.push(Step::Each(Function::Relu)),
                Op::Tanh => steps.push(Step::Each(Function::Tanh)),
                Op::Sigmoid => steps.push(Step::Each(Function::Sigmoid)),
                Op::Dropout { threshold } => steps.push(Step::Dropout(threshold)),
                // Samples are rows of values here, whatever their shape.
                Op::Flatten => {}
                _ => return None,
            }
        }
        deeper.then_some(Self { steps, inputs })
    }

    /// Trains a job whose parts have been checked and whose data is on the CPU.
    pub fn train(
        &self,
        job: &TrainJob,
        terms: Terms,
        memory: (&mut Workspace, &mut Buffer, &mut Moments),
    ) -> Result<(ParamSet, Progress), LearnError> {
        let mut walk = Walk {
            job,
            masks: MaskSource::new(job.seed, job.client, job.round),
            progress: Progress::default(),
        };
        let (workspace, gradients, moments) = memory;
        let weights = if goes_straight_down(job, terms) {
            self.descend(&mut walk, workspace)?
        } else {
            self.optimise(&mut walk, terms, workspace, gradients, moments)?
        };
        Ok((weights.freeze(), walk.progress))
    }

    /// Training by plain SGD: every gradient goes straight into its weight.
    fn descend(&self, walk: &mut Walk, workspace: &mut Workspace) -> Result<Buffer, LearnError> {
        let job = walk.job;
        // The first step reads the job's start and writes every weight, so the start need not be
        // copied.
        let mut buffer = Buffer::unwritten(job.start.layout().clone(), tch::Device::Cpu)?;
        let mut target = Descent {
            start: job.start.as_slice()?,
            weights: buffer.as_mut_slice()?,
            lr: job.local.rate(job.round) as f32,
            written: false,
        };
        let mut course = Course::of(job);
        while let Some(samples) = course.next() {
            self.forward(walk, samples, target.current(), workspace)?;
            self.backward(samples.len(), workspace, &mut target);
            target.written = true;
        }
        if !target.written {
            target.weights.copy_from_slice(target.start);
        }
        Ok(buffer)
    }

    /// Training by any optimiser, with all gradients in memory.
    fn optimise(
        &self,
        walk: &mut Walk,
        terms: Terms,
        workspace: &mut Workspace,
        gradients: &mut Buffer,
        moments: &mut Moments,
    ) -> Result<Buffer, LearnError> {
        let job = walk.job;
        let lr = job.local.rate(job.round);
        let mut weights = Buffer::copy_of(&job.start)?;
        let mut course = Course::of(job);
        while let Some(samples) = course.next() {
            self.forward(walk, samples, weights.as_slice()?, workspace)?;
            let mut target = Store {
                weights: weights.as_slice()?,
                gradients: gradients.as_mut_slice()?,
            };
            self.backward(samples.len(), workspace, &mut target);
            let step = walk.progress.steps;
            update::step(
                &mut weights,
                gradients,
                moments,
                terms,
                &job.local,
                lr,
                step,
            )?;
        }
        Ok(weights)
    }

    /// Fills the workspace with the output of each step and with the gradient of the loss, and
    /// counts the loss.
    fn forward(
        &self,
        walk: &mut Walk,
        samples: &[u32],
        weights: &[f32],
        workspace: &mut Workspace,
    ) -> Result<(), LearnError> {
        let Walk {
            job,
            masks,
            progress,
        } = walk;
        let batch = samples.len();
        job.data.labels_of(samples, &mut workspace.labels)?;
        workspace
            .values
            .resize_with(self.steps.len() + 1, Lines::default);
        workspace.masks.resize_with(self.steps.len(), Vec::new);
        let Some((input, outputs)) = workspace.values.split_first_mut() else {
            return Ok(());
        };
        let input = input.of_len(batch * self.inputs);
        job.data.gather(samples, input)?;
        let mut x: &[f32] = input;
        for ((step, y), mask) in self.steps.iter().zip(outputs).zip(&mut workspace.masks) {
            let y = match step {
                Step::Dense {
                    weight,
                    bias,
                    kernel,
                    ..
                } => {
                    let kernel = kernel.with_batch(batch);
                    let y = y.of_len(kernel.outputs());
                    let bias = bias.as_ref().map(|bias| &weights[bias.clone()]);
                    kernel.forward(x, &weights[weight.clone()], bias, y);
                    y
                }
                Step::Each(function) => {
                    let y = y.of_len(x.len());
                    function.apply(x, y);
                    y
                }
                Step::Dropout(threshold) => {
                    mask.resize(x.len(), 0.0);
                    masks.fill(mask, *threshold);
                    let y = y.of_len(x.len());
                    multiply(x, mask, y);
                    y
                }
            };
            x = y;
        }
        workspace.gradient.resize(x.len(), 0.0);
        let scores = workspace
            .values
            .last_mut()
            .map_or(&mut [][..], Lines::as_mut);
        let counted = job.correction.classes.as_deref();
        let classes = job.model.classes();
        let loss = masked_cross_entropy(
            scores,
            classes,
            &workspace.labels,
            counted,
            &mut workspace.gradient,
        );
        progress.count(loss, batch)
    }

    /// Passes the gradients of all parameters to `target`, last layer first.
    fn backward(&self, batch: usize, workspace: &mut Workspace, target: &mut impl Target) {
        let Workspace {
            values,
            masks,
            gradient,
            next,
            ..
        } = workspace;
        for (at, step) in self.steps.iter().enumerate().rev() {
            match step {
                Step::Dense {
                    weight,
                    bias,
                    kernel,
                    deeper,
                } => {
                    let kernel = kernel.with_batch(batch);
                    if *deeper {
                        next.resize(kernel.inputs(), 0.0);
                        // The gradient of the input must be computed before the weights change.
                        kernel.input_gradient(gradient, target.weights(weight.clone()), next);
                    }
                    target.weight(kernel, weight.clone(), gradient, values[at].as_ref());
                    if let Some(bias) = bias {
                        target.bias(bias.clone(), gradient);
                    }
                    if !deeper {
                        return;
                    }
                    std::mem::swap(gradient, next);
                }
                Step::Each(function) => function.reverse(values[at + 1].as_ref(), gradient),
                Step::Dropout(_) => {
                    next.resize(gradient.len(), 0.0);
                    multiply(gradient, &masks[at], next);
                    std::mem::swap(gradient, next);
                }
            }
        }
    }
}

/// The sum of column `at` of rows that are `width` long.
fn column(rows: &[f32], at: usize, width: usize) -> f32 {
    rows.iter().skip(at).step_by(width).sum()
}

fn multiply(x: &[f32], y: &[f32], product: &mut [f32]) {
    for ((product, x), y) in product.iter_mut().zip(x).zip(y) {
        *product = x * y;
    }
}

impl Function {
    fn apply(self, x: &[f32], y: &mut [f32]) {
        let pairs = y.iter_mut().zip(x);
        match self {
            // A value that is not a number must stay so, so that the loss shows it.
            Self::Relu => pairs.for_each(|(y, &x)| *y = if x <= 0.0 { 0.0 } else { x }),
            Self::Tanh => pairs.for_each(|(y, &x)| *y = libm::tanhf(x)),
            Self::Sigmoid => pairs.for_each(|(y, &x)| *y = 1.0 / (1.0 + libm::expf(-x))),
        }
    }

    /// Turns the gradient with respect to the function's result `y` into that with respect to its
    /// argument.
    fn reverse(self, y: &[f32], g: &mut [f32]) {
        let pairs = g.iter_mut().zip(y);
        match self {
            Self::Relu => pairs.for_each(|(g, &y)| *g = if y > 0.0 { *g } else { 0.0 }),
            Self::Tanh => pairs.for_each(|(g, &y)| *g *= 1.0 - y * y),
            Self::Sigmoid => pairs.for_each(|(g, &y)| *g *= (1.0 - y) * y),
        }
    }
}

/// The place where gradients go.
trait Target {
    /// The weights of a layer, as the forward pass saw them.
    fn weights(&self, range: Range<usize>) -> &[f32];

    /// Takes the gradient `gᵀ · x` of a layer's weights.
    fn weight(&mut self, kernel: Kernel, range: Range<usize>, g: &[f32], x: &[f32]);

    /// Takes the gradient of a bias: the sum of the rows of `g`.
    fn bias(&mut self, range: Range<usize>, g: &[f32]);
}

/// Stores gradients in a vector, for an optimiser.
struct Store<'a> {
    weights: &'a [f32],
    gradients: &'a mut [f32],
}

impl Target for Store<'_> {
    fn weights(&self, range: Range<usize>) -> &[f32] {
        &self.weights[range]
    }

    fn weight(&mut self, kernel: Kernel, range: Range<usize>, g: &[f32], x: &[f32]) {
        kernel.weight_gradient(g, x, &mut self.gradients[range]);
    }

    fn bias(&mut self, range: Range<usize>, g: &[f32]) {
        let gradients = &mut self.gradients[range];
        let width = gradients.len();
        for (at, gradient) in gradients.iter_mut().enumerate() {
            *gradient = column(g, at, width);
        }
    }
}

/// Applies gradients at once: the weights change by −lr times each gradient.
struct Descent<'a> {
    start: &'a [f32],
    weights: &'a mut [f32],
    lr: f32,
    /// Whether the weights are in `weights` already, or still where the job starts.
    written: bool,
}

impl Descent<'_> {
    /// The weights after the last step.
    fn current(&self) -> &[f32] {
        if self.written {
            self.weights
        } else {
            self.start
        }
    }
}

impl Target for Descent<'_> {
    fn weights(&self, range: Range<usize>) -> &[f32] {
        &self.current()[range]
    }

    fn weight(&mut self, kernel: Kernel, range: Range<usize>, g: &[f32], x: &[f32]) {
        let from = (!self.written).then_some(&self.start[range.clone()]);
        kernel.descend(g, x, self.lr, from, &mut self.weights[range]);
    }

    fn bias(&mut self, range: Range<usize>, g: &[f32]) {
        if !self.written {
            self.weights[range.clone()].copy_from_slice(&self.start[range.clone()]);
        }
        let weights = &mut self.weights[range];
        let width = weights.len();
        for (at, w) in weights.iter_mut().enumerate() {
            *w -= self.lr * column(g, at, width);
        }
    }
}
