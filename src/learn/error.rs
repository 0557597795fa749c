//! Why a job gave no result.

use crate::model::{first_line, ParamError};
use tch::TchError;
use thiserror::Error;

/// Why training or evaluation gave no result.
#[derive(Debug, Error)]
pub enum LearnError {
    /// The loss or the weights stopped being numbers.
    #[error(
        "training diverged at step {step} (loss {loss}); lower the learning rate or clip gradients"
    )]
    Diverged {
        /// Steps done before, from 0.
        step: u64,
        /// The loss there.
        loss: f64,
    },
    /// A job over nothing.
    #[error("no samples to learn from or to measure on")]
    NoSamples,
    /// A sample that does not exist.
    #[error("sample {index} was asked for, the data set has {len}")]
    NoSuchSample {
        /// The index asked for.
        index: u32,
        /// Samples there are.
        len: usize,
    },
    /// Data that is not what its description says.
    #[error("data set: expected {expected}, got {found}")]
    Data {
        /// What the description implies.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Data of another kind than the model takes.
    #[error("the model takes samples of shape {model:?} in {classes} classes, the data set has shape {data:?} and {labels} classes")]
    Shape {
        /// Shape the model takes.
        model: Vec<usize>,
        /// Classes the model tells apart.
        classes: usize,
        /// Shape the data has.
        data: Vec<usize>,
        /// Classes the data has.
        labels: usize,
    },
    /// Flags for another number of classes than the model tells apart.
    #[error("expected a flag for each of {expected} classes, got {found}")]
    Classes {
        /// Classes the model tells apart.
        expected: usize,
        /// Flags given.
        found: usize,
    },
    /// A list of networks to draw from that is empty.
    #[error("expected at least one width to train, got none")]
    NoWidths,
    /// Target scores that do not belong to the samples.
    #[error("expected {expected} target scores, one for each sample and class, got {found}")]
    Targets {
        /// Samples times classes.
        expected: usize,
        /// Scores given.
        found: usize,
    },
    /// Parameters that do not belong to the model.
    #[error(transparent)]
    Parameters(ParamError),
    /// Jobs that cannot be stacked.
    #[error("{jobs} jobs were to be trained as one; they must share model, data, training and kind of correction")]
    Unlike {
        /// How many.
        jobs: usize,
    },
    /// The host has not the memory for it.
    #[error("out of memory on the host device: {detail}; use a smaller batch or fewer workers")]
    OutOfMemory {
        /// Torch's words.
        detail: String,
    },
    /// The run that the job is of has ended: nobody takes what comes of it.
    #[error("the run was stopped before the job was done")]
    GivenUp,
    /// Torch refused for another reason.
    #[error("torch: {0}")]
    Torch(String),
}

impl From<TchError> for LearnError {
    fn from(error: TchError) -> Self {
        let text = first_line(&error);
        // The CPU allocator says "not enough memory" or "can't allocate memory", CUDA "out of memory".
        let lower = text.to_lowercase();
        if [
            "out of memory",
            "not enough memory",
            "can't allocate memory",
        ]
        .iter()
        .any(|sign| lower.contains(sign))
        {
            Self::OutOfMemory { detail: text }
        } else {
            Self::Torch(text)
        }
    }
}

impl From<ParamError> for LearnError {
    fn from(error: ParamError) -> Self {
        match error {
            ParamError::Torch(error) => error.into(),
            other => Self::Parameters(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allocation_that_fails_is_recognised_and_told_in_one_line() {
        let refused =
            tch::Tensor::f_empty([1i64 << 45], (tch::Kind::Float, tch::Device::Cpu)).unwrap_err();
        let error = LearnError::from(refused);
        assert!(matches!(error, LearnError::OutOfMemory { .. }), "{error:?}");
        assert_eq!(error.to_string().lines().count(), 1);
        let cuda = TchError::Torch("CUDA out of memory. Tried to allocate 2 GiB\nframe #0".into());
        assert!(matches!(
            LearnError::from(cuda),
            LearnError::OutOfMemory { .. }
        ));
        let other = TchError::Torch("shapes do not match\nframe #0".into());
        assert_eq!(
            LearnError::from(other).to_string(),
            "torch: shapes do not match"
        );
    }
}
