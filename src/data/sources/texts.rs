//! Tables and LEAF files, which have to be read whole.

use super::{own_files, under};
use crate::data::dataset::Split;
use crate::data::error::DataError;
use crate::data::load::text;
use crate::data::source::{DataSource, Reading};
use std::path::PathBuf;

own_files! {
    /// A table with a header line; every column but label and user is a feature. The test samples are a
    /// second table with the columns of the first, or a share of it.
    Csv tested by PathBuf {
        /// The table.
        file: PathBuf,
        /// The column of the labels: numbers, or names.
        label: String,
        /// The column of the natural user: any text.
        #[serde(default)]
        user: Option<String>,
    }
}

impl DataSource for Csv {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        let table = text::Table {
            train: reading.base.join(&self.file),
            test: under(reading.base, self.tested()),
            label: &self.label,
            user: self.user.as_deref(),
            shaping: &self.shaping(),
        };
        table.load(reading.seed)
    }
}

own_files! {
    /// LEAF JSON (Caldas et al. 2018) with numeric features.
    Leaf tested by PathBuf {
        /// A file, or a folder whose `.json` files are read in the order of their names.
        train: PathBuf,
    }
}

impl DataSource for Leaf {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        let leaf = text::Leaf {
            train: reading.base.join(&self.train),
            test: under(reading.base, self.tested()),
            shaping: &self.shaping(),
        };
        leaf.load(reading.seed)
    }
}
