//! The arithmetic of the optimisers over stacked parameters `[networks, shape…]`. The formulas are
//! those for one network; clipping is done for each network.

use super::super::update::{bias_corrections, clip_factor};
use super::super::{LearnError, LocalTraining, Optimizer};
use tch::{Kind, TchError, Tensor};

/// One tensor of the parameters of all networks, with the state of its updates.
#[derive(Debug)]
pub(super) struct Stacked {
    /// The weights, `[networks, shape…]`.
    pub weights: Tensor,
    /// The weights at the start of the jobs, for a proximal term.
    pub start: Option<Tensor>,
    /// The term that is added to every gradient.
    pub drift: Option<Tensor>,
    /// The first and the second moment, as far as the optimiser has them.
    first: Option<Tensor>,
    second: Option<Tensor>,
}

impl Stacked {
    /// The state before the first step.
    pub fn new(weights: Tensor, optimizer: &Optimizer) -> Result<Self, TchError> {
        let zeros = |wanted: bool| wanted.then(|| weights.f_zeros_like()).transpose();
        let [first, second] = optimizer.moments();
        Ok(Self {
            first: zeros(first)?,
            second: zeros(second)?,
            weights,
            start: None,
            drift: None,
        })
    }
}

/// The first `count` of the stacked networks.
fn rows(of: &Tensor, count: i64) -> Result<Tensor, TchError> {
    of.f_narrow(0, 0, count)
}

/// Moves the weights of the first networks of a stack, as many as the gradients have, by step
/// `step`, counted from 1.
pub(super) fn step(
    stack: &mut [Stacked],
    mut gradients: Vec<Tensor>,
    local: &LocalTraining,
    proximal: Option<f32>,
    lr: f64,
    step: u64,
) -> Result<(), LearnError> {
    let count = gradients
        .first()
        .and_then(|g| g.size().first().copied())
        .unwrap_or(0);
    for (g, of) in gradients.iter_mut().zip(stack.iter()) {
        if let (Some(mu), Some(start)) = (proximal, &of.start) {
            let pull = rows(&of.weights, count)?.f_sub(&rows(start, count)?)?;
            let _ = g.f_add_(&pull.f_mul_scalar(f64::from(mu))?)?;
        }
    }
    if let Some(clip) = local.clip {
        clip_each(&mut gradients, count, clip)?;
    }
    for (g, of) in gradients.iter_mut().zip(stack) {
        let mut w = rows(&of.weights, count)?;
        if let Some(drift) = &of.drift {
            let _ = g.f_add_(&rows(drift, count)?)?;
        }
        let first = of.first.as_ref().map(|m| rows(m, count)).transpose()?;
        let second = of.second.as_ref().map(|v| rows(v, count)).transpose()?;
        descend(&mut w, g, (first, second), local, lr, step)?;
    }
    Ok(())
}

/// Scales down the gradient of each network that is longer than `clip`.
fn clip_each(gradients: &mut [Tensor], count: i64, clip: f64) -> Result<(), LearnError> {
    let mut squares = vec![0.0f64; count as usize];
    for g in gradients.iter() {
        let sums = g
            .f_to_kind(Kind::Double)?
            .f_square()?
            .f_reshape([count, -1])?
            .f_sum_dim_intlist([1i64].as_slice(), false, Kind::Double)?;
        for (sum, square) in Vec::<f64>::try_from(&sums)?.into_iter().zip(&mut squares) {
            *square += sum;
        }
    }
    let factors: Vec<f32> = squares.iter().map(|&s| clip_factor(s, clip)).collect();
    for g in gradients {
        let mut shape = vec![1i64; g.dim()];
        shape[0] = count;
        let factors = Tensor::f_from_slice(&factors)?.f_to_device(g.device())?;
        let _ = g.f_mul_(&factors.f_reshape(shape.as_slice())?)?;
    }
    Ok(())
}

fn descend(
    w: &mut Tensor,
    g: &mut Tensor,
    moments: (Option<Tensor>, Option<Tensor>),
    local: &LocalTraining,
    lr: f64,
    step: u64,
) -> Result<(), TchError> {
    let single = |x: f64| f64::from(x as f32);
    let (Optimizer::Sgd { weight_decay, .. } | Optimizer::Adam { weight_decay, .. }) =
        &local.optimizer;
    if *weight_decay != 0.0 {
        let _ = g.f_add_(&w.f_mul_scalar(single(*weight_decay))?)?;
    }
    let along = match (&local.optimizer, moments) {
        (
            Optimizer::Sgd {
                momentum, nesterov, ..
            },
            (Some(mut v), _),
        ) => {
            let _ = v.f_mul_scalar_(single(*momentum))?.f_add_(g)?;
            if *nesterov {
                g.f_add(&v.f_mul_scalar(single(*momentum))?)?
            } else {
                v
            }
            .f_mul_scalar(single(lr))?
        }
        (
            Optimizer::Adam {
                beta1,
                beta2,
                epsilon,
                ..
            },
            (Some(mut m), Some(mut v)),
        ) => {
            let (rate, root) = bias_corrections(*beta1, *beta2, step);
            let _ = m
                .f_mul_scalar_(*beta1)?
                .f_add_(&g.f_mul_scalar(1.0 - *beta1)?)?;
            let _ = v
                .f_mul_scalar_(*beta2)?
                .f_add_(&g.f_square()?.f_mul_scalar(1.0 - *beta2)?)?;
            let root = v.f_sqrt()?.f_mul_scalar(f64::from(root))?;
            m.f_div(&root.f_add_scalar(single(*epsilon))?)?
                .f_mul_scalar(lr * rate)?
        }
        _ => g.f_mul_scalar(single(lr))?,
    };
    let _ = w.f_sub_(&along)?;
    Ok(())
}
