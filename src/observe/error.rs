//! What can go wrong while a run is written down.

use std::io;
use std::path::{Path, PathBuf};

/// A file of the run could not be written, or read back.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The folder asked for has something in it. Nothing was touched; the run has not begun.
    #[error(
        "{}: the output folder is not empty; name a new or empty folder, or name none to get one under runs/",
        path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Another process is at work in the folder. Nothing was touched.
    #[error("{}: another process is running it: {holder}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who that is, in words.
        holder: String,
    },
    /// Every numbered name is taken. Nothing was touched; the run has not begun.
    #[error(
        "{}: no free folder name {stem}-1 to {stem}-{tried}; clear old runs away or name a folder",
        root.display()
    )]
    NoFreeName {
        /// Where the folder was to go.
        root: PathBuf,
        /// The name without its number.
        stem: String,
        /// The last number tried.
        tried: u32,
    },
    /// The operating system refused. What was flushed before is still there.
    #[error("{}: cannot {action}: {source}; {}", path.display(), remedy(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done to it, as an infinitive.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a run folder does not hold what this version writes there.
    #[error(
        "{}:{line}: {message}; the file was changed or comes from another version of shoal: run the scenario again",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What was found, and what was expected.
        message: String,
    },
    /// A file is shorter than it was when a checkpoint was made.
    #[error(
        "{}: expected at least {expected} bytes, which it had at the checkpoint, found {found}; the file was changed since",
        path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// Its length at the checkpoint.
        expected: u64,
        /// Its length now.
        found: u64,
    },
    /// A value has no form in the file's format.
    #[error("{}: cannot encode {what}: {message}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What was being written.
        what: &'static str,
        /// What the encoder said.
        message: String,
    },
    /// A picture of the report could not be drawn. The run's other files are not touched by this.
    #[error("report: cannot draw {what}: {message}")]
    Draw {
        /// The picture.
        what: &'static str,
        /// What the plotting library said.
        message: String,
    },
}

impl ObserveError {
    /// The system's refusal of `action` on `path`.
    pub(crate) fn io(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Io {
            path: path.to_path_buf(),
            action,
            source,
        }
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space or choose a folder on another disk"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a folder that you may write to"
        }
        io::ErrorKind::NotFound => "check the path",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file is in the way: choose another path"
        }
        io::ErrorKind::InvalidData => "the file is not text: run the scenario again",
        _ => "check the disk and the path",
    }
}
