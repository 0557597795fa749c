//! The sources of data that a scenario can name. Each is the type whose fields are its settings.
//!
//! - `generated`: the embedded digits, and samples that are made from the seed
//! - `images`: image sets in the formats of MNIST and CIFAR
//! - `arrays`: NumPy arrays; `texts`: tables and LEAF files
//! - `registry`: their list

mod arrays;
mod generated;
mod images;
mod registry;
mod texts;

pub use arrays::{Npy, Npz};
pub use generated::{Digits, Random, SampleCounts, Synthetic};
pub use images::{Cifar10, Cifar100, Emnist, EmnistSplit, FashionMnist, Idx, Mnist};
pub use texts::{Csv, Leaf};

use super::source::Test;
use crate::quantity::Probability;
use crate::text::fields::Fraction;
use std::path::Path;
use std::path::PathBuf;

/// The share of samples that is for testing where nothing else is said.
fn fifth() -> Fraction {
    // A fifth is a probability.
    Fraction(Probability::new(0.2).unwrap_or(Probability::ZERO))
}

const fn none<T>() -> Option<T> {
    None
}

/// The test samples that are given, or a share of the others.
fn given_or<T: Clone>(given: Option<&T>, fraction: Fraction) -> Test<T> {
    given.map_or(Test::Fraction(fraction.0), |given| {
        Test::Given(given.clone())
    })
}

/// The other way round, for settings that are made in Rust.
fn as_settings<T>(test: Test<T>) -> (Option<T>, Fraction) {
    match test {
        Test::Given(given) => (Some(given), fifth()),
        Test::Fraction(share) => (None, Fraction(share)),
    }
}

fn under(base: &Path, test: Test<PathBuf>) -> Test<PathBuf> {
    match test {
        Test::Given(path) => Test::Given(base.join(path)),
        share @ Test::Fraction(_) => share,
    }
}
