//! CSV tables and LEAF folders.

use crate::data::assemble::{self, Names, Raw, RawTest};
use crate::data::dataset::{Split, Values, MAX_BYTES};
use crate::data::error::{DataError, Place};
use crate::data::input::open_file;
use crate::data::leaf::{self, Samples};
use crate::data::source::{Shaping, Test};
use crate::data::table::{self, Columns};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// A table, or two.
pub(super) struct Table<'a> {
    pub train: PathBuf,
    pub test: Test<PathBuf>,
    pub label: &'a str,
    pub user: Option<&'a str>,
    pub shaping: &'a Shaping,
}

/// A LEAF file or folder, or two.
pub(super) struct Leaf<'a> {
    pub train: PathBuf,
    pub test: Test<PathBuf>,
    pub shaping: &'a Shaping,
}

/// Opens a text whose numbers cannot outgrow [`MAX_BYTES`]: each takes two characters or more, and
/// four bytes once read.
fn open_text(path: &Path) -> Result<BufReader<File>, DataError> {
    let (file, size) = open_file(path)?;
    let most = MAX_BYTES / 2;
    if size > most {
        let expected = format!("a file of at most {most} bytes");
        return Err(
            DataError::malformed(path, Place::Whole, expected, format!("{size}"))
                .advise("turn it into .npy arrays"),
        );
    }
    Ok(BufReader::with_capacity(1 << 16, file))
}

impl Table<'_> {
    pub fn load(&self, seed: u64) -> Result<Split, DataError> {
        let columns = Columns {
            label: self.label,
            user: self.user,
        };
        let (mut labels, mut users) = (Names::default(), Names::default());
        let mut read =
            |path: &Path| table::read(path, open_text(path)?, columns, &mut labels, &mut users);
        let mut train = read(&self.train)?;
        let test = match &self.test {
            Test::Fraction(fraction) => RawTest::Fraction(*fraction),
            Test::Given(path) => {
                let test = read(path)?;
                if test.features != train.features {
                    let place = Place::Line { line: 1, column: 0 };
                    let expected = format!("the columns of {}", self.train.display());
                    return Err(DataError::malformed(path, place, expected, "other columns"));
                }
                RawTest::Given(test.raw)
            }
        };
        let mut test = test;
        if let RawTest::Given(test) = &mut test {
            table::resolve_labels(
                &self.train,
                &labels,
                train.raw.labels.iter_mut().chain(&mut test.labels),
            )?;
        } else {
            table::resolve_labels(&self.train, &labels, &mut train.raw.labels)?;
        }
        let name = self.train.display().to_string();
        assemble::split(&name, train.raw, test, self.shaping, None, seed)
    }
}

impl Leaf<'_> {
    pub fn load(&self, seed: u64) -> Result<Split, DataError> {
        let mut names = Names::default();
        let train = read_leaf(&self.train, &mut names)?;
        let test = match &self.test {
            Test::Given(path) => RawTest::Given(read_leaf(path, &mut names)?),
            Test::Fraction(fraction) => RawTest::Fraction(*fraction),
        };
        let name = self.train.display().to_string();
        assemble::split(&name, train, test, self.shaping, None, seed)
    }
}

fn read_leaf(path: &Path, names: &mut Names<String>) -> Result<Raw, DataError> {
    let mut samples = Samples::default();
    for file in leaf_files(path)? {
        leaf::read(&file, open_text(&file)?, names, &mut samples)?;
        if samples.values.len() as u64 * 4 > MAX_BYTES {
            let expected = format!("at most {MAX_BYTES} bytes of features in all files");
            return Err(DataError::malformed(&file, Place::Whole, expected, "more"));
        }
    }
    Ok(Raw {
        shape: vec![samples.width.unwrap_or(0)],
        values: Values::F32(samples.values),
        labels: samples.labels,
        users: Some(samples.users),
    })
}

/// The file itself, or the `.json` files of a folder in the order of their names.
fn leaf_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let fail = |e: std::io::Error| DataError::unreadable(path, e);
    let mut files = Vec::new();
    for entry in path.read_dir().map_err(fail)? {
        let file = entry.map_err(fail)?.path();
        if file.extension().is_some_and(|e| e == "json") {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(DataError::malformed(
            path,
            Place::Whole,
            "a .json file in the folder",
            "none",
        ));
    }
    Ok(files)
}
