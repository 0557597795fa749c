//! Stochastic uniform quantisation with one byte for each value.

use super::bits::{Reader, Writer};
use super::Scheme;
use crate::quantity::unit;
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// In each block of values, 256 evenly spaced levels lie between the least and the greatest value,
/// and each value is rounded at random to one of the two nearest levels (Suresh et al.,
/// "Distributed Mean Estimation with Limited Communication", ICML 2017, §2.2, with blocks). The
/// result is unbiased. The variance of a value is at most a quarter of the square of the distance
/// between two levels.
///
/// On the wire, a block takes 8 bytes for its least value and the distance, and one byte for each
/// value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Int8 {
    /// The number of values in a block; 0 makes each tensor one block.
    pub block: usize,
}

impl Default for Int8 {
    fn default() -> Self {
        Self { block: 256 }
    }
}

impl Int8 {
    /// The lengths of the blocks.
    fn blocks(&self, n: usize, tensors: &[usize]) -> Vec<usize> {
        match self.block {
            0 => tensors.to_vec(),
            size => (0..n.div_ceil(size))
                .map(|i| size.min(n - i * size))
                .collect(),
        }
    }
}

impl Scheme for Int8 {
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn encode(&self, values: &[f32], tensors: &[usize], rng: &mut Stream) -> Vec<u8> {
        let blocks = self.blocks(values.len(), tensors);
        let mut writer = Writer::with_capacity(values.len() + 8 * blocks.len());
        let mut rest = values;
        for len in blocks {
            let (block, after) = rest.split_at(len);
            rest = after;
            let low = block.iter().copied().fold(f32::INFINITY, f32::min);
            let high = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let low = if len == 0 { 0.0 } else { low };
            let step = ((f64::from(high) - f64::from(low)) / 255.0).max(0.0) as f32;
            writer.float(low);
            writer.float(step);
            for value in block {
                let place = match step > 0.0 {
                    true => (f64::from(*value) - f64::from(low)) / f64::from(step),
                    false => 0.0,
                };
                let level = libm::floor(place + unit(rng)).clamp(0.0, 255.0);
                writer.whole(&[level as u8]);
            }
        }
        writer.finish()
    }

    fn decode(&self, bytes: &[u8], tensors: &[usize], values: &mut [f32]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        let mut rest = &mut *values;
        for len in self.blocks(rest.len(), tensors) {
            let (block, after) = rest.split_at_mut_checked(len)?;
            rest = after;
            let (low, step) = (f64::from(reader.float()?), f64::from(reader.float()?));
            for value in block {
                let [level] = reader.whole()?;
                *value = (low + step * f64::from(level)) as f32;
            }
        }
        rest.is_empty().then_some(())?;
        reader.end()
    }

    fn operations(&self) -> u64 {
        5
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::tests::{noise, rng, round_trip, unbiased, vector};

    #[test]
    fn it_is_unbiased_and_within_a_quarter_of_a_squared_step() {
        let values = vector(40);
        for block in [0, 16] {
            let scheme = Int8 { block };
            unbiased(&scheme, &values, 20_000);
            let bound: f64 = match block {
                // The test's vector is of two tensors.
                0 => values.chunks(20),
                block => values.chunks(block),
            }
            .map(|part| {
                let low = part.iter().copied().fold(f32::INFINITY, f32::min);
                let high = part.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let step = f64::from(high - low) / 255.0;
                part.len() as f64 * step * step / 4.0
            })
            .sum();
            let measured = noise(&scheme, &values, 5_000);
            assert!(
                measured <= bound && measured > 0.2 * bound,
                "{measured}, {bound}"
            );
        }
    }

    #[test]
    fn the_ends_of_a_block_and_constant_blocks_arrive_exactly() {
        let scheme = Int8 { block: 4 };
        let values = [0.5, 0.5, 0.5, 0.5, -1.0, 254.0, 3.0, 8.0];
        assert_eq!(round_trip(&scheme, &values, &mut rng(5)), values);
    }

    #[test]
    fn the_bytes_are_one_a_value_and_eight_a_block() {
        let bytes = |block, n: usize| {
            Int8 { block }
                .encode(&vector(n), &[n - 3, 3], &mut rng(1))
                .len()
        };
        assert_eq!(bytes(256, 1_000), 1_000 + 4 * 8);
        assert_eq!(bytes(0, 1_000), 1_000 + 2 * 8);
    }
}
