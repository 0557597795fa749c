//! Quantisation of updates to integers, whose sums are exact, and the packing of these integers.

use super::SecAgg;
use crate::compress::bits::{Reader, Writer};

/// The number of bits that a sum over `clients` has more than each of its terms.
pub fn headroom(clients: usize) -> u32 {
    clients.max(1).next_power_of_two().ilog2()
}

/// Converts floats to integers modulo 2^width and back.
///
/// A value v of a client with weight w in [0, 1] is clipped to ±range and becomes the integer
/// nearest to w·v/range·(2^(bits−1) − 1). Sums over all clients stay within 2^width.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiser {
    range: f64,
    /// The integer that stands for `range`.
    most: f64,
    /// The number of bits of a word on the wire.
    width: u32,
    /// Whether values are rounded towards zero, so that no update becomes longer.
    towards_zero: bool,
}

impl Quantiser {
    /// A quantiser for sums over at most `clients` clients.
    pub fn new(settings: &SecAgg, clients: usize, towards_zero: bool) -> Self {
        Self {
            range: settings.range,
            most: f64::from((1u32 << (settings.bits - 1)) - 1),
            width: settings.bits + headroom(clients),
            towards_zero,
        }
    }

    #[cfg(test)]
    /// The number of bits of a word on the wire.
    #[cfg(test)]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// The word for `value`, which must be finite, with a weight in [0, 1]; negative numbers are in
    /// two's complement.
    pub fn quantise(&self, value: f32, weight: f64) -> u32 {
        let scaled =
            f64::from(value).clamp(-self.range, self.range) * weight / self.range * self.most;
        let whole = match self.towards_zero {
            true => libm::trunc(scaled),
            false => libm::round(scaled),
        };
        whole as i32 as u32
    }

    /// The number that a sum of words stands for: the sum of the weighted values.
    pub fn sum(&self, word: u32) -> f64 {
        // The highest of the `width` bits is the sign.
        let unused = 32 - self.width;
        let whole = ((word << unused) as i32) >> unused;
        f64::from(whole) / self.most * self.range
    }

    /// The `words` packed to `width` bits each, followed by the weight as four bytes.
    pub fn pack(&self, words: &[u32], weight: u32) -> Vec<u8> {
        let bits = words.len() * self.width as usize;
        let mut writer = Writer::with_capacity(bits.div_ceil(8) + 4);
        words.iter().for_each(|word| writer.bits(*word, self.width));
        writer.whole(&weight.to_le_bytes());
        writer.finish()
    }

    /// The `n` words and the weight that `bytes` contain; `None` if there are more or fewer.
    pub fn unpack(&self, bytes: &[u8], n: usize) -> Option<(Vec<u32>, u32)> {
        let mut reader = Reader::new(bytes);
        let words = (0..n).map(|_| reader.bits(self.width));
        let words: Vec<u32> = words.collect::<Option<_>>()?;
        let weight = u32::from_le_bytes(reader.whole()?);
        reader.end()?;
        Some((words, weight))
    }
}
