//! The precision of matrix products and convolutions in local training.
//!
//! Weights, optimiser state, normalisations, losses and all values that travel stay in single
//! precision, as in the usual mixed-precision training (Micikevicius et al., 2018). Both reduced
//! formats have the exponents of single precision, so no loss needs scaling.

use serde::{Deserialize, Serialize};
use std::fmt;
use tch::{Kind, TchError, Tensor};

/// The format that the factors of products are rounded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Precision {
    /// Single precision: 24 significant bits.
    #[default]
    Single,
    /// TF32 of NVIDIA: factors with 11 significant bits, products and sums in single precision. A
    /// GPU with tensor cores computes this faster. On other devices the factors are rounded, and
    /// the cost is that of `Single`.
    Tf32,
    /// bfloat16: factors and results with 8 significant bits, sums in single precision.
    Bf16,
}

/// The number of bits of a single-precision mantissa that TF32 lacks.
const DROPPED: i64 = 13;

impl Precision {
    /// The tensor `x` in the precision of a factor of a product.
    pub(super) fn factor(self, x: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Single => Ok(x.shallow_clone()),
            Self::Bf16 => x.f_to_kind(Kind::BFloat16),
            Self::Tf32 if !x.requires_grad() => tf32(x),
            // Rounding passes gradients through unchanged, so autograd must not see it.
            Self::Tf32 => {
                let change = tch::no_grad(|| tf32(&x.f_detach()?)?.f_sub(&x.f_detach()?))?;
                x.f_add(&change)
            }
        }
    }

    /// The tensor `b` in the precision of a summand of products.
    pub(super) fn addend(self, b: &Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Bf16 => b.f_to_kind(Kind::BFloat16),
            Self::Single | Self::Tf32 => Ok(b.shallow_clone()),
        }
    }

    /// The result `y` of a product in single precision, for operations that are no products.
    pub(super) fn result(self, y: Tensor) -> Result<Tensor, TchError> {
        match self {
            Self::Bf16 => y.f_to_kind(Kind::Float),
            Self::Single | Self::Tf32 => Ok(y),
        }
    }
}

/// Rounds to the nearest value with 11 significant bits, halves away from zero, as the input of
/// tensor cores is rounded.
fn tf32(x: &Tensor) -> Result<Tensor, TchError> {
    let bits = x.f_contiguous()?.f_view_dtype(Kind::Int)?;
    let half = 1i64 << (DROPPED - 1);
    let rounded = bits
        .f_add_scalar(half)?
        .f_bitwise_and(-(1i64 << DROPPED))?
        .f_view_dtype(Kind::Float)?;
    // Values that are not finite are kept: rounding would turn them into other values.
    x.f_where_self(&x.f_isfinite()?.f_logical_not()?, &rounded)
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Tf32 => "TF32",
            Self::Bf16 => "bfloat16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Through a tensor and back, with the gradient that comes through.
    fn factor(precision: Precision, values: &[f32], learns: bool) -> (Vec<f32>, Option<Vec<f32>>) {
        let x = Tensor::from_slice(values).set_requires_grad(learns);
        let y = precision.result(precision.factor(&x).unwrap()).unwrap();
        let gradient = learns.then(|| {
            y.sum(Kind::Float).backward();
            Vec::try_from(x.grad()).unwrap()
        });
        (Vec::try_from(y.detach()).unwrap(), gradient)
    }

    #[test]
    fn factors_have_the_bits_of_their_format() {
        let small = |exponent: i32| libm::exp2f(exponent as f32);
        let values = [
            1.0 + small(-12),
            1.0 + small(-11),
            -1.0 - 3.0 * small(-11),
            1.0 + small(-8) + small(-10),
            0.0,
            f32::MAX,
            f32::INFINITY,
        ];
        for learns in [false, true] {
            let all = if learns { &values[..5] } else { &values[..] };
            let (single, _) = factor(Precision::Single, all, learns);
            assert_eq!(single, all);
            let (tf32, through) = factor(Precision::Tf32, all, learns);
            let expected = [
                1.0,
                1.0 + small(-10),
                -1.0 - 2.0 * small(-10),
                1.0 + small(-8) + small(-10),
                0.0,
                f32::INFINITY,
                f32::INFINITY,
            ];
            assert_eq!(tf32, expected[..all.len()]);
            assert_eq!(through, learns.then(|| vec![1.0; all.len()]));
            let (bf16, through) = factor(Precision::Bf16, all, learns);
            assert_eq!(bf16[..5], [1.0, 1.0, -1.0, 1.0 + small(-7), 0.0]);
            assert_eq!(through, learns.then(|| vec![1.0; all.len()]));
        }
        let (nan, _) = factor(Precision::Tf32, &[f32::NAN, -f32::NAN], false);
        assert!(nan.iter().all(|v| v.is_nan()));
    }
}
