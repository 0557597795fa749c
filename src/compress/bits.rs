//! Packing of numbers of any width into bytes, lowest bit first.

/// The number of bits that can number `count` things.
pub fn width(count: usize) -> u32 {
    count
        .saturating_sub(1)
        .checked_ilog2()
        .map_or(0, |top| top + 1)
}

/// Writes numbers of a few bits each.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// The bits that do not fill a byte yet.
    pending: u64,
    filled: u32,
}

impl Writer {
    /// A writer with memory for `bytes` bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Appends the lowest `width` bits of `value`; `width` is at most 32.
    pub fn bits(&mut self, value: u32, width: u32) {
        let kept = u64::from(value) & ((1u64 << width) - 1);
        self.pending |= kept << self.filled;
        self.filled += width;
        while self.filled >= 8 {
            self.bytes.push(self.pending as u8);
            self.pending >>= 8;
            self.filled -= 8;
        }
    }

    /// Fills the current byte with zeros, so that the next number begins a new byte.
    pub fn align(&mut self) {
        if self.filled > 0 {
            self.bytes.push(self.pending as u8);
            (self.pending, self.filled) = (0, 0);
        }
    }

    /// Appends whole bytes, beginning with a new byte.
    pub fn whole(&mut self, bytes: &[u8]) {
        self.align();
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a number in single precision as four bytes, beginning with a new byte.
    pub fn float(&mut self, value: f32) {
        self.whole(&value.to_le_bytes());
    }

    /// The bytes written so far, with the last one filled with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        self.align();
        self.bytes
    }
}

/// Reads what a [`Writer`] wrote. Its functions return `None` where the bytes end.
#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    pending: u64,
    filled: u32,
}

impl<'a> Reader<'a> {
    /// A reader from the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            pending: 0,
            filled: 0,
        }
    }

    /// The next `width` bits; `width` is at most 32.
    pub fn bits(&mut self, width: u32) -> Option<u32> {
        while self.filled < width {
            let (first, rest) = self.bytes.split_first()?;
            self.pending |= u64::from(*first) << self.filled;
            self.filled += 8;
            self.bytes = rest;
        }
        let value = (self.pending & ((1u64 << width) - 1)) as u32;
        self.pending >>= width;
        self.filled -= width;
        Some(value)
    }

    /// The next `N` bytes, beginning with a new byte.
    pub fn whole<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align();
        let (first, rest) = self.bytes.split_first_chunk()?;
        self.bytes = rest;
        Some(*first)
    }

    /// The next number in single precision, beginning with a new byte; `None` if it is not finite.
    pub fn float(&mut self) -> Option<f32> {
        Some(f32::from_le_bytes(self.whole()?)).filter(|value| value.is_finite())
    }

    /// Skips the rest of the current byte.
    pub fn align(&mut self) {
        (self.pending, self.filled) = (0, 0);
    }

    /// `Some` if every byte has been read.
    pub fn end(self) -> Option<()> {
        self.bytes.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_takes_the_bytes_of_its_bits(
            numbers in prop::collection::vec((any::<u32>(), 0u32..=32), 0..200)
        ) {
            let mut writer = Writer::default();
            for (value, width) in &numbers {
                writer.bits(*value, *width);
            }
            writer.float(1.5);
            let bytes = writer.finish();
            let bits: u32 = numbers.iter().map(|(_, width)| width).sum();
            prop_assert_eq!(bytes.len(), bits.div_ceil(8) as usize + 4);
            let mut reader = Reader::new(&bytes);
            for (value, width) in &numbers {
                let expected = (u64::from(*value) % (1u64 << width)) as u32;
                prop_assert_eq!(reader.bits(*width), Some(expected));
            }
            prop_assert_eq!(reader.float(), Some(1.5));
            prop_assert!(reader.end().is_some());
        }
    }

    #[test]
    fn an_index_takes_the_bits_of_the_largest() {
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 256, 257].map(width),
            [0, 0, 1, 2, 2, 3, 8, 9]
        );
    }

    #[test]
    fn nothing_is_read_past_the_end() {
        let mut reader = Reader::new(&[7]);
        assert_eq!(reader.bits(9), None);
        assert_eq!(Reader::new(&[0; 3]).float(), None);
        assert!(Reader::new(&[0]).end().is_none());
    }
}
