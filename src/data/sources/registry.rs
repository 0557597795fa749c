//! The list of sources: what a scenario can name as `data`.

use crate::data::DataSource;
use crate::registry::kind;

kind! {
    dyn DataSource, "a data source";
    /// UCI optical digits, 1,437 + 360 images of 1x8x8, 10 classes; embedded
    Digits: super::Digits,
    /// FedProx synthetic(alpha, beta), 60 features, 10 classes, natural users; generated from the seed
    Synthetic: super::Synthetic,
    /// Noise of any shape, for benches and tests; generated from the seed
    Random: super::Random,
    /// Handwritten digits, 60,000 + 10,000 images of 1x28x28, 10 classes; scenarios/data/fetch.sh mnist
    Mnist: super::Mnist,
    /// Clothes, 60,000 + 10,000 images of 1x28x28, 10 classes; scenarios/data/fetch.sh fashion-mnist
    FashionMnist: super::FashionMnist,
    /// Handwritten letters and digits, images of 1x28x28, 10 to 62 classes; your IDX files from nist.gov
    Emnist: super::Emnist,
    /// Photographs, 50,000 + 10,000 images of 3x32x32, 10 classes; your files of cifar-10-binary.tar.gz
    Cifar10: super::Cifar10,
    /// Photographs, 50,000 + 10,000 images of 3x32x32, 20 or 100 classes; your files of cifar-100-binary.tar.gz
    Cifar100: super::Cifar100,
    /// IDX files of unsigned bytes, plain or gzipped; your files
    Idx: super::Idx,
    /// Arrays of a NumPy archive; your file
    Npz: super::Npz,
    /// NumPy arrays, a file each; your files
    Npy: super::Npy,
    /// A table with a label column and, if it has one, a user column; your file
    Csv: super::Csv,
    /// LEAF JSON with numeric features and natural users; your files, or https://github.com/TalwalkarLab/leaf
    Leaf: super::Leaf,
}
