//! Arithmetic over several parameter vectors in one pass over memory.

use super::params::check;
use super::{Buffer, ParamError, ParamSet};

/// Values that one step of a pass takes from each vector: small enough for the first-level cache,
/// long enough for the loop to be vectorised.
const BLOCK: usize = 1024;

impl Buffer {
    /// Replaces the values of every buffer in `outputs` by what `f` makes of their old values and of
    /// the values of `inputs` at the same position, in one pass.
    ///
    /// FedAdam's server step is one call with the model and both moments as outputs and the mean
    /// client delta as input. No fused multiply-add is used, so the bits are the same on every CPU.
    ///
    /// # Errors
    /// When the layouts differ or some values are not on the CPU.
    pub fn elementwise<const M: usize, const N: usize>(
        outputs: [&mut Self; M],
        inputs: [&ParamSet; N],
        f: impl Fn([f32; M], [f32; N]) -> [f32; M],
    ) -> Result<(), ParamError> {
        let Some(layout) = outputs.first().map(|b| b.layout().clone()) else {
            return Ok(());
        };
        let mut writes: [&mut [f32]; M] = std::array::from_fn(|_| Default::default());
        for (slot, buffer) in writes.iter_mut().zip(outputs) {
            check(&layout, buffer.layout())?;
            *slot = buffer.as_mut_slice()?;
        }
        let mut reads: [&[f32]; N] = [&[]; N];
        for (slot, set) in reads.iter_mut().zip(inputs) {
            check(&layout, set.layout())?;
            *slot = set.as_slice()?;
        }
        let total = layout.total();
        let mut start = 0;
        while start < total {
            let end = total.min(start + BLOCK);
            // Slices of one length known to be equal let the compiler drop every bounds check.
            let len = end - start;
            let mut w: [&mut [f32]; M] = std::array::from_fn(|_| Default::default());
            for (slot, slice) in w.iter_mut().zip(writes.iter_mut()) {
                *slot = &mut slice[start..end][..len];
            }
            let r: [&[f32]; N] = reads.map(|slice| &slice[start..end][..len]);
            for i in 0..len {
                let (mut old, mut input) = ([0.0; M], [0.0; N]);
                for (value, slice) in old.iter_mut().zip(&w) {
                    *value = slice[i];
                }
                for (value, slice) in input.iter_mut().zip(&r) {
                    *value = slice[i];
                }
                for (slice, value) in w.iter_mut().zip(&f(old, input)) {
                    slice[i] = *value;
                }
            }
            start = end;
        }
        Ok(())
    }
}

/// Sum of `f` over pairs, in eight double-precision lanes so that it can be vectorised; the order of
/// additions is fixed.
pub(super) fn sum(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f64) -> f64 {
    let mut lanes = [0.0f64; 8];
    let (ca, cb) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = ca
        .remainder()
        .iter()
        .zip(cb.remainder())
        .map(|(&x, &y)| f(x, y))
        .sum();
    for (x, y) in ca.zip(cb) {
        for i in 0..8 {
            lanes[i] += f(x[i], y[i]);
        }
    }
    lanes.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LayerSpec, Model};
    use tch::Device;

    #[test]
    fn one_pass_updates_model_and_moments_together() {
        // FedAdam (Reddi et al., 2021, algorithm 2) over more than one block, against float64.
        let model = Model::build(&[LayerSpec::dense(50)], &[40], 50).unwrap();
        let n = model.layout().total();
        let start: Vec<f32> = (0..n).map(|i| (i % 17) as f32 * 0.1).collect();
        let delta: Vec<f32> = (0..n).map(|i| (i % 13) as f32 * 0.01 - 0.05).collect();
        let set = |v: &[f32]| ParamSet::from_slice(model.layout(), v).unwrap();
        let (mut w, delta_set) = (Buffer::copy_of(&set(&start)).unwrap(), set(&delta));
        let mut m = Buffer::zeros_like(&delta_set).unwrap();
        let mut v = Buffer::zeros_like(&delta_set).unwrap();
        let (b1, b2, lr, tau) = (0.9f32, 0.99f32, 0.1f32, 1e-3f32);
        for _ in 0..2 {
            Buffer::elementwise([&mut w, &mut m, &mut v], [&delta_set], |[w, m, v], [d]| {
                let m = b1 * m + (1.0 - b1) * d;
                let v = b2 * v + (1.0 - b2) * d * d;
                [w + lr * m / (v.sqrt() + tau), m, v]
            })
            .unwrap();
        }
        let got = w.as_slice().unwrap();
        for i in 0..n {
            let d = f64::from(delta[i]);
            let (mut x, mut m, mut v) = (f64::from(start[i]), 0.0, 0.0);
            for _ in 0..2 {
                m = 0.9 * m + 0.1 * d;
                v = 0.99 * v + 0.01 * d * d;
                x += 0.1 * m / (f64::sqrt(v) + 1e-3);
            }
            assert!(
                (f64::from(got[i]) - x).abs() < 1e-5,
                "{i}: {} against {x}",
                got[i]
            );
        }
    }

    #[test]
    fn an_input_of_another_layout_stops_the_pass_before_it_writes() {
        let layout = |n| {
            Model::build(&[LayerSpec::dense(n)], &[2], n)
                .unwrap()
                .layout()
                .clone()
        };
        let mut buffer = Buffer::zeros(layout(2), Device::Cpu).unwrap();
        let other = ParamSet::from_slice(&layout(3), &[1.0; 9]).unwrap();
        assert!(Buffer::elementwise([&mut buffer], [&other], |_, [x]| [x]).is_err());
        assert_eq!(buffer.as_slice().unwrap(), [0.0; 6]);
    }
}
