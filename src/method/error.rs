//! The errors of a method.

use super::Payload;
use crate::learn::LearnError;
use crate::model::ParamError;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use thiserror::Error;

/// Why a method could not do its part.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MethodError {
    /// The payload is of another kind than the receiver expects.
    #[error("expected {expected}, got {found}")]
    Payload {
        /// The kind that the receiver expects.
        expected: &'static str,
        /// The kind that it got.
        found: &'static str,
    },
    /// A payload has another number of parts than the receiver expects.
    #[error("expected {expected} in the {what}, got {found}")]
    Count {
        /// The name of the payload.
        what: &'static str,
        /// The number that the receiver expects.
        expected: usize,
        /// The number that it got.
        found: usize,
    },
    /// A number has a value that the method cannot work with.
    #[error("expected {what} to be {expected}, got {found}")]
    Number {
        /// The meaning of the number.
        what: &'static str,
        /// The values that are allowed.
        expected: &'static str,
        /// The value that was found.
        found: f64,
    },
    /// The method learns from a public set, and the scenario has none.
    #[error(
        "the method learns from a public set, and the scenario has none; add public: (share: 0.05)"
    )]
    NoPublicData,
    /// The method has no rule for this network.
    #[error("{0}")]
    Network(&'static str),
    /// An error of work that was done before a checkpoint. Only its message is known.
    #[error("{message}")]
    Restored {
        /// The message of the error.
        message: String,
        /// Whether training diverged, as [`MethodError::diverged`] says of other errors.
        diverged: bool,
    },
    /// A layer around the method could not do its part.
    #[error("{layer}: {what}")]
    Layer {
        /// The name of the layer.
        layer: &'static str,
        /// What went wrong.
        what: String,
    },
    /// Training or evaluation failed.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// Parameter sets do not fit together, or there is too little memory.
    #[error(transparent)]
    Params(#[from] ParamError),
}

/// A checkpoint contains the message of an error and whether training diverged, since nothing else
/// of it can be observed.
impl Snapshot for MethodError {
    fn save(&self, to: &mut Writer) {
        self.to_string().save(to);
        self.diverged().save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(Self::Restored {
            message: Snapshot::load(from)?,
            diverged: Snapshot::load(from)?,
        })
    }
}

impl MethodError {
    /// Whether training ended because its loss or its weights were no longer finite.
    pub const fn diverged(&self) -> bool {
        match self {
            Self::Learn(error) => matches!(error, LearnError::Diverged { .. }),
            Self::Restored { diverged, .. } => *diverged,
            _ => false,
        }
    }

    pub(crate) fn payload(expected: &'static str, found: &Payload) -> Self {
        Self::Payload {
            expected,
            found: found.kind(),
        }
    }

    pub(crate) fn layer(layer: &'static str, what: impl Into<String>) -> Self {
        Self::Layer {
            layer,
            what: what.into(),
        }
    }

    pub(super) const fn count(what: &'static str, expected: usize, found: usize) -> Self {
        Self::Count {
            what,
            expected,
            found,
        }
    }
}
