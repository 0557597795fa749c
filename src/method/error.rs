//! What can go wrong inside a method.

use super::Payload;
use crate::learn::LearnError;
use crate::model::ParamError;
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
    /// Training or evaluation failed.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// Parameter sets do not fit together, or memory ran out.
    #[error(transparent)]
    Params(#[from] ParamError),
}

impl MethodError {
    pub(super) fn payload(expected: &'static str, found: &Payload) -> Self {
        Self::Payload {
            expected,
            found: found.kind(),
        }
    }
}
