//! Adam over any tensors.

use crate::learn::LearnError;
use crate::model::write_apart;
use tch::{Device, TchError, Tensor};

/// The decay rates, as PyTorch's defaults.
const BETAS: [f64; 2] = [0.9, 0.999];
/// The number that is added to the square root of the second moment, as PyTorch's default.
const EPSILON: f64 = 1e-8;

/// Adam (Kingma and Ba, 2015, algorithm 1).
pub(super) struct Adam {
    moments: Vec<Moments>,
    steps: i32,
}

/// The first and the second moment of a tensor.
enum Moments {
    /// Of a tensor in host memory, whose values take a step in one pass: a bank has dozens of small
    /// tensors, for which the dispatch of ten operations each would take longer than the arithmetic.
    Host(Vec<[f32; 2]>),
    /// Of a tensor on another device.
    Device(Tensor, Tensor),
}

impl Adam {
    pub fn new(leaves: &[Tensor]) -> Result<Self, TchError> {
        let zeros = |leaf: &Tensor| {
            Ok(match leaf.device() {
                Device::Cpu => Moments::Host(vec![[0.0; 2]; leaf.numel()]),
                _ => Moments::Device(leaf.f_zeros_like()?, leaf.f_zeros_like()?),
            })
        };
        Ok(Self {
            moments: leaves.iter().map(zeros).collect::<Result<_, TchError>>()?,
            steps: 0,
        })
    }

    /// Moves `leaves` against `gradients`.
    ///
    /// # Errors
    /// When a gradient does not have its leaf's shape, or there is too little memory.
    pub fn step(
        &mut self,
        leaves: &mut [Tensor],
        gradients: &[Tensor],
        lr: f64,
    ) -> Result<(), LearnError> {
        self.steps += 1;
        let bias = BETAS.map(|beta| 1.0 - beta.powi(self.steps));
        for ((leaf, g), moments) in leaves.iter_mut().zip(gradients).zip(&mut self.moments) {
            match moments {
                Moments::Host(moments) => {
                    let g = g.f_contiguous()?;
                    // SAFETY: the leaf and the gradient belong to this descent alone, and no graph
                    // is left that would read the leaf's old values.
                    let (w, [g]) = unsafe { write_apart(leaf, [&g]) }.map_err(TchError::from)?;
                    if g.len() != w.len() {
                        let found = format!("{} gradients for {} values", g.len(), w.len());
                        return Err(TchError::Shape(found).into());
                    }
                    on_host(w, g, moments, bias, lr);
                }
                Moments::Device(m, v) => *leaf = on_device(leaf, g, (m, v), bias, lr)?,
            }
        }
        Ok(())
    }
}

fn on_host(w: &mut [f32], g: &[f32], moments: &mut [[f32; 2]], bias: [f64; 2], lr: f64) {
    let [beta1, beta2] = BETAS.map(|beta| beta as f32);
    let [rest1, rest2] = BETAS.map(|beta| (1.0 - beta) as f32);
    let (rate, second, epsilon) = ((lr / bias[0]) as f32, bias[1] as f32, EPSILON as f32);
    for ((w, &g), [m, v]) in w.iter_mut().zip(g).zip(moments) {
        *m = *m * beta1 + g * rest1;
        *v = *v * beta2 + g * g * rest2;
        *w -= *m * rate / ((*v / second).sqrt() + epsilon);
    }
}

fn on_device(
    leaf: &Tensor,
    g: &Tensor,
    (m, v): (&mut Tensor, &mut Tensor),
    bias: [f64; 2],
    lr: f64,
) -> Result<Tensor, TchError> {
    *m = m
        .f_mul_scalar(BETAS[0])?
        .f_add(&g.f_mul_scalar(1.0 - BETAS[0])?)?;
    let squares = g.f_square()?.f_mul_scalar(1.0 - BETAS[1])?;
    *v = v.f_mul_scalar(BETAS[1])?.f_add(&squares)?;
    let root = v.f_div_scalar(bias[1])?.f_sqrt()?.f_add_scalar(EPSILON)?;
    let change = m.f_mul_scalar(lr / bias[0])?.f_div(&root)?;
    leaf.f_detach()?.f_sub(&change)?.f_set_requires_grad(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_take_the_steps_of_double_precision() {
        let gradients = [[0.3, -2.0, 1e-5], [0.1, 1.5, 0.0], [-0.4, 0.2, -1e-5]];
        let (lr, start) = (0.01, [1.0, -0.5, 0.25]);
        let mut expected = start;
        let mut moments = [[0.0f64; 2]; 3];
        for (step, g) in (1..).zip(gradients) {
            for ((w, [m, v]), g) in expected.iter_mut().zip(&mut moments).zip(g) {
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.999 * *v + 0.001 * g * g;
                let (m, v) = (
                    *m / (1.0 - 0.9f64.powi(step)),
                    *v / (1.0 - 0.999f64.powi(step)),
                );
                *w -= lr * m / (v.sqrt() + 1e-8);
            }
        }
        let leaf = || {
            let leaf = Tensor::from_slice(&start.map(|v| v as f32));
            vec![leaf.set_requires_grad(true)]
        };
        let (mut host, mut other) = (leaf(), leaf());
        let mut fast = Adam::new(&host).unwrap();
        let zeros = || other[0].f_zeros_like().unwrap();
        let mut slow = Adam {
            moments: vec![Moments::Device(zeros(), zeros())],
            steps: 0,
        };
        for g in gradients {
            let g = [Tensor::from_slice(&g.map(|v| v as f32))];
            tch::no_grad(|| {
                fast.step(&mut host, &g, lr).unwrap();
                slow.step(&mut other, &g, lr).unwrap();
            });
        }
        for leaf in [&host[0], &other[0]] {
            let found = Vec::<f32>::try_from(&leaf.detach()).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert!(
                    (f64::from(*found) - expected).abs() < 1e-6,
                    "{found}, {expected}"
                );
            }
        }
    }
}
