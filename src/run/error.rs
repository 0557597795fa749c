//! Why a run did not finish.

use crate::data::{DataError, PartitionError};
use crate::learn::{HostError, LearnError};
use crate::method::MethodError;
use crate::model::ModelError;
use crate::net::NetError;
use crate::observe::ObserveError;
use crate::sim::SimError;
use crate::text::Diagnostics;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a run did not finish.
#[derive(Debug, Error)]
pub enum RunError {
    /// The scenario is wrong.
    #[error("{0}")]
    Scenario(#[from] Diagnostics),
    /// The data cannot be read.
    #[error(transparent)]
    Data(Box<DataError>),
    /// The data cannot be dealt to the clients.
    #[error("partition: {0}")]
    Partition(#[from] PartitionError),
    /// The network does not fit the data.
    #[error("model: {0}")]
    Model(#[from] ModelError),
    /// The links make no network.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The host device cannot be used.
    #[error(transparent)]
    Host(#[from] HostError),
    /// Data does not fit the host device.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The method could not be set up.
    #[error(transparent)]
    Method(#[from] MethodError),
    /// The simulation could not go on.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The method or an evaluation could not go on.
    #[error("{0}")]
    Fatal(String),
    /// The run folder could not be written.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// A file could not be written or read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The folder to verify is none of a run with a trace.
    #[error("{problem}; expected the folder of a run that had record.trace on")]
    NotARun {
        /// What is missing or cannot be read.
        problem: String,
    },
    /// The folder to go on in is none of a run that can be gone on with.
    #[error("{}: {problem}", folder.display())]
    NotResumable {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        problem: String,
    },
    /// A checkpoint that cannot be used.
    #[error("{}: {problem}", path.display())]
    Checkpoint {
        /// Its file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// Other ranks cannot take part.
    #[error("{0}")]
    Ranks(String),
    /// Another rank was lost.
    #[error("{what}; {advice}")]
    RankLost {
        /// Which, and how.
        what: String,
        /// What can be done now.
        advice: String,
    },
    /// It was told to stop before it had begun.
    #[error("interrupted before the run began; nothing was written")]
    Stopped,
    /// A thread could not be started.
    #[error("cannot start the device workers: {0}")]
    Threads(io::Error),
}

impl From<DataError> for RunError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl RunError {
    pub(super) fn checkpoint(path: &Path, problem: impl ToString) -> Self {
        Self::Checkpoint {
            path: path.to_path_buf(),
            problem: problem.to_string(),
        }
    }

    /// Another rank was lost in the midst of the run in `folder`.
    pub(super) fn lost(what: String, folder: &Path, resumable: bool) -> Self {
        let advice = match resumable {
            true => format!(
                "go on from the last checkpoint with: shoal resume {}",
                folder.display()
            ),
            false => "the scenario has no checkpoint: (every: N) to go on from".to_string(),
        };
        Self::RankLost { what, advice }
    }

    /// Whether the input is at fault, rather than the run.
    pub const fn is_bad_input(&self) -> bool {
        matches!(
            self,
            Self::Scenario(_)
                | Self::Data(_)
                | Self::Partition(_)
                | Self::Model(_)
                | Self::Net(_)
                | Self::Host(_)
                | Self::NotARun { .. }
                | Self::NotResumable { .. }
                | Self::Checkpoint { .. }
                | Self::Sim(SimError::Damaged(_))
                | Self::Observe(ObserveError::NotEmpty { .. } | ObserveError::InUse { .. })
        )
    }
}
