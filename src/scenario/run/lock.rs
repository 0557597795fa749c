//! One process a run folder: two that wrote to one would ruin both.

use super::{RunError, SCENARIO};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Holds a run folder until it is dropped, or the process ends in whichever way.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Holds the folder of a run.
///
/// # Errors
/// When another process does, or the folder has no scenario.
pub(super) fn hold(folder: &Path) -> Result<Lock, RunError> {
    // The scenario's copy is written once and never replaced.
    let path = folder.join(SCENARIO);
    let file = File::open(&path).map_err(|source| RunError::File { path, source })?;
    // SAFETY: a call on a descriptor that is open; it touches no memory.
    let held = unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    let error = std::io::Error::last_os_error();
    // File systems without locks go without.
    if held != 0 && error.kind() == std::io::ErrorKind::WouldBlock {
        return Err(RunError::NotResumable {
            folder: folder.to_path_buf(),
            problem: "another process is running it".into(),
        });
    }
    Ok(Lock { _file: file })
}

/// Whether another process is at the run in this folder.
pub fn in_use(folder: &Path) -> bool {
    matches!(hold(folder), Err(RunError::NotResumable { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        assert!(hold(folder.path()).is_err(), "no run");
        std::fs::write(folder.path().join(SCENARIO), "").unwrap();
        let first = hold(folder.path()).unwrap();
        let error = hold(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another process is running it"), "{error}");
        assert!(in_use(folder.path()));
        drop(first);
        assert!(!in_use(folder.path()));
        hold(folder.path()).unwrap();
    }
}
