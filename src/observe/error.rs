//! The errors of writing a run folder, and of reading it.

use std::io;
use std::path::{Path, PathBuf};

/// A file of a run could not be written, or could not be read back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// The folder that the user named is not empty. Nothing was changed, and the run has not begun.
    #[error(
        "{}: the output folder is not empty; name a new or empty folder, or name none to get one under runs/",
        path.display()
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// Another process is at work in the folder. Nothing was changed.
    #[error("{}: another process is running it: {holder}", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// A description of that process.
        holder: String,
    },
    /// Every numbered name is taken. Nothing was changed, and the run has not begun.
    #[error(
        "{}: no free folder name {stem}-1 to {stem}-{tried}; clear old runs away or name a folder",
        root.display()
    )]
    NoFreeName {
        /// The folder in which the run folder was to be made.
        root: PathBuf,
        /// The name without its number.
        stem: String,
        /// The last number tried.
        tried: u32,
    },
    /// The operating system refused an operation. What was flushed before is still on the disk.
    #[error("{}: cannot {action}: {source}; {}", path.display(), remedy(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as an infinitive.
        action: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A file of a run folder does not contain what this version of Shoal writes there.
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
        /// Its length at the checkpoint, in bytes.
        expected: u64,
        /// Its length now, in bytes.
        found: u64,
    },
    /// A value cannot be written in the file's format.
    #[error("{}: cannot encode {what}: {message}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What was being written.
        what: &'static str,
        /// The message of the encoder.
        message: String,
    },
    /// A picture of the report could not be drawn. The other files of the run are not affected.
    #[error("report: cannot draw {what}: {message}")]
    Draw {
        /// The picture.
        what: &'static str,
        /// The message of the plotting library.
        message: String,
    },
}

impl ObserveError {
    /// The error `source` of the operating system, for `action` on `path`.
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
