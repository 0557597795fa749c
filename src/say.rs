//! Messages to a person: the one module that writes to standard output and standard error.
//!
//! Text that cannot be written (because the reader of a pipe has ended, or the disk of a log is full)
//! is lost, and the program goes on: a run of hours is worth more than a line about it. The module
//! remembers whether standard output lost anything ([`lost`]), so that a command can report the loss
//! with its exit status. `println!` and `eprintln!` panic instead, so this crate forbids them.
//!
//! ```
//! shoal::say!("a result");
//! shoal::note!("something to know on the way");
//! ```

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Writes a line to standard output: the result that a command was asked for.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::say::out(format_args!("{}\n", format_args!($($words)*))) };
}

/// Writes a line to standard error: information beside the result.
#[macro_export]
macro_rules! note {
    ($($words:tt)*) => { $crate::say::note(format_args!($($words)*)) };
}

/// The operating system's number for the error at which standard output was lost; 0 while nothing is
/// lost.
static LOST: AtomicI32 = AtomicI32::new(0);
/// Stands for an error for which the operating system has no number.
const NAMELESS: i32 = i32::MAX;

/// Writes to standard output without adding a line break. After a first failure nothing more is
/// written, since text with a gap is misleading.
pub fn out(text: fmt::Arguments<'_>) {
    if LOST.load(Ordering::Relaxed) != 0 {
        return;
    }
    let mut to = io::stdout().lock();
    let fd = to.as_raw_fd();
    if let Err(error) = put(&mut to, fd, text.to_string().as_bytes()) {
        let number = error.raw_os_error().unwrap_or(NAMELESS);
        LOST.store(number, Ordering::Relaxed);
    }
}

/// The error at which standard output lost text, if it did.
pub fn lost() -> Option<io::Error> {
    match LOST.load(Ordering::Relaxed) {
        0 => None,
        NAMELESS => Some(io::Error::other("it takes nothing more")),
        number => Some(io::Error::from_raw_os_error(number)),
    }
}

/// Writes a line to standard error, in one piece.
pub fn note(words: fmt::Arguments<'_>) {
    let _ = Notes.write_all(format!("{words}\n").as_bytes());
}

/// Writes a line to standard error if that is possible without waiting for its reader.
pub fn note_at_once(words: fmt::Arguments<'_>) {
    if is_ready(io::stderr().as_raw_fd(), 0) {
        note(words);
    }
}

/// Standard error as a writer that never fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notes;

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut to = io::stderr().lock();
        let fd = to.as_raw_fd();
        // If standard error fails, the failure cannot be reported anywhere.
        let _ = put(&mut to, fd, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all bytes, also to a descriptor that was set not to wait when its reader is slow.
fn put(to: &mut impl Write, fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    loop {
        let done = match rest {
            [] => to.flush().map(|()| 0),
            rest => to.write(rest),
        };
        match done {
            Ok(0) if rest.is_empty() => return Ok(()),
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                is_ready(fd, -1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a descriptor can be written to within this many milliseconds (-1: waits for as long as it
/// takes).
fn is_ready(fd: RawFd, milliseconds: i32) -> bool {
    let mut asked = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: `asked` is one descriptor to be asked about, alive and ours for the whole call.
    unsafe { libc::poll(&mut asked, 1, milliseconds) > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, refuses now and then, and is full after some.
    struct Fussy {
        taken: Vec<u8>,
        room: usize,
        turn: u32,
    }

    impl Write for Fussy {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.turn += 1;
            match self.turn % 3 {
                0 => Err(ErrorKind::Interrupted.into()),
                1 => Err(ErrorKind::WouldBlock.into()),
                _ if self.taken.len() >= self.room => Err(ErrorKind::StorageFull.into()),
                _ => {
                    let some = bytes.len().min(2);
                    self.taken.extend_from_slice(&bytes[..some]);
                    Ok(some)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A descriptor that is always ready.
    fn ready() -> std::fs::File {
        std::fs::File::options()
            .write(true)
            .open("/dev/null")
            .unwrap()
    }

    #[test]
    fn all_is_written_to_one_that_takes_little_at_a_time() {
        let (null, mut to) = (
            ready(),
            Fussy {
                taken: Vec::new(),
                room: 99,
                turn: 0,
            },
        );
        put(
            &mut to,
            null.as_raw_fd(),
            b"seven words are said to a person",
        )
        .unwrap();
        assert_eq!(to.taken, b"seven words are said to a person");
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_no_panic() {
        let (null, mut to) = (
            ready(),
            Fussy {
                taken: Vec::new(),
                room: 4,
                turn: 0,
            },
        );
        let error = put(&mut to, null.as_raw_fd(), b"too much").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(to.taken, b"too ");
    }
}
