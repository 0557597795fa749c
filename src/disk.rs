//! Files of a run folder: opened only if they are regular files, replaced as a whole, held by one
//! process.
//!
//! Anything can lie where a file is expected. Opening a named pipe waits for another process at its
//! other end, perhaps for ever, and a device gives bytes without end. So a file is opened without
//! waiting, and is refused unless it is a regular one.

pub(crate) mod lock;

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Opens a regular file for reading.
///
/// # Errors
/// Returns the error of the operating system, or says what the file is if it is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true), path)
}

/// Opens a regular file with the given options.
///
/// # Errors
/// Returns the errors of [`open`].
pub(crate) fn regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let opened = options.custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        // A named pipe that no process reads, opened for writing.
        Some(libc::ENXIO) => not_a_file("a named pipe"),
        _ => error,
    })?;
    match kind(&file.metadata()?) {
        None => Ok(file),
        Some(other) => Err(not_a_file(other)),
    }
}

fn not_a_file(other: &str) -> io::Error {
    io::Error::new(
        ErrorKind::InvalidInput,
        format!("it is {other}, and no file"),
    )
}

/// What kind of file it is, where it is no regular file.
fn kind(meta: &Metadata) -> Option<&'static str> {
    let is: FileType = meta.file_type();
    match () {
        () if is.is_file() => None,
        () if is.is_dir() => Some("a folder"),
        () if is.is_fifo() => Some("a named pipe"),
        () if is.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

/// Reads all bytes of a regular file.
///
/// # Errors
/// Returns the errors of [`open`], and of reading.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads all of a regular file as text.
///
/// # Errors
/// Returns the errors of [`open`], and of reading text.
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file beside its place and moves it there, so that a reader sees either the old file or the
/// new one, never a part. `draft` is the name of the file until then; no draft is left if the file
/// cannot be written.
///
/// # Errors
/// Returns the first error.
pub(crate) fn replace(path: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = new(draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(draft, path));
    if moved.is_err() {
        // The disk may be full, so the draft is removed.
        let _ = fs::remove_file(draft);
    }
    moved
}

/// A new file, in the place of one that a killed process may have left there.
///
/// # Errors
/// Returns the error of the operating system.
pub(crate) fn new(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

/// The path of a file in `folder` while it is written.
pub(crate) fn draft(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!(".{name}.new"))
}

/// Makes a named pipe, for tests.
#[cfg(test)]
pub(crate) fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_without_waiting_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("pipe");
        pipe(&fifo);
        for (path, is) in [
            (fifo.as_path(), "a named pipe"),
            (folder.path(), "a folder"),
            (Path::new("/dev/zero"), "a device"),
        ] {
            let says = |result: io::Result<()>| result.unwrap_err().to_string();
            let said = says(read(path).map(drop));
            assert_eq!(said, format!("it is {is}, and no file"));
            assert_eq!(says(read_to_string(path).map(drop)), said);
        }
        // No process reads this pipe, which gives another error of the operating system.
        let said = regular(OpenOptions::new().write(true), &fifo).unwrap_err();
        assert_eq!(said.to_string(), "it is a named pipe, and no file");
    }

    #[test]
    fn a_file_is_replaced_over_whatever_its_draft_is() {
        let folder = tempfile::tempdir().unwrap();
        let (path, draft) = (folder.path().join("a"), draft(folder.path(), "a"));
        pipe(&draft);
        replace(&path, &draft, b"old").unwrap();
        fs::write(&draft, "left by a killed process").unwrap();
        replace(&path, &draft, b"newer").unwrap();
        assert_eq!(read_to_string(&path).unwrap(), "newer");
        assert!(!draft.exists());
    }
}
