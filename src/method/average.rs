//! Weighted sums and means of parameter sets, added one at a time.

use crate::model::{Buffer, Layout, ParamError, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The weight of a client's report in a mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Weighting {
    /// The number of training samples of the client (McMahan et al., 2017).
    #[default]
    Samples,
    /// One: all reports have equal weight.
    Uniform,
}

impl Weighting {
    /// The weight of a report on `samples` samples.
    pub fn of(self, samples: u32) -> f64 {
        match self {
            Self::Samples => f64::from(samples),
            Self::Uniform => 1.0,
        }
    }
}

/// A running weighted sum `Σ w·x` together with `Σ w`. It keeps one vector, and those added last as
/// far as they fit a fixed amount of memory, since summing several vectors in one pass is faster.
#[derive(Debug)]
pub struct WeightedSum {
    layout: Arc<Layout>,
    sum: Option<Buffer>,
    /// The vectors that are not yet in `sum`; they are added after it, in this order.
    pending: Vec<(f32, ParamSet)>,
    weight: f64,
}

/// The bytes of vectors that may wait to be added.
const PENDING: u64 = 8 << 20;

impl WeightedSum {
    /// An empty sum of sets with the layout of `set`.
    pub fn like(set: &ParamSet) -> Self {
        Self {
            layout: Arc::clone(set.layout()),
            sum: None,
            pending: Vec::new(),
            weight: 0.0,
        }
    }

    /// Adds `set` with `weight`.
    ///
    /// # Errors
    /// When `set` has another layout; nothing is added then.
    pub fn add(&mut self, set: &ParamSet, weight: f64) -> Result<(), ParamError> {
        set.has_layout(&self.layout)?;
        match &mut self.sum {
            Some(sum) => {
                // A set that cannot be read is an error now, not only when the sum is taken.
                set.as_slice()?;
                self.pending.push((weight as f32, set.clone()));
                let held = self.pending.len() as u64 * self.layout.bytes().0;
                if held >= PENDING {
                    sum.add_all(&self.pending)?;
                    self.pending.clear();
                }
            }
            None => {
                let mut first = Buffer::copy_of(set)?;
                if weight != 1.0 {
                    first.scale(weight as f32)?;
                }
                self.sum = Some(first);
            }
        }
        self.weight += weight;
        Ok(())
    }

    /// Takes `Σ w·x` as a buffer, and `Σ w`, for callers that divide in a pass of their own; the
    /// sum is then empty. `None` if nothing with a weight above 0 was added.
    ///
    /// # Errors
    /// The errors of torch.
    pub fn take(&mut self) -> Result<Option<(Buffer, f64)>, ParamError> {
        let weight = std::mem::take(&mut self.weight);
        let pending = std::mem::take(&mut self.pending);
        let Some(mut sum) = self.sum.take().filter(|_| weight > 0.0) else {
            return Ok(None);
        };
        sum.add_all(&pending)?;
        Ok(Some((sum, weight)))
    }

    /// Takes the mean `Σ w·x / Σ w`; the sum is then empty. `None` if nothing with a weight above 0
    /// was added.
    ///
    /// # Errors
    /// The errors of torch.
    pub fn take_mean(&mut self) -> Result<Option<Buffer>, ParamError> {
        let Some((mut sum, weight)) = self.take()? else {
            return Ok(None);
        };
        sum.scale((1.0 / weight) as f32)?;
        Ok(Some(sum))
    }

    /// The number of values of each set.
    pub fn len(&self) -> usize {
        self.layout.total()
    }

    /// Whether the sets have no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the sum to a checkpoint, with pending vectors in the order in which they will be
    /// added.
    pub fn save(&self, to: &mut Writer) {
        self.sum.save(to);
        self.pending.save(to);
        self.weight.save(to);
    }

    /// Reads the sum that [`Self::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a sum of sets with this layout.
    pub fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.sum = Snapshot::load(from)?;
        self.pending = Snapshot::load(from)?;
        self.weight = Snapshot::load(from)?;
        let strange = |layout: &Arc<Layout>| **layout != *self.layout;
        let pending = self.pending.iter().any(|(_, set)| strange(set.layout()));
        if pending || self.sum.as_ref().is_some_and(|sum| strange(sum.layout())) {
            return Err(Damaged::new("a sum of another network"));
        }
        Ok(())
    }

    /// Empties the sum.
    pub fn clear(&mut self) {
        self.sum = None;
        self.pending.clear();
        self.weight = 0.0;
    }
}

/// The operations of adding one vector of `elements` values to a weighted sum: a multiplication and
/// an addition for each.
pub fn add_flops(elements: usize) -> Flops {
    Flops(2 * elements as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{layout, set};
    use crate::model::{LayerSpec, Model};
    use proptest::prelude::*;

    proptest! {
        /// The streamed single-precision mean is the double-precision mean, to rounding.
        #[test]
        fn the_mean_equals_a_float64_reference(
            clients in prop::collection::vec((prop::collection::vec(-10.0f32..10.0, 6), 1u32..5_000), 1..40),
        ) {
            let layout = layout();
            let mut sum = WeightedSum::like(&set(&layout, &[0.0; 6]));
            for (values, samples) in &clients {
                sum.add(&set(&layout, values), Weighting::Samples.of(*samples)).unwrap();
            }
            let got = sum.take_mean().unwrap().unwrap();
            let total: f64 = clients.iter().map(|(_, n)| f64::from(*n)).sum();
            for (i, got) in got.as_slice().unwrap().iter().enumerate() {
                let exact: f64 = clients.iter().map(|(v, n)| f64::from(v[i]) * f64::from(*n)).sum::<f64>() / total;
                prop_assert!((f64::from(*got) - exact).abs() < 1e-4, "{} against {}", got, exact);
            }
            prop_assert!(sum.take_mean().unwrap().is_none());
        }
    }

    #[test]
    fn nothing_added_is_no_mean() {
        let mut sum = WeightedSum::like(&set(&layout(), &[0.0; 6]));
        assert!(sum.take_mean().unwrap().is_none());
        sum.add(&set(&layout(), &[1.0; 6]), 0.0).unwrap();
        assert!(sum.take_mean().unwrap().is_none());
    }

    #[test]
    fn a_set_of_another_network_is_refused_even_as_the_first() {
        let mut sum = WeightedSum::like(&set(&layout(), &[0.0; 6]));
        let other = Model::build(&[LayerSpec::dense(3)], &[2], 3).unwrap();
        let stranger = set(other.layout(), &[1.0; 9]);
        assert_eq!(
            sum.add(&stranger, 1.0).unwrap_err().to_string(),
            "parameters of different layouts: expected 2 tensors with 6 values, got 2 tensors with \
             9 values; both must come from the same model"
        );
        sum.add(&set(&layout(), &[3.0; 6]), 2.0).unwrap();
        let mean = sum.take_mean().unwrap().unwrap();
        assert_eq!(mean.as_slice().unwrap(), [3.0; 6]);
    }
}
