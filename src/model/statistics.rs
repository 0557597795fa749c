//! What the batch normalisations of a network get, measured over any number of batches.

use crate::sim::mix_words;
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;
use tch::{Kind, TchError, Tensor};

/// Sums per channel, in double precision, by the entries of the layout that they are for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Statistics {
    sums: BTreeMap<usize, Vec<f64>>,
    counts: BTreeMap<usize, f64>,
}

snapshot_struct!(Statistics { sums, counts });

impl Statistics {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a batch `[samples, channels, height, width]`: its values for entry `mean`, their squares
    /// for entry `square`.
    pub(super) fn add(&mut self, mean: usize, square: usize, x: &Tensor) -> Result<(), TchError> {
        let x = x.f_to_kind(Kind::Double)?;
        let channels = x.size().get(1).copied().unwrap_or(0);
        let count = x.numel() as f64 / channels.max(1) as f64;
        let places = [0i64, 2, 3];
        for (entry, values) in [(mean, x.shallow_clone()), (square, x.f_square()?)] {
            let sums = values.f_sum_dim_intlist(places.as_slice(), false, Kind::Double)?;
            let sums = sums.f_to_device(tch::Device::Cpu)?;
            let mut here = vec![0.0; sums.numel()];
            sums.f_copy_data(&mut here, sums.numel())?;
            let total = self
                .sums
                .entry(entry)
                .or_insert_with(|| vec![0.0; here.len()]);
            total
                .iter_mut()
                .zip(here)
                .for_each(|(total, sum)| *total += sum);
            *self.counts.entry(entry).or_insert(0.0) += count;
        }
        Ok(())
    }

    /// Adds the sums of other batches. Sums of parts that are added in a fixed order have the same bits
    /// whoever computed the parts.
    pub fn merge(&mut self, other: &Self) {
        for (entry, sums) in &other.sums {
            let total = self.sums.entry(*entry).or_default();
            total.resize(total.len().max(sums.len()), 0.0);
            total
                .iter_mut()
                .zip(sums)
                .for_each(|(total, sum)| *total += sum);
        }
        for (entry, count) in &other.counts {
            *self.counts.entry(*entry).or_insert(0.0) += count;
        }
    }

    /// A digest of the sums, in 64 bits.
    pub fn digest(&self) -> u64 {
        let sums = self.sums.iter().flat_map(|(entry, sums)| {
            std::iter::once(*entry as u64).chain(sums.iter().map(|sum| sum.to_bits()))
        });
        let counts = self.counts.values().map(|count| count.to_bits());
        mix_words(&sums.chain(counts).collect::<Vec<u64>>())
    }

    /// Writes the means into the entries that they are for; `views` has one tensor per entry of the
    /// layout.
    ///
    /// # Errors
    /// What torch says.
    pub(crate) fn write(&self, views: &mut [Tensor]) -> Result<(), TchError> {
        for (entry, sums) in &self.sums {
            let Some(view) = views.get_mut(*entry) else {
                continue;
            };
            let count = self.counts.get(entry).copied().unwrap_or(0.0).max(1.0);
            let means: Vec<f32> = sums.iter().map(|sum| (sum / count) as f32).collect();
            view.f_copy_(&Tensor::f_from_slice(&means)?)?;
        }
        Ok(())
    }
}
