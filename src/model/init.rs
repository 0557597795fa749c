//! Initial weights.

use super::{Buffer, Entry, Model, ParamError, ParamSet, Part, Place};
use crate::sim::rng::{stream, Purpose, Stream};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// Server side draws of a run are those of node 0.
const NODE: u64 = 0;

/// How the weights of convolutions and dense layers begin. `fan_in` is the number of inputs that
/// feed one output, `fan_out` the number of outputs that one input feeds. Under each rule the scale
/// and shift of normalisations begin as ones and zeros, their statistics as mean 0 and variance 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Initializer {
    /// Uniform in ±1/√fan_in, weights and biases alike: what PyTorch's layers do when nothing is
    /// said (`kaiming_uniform_` with a = √5).
    #[default]
    PyTorch,
    /// Uniform with variance 2 / (fan_in + fan_out), biases 0 (Glorot and Bengio 2010, equation
    /// 16): the default of Keras and Flax.
    GlorotUniform,
    /// Normal with variance 2 / (fan_in + fan_out), biases 0 (Glorot and Bengio 2010).
    GlorotNormal,
    /// Uniform with variance 2 / fan_in, biases 0 (He et al. 2015, equation 10).
    HeUniform,
    /// Normal with variance 2 / fan_in, biases 0 (He et al. 2015, equation 10).
    HeNormal,
}

impl Initializer {
    /// Fills the tensor `entry` from its stream.
    fn fill(self, entry: &Entry, rng: &mut Stream, tensor: &mut [f32]) {
        let fan_in = entry.fan_in.max(1) as f64;
        let window: usize = entry.shape.iter().skip(2).product();
        let fan_out = entry.shape.first().map_or(1, |&out| out * window) as f64;
        let glorot = 2.0 / (fan_in + fan_out);
        match (self, entry.role.part) {
            (Self::PyTorch, _) => uniform(rng, tensor, (1.0 / fan_in).sqrt()),
            (_, Part::Bias) => {}
            // A uniform draw in ±b has variance b²/3.
            (Self::GlorotUniform, _) => uniform(rng, tensor, (3.0 * glorot).sqrt()),
            (Self::GlorotNormal, _) => normal(rng, tensor, glorot.sqrt()),
            (Self::HeUniform, _) => uniform(rng, tensor, (6.0 / fan_in).sqrt()),
            (Self::HeNormal, _) => normal(rng, tensor, (2.0 / fan_in).sqrt()),
        }
    }
}

fn uniform(rng: &mut Stream, tensor: &mut [f32], bound: f64) {
    for value in tensor {
        // 24 bits: every value is exact in a float.
        let unit = (rng.next_u64() >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
        *value = (2.0 * unit - 1.0) * bound as f32;
    }
}

/// Box and Muller's transform, through `libm`: the same bits on every machine.
fn normal(rng: &mut Stream, tensor: &mut [f32], deviation: f64) {
    let scale = 1.0 / (1u64 << 53) as f64;
    for pair in tensor.chunks_mut(2) {
        // In (0, 1], where the logarithm is finite.
        let radius = ((rng.next_u64() >> 11) + 1) as f64 * scale;
        let angle = (rng.next_u64() >> 11) as f64 * scale * std::f64::consts::TAU;
        let radius = deviation * libm::sqrt(-2.0 * libm::log(radius));
        for (value, part) in pair.iter_mut().zip([libm::cos(angle), libm::sin(angle)]) {
            *value = (radius * part) as f32;
        }
    }
}

impl Model {
    /// Initial weights drawn from `seed` by the rule of `initializer`, on the CPU.
    ///
    /// Each tensor has a stream of its own, so its values depend only on the seed, its position
    /// among the tensors and its size.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn init(&self, seed: u64, initializer: Initializer) -> Result<ParamSet, ParamError> {
        let layout = self.layout().clone();
        let mut buffer = Buffer::zeros(layout.clone(), tch::Device::Cpu)?;
        let mut rest = buffer.as_mut_slice()?;
        for (index, entry) in layout.entries().iter().enumerate() {
            let (tensor, after) = rest.split_at_mut(entry.len);
            rest = after;
            if let Some(start) = entry.start {
                tensor.fill(start);
                continue;
            }
            match (entry.role.place, entry.role.part) {
                (Place::Norm, Part::Weight | Part::Square) => tensor.fill(1.0),
                (Place::Norm, Part::Bias | Part::Mean) => {}
                _ => {
                    let mut rng = stream(seed, NODE, Purpose::Weights, index as u64);
                    initializer.fill(entry, &mut rng, tensor);
                }
            }
        }
        Ok(buffer.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LayerSpec;

    #[test]
    fn weights_fill_the_range_that_fan_in_sets_and_norms_start_as_identity() {
        let layers = [
            LayerSpec::conv(8, 3, 1),
            LayerSpec::GroupNorm { groups: 2 },
            LayerSpec::Flatten,
            LayerSpec::dense(10),
        ];
        let model = Model::build(&layers, &[3, 8, 8], 10).unwrap();
        let params = model.init(5, Initializer::PyTorch).unwrap();
        let values = params.as_slice().unwrap();
        let of = |i: usize| {
            let e = &model.layout().entries()[i];
            &values[e.offset..e.offset + e.len]
        };
        let bound = 1.0 / 27f32.sqrt();
        assert!(of(0).iter().all(|v| v.abs() <= bound));
        assert!(of(0).iter().any(|v| v.abs() > 0.9 * bound));
        assert!(of(1).iter().all(|v| v.abs() <= bound));
        assert!(of(2).iter().all(|&v| v == 1.0));
        assert!(of(3).iter().all(|&v| v == 0.0));
        // Uniform: mean 0 within four standard errors, variance bound²/3 within a tenth.
        let dense = of(4);
        let (n, bound) = (dense.len() as f64, 1.0 / 512f64.sqrt());
        let mean = dense.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = dense.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 4.0 * bound / (3.0 * n).sqrt());
        assert!((variance / (bound * bound / 3.0) - 1.0).abs() < 0.1);
    }

    #[test]
    fn the_seed_decides_the_weights() {
        let model = Model::build(&[LayerSpec::dense(4)], &[3], 4).unwrap();
        let digest = |seed| {
            model
                .init(seed, Initializer::PyTorch)
                .unwrap()
                .digest()
                .unwrap()
        };
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }

    /// Variances are those of the papers, each from 100,000 draws: the sample variance of a normal
    /// lies within 2 % of the true one but for odds of one in ten million.
    #[test]
    fn each_rule_has_the_variance_of_its_paper() {
        let layers = [
            LayerSpec::conv(100, 5, 2),
            LayerSpec::Flatten,
            LayerSpec::dense(10),
        ];
        let model = Model::build(&layers, &[40, 4, 4], 10).unwrap();
        let (fan_in, fan_out) = (40.0 * 25.0, 100.0 * 25.0_f64);
        for (rule, variance) in [
            (Initializer::GlorotUniform, 2.0 / (fan_in + fan_out)),
            (Initializer::GlorotNormal, 2.0 / (fan_in + fan_out)),
            (Initializer::HeUniform, 2.0 / fan_in),
            (Initializer::HeNormal, 2.0 / fan_in),
        ] {
            let params = model.init(3, rule).unwrap();
            let values = params.as_slice().unwrap();
            let weights: Vec<f64> = values[..100_000].iter().map(|&v| f64::from(v)).collect();
            let mean = weights.iter().sum::<f64>() / 1e5;
            let spread = weights.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 1e5;
            assert!(
                mean.abs() < 5.0 * f64::sqrt(variance / 1e5),
                "{rule:?}: {mean}"
            );
            assert!((spread / variance - 1.0).abs() < 0.02, "{rule:?}: {spread}");
            assert!(
                values[100_000..100_100].iter().all(|&v| v == 0.0),
                "{rule:?}"
            );
        }
    }
}
