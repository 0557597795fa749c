//! Public samples, and the class scores that networks give for them.

use super::MethodError;
use crate::learn::Samples;
use crate::quantity::Bytes;
use crate::sim::mix_words;
use crate::snapshot::snapshot_struct;
use std::sync::Arc;

/// The class scores of some samples; a clone shares both lists.
#[derive(Debug, Clone)]
pub struct Scores {
    indices: Arc<[u32]>,
    values: Arc<[f32]>,
}

/// Samples that are sent themselves. In the simulation, every node finds them in the shared data
/// set, so only their size travels.
#[derive(Debug, Clone)]
pub struct PublicSamples {
    /// The samples.
    pub samples: Samples,
    /// Their bytes on the wire, with labels.
    pub bytes: Bytes,
}

snapshot_struct!(Scores { indices, values });
snapshot_struct!(PublicSamples { samples, bytes });

impl Scores {
    /// The scores of `classes` classes for each of the samples `indices`, sample after sample.
    ///
    /// # Errors
    /// When the number of scores is not samples times classes.
    pub fn new(
        indices: Arc<[u32]>,
        values: impl Into<Arc<[f32]>>,
        classes: usize,
    ) -> Result<Self, MethodError> {
        let values = values.into();
        let expected = indices.len() * classes;
        if values.len() != expected {
            return Err(MethodError::count("list of scores", expected, values.len()));
        }
        Ok(Self { indices, values })
    }

    /// The numbers of the samples.
    pub const fn indices(&self) -> &Arc<[u32]> {
        &self.indices
    }

    /// The scores, sample after sample.
    pub const fn values(&self) -> &Arc<[f32]> {
        &self.values
    }

    /// The scores, if they belong to `indices` in that order, with `classes` scores each, and all
    /// of them are numbers.
    ///
    /// # Errors
    /// The value that was expected and the one that was found.
    pub fn of(&self, indices: &[u32], classes: usize) -> Result<&[f32], MethodError> {
        if *self.indices != *indices {
            return Err(MethodError::Payload {
                expected: "scores of the samples that were asked for",
                found: "scores of others",
            });
        }
        let expected = indices.len() * classes;
        if self.values.len() != expected {
            let found = self.values.len();
            return Err(MethodError::count("list of scores", expected, found));
        }
        match self.values.iter().find(|value| !value.is_finite()) {
            Some(&bad) => Err(MethodError::Number {
                what: "a score",
                expected: "finite",
                found: f64::from(bad),
            }),
            None => Ok(&self.values),
        }
    }

    pub(super) fn wire_bytes(&self) -> Bytes {
        Bytes(4 * (self.indices.len() + self.values.len()) as u64)
    }

    pub(super) fn digest(&self) -> u64 {
        let bits = self.values.iter().map(|value| value.to_bits());
        mix_words(&[digest(&self.indices), words(bits)])
    }
}

/// A digest of 64 bits of a list of numbers.
pub(super) fn digest(numbers: &[u32]) -> u64 {
    words(numbers.iter().copied())
}

fn words(numbers: impl Iterator<Item = u32>) -> u64 {
    let words: Vec<u64> = numbers.map(u64::from).collect();
    mix_words(&words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::Payload;

    fn scores(indices: &[u32], values: &[f32]) -> Scores {
        Scores::new(indices.into(), values, 2).unwrap()
    }

    #[test]
    fn scores_take_four_bytes_each_and_their_indices_too() {
        let payload = Payload::Scores(scores(&[7, 3, 9], &[0.5; 6]));
        assert_eq!(payload.wire_bytes().0, 8 + 3 * 4 + 6 * 4);
        assert_eq!(Payload::Indices([1, 2, 3].into()).wire_bytes().0, 8 + 3 * 4);
        let sent = PublicSamples {
            samples: vec![4, 5].into(),
            bytes: Bytes(26),
        };
        assert_eq!(Payload::Samples(sent).wire_bytes().0, 8 + 26);
    }

    #[test]
    fn another_index_score_or_kind_is_another_digest() {
        let all = [
            Payload::Scores(scores(&[1, 2], &[0.0, 1.0, 2.0, 3.0])),
            Payload::Scores(scores(&[1, 3], &[0.0, 1.0, 2.0, 3.0])),
            Payload::Scores(scores(&[1, 2], &[0.0, 1.0, 2.0, -3.0])),
            Payload::Indices([1, 2].into()),
            Payload::Indices([2, 1].into()),
            Payload::Samples(PublicSamples {
                samples: vec![1, 2].into(),
                bytes: Bytes(9),
            }),
        ];
        let digests: Vec<u64> = all.iter().map(Payload::digest).collect();
        for (i, digest) in digests.iter().enumerate() {
            assert!(!digests[..i].contains(digest), "{i}");
        }
    }

    #[test]
    fn scores_of_other_samples_of_another_number_or_no_numbers_are_refused() {
        let told = scores(&[1, 2], &[0.0, 1.0, 2.0, f32::NAN]);
        assert_eq!(
            told.of(&[2, 1], 2).unwrap_err().to_string(),
            "expected scores of the samples that were asked for, got scores of others"
        );
        assert_eq!(
            told.of(&[1, 2], 3).unwrap_err().to_string(),
            "expected 6 in the list of scores, got 4"
        );
        assert_eq!(
            told.of(&[1, 2], 2).unwrap_err().to_string(),
            "expected a score to be finite, got NaN"
        );
        let error = Scores::new([1].into(), [0.5f32; 3], 2).unwrap_err();
        assert_eq!(error.to_string(), "expected 2 in the list of scores, got 3");
    }
}
