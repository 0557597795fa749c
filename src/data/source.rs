//! What a scenario can name as data: each variant with everything that is needed to read it.
//!
//! Relative paths are relative to the folder of the scenario file.

use crate::quantity::Probability;
use serde::Serialize;
use std::path::PathBuf;

/// A source of samples, resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Source {
    /// The embedded UCI optical digits: 1,797 images of 8×8, 10 classes.
    Digits,
    /// Synthetic(α, β) of FedProx (Li et al. 2020, section 5.1): 60 features, 10 classes.
    Synthetic {
        /// How much the users' models differ: deviation of their means.
        alpha: f64,
        /// How much the users' features differ: deviation of their means.
        beta: f64,
        /// Number of natural users.
        users: usize,
        /// Samples of each user.
        samples: SampleCounts,
        /// One model and one distribution of features for all users; α and β are then unused.
        iid: bool,
        /// Share of each user's samples that is for testing.
        test: Probability,
    },
    /// Random-normal features and uniform labels: noise, from which nothing can be learned. For
    /// benches and tests of everything but accuracy.
    Random {
        /// Shape of one sample.
        shape: Vec<usize>,
        /// Number of classes.
        classes: usize,
        /// Training samples.
        train: usize,
        /// Test samples.
        test: usize,
        /// Type of the features.
        element: Element,
    },
    /// MNIST (LeCun et al. 1998): 70,000 images of 28×28, 10 classes.
    Mnist {
        /// Folder with the four IDX files.
        dir: PathBuf,
    },
    /// Fashion-MNIST (Xiao et al. 2017): as MNIST, of clothes.
    FashionMnist {
        /// Folder with the four IDX files.
        dir: PathBuf,
    },
    /// EMNIST (Cohen et al. 2017): letters and digits as MNIST.
    Emnist {
        /// Folder with the IDX files ("gzip" in the official archive).
        dir: PathBuf,
        /// Which of its splits.
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
        /// Shape, classes, scaling.
        shaping: Shaping,
    },
    /// CIFAR-10, binary version: 60,000 images of 3×32×32.
    Cifar10 {
        /// Folder with the batches, or with `cifar-10-batches-bin`.
        dir: PathBuf,
    },
    /// CIFAR-100, binary version: 60,000 images of 3×32×32.
    Cifar100 {
        /// Folder with `train.bin` and `test.bin`, or with `cifar-100-binary`.
        dir: PathBuf,
        /// Which of its two labels.
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
        /// Shape, classes, scaling.
        shaping: Shaping,
    },
    /// NumPy arrays, a file each.
    Npy {
        /// Training files.
        train: Arrays<PathBuf>,
        /// Test files, or a share of the training files.
        test: Test<Arrays<PathBuf>>,
        /// Shape, classes, scaling.
        shaping: Shaping,
    },
    /// A table with a header line; every column but label and user is a feature.
    Csv {
        /// The table.
        file: PathBuf,
        /// A second table with the same columns, or a share of the first.
        test: Test<PathBuf>,
        /// Column of the labels: whole numbers, or names (then numbered in sorted order).
        label: String,
        /// Column of the natural user: any text.
        user: Option<String>,
        /// Shape, classes, scaling.
        shaping: Shaping,
    },
    /// LEAF JSON (Caldas et al. 2018) with numeric features.
    Leaf {
        /// A file, or a folder whose `.json` files are read in the order of their names.
        train: PathBuf,
        /// The same for testing, or a share of the training samples.
        test: Test<PathBuf>,
        /// Shape, classes, scaling.
        shaping: Shaping,
    },
}

/// How many samples each synthetic user has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum SampleCounts {
    /// `least + floor(exp(N(log_mean, log_std²)))`.
    LogNormal {
        /// Mean of the logarithm.
        log_mean: f64,
        /// Deviation of the logarithm.
        log_std: f64,
        /// Added to every draw.
        least: usize,
    },
    /// The same for all.
    Constant(usize),
}

impl SampleCounts {
    /// The figures of FedProx's generator: 50 + floor(lognormal(4, 2)).
    pub const FEDPROX: Self = Self::LogNormal {
        log_mean: 4.0,
        log_std: 2.0,
        least: 50,
    };
}

/// Type of generated features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Element {
    /// Bytes, scaled to about N(0, 1) on the device.
    U8,
    /// Floats.
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

/// Which label of a CIFAR-100 record.
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
    /// From here.
    Given(T),
    /// This share of the samples, drawn by the seed.
    Fraction(Probability),
}

/// The arrays that make up one part of a data set, by file or by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Arrays<T> {
    /// Features, `[n, ...]`.
    pub x: T,
    /// Labels, `[n]`, whole numbers.
    pub y: T,
    /// Natural users, `[n]`, whole numbers.
    pub users: Option<T>,
}

/// What a file of the user's own does not say about its samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Shaping {
    /// Shape of one sample, with as many values as the file has; as in the file when not given.
    /// Values keep their order: channels must come first.
    pub shape: Option<Vec<usize>>,
    /// Number of classes; one above the highest label when not given.
    pub classes: Option<usize>,
    /// Normalise each channel to mean 0 and deviation 1, as measured on the training samples.
    /// Otherwise bytes are scaled to [0, 1] and other numbers are taken as they are.
    pub standardise: bool,
}

/// One line of `shoal list data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// As a scenario spells it.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// Where to get it.
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
    /// Every kind of source, in the order in which a reader would want them.
    pub fn presets() -> &'static [Preset] {
        PRESETS
    }

    /// The name of this kind, as a scenario spells it and as [`Self::presets`] lists it.
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
