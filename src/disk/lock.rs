//! A lock that one process at a time can hold, with a text that says which process holds it.
//!
//! The operating system takes a lock away from a process that ends, however it ends, so a file that is
//! left behind locks nothing. Its text is only for people.

use super::regular;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a process that only checks for a lock may hold it.
const A_LOOK: Duration = Duration::from_millis(500);
/// The largest number of bytes of the holder's text that are shown.
const LONGEST: u64 = 200;

/// A lock that is held until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // The file is removed while the lock is still held: the next holder makes a file of its own.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes the lock of the file at `path`, and writes into the file who holds it now.
///
/// # Errors
/// The inner error says who holds the lock; the outer one is an error of the operating system.
pub(crate) fn take(path: &Path, words: &str) -> io::Result<Result<Lock, String>> {
    let began = Instant::now();
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = regular(&mut options, path)?;
        if !had(file.try_lock()) {
            if began.elapsed() < A_LOOK {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            return Ok(Err(words_in(&mut file)));
        }
        // The last holder may have removed the file between the two calls; then this lock is not the
        // one at `path`.
        if !is_at(&file, path) {
            continue;
        }
        // On a full disk the text cannot be written, but the lock is held all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(format!("{words}\n").as_bytes()));
        return Ok(Ok(Lock {
            path: path.to_path_buf(),
            _file: file,
        }));
    }
}

/// Who holds the lock of the file at `path`, if any process does.
pub(crate) fn holder(path: &Path) -> Option<String> {
    let mut file = super::open(path).ok()?;
    match had(file.try_lock_shared()) {
        true => None,
        false => Some(words_in(&mut file)),
    }
}

/// Whether the lock was had, of a try that says so; false if another process has the file locked. On a file
/// system without locks every try succeeds.
fn had(tried: Result<(), TryLockError>) -> bool {
    !matches!(tried, Err(TryLockError::WouldBlock))
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(there)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (held.dev(), held.ino()) == (there.dev(), there.ino())
}

fn words_in(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind();
    let _ = file.take(LONGEST).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default().trim();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    match line.is_empty() {
        true => "a process that has not said who it is".into(),
        false => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_lock_has_one_holder_who_is_named_and_is_free_when_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(holder(&path), None);
        let held = take(&path, "process 1").unwrap().unwrap();
        assert_eq!(take(&path, "process 2").unwrap().unwrap_err(), "process 1");
        assert_eq!(holder(&path).as_deref(), Some("process 1"));
        drop(held);
        assert_eq!(holder(&path), None);
        assert!(!path.exists());
        // A file that a killed process left behind locks nothing.
        fs::write(&path, "process 7 on a machine that was switched off").unwrap();
        assert_eq!(holder(&path), None);
        let held = take(&path, "process 2").unwrap().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "process 2\n");
        drop(held);
    }

    #[test]
    fn who_only_looks_stands_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        fs::write(&path, "").unwrap();
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| (0..2_000).for_each(|_| drop(holder(&path))));
            let mut taken = 0;
            while !looking.is_finished() || taken == 0 {
                drop(take(&path, "me").unwrap().unwrap());
                taken += 1;
            }
        });
    }

    #[test]
    fn of_many_who_want_it_at_once_one_has_it_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Ok(held) = take(&path, "one of four").unwrap() else {
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(held);
                    }
                });
            }
        });
    }

    #[test]
    fn a_pipe_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        super::super::pipe(&path);
        assert!(take(&path, "me").is_err());
        assert_eq!(holder(&path), None);
    }
}
