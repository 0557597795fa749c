//! Parameters of which only those under a mask travel.

use crate::method::value_mask::ValueMask;
use crate::model::{Buffer, ParamError, ParamSet};
use crate::snapshot::snapshot_struct;

/// Parameters under a mask, which are zero outside it; a clone shares both.
#[derive(Debug, Clone)]
pub struct Masked {
    values: ParamSet,
    mask: ValueMask,
}

snapshot_struct!(Masked { values, mask });

impl Masked {
    /// The values where `mask` keeps them, and zero elsewhere.
    ///
    /// # Errors
    /// When values and mask have different lengths, or there is too little memory for a copy.
    pub fn new(values: ParamSet, mask: ValueMask) -> Result<Self, ParamError> {
        if values.len() != mask.total() {
            return Err(ParamError::Length {
                expected: values.len(),
                found: mask.total(),
            });
        }
        if mask.is_all() {
            return Ok(Self { values, mask });
        }
        let mut buffer: Buffer = values.into_buffer()?;
        for (value, kept) in buffer.as_mut_slice()?.iter_mut().zip(&**mask.kept()) {
            if !kept {
                *value = 0.0;
            }
        }
        Ok(Self {
            values: buffer.freeze(),
            mask,
        })
    }

    /// All parameters, zero outside the mask.
    pub const fn values(&self) -> &ParamSet {
        &self.values
    }

    /// This payload with the values replaced by the result of `f`, which keeps the values but may
    /// store them elsewhere.
    pub(super) fn map_values(self, f: &mut impl FnMut(ParamSet) -> ParamSet) -> Self {
        Self {
            values: f(self.values),
            mask: self.mask,
        }
    }

    /// The mask, which says which parameters are kept.
    pub const fn mask(&self) -> &ValueMask {
        &self.mask
    }

    /// The bytes on the wire: four for each value under the mask, and those of the mask.
    pub(super) fn wire_bytes(&self) -> u64 {
        4 * self.mask.count() as u64 + self.mask.wire_bytes().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{layout, set};
    use crate::method::Payload;

    fn masked(kept: [bool; 6]) -> Payload {
        let values = set(&layout(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        Payload::Masked(Masked::new(values, ValueMask::of_values(kept.to_vec())).unwrap())
    }

    #[test]
    fn only_values_under_the_mask_travel_with_the_shorter_form_of_the_mask() {
        let bytes = |kept| masked(kept).wire_bytes().0;
        // Six flags are a byte; that all are there needs saying only once.
        assert_eq!(bytes([true; 6]), 8 + 24);
        assert_eq!(bytes([true, false, true, true, false, true]), 8 + 16 + 1);
        assert_eq!(bytes([false; 6]), 8);
        // One value of 64: an index is shorter than 8 bytes of flags.
        let one = |at: usize| (0..64).map(|i| i == at).collect::<Vec<bool>>();
        assert_eq!(ValueMask::of_values(one(9)).wire_bytes().0, 4);
    }

    /// As where what clients keep goes to disk and comes back.
    #[test]
    fn values_can_be_replaced_wherever_they_stand_in_a_message_and_the_mask_stays() {
        let kept = [true, false, true, false, true, false];
        let doubled = |set: ParamSet| {
            let twice: Vec<f32> = set.as_slice().unwrap().iter().map(|v| 2.0 * v).collect();
            ParamSet::from_slice(set.layout(), &twice).unwrap()
        };
        let bundle = Payload::bundle([masked(kept), Payload::Indices([3].into())]);
        let mapped = bundle.map_sets(&mut { doubled });
        let [now, indices] = mapped.as_parts().unwrap();
        let now = now.as_masked(&layout()).unwrap();
        let values = now.values().as_slice().unwrap();
        assert_eq!(values, [2.0, 0.0, 6.0, 0.0, 10.0, 0.0]);
        assert_eq!(**now.mask().kept(), kept);
        assert_eq!(indices.digest(), Payload::Indices([3].into()).digest());
    }

    #[test]
    fn what_is_masked_is_gone() {
        let sent = masked([true, false, true, false, true, false]);
        let sent = sent.as_masked(&layout()).unwrap();
        assert_eq!(
            sent.values().as_slice().unwrap(),
            [1.0, 0.0, 3.0, 0.0, 5.0, 0.0]
        );
        let short = ValueMask::of_values(vec![true; 5]);
        assert!(Masked::new(set(&layout(), &[0.0; 6]), short).is_err());
    }

    #[test]
    fn another_value_or_mask_is_another_digest() {
        let a = masked([true, true, true, true, true, false]);
        let b = masked([true, true, true, true, false, true]);
        assert_ne!(a.digest(), b.digest());
        assert_ne!(a.digest(), masked([true; 6]).digest());
        let plain = Payload::Model(set(&layout(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_ne!(masked([true; 6]).digest(), plain.digest());
    }
}
