//! The lock on a cell: two processes may work on one sweep at the same time, and neither runs a
//! cell that the other is running.

use crate::disk::lock::{holder, take, Lock};
use crate::observe::folder::LOCK;
use crate::run::me;
use std::io;
use std::path::{Path, PathBuf};

/// The right to start, resume or remove the run of a cell, until this value is dropped or the
/// process ends. The run itself also locks its folder.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code)] Lock);

impl Hold {
    /// Locks the cell whose run is in `folder`.
    ///
    /// # Errors
    /// The inner error says which process has the lock; the outer one is an error of the system.
    pub fn of(folder: &Path) -> io::Result<Result<Self, String>> {
        Ok(take(&beside(folder), &me())?.map(Self))
    }
}

/// The process that works on a cell, if there is one: a sweep or a single run.
pub fn in_use_by(folder: &Path) -> Option<String> {
    holder(&beside(folder)).or_else(|| holder(&folder.join(LOCK)))
}

/// The lock file is beside the folder, since a file inside would be removed with the folder.
fn beside(folder: &Path) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(LOCK);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_one_holder_and_is_free_after_it() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("1-cohort-2");
        assert_eq!(in_use_by(&folder), None);
        let hold = Hold::of(&folder).unwrap().unwrap();
        let named = format!("process {} on ", std::process::id());
        let holder = Hold::of(&folder).unwrap().unwrap_err();
        assert!(holder.starts_with(&named), "{holder}");
        assert_eq!(in_use_by(&folder), Some(holder));
        drop(hold);
        assert_eq!(in_use_by(&folder), None);
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    }
}
