//! NumPy arrays, in files of their own or as entries of an archive.
//!
//! Headers are read first: numbers of rows, shapes and types are compared with each other before
//! anything is inflated or kept.

use super::Inspected;
use crate::data::assemble::{self, Names, Raw, RawTest, TestDraw};
use crate::data::classes::{unseen_note, Counts};
use crate::data::dataset::{DataSummary, Split};
use crate::data::error::{DataError, Place};
use crate::data::idx::sample_shape;
use crate::data::input::Input;
use crate::data::labels::{Classes, Labels, Name, REGRESSION};
use crate::data::npy::{self, Cell, Header};
use crate::data::npz::Npz;
use crate::data::source::{Arrays, Shaping, Test};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

/// The arrays that make up the data set; `T` names an array.
pub(super) struct Request<'a, T> {
    pub name: String,
    pub train: &'a Arrays<T>,
    pub test: &'a Test<Arrays<T>>,
    pub shaping: &'a Shaping,
}

/// A place that has arrays named by `T`.
pub(super) trait Shelf<T> {
    /// The array with this name, ready to be read.
    fn open(&mut self, name: &T) -> Result<Input<'_>, DataError>;
}

impl<R: Read + Seek> Shelf<String> for Npz<R> {
    fn open(&mut self, name: &String) -> Result<Input<'_>, DataError> {
        self.array(name)
    }
}

/// `.npy` files, with paths relative to this folder.
pub(super) struct Folder<'a>(pub &'a Path);

impl Shelf<PathBuf> for Folder<'_> {
    fn open(&mut self, name: &PathBuf) -> Result<Input<'_>, DataError> {
        Input::open(&self.0.join(name))
    }
}

/// An array's header and file.
struct Head {
    header: Header,
    file: PathBuf,
}

/// The headers of one part, which were checked against each other.
struct Heads {
    x: Head,
    y: Head,
    /// The field of the part in the source: `train` or `test`.
    field: &'static str,
}

fn head<T>(shelf: &mut impl Shelf<T>, name: &T) -> Result<Head, DataError> {
    let mut input = shelf.open(name)?;
    let header = npy::header(&mut input)?;
    let file = input.file().to_path_buf();
    Ok(Head { header, file })
}

impl Heads {
    /// Reads the headers of one part, which must have as many labels and users as rows.
    fn read<T>(
        shelf: &mut impl Shelf<T>,
        arrays: &Arrays<T>,
        field: &'static str,
    ) -> Result<Self, DataError> {
        let at = |which: &str| format!("{field}.{which}");
        let x = head(shelf, &arrays.x).map_err(|error| error.at(&at("x")))?;
        let rows = x.header.rows();
        let list = |shelf: &mut _, name: &T, which: &str, what: &str| {
            let list: Head = head(shelf, name)?;
            let found = list.header.count();
            let expected = match list.header.is_list() {
                true if found == rows => return Ok(list),
                true => format!("{rows} {what}, as many as {} has rows", x.file.display()),
                false => format!("one dimension for {what}"),
            };
            let found = match list.header.is_list() {
                true => found.to_string(),
                false => format!("shape {:?}", list.header.shape),
            };
            Err(DataError::malformed(&list.file, Place::Whole, expected, found).at(&at(which)))
        };
        let y = list(shelf, &arrays.y, "y", "labels").map_err(|error| error.at(&at("y")))?;
        if let Some(users) = &arrays.users {
            list(shelf, users, "users", "users").map_err(|error| error.at(&at("users")))?;
        }
        Ok(Self { x, y, field })
    }

    /// The shape of a sample as the model gets it.
    fn shape(&self, name: &str, shaping: &Shaping) -> Result<Vec<usize>, DataError> {
        assemble::shape(name, shaping, &sample_shape(&self.x.header.shape))
    }
}

/// The headers of all parts, which were checked against each other.
struct Survey {
    train: Heads,
    test: Option<Heads>,
    shape: Vec<usize>,
}

impl Survey {
    fn of<T>(shelf: &mut impl Shelf<T>, request: &Request<'_, T>) -> Result<Self, DataError> {
        let Request { name, shaping, .. } = request;
        let train = Heads::read(shelf, request.train, "train")?;
        let shape = train.shape(name, shaping)?;
        let test = match request.test {
            Test::Given(arrays) => Some(Heads::read(shelf, arrays, "test")?),
            Test::Fraction(_) => None,
        };
        if let Some(test) = &test {
            let own = test.shape(name, shaping).map_err(|e| e.at("test.x"))?;
            let kind = |heads: &Heads| match heads.x.header.is_bytes() {
                true => "bytes",
                false => "other numbers",
            };
            let said = |heads: &Heads, shape: &[usize]| {
                format!("samples of shape {shape:?}, of {}", kind(heads))
            };
            let (ours, theirs) = (said(&train, &shape), said(test, &own));
            if ours != theirs {
                let expected = format!("{ours}, as {} has", train.x.file.display());
                let error = DataError::malformed(&test.x.file, Place::Whole, expected, theirs);
                return Err(error.at("test.x"));
            }
        }
        Ok(Self { train, test, shape })
    }

    /// The numbers of samples for training and for testing.
    fn sizes<T>(&self, request: &Request<'_, T>) -> Result<(usize, usize), DataError> {
        let all = self.train.x.header.rows();
        match (&self.test, request.test) {
            (Some(test), _) => Ok((all, test.x.header.rows())),
            (None, Test::Fraction(fraction)) => {
                let test = assemble::test_count(&request.name, all, *fraction)?;
                Ok((all - test, test))
            }
            (None, Test::Given(_)) => Ok((all, 0)),
        }
    }

    /// Whether labels are names, because one of the arrays has texts. Otherwise they are numbers that
    /// are class indices.
    fn named(&self) -> bool {
        let parts = std::iter::once(&self.train).chain(&self.test);
        parts.into_iter().any(|heads| heads.y.header.is_text())
    }
}

/// Labels while they are read: class indices, or names of one map.
struct Marks {
    names: Option<Labels>,
    needed: usize,
}

impl Marks {
    fn new(survey: &Survey) -> Self {
        Self {
            names: survey.named().then(Labels::default),
            needed: 0,
        }
    }

    /// Passes the labels of a part to `each`: class indices, or numbers of names.
    fn read<T>(
        &mut self,
        shelf: &mut impl Shelf<T>,
        name: &T,
        heads: &Heads,
        mut each: impl FnMut(u32),
    ) -> Result<(), DataError> {
        let Self { names, needed } = self;
        let file = &heads.y.file;
        let mut fraction = false;
        let result = shelf.open(name).and_then(|input| {
            npy::cells(input, "labels", |at, cell| {
                let found = |what: String| format!("{what} at [{at}]");
                let label = match (names.as_mut(), cell) {
                    (None, Cell::Whole(number)) => {
                        let label = assemble::index(number);
                        let wrong = || (assemble::indices_in_words(), found(number.to_string()));
                        let label = label.ok_or_else(wrong)?;
                        *needed = (*needed).max(label as usize + 1);
                        label
                    }
                    (Some(names), Cell::Whole(number)) => {
                        named(names, file, at, Name::whole(number))?
                    }
                    (Some(names), Cell::Text(text)) if !text.trim().is_empty() => {
                        named(names, file, at, Name::parse(text.trim()))?
                    }
                    (_, cell) => {
                        fraction = matches!(cell, Cell::Other(x) if x.is_finite());
                        return Err((
                            "whole numbers or texts as labels".into(),
                            found(said(&cell)),
                        ));
                    }
                };
                each(label);
                Ok(())
            })
        });
        result.map_err(|error| {
            let error = match fraction {
                true => error.advise(REGRESSION),
                false => error,
            };
            error.at(&format!("{}.y", heads.field))
        })
    }

    /// The classes to which the labels map.
    fn classes(&self, file: &Path, shaping: &Shaping) -> Result<Classes, DataError> {
        let error = |error: DataError| error.at("train.y");
        match &self.names {
            Some(names) => names.resolve(file, shaping.classes).map_err(error),
            None => Ok(Classes {
                indices: Vec::new(),
                names: Default::default(),
                count: assemble::classes(file, shaping, self.needed).map_err(error)?,
                notes: Vec::new(),
            }),
        }
    }

    /// Remarks about the labels.
    fn notes(
        &self,
        classes: &Classes,
        shaping: &Shaping,
        given: bool,
        (train, test): (&Counts, &Counts),
    ) -> Vec<String> {
        if self.names.is_none() {
            return assemble::index_notes(shaping, given, train, test);
        }
        let unseen = given.then(|| unseen_note(&classes.names, train, test));
        classes
            .notes
            .iter()
            .cloned()
            .chain(unseen.flatten())
            .collect()
    }
}

fn named(names: &mut Labels, file: &Path, at: usize, name: Name) -> Result<u32, (String, String)> {
    let place = Place::Whole;
    let number = names.number(file, place, name);
    number.map_err(|_| {
        let expected = "fewer different labels".to_string();
        (expected, format!("another one at [{at}]"))
    })
}

fn said(cell: &Cell) -> String {
    match cell {
        Cell::Whole(number) => number.to_string(),
        Cell::Other(number) => number.to_string(),
        Cell::Text(text) if text.trim().is_empty() => "an empty text".into(),
        Cell::Text(_) => "a text".into(),
        Cell::Garbled => "bytes that are no text".into(),
    }
}

/// Passes the users of a part to `each`, numbered in `names`; returns whether there are any.
fn users<T>(
    shelf: &mut impl Shelf<T>,
    arrays: &Arrays<T>,
    field: &str,
    names: &mut Names<Name>,
    mut each: impl FnMut(u32),
) -> Result<bool, DataError> {
    let Some(users) = &arrays.users else {
        return Ok(false);
    };
    let read = shelf.open(users).and_then(|input| {
        npy::cells(input, "users", |at, cell| {
            let name = match cell {
                Cell::Whole(number) => Name::whole(number),
                Cell::Text(text) if !text.trim().is_empty() => Name::parse(text.trim()),
                cell => {
                    let found = format!("{} at [{at}]", said(&cell));
                    return Err(("whole numbers or texts as users".into(), found));
                }
            };
            each(names.number(name));
            Ok(())
        })
    });
    read.map_err(|error| error.at(&format!("{field}.users")))?;
    Ok(true)
}

pub(super) fn load<T>(
    shelf: &mut impl Shelf<T>,
    request: &Request<'_, T>,
    seed: u64,
) -> Result<Split, DataError> {
    let survey = Survey::of(shelf, request)?;
    survey.sizes(request)?;
    let (mut marks, mut names) = (Marks::new(&survey), Names::default());
    let mut read = |shelf: &mut _, heads: &Heads, arrays: &Arrays<T>| -> Result<Raw, DataError> {
        // Labels and users are read first: they are small, and features are not.
        let mut labels = Vec::new();
        marks.read(shelf, &arrays.y, heads, |label| labels.push(label))?;
        let mut own = Vec::new();
        let has = users(shelf, arrays, heads.field, &mut names, |user| {
            own.push(user)
        })?;
        let x = Shelf::open(shelf, &arrays.x).and_then(npy::read);
        let x = x.map_err(|error| error.at(&format!("{}.x", heads.field)))?;
        Ok(Raw {
            shape: sample_shape(&x.shape),
            values: x.values,
            labels,
            users: has.then_some(own),
        })
    };
    let mut train = read(shelf, &survey.train, request.train)?;
    let mut test = match (request.test, &survey.test) {
        (Test::Given(arrays), Some(heads)) => RawTest::Given(read(shelf, heads, arrays)?),
        (Test::Fraction(fraction), _) => RawTest::Fraction(*fraction),
        (Test::Given(_), None) => RawTest::Fraction(crate::quantity::Probability::ZERO),
    };
    let classes = marks.classes(&survey.train.y.file, request.shaping)?;
    let given = match &mut test {
        RawTest::Given(test) => Some(&mut test.labels),
        RawTest::Fraction(_) => None,
    };
    for label in train.labels.iter_mut().chain(given.into_iter().flatten()) {
        *label = classes
            .indices
            .get(*label as usize)
            .copied()
            .unwrap_or(*label);
    }
    let Request { name, shaping, .. } = request;
    let mut split = assemble::split(name, train, test, classes.count, shaping, None, seed)?;
    let (train, test) = split.counts();
    let given = survey.test.is_some();
    split.notes = marks.notes(&classes, shaping, given, (&train, &test));
    split
        .notes
        .extend(assemble::layout_note(&split.train.shape));
    split.names = classes.names;
    Ok(split)
}

/// The summary of what [`load`] would return, from headers, labels and users, with the counts of both
/// parts.
pub(super) fn describe<T>(
    shelf: &mut impl Shelf<T>,
    request: &Request<'_, T>,
    seed: u64,
) -> Result<(DataSummary, Counts, Counts), DataError> {
    let survey = Survey::of(shelf, request)?;
    let (train, test) = survey.sizes(request)?;
    let mut marks = Marks::new(&survey);
    let (mut train_counts, mut test_counts) = (Counts::default(), Counts::default());
    // Where test samples are drawn from the training arrays, the draw is repeated here.
    let drawn = if survey.test.is_some() { 0 } else { test };
    let mut taken = TestDraw::new(survey.train.x.header.rows(), drawn, seed);
    marks.read(shelf, &request.train.y, &survey.train, |label| {
        match drawn > 0 && taken.takes_next() {
            true => test_counts.add(label),
            false => train_counts.add(label),
        }
    })?;
    let mut names = Names::default();
    let has_users = users(shelf, request.train, "train", &mut names, |_| ())?;
    let user_count = has_users.then(|| names.len());
    if let (Test::Given(arrays), Some(heads)) = (request.test, &survey.test) {
        marks.read(shelf, &arrays.y, heads, |label| test_counts.add(label))?;
        users(shelf, arrays, "test", &mut names, |_| ())?;
    }
    let classes = marks.classes(&survey.train.y.file, request.shaping)?;
    let renumbered = |counts: Counts| match classes.indices.is_empty() {
        true => counts,
        false => counts.renumbered(&classes.indices),
    };
    let counts = (renumbered(train_counts), renumbered(test_counts));
    let given = survey.test.is_some();
    let mut notes = marks.notes(&classes, request.shaping, given, (&counts.0, &counts.1));
    notes.extend(assemble::layout_note(&survey.shape));
    let shape = DataSummary {
        shape: survey.shape,
        classes: classes.count,
        train,
        test,
        users: user_count,
        names: classes.names,
        notes,
    };
    Ok((shape, counts.0, counts.1))
}

/// The summary of [`describe`], and the errors in features, which are read and not kept.
pub(super) fn inspect<T>(
    shelf: &mut impl Shelf<T>,
    request: &Request<'_, T>,
    seed: u64,
) -> Inspected {
    let described = describe(shelf, request, seed);
    let mut wrong = Vec::new();
    let mut scan = |arrays: &Arrays<T>, field: &str| {
        let scanned = shelf.open(&arrays.x).and_then(npy::scan);
        wrong.extend(scanned.err().map(|error| error.at(field)));
    };
    scan(request.train, "train.x");
    if let Test::Given(arrays) = request.test {
        scan(arrays, "test.x");
    }
    (described, wrong)
}
