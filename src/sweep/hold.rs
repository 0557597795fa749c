//! The right to a cell: two sweeps of one plan may run at once, and no cell is run by both.

use crate::disk::lock::{holder, take, Lock};
use crate::observe::folder::LOCK;
use crate::run::me;
use std::io;
use std::path::{Path, PathBuf};

/// The right to begin, to go on with and to remove the run of a cell, until it is dropped or the process
/// ends. The run itself holds its folder beside that.
#[derive(Debug)]
pub struct Hold(#[allow(dead_code)] Lock);

impl Hold {
    /// Of the cell whose run lies in `folder`.
    ///
    /// # Errors
    /// Inside, who has it; outside, what the system says.
    pub fn of(folder: &Path) -> io::Result<Result<Self, String>> {
        Ok(take(&beside(folder), &me())?.map(Self))
    }
}

/// Who is at a cell, if anybody is: a sweep, or a run alone.
pub fn in_use_by(folder: &Path) -> Option<String> {
    holder(&beside(folder)).or_else(|| holder(&folder.join(LOCK)))
}

/// The lock's file: not inside, where it would go with the folder.
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
