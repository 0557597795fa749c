//! Dropout masks from the engine's own streams.

use super::Fresh;
use crate::sim::rng::{stream, Purpose, Stream};
use rand::Rng;
use std::ops::Range;
use tch::{Device, TchError, Tensor};

/// Where dropout gets its masks: one stream, read in the order of the layers.
///
/// Torch's generator is never asked, so a mask depends only on the stream's name.
#[derive(Debug, Clone)]
pub struct MaskSource {
    stream: Stream,
    /// The batch that is cut, and the rows whose masks are wanted.
    part: Option<(usize, Range<usize>)>,
}

impl MaskSource {
    /// Masks for local training of `client` in `round`.
    pub fn new(seed: u64, client: u64, round: u64) -> Self {
        Self {
            stream: stream(seed, client, Purpose::Dropout, round),
            part: None,
        }
    }

    /// This source, giving `rows` of the masks of a batch of `batch` samples: those that the whole
    /// batch would get.
    pub(crate) fn of_part(&self, batch: usize, rows: Range<usize>) -> Self {
        Self {
            stream: self.stream.clone(),
            part: Some((batch, rows)),
        }
    }

    /// This source, for whole batches again.
    pub(crate) fn of_whole(self) -> Self {
        Self { part: None, ..self }
    }

    /// A mask of `shape`, drawn in row-major order: 0 with probability `threshold`/65536, else the
    /// factor that keeps the mean at 1.
    ///
    /// # Errors
    /// What torch says when it cannot allocate.
    pub fn mask(
        &mut self,
        shape: &[i64],
        threshold: u16,
        device: Device,
    ) -> Result<Tensor, TchError> {
        let mut whole = shape.to_vec();
        if let (Some((batch, _)), Some(rows)) = (&self.part, whole.first_mut()) {
            *rows = *batch as i64;
        }
        let mut mask = Fresh::unwritten(&whole)?;
        self.fill(mask.values()?, threshold);
        let mask = mask.into_tensor();
        let mask = match &self.part {
            Some((_, rows)) => mask.f_narrow(0, rows.start as i64, rows.len() as i64)?,
            None => mask,
        };
        mask.f_to_device(device)
    }

    /// As [`Self::mask`], into memory of the caller's.
    pub(crate) fn fill(&mut self, values: &mut [f32], threshold: u16) {
        let kept = 65536.0 / (65536.0 - f32::from(threshold));
        for four in values.chunks_mut(4) {
            let word = self.stream.next_u64();
            for (i, value) in four.iter_mut().enumerate() {
                let draw = (word >> (16 * i)) as u16;
                *value = if draw >= threshold { kept } else { 0.0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_drops_its_share_and_keeps_the_mean() {
        let mut values = vec![0.0f32; 40_000];
        MaskSource::new(1, 2, 3).fill(&mut values, 16384);
        let dropped = values.iter().filter(|&&v| v == 0.0).count();
        // Four standard deviations of a binomial(40000, 1/4) are 346.
        assert!((9_654..=10_346).contains(&dropped), "{dropped}");
        assert!(values.iter().all(|&v| v == 0.0 || v == 4.0 / 3.0));
    }

    #[test]
    fn a_mask_without_values_is_empty_and_takes_nothing_from_the_stream() {
        let mut source = MaskSource::new(1, 2, 3);
        for shape in [&[0i64, 7][..], &[3, 0], &[0]] {
            let mask = source.mask(shape, 16384, Device::Cpu).unwrap();
            assert_eq!((mask.size().as_slice(), mask.numel()), (shape, 0));
        }
        let mut untouched = MaskSource::new(1, 2, 3);
        let next = |source: &mut MaskSource| source.mask(&[9], 16384, Device::Cpu).unwrap();
        assert_eq!(next(&mut source), next(&mut untouched));
    }

    #[test]
    fn parts_of_a_batch_get_the_masks_of_the_whole() {
        let draw = |source: &mut MaskSource, rows| {
            // Two layers, of 6 and of 3 values a sample.
            let masks = [[rows, 2, 3], [rows, 3, 1]];
            masks.map(|shape| source.mask(&shape, 20_000, Device::Cpu).unwrap())
        };
        let before = MaskSource::new(4, 5, 6);
        let mut whole = before.clone();
        let expected = draw(&mut whole, 7);
        let mut ended = before.clone();
        for rows in [0..3, 3..6, 6..7] {
            ended = before.of_part(7, rows.clone());
            let (from, count) = (rows.start as i64, rows.len() as i64);
            for (part, all) in draw(&mut ended, count).iter().zip(&expected) {
                assert_eq!(*part, all.narrow(0, from, count));
            }
        }
        // And what comes after is the same, too.
        assert_eq!(draw(&mut ended.of_whole(), 2), draw(&mut whole, 2));
    }

    #[test]
    fn masks_repeat_with_their_name_and_differ_between_names() {
        let draw = |client, round| {
            let mut values = [0.0f32; 64];
            MaskSource::new(9, client, round).fill(&mut values, 32768);
            values
        };
        assert_eq!(draw(1, 1), draw(1, 1));
        assert_ne!(draw(1, 1), draw(2, 1));
        assert_ne!(draw(1, 1), draw(1, 2));
    }
}
