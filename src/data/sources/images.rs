//! Image sets: the well-known ones by their names, and IDX files of the user's.

use super::own_files;
use crate::data::dataset::{DataSummary, Split};
use crate::data::error::DataError;
use crate::data::load::images::Set;
use crate::data::load::inspected;
use crate::data::source::{DataSource, Inspection, Reading};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A source that is an image set: its files are found first, and then read.
trait ImageSet {
    fn set(&self, base: &Path) -> Result<Set<'static>, DataError>;
}

impl<T: ImageSet + Send + Sync> DataSource for T {
    fn load(&self, reading: Reading<'_>) -> Result<Split, DataError> {
        self.set(reading.base)?.load(reading.seed)
    }

    /// Reads headers and sizes, and labels where nothing else gives the number of classes.
    fn describe(&self, reading: Reading<'_>) -> Result<DataSummary, DataError> {
        self.set(reading.base)?.describe()
    }

    /// Keeps no value of an image.
    fn inspect(&self, reading: Reading<'_>) -> Result<Inspection, Vec<DataError>> {
        let set = self.set(reading.base).map_err(|error| vec![error])?;
        inspected(set.inspect())
    }
}

/// MNIST (LeCun et al. 1998): 70,000 images of 28×28, 10 classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mnist {
    /// The folder with the four IDX files.
    #[serde(default = "mnist")]
    pub dir: PathBuf,
}

impl ImageSet for Mnist {
    fn set(&self, base: &Path) -> Result<Set<'static>, DataError> {
        Set::mnist(&base.join(&self.dir))
    }
}

fn mnist() -> PathBuf {
    "data/mnist".into()
}

/// Fashion-MNIST (Xiao et al. 2017): images of clothes in the format of MNIST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FashionMnist {
    /// The folder with the four IDX files.
    #[serde(default = "fashion_mnist")]
    pub dir: PathBuf,
}

impl ImageSet for FashionMnist {
    fn set(&self, base: &Path) -> Result<Set<'static>, DataError> {
        Set::fashion_mnist(&base.join(&self.dir))
    }
}

fn fashion_mnist() -> PathBuf {
    "data/fashion-mnist".into()
}

/// EMNIST (Cohen et al. 2017): letters and digits in the format of MNIST.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emnist {
    /// The folder with the IDX files ("gzip" in the official archive).
    pub dir: PathBuf,
    /// Which of its splits is read.
    pub split: EmnistSplit,
}

impl ImageSet for Emnist {
    fn set(&self, base: &Path) -> Result<Set<'static>, DataError> {
        Set::emnist(&base.join(&self.dir), self.split)
    }
}

/// The splits of EMNIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EmnistSplit {
    /// 814,255 images, 62 classes.
    ByClass,
    /// 814,255 images, 47 classes.
    ByMerge,
    /// 131,600 images, 47 classes.
    Balanced,
    /// 145,600 images, 26 classes.
    Letters,
    /// 280,000 images, 10 classes.
    Digits,
    /// 70,000 images, 10 classes.
    Mnist,
}

/// CIFAR-10, binary version: 60,000 images of 3×32×32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cifar10 {
    /// The folder with the batches, or with `cifar-10-batches-bin`.
    pub dir: PathBuf,
}

impl ImageSet for Cifar10 {
    fn set(&self, base: &Path) -> Result<Set<'static>, DataError> {
        Set::cifar10(&base.join(&self.dir))
    }
}

/// CIFAR-100, binary version: 60,000 images of 3×32×32.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cifar100 {
    /// The folder with `train.bin` and `test.bin`, or with `cifar-100-binary`.
    pub dir: PathBuf,
    /// Whether the labels are the 20 superclasses instead of the 100 classes.
    #[serde(default)]
    pub coarse: bool,
}

impl ImageSet for Cifar100 {
    fn set(&self, base: &Path) -> Result<Set<'static>, DataError> {
        Set::cifar100(&base.join(&self.dir), self.coarse)
    }
}

own_files! {
    /// Any other IDX files of unsigned bytes.
    Idx {
        /// The training images, of 2 to 4 dimensions.
        train_images: PathBuf,
        /// The training labels.
        train_labels: PathBuf,
        /// The test images.
        test_images: PathBuf,
        /// The test labels.
        test_labels: PathBuf,
    }
}

impl ImageSet for Idx {
    fn set(&self, base: &Path) -> Result<Set<'static>, DataError> {
        let train = (base.join(&self.train_images), base.join(&self.train_labels));
        let test = (base.join(&self.test_images), base.join(&self.test_labels));
        Ok(Set::idx(train, test, self.shaping()))
    }
}
