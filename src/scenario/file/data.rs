//! Data and its partition, as typed.

use crate::text::fields::Fraction;
use serde::Deserialize;
use std::path::PathBuf;

/// Where the samples come from. Relative paths are relative to the scenario's folder.
#[derive(Debug, Clone, Deserialize)]
pub enum DataFile {
    /// The embedded UCI digits.
    Digits,
    /// FedProx's synthetic(α, β).
    Synthetic {
        /// How much the users' models differ.
        #[serde(default = "unit")]
        alpha: f64,
        /// How much the users' features differ.
        #[serde(default = "unit")]
        beta: f64,
        /// Number of natural users.
        #[serde(default = "thirty")]
        users: usize,
        /// Samples of each user.
        #[serde(default)]
        samples: SamplesFile,
        /// One distribution for all users.
        #[serde(default)]
        iid: bool,
        /// Share of each user's samples that is for testing.
        #[serde(default = "fifth")]
        test: Fraction,
    },
    /// Noise.
    Random {
        /// Shape of one sample.
        shape: Vec<usize>,
        /// Number of classes.
        classes: usize,
        /// Training samples.
        train: usize,
        /// Test samples.
        test: usize,
        /// Bytes instead of floats.
        #[serde(default)]
        bytes: bool,
    },
    /// MNIST.
    Mnist {
        /// Folder of the IDX files.
        #[serde(default = "mnist")]
        dir: PathBuf,
    },
    /// Fashion-MNIST.
    FashionMnist {
        /// Folder of the IDX files.
        #[serde(default = "fashion_mnist")]
        dir: PathBuf,
    },
    /// EMNIST.
    Emnist {
        /// Folder of the IDX files.
        dir: PathBuf,
        /// Which split.
        split: EmnistFile,
    },
    /// Other IDX files.
    Idx {
        /// Training images.
        train_images: PathBuf,
        /// Training labels.
        train_labels: PathBuf,
        /// Test images.
        test_images: PathBuf,
        /// Test labels.
        test_labels: PathBuf,
        /// Shape of one sample, if not as in the file.
        #[serde(default)]
        shape: Option<Vec<usize>>,
        /// Number of classes, if not as in the labels.
        #[serde(default)]
        classes: Option<usize>,
        /// Normalise each channel.
        #[serde(default)]
        standardise: bool,
    },
    /// CIFAR-10, binary version.
    Cifar10 {
        /// Folder of the batches.
        dir: PathBuf,
    },
    /// CIFAR-100, binary version.
    Cifar100 {
        /// Folder of the two files.
        dir: PathBuf,
        /// The 20 superclasses instead of the 100 classes.
        #[serde(default)]
        coarse: bool,
    },
    /// A NumPy archive.
    Npz {
        /// The archive.
        file: PathBuf,
        /// Names of the training arrays.
        train: ArraysFile<String>,
        /// Names of the test arrays.
        #[serde(default)]
        test: Option<ArraysFile<String>>,
        /// Share of the training arrays that is for testing, without test arrays.
        #[serde(default = "fifth")]
        test_fraction: Fraction,
        /// Shape of one sample, if not as in the file.
        #[serde(default)]
        shape: Option<Vec<usize>>,
        /// Number of classes, if not as in the labels.
        #[serde(default)]
        classes: Option<usize>,
        /// Normalise each channel.
        #[serde(default)]
        standardise: bool,
    },
    /// NumPy arrays, a file each.
    Npy {
        /// Training files.
        train: ArraysFile<PathBuf>,
        /// Test files.
        #[serde(default)]
        test: Option<ArraysFile<PathBuf>>,
        /// Share of the training files that is for testing, without test files.
        #[serde(default = "fifth")]
        test_fraction: Fraction,
        /// Shape of one sample, if not as in the file.
        #[serde(default)]
        shape: Option<Vec<usize>>,
        /// Number of classes, if not as in the labels.
        #[serde(default)]
        classes: Option<usize>,
        /// Normalise each channel.
        #[serde(default)]
        standardise: bool,
    },
    /// A table.
    Csv {
        /// The table.
        file: PathBuf,
        /// Column of the labels.
        label: String,
        /// Column of the natural user.
        #[serde(default)]
        user: Option<String>,
        /// A second table, for testing.
        #[serde(default)]
        test: Option<PathBuf>,
        /// Share of the table that is for testing, without a second table.
        #[serde(default = "fifth")]
        test_fraction: Fraction,
        /// Shape of one sample, if not a vector.
        #[serde(default)]
        shape: Option<Vec<usize>>,
        /// Number of classes, if not as in the labels.
        #[serde(default)]
        classes: Option<usize>,
        /// Normalise each channel.
        #[serde(default)]
        standardise: bool,
    },
    /// LEAF JSON.
    Leaf {
        /// A file or folder.
        train: PathBuf,
        /// A file or folder, for testing.
        #[serde(default)]
        test: Option<PathBuf>,
        /// Share of the samples that is for testing, without test files.
        #[serde(default = "fifth")]
        test_fraction: Fraction,
        /// Shape of one sample, if not a vector.
        #[serde(default)]
        shape: Option<Vec<usize>>,
        /// Number of classes, if not as in the labels.
        #[serde(default)]
        classes: Option<usize>,
        /// Normalise each channel.
        #[serde(default)]
        standardise: bool,
    },
}

const fn unit() -> f64 {
    1.0
}

const fn thirty() -> usize {
    30
}

fn fifth() -> Fraction {
    // A fifth is a probability.
    Fraction(crate::quantity::Probability::new(0.2).unwrap_or(crate::quantity::Probability::ZERO))
}

fn mnist() -> PathBuf {
    "data/mnist".into()
}

fn fashion_mnist() -> PathBuf {
    "data/fashion-mnist".into()
}

/// The splits of EMNIST.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum EmnistFile {
    /// 62 classes, unbalanced.
    ByClass,
    /// 47 classes, unbalanced.
    ByMerge,
    /// 47 classes, balanced.
    Balanced,
    /// 26 letters.
    Letters,
    /// Ten digits.
    Digits,
    /// As MNIST.
    Mnist,
}

/// Samples of a synthetic user.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub enum SamplesFile {
    /// As FedProx's generator has it.
    #[default]
    FedProx,
    /// The same for all.
    Constant(usize),
    /// `least + floor(exp(N(log_mean, log_std²)))`.
    LogNormal {
        /// Mean of the logarithm.
        log_mean: f64,
        /// Deviation of the logarithm.
        log_std: f64,
        /// Added to every draw.
        #[serde(default)]
        least: usize,
    },
}

/// The arrays of one part of a data set.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Arrays")]
pub struct ArraysFile<T> {
    /// Features.
    pub x: T,
    /// Labels.
    pub y: T,
    /// Natural users.
    #[serde(default = "none")]
    pub users: Option<T>,
}

const fn none<T>() -> Option<T> {
    None
}

/// Who gets which samples.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Partition", default)]
pub struct PartitionFile {
    /// The rule.
    pub by: RuleFile,
    /// No client gets fewer.
    pub min_per_client: usize,
    /// Share of each client's samples that it keeps for its own evaluation.
    pub holdout: Option<Fraction>,
}

impl Default for PartitionFile {
    fn default() -> Self {
        Self {
            by: RuleFile::default(),
            min_per_client: 1,
            holdout: None,
        }
    }
}

/// Rules that deal samples to clients.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum RuleFile {
    /// Shuffled and cut into equal parts.
    Iid {
        /// So many each, the rest unused.
        #[serde(default)]
        samples_per_client: Option<usize>,
    },
    /// Class by class, in Dirichlet shares.
    Dirichlet {
        /// Concentration.
        alpha: f64,
    },
    /// Sorted by label and cut into shards.
    Shards {
        /// Shards of each client.
        #[serde(default = "two")]
        per_client: usize,
    },
    /// Sizes by a power law.
    QuantitySkew {
        /// Its exponent.
        exponent: f64,
    },
    /// Both label and size skew.
    LabelAndQuantity {
        /// Concentration.
        alpha: f64,
        /// Exponent of the sizes.
        exponent: f64,
    },
    /// So many classes each.
    Labels {
        /// Classes of each client.
        per_client: usize,
    },
    /// By natural user.
    Natural,
    /// So many each, which clients share.
    Shared {
        /// Samples of each client.
        per_client: usize,
        /// Whether a client's are of one class, or of few.
        #[serde(default)]
        by_label: bool,
    },
}

const fn two() -> usize {
    2
}

impl Default for RuleFile {
    fn default() -> Self {
        Self::Iid {
            samples_per_client: None,
        }
    }
}
