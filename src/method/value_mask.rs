//! Masks over the parameters of a network, and sums of networks with different masks.

use super::payload::Masked;
use crate::model::{Buffer, Layout, Model, ParamError, ParamSet};
use crate::quantity::Bytes;
use crate::sim::mix_words;
use crate::snapshot::snapshot_struct;
use std::sync::Arc;

/// For each unit of each set of a network, whether it is kept ([`crate::model::Units`]).
pub type UnitFlags = Vec<Vec<bool>>;

/// The mask of a pruned network: which parameters it keeps. A clone shares the flags.
#[derive(Debug, Clone)]
pub struct ValueMask {
    kept: Arc<[bool]>,
    count: usize,
    /// The units that the mask follows from, if it is a mask of whole units.
    units: Option<Arc<UnitFlags>>,
    described: Bytes,
}

snapshot_struct!(ValueMask {
    kept,
    count,
    units,
    described
});

/// The bytes that describe a mask: none if all values are kept; otherwise one bit for each value or
/// four bytes for each index, whichever is shorter. (Which of the three it is fits into a payload's
/// prefix.)
fn description(all: usize, kept: usize) -> Bytes {
    Bytes(match kept == all {
        true => 0,
        false => (all.div_ceil(8) as u64).min(4 * kept as u64),
    })
}

impl ValueMask {
    /// A mask that keeps all of `len` parameters.
    pub fn all(len: usize) -> Self {
        Self::of_values(vec![true; len])
    }

    /// A mask from one flag for each parameter.
    pub fn of_values(kept: impl Into<Arc<[bool]>>) -> Self {
        let kept = kept.into();
        let count = kept.iter().filter(|kept| **kept).count();
        Self {
            described: description(kept.len(), count),
            kept,
            count,
            units: None,
        }
    }

    /// A mask that keeps the parameters of `model` whose units, of rows and of columns, are kept.
    /// Units without a flag are kept.
    pub fn of_units(model: &Model, units: UnitFlags) -> Self {
        let mut kept = Vec::with_capacity(model.parameters());
        let has = |set: usize, unit: usize| -> bool {
            let flags = units.get(set).and_then(|set| set.get(unit));
            flags.copied().unwrap_or(true)
        };
        let entries = model.layout().entries().iter().zip(model.units().entries());
        for (entry, of) in entries {
            let window: usize = entry.shape.iter().skip(2).product();
            let Some(columns) = of.columns else {
                let units = model.units().sets()[of.rows].size;
                for unit in 0..units {
                    kept.extend(std::iter::repeat_n(has(of.rows, unit), entry.len / units));
                }
                continue;
            };
            for row in 0..entry.shape.first().copied().unwrap_or(0) {
                let row_kept = has(of.rows, row);
                for column in 0..entry.shape.get(1).copied().unwrap_or(0) {
                    let flag = row_kept && has(columns.set, column / columns.each.max(1));
                    kept.extend(std::iter::repeat_n(flag, window));
                }
            }
        }
        let hidden = model.units().sets().iter().zip(&units);
        let hidden = hidden.filter(|(set, _)| !set.fixed);
        let flags: Vec<bool> = hidden
            .flat_map(|(_, flags)| flags.iter().copied())
            .collect();
        let of_them = flags.iter().filter(|kept| **kept).count();
        Self {
            described: description(flags.len(), of_them),
            units: Some(Arc::new(units)),
            ..Self::of_values(kept)
        }
    }

    /// One flag for each parameter.
    pub fn kept(&self) -> &Arc<[bool]> {
        &self.kept
    }

    /// The units that are kept, if the mask is one of whole units.
    pub fn units(&self) -> Option<&UnitFlags> {
        self.units.as_deref()
    }

    /// The number of parameters in the network.
    pub fn total(&self) -> usize {
        self.kept.len()
    }

    /// The number of parameters that are kept.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// Whether nothing is pruned.
    pub fn is_all(&self) -> bool {
        self.count == self.total()
    }

    /// Whether every parameter that this mask keeps is also kept by `other`.
    pub fn within(&self, other: &Self) -> bool {
        self.total() == other.total() && self.kept.iter().zip(&*other.kept).all(|(a, b)| !a | b)
    }

    /// The mask of the parameters that both masks keep.
    pub fn and(&self, other: &Self) -> Self {
        let both = self.kept.iter().zip(&*other.kept).map(|(a, b)| a & b);
        Self::of_values(both.collect::<Vec<bool>>())
    }

    /// The bytes that describe the mask on the wire.
    pub const fn wire_bytes(&self) -> Bytes {
        self.described
    }

    /// The factors on gradients: one for each parameter that is kept, and zero for the others.
    ///
    /// # Errors
    /// When the mask does not belong to a network with `layout`.
    pub fn factors(&self, layout: &Arc<Layout>) -> Result<ParamSet, ParamError> {
        let values: Vec<f32> = self.kept.iter().map(|&kept| f32::from(kept)).collect();
        ParamSet::from_slice(layout, &values)
    }

    pub(super) fn digest(&self) -> u64 {
        let word = |bits: &[bool]| bits.iter().fold(1u64, |w, &bit| w << 1 | u64::from(bit));
        let words: Vec<u64> = self.kept.chunks(63).map(word).collect();
        mix_words(&words)
    }
}

/// A running weighted sum of networks with different masks. It keeps two vectors, however many
/// networks are added.
#[derive(Debug)]
pub(super) struct MaskedSum {
    layout: Arc<Layout>,
    sums: Option<(Buffer, Buffer)>,
}

impl MaskedSum {
    /// An empty sum of networks with `layout`.
    pub const fn new(layout: Arc<Layout>) -> Self {
        Self { layout, sums: None }
    }

    /// Adds the values that `masked` keeps, with `weight`.
    ///
    /// # Errors
    /// When `masked` belongs to another network; nothing is added then.
    pub fn add(&mut self, masked: &Masked, weight: f64) -> Result<(), ParamError> {
        masked.values().has_layout(&self.layout)?;
        let values = masked.values().as_slice()?;
        let zeros = || Buffer::zeros(Arc::clone(&self.layout), tch::Device::Cpu);
        let (sum, weights) = match &mut self.sums {
            Some((sum, weights)) => (sum, weights),
            empty => {
                let (sum, weights) = empty.insert((zeros()?, zeros()?));
                (sum, weights)
            }
        };
        let weight = weight as f32;
        // Values outside the mask are zero already.
        for (sum, value) in sum.as_mut_slice()?.iter_mut().zip(values) {
            *sum += weight * value;
        }
        for (total, &kept) in weights
            .as_mut_slice()?
            .iter_mut()
            .zip(&**masked.mask().kept())
        {
            *total += weight * f32::from(kept);
        }
        Ok(())
    }

    /// The mean of each value over the networks that keep it (the value of `previous` where none
    /// does), and for each value whether any network keeps it. The sum is then empty. `None` if
    /// nothing was added.
    ///
    /// # Errors
    /// When `previous` belongs to another network.
    pub fn take_mean(
        &mut self,
        previous: &ParamSet,
    ) -> Result<Option<(ParamSet, ValueMask)>, ParamError> {
        let Some((mut sum, weights)) = self.sums.take() else {
            return Ok(None);
        };
        let weights = weights.freeze();
        Buffer::elementwise(
            [&mut sum],
            [&weights, previous],
            |[sum], [weight, before]| [if weight > 0.0 { sum / weight } else { before }],
        )?;
        let held = weights.as_slice()?.iter().map(|&weight| weight > 0.0);
        let held = ValueMask::of_values(held.collect::<Vec<bool>>());
        Ok(Some((sum.freeze(), held)))
    }

    /// Empties the sum.
    pub fn clear(&mut self) {
        self.sums = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::narrow::{places, HIDDEN};
    use crate::method::testing::{layout, set, CLASSES, INPUTS};
    use crate::model::LayerSpec;
    use proptest::prelude::*;

    #[test]
    fn a_mask_of_units_keeps_their_rows_and_their_columns() {
        let layers = [
            LayerSpec::dense(HIDDEN),
            LayerSpec::Relu,
            LayerSpec::dense(CLASSES),
        ];
        let model = Model::build(&layers, &[INPUTS], CLASSES).unwrap();
        let flags = vec![
            vec![true; INPUTS],
            vec![true, false, false, true],
            vec![true; CLASSES],
        ];
        let mask = ValueMask::of_units(&model, flags);
        let expected = places(&[0, 3]);
        for (place, &kept) in mask.kept().iter().enumerate() {
            assert_eq!(kept, expected.contains(&place), "{place}");
        }
        assert_eq!(mask.count(), expected.len());
        // Four hidden units are four bits.
        assert_eq!(mask.wire_bytes().0, 1);
    }

    #[test]
    fn a_channel_takes_its_window_and_what_flattening_made_of_it() {
        let layers = [
            LayerSpec::conv(2, 2, 0),
            LayerSpec::GroupNorm { groups: 1 },
            LayerSpec::Flatten,
            LayerSpec::dense(3),
        ];
        let model = Model::build(&layers, &[1, 3, 3], 3).unwrap();
        let flags = vec![vec![true], vec![false, true], vec![true; 3]];
        let mask = ValueMask::of_units(&model, flags);
        let kept = |entry: usize| {
            let entry = &model.layout().entries()[entry];
            mask.kept()[entry.offset..entry.offset + entry.len].to_vec()
        };
        let half = [vec![false; 4], vec![true; 4]].concat();
        assert_eq!(kept(0), half);
        // Bias, scale and shift: one a channel.
        for vector in 1..4 {
            assert_eq!(kept(vector), [false, true]);
        }
        assert_eq!(kept(4), [half.clone(), half.clone(), half].concat());
        assert_eq!(kept(5), [true; 3]);
    }

    #[test]
    fn masks_can_be_compared_and_met() {
        let mask = |kept: &[bool]| ValueMask::of_values(kept.to_vec());
        let (a, b) = (mask(&[true, true, false]), mask(&[true, false, false]));
        assert!(b.within(&a) && !a.within(&b) && a.within(&a));
        assert!(!a.within(&mask(&[true; 4])));
        assert_eq!(
            **a.and(&mask(&[false, true, true])).kept(),
            [false, true, false]
        );
        let factors = a.factors(&layout());
        assert!(factors.is_err(), "three flags for six values");
    }

    proptest! {
        /// What nobody holds stays as it was.
        #[test]
        fn the_mean_over_holders_is_that_of_double_precision(
            clients in prop::collection::vec(
                (prop::collection::vec((-10.0f32..10.0, any::<bool>()), 6), 1u32..5_000), 1..12),
        ) {
            let layout = layout();
            let previous = set(&layout, &[0.5, 1.5, 2.5, 3.5, 4.5, 5.5]);
            let mut sum = MaskedSum::new(Arc::clone(&layout));
            for (values, samples) in &clients {
                let kept: Vec<bool> = values.iter().map(|v| v.1).collect();
                let values: Vec<f32> = values.iter().map(|v| v.0).collect();
                let masked = Masked::new(set(&layout, &values), ValueMask::of_values(kept)).unwrap();
                sum.add(&masked, f64::from(*samples)).unwrap();
            }
            let (mean, held) = sum.take_mean(&previous).unwrap().unwrap();
            for i in 0..6 {
                let holders: Vec<(f64, f64)> = clients.iter().filter(|(v, _)| v[i].1)
                    .map(|(v, n)| (f64::from(v[i].0), f64::from(*n))).collect();
                let weight: f64 = holders.iter().map(|h| h.1).sum();
                let exact = match weight > 0.0 {
                    true => holders.iter().map(|h| h.0 * h.1).sum::<f64>() / weight,
                    false => i as f64 + 0.5,
                };
                let got = f64::from(mean.as_slice().unwrap()[i]);
                prop_assert!((got - exact).abs() < 1e-4, "{} against {}", got, exact);
                prop_assert_eq!(held.kept()[i], weight > 0.0);
            }
            prop_assert!(sum.take_mean(&previous).unwrap().is_none());
        }
    }
}
