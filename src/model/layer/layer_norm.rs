//! Normalisation over a sample.

use super::{Layer, Start, Tensors};
use crate::model::{MaskSource, NORM_EPS};
use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

/// Brings all values of a sample to mean 0 and variance 1, then scales and shifts each by learned values
/// (Ba, Kiros and Hinton 2016, equations 3 and 4). It is PyTorch's `nn.LayerNorm` over the shape of a
/// sample: `[features]`, or `[channels, height, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {}

impl Layer for LayerNorm {
    fn build(&self, input: &[usize], tensors: &mut Tensors<'_>) -> Result<Vec<usize>, String> {
        tensors.each_value("weight", Start::Constant(1.0));
        tensors.each_value("bias", Start::Constant(0.0));
        Ok(input.to_vec())
    }

    fn forward(
        &self,
        params: &[Tensor],
        x: &Tensor,
        _: Option<&mut MaskSource>,
    ) -> Result<Tensor, TchError> {
        let sample = x.size().get(1..).unwrap_or_default().to_vec();
        x.f_layer_norm(sample, params.first(), params.get(1), NORM_EPS, false)
    }

    fn takes_samples_apart(&self) -> bool {
        true
    }
}
