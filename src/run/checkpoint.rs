//! A run's checkpoints: the files `checkpoints/round-N.ckpt` of its folder, the newest few of them.

use super::RunError;
use crate::observe::ObserveError;
use crate::snapshot::{file, Damaged, Reader, Snapshot, Writer};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder's name in a run folder.
pub const FOLDER: &str = "checkpoints";

/// What a checkpoint's name ends in, and a half written one's.
const ENDING: &str = "ckpt";
const DRAFT: &str = "new";

/// Makes checkpoints and finds them again.
#[derive(Debug)]
pub(super) struct Checkpoints {
    folder: PathBuf,
    keep: usize,
    /// Names what is run; a checkpoint of anything else is refused.
    identity: u64,
}

impl Checkpoints {
    pub fn new(run: &Path, keep: u32, identity: u64) -> Self {
        Self {
            folder: run.join(FOLDER),
            keep: keep.max(1) as usize,
            identity,
        }
    }

    /// Makes one, after `round` rounds, and removes those that are too many. Those before it stay if
    /// it cannot be written.
    pub fn write(
        &self,
        round: u32,
        save: impl FnOnce(Writer) -> Writer,
    ) -> Result<(), ObserveError> {
        let io = |path: &Path, action| {
            let path = path.to_path_buf();
            move |error: io::Error| ObserveError::io(&path, action, error)
        };
        fs::create_dir_all(&self.folder).map_err(io(&self.folder, "create the folder"))?;
        let path = self.folder.join(format!("round-{round:08}.{ENDING}"));
        file::write(&path, |mut to| {
            env!("CARGO_PKG_VERSION").to_string().save(&mut to);
            self.identity.save(&mut to);
            save(to)
        })
        .map_err(io(&path, "write the checkpoint"))?;
        let (checkpoints, drafts) = self.list()?;
        for old in checkpoints.iter().rev().skip(self.keep).chain(&drafts) {
            fs::remove_file(old).map_err(io(old, "remove"))?;
        }
        Ok(())
    }

    /// The checkpoints, oldest first, and what is left of others.
    fn list(&self) -> Result<(Vec<PathBuf>, Vec<PathBuf>), ObserveError> {
        let io = |error| ObserveError::io(&self.folder, "read the folder", error);
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
            Err(error) => return Err(io(error)),
        };
        let paths = entries.map(|entry| Ok(entry?.path()));
        let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>().map_err(io)?;
        paths.sort();
        let ends_in = |path: &PathBuf, ending| path.extension().is_some_and(|e| e == ending);
        let drafts = paths.iter().filter(|path| ends_in(path, DRAFT)).cloned();
        let drafts = drafts.collect();
        paths.retain(|path| ends_in(path, ENDING));
        Ok((paths, drafts))
    }

    /// The newest checkpoint that is whole, behind what [`Checkpoints::write`] puts first; `None` if
    /// none was ever made.
    ///
    /// # Errors
    /// When there are some and none is whole, or the newest that is whole is of something else.
    pub fn newest(&self) -> Result<Option<Reader>, RunError> {
        let mut damaged = Vec::new();
        for path in self.list()?.0.iter().rev() {
            match file::open(path) {
                Ok(mut from) => {
                    let refused = |problem| RunError::checkpoint(path, problem);
                    self.check(&mut from).map_err(|e| refused(e.to_string()))?;
                    return Ok(Some(from));
                }
                Err(problem) => {
                    tracing::warn!(
                        "{}: the checkpoint is damaged ({problem}); trying the one before it",
                        path.display()
                    );
                    damaged.push(format!("{}: {problem}", path.display()));
                }
            }
        }
        match damaged.is_empty() {
            true => Ok(None),
            false => Err(RunError::checkpoint(
                &self.folder,
                format!("no checkpoint is whole: {}", damaged.join("; ")),
            )),
        }
    }

    /// Whether a checkpoint is of this version and of what is run.
    fn check(&self, from: &mut Reader) -> Result<(), Damaged> {
        let (version, ours) = (String::load(from)?, env!("CARGO_PKG_VERSION"));
        if version != ours {
            return Err(Damaged::new(format!(
                "it was made by shoal {version}, and this is shoal {ours}; go on with that version"
            )));
        }
        match u64::load(from)? == self.identity {
            true => Ok(()),
            false => Err(Damaged::new(
                "it is of another scenario, of other data or of another device",
            )),
        }
    }

    /// Removes all checkpoints: the run is over. Whether there were any.
    pub fn clear(&self) -> Result<bool, ObserveError> {
        let (checkpoints, drafts) = self.list()?;
        let any = self.folder.exists();
        for path in checkpoints.iter().chain(&drafts) {
            fs::remove_file(path).map_err(|error| ObserveError::io(path, "remove", error))?;
        }
        match fs::remove_dir(&self.folder) {
            // Somebody else's file in it stays, and so does the folder.
            Err(error) if self.folder.exists() => {
                tracing::debug!(%error, "the folder of checkpoints stays");
                Ok(!checkpoints.is_empty() || !drafts.is_empty())
            }
            _ => Ok(any),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(checkpoints: &Checkpoints, round: u32) {
        let save = |mut to: Writer| {
            round.save(&mut to);
            to
        };
        checkpoints.write(round, save).unwrap();
    }

    fn newest(checkpoints: &Checkpoints) -> Option<u32> {
        let from = checkpoints.newest().unwrap();
        from.map(|mut from| u32::load(&mut from).unwrap())
    }

    fn names(checkpoints: &Checkpoints) -> Vec<String> {
        let paths = checkpoints.list().unwrap().0;
        let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
        paths.iter().map(name).collect()
    }

    #[test]
    fn the_newest_few_are_kept_and_the_newest_whole_one_is_used() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(run.path(), 2, 7);
        assert_eq!(newest(&checkpoints), None);
        for round in [5, 10, 15, 100_000_000] {
            put(&checkpoints, round);
            assert_eq!(newest(&checkpoints), Some(round));
        }
        let last = ["round-00000015.ckpt", "round-100000000.ckpt"];
        assert_eq!(names(&checkpoints), last);
        let folder = run.path().join(FOLDER);
        let newest_file = folder.join(last[1]);
        let bytes = fs::read(&newest_file).unwrap();
        fs::write(&newest_file, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(newest(&checkpoints), Some(15), "the one before is used");
        fs::write(folder.join(last[0]), "").unwrap();
        let error = checkpoints.newest().unwrap_err().to_string();
        assert!(error.contains("no checkpoint is whole"), "{error}");
        assert!(
            error.contains(last[0]) && error.contains(last[1]),
            "{error}"
        );
    }

    #[test]
    fn what_a_killed_process_leaves_half_written_is_never_used_and_goes_with_the_next() {
        let run = tempfile::tempdir().unwrap();
        let checkpoints = Checkpoints::new(run.path(), 1, 7);
        put(&checkpoints, 1);
        let draft = run.path().join(FOLDER).join("round-00000002.new");
        fs::write(&draft, "half of a checkpoint").unwrap();
        assert_eq!(newest(&checkpoints), Some(1));
        put(&checkpoints, 3);
        assert!(!draft.exists());
        assert_eq!(names(&checkpoints), ["round-00000003.ckpt"]);
        checkpoints.clear().unwrap();
        assert!(!run.path().join(FOLDER).exists());
    }

    #[test]
    fn a_checkpoint_of_something_else_is_refused() {
        let run = tempfile::tempdir().unwrap();
        put(&Checkpoints::new(run.path(), 1, 7), 1);
        let error = Checkpoints::new(run.path(), 1, 8).newest().unwrap_err();
        let error = error.to_string();
        assert!(error.contains("it is of another scenario"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_an_error_with_its_path() {
        let run = tempfile::tempdir().unwrap();
        fs::write(run.path().join(FOLDER), "a file in the way").unwrap();
        let checkpoints = Checkpoints::new(run.path(), 1, 7);
        let error = checkpoints.write(1, |to| to).unwrap_err().to_string();
        assert!(
            error.contains("checkpoints: cannot create the folder"),
            "{error}"
        );
    }
}
