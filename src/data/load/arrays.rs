//! NumPy arrays, whether files of their own or entries of an archive.

use crate::data::assemble::{self, Names, Raw, RawTest};
use crate::data::dataset::{Shape, Split};
use crate::data::error::DataError;
use crate::data::input::Input;
use crate::data::npy;
use crate::data::npz::Npz;
use crate::data::source::{Arrays, Shaping, Test};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

/// Which arrays make up the data set; `T` names an array.
pub(super) struct Request<'a, T> {
    pub name: String,
    pub train: &'a Arrays<T>,
    pub test: &'a Test<Arrays<T>>,
    pub shaping: &'a Shaping,
}

/// Where arrays named by `T` are.
pub(super) trait Shelf<T> {
    /// The array called `name`, ready to be read.
    fn open(&mut self, name: &T) -> Result<Input<'_>, DataError>;
}

impl<R: Read + Seek> Shelf<String> for Npz<R> {
    fn open(&mut self, name: &String) -> Result<Input<'_>, DataError> {
        self.array(name)
    }
}

/// `.npy` files, relative to this folder.
pub(super) struct Folder<'a>(pub &'a Path);

impl Shelf<PathBuf> for Folder<'_> {
    fn open(&mut self, name: &PathBuf) -> Result<Input<'_>, DataError> {
        Input::open(&self.0.join(name))
    }
}

pub(super) fn load<T>(
    shelf: &mut impl Shelf<T>,
    request: &Request<'_, T>,
    seed: u64,
) -> Result<Split, DataError> {
    let mut users = Names::default();
    let train = read(shelf, request, request.train, &mut users)?;
    let test = match request.test {
        Test::Given(test) => RawTest::Given(read(shelf, request, test, &mut users)?),
        Test::Fraction(fraction) => RawTest::Fraction(*fraction),
    };
    assemble::split(&request.name, train, test, request.shaping, None, seed)
}

fn read<T>(
    shelf: &mut impl Shelf<T>,
    request: &Request<'_, T>,
    arrays: &Arrays<T>,
    names: &mut Names<i64>,
) -> Result<Raw, DataError> {
    let x = npy::read(shelf.open(&arrays.x)?)?;
    Ok(Raw {
        shape: x.shape.get(1..).unwrap_or_default().to_vec(),
        values: x.values,
        labels: labels(shelf, request, arrays)?,
        users: users(shelf, arrays, names)?,
    })
}

fn labels<T>(
    shelf: &mut impl Shelf<T>,
    request: &Request<'_, T>,
    arrays: &Arrays<T>,
) -> Result<Vec<u32>, DataError> {
    let values = npy::read_whole(shelf.open(&arrays.y)?, "labels")?;
    assemble::labels(&request.name, &values)
}

fn users<T>(
    shelf: &mut impl Shelf<T>,
    arrays: &Arrays<T>,
    names: &mut Names<i64>,
) -> Result<Option<Vec<u32>>, DataError> {
    let Some(users) = &arrays.users else {
        return Ok(None);
    };
    let values = npy::read_whole(shelf.open(users)?, "users")?;
    Ok(Some(
        values.into_iter().map(|user| names.number(user)).collect(),
    ))
}

pub(super) fn describe<T>(
    shelf: &mut impl Shelf<T>,
    request: &Request<'_, T>,
) -> Result<Shape, DataError> {
    let shape_of = |shelf: &mut _, arrays: &Arrays<T>| -> Result<Vec<usize>, DataError> {
        Ok(npy::header(&mut Shelf::open(shelf, &arrays.x)?)?.shape)
    };
    let dims = shape_of(shelf, request.train)?;
    let train_labels = labels(shelf, request, request.train)?;
    let mut names = Names::default();
    let train_users = users(shelf, request.train, &mut names)?;
    let (all, sample) = match dims.split_first() {
        Some((n, sample)) => (*n, sample),
        None => (0, [].as_slice()),
    };
    let (train, test, classes) = match request.test {
        Test::Given(test) => {
            let dims = shape_of(shelf, test)?;
            let test_labels = labels(shelf, request, test)?;
            let both = train_labels.iter().chain(&test_labels);
            let classes = assemble::classes(&request.name, request.shaping, both)?;
            (all, dims.first().copied().unwrap_or(0), classes)
        }
        Test::Fraction(fraction) => {
            let test = assemble::test_count(&request.name, all, *fraction)?;
            (
                all - test,
                test,
                assemble::classes(&request.name, request.shaping, &train_labels)?,
            )
        }
    };
    Ok(Shape {
        shape: assemble::shape(&request.name, request.shaping, sample)?,
        classes,
        train,
        test,
        users: train_users.map(|_| names.iter().count()),
    })
}
