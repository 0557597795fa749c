//! Takes a folder for a run, before any output is in it.
//!
//! One process holds the folder from the first file on. Until `run.json` is in place, the run in it
//! cannot be resumed. Files of a process that was killed before that are removed by the next run that
//! takes the folder. No other files are ever removed: the lock file shows that the folder belonged to a
//! run.

use super::super::ObserveError;
use super::{file_stem, MOST_RUNS, RECORD, RUNS};
use crate::disk::lock::{take, Lock};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// The lock file in a run folder, while a run is at work there.
pub(crate) const LOCK: &str = ".lock";

/// An empty folder to which no other process may write.
#[derive(Debug)]
pub(crate) struct Place {
    /// The path of the folder.
    pub path: PathBuf,
    /// The lock of the folder.
    pub lock: Lock,
}

/// What is in a folder.
#[derive(Debug, PartialEq, Eq)]
enum Content {
    Nothing,
    /// The files of a run that ended before it began its first round.
    Remains(Vec<PathBuf>),
    Something,
}

impl Place {
    /// Makes the folder `out`, or `runs/<name>-<seed>-<n>` with the first free `n`. `me` describes the
    /// process that takes it.
    pub fn make(out: Option<&Path>, name: &str, seed: u64, me: &str) -> Result<Self, ObserveError> {
        match out {
            Some(path) => Self::at(path, me),
            None => Self::under(Path::new(RUNS), name, seed, me),
        }
    }

    /// Makes the folder `<root>/<name>-<seed>-<n>` with the first free `n`.
    pub fn under(root: &Path, name: &str, seed: u64, me: &str) -> Result<Self, ObserveError> {
        fs::create_dir_all(root).map_err(|e| ObserveError::io(root, "create the folder", e))?;
        let stem = format!("{}-{seed}", file_stem(name));
        for n in 1..=MOST_RUNS {
            let path = root.join(format!("{stem}-{n}"));
            // The creation of the folder decides, so that two runs started at once never share one.
            match fs::create_dir(&path) {
                Ok(()) => return Self::at(&path, me),
                Err(e) if e.kind() == ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(ObserveError::io(&path, "create the folder", e)),
            }
        }
        Err(ObserveError::NoFreeName {
            root: root.to_path_buf(),
            stem,
            tried: MOST_RUNS,
        })
    }

    fn at(path: &Path, me: &str) -> Result<Self, ObserveError> {
        fs::create_dir_all(path).map_err(|e| ObserveError::io(path, "create the folder", e))?;
        // This is checked before the lock, which leaves a file: a folder of something else stays as it
        // is.
        let free = |content| match content {
            Content::Nothing => Ok(Vec::new()),
            Content::Remains(files) => Ok(files),
            Content::Something => Err(ObserveError::NotEmpty {
                path: path.to_path_buf(),
            }),
        };
        free(content(path)?)?;
        let lock = take(&path.join(LOCK), me);
        let lock =
            lock.map_err(|e| ObserveError::io(&path.join(LOCK), "hold the folder with", e))?;
        let lock = lock.map_err(|holder| ObserveError::InUse {
            path: path.to_path_buf(),
            holder,
        })?;
        let remains = free(content(path)?)?;
        if !remains.is_empty() {
            tracing::warn!(
                "{}: what a run left there that was stopped before it began is cleared away",
                path.display()
            );
        }
        for file in remains {
            fs::remove_file(&file).map_err(|e| ObserveError::io(&file, "remove", e))?;
        }
        Ok(Self {
            path: path.to_path_buf(),
            lock,
        })
    }
}

/// Whether `folder` has only the files of a run that was stopped before it began.
pub(crate) fn has_not_begun(folder: &Path) -> bool {
    matches!(content(folder), Ok(Content::Remains(_)))
}

fn content(folder: &Path) -> Result<Content, ObserveError> {
    let io = |e: io::Error| ObserveError::io(folder, "read the folder", e);
    let (mut files, mut held, mut others) = (Vec::new(), false, false);
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_file = entry.file_type().map_err(io)?.is_file();
        match &*name {
            LOCK if is_file => held = true,
            name if is_file && is_of_the_start(name) => files.push(entry.path()),
            _ => others = true,
        }
    }
    Ok(match (held, others) {
        (true, false) => Content::Remains(files),
        (false, false) if files.is_empty() => Content::Nothing,
        _ => Content::Something,
    })
}

/// Whether a run may write a file of this name before its record is in place.
fn is_of_the_start(name: &str) -> bool {
    let endings = [".csv", ".jsonl", ".ron", ".new", ".tmp"];
    name != RECORD && endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = names
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_left_of_a_run_that_never_began_is_cleared_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let place = Place::make(Some(root.path()), "a", 1, "me").unwrap();
        let error = Place::make(Some(root.path()), "a", 1, "you").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("another process is running it: me"),
            "{error}"
        );
        for file in [
            "scenario.ron",
            "rounds.csv",
            "events.jsonl",
            ".run.json.new",
        ] {
            fs::write(root.path().join(file), "half").unwrap();
        }
        // A killed process runs no destructor, and holds no lock any more.
        let Place { path, lock } = place;
        drop(lock);
        fs::write(path.join(LOCK), "me").unwrap();
        assert!(has_not_begun(&path));
        let place = Place::make(Some(&path), "a", 1, "you").unwrap();
        assert_eq!(names(&path), [LOCK]);
        drop(place);
        assert_eq!(names(&path), [""; 0]);

        for file in [RECORD, "thesis.tex"] {
            fs::write(path.join(LOCK), "me").unwrap();
            fs::write(path.join("rounds.csv"), "half").unwrap();
            fs::write(path.join(file), "years").unwrap();
            let error = Place::make(Some(&path), "a", 1, "you").unwrap_err();
            assert!(matches!(error, ObserveError::NotEmpty { .. }), "{error}");
            assert_eq!(names(&path).len(), 3);
            fs::remove_file(path.join(file)).unwrap();
        }
    }

    #[test]
    fn files_that_no_run_left_are_somebodys() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("scenario.ron"), "mine").unwrap();
        assert!(!has_not_begun(root.path()));
        let error = Place::make(Some(root.path()), "a", 1, "me").unwrap_err();
        assert!(matches!(error, ObserveError::NotEmpty { .. }), "{error}");
        assert_eq!(names(root.path()), ["scenario.ron"]);
    }
}
