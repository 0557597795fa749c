//! What a source of data is: the trait that all sources implement, and what several of them share.
//!
//! The sources themselves are in `sources`, one file for each family, and listed in `sources/registry`.

use super::classes::ClassCount;
use super::dataset::{DataSummary, Split};
use super::error::DataError;
use crate::quantity::Probability;
use crate::registry::Spec;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A source of samples by its name in a scenario, with its settings: `Mnist(dir: "data/mnist")`.
pub type Source = Spec<dyn DataSource>;

/// What a reading depends on beside the settings of the source.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// The seed, for generated samples and for the draw of test samples.
    pub seed: u64,
    /// The folder of the scenario file, to which relative paths are relative.
    pub base: &'a Path,
}

/// Everything that can be known of a source before learning begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The summary of the source, with remarks about what is probably not intended.
    pub shape: DataSummary,
    /// The classes, with the number of samples of each.
    pub classes: Vec<ClassCount>,
}

/// A source of samples. Its settings are the fields of the type, read as scenarios write them.
pub trait DataSource: Send + Sync {
    /// Reads all samples. With equal settings, files and `reading`, the samples and their order are equal.
    ///
    /// # Errors
    /// Returns a [`DataError`] for a file that is missing or not what it should be, for a setting out of
    /// its range, or for samples that break a rule of [`super::Dataset`].
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError>;

    /// The summary of what [`DataSource::load`] would return, found with as little reading as possible.
    /// Unless a source has a shorter way, everything is read.
    ///
    /// # Errors
    /// Returns the errors of [`DataSource::load`], as far as they can be found without reading everything.
    fn describe(&self, reading: Reading<'_>) -> Result<DataSummary, DataError> {
        Ok(self.load(reading)?.describe())
    }

    /// Reads everything, as a run would before its first round, and keeps only summary and classes.
    ///
    /// # Errors
    /// Returns every error with which [`DataSource::load`] would fail; several at once where several files
    /// are at fault.
    fn inspect(&self, reading: Reading<'_>) -> Result<Inspection, Vec<DataError>> {
        let split = self.load(reading).map_err(|error| vec![error])?;
        Ok(Inspection {
            shape: split.describe(),
            classes: split.classes(),
        })
    }
}

/// Where test samples come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Test<T> {
    /// From this file or array.
    Given(T),
    /// This share of the samples, drawn from the seed.
    Fraction(Probability),
}

/// The arrays that make up one part of a data set, by file or by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arrays<T> {
    /// The features, `[n, ...]`.
    pub x: T,
    /// The labels, `[n]`: whole numbers, or texts.
    pub y: T,
    /// The natural users, `[n]`: whole numbers, or texts.
    #[serde(default = "none")]
    pub users: Option<T>,
}

const fn none<T>() -> Option<T> {
    None
}

/// What a user's own file does not say about its samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shaping {
    /// The shape of one sample, with as many values as a sample has in the file; `None` takes the shape
    /// of the file. Values keep their order, so channels must come first.
    pub shape: Option<Vec<usize>>,
    /// The number of classes; `None` means one above the highest label.
    pub classes: Option<usize>,
    /// Whether to normalise each channel to mean 0 and deviation 1, as measured on the training
    /// samples. Otherwise bytes are scaled to [0, 1], and other numbers are used as they are.
    pub standardise: bool,
}
