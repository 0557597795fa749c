//! The Gaussian error linear unit.

use super::{Layer, Tensors};
use crate::model::MaskSource;
use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

/// x · Φ(x), Φ the distribution function of the standard normal (Hendrycks and Gimpel 2016, equation 1);
/// the exact form, which is PyTorch's default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gelu {}

impl Layer for Gelu {
    fn build(&self, input: &[usize], _: &mut Tensors<'_>) -> Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn forward(
        &self,
        _: &[Tensor],
        x: &Tensor,
        _: Option<&mut MaskSource>,
    ) -> Result<Tensor, TchError> {
        x.f_gelu("none")
    }

    fn takes_samples_apart(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the error function in double precision: Φ(x) = (1 + erf(x/√2)) / 2.
    #[test]
    fn it_is_x_times_the_normal_distribution() {
        let xs = [-3.0f32, -1.0, -0.25, 0.0, 0.5, 1.0, 2.5];
        let y = Gelu {}
            .forward(&[], &Tensor::from_slice(&xs), None)
            .unwrap();
        for (i, x) in xs.into_iter().enumerate() {
            let x = f64::from(x);
            let exact = x * 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2));
            assert!((y.double_value(&[i as i64]) - exact).abs() < 1e-6, "{x}");
        }
    }
}
