//! Tables and LEAF files, which have to be read whole.

use super::{as_settings, fifth, given_or, none, under};
use crate::data::dataset::Split;
use crate::data::error::DataError;
use crate::data::load::text;
use crate::data::source::{DataSource, Reading, Shaping, Test};
use crate::text::fields::Fraction;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A table with a header line; every column but label and user is a feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// The table.
    pub file: PathBuf,
    /// The column of the labels: numbers, or names.
    pub label: String,
    /// The column of the natural user: any text.
    #[serde(default)]
    pub user: Option<String>,
    /// A second table with the columns of the first.
    #[serde(default = "none")]
    pub test: Option<PathBuf>,
    /// The share of the samples that is for testing, where no test samples are given.
    #[serde(default = "fifth")]
    pub test_fraction: Fraction,
    /// The shape of one sample, if it is not that of the file.
    #[serde(default)]
    pub shape: Option<Vec<usize>>,
    /// The number of classes, if it is not one above the highest label.
    #[serde(default)]
    pub classes: Option<usize>,
    /// Whether each channel is normalised.
    #[serde(default)]
    pub standardise: bool,
}

impl Csv {
    /// The source that reads the table `file`, whose column `label` has the labels.
    pub fn of(
        file: impl Into<PathBuf>,
        (label, user): (impl Into<String>, Option<String>),
        test: Test<PathBuf>,
        shaping: Shaping,
    ) -> Self {
        let (test, test_fraction) = as_settings(test);
        Self {
            file: file.into(),
            label: label.into(),
            user,
            test,
            test_fraction,
            shape: shaping.shape,
            classes: shaping.classes,
            standardise: shaping.standardise,
        }
    }

    fn shaping(&self) -> Shaping {
        Shaping {
            shape: self.shape.clone(),
            classes: self.classes,
            standardise: self.standardise,
        }
    }
}

impl DataSource for Csv {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        let test = given_or(self.test.as_ref(), self.test_fraction);
        let table = text::Table {
            train: reading.base.join(&self.file),
            test: under(reading.base, test),
            label: &self.label,
            user: self.user.as_deref(),
            shaping: &self.shaping(),
        };
        table.load(reading.seed)
    }
}

/// LEAF JSON (Caldas et al. 2018) with numeric features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// A file, or a folder whose `.json` files are read in the order of their names.
    pub train: PathBuf,
    /// A file or a folder for testing.
    #[serde(default = "none")]
    pub test: Option<PathBuf>,
    /// The share of the samples that is for testing, where no test samples are given.
    #[serde(default = "fifth")]
    pub test_fraction: Fraction,
    /// The shape of one sample, if it is not that of the file.
    #[serde(default)]
    pub shape: Option<Vec<usize>>,
    /// The number of classes, if it is not one above the highest label.
    #[serde(default)]
    pub classes: Option<usize>,
    /// Whether each channel is normalised.
    #[serde(default)]
    pub standardise: bool,
}

impl Leaf {
    /// The source that reads the file or folder `train`.
    pub fn of(train: impl Into<PathBuf>, test: Test<PathBuf>, shaping: Shaping) -> Self {
        let (test, test_fraction) = as_settings(test);
        Self {
            train: train.into(),
            test,
            test_fraction,
            shape: shaping.shape,
            classes: shaping.classes,
            standardise: shaping.standardise,
        }
    }

    fn shaping(&self) -> Shaping {
        Shaping {
            shape: self.shape.clone(),
            classes: self.classes,
            standardise: self.standardise,
        }
    }
}

impl DataSource for Leaf {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        let test = given_or(self.test.as_ref(), self.test_fraction);
        let leaf = text::Leaf {
            train: reading.base.join(&self.train),
            test: under(reading.base, test),
            shaping: &self.shaping(),
        };
        leaf.load(reading.seed)
    }
}
