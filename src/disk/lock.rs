//! A thing that one process at a time may have, and a word on who has it.
//!
//! The system takes a lock away from a process that ends, in whichever way; so a file that is left
//! behind holds nothing. Its text is only for people.

use super::regular;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For so long a lock may be held by one who only looks whether it is.
const A_LOOK: Duration = Duration::from_millis(500);
/// Characters of a holder's words that are told.
const LONGEST: u64 = 200;

/// Held until it is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held: whoever takes it next makes a file of its own.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes the lock of the file at `path`, and writes into it who has it now.
///
/// # Errors
/// Inside, who has it; outside, what the system says.
pub(crate) fn take(path: &Path, words: &str) -> io::Result<Result<Lock, String>> {
    let began = Instant::now();
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = regular(&mut options, path)?;
        if !try_lock(&file, libc::LOCK_EX)? {
            if began.elapsed() < A_LOOK {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
            return Ok(Err(words_in(&mut file)));
        }
        // Its last holder may have removed it between the two calls: then it is nobody's lock.
        if !is_at(&file, path) {
            continue;
        }
        // Without room for them there is a lock all the same.
        let _ = file
            .set_len(0)
            .and_then(|()| file.write_all(format!("{words}\n").as_bytes()));
        return Ok(Ok(Lock {
            path: path.to_path_buf(),
            _file: file,
        }));
    }
}

/// Who has the lock of the file at `path`, if anybody has.
pub(crate) fn holder(path: &Path) -> Option<String> {
    let mut file = super::open(path).ok()?;
    match try_lock(&file, libc::LOCK_SH) {
        Ok(false) => Some(words_in(&mut file)),
        _ => None,
    }
}

/// Whether it is locked now; false if another has it. File systems without locks go without.
fn try_lock(file: &File, how: libc::c_int) -> io::Result<bool> {
    loop {
        // SAFETY: a call on a descriptor that is open; it touches no memory.
        if unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            ErrorKind::WouldBlock => return Ok(false),
            ErrorKind::Interrupted => {}
            _ => return Ok(true),
        }
    }
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
        // What a killed process leaves behind is only text.
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
