//! Weighted means of parameter sets, one at a time.

use crate::model::{Buffer, ParamError, ParamSet};
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};

/// How much a client's report counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Weighting {
    /// By its number of training samples (McMahan et al., 2017).
    #[default]
    Samples,
    /// All alike.
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

/// A running weighted mean: `Σ w·x / Σ w`. Holds one vector, however many are added.
#[derive(Debug, Default)]
pub struct WeightedMean {
    sum: Option<Buffer>,
    weight: f64,
}

impl WeightedMean {
    /// Adds `set` with `weight`.
    ///
    /// # Errors
    /// When `set` is of another shape than those before it.
    pub fn add(&mut self, set: &ParamSet, weight: f64) -> Result<(), ParamError> {
        match &mut self.sum {
            Some(sum) => sum.add_scaled(weight as f32, set)?,
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

    /// The sum of the weights so far.
    pub const fn weight(&self) -> f64 {
        self.weight
    }

    /// `Σ w·x / divisor` as a buffer to go on with, and an empty mean for the next round; `None` if
    /// nothing was added.
    ///
    /// # Errors
    /// What torch says.
    pub fn take_over(&mut self, divisor: f64) -> Result<Option<Buffer>, ParamError> {
        self.weight = 0.0;
        let Some(mut sum) = self.sum.take() else {
            return Ok(None);
        };
        sum.scale((1.0 / divisor) as f32)?;
        Ok(Some(sum))
    }

    /// The mean, and an empty one for the next round; `None` if nothing of any weight was added.
    ///
    /// # Errors
    /// What torch says.
    pub fn take(&mut self) -> Result<Option<Buffer>, ParamError> {
        let weight = self.weight;
        if weight > 0.0 {
            self.take_over(weight)
        } else {
            self.clear();
            Ok(None)
        }
    }

    /// Forgets what was added.
    pub fn clear(&mut self) {
        self.sum = None;
        self.weight = 0.0;
    }
}

/// What adding one vector of `elements` to a weighted sum costs: a multiply and an add each.
pub fn add_flops(elements: usize) -> Flops {
    Flops(2 * elements as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{layout, set};
    use proptest::prelude::*;

    proptest! {
        /// The streamed single-precision mean is the double-precision mean, to rounding.
        #[test]
        fn the_mean_equals_a_float64_reference(
            clients in prop::collection::vec((prop::collection::vec(-10.0f32..10.0, 6), 1u32..5_000), 1..40),
        ) {
            let layout = layout();
            let mut mean = WeightedMean::default();
            for (values, samples) in &clients {
                mean.add(&set(&layout, values), Weighting::Samples.of(*samples)).unwrap();
            }
            let got = mean.take().unwrap().unwrap();
            let total: f64 = clients.iter().map(|(_, n)| f64::from(*n)).sum();
            for (i, got) in got.as_slice().unwrap().iter().enumerate() {
                let exact: f64 = clients.iter().map(|(v, n)| f64::from(v[i]) * f64::from(*n)).sum::<f64>() / total;
                prop_assert!((f64::from(*got) - exact).abs() < 1e-4, "{} against {}", got, exact);
            }
            prop_assert!(mean.take().unwrap().is_none());
        }
    }

    #[test]
    fn nothing_added_is_no_mean() {
        assert!(WeightedMean::default().take().unwrap().is_none());
    }
}
