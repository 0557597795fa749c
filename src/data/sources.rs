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
use std::path::{Path, PathBuf};

/// The share of samples that is for testing where nothing else is said.
fn fifth() -> Fraction {
    // A fifth is a probability.
    Fraction(Probability::new(0.2).unwrap_or(Probability::ZERO))
}

fn under(base: &Path, test: Test<PathBuf>) -> Test<PathBuf> {
    match test {
        Test::Given(path) => Test::Given(base.join(path)),
        share @ Test::Fraction(_) => share,
    }
}

/// Makes a source of a user's own files: its fields, then those that say how samples are shaped, which all
/// such sources have. With `tested by T` it also has those that say where test samples come from: a `T`, or
/// a share of the samples.
macro_rules! own_files {
    ($(#[$doc:meta])* $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)+ }) => {
        own_files! { @struct [$(#[$doc])*] $name { $($(#[$about])* $field: $type,)+ } }
    };
    ($(#[$doc:meta])* $name:ident tested by $test:ty { $($(#[$about:meta])* $field:ident: $type:ty,)+ }) => {
        own_files! {
            @struct [$(#[$doc])*] $name {
                $($(#[$about])* $field: $type,)+
                /// The test samples, where they are given apart from the others.
                #[serde(default)]
                test: Option<$test>,
                /// The share of the samples that is for testing, where no test samples are given.
                #[serde(default = "super::fifth")]
                test_fraction: $crate::text::fields::Fraction,
            }
        }

        impl $name {
            /// The source with these settings.
            pub fn of(
                $($field: $type,)+
                test: $crate::data::Test<$test>,
                shaping: $crate::data::Shaping,
            ) -> Self {
                let (test, test_fraction) = match test {
                    $crate::data::Test::Given(given) => (Some(given), super::fifth()),
                    $crate::data::Test::Fraction(share) => (None, $crate::text::fields::Fraction(share)),
                };
                let $crate::data::Shaping { shape, classes, standardise } = shaping;
                Self { $($field,)+ test, test_fraction, shape, classes, standardise }
            }

            fn tested(&self) -> $crate::data::Test<$test> {
                let share = $crate::data::Test::Fraction(self.test_fraction.0);
                self.test.clone().map_or(share, $crate::data::Test::Given)
            }
        }
    };
    (@struct [$(#[$doc:meta])*] $name:ident { $($(#[$about:meta])* $field:ident: $type:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$about])* pub $field: $type,)+
            /// The shape of one sample, if it is not that of the file.
            #[serde(default)]
            pub shape: Option<Vec<usize>>,
            /// The number of classes, if it is not one above the highest label.
            #[serde(default)]
            pub classes: Option<usize>,
            /// Whether each channel is normalised.
            #[serde(default)]
            pub standardise: bool,
        }

        impl $name {
            fn shaping(&self) -> $crate::data::Shaping {
                $crate::data::Shaping {
                    shape: self.shape.clone(),
                    classes: self.classes,
                    standardise: self.standardise,
                }
            }
        }
    };
}
use own_files;
