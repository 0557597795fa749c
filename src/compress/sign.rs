//! Sign compression with one bit for each value.

use super::bits::{Reader, Writer};
use super::Scheme;
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// The signs of a tensor's d values and their mean magnitude: C(x) = ‖x‖₁/d · sign(x) (Karimireddy
/// et al., "Error Feedback Fixes SignSGD and other Gradient Compression Schemes", ICML 2019, §4).
/// The result is biased, so the scheme needs error feedback, which is on by default.
///
/// On the wire, a tensor takes 4 bytes, and one bit for each value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sign {
    /// Whether the difference between a report and its compressed form is added to the next report.
    pub error_feedback: bool,
}

impl Default for Sign {
    fn default() -> Self {
        Self {
            error_feedback: true,
        }
    }
}

impl Scheme for Sign {
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn feedback(&self) -> bool {
        self.error_feedback
    }

    fn encode(&self, values: &[f32], tensors: &[usize], _: &mut Stream) -> Vec<u8> {
        let bytes = values.len().div_ceil(8) + 4 * tensors.len();
        let mut writer = Writer::with_capacity(bytes);
        let mut rest = values;
        for len in tensors {
            let (tensor, after) = rest.split_at(*len);
            rest = after;
            let sum: f64 = tensor.iter().map(|v| f64::from(v.abs())).sum();
            writer.float((sum / (*len).max(1) as f64) as f32);
        }
        for value in values {
            writer.bits(u32::from(value.is_sign_negative()), 1);
        }
        writer.finish()
    }

    fn decode(&self, bytes: &[u8], tensors: &[usize], values: &mut [f32]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        let means: Option<Vec<f32>> = tensors.iter().map(|_| reader.float()).collect();
        let mut rest = values;
        for (mean, len) in means?.into_iter().zip(tensors) {
            let (tensor, after) = rest.split_at_mut_checked(*len)?;
            rest = after;
            for value in tensor {
                *value = if reader.bits(1)? == 1 { -mean } else { mean };
            }
        }
        rest.is_empty().then_some(())?;
        reader.end()
    }

    fn operations(&self) -> u64 {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::tests::{rng, vector};

    #[test]
    fn signs_arrive_with_the_mean_magnitude_of_their_tensor() {
        let values = [1.0, -3.0, 2.0, -0.5, 0.25];
        let bytes = Sign::default().encode(&values, &[3, 2], &mut rng(1));
        assert_eq!(bytes.len(), 2 * 4 + 1);
        let mut got = [0.0; 5];
        Sign::default().decode(&bytes, &[3, 2], &mut got).unwrap();
        assert_eq!(got, [2.0, -2.0, 2.0, -0.375, 0.375]);
    }

    /// ‖C(x) − x‖² = (1 − ‖x‖₁² / (d ‖x‖²)) ‖x‖² for each tensor (lemma 8 of the paper).
    #[test]
    fn it_contracts_by_the_density_of_the_vector() {
        let values = vector(40);
        let bytes = Sign::default().encode(&values, &[40], &mut rng(1));
        let mut got = [0.0; 40];
        Sign::default().decode(&bytes, &[40], &mut got).unwrap();
        let off = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        let left: f64 = got.iter().zip(&values).map(off).sum();
        let sum = |p| {
            values
                .iter()
                .map(|v| f64::from(v.abs()).powi(p))
                .sum::<f64>()
        };
        let exact = sum(2) - sum(1) * sum(1) / 40.0;
        assert!(
            (left - exact).abs() < 1e-5 * sum(2),
            "{left} against {exact}"
        );
    }
}
