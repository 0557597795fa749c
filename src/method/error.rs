//! What can go wrong inside a method.

use super::Payload;
use crate::learn::LearnError;
use crate::model::ParamError;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use thiserror::Error;

/// A method could not do its part.
#[derive(Debug, Error)]
pub enum MethodError {
    /// A payload of another kind than the method's halves agreed on.
    #[error("expected {expected}, got {found}")]
    Payload {
        /// What the receiver needs.
        expected: &'static str,
        /// What it was handed.
        found: &'static str,
    },
    /// Several things in one payload, and not as many as agreed on.
    #[error("expected {expected} in the {what}, got {found}")]
    Count {
        /// What holds them.
        what: &'static str,
        /// How many the receiver needs.
        expected: usize,
        /// How many it was handed.
        found: usize,
    },
    /// A number that the method cannot work with.
    #[error("expected {what} to be {expected}, got {found}")]
    Number {
        /// What the number is.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// The method learns from a public set and there is none.
    #[error(
        "the method learns from a public set, and the scenario has none; add public: (share: 0.05)"
    )]
    NoPublicData,
    /// A network that the method has no rule for.
    #[error("{0}")]
    Network(&'static str),
    /// An error of work that was done before a checkpoint, in its words.
    #[error("{message}")]
    Restored {
        /// Its words.
        message: String,
        /// As [`MethodError::diverged`].
        diverged: bool,
    },
    /// A layer around the method could not do its part.
    #[error("{layer}: {what}")]
    Layer {
        /// Which.
        layer: &'static str,
        /// What stood in its way.
        what: String,
    },
    /// Training or evaluation failed.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// Parameter sets do not fit together, or memory ran out.
    #[error(transparent)]
    Params(#[from] ParamError),
}

/// In its words, and whether training diverged: that is all that can be seen of it.
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
    /// Whether training ended because its loss or the weights stopped being numbers.
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
