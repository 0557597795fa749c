//! Image sets: where their files are, how they are normalised, and how IDX and CIFAR files become
//! samples.

use super::Inspected;
use crate::data::assemble::{self, Raw, RawTest};
use crate::data::cifar::{self, Format};
use crate::data::classes::{ClassNames, Counts};
use crate::data::dataset::{DataSummary, Scaling, Split, Values};
use crate::data::error::{DataError, Place};
use crate::data::idx;
use crate::data::input::{open_file, Input};
use crate::data::source::{
    CifarLabels, EmnistSplit, Shaping, GET_CIFAR10, GET_CIFAR100, GET_EMNIST, GET_FASHION_MNIST,
    GET_MNIST,
};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

const CIFAR_SHAPE: [usize; 3] = [3, 32, 32];

/// The classes of Fashion-MNIST, with the names that its authors give.
const CLOTHES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The classes of CIFAR-10, with the names that its authors give.
const PHOTOGRAPHS: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// An image set whose files have been found.
pub(super) struct Set<'a> {
    name: &'static str,
    train: Part,
    test: Part,
    shaping: Cow<'a, Shaping>,
    scaling: Option<Scaling>,
    names: ClassNames,
}

enum Part {
    Idx(Idx),
    Cifar { files: Vec<PathBuf>, format: Format },
}

struct Idx {
    images: PathBuf,
    labels: PathBuf,
    /// The label of class 0: the labels of EMNIST letters begin with 1.
    first_label: u8,
    /// Whether images are stored column by column, as in EMNIST.
    transposed: bool,
}

impl Idx {
    /// A part whose files need no adjustment.
    fn part((images, labels): (PathBuf, PathBuf)) -> Part {
        Part::Idx(Self {
            images,
            labels,
            first_label: 0,
            transposed: false,
        })
    }

    fn locate(dir: &Path, prefix: &str, remedy: &str) -> Result<(PathBuf, PathBuf), DataError> {
        let find = |part| idx::locate(dir, &format!("{prefix}{part}"), remedy);
        Ok((find("images")?, find("labels")?))
    }

    fn read(&self) -> Result<Raw, DataError> {
        let (_, count) = self.head()?;
        let mut labels = Vec::with_capacity(count);
        self.labels(|label| labels.push(label))?;
        let (dims, mut pixels) = idx::images(Input::open_maybe_gzipped(&self.images)?)?;
        let shape = idx::sample_shape(&dims);
        if let ([_, height, width], true) = (shape.as_slice(), self.transposed) {
            pixels = transpose(&pixels, *width, *height);
        }
        Ok(Raw {
            shape,
            values: Values::U8(pixels),
            labels,
            users: None,
        })
    }

    /// The shape of a sample and the number of samples, from the headers, which are checked against
    /// each other.
    fn head(&self) -> Result<(Vec<usize>, usize), DataError> {
        let mut input = Input::open_maybe_gzipped(&self.images)?;
        let (dims, _) = idx::header(&mut input, 2..=4, "pixels")?;
        let mut input = Input::open_maybe_gzipped(&self.labels)?;
        let (_, labels) = idx::header(&mut input, 1..=1, "labels")?;
        let images = dims.first().copied().unwrap_or(0);
        if images as u64 != labels {
            let expected = format!(
                "{images} labels, as many as {} has images",
                self.images.display()
            );
            let place = Place::Byte(4);
            return Err(DataError::malformed(
                &self.labels,
                place,
                expected,
                labels.to_string(),
            ));
        }
        Ok((idx::sample_shape(&dims), images))
    }

    /// Passes the class of each sample to `each`.
    fn labels(&self, mut each: impl FnMut(u32)) -> Result<(), DataError> {
        let input = Input::open_maybe_gzipped(&self.labels)?;
        idx::labels(input, |at, label| {
            match label.checked_sub(self.first_label) {
                Some(class) => {
                    each(u32::from(class));
                    Ok(())
                }
                None => {
                    let expected = format!("labels from {}", self.first_label);
                    let place = Place::Byte(8 + at);
                    Err(DataError::malformed(
                        &self.labels,
                        place,
                        expected,
                        label.to_string(),
                    ))
                }
            }
        })
    }
}

/// Turns images of `height` columns written one after another into rows of `width`.
fn transpose(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len());
    for image in pixels.chunks_exact(width * height) {
        for y in 0..height {
            out.extend(image.iter().skip(y).step_by(height));
        }
    }
    out
}

impl Part {
    /// Reads a file of CIFAR records.
    fn records(path: &Path, format: Format, each: impl FnMut(u32, &[u8])) -> Result<(), DataError> {
        let (file, size) = open_file(path)?;
        let reader = std::io::BufReader::with_capacity(1 << 16, file);
        cifar::read(Input::plain(path, reader, size), size, format, each)
    }

    fn read(&self) -> Result<Raw, DataError> {
        match self {
            Self::Idx(idx) => idx.read(),
            Self::Cifar { files, format } => {
                let (shape, count) = self.head()?;
                let mut pixels = Vec::with_capacity(count * cifar::PIXELS);
                let mut labels = Vec::with_capacity(count);
                for path in files {
                    Self::records(path, *format, |label, own| {
                        labels.push(label);
                        pixels.extend_from_slice(own);
                    })?;
                }
                Ok(Raw {
                    shape,
                    values: Values::U8(pixels),
                    labels,
                    users: None,
                })
            }
        }
    }

    /// The shape of a sample and the number of samples.
    fn head(&self) -> Result<(Vec<usize>, usize), DataError> {
        match self {
            Self::Idx(idx) => idx.head(),
            Self::Cifar { files, format } => {
                let mut count = 0;
                for path in files {
                    count += cifar::count(path, open_file(path)?.1, *format)?;
                }
                Ok((CIFAR_SHAPE.to_vec(), count))
            }
        }
    }

    /// Passes the class of each sample to `each`.
    fn labels(&self, mut each: impl FnMut(u32)) -> Result<(), DataError> {
        match self {
            Self::Idx(idx) => idx.labels(each),
            Self::Cifar { files, format } => files
                .iter()
                .try_for_each(|path| Self::records(path, *format, |label, _| each(label))),
        }
    }

    /// Reads the images to their end.
    fn scan(&self) -> Result<(), DataError> {
        match self {
            Self::Idx(idx) => idx::scan(Input::open_maybe_gzipped(&idx.images)?),
            // The records have been read with the labels.
            Self::Cifar { .. } => Ok(()),
        }
    }

    /// The file that holds the images, or the first of them.
    fn images(&self) -> &Path {
        match self {
            Self::Idx(idx) => &idx.images,
            Self::Cifar { files, .. } => files.first().map_or(Path::new(""), PathBuf::as_path),
        }
    }

    /// The file that holds the labels, or the first of them.
    fn labels_file(&self) -> &Path {
        match self {
            Self::Idx(idx) => &idx.labels,
            Self::Cifar { .. } => self.images(),
        }
    }
}

impl<'a> Set<'a> {
    /// MNIST, normalised with the mean and deviation of its training pixels that PyTorch's examples
    /// use.
    pub fn mnist(dir: &Path) -> Result<Self, DataError> {
        let scaling = Scaling::uniform(1.0 / 255.0, 0.1307, 0.3081);
        Self::as_mnist("Mnist", dir, GET_MNIST, scaling, &[])
    }

    /// Fashion-MNIST, normalised with the mean and deviation of its training pixels.
    pub fn fashion_mnist(dir: &Path) -> Result<Self, DataError> {
        let scaling = Scaling::uniform(1.0 / 255.0, 0.2860, 0.3530);
        Self::as_mnist("FashionMnist", dir, GET_FASHION_MNIST, scaling, &CLOTHES)
    }

    fn as_mnist(
        name: &'static str,
        dir: &Path,
        remedy: &str,
        scaling: Scaling,
        names: &[&str],
    ) -> Result<Self, DataError> {
        Ok(Self {
            name,
            train: Idx::part(Idx::locate(dir, "train-", remedy)?),
            test: Idx::part(Idx::locate(dir, "t10k-", remedy)?),
            shaping: with_classes(10),
            scaling: Some(scaling),
            names: ClassNames::new(names),
        })
    }

    /// EMNIST, normalised with the constants that are in common use for all its splits.
    pub fn emnist(dir: &Path, split: EmnistSplit) -> Result<Self, DataError> {
        let (file, classes) = match split {
            EmnistSplit::ByClass => ("byclass", 62),
            EmnistSplit::ByMerge => ("bymerge", 47),
            EmnistSplit::Balanced => ("balanced", 47),
            EmnistSplit::Letters => ("letters", 26),
            EmnistSplit::Digits => ("digits", 10),
            EmnistSplit::Mnist => ("mnist", 10),
        };
        let part = |part| -> Result<Part, DataError> {
            let (images, labels) = Idx::locate(dir, &format!("emnist-{file}-{part}-"), GET_EMNIST)?;
            Ok(Part::Idx(Idx {
                images,
                labels,
                first_label: u8::from(split == EmnistSplit::Letters),
                transposed: true,
            }))
        };
        Ok(Self {
            name: "Emnist",
            train: part("train")?,
            test: part("test")?,
            shaping: with_classes(classes),
            scaling: Some(Scaling::uniform(1.0 / 255.0, 0.1736, 0.3317)),
            names: match split {
                EmnistSplit::Letters => ClassNames::new(('A'..='Z').map(String::from)),
                _ => ClassNames::default(),
            },
        })
    }

    /// IDX files of images and labels.
    pub fn idx(train: (PathBuf, PathBuf), test: (PathBuf, PathBuf), shaping: &'a Shaping) -> Self {
        Self {
            name: "Idx",
            train: Idx::part(train),
            test: Idx::part(test),
            shaping: Cow::Borrowed(shaping),
            scaling: None,
            names: ClassNames::default(),
        }
    }

    /// CIFAR-10, normalised with the means and deviations of its training pixels by channel.
    pub fn cifar10(dir: &Path) -> Result<Self, DataError> {
        let train: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
        let train: Vec<&str> = train.iter().map(String::as_str).collect();
        let format = Format {
            labels: 1,
            wanted: 0,
            classes: 10,
        };
        let files = |names: &[&str]| cifar::locate(dir, "cifar-10-batches-bin", names, GET_CIFAR10);
        Ok(Self {
            name: "Cifar10",
            train: Part::Cifar {
                files: files(&train)?,
                format,
            },
            test: Part::Cifar {
                files: files(&["test_batch.bin"])?,
                format,
            },
            shaping: with_classes(10),
            scaling: Some(Scaling {
                scale: 1.0 / 255.0,
                mean: vec![0.4914, 0.4822, 0.4465],
                std: vec![0.2470, 0.2435, 0.2616],
            }),
            names: ClassNames::new(PHOTOGRAPHS),
        })
    }

    /// CIFAR-100, normalised with the means and deviations of its training pixels by channel.
    pub fn cifar100(dir: &Path, labels: CifarLabels) -> Result<Self, DataError> {
        let (wanted, classes) = match labels {
            CifarLabels::Coarse => (0, 20),
            CifarLabels::Fine => (1, 100),
        };
        let format = Format {
            labels: 2,
            wanted,
            classes,
        };
        let files = |name: &str| cifar::locate(dir, "cifar-100-binary", &[name], GET_CIFAR100);
        Ok(Self {
            name: "Cifar100",
            train: Part::Cifar {
                files: files("train.bin")?,
                format,
            },
            test: Part::Cifar {
                files: files("test.bin")?,
                format,
            },
            shaping: with_classes(classes),
            scaling: Some(Scaling {
                scale: 1.0 / 255.0,
                mean: vec![0.5071, 0.4865, 0.4409],
                std: vec![0.2673, 0.2564, 0.2762],
            }),
            names: ClassNames::default(),
        })
    }

    /// The shape of a sample and the numbers of samples for training and for testing, from the headers.
    fn heads(&self) -> Result<(Vec<usize>, usize, usize), DataError> {
        let (train_shape, train) = self.train.head()?;
        let (test_shape, test) = self.test.head()?;
        let shape = assemble::shape(self.name, &self.shaping, &train_shape)?;
        let own = assemble::shape(self.name, &self.shaping, &test_shape)?;
        if shape != own {
            let file = self.test.images();
            let like = self.train.images().display();
            let expected = format!("images of shape {shape:?}, as {like} has");
            let found = format!("shape {own:?}");
            let error = DataError::malformed(file, Place::Whole, expected, found);
            return Err(error.at("test_images"));
        }
        Ok((shape, train, test))
    }

    /// The number of classes, where the labels need at least `needed`.
    fn classes(&self, needed: usize) -> Result<usize, DataError> {
        assemble::classes(self.train.labels_file(), &self.shaping, needed)
    }

    pub fn load(&self, seed: u64) -> Result<Split, DataError> {
        self.heads()?;
        let (train, test) = (self.train.read()?, self.test.read()?);
        let labels = train.labels.iter().chain(&test.labels);
        let classes = self.classes(labels.max().map_or(0, |top| *top as usize + 1))?;
        let test = RawTest::Given(test);
        let (shaping, scaling) = (&self.shaping, self.scaling.as_ref());
        let mut split = assemble::split(self.name, train, test, classes, shaping, scaling, seed)?;
        let (train, test) = split.counts();
        split.notes = self.notes(&split.train.shape, &train, &test);
        split.names = self.names.clone();
        Ok(split)
    }

    fn notes(&self, shape: &[usize], train: &Counts, test: &Counts) -> Vec<String> {
        let mut notes = assemble::index_notes(&self.shaping, true, train, test);
        notes.extend(assemble::layout_note(shape));
        notes
    }

    /// The summary of the set, from the headers, and from the labels where nothing else gives the
    /// number of classes.
    pub fn describe(&self) -> Result<DataSummary, DataError> {
        match self.shaping.classes {
            None => Ok(self.counted()?.0),
            Some(_) => {
                let (shape, train, test) = self.heads()?;
                let notes = assemble::layout_note(&shape).into_iter().collect();
                self.shape(shape, (train, test), self.classes(0)?, notes)
            }
        }
    }

    /// The summary of the set, with the counts of the labels of both parts.
    fn counted(&self) -> Result<(DataSummary, Counts, Counts), DataError> {
        let (shape, train, test) = self.heads()?;
        let (mut train_counts, mut test_counts) = (Counts::default(), Counts::default());
        self.train.labels(|label| train_counts.add(label))?;
        self.test.labels(|label| test_counts.add(label))?;
        let classes = self.classes(train_counts.needed().max(test_counts.needed()))?;
        let notes = self.notes(&shape, &train_counts, &test_counts);
        let shape = self.shape(shape, (train, test), classes, notes)?;
        Ok((shape, train_counts, test_counts))
    }

    fn shape(
        &self,
        shape: Vec<usize>,
        (train, test): (usize, usize),
        classes: usize,
        notes: Vec<String>,
    ) -> Result<DataSummary, DataError> {
        Ok(DataSummary {
            shape,
            classes,
            train,
            test,
            users: None,
            names: self.names.clone(),
            notes,
        })
    }

    /// The summary of the set after everything was read; no image is kept.
    pub fn inspect(&self) -> Inspected {
        let scanned = [self.train.scan(), self.test.scan()];
        let wrong = scanned.into_iter().filter_map(Result::err);
        (self.counted(), wrong.collect())
    }
}

fn with_classes<'a>(classes: usize) -> Cow<'a, Shaping> {
    Cow::Owned(Shaping {
        classes: Some(classes),
        ..Shaping::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_image_is_read_row_by_row() {
        // Two images of 2 rows and 3 columns; the file holds their columns.
        let columns = [1, 4, 2, 5, 3, 6, 11, 14, 12, 15, 13, 16];
        assert_eq!(
            transpose(&columns, 3, 2),
            [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
        );
    }
}
