//! A stream as a file that is whole or not there, and that is known to be undamaged.
//!
//! The file has 16 bytes of magic with the version of the format, then the stream, then the XXH3 (64
//! bits) of the stream. It is written beside its final place, flushed to the disk, and then moved
//! there.

use super::{Damaged, Reader, Writer};
use crate::disk;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use xxhash_rust::xxh3::Xxh3;

/// The first bytes of the file. The number in them changes with the format of anything in the file.
const MAGIC: &[u8; 16] = b"shoal state v1\n\0";
const CHECKSUM: u64 = 8;

/// Writes a file. A file that was there before stays until the new one is on the disk, also if the new
/// one cannot be written.
///
/// # Errors
/// Returns the first error.
pub(crate) fn write(path: &Path, save: impl FnOnce(Writer) -> Writer) -> io::Result<()> {
    let draft = path.with_extension("new");
    let written = write_draft(&draft, save).and_then(|()| fs::rename(&draft, path));
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

fn write_draft(draft: &Path, save: impl FnOnce(Writer) -> Writer) -> io::Result<()> {
    let mut file = disk::new(draft)?;
    file.write_all(MAGIC)?;
    save(Writer::new(Box::new(file.try_clone()?))).finish()?;
    file.sync_all()
}

/// Flushes to the disk the list of files in a folder.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    File::open(folder)?.sync_all()
}

/// Opens a file and checks its checksum.
///
/// # Errors
/// Returns [`Damaged`] when the file cannot be read, or is not as it was written.
pub(crate) fn open(path: &Path) -> Result<Reader, Damaged> {
    let cannot = |error: io::Error| Damaged::new(format!("cannot read it: {error}"));
    let mut file = disk::open(path).map_err(cannot)?;
    let length = file.metadata().map_err(cannot)?.len();
    let head = MAGIC.len() as u64;
    let Some(content) = length.checked_sub(head + CHECKSUM) else {
        return Err(Damaged::new(format!("{length} bytes are too few")));
    };
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(cannot)?;
    if magic != *MAGIC {
        return Err(Damaged::new("it is no checkpoint of this version of shoal"));
    }
    let mut hash = Xxh3::new();
    let mut chunk = vec![0; 1 << 16];
    let mut left = content;
    while left > 0 {
        let size = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut chunk[..size]).map_err(cannot)?;
        hash.update(&chunk[..size]);
        left -= size as u64;
    }
    let mut checksum = [0; CHECKSUM as usize];
    file.read_exact(&mut checksum).map_err(cannot)?;
    if hash.digest() != u64::from_le_bytes(checksum) {
        return Err(Damaged::new("its checksum is not that of its content"));
    }
    file.seek(SeekFrom::Start(head)).map_err(cannot)?;
    let source = BufReader::with_capacity(1 << 16, file);
    Ok(Reader::new(Box::new(source), content))
}

#[cfg(test)]
mod tests {
    use super::super::Snapshot;
    use super::*;

    fn numbers(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    fn put(path: &Path, count: u32) -> io::Result<()> {
        write(path, |mut to| {
            numbers(count).save(&mut to);
            to
        })
    }

    #[test]
    fn a_file_is_read_as_written_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        for count in [100_000, 3, 0] {
            put(&path, count).unwrap();
            let mut from = open(&path).unwrap();
            assert_eq!(Vec::<u32>::load(&mut from).unwrap(), numbers(count));
            assert_eq!(from.left(), 0);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_byte_changed_added_or_missing_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        put(&path, 50).unwrap();
        let whole = fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            fs::write(&path, &bytes).unwrap();
            assert!(open(&path).is_err(), "byte {place}");
            fs::write(&path, &whole[..place]).unwrap();
            assert!(open(&path).is_err(), "cut at {place}");
        }
        fs::write(&path, [whole.as_slice(), &[0]].concat()).unwrap();
        assert!(open(&path).is_err());
        assert!(open(folder.path()).is_err(), "a folder is no file");
    }

    #[test]
    fn a_pipe_in_a_files_place_is_refused_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        disk::pipe(&path);
        let said = open(&path).unwrap_err().to_string();
        assert!(said.contains("it is a named pipe"), "{said}");
        // A named pipe in the place of a draft is removed.
        disk::pipe(&path.with_extension("new"));
        put(&path, 3).unwrap();
        assert_eq!(open(&path).unwrap().left(), 4);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_file_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.ckpt");
        put(&path, 9).unwrap();
        let before = fs::read(&path).unwrap();
        let refused = write(&path, |mut to| {
            numbers(1_000_000).save(&mut to);
            to.fail("no room for more");
            to
        });
        assert_eq!(refused.unwrap_err().to_string(), "no room for more");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// A writer for tests that is full after some bytes.
    struct Small(usize);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let fits = bytes.len().min(self.0);
            self.0 -= fits;
            match fits {
                0 => Err(io::ErrorKind::StorageFull.into()),
                fits => Ok(fits),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_reported_at_the_end_however_much_is_written_after_it() {
        for room in [0, 10, 70_000] {
            let mut to = Writer::new(Box::new(Small(room)));
            numbers(100_000).save(&mut to);
            let error = to.finish().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }
}
