//! One process a run folder: two that wrote to one would ruin both.

use super::RunError;
use crate::disk::lock::{self, Lock};
use crate::observe::folder::LOCK;
use crate::observe::record::{host_name, utc};
use std::path::Path;
use std::time::SystemTime;

/// Holds the folder of a run.
///
/// # Errors
/// When another process does, with who that is.
pub(super) fn hold(folder: &Path) -> Result<Lock, RunError> {
    let path = folder.join(LOCK);
    let taken = lock::take(&path, &me()).map_err(|source| RunError::File { path, source })?;
    taken.map_err(|holder| RunError::NotResumable {
        folder: folder.to_path_buf(),
        problem: format!("another process is running it: {holder}"),
    })
}

/// Whether another process is at the run in this folder.
pub fn in_use(folder: &Path) -> bool {
    lock::holder(&folder.join(LOCK)).is_some()
}

/// This process, for others to know it by: number, machine, and when it said so.
pub(crate) fn me() -> String {
    let (process, machine) = (std::process::id(), host_name());
    let now = utc(SystemTime::now());
    format!("process {process} on {machine}, since {now}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_holder_at_a_time_who_is_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(hold(&folder.path().join("nowhere")).is_err(), "no folder");
        let first = hold(folder.path()).unwrap();
        let error = hold(folder.path()).unwrap_err().to_string();
        let named = format!(
            "another process is running it: process {} on ",
            std::process::id()
        );
        assert!(
            error.contains(&named) && error.contains(", since 2"),
            "{error}"
        );
        assert!(in_use(folder.path()));
        drop(first);
        assert!(!in_use(folder.path()));
        drop(hold(folder.path()).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
