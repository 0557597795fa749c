//! TernGrad: quantisation to −1, 0 and 1.

use super::bits::{Reader, Writer};
use super::Scheme;
use crate::quantity::unit;
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// TernGrad (Wen et al., NeurIPS 2017, equation 1). In each tensor with the largest magnitude s =
/// max |x|, a value x becomes s·sign(x) with probability |x|/s, and zero otherwise. The result is
/// unbiased, and E‖C(x) − x‖² is s·‖x‖₁ − ‖x‖². The paper's clipping of gradients is left out.
///
/// On the wire, a tensor takes 4 bytes, and one byte for every five values, since 3⁵ = 243.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ternary {}

/// The number of values in a byte.
const TRITS: usize = 5;

impl Scheme for Ternary {
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn encode(&self, values: &[f32], tensors: &[usize], rng: &mut Stream) -> Vec<u8> {
        let bytes = values.len().div_ceil(TRITS) + 4 * tensors.len();
        let mut writer = Writer::with_capacity(bytes);
        let mut scales = Vec::with_capacity(tensors.len());
        let mut rest = values;
        for len in tensors {
            let (tensor, after) = rest.split_at(*len);
            rest = after;
            let scale = tensor.iter().fold(0.0f32, |most, v| most.max(v.abs()));
            writer.float(scale);
            scales.extend(std::iter::repeat_n(f64::from(scale), *len));
        }
        let trits: Vec<u8> = values
            .iter()
            .zip(&scales)
            .map(|(value, scale)| {
                // Every value takes one draw, also a value of zero.
                let hit = unit(rng) * scale < f64::from(value.abs());
                match (hit, value.is_sign_negative()) {
                    (false, _) => 0,
                    (true, false) => 1,
                    (true, true) => 2,
                }
            })
            .collect();
        for five in trits.chunks(TRITS) {
            let byte = five.iter().rev().fold(0u8, |byte, trit| byte * 3 + trit);
            writer.whole(&[byte]);
        }
        writer.finish()
    }

    fn decode(&self, bytes: &[u8], tensors: &[usize], values: &mut [f32]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        let mut scales = Vec::with_capacity(values.len());
        for len in tensors {
            scales.extend(std::iter::repeat_n(reader.float()?, *len));
        }
        if scales.len() != values.len() {
            return None;
        }
        for (five, scales) in values.chunks_mut(TRITS).zip(scales.chunks(TRITS)) {
            let [mut byte] = reader.whole()?;
            for (value, scale) in five.iter_mut().zip(scales) {
                *value = match byte % 3 {
                    0 => 0.0,
                    1 => *scale,
                    _ => -scale,
                };
                byte /= 3;
            }
            if byte != 0 {
                return None;
            }
        }
        reader.end()
    }

    fn operations(&self) -> u64 {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::tests::{noise, rng, unbiased, vector};

    #[test]
    fn it_is_unbiased_with_the_variance_that_follows_from_its_definition() {
        let values = vector(40);
        unbiased(&Ternary {}, &values, 20_000);
        // The test's vector is of two tensors.
        let of = |part: &[f32]| {
            let scale = part.iter().fold(0.0f64, |m, v| m.max(f64::from(v.abs())));
            let sum = |p| part.iter().map(|v| f64::from(v.abs()).powi(p)).sum::<f64>();
            scale * sum(1) - sum(2)
        };
        let exact = of(&values[..20]) + of(&values[20..]);
        let measured = noise(&Ternary {}, &values, 20_000);
        assert!(
            (measured / exact - 1.0).abs() < 0.03,
            "{measured} against {exact}"
        );
    }

    #[test]
    fn five_values_take_a_byte_and_a_tensor_four() {
        let bytes = Ternary {}.encode(&vector(12), &[7, 5], &mut rng(1));
        assert_eq!(bytes.len(), 2 * 4 + 3);
        let mut values = [0.0; 12];
        assert!(Ternary {}.decode(&bytes, &[7, 5], &mut values).is_some());
        let mut broken = bytes;
        broken[8] = 243;
        assert!(Ternary {}.decode(&broken, &[7, 5], &mut values).is_none());
    }
}
