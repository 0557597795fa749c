//! The arithmetic of the optimisers: one pass over the parameters in each step.

use super::{LearnError, LocalTraining, Optimizer};
use crate::model::{Buffer, ParamSet};
use std::ops::Range;
use tch::{Device, Tensor};

/// The terms that a method adds to every gradient.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms<'a> {
    /// The factor μ of the proximal term, and the parameters that the term pulls towards.
    pub proximal: Option<(f32, &'a ParamSet)>,
    /// A vector that is added to the gradient.
    pub drift: Option<&'a ParamSet>,
    /// Factors that the gradient is multiplied by first.
    pub mask: Option<&'a ParamSet>,
    /// The ranges of parameters that stay fixed, and a parameter set with their values.
    pub frozen: Option<(&'a [Range<usize>], &'a ParamSet)>,
}

/// The state of the optimiser: the first and the second moment, as far as it has them.
#[derive(Debug)]
pub(super) struct Moments {
    first: Option<Buffer>,
    second: Option<Buffer>,
}

/// The settings of one step, in the precision of the computation.
#[derive(Debug, Clone, Copy)]
struct Factors {
    lr: f32,
    decay: f32,
    /// The factor that brings the norm of the gradient within the clip.
    clip: f32,
    mu: f32,
}

impl Moments {
    pub(super) fn new(optimizer: &Optimizer, like: &Buffer) -> Result<Self, LearnError> {
        let zeros = |wanted: bool| {
            wanted
                .then(|| Buffer::zeros(like.layout().clone(), like.device()))
                .transpose()
        };
        let [first, second] = optimizer.moments();
        Ok(Self {
            first: zeros(first)?,
            second: zeros(second)?,
        })
    }

    /// Resets the state to zero and keeps its memory.
    pub(super) fn clear(&mut self) -> Result<(), LearnError> {
        for buffer in [&mut self.first, &mut self.second].into_iter().flatten() {
            buffer.clear()?;
        }
        Ok(())
    }
}

/// Moves `weights` against `gradients` by step `step`, counted from 1, with the learning rate `lr`.
///
/// A mask is applied first. The gradient of the loss and the proximal term μ(w − w₀) are clipped
/// together, as if the term were part of the loss. Drift and weight decay are added after clipping.
pub(super) fn step(
    weights: &mut Buffer,
    gradients: &mut Buffer,
    moments: &mut Moments,
    terms: Terms,
    local: &LocalTraining,
    lr: f64,
    step: u64,
) -> Result<(), LearnError> {
    if let Some(mask) = terms.mask {
        apply(mask, gradients)?;
    }
    let Some((frozen, start)) = terms.frozen else {
        return stepped(weights, gradients, moments, terms, local, lr, step);
    };
    // Parameters that stay fixed do not count in the norm of the gradient.
    gradients.fill_at(frozen, 0.0)?;
    stepped(weights, gradients, moments, terms, local, lr, step)?;
    // Weight decay and drift change the fixed parameters too, so their values are put back.
    Ok(weights.put_back(frozen, start)?)
}

/// One step of all weights.
fn stepped(
    weights: &mut Buffer,
    gradients: &mut Buffer,
    moments: &mut Moments,
    terms: Terms,
    local: &LocalTraining,
    lr: f64,
    step: u64,
) -> Result<(), LearnError> {
    let decay = match local.optimizer {
        Optimizer::Sgd { weight_decay, .. } | Optimizer::Adam { weight_decay, .. } => weight_decay,
    };
    let mut factors = Factors {
        lr: lr as f32,
        decay: decay as f32,
        clip: 1.0,
        mu: terms.proximal.map_or(0.0, |(mu, _)| mu),
    };
    if weights.device() != Device::Cpu {
        return on_device(weights, gradients, moments, terms, local, factors, step);
    }
    let (w, g) = (weights.as_mut_slice()?, gradients.as_slice()?);
    let start = terms
        .proximal
        .map(|(_, start)| start.as_slice())
        .transpose()?;
    let drift = terms.drift.map(ParamSet::as_slice).transpose()?;
    if let Some(clip) = local.clip {
        factors.clip = clip_factor(norm_squared(w, g, start, factors.mu), clip);
    }
    match local.optimizer {
        Optimizer::Sgd {
            momentum, nesterov, ..
        } => {
            let v = slice_of(&mut moments.first)?;
            let rule = Sgd {
                momentum: momentum as f32,
                nesterov,
            };
            rule.dispatch(w, g, v, start, drift, factors);
        }
        Optimizer::Adam {
            beta1,
            beta2,
            epsilon,
            ..
        } => {
            let (m, v) = (
                slice_of(&mut moments.first)?,
                slice_of(&mut moments.second)?,
            );
            let rule = Adam::at(beta1, beta2, epsilon, step);
            let factors = Factors {
                lr: (lr * rule.rate) as f32,
                ..factors
            };
            rule.dispatch(w, g, (m, v), start, drift, factors);
        }
    }
    Ok(())
}

/// Multiplies gradients by a mask.
fn apply(mask: &ParamSet, gradients: &mut Buffer) -> Result<(), LearnError> {
    if gradients.device() == Device::Cpu {
        return Ok(Buffer::elementwise(
            [gradients],
            [mask],
            |[g], [m]| [g * m],
        )?);
    }
    let _guard = tch::no_grad_guard();
    let _ = gradients.flat_mut().f_mul_(mask.flat())?;
    Ok(())
}

fn slice_of(buffer: &mut Option<Buffer>) -> Result<&mut [f32], LearnError> {
    Ok(buffer
        .as_mut()
        .map(Buffer::as_mut_slice)
        .transpose()?
        .unwrap_or_default())
}

pub(super) fn clip_factor(norm_squared: f64, clip: f64) -> f32 {
    let norm = norm_squared.sqrt();
    if norm > clip {
        (clip / norm) as f32
    } else {
        1.0
    }
}

/// The squared norm of the gradient plus the proximal term, in double precision and in a fixed
/// order.
fn norm_squared(w: &[f32], g: &[f32], start: Option<&[f32]>, mu: f32) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0f64; LANES];
    match start {
        None => {
            for chunk in g.chunks(LANES) {
                for (lane, &g) in lanes.iter_mut().zip(chunk) {
                    *lane += f64::from(g) * f64::from(g);
                }
            }
        }
        Some(start) => {
            let chunks = w
                .chunks(LANES)
                .zip(g.chunks(LANES))
                .zip(start.chunks(LANES));
            for ((w, g), start) in chunks {
                for (i, lane) in lanes.iter_mut().enumerate().take(w.len()) {
                    let g = f64::from(g[i] + mu * (w[i] - start[i]));
                    *lane += g * g;
                }
            }
        }
    }
    lanes.iter().sum()
}

/// The gradient that the optimiser sees at one place. Absent terms cost nothing, since the flags
/// are constants of the compiled loop.
#[inline(always)]
fn gradient<const PROXIMAL: bool, const DRIFT: bool>(
    w: f32,
    g: f32,
    start: f32,
    drift: f32,
    k: Factors,
) -> f32 {
    let mut g = g;
    if PROXIMAL {
        g += k.mu * (w - start);
    }
    g *= k.clip;
    if DRIFT {
        g += drift;
    }
    g + k.decay * w
}

/// The values of a term, or an arbitrary slice of `n` values if the term is absent.
fn present(term: Option<&[f32]>, n: usize) -> &[f32] {
    term.map_or(&[], |values| &values[..n])
}

struct Sgd {
    momentum: f32,
    nesterov: bool,
}

impl Sgd {
    fn dispatch(
        &self,
        w: &mut [f32],
        g: &[f32],
        v: &mut [f32],
        start: Option<&[f32]>,
        drift: Option<&[f32]>,
        k: Factors,
    ) {
        match (start.is_some(), drift.is_some(), !v.is_empty()) {
            (false, false, false) => self.run::<false, false, false>(w, g, v, start, drift, k),
            (false, false, true) => self.run::<false, false, true>(w, g, v, start, drift, k),
            (false, true, false) => self.run::<false, true, false>(w, g, v, start, drift, k),
            (false, true, true) => self.run::<false, true, true>(w, g, v, start, drift, k),
            (true, false, false) => self.run::<true, false, false>(w, g, v, start, drift, k),
            (true, false, true) => self.run::<true, false, true>(w, g, v, start, drift, k),
            (true, true, false) => self.run::<true, true, false>(w, g, v, start, drift, k),
            (true, true, true) => self.run::<true, true, true>(w, g, v, start, drift, k),
        }
    }

    fn run<const PROXIMAL: bool, const DRIFT: bool, const MOMENTUM: bool>(
        &self,
        w: &mut [f32],
        g: &[f32],
        v: &mut [f32],
        start: Option<&[f32]>,
        drift: Option<&[f32]>,
        k: Factors,
    ) {
        let n = w.len();
        let g = &g[..n];
        let (start, drift) = (present(start, n), present(drift, n));
        let v = if MOMENTUM { &mut v[..n] } else { v };
        // Nesterov's momentum is expressed by two factors, so that the loop has no branch: g + m·v
        // or 0·g + 1·v.
        let (ahead, along) = if self.nesterov {
            (1.0, self.momentum)
        } else {
            (0.0, 1.0)
        };
        for i in 0..n {
            let start = if PROXIMAL { start[i] } else { 0.0 };
            let drift = if DRIFT { drift[i] } else { 0.0 };
            let g = gradient::<PROXIMAL, DRIFT>(w[i], g[i], start, drift, k);
            let along = if MOMENTUM {
                v[i] = self.momentum * v[i] + g;
                ahead * g + along * v[i]
            } else {
                g
            };
            w[i] -= k.lr * along;
        }
    }
}

/// Adam's bias corrections at step `step`, counted from 1: a factor on the learning rate, and one
/// on the square root of the second moment.
pub(super) fn bias_corrections(beta1: f64, beta2: f64, step: u64) -> (f64, f32) {
    let t = step as f64;
    let rate = 1.0 / (1.0 - libm::pow(beta1, t));
    let root = (1.0 / (1.0 - libm::pow(beta2, t)).sqrt()) as f32;
    (rate, root)
}

struct Adam {
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    /// The correction of the first moment's bias, as a factor on the learning rate.
    rate: f64,
    /// The correction of the second moment's bias, as a factor on its square root.
    root: f32,
}

impl Adam {
    fn at(beta1: f64, beta2: f64, epsilon: f64, step: u64) -> Self {
        let (rate, root) = bias_corrections(beta1, beta2, step);
        Self {
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            epsilon: epsilon as f32,
            rate,
            root,
        }
    }

    fn dispatch(
        &self,
        w: &mut [f32],
        g: &[f32],
        moments: (&mut [f32], &mut [f32]),
        start: Option<&[f32]>,
        drift: Option<&[f32]>,
        k: Factors,
    ) {
        match (start.is_some(), drift.is_some()) {
            (false, false) => self.run::<false, false>(w, g, moments, start, drift, k),
            (false, true) => self.run::<false, true>(w, g, moments, start, drift, k),
            (true, false) => self.run::<true, false>(w, g, moments, start, drift, k),
            (true, true) => self.run::<true, true>(w, g, moments, start, drift, k),
        }
    }

    fn run<const PROXIMAL: bool, const DRIFT: bool>(
        &self,
        w: &mut [f32],
        g: &[f32],
        (m, v): (&mut [f32], &mut [f32]),
        start: Option<&[f32]>,
        drift: Option<&[f32]>,
        k: Factors,
    ) {
        let n = w.len();
        let (g, m, v) = (&g[..n], &mut m[..n], &mut v[..n]);
        let (start, drift) = (present(start, n), present(drift, n));
        for i in 0..n {
            let start = if PROXIMAL { start[i] } else { 0.0 };
            let drift = if DRIFT { drift[i] } else { 0.0 };
            let g = gradient::<PROXIMAL, DRIFT>(w[i], g[i], start, drift, k);
            m[i] = self.beta1 * m[i] + (1.0 - self.beta1) * g;
            v[i] = self.beta2 * v[i] + (1.0 - self.beta2) * g * g;
            w[i] -= k.lr * m[i] / (v[i].sqrt() * self.root + self.epsilon);
        }
    }
}

/// The same step by operations of torch, for values that are not on the CPU.
fn on_device(
    weights: &mut Buffer,
    gradients: &mut Buffer,
    moments: &mut Moments,
    terms: Terms,
    local: &LocalTraining,
    factors: Factors,
    step: u64,
) -> Result<(), LearnError> {
    let _guard = tch::no_grad_guard();
    let scaled = |tensor: &Tensor, factor: f32| tensor.f_mul_scalar(f64::from(factor));
    let w = weights.flat_mut();
    let g = gradients.flat_mut();
    if let Some((mu, start)) = terms.proximal {
        let _ = g.f_add_(&scaled(&w.f_sub(start.flat())?, mu)?)?;
    }
    if let Some(clip) = local.clip {
        let norm = g.f_norm()?.f_double_value(&[])?;
        let _ = g.f_mul_scalar_(f64::from(clip_factor(norm * norm, clip)))?;
    }
    if let Some(drift) = terms.drift {
        let _ = g.f_add_(drift.flat())?;
    }
    if factors.decay != 0.0 {
        let _ = g.f_add_(&scaled(w, factors.decay)?)?;
    }
    let first = moments.first.as_mut().map(Buffer::flat_mut);
    let second = moments.second.as_mut().map(Buffer::flat_mut);
    match (&local.optimizer, first, second) {
        (
            Optimizer::Sgd {
                momentum, nesterov, ..
            },
            Some(v),
            _,
        ) => {
            let momentum = *momentum as f32;
            let _ = v.f_mul_scalar_(f64::from(momentum))?.f_add_(g)?;
            let along = if *nesterov {
                g.f_add(&scaled(v, momentum)?)?
            } else {
                v.shallow_clone()
            };
            let _ = w.f_sub_(&scaled(&along, factors.lr)?)?;
        }
        (
            Optimizer::Adam {
                beta1,
                beta2,
                epsilon,
                ..
            },
            Some(m),
            Some(v),
        ) => {
            let rule = Adam::at(*beta1, *beta2, *epsilon, step);
            let _ = m
                .f_mul_scalar_(*beta1)?
                .f_add_(&g.f_mul_scalar(1.0 - *beta1)?)?;
            let _ = v
                .f_mul_scalar_(*beta2)?
                .f_add_(&g.f_square()?.f_mul_scalar(1.0 - *beta2)?)?;
            let root = scaled(&v.f_sqrt()?, rule.root)?.f_add_scalar(f64::from(rule.epsilon))?;
            let along = m
                .f_div(&root)?
                .f_mul_scalar(f64::from(factors.lr) * rule.rate)?;
            let _ = w.f_sub_(&along)?;
        }
        _ => {
            let _ = w.f_sub_(&scaled(g, factors.lr)?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
