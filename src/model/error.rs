//! What can be wrong with a layer list, or with an operation on parameters.

use super::ViewError;
use std::fmt;
use tch::TchError;
use thiserror::Error;

/// Everything found wrong with a layer list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct ModelError {
    /// At least one problem, in the order of the layers.
    pub problems: Vec<LayerProblem>,
}

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerProblem {
    /// The layer (`layers[3].body[0]`), or `layers` for the list as a whole.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for LayerProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

/// Why an operation on parameters could not be done.
#[derive(Debug, Error)]
pub enum ParamError {
    /// Two parameter vectors of different networks met.
    #[error("parameters of different layouts: expected {expected}, got {found}; both must come from the same model")]
    Layout {
        /// What was wanted.
        expected: String,
        /// What was given.
        found: String,
    },
    /// Values of the wrong number.
    #[error("expected {expected} values for this layout, got {found}")]
    Length {
        /// Values in the layout.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// A sub-model and a selection of units that do not belong to a network.
    #[error("{full} have no part of {sub} that this selection describes; both must be of one architecture")]
    NotPart {
        /// The full network.
        full: String,
        /// What was to be part of it.
        sub: String,
    },
    /// The values lie on another device than the operation needs.
    #[error("the parameters are on {device:?}; move them to the CPU first (`to_device`)")]
    Device {
        /// Where they are.
        device: tch::Device,
    },
    /// The values cannot be read or written in place.
    #[error("the parameters: {0}")]
    View(ViewError),
    /// Torch refused.
    #[error("torch: {}", first_line(.0))]
    Torch(#[from] TchError),
}

impl From<ViewError> for ParamError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Device(device) => Self::Device { device },
            other => Self::View(other),
        }
    }
}

/// Torch appends its whole C++ stack to a message; its first line says what happened.
pub(crate) fn first_line(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    text.lines().next().unwrap_or_default().to_owned()
}
