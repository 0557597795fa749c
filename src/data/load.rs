//! From the name of a source to its samples, or to a summary of them.

mod arrays;
mod images;
mod text;

use super::classes::{counted, ClassCount, ClassNames, Counts};
use super::dataset::{DataSummary, Split};
use super::digits;
use super::error::DataError;
use super::noise::Noise;
use super::npz::Npz;
use super::source::{Source, Test};
use super::synthetic::{self, Synthetic};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Reads `source`. Relative paths are relative to `base`, the folder of the scenario file.
///
/// `seed` affects generated samples and the draw of test samples; files are read as they are.
///
/// # Errors
/// Returns a [`DataError`] for a file that is missing or not what it should be, for a parameter out of
/// its range, or for samples that break a rule of [`super::Dataset`].
pub fn load(source: &Source, seed: u64, base: &Path) -> Result<Split, DataError> {
    match Located::of(source, base)? {
        Located::Digits => digits::load(),
        Located::Synthetic(synthetic) => synthetic.load(seed),
        Located::Noise(noise) => noise.load(seed),
        Located::Images(set) => set.load(seed),
        Located::Npz(file, request) => arrays::load(&mut open_archive(&file)?, &request, seed),
        Located::Npy(request) => arrays::load(&mut arrays::Folder(base), &request, seed),
        Located::Csv(table) => table.load(seed),
        Located::Leaf(leaf) => leaf.load(seed),
    }
}

/// The summary of what [`load`] would return for these arguments. Of images, only headers and sizes are
/// read (and labels, where nothing else gives the number of classes); of arrays, only headers, labels
/// and users; tables and LEAF files have to be read whole.
///
/// # Errors
/// Returns the errors of [`load`], as far as they can be found without reading everything.
pub fn describe(source: &Source, seed: u64, base: &Path) -> Result<DataSummary, DataError> {
    match Located::of(source, base)? {
        Located::Digits => Ok(DataSummary {
            shape: digits::SHAPE.to_vec(),
            classes: digits::CLASSES,
            train: digits::TRAIN,
            test: digits::TEST,
            users: None,
            names: ClassNames::default(),
            notes: Vec::new(),
        }),
        Located::Synthetic(synthetic) => {
            let counts = synthetic.counts(seed)?;
            Ok(DataSummary {
                shape: vec![synthetic::FEATURES],
                classes: synthetic::CLASSES,
                train: counts.iter().map(|(train, _)| train).sum(),
                test: counts.iter().map(|(_, test)| test).sum(),
                users: Some(counts.len()),
                names: ClassNames::default(),
                notes: Vec::new(),
            })
        }
        Located::Noise(noise) => {
            noise.check()?;
            Ok(DataSummary {
                shape: noise.shape.to_vec(),
                classes: noise.classes,
                train: noise.train,
                test: noise.test,
                users: None,
                names: ClassNames::default(),
                notes: Vec::new(),
            })
        }
        Located::Images(set) => set.describe(),
        Located::Npz(file, request) => {
            let mut archive = open_archive(&file)?;
            Ok(arrays::describe(&mut archive, &request, seed)?.0)
        }
        Located::Npy(request) => Ok(arrays::describe(&mut arrays::Folder(base), &request, seed)?.0),
        Located::Csv(table) => Ok(table.load(seed)?.describe()),
        Located::Leaf(leaf) => Ok(leaf.load(seed)?.describe()),
    }
}

/// Everything that can be known of a source before learning begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// The summary of the source, with remarks about what is probably not intended.
    pub shape: DataSummary,
    /// The classes, with the number of samples of each.
    pub classes: Vec<ClassCount>,
}

/// The summary with counts, and further errors.
type Inspected = (
    Result<(DataSummary, Counts, Counts), DataError>,
    Vec<DataError>,
);

/// Reads all of `source`, as a run would before its first round, and reports what [`describe`] cannot
/// see in headers: features that are not finite (with row and column), labels and users that do not
/// fit, files that are cut short or too long. It takes the time that a run takes to read the source.
///
/// # Errors
/// Returns every error with which [`load`] would fail for these arguments; several at once where
/// several files are at fault.
pub fn inspect(source: &Source, seed: u64, base: &Path) -> Result<Inspection, Vec<DataError>> {
    let one = |error| vec![error];
    let (described, mut wrong) = match Located::of(source, base).map_err(one)? {
        // No value of an array or an image is kept.
        Located::Npz(file, request) => {
            let mut archive = open_archive(&file).map_err(one)?;
            arrays::inspect(&mut archive, &request, seed)
        }
        Located::Npy(request) => arrays::inspect(&mut arrays::Folder(base), &request, seed),
        Located::Images(set) => set.inspect(),
        _ => {
            let split = load(source, seed, base).map_err(one)?;
            return Ok(Inspection {
                shape: split.describe(),
                classes: split.classes(),
            });
        }
    };
    match described {
        Ok((shape, train, test)) if wrong.is_empty() => Ok(Inspection {
            classes: counted(&shape.names, shape.classes, &train, &test),
            shape,
        }),
        Ok(_) => Err(wrong),
        Err(error) => {
            // A missing file is reported only once.
            wrong.retain(|other| *other != error);
            wrong.insert(0, error);
            Err(wrong)
        }
    }
}

fn open_archive(file: &Path) -> Result<Npz<BufReader<File>>, DataError> {
    Npz::open(file).map_err(|error| error.at("file"))
}

/// A source whose files have been found.
enum Located<'a> {
    Digits,
    Synthetic(Synthetic),
    Noise(Noise<'a>),
    Images(images::Set<'a>),
    Npz(PathBuf, arrays::Request<'a, String>),
    Npy(arrays::Request<'a, PathBuf>),
    Csv(text::Table<'a>),
    Leaf(text::Leaf<'a>),
}

impl<'a> Located<'a> {
    fn of(source: &'a Source, base: &Path) -> Result<Self, DataError> {
        Ok(match source {
            Source::Digits => Self::Digits,
            Source::Synthetic {
                alpha,
                beta,
                users,
                samples,
                iid,
                test,
            } => Self::Synthetic(Synthetic {
                alpha: *alpha,
                beta: *beta,
                users: *users,
                samples: *samples,
                iid: *iid,
                test: *test,
            }),
            Source::Random {
                shape,
                classes,
                train,
                test,
                element,
            } => Self::Noise(Noise {
                shape,
                classes: *classes,
                train: *train,
                test: *test,
                element: *element,
            }),
            Source::Mnist { dir } => Self::Images(images::Set::mnist(&base.join(dir))?),
            Source::FashionMnist { dir } => {
                Self::Images(images::Set::fashion_mnist(&base.join(dir))?)
            }
            Source::Emnist { dir, split } => {
                Self::Images(images::Set::emnist(&base.join(dir), *split)?)
            }
            Source::Idx {
                train_images,
                train_labels,
                test_images,
                test_labels,
                shaping,
            } => {
                let train = (base.join(train_images), base.join(train_labels));
                let test = (base.join(test_images), base.join(test_labels));
                Self::Images(images::Set::idx(train, test, shaping))
            }
            Source::Cifar10 { dir } => Self::Images(images::Set::cifar10(&base.join(dir))?),
            Source::Cifar100 { dir, labels } => {
                Self::Images(images::Set::cifar100(&base.join(dir), *labels)?)
            }
            Source::Npz {
                file,
                train,
                test,
                shaping,
            } => {
                let file = base.join(file);
                let name = file.display().to_string();
                let request = arrays::Request {
                    name,
                    train,
                    test,
                    shaping,
                };
                Self::Npz(file, request)
            }
            Source::Npy {
                train,
                test,
                shaping,
            } => {
                let name = base.join(&train.x).display().to_string();
                Self::Npy(arrays::Request {
                    name,
                    train,
                    test,
                    shaping,
                })
            }
            Source::Csv {
                file,
                test,
                label,
                user,
                shaping,
            } => Self::Csv(text::Table {
                train: base.join(file),
                test: under(base, test),
                label,
                user: user.as_deref(),
                shaping,
            }),
            Source::Leaf {
                train,
                test,
                shaping,
            } => Self::Leaf(text::Leaf {
                train: base.join(train),
                test: under(base, test),
                shaping,
            }),
        })
    }
}

fn under(base: &Path, test: &Test<PathBuf>) -> Test<PathBuf> {
    match test {
        Test::Given(path) => Test::Given(base.join(path)),
        Test::Fraction(fraction) => Test::Fraction(*fraction),
    }
}

#[cfg(test)]
mod tests;
