//! Payloads that a fault has changed.

use super::Payload;
use crate::fault::Corruption;
use crate::model::{ParamError, ParamSet};
use crate::sim::rng::{below, Stream};

impl Payload {
    /// The largest magnitude of the parameters and scalars in the payload; NaN if one of them is
    /// NaN.
    pub fn largest(&self) -> f64 {
        // Values that cannot be read cause an error where they are used.
        let of = |set: &ParamSet| set.largest().map_or(0.0, f64::from);
        // NaN counts as largest; `f64::max` would drop it.
        let max = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
        match self {
            Self::Model(set) | Self::Update(set) => of(set),
            Self::Masked(masked) => of(masked.values()),
            Self::Bundle(parts) => parts.iter().map(Self::largest).fold(0.0, max),
            Self::Scalars(numbers) => numbers.iter().map(|number| number.abs()).fold(0.0, max),
            // Packed parameters are checked when they are unpacked.
            Self::Nothing
            | Self::Mask(_)
            | Self::Indices(_)
            | Self::Scores(_)
            | Self::Samples(_)
            | Self::Coded(_)
            | Self::Packet(_)
            | Self::Blank(_) => 0.0,
        }
    }

    /// This payload with its content changed on the way. If a payload without parameters is cut,
    /// nothing is left of it; its single bits are not modelled, so flipping them has no effect.
    pub fn corrupted(self, how: Corruption, rng: &mut Stream) -> Self {
        match how {
            Corruption::Truncate => self.shortened(),
            Corruption::Flip(bits) => self.with_values(&mut |values| {
                for _ in 0..bits {
                    let place = below(rng, values.len() as u64) as usize;
                    let bit = below(rng, 32) as u32;
                    if let Some(value) = values.get_mut(place) {
                        *value = f32::from_bits(value.to_bits() ^ 1 << bit);
                    }
                }
            }),
        }
    }

    /// This payload with its last value missing; an empty payload if it has no parameters.
    pub fn shortened(self) -> Self {
        let mut found = false;
        let short = self.map_sets(&mut |set| {
            found = true;
            set.cut(set.len().saturating_sub(1)).unwrap_or(set)
        });
        if found {
            short
        } else {
            Self::Nothing
        }
    }

    /// This payload with the values of every parameter set changed, in a copy.
    pub fn with_values(self, change: &mut impl FnMut(&mut [f32])) -> Self {
        self.map_sets(&mut |set| {
            let changed: Result<ParamSet, ParamError> =
                set.clone().into_buffer().and_then(|mut buffer| {
                    change(buffer.as_mut_slice()?);
                    Ok(buffer.freeze())
                });
            // If there is no memory for a copy, or the values cannot be read, the set stays
            // unchanged.
            changed.unwrap_or(set)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{layout, set};
    use crate::sim::rng::{stream, Purpose};

    fn model() -> Payload {
        Payload::Model(set(&layout(), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    }

    #[test]
    fn a_flipped_bit_changes_one_value_and_only_in_the_copy() {
        let original = model();
        let mut rng = stream(1, 2, Purpose::Fault, 3);
        let flipped = original.clone().corrupted(Corruption::Flip(1), &mut rng);
        let bits = |payload: &Payload| -> Vec<u32> {
            let values = payload.as_model().unwrap().as_slice().unwrap();
            values.iter().map(|value| value.to_bits()).collect()
        };
        let apart: u32 = bits(&original)
            .iter()
            .zip(bits(&flipped))
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        assert_eq!(apart, 1);
        assert_ne!(original.digest(), flipped.digest());
    }

    #[test]
    fn what_is_cut_fits_no_network_and_weighs_less() {
        let cut = model().corrupted(Corruption::Truncate, &mut stream(1, 2, Purpose::Fault, 3));
        assert_eq!(cut.wire_bytes().0 + 4, model().wire_bytes().0);
        assert!(cut.as_model().unwrap().has_layout(&layout()).is_err());
        assert_eq!(Payload::scalars([1.0]).shortened().kind(), "nothing");
    }

    #[test]
    fn a_single_value_that_is_no_number_is_found_in_any_part() {
        let spoilt = model().with_values(&mut |values| values[4] = f32::NAN);
        assert_eq!(model().largest(), 6.0);
        assert!(spoilt.largest().is_nan());
        assert!(Payload::bundle([model(), spoilt, model()])
            .largest()
            .is_nan());
        assert_eq!(
            Payload::scalars([0.0, f64::NEG_INFINITY]).largest(),
            f64::INFINITY
        );
    }
}
