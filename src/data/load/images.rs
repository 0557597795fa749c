//! Image sets: where their files lie, how they are normalised, how IDX and CIFAR files become samples.

use crate::data::assemble::{self, Raw, RawTest};
use crate::data::cifar::{self, Format, Records};
use crate::data::dataset::{Scaling, Shape, Split, Values};
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

/// An image set with its files found.
pub(super) struct Set<'a> {
    name: &'static str,
    train: Part,
    test: Part,
    shaping: Cow<'a, Shaping>,
    scaling: Option<Scaling>,
}

enum Part {
    Idx(Idx),
    Cifar { files: Vec<PathBuf>, format: Format },
}

struct Idx {
    images: PathBuf,
    labels: PathBuf,
    /// The label of class 0: EMNIST letters count from 1.
    first_label: u8,
    /// EMNIST stores its images column by column.
    transposed: bool,
}

impl Idx {
    /// Files that need no adjustment.
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
        let (dims, mut pixels) = idx::images(Input::open_maybe_gzipped(&self.images)?)?;
        let labels = idx::labels(Input::open_maybe_gzipped(&self.labels)?)?;
        self.check_counts(&dims, labels.len())?;
        let shape = idx::sample_shape(&dims);
        if let ([_, height, width], true) = (shape.as_slice(), self.transposed) {
            pixels = transpose(&pixels, *width, *height);
        }
        Ok(Raw {
            shape,
            values: Values::U8(pixels),
            labels: self.number(&labels)?,
            users: None,
        })
    }

    fn check_counts(&self, dims: &[usize], labels: usize) -> Result<(), DataError> {
        let images = dims.first().copied().unwrap_or(0);
        if images != labels {
            let expected = format!(
                "{images} labels, as many as {} has images",
                self.images.display()
            );
            return Err(DataError::malformed(
                &self.labels,
                Place::Byte(4),
                expected,
                labels.to_string(),
            ));
        }
        Ok(())
    }

    fn number(&self, labels: &[u8]) -> Result<Vec<u32>, DataError> {
        let number = |(at, label): (usize, &u8)| match label.checked_sub(self.first_label) {
            Some(class) => Ok(u32::from(class)),
            None => {
                let expected = format!("labels from {}", self.first_label);
                Err(DataError::malformed(
                    &self.labels,
                    Place::Byte(8 + at as u64),
                    expected,
                    label.to_string(),
                ))
            }
        };
        labels.iter().enumerate().map(number).collect()
    }

    /// Shape of a sample, number of samples, and the labels where they are wanted.
    fn describe(&self, with_labels: bool) -> Result<(Vec<usize>, usize, Vec<u32>), DataError> {
        let mut input = Input::open_maybe_gzipped(&self.images)?;
        let (dims, _) = idx::header(&mut input, 2..=4, "pixels")?;
        let mut input = Input::open_maybe_gzipped(&self.labels)?;
        let (labels, count) = if with_labels {
            let labels = idx::labels(input)?;
            (self.number(&labels)?, labels.len())
        } else {
            let (_, count) = idx::header(&mut input, 1..=1, "labels")?;
            (Vec::new(), count as usize)
        };
        self.check_counts(&dims, count)?;
        Ok((idx::sample_shape(&dims), count, labels))
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
    fn read(&self) -> Result<Raw, DataError> {
        match self {
            Self::Idx(idx) => idx.read(),
            Self::Cifar { files, format } => {
                let mut records = Records::default();
                for path in files {
                    let (file, size) = open_file(path)?;
                    let reader = std::io::BufReader::with_capacity(1 << 16, file);
                    cifar::read(
                        Input::plain(path, reader, size),
                        size,
                        *format,
                        &mut records,
                    )?;
                }
                Ok(Raw {
                    shape: CIFAR_SHAPE.to_vec(),
                    values: Values::U8(records.pixels),
                    labels: records.labels,
                    users: None,
                })
            }
        }
    }

    fn describe(&self, with_labels: bool) -> Result<(Vec<usize>, usize, Vec<u32>), DataError> {
        match self {
            Self::Idx(idx) => idx.describe(with_labels),
            Self::Cifar { files, format } => {
                let mut count = 0;
                for path in files {
                    count += cifar::count(path, open_file(path)?.1, *format)?;
                }
                Ok((CIFAR_SHAPE.to_vec(), count, Vec::new()))
            }
        }
    }
}

impl<'a> Set<'a> {
    /// MNIST; mean and deviation of its training pixels, as PyTorch's examples use them.
    pub fn mnist(dir: &Path) -> Result<Self, DataError> {
        let scaling = Scaling::uniform(1.0 / 255.0, 0.1307, 0.3081);
        Self::as_mnist("Mnist", dir, GET_MNIST, scaling)
    }

    /// Fashion-MNIST; mean and deviation of its training pixels.
    pub fn fashion_mnist(dir: &Path) -> Result<Self, DataError> {
        let scaling = Scaling::uniform(1.0 / 255.0, 0.2860, 0.3530);
        Self::as_mnist("FashionMnist", dir, GET_FASHION_MNIST, scaling)
    }

    fn as_mnist(
        name: &'static str,
        dir: &Path,
        remedy: &str,
        scaling: Scaling,
    ) -> Result<Self, DataError> {
        Ok(Self {
            name,
            train: Idx::part(Idx::locate(dir, "train-", remedy)?),
            test: Idx::part(Idx::locate(dir, "t10k-", remedy)?),
            shaping: with_classes(10),
            scaling: Some(scaling),
        })
    }

    /// EMNIST; the constants are those in common use for all its splits.
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
        })
    }

    /// IDX files, images and labels.
    pub fn idx(train: (PathBuf, PathBuf), test: (PathBuf, PathBuf), shaping: &'a Shaping) -> Self {
        Self {
            name: "Idx",
            train: Idx::part(train),
            test: Idx::part(test),
            shaping: Cow::Borrowed(shaping),
            scaling: None,
        }
    }

    /// CIFAR-10; means and deviations of its training pixels by channel.
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
        })
    }

    /// CIFAR-100; means and deviations of its training pixels by channel.
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
        })
    }

    pub fn load(&self, seed: u64) -> Result<Split, DataError> {
        let (train, test) = (self.train.read()?, RawTest::Given(self.test.read()?));
        assemble::split(
            self.name,
            train,
            test,
            &self.shaping,
            self.scaling.as_ref(),
            seed,
        )
    }

    pub fn describe(&self) -> Result<Shape, DataError> {
        let with_labels = self.shaping.classes.is_none();
        let (shape, train, train_labels) = self.train.describe(with_labels)?;
        let (_, test, test_labels) = self.test.describe(with_labels)?;
        Ok(Shape {
            shape: assemble::shape(self.name, &self.shaping, &shape)?,
            classes: assemble::classes(
                self.name,
                &self.shaping,
                train_labels.iter().chain(&test_labels),
            )?,
            train,
            test,
            users: None,
        })
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
