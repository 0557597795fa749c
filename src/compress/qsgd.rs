//! QSGD: quantisation to random levels between zero and the norm.

use super::bits::{width, Reader, Writer};
use super::{outside, Scheme};
use crate::quantity::unit;
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// QSGD (Alistarh et al., NeurIPS 2017, §3.1 and the buckets of §4). In each bucket of d values,
/// the magnitude of a value is rounded at random to one of the two nearest multiples of ‖x‖₂ / s,
/// for s levels. The result is unbiased, with E‖C(x) − x‖² ≤ min(d/s², √d/s) ‖x‖² (lemma 3.1).
///
/// On the wire, a bucket takes 4 bytes for its norm, and for each value a sign bit and ⌈log₂(s +
/// 1)⌉ bits for the level. The paper's Elias code would be shorter where most levels are zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qsgd {
    /// The number s of levels above zero, from 1 to 65535.
    pub levels: u32,
    /// The number of values that share a norm; 0 makes all values one bucket.
    pub bucket: usize,
}

impl Default for Qsgd {
    fn default() -> Self {
        Self {
            levels: 15,
            bucket: 512,
        }
    }
}

impl Qsgd {
    fn bucket(&self, n: usize) -> usize {
        match self.bucket {
            0 => n.max(1),
            bucket => bucket,
        }
    }

    /// The number of bits of a level.
    fn level(&self) -> u32 {
        width(self.levels as usize + 1)
    }
}

impl Scheme for Qsgd {
    fn check(&self) -> Vec<(&'static str, String)> {
        if (1..=65_535).contains(&self.levels) {
            return Vec::new();
        }
        vec![outside(
            "levels",
            "a number of levels from 1 to 65535",
            self.levels,
        )]
    }

    fn encode(&self, values: &[f32], _: &[usize], rng: &mut Stream) -> Vec<u8> {
        let (n, most) = (values.len(), f64::from(self.levels));
        let buckets = || values.chunks(self.bucket(n));
        let bits = (n * (1 + self.level() as usize)).div_ceil(8);
        let mut writer = Writer::with_capacity(bits + 4 * buckets().len());
        let mut norms = Vec::with_capacity(buckets().len());
        for bucket in buckets() {
            let squares: f64 = bucket.iter().map(|v| f64::from(*v) * f64::from(*v)).sum();
            // The norm is rounded to single precision first, since the receiver multiplies by that
            // number.
            let norm = (libm::sqrt(squares).min(f64::from(f32::MAX))) as f32;
            writer.float(norm);
            norms.push(f64::from(norm));
        }
        for (bucket, norm) in buckets().zip(norms) {
            for value in bucket {
                let place = match norm > 0.0 {
                    true => f64::from(value.abs()) / norm * most,
                    false => 0.0,
                };
                let lower = libm::floor(place);
                let up = f64::from(u8::from(unit(rng) < place - lower));
                writer.bits(u32::from(value.is_sign_negative()), 1);
                writer.bits((lower + up).min(most) as u32, self.level());
            }
        }
        writer.finish()
    }

    fn decode(&self, bytes: &[u8], _: &[usize], values: &mut [f32]) -> Option<()> {
        let size = self.bucket(values.len());
        let mut reader = Reader::new(bytes);
        let norms: Option<Vec<f32>> = values.chunks(size).map(|_| reader.float()).collect();
        for (bucket, norm) in values.chunks_mut(size).zip(norms?) {
            let step = f64::from(norm) / f64::from(self.levels);
            for value in bucket {
                let negative = reader.bits(1)? == 1;
                let level = reader.bits(self.level())?;
                if level > self.levels {
                    return None;
                }
                let size = (step * f64::from(level)) as f32;
                *value = if negative { -size } else { size };
            }
        }
        reader.end()
    }

    fn operations(&self) -> u64 {
        6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::tests::{noise, rng, unbiased, vector};

    #[test]
    fn it_is_unbiased_and_its_variance_within_the_bound_of_the_paper() {
        for (levels, bucket) in [(1, 0), (4, 0), (15, 16)] {
            let scheme = Qsgd { levels, bucket };
            let values = vector(48);
            unbiased(&scheme, &values, 20_000);
            let d = if bucket == 0 {
                48.0
            } else {
                f64::from(bucket as u32)
            };
            let s = f64::from(levels);
            let norm: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            let bound = (d / (s * s)).min(d.sqrt() / s) * norm;
            let measured = noise(&scheme, &values, 20_000);
            assert!(measured <= bound, "{measured} against {bound}");
            // The bound is one for all vectors: this one must come near its order.
            assert!(measured >= 0.05 * bound, "{measured} against {bound}");
        }
    }

    #[test]
    fn the_bytes_are_norms_signs_and_levels() {
        let bytes = |levels, bucket, n: usize| {
            Qsgd { levels, bucket }
                .encode(&vector(n), &[n], &mut rng(1))
                .len()
        };
        // Two buckets; a sign and four bits each.
        assert_eq!(bytes(15, 512, 1_000), 2 * 4 + 625);
        assert_eq!(bytes(1, 0, 1_000), 4 + 250);
        assert_eq!(bytes(16, 0, 8), 4 + 6);
    }

    #[test]
    fn zeros_stay_zeros_and_a_level_above_the_highest_is_refused() {
        let scheme = Qsgd {
            levels: 5,
            bucket: 0,
        };
        let mut bytes = scheme.encode(&[0.0; 8], &[8], &mut rng(1));
        let mut values = [1.0; 8];
        assert!(scheme.decode(&bytes, &[8], &mut values).is_some());
        assert_eq!(values, [0.0; 8]);
        bytes[4..].fill(0xff);
        assert!(scheme.decode(&bytes, &[8], &mut values).is_none());
    }
}
