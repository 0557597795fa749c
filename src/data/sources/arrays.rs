//! NumPy arrays.

use super::own_files;
use crate::data::dataset::{DataSummary, Split};
use crate::data::error::DataError;
use crate::data::load::arrays::{describe, inspect, load, Folder, Request};
use crate::data::load::inspected;
use crate::data::npz;
use crate::data::source::{Arrays, DataSource, Inspection, Reading};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

own_files! {
    /// Arrays of one NumPy archive, by their names.
    Npz tested by Arrays<String> {
        /// The archive.
        file: PathBuf,
        /// The names of the training arrays.
        train: Arrays<String>,
    }
}

impl Npz {
    fn open(&self, base: &Path) -> Result<npz::Npz<BufReader<File>>, DataError> {
        npz::Npz::open(&base.join(&self.file)).map_err(|error| error.at("file"))
    }

    fn request(&self, base: &Path) -> Request<'_, String> {
        Request {
            name: base.join(&self.file).display().to_string(),
            train: &self.train,
            test: self.tested(),
            shaping: self.shaping(),
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

own_files! {
    /// NumPy arrays, a file each.
    Npy tested by Arrays<PathBuf> {
        /// The training files.
        train: Arrays<PathBuf>,
    }
}

impl Npy {
    fn request(&self, base: &Path) -> Request<'_, PathBuf> {
        Request {
            name: base.join(&self.train.x).display().to_string(),
            train: &self.train,
            test: self.tested(),
            shaping: self.shaping(),
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
