//! Data: where samples come from, and which client gets which samples.
//!
//! A [`Source`] says where the samples are. [`load()`] reads it into a [`Split`]: a training
//! [`Dataset`] and a [`TestSet`], two types so that test data cannot be passed for training data. A
//! [`Partitioner`] then distributes the training samples to clients as a [`Partition`], which holds
//! indices and never copies of samples. [`describe`] says what a source contains, and reads no more
//! than it has to.
//!
//! Guarantees:
//! - with equal source, seed and files, the samples and their order are equal;
//! - a partition gives no sample to two clients, unless the rule is one that shares samples
//!   ([`Partitioner::Shared`]);
//! - a file that is truncated, too long or wrong about its size gives a [`DataError`] with the place,
//!   before memory is spent on the size that it states.
//!
//! The submodules: `dataset` (the types), `source` (what a scenario can name) and `load` (from a name
//! to samples); `input` (bounded reading) and the readers on top of it, `idx`, `cifar`, `npy`, `npz`,
//! `table` (CSV) and `leaf`; `assemble` (what the readers of user files share); the sources that need
//! no file, `digits`, `synthetic` and `noise`; `partition`; and `public` (the samples that the server
//! holds).
//!
//! ```
//! # use shoal::data::{load, Partitioner, Source};
//! # use std::path::Path;
//! let split = load(&Source::Digits, 1, Path::new("."))?;
//! let partition = Partitioner::Dirichlet { alpha: 0.3 }.partition(&split.train, 100, 2, 1)?;
//! assert_eq!(partition.len(), split.train.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod assemble;
mod cifar;
mod classes;
mod dataset;
mod digits;
mod error;
mod idx;
mod input;
mod labels;
mod leaf;
mod load;
mod magic;
mod noise;
mod npy;
mod npz;
mod partition;
mod public;
mod source;
mod spoil;
mod synthetic;
mod table;

#[cfg(test)]
mod fuzz;

pub use classes::{ClassCount, ClassNames};
pub use dataset::{DataSummary, Dataset, Scaling, Split, TestSet, Values, MAX_BYTES, MAX_CLASSES};
pub use error::{DataError, Place};
pub(crate) use input::{lines_of, read_whole};
pub use load::{describe, inspect, load, Inspection};
pub use partition::{Partition, PartitionError, Partitioner};
pub use public::PublicSplit;
pub use source::{
    Arrays, CifarLabels, Element, EmnistSplit, Preset, SampleCounts, Shaping, Source, Test,
};
