//! Files of a run folder: opened as files and nothing else, replaced as a whole, held by one process.
//!
//! Anything can lie where a file is expected. Opening a named pipe waits for somebody at its other
//! end, for ever; a device gives bytes without end. So a file is opened without waiting, and refused
//! unless it is a regular one.

pub(crate) mod lock;

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Opens a regular file to read.
///
/// # Errors
/// What the system says, or what it is if it is no regular file.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    regular(OpenOptions::new().read(true), path)
}

/// Opens a regular file as `options` say.
///
/// # Errors
/// As [`open`].
pub(crate) fn regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let opened = options.custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        // A named pipe with nobody at its other end, opened to be written.
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

/// What it is, where it is no regular file.
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

/// All of a regular file.
///
/// # Errors
/// As [`open`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All of a regular file, which is text.
///
/// # Errors
/// As [`open`].
pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file beside its place and moves it there, so that a reader sees the old one or the new and
/// never a half. `draft` is what it is called until then; nothing is left of it if it cannot be written.
///
/// # Errors
/// The first thing that went wrong.
pub(crate) fn replace(path: &Path, draft: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = new(draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(draft, path));
    if moved.is_err() {
        // The room it takes may be what is wanting.
        let _ = fs::remove_file(draft);
    }
    moved
}

/// A new file, in the place of one that a killed process may have left there.
///
/// # Errors
/// What the system says.
pub(crate) fn new(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::create_new(path)
}

/// What a file in `folder` is called while it is written.
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
        // Nobody is at its other end, which is another error of the system's.
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
