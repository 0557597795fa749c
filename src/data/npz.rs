//! NumPy's `.npz` archives: zip files whose entries are `.npy` arrays, stored or deflated.

use super::error::{DataError, Place};
use super::input::{open_file, Input};
use super::magic;
use crate::quantity::{listed, shown};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zip::read::{ArchiveOffset, Config};
use zip::ZipArchive;

/// The size of the record that ends a zip file's directory, without a comment (NumPy writes none).
const END: usize = 22;
/// The size of the record before it, which points to a zip64 directory.
const ZIP64_LOCATOR: usize = 20;

/// An open archive.
pub(super) struct Npz<R> {
    file: PathBuf,
    size: u64,
    archive: ZipArchive<R>,
}

impl Npz<BufReader<File>> {
    /// Opens the archive at `path`.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (file, size) = open_file(path)?;
        Self::new(path, BufReader::new(file), size)
    }
}

impl<R: Read + Seek> Npz<R> {
    /// An archive of `size` bytes.
    pub fn new(file: &Path, mut reader: R, size: u64) -> Result<Self, DataError> {
        check_end(file, &mut reader, size)?;
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let archive = ZipArchive::with_config(config, reader).map_err(|e| {
            DataError::malformed(file, Place::Whole, "an .npz archive", e.to_string())
        })?;
        Ok(Self {
            file: file.to_path_buf(),
            size,
            archive,
        })
    }

    /// The array with the name `key`, ready to be read.
    pub fn array(&mut self, key: &str) -> Result<Input<'_>, DataError> {
        let name = format!("{key}.npy");
        let Some(index) = self.archive.index_for_name(&name) else {
            let names: Vec<_> = self
                .archive
                .file_names()
                .filter_map(Result::ok)
                .take(20)
                .map(|name| shown(name.trim_end_matches(".npy"), 40))
                .collect();
            let all = self.archive.len();
            let found = format!("only {}", listed(names.iter().map(String::as_str), all));
            return Err(DataError::malformed(
                &self.file,
                Place::Whole,
                format!("an array {:?}", shown(key, 40)),
                found,
            ));
        };
        let path = self.file.join(&name);
        let size = self.size;
        let entry = self.archive.by_index(index).map_err(|e| {
            DataError::malformed(&path, Place::Whole, "a readable entry", e.to_string())
        })?;
        // Both sizes are stated by the archive; the file's own size bounds what can be inflated.
        let (stated, compressed) = (entry.size(), entry.compressed_size().min(size));
        Ok(Input::inflated(&path, entry, compressed, stated))
    }
}

/// Fails unless the directory is right before an end record without a comment, and is not zip64. Then
/// it has at most 65,535 entries, and no number that the file states can ask for more memory.
fn check_end(file: &Path, reader: &mut (impl Read + Seek), size: u64) -> Result<(), DataError> {
    let fail = |found: &str| {
        let expected = "an .npz archive below 4 GiB as numpy.savez writes it";
        DataError::malformed(file, Place::Byte(size), expected, found)
            .advise("larger arrays can be read from .npy files")
    };
    let io = |e: std::io::Error| DataError::unreadable(file, e);
    let tail_len = size.min((END + ZIP64_LOCATOR) as u64);
    let mut tail = vec![0; tail_len as usize];
    reader.seek(SeekFrom::Start(size - tail_len)).map_err(io)?;
    reader.read_exact(&mut tail).map_err(io)?;
    reader.seek(SeekFrom::Start(0)).map_err(io)?;
    let mut start = vec![0; size.min(512) as usize];
    reader.read_exact(&mut start).map_err(io)?;
    reader.seek(SeekFrom::Start(0)).map_err(io)?;
    if let Some(kind) = magic::kind(&start).filter(|_| !start.starts_with(b"PK")) {
        let expected = "an .npz archive";
        return Err(
            DataError::malformed(file, Place::Whole, expected, kind.what).advise(kind.remedy),
        );
    }
    let Some((before, end)) = tail.split_last_chunk::<END>() else {
        return Err(fail("fewer bytes than an empty archive has"));
    };
    if !end.starts_with(b"PK\x05\x06") || !end.ends_with(&[0, 0]) {
        return Err(fail("another end"));
    }
    if before.starts_with(b"PK\x06\x07") {
        return Err(fail("a zip64 directory"));
    }
    let field = |at: usize| {
        end[at..at + 4]
            .iter()
            .rev()
            .fold(0u64, |word, b| word << 8 | u64::from(*b))
    };
    if field(12) + field(16) + END as u64 != size {
        return Err(fail("a directory that does not end where the archive does"));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::data::npy;
    use std::io::{Cursor, Write};
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    /// An archive of these entries.
    pub fn file(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in entries {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(format!("{name}.npy"), options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    pub fn parse(bytes: &[u8], key: &str) -> Result<npy::Array, DataError> {
        let mut archive = Npz::new(Path::new("a.npz"), Cursor::new(bytes), bytes.len() as u64)?;
        archive.array(key).and_then(npy::read)
    }

    fn array() -> Vec<u8> {
        npy::tests::file("|u1", "False", "(2, 3)", &[1, 2, 3, 4, 5, 6])
    }

    #[test]
    fn stored_and_deflated_arrays_are_read_by_name() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = file(&[("y", b"no array"), ("x", &array())], method);
            assert_eq!(parse(&bytes, "x").unwrap().shape, [2, 3]);
            let error = parse(&bytes, "z").unwrap_err().to_string();
            assert_eq!(error, "a.npz: expected an array \"z\", found only y, x");
            let error = parse(&bytes, "y").unwrap_err().to_string();
            assert!(
                error.starts_with("a.npz/y.npy: byte 6: expected a .npy file"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_corrupt_entry_is_an_error() {
        let mut bytes = file(&[("x", &array())], CompressionMethod::Stored);
        let at = bytes.windows(3).position(|w| w == [4, 5, 6]).unwrap();
        bytes[at] = 9;
        let error = parse(&bytes, "x").unwrap_err().to_string();
        assert!(
            error.contains("a.npz/x.npy: byte 134: expected the end of the data"),
            "{error}"
        );
    }

    #[test]
    fn a_directory_that_lies_about_itself_is_an_error() {
        let good = file(&[("x", &array())], CompressionMethod::Stored);
        let end = good.len() - END;
        for at in end + 12..end + 20 {
            let mut bytes = good.clone();
            bytes[at] ^= 0x40;
            let error = parse(&bytes, "x").unwrap_err().to_string();
            assert!(
                error.contains("does not end where the archive does"),
                "{at}: {error}"
            );
        }
        assert!(parse(&good[..good.len() - 1], "x").is_err());
        assert!(parse(b"", "x").is_err());
        let mut zip64 = good.clone();
        zip64.splice(end..end, *b"PK\x06\x07________________");
        assert!(parse(&zip64, "x")
            .unwrap_err()
            .to_string()
            .contains("a zip64 directory"));
    }
}
