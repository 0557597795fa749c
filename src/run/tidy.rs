//! What a killed process leaves in a run folder beside the run.

use super::checkpoint::{self, Checkpoints};
use super::{lock, RunError};
use crate::model::Spill;
use crate::observe::folder::{remove, RESERVE};
use crate::observe::ObserveError;
use std::fs;
use std::path::{Path, PathBuf};

/// Removes from the folder of a run that has come to its end what is of use only until then: checkpoints,
/// drafts, room that was kept. A process that was killed after its last word leaves them. Whether there
/// was any.
///
/// # Errors
/// When another process is at work there, or something cannot be removed.
pub(crate) fn tidy(folder: &Path) -> Result<bool, RunError> {
    if strays(folder)?.is_empty() && !folder.join(checkpoint::FOLDER).exists() {
        return Ok(false);
    }
    let _lock = lock::hold(folder)?;
    let checkpoints = Checkpoints::new(folder, 1, 0).clear()?;
    Ok(remove_strays(folder)? || checkpoints)
}

/// Removes drafts of files, room kept for the record, and the file for what clients keep, which a
/// process leaves if it is killed before it has taken the file's name away. Whether there was any.
pub(super) fn remove_strays(folder: &Path) -> Result<bool, RunError> {
    let strays = strays(folder)?;
    for stray in &strays {
        remove(stray)?;
    }
    Ok(!strays.is_empty())
}

fn strays(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let io = |error| ObserveError::io(folder, "read the folder", error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let name = name.to_string_lossy();
        let draft = name.starts_with('.') && name.ends_with(".new");
        if draft || name == RESERVE || Spill::is_name(&name) {
            found.push(folder.join(&*name));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_at_the_end_leaves_is_removed_and_the_run_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let run = ["rounds.csv", "run.json", "thesis.new"];
        for name in run {
            fs::write(path(name), "the run").unwrap();
        }
        assert!(!tidy(folder.path()).unwrap());
        fs::create_dir(path("checkpoints")).unwrap();
        for name in [".run.json.new", ".reserve", ".lock", "kept-7.tmp"] {
            fs::write(path(name), "left").unwrap();
        }
        fs::write(path("checkpoints/round-00000004.ckpt"), "left").unwrap();
        fs::write(path("checkpoints/round-00000005.new"), "left").unwrap();
        assert!(tidy(folder.path()).unwrap());
        let names = fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, run);
    }
}
