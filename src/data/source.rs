//! The sources of data that a scenario can name, each with everything that is needed to read it.
//!
//! Relative paths are relative to the folder of the scenario file.

use crate::quantity::Probability;
use serde::Serialize;
use std::path::PathBuf;

/// A source of samples, with all defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Source {
    /// The embedded UCI optical digits: 1,797 images of 8×8, 10 classes.
    Digits,
    /// Synthetic(α, β) of FedProx (Li et al. 2020, section 5.1): 60 features, 10 classes.
    Synthetic {
        /// The deviation of the means of the users' models: how much these models differ.
        alpha: f64,
        /// The deviation of the means of the users' features: how much these features differ.
        beta: f64,
        /// The number of natural users.
        users: usize,
        /// The number of samples of each user.
        samples: SampleCounts,
        /// Whether all users have one model and one distribution of features; α and β are then unused.
        iid: bool,
        /// The share of each user's samples that is for testing.
        test: Probability,
    },
    /// Random normal features and uniform labels, from which nothing can be learned: for benchmarks,
    /// and for tests of everything but accuracy.
    Random {
        /// The shape of one sample.
        shape: Vec<usize>,
        /// The number of classes.
        classes: usize,
        /// The number of training samples.
        train: usize,
        /// The number of test samples.
        test: usize,
        /// The type of the features.
        element: Element,
    },
    /// MNIST (LeCun et al. 1998): 70,000 images of 28×28, 10 classes.
    Mnist {
        /// The folder with the four IDX files.
        dir: PathBuf,
    },
    /// Fashion-MNIST (Xiao et al. 2017): images of clothes in the format of MNIST.
    FashionMnist {
        /// The folder with the four IDX files.
        dir: PathBuf,
    },
    /// EMNIST (Cohen et al. 2017): letters and digits in the format of MNIST.
    Emnist {
        /// The folder with the IDX files ("gzip" in the official archive).
        dir: PathBuf,
        /// Which of its splits is read.
        split: EmnistSplit,
    },
    /// Any other IDX files of unsigned bytes.
    Idx {
        /// Training images, 2 to 4 dimensions.
        train_images: PathBuf,
        /// Training labels.
        train_labels: PathBuf,
        /// Test images.
        test_images: PathBuf,
        /// Test labels.
        test_labels: PathBuf,
        /// The shape of a sample, the number of classes, and the normalisation.
        shaping: Shaping,
    },
    /// CIFAR-10, binary version: 60,000 images of 3×32×32.
    Cifar10 {
        /// The folder with the batches, or with `cifar-10-batches-bin`.
        dir: PathBuf,
    },
    /// CIFAR-100, binary version: 60,000 images of 3×32×32.
    Cifar100 {
        /// The folder with `train.bin` and `test.bin`, or with `cifar-100-binary`.
        dir: PathBuf,
        /// Which of its two labels is used.
        labels: CifarLabels,
    },
    /// Arrays of one NumPy archive.
    Npz {
        /// The archive.
        file: PathBuf,
        /// Names of the training arrays.
        train: Arrays<String>,
        /// Names of the test arrays, or a share of the training arrays.
        test: Test<Arrays<String>>,
        /// The shape of a sample, the number of classes, and the normalisation.
        shaping: Shaping,
    },
    /// NumPy arrays, each in a file of its own.
    Npy {
        /// The training files.
        train: Arrays<PathBuf>,
        /// The test files, or a share of the training samples.
        test: Test<Arrays<PathBuf>>,
        /// The shape of a sample, the number of classes, and the normalisation.
        shaping: Shaping,
    },
    /// A table with a header line; every column except those of the label and the user is a feature.
    Csv {
        /// The table.
        file: PathBuf,
        /// A second table with the columns of the first, or a share of the first.
        test: Test<PathBuf>,
        /// The column of the labels: whole numbers, or names (which are then numbered in sorted order).
        label: String,
        /// The column of the natural user, which may be any text.
        user: Option<String>,
        /// The shape of a sample, the number of classes, and the normalisation.
        shaping: Shaping,
    },
    /// LEAF JSON (Caldas et al. 2018) with numeric features.
    Leaf {
        /// A file, or a folder whose `.json` files are read in the order of their names.
        train: PathBuf,
        /// A file or folder for testing, or a share of the training samples.
        test: Test<PathBuf>,
        /// The shape of a sample, the number of classes, and the normalisation.
        shaping: Shaping,
    },
}

/// The number of samples of each synthetic user.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum SampleCounts {
    /// `least + floor(exp(N(log_mean, log_std²)))`.
    LogNormal {
        /// The mean of the logarithm.
        log_mean: f64,
        /// The standard deviation of the logarithm.
        log_std: f64,
        /// The number added to every draw.
        least: usize,
    },
    /// One number for all users.
    Constant(usize),
}

impl SampleCounts {
    /// The numbers of FedProx's generator: 50 + floor(lognormal(4, 2)).
    pub const FEDPROX: Self = Self::LogNormal {
        log_mean: 4.0,
        log_std: 2.0,
        least: 50,
    };
}

/// The type of generated features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Element {
    /// Bytes, which are scaled to about N(0, 1) on the device.
    U8,
    /// Single-precision numbers.
    F32,
}

/// The splits of EMNIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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

/// The label of a CIFAR-100 record that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CifarLabels {
    /// 20 superclasses.
    Coarse,
    /// 100 classes.
    Fine,
}

/// Where test samples come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Test<T> {
    /// From this file or array.
    Given(T),
    /// This share of the samples, drawn from the seed.
    Fraction(Probability),
}

/// The arrays that make up one part of a data set, by file or by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Arrays<T> {
    /// The features, `[n, ...]`.
    pub x: T,
    /// The labels, `[n]`: whole numbers, or texts.
    pub y: T,
    /// The natural users, `[n]`: whole numbers, or texts.
    pub users: Option<T>,
}

/// What a user's own file does not say about its samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Shaping {
    /// The shape of one sample, with as many values as a sample has in the file; `None` takes the shape
    /// of the file. Values keep their order, so channels must come first.
    pub shape: Option<Vec<usize>>,
    /// The number of classes; `None` means one above the highest label.
    pub classes: Option<usize>,
    /// Whether to normalise each channel to mean 0 and deviation 1, as measured on the training
    /// samples. Otherwise bytes are scaled to [0, 1], and other numbers are used as they are.
    pub standardise: bool,
}

/// One line of `shoal list data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// The name in a scenario.
    pub name: &'static str,
    /// A description.
    pub summary: &'static str,
    /// Where to get the data.
    pub origin: &'static str,
}

pub(super) const GET_MNIST: &str =
    "scenarios/data/fetch.sh mnist fetches it into scenarios/data/mnist";
pub(super) const GET_FASHION_MNIST: &str =
    "scenarios/data/fetch.sh fashion-mnist fetches it into scenarios/data/fashion-mnist";
pub(super) const GET_EMNIST: &str =
    "unpack the IDX archive from https://www.nist.gov/itl/products-and-services/emnist-dataset there";
pub(super) const GET_CIFAR10: &str =
    "unpack cifar-10-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html there";
pub(super) const GET_CIFAR100: &str =
    "unpack cifar-100-binary.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html there";

const PRESETS: &[Preset] = &[
    Preset {
        name: "Digits",
        summary: "UCI optical digits, 1,437 + 360 images of 1x8x8, 10 classes",
        origin: "embedded",
    },
    Preset {
        name: "Synthetic",
        summary: "FedProx synthetic(alpha, beta), 60 features, 10 classes, natural users",
        origin: "generated from the seed",
    },
    Preset {
        name: "Random",
        summary: "noise of any shape, for benches and tests",
        origin: "generated from the seed",
    },
    Preset {
        name: "Mnist",
        summary: "handwritten digits, 60,000 + 10,000 images of 1x28x28, 10 classes",
        origin: GET_MNIST,
    },
    Preset {
        name: "FashionMnist",
        summary: "clothes, 60,000 + 10,000 images of 1x28x28, 10 classes",
        origin: GET_FASHION_MNIST,
    },
    Preset {
        name: "Emnist",
        summary: "handwritten letters and digits, images of 1x28x28, 10 to 62 classes",
        origin: GET_EMNIST,
    },
    Preset {
        name: "Cifar10",
        summary: "photographs, 50,000 + 10,000 images of 3x32x32, 10 classes",
        origin: GET_CIFAR10,
    },
    Preset {
        name: "Cifar100",
        summary: "photographs, 50,000 + 10,000 images of 3x32x32, 20 or 100 classes",
        origin: GET_CIFAR100,
    },
    Preset {
        name: "Idx",
        summary: "IDX files of unsigned bytes, plain or gzipped",
        origin: "your files",
    },
    Preset {
        name: "Npz",
        summary: "arrays of a NumPy archive",
        origin: "your file",
    },
    Preset {
        name: "Npy",
        summary: "NumPy arrays, a file each",
        origin: "your files",
    },
    Preset {
        name: "Csv",
        summary: "a table with a label column and, if it has one, a user column",
        origin: "your file",
    },
    Preset {
        name: "Leaf",
        summary: "LEAF JSON with numeric features and natural users",
        origin: "your files, or https://github.com/TalwalkarLab/leaf",
    },
];

impl Source {
    /// Every kind of source, in the order in which they are listed.
    pub fn presets() -> &'static [Preset] {
        PRESETS
    }

    /// The name of this kind of source in a scenario and in [`Self::presets`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Digits => "Digits",
            Self::Synthetic { .. } => "Synthetic",
            Self::Random { .. } => "Random",
            Self::Mnist { .. } => "Mnist",
            Self::FashionMnist { .. } => "FashionMnist",
            Self::Emnist { .. } => "Emnist",
            Self::Idx { .. } => "Idx",
            Self::Cifar10 { .. } => "Cifar10",
            Self::Cifar100 { .. } => "Cifar100",
            Self::Npz { .. } => "Npz",
            Self::Npy { .. } => "Npy",
            Self::Csv { .. } => "Csv",
            Self::Leaf { .. } => "Leaf",
        }
    }
}
