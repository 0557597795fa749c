//! CSV tables and LEAF folders.

use crate::data::assemble::{self, Names, Raw, RawTest};
use crate::data::classes::unseen_note;
use crate::data::dataset::{Split, Values, MAX_BYTES};
use crate::data::error::{DataError, Place};
use crate::data::input::open_file;
use crate::data::labels::Labels;
use crate::data::leaf::{self, Samples};
use crate::data::source::{Shaping, Test};
use crate::data::table::{self, Columns};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// A table, or one for training and one for testing.
pub(super) struct Table<'a> {
    pub train: PathBuf,
    pub test: Test<PathBuf>,
    pub label: &'a str,
    pub user: Option<&'a str>,
    pub shaping: &'a Shaping,
}

/// A LEAF file or folder, or one for training and one for testing.
pub(super) struct Leaf<'a> {
    pub train: PathBuf,
    pub test: Test<PathBuf>,
    pub shaping: &'a Shaping,
}

/// Opens a text whose numbers cannot take more than [`MAX_BYTES`] of memory: each number takes at least
/// two characters in the file, and four bytes in memory.
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
        let (mut labels, mut users) = (Labels::default(), Names::default());
        let mut read = |path: &Path, field: &str| {
            open_text(path)
                .and_then(|text| table::read(path, text, columns, &mut labels, &mut users))
                .map_err(|error| error.at(field))
        };
        let mut train = read(&self.train, "file")?;
        let mut test = match &self.test {
            Test::Fraction(fraction) => RawTest::Fraction(*fraction),
            Test::Given(path) => {
                let test = read(path, "test")?;
                train
                    .header
                    .expect_same(&self.train, &test.header, path)
                    .map_err(|error| error.at("test"))?;
                RawTest::Given(test.raw)
            }
        };
        let classes = labels.resolve(&self.train, self.shaping.classes);
        let classes = classes.map_err(|error| error.at("label"))?;
        // Names may take as much memory as the samples.
        drop((labels, users));
        let given = match &mut test {
            RawTest::Given(test) => Some(&mut test.labels),
            RawTest::Fraction(_) => None,
        };
        let apart = given.is_some();
        for label in train
            .raw
            .labels
            .iter_mut()
            .chain(given.into_iter().flatten())
        {
            *label = classes.indices.get(*label as usize).copied().unwrap_or(0);
        }
        let name = self.train.display().to_string();
        let (count, shaping) = (classes.count, self.shaping);
        let mut split = assemble::split(&name, train.raw, test, count, shaping, None, seed)?;
        split.notes = classes.notes;
        if apart {
            let (train, test) = split.counts();
            split
                .notes
                .extend(unseen_note(&classes.names, &train, &test));
        }
        split.notes.extend(train.header.note(&self.train));
        split
            .notes
            .extend(assemble::layout_note(&split.train.shape));
        split.names = classes.names;
        Ok(split)
    }
}

impl Leaf<'_> {
    pub fn load(&self, seed: u64) -> Result<Split, DataError> {
        let mut names = Names::default();
        let train = read_leaf(&self.train, None, &mut names).map_err(|error| error.at("train"))?;
        let test = match &self.test {
            Test::Given(path) => {
                let like = Some((self.train.as_path(), train.shape.first().copied()));
                let test = read_leaf(path, like, &mut names).map_err(|error| error.at("test"))?;
                RawTest::Given(test)
            }
            Test::Fraction(fraction) => RawTest::Fraction(*fraction),
        };
        let given = match &test {
            RawTest::Given(test) => test.labels.as_slice(),
            RawTest::Fraction(_) => &[],
        };
        let apart = !given.is_empty();
        let top = train.labels.iter().chain(given).max();
        let needed = top.map_or(0, |top| *top as usize + 1);
        let classes = assemble::classes(&self.train, self.shaping, needed)?;
        let name = self.train.display().to_string();
        let mut split = assemble::split(&name, train, test, classes, self.shaping, None, seed)?;
        let (train, test) = split.counts();
        split.notes = assemble::index_notes(self.shaping, apart, &train, &test);
        split
            .notes
            .extend(assemble::layout_note(&split.train.shape));
        Ok(split)
    }
}

/// Reads a file or a folder. Samples must be as wide as those of `like`, the path and width of another
/// part.
fn read_leaf(
    path: &Path,
    like: Option<(&Path, Option<usize>)>,
    names: &mut Names<String>,
) -> Result<Raw, DataError> {
    let mut samples = Samples::default();
    let mut first: Option<(PathBuf, usize)> =
        like.and_then(|(file, width)| Some((file.to_path_buf(), width?)));
    for file in leaf_files(path)? {
        samples.width = None;
        leaf::read(&file, open_text(&file)?, names, &mut samples)?;
        match (&first, samples.width) {
            (Some((like, wanted)), Some(width)) if *wanted != width => {
                let expected = format!("samples of {wanted} values, as {} has", like.display());
                let found = format!("{width} values a sample");
                return Err(DataError::malformed(&file, Place::Whole, expected, found));
            }
            (None, Some(width)) => first = Some((file.clone(), width)),
            _ => {}
        }
        if samples.values.len() as u64 * 4 > MAX_BYTES {
            let expected = format!("at most {MAX_BYTES} bytes of features in all files");
            return Err(DataError::malformed(&file, Place::Whole, expected, "more"));
        }
    }
    Ok(Raw {
        shape: vec![first.map_or(0, |(_, width)| width)],
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
