//! The errors of training and evaluation.

use crate::model::{first_line, ParamError};
use tch::TchError;
use thiserror::Error;

/// Why training or evaluation gave no result.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LearnError {
    /// The loss or the weights are no longer finite numbers.
    #[error(
        "training diverged at step {step} (loss {loss}); lower the learning rate or clip gradients"
    )]
    Diverged {
        /// The number of steps before the failing one.
        step: u64,
        /// The loss of the failing step.
        loss: f64,
    },
    /// A job has no samples.
    #[error("no samples to learn from or to measure on")]
    NoSamples,
    /// A sample does not exist.
    #[error("sample {index} was asked for, the data set has {len}")]
    NoSuchSample {
        /// The number of the sample.
        index: u32,
        /// The number of samples in the data set.
        len: usize,
    },
    /// The data does not match its description.
    #[error("data set: expected {expected}, got {found}")]
    Data {
        /// The content that the description implies.
        expected: String,
        /// The content that was found.
        found: String,
    },
    /// The model takes data of another shape or with other classes.
    #[error("the model takes samples of shape {model:?} in {classes} classes, the data set has shape {data:?} and {labels} classes")]
    Shape {
        /// The shape of the samples that the model takes.
        model: Vec<usize>,
        /// The number of classes that the model distinguishes.
        classes: usize,
        /// The shape of the samples in the data.
        data: Vec<usize>,
        /// The number of classes in the data.
        labels: usize,
    },
    /// The number of class flags differs from the number of classes of the model.
    #[error("expected a flag for each of {expected} classes, got {found}")]
    Classes {
        /// The number of classes of the model.
        expected: usize,
        /// The number of flags.
        found: usize,
    },
    /// The list of networks to draw from is empty.
    #[error("expected at least one width to train, got none")]
    NoWidths,
    /// The target scores do not belong to the samples.
    #[error("expected {expected} target scores, one for each sample and class, got {found}")]
    Targets {
        /// The number of samples times the number of classes.
        expected: usize,
        /// The number of scores.
        found: usize,
    },
    /// The parameters do not belong to the model.
    #[error(transparent)]
    Parameters(ParamError),
    /// The jobs cannot be stacked, since they differ in more than their data.
    #[error("{jobs} jobs were to be trained as one; they must share model, data, training and kind of correction")]
    Unlike {
        /// The number of jobs.
        jobs: usize,
    },
    /// The host device has too little memory.
    #[error("out of memory on the host device: {detail}; use a smaller batch or fewer workers")]
    OutOfMemory {
        /// The error message of torch.
        detail: String,
    },
    /// The run that the job belongs to has ended, so nobody needs its result.
    #[error("the run was stopped before the job was done")]
    GivenUp,
    /// Torch reported another error.
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
