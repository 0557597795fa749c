//! Sources that need no file: the embedded digits, and samples made from the seed.

use super::fifth;
use crate::data::classes::ClassNames;
use crate::data::dataset::{DataSummary, Split};
use crate::data::digits;
use crate::data::error::DataError;
use crate::data::noise::Noise;
use crate::data::source::{DataSource, Reading};
use crate::data::synthetic::{self, Generator};
use crate::text::fields::Fraction;
use serde::{Deserialize, Serialize};

/// The embedded UCI optical digits: 1,797 images of 8×8, 10 classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digits {}

impl DataSource for Digits {
    fn load(&self, _: Reading<'_>) -> Result<Split, DataError> {
        digits::load()
    }

    fn describe(&self, _: Reading<'_>) -> Result<DataSummary, DataError> {
        Ok(summary(
            &digits::SHAPE,
            digits::CLASSES,
            (digits::TRAIN, digits::TEST),
            None,
        ))
    }
}

/// Synthetic(α, β) of FedProx (Li et al. 2020, section 5.1): 60 features, 10 classes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Synthetic {
    /// The deviation of the means of the users' models: how much these models differ.
    pub alpha: f64,
    /// The deviation of the means of the users' features: how much these features differ.
    pub beta: f64,
    /// The number of natural users.
    pub users: usize,
    /// The number of samples of each user.
    pub samples: SampleCounts,
    /// Whether all users have one model and one distribution of features; α and β are then unused.
    pub iid: bool,
    /// The share of each user's samples that is for testing.
    pub test: Fraction,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 1.0,
            users: 30,
            samples: SampleCounts::FedProx,
            iid: false,
            test: fifth(),
        }
    }
}

impl Synthetic {
    fn generator(&self) -> Generator {
        Generator {
            alpha: self.alpha,
            beta: self.beta,
            users: self.users,
            samples: self.samples,
            iid: self.iid,
            test: self.test.0,
        }
    }
}

impl DataSource for Synthetic {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        self.generator().load(reading.seed)
    }

    fn describe(&self, reading: Reading<'_>) -> Result<DataSummary, DataError> {
        let counts = self.generator().counts(reading.seed)?;
        let train = counts.iter().map(|(train, _)| train).sum();
        let test = counts.iter().map(|(_, test)| test).sum();
        Ok(summary(
            &[synthetic::FEATURES],
            synthetic::CLASSES,
            (train, test),
            Some(counts.len()),
        ))
    }
}

/// The number of samples of each synthetic user.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum SampleCounts {
    /// The numbers of FedProx's generator: 50 + floor(lognormal(4, 2)).
    #[default]
    FedProx,
    /// One number for all users.
    Constant(usize),
    /// `least + floor(exp(N(log_mean, log_std²)))`.
    LogNormal {
        /// The mean of the logarithm.
        log_mean: f64,
        /// The standard deviation of the logarithm.
        log_std: f64,
        /// The number added to every draw.
        #[serde(default)]
        least: usize,
    },
}

/// Random normal features and uniform labels, from which nothing can be learned: for benchmarks, and for
/// tests of everything but accuracy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// The shape of one sample.
    pub shape: Vec<usize>,
    /// The number of classes.
    pub classes: usize,
    /// The number of training samples.
    pub train: usize,
    /// The number of test samples.
    pub test: usize,
    /// Whether features are bytes, which are scaled to about N(0, 1) on the device, and not
    /// single-precision numbers.
    #[serde(default)]
    pub bytes: bool,
}

impl Random {
    fn noise(&self) -> Noise<'_> {
        Noise {
            shape: &self.shape,
            classes: self.classes,
            train: self.train,
            test: self.test,
            bytes: self.bytes,
        }
    }
}

impl DataSource for Random {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        self.noise().load(reading.seed)
    }

    fn describe(&self, _: Reading<'_>) -> Result<DataSummary, DataError> {
        self.noise().check()?;
        let sizes = (self.train, self.test);
        Ok(summary(&self.shape, self.classes, sizes, None))
    }
}

fn summary(
    shape: &[usize],
    classes: usize,
    (train, test): (usize, usize),
    users: Option<usize>,
) -> DataSummary {
    DataSummary {
        shape: shape.to_vec(),
        classes,
        train,
        test,
        users,
        names: ClassNames::default(),
        notes: Vec::new(),
    }
}
