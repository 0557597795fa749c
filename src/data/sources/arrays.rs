//! NumPy arrays.

use super::{as_settings, fifth, given_or, none};
use crate::data::dataset::{DataSummary, Split};
use crate::data::error::DataError;
use crate::data::load::arrays::{describe, inspect, load, Folder, Request};
use crate::data::load::inspected;
use crate::data::npz;
use crate::data::source::{Arrays, DataSource, Inspection, Reading, Shaping, Test};
use crate::text::fields::Fraction;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Arrays of one NumPy archive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npz {
    /// The archive.
    pub file: PathBuf,
    /// The names of the training arrays.
    pub train: Arrays<String>,
    /// The names of the test arrays.
    #[serde(default = "none")]
    pub test: Option<Arrays<String>>,
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

impl Npz {
    /// The source that reads these arrays of `file`.
    pub fn of(
        file: impl Into<PathBuf>,
        train: Arrays<String>,
        test: Test<Arrays<String>>,
        shaping: Shaping,
    ) -> Self {
        let (test, test_fraction) = as_settings(test);
        Self {
            file: file.into(),
            train,
            test,
            test_fraction,
            shape: shaping.shape,
            classes: shaping.classes,
            standardise: shaping.standardise,
        }
    }

    fn open(&self, base: &Path) -> Result<npz::Npz<BufReader<File>>, DataError> {
        npz::Npz::open(&base.join(&self.file)).map_err(|error| error.at("file"))
    }

    fn request(&self, base: &Path) -> Request<'_, String> {
        Request {
            name: base.join(&self.file).display().to_string(),
            train: &self.train,
            test: given_or(self.test.as_ref(), self.test_fraction),
            shaping: self.shaping(),
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

impl DataSource for Npz {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        let request = self.request(reading.base);
        load(&mut self.open(reading.base)?, &request, reading.seed)
    }

    /// Reads headers, labels and users.
    fn describe(&self, reading: Reading<'_>) -> Result<DataSummary, DataError> {
        let request = self.request(reading.base);
        Ok(describe(&mut self.open(reading.base)?, &request, reading.seed)?.0)
    }

    /// Keeps no value of an array.
    fn inspect(&self, reading: Reading<'_>) -> Result<Inspection, Vec<DataError>> {
        let mut archive = self.open(reading.base).map_err(|error| vec![error])?;
        let request = self.request(reading.base);
        inspected(inspect(&mut archive, &request, reading.seed))
    }
}

/// NumPy arrays, a file each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npy {
    /// The training files.
    pub train: Arrays<PathBuf>,
    /// The test files.
    #[serde(default = "none")]
    pub test: Option<Arrays<PathBuf>>,
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

impl Npy {
    /// The source that reads these files.
    pub fn of(train: Arrays<PathBuf>, test: Test<Arrays<PathBuf>>, shaping: Shaping) -> Self {
        let (test, test_fraction) = as_settings(test);
        Self {
            train,
            test,
            test_fraction,
            shape: shaping.shape,
            classes: shaping.classes,
            standardise: shaping.standardise,
        }
    }

    fn request(&self, base: &Path) -> Request<'_, PathBuf> {
        Request {
            name: base.join(&self.train.x).display().to_string(),
            train: &self.train,
            test: given_or(self.test.as_ref(), self.test_fraction),
            shaping: self.shaping(),
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

impl DataSource for Npy {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        let request = self.request(reading.base);
        load(&mut Folder(reading.base), &request, reading.seed)
    }

    /// Reads headers, labels and users.
    fn describe(&self, reading: Reading<'_>) -> Result<DataSummary, DataError> {
        let request = self.request(reading.base);
        Ok(describe(&mut Folder(reading.base), &request, reading.seed)?.0)
    }

    /// Keeps no value of an array.
    fn inspect(&self, reading: Reading<'_>) -> Result<Inspection, Vec<DataError>> {
        let request = self.request(reading.base);
        inspected(inspect(&mut Folder(reading.base), &request, reading.seed))
    }
}
