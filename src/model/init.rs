//! Initial weights.

use super::{Buffer, Model, ParamError, ParamSet, Part, Place};
use crate::sim::rng::{stream, Purpose};
use rand::Rng;

/// Server side draws of a run are those of node 0.
const NODE: u64 = 0;

impl Model {
    /// Initial weights drawn from `seed`, on the CPU: uniform in ±1/√fan_in for weights and biases
    /// alike (PyTorch's default: Kaiming uniform with a = √5 for weights, He et al. 2015), ones and
    /// zeros for the scale and shift of normalisations.
    ///
    /// Each tensor has a stream of its own, so its values depend only on the seed, its position
    /// among the tensors and its size.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn init(&self, seed: u64) -> Result<ParamSet, ParamError> {
        let layout = self.layout().clone();
        let mut buffer = Buffer::zeros(layout.clone(), tch::Device::Cpu)?;
        let values = buffer.as_mut_slice()?;
        let mut rest = values;
        for (index, entry) in layout.entries().iter().enumerate() {
            let (tensor, after) = rest.split_at_mut(entry.len);
            rest = after;
            match (entry.role.place, entry.role.part) {
                (Place::Norm, Part::Weight) => tensor.fill(1.0),
                (Place::Norm, Part::Bias) => {}
                _ => {
                    let bound = (1.0 / (entry.fan_in.max(1) as f64).sqrt()) as f32;
                    let mut rng = stream(seed, NODE, Purpose::Weights, index as u64);
                    for value in tensor {
                        // 24 bits: every value is exact in a float.
                        let unit = (rng.next_u64() >> 40) as f32 * (1.0 / (1u32 << 24) as f32);
                        *value = (2.0 * unit - 1.0) * bound;
                    }
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
        let params = model.init(5).unwrap();
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
        let digest = |seed| model.init(seed).unwrap().digest().unwrap();
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }
}
