//! Bounded reading: no length that a file states is used before it is checked against the size of the
//! file, and no memory is allocated beyond the bytes that really arrive.

use super::dataset::MAX_BYTES;
use super::error::{DataError, Place};
use super::magic;
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The largest factor by which deflate can inflate a byte: 258 bytes for two bits, rounded up.
const INFLATION: u64 = 1032;

/// The number of bytes in one step when values are converted while they are read.
const STEP: usize = 1 << 16;

/// A file, or an entry of an archive, that is read from its start.
pub(super) struct Input<'a> {
    file: PathBuf,
    reader: Box<dyn Read + 'a>,
    offset: u64,
    /// The largest number of bytes that there can be.
    limit: u64,
    /// Whether there are exactly `limit` bytes, as in a plain file.
    exact: bool,
}

/// Whether the receiver of the pieces wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Enough,
}

/// Opens a regular file; a folder, pipe or device is refused before the opening can block.
pub(super) fn open_file(path: &Path) -> Result<(File, u64), DataError> {
    let fail = |e: io::Error| {
        let advice = match e.kind() {
            io::ErrorKind::NotFound => "a relative path starts at the scenario's folder",
            _ => "",
        };
        DataError::unreadable(path, e).advise(advice)
    };
    let kind = path.metadata().map_err(fail)?;
    if !kind.is_file() {
        return Err(DataError::unreadable(path, "not a regular file"));
    }
    let file = File::open(path).map_err(fail)?;
    let size = file.metadata().map_err(fail)?.len();
    Ok((file, size))
}

/// Reads a whole regular file of at most `most` bytes.
///
/// # Errors
/// Returns an error if the file does not exist, is no regular file, or is larger.
pub(crate) fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>, DataError> {
    let (file, size) = open_file(path)?;
    if size > most {
        let problem = format!("{size} bytes, more than the {most} it may have");
        return Err(DataError::unreadable(path, problem));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    // The file may grow while it is read.
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|error| DataError::unreadable(path, error))?;
    Ok(bytes)
}

/// The lines of a small table with their numbers, from 1; a byte-order mark is left out.
///
/// # Errors
/// Returns an error if the file is of another kind than text, or not in UTF-8.
pub(crate) fn lines_of<'a>(
    file: &Path,
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = (u64, &'a str)>, DataError> {
    if let Some(kind) = magic::kind(bytes.get(..512).unwrap_or(bytes)) {
        let expected = "a table as text (CSV)";
        let error = DataError::malformed(file, Place::Whole, expected, kind.what);
        return Err(error.advise(kind.remedy));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.iter().take(error.valid_up_to());
        let line = 1 + before.filter(|byte| **byte == b'\n').count() as u64;
        let place = Place::Line { line, column: 0 };
        DataError::malformed(file, place, "UTF-8", "bytes that are none").advise("save it as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Ok((1..).zip(text.lines()))
}

impl<'a> Input<'a> {
    /// A plain file.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (file, size) = open_file(path)?;
        Ok(Self::plain(path, file, size))
    }

    /// A file that may be gzipped; its first bytes decide, not its name.
    pub fn open_maybe_gzipped(path: &Path) -> Result<Self, DataError> {
        let (file, size) = open_file(path)?;
        Self::maybe_gzipped(path, file, size)
    }

    /// Exactly `size` bytes from `reader`.
    pub fn plain(file: &Path, reader: impl Read + 'a, size: u64) -> Self {
        Self {
            file: file.to_path_buf(),
            reader: Box::new(reader),
            offset: 0,
            limit: size,
            exact: true,
        }
    }

    /// `size` bytes from `reader`, which are inflated if they begin as gzip data does.
    pub fn maybe_gzipped(
        file: &Path,
        reader: impl Read + 'a,
        size: u64,
    ) -> Result<Self, DataError> {
        let mut reader = BufReader::with_capacity(STEP, reader);
        let start = reader
            .fill_buf()
            .map_err(|e| DataError::unreadable(file, e))?;
        if start.starts_with(&[0x1f, 0x8b]) {
            Ok(Self::inflated(
                file,
                MultiGzDecoder::new(reader),
                size,
                u64::MAX,
            ))
        } else {
            Ok(Self::plain(file, reader, size))
        }
    }

    /// The bytes that `reader` inflates from `compressed` bytes; more than `most` bytes are not
    /// allowed.
    pub fn inflated(file: &Path, reader: impl Read + 'a, compressed: u64, most: u64) -> Self {
        let mut input = Self::plain(file, reader, compressed.saturating_mul(INFLATION).min(most));
        input.exact = false;
        input
    }

    /// The file's name, for errors.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// An error at the current place.
    pub fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> DataError {
        DataError::malformed(&self.file, Place::Byte(self.offset), expected, found)
    }

    /// Fails unless exactly `len` more bytes can follow.
    pub fn expect_rest(&self, len: u64, what: &str) -> Result<(), DataError> {
        self.expect(len, what)?;
        let left = self.limit.saturating_sub(self.offset);
        if self.exact && left != len {
            return Err(self.wrong(
                format!("{len} bytes of {what} and no more"),
                format!("{left} bytes"),
            ));
        }
        Ok(())
    }

    fn expect(&self, len: u64, what: &str) -> Result<(), DataError> {
        if len > MAX_BYTES {
            return Err(self.wrong(
                format!("at most {MAX_BYTES} bytes of {what}"),
                format!("{len} bytes"),
            ));
        }
        let left = self.limit.saturating_sub(self.offset);
        if left < len {
            let at_most = if self.exact { "" } else { "at most " };
            return Err(self.wrong(
                format!("{len} bytes of {what}"),
                format!("{at_most}{left} bytes"),
            ));
        }
        Ok(())
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], DataError> {
        self.expect(N as u64, what)?;
        let mut out = [0; N];
        self.read_into(&mut out, what)?;
        Ok(out)
    }

    /// The next `len` bytes. The buffer grows with the bytes that arrive, not with the stated length.
    pub fn bytes(&mut self, len: u64, what: &str) -> Result<Vec<u8>, DataError> {
        self.expect(len, what)?;
        let mut out = Vec::new();
        if self.exact {
            out.try_reserve_exact(len as usize).map_err(|e| {
                self.wrong(format!("memory for {len} bytes of {what}"), e.to_string())
            })?;
        }
        let got = (&mut self.reader).take(len).read_to_end(&mut out);
        self.arrived(got, len, what)?;
        Ok(out)
    }

    /// Whether the number of bytes is known exactly, and not only bounded.
    pub fn is_exact(&self) -> bool {
        self.exact
    }

    /// Passes the next `len` bytes to `each`, until it wants no more. All pieces but the last have
    /// sizes that are multiples of `unit`.
    pub fn pieces(
        &mut self,
        len: u64,
        unit: usize,
        what: &str,
        mut each: impl FnMut(&[u8]) -> Result<Flow, DataError>,
    ) -> Result<(), DataError> {
        self.expect(len, what)?;
        let unit = unit.max(1);
        let step = (STEP / unit).max(1) * unit;
        let mut buffer = vec![0; (step as u64).min(len) as usize];
        let mut left = len;
        while left > 0 {
            let now = left.min(step as u64) as usize;
            let Some(piece) = buffer.get_mut(..now) else {
                return Ok(());
            };
            self.read_into(piece, what)?;
            if let Flow::Enough = each(piece)? {
                return Ok(());
            }
            left -= now as u64;
        }
        Ok(())
    }

    /// Fails if any bytes follow. Reading to the end also checks a checksum, where there is one.
    pub fn finish(mut self) -> Result<(), DataError> {
        let mut one = [0];
        loop {
            match self.reader.read(&mut one) {
                Ok(0) => return Ok(()),
                Ok(_) => return Err(self.wrong("the end of the data", "more bytes")),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.wrong("the end of the data", e.to_string())),
            }
        }
    }

    /// Fills `out` with the next bytes.
    pub fn read_into(&mut self, out: &mut [u8], what: &str) -> Result<(), DataError> {
        let mut got = 0;
        while let Some(rest) = out.get_mut(got..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return self.arrived(Err(e), out.len() as u64, what),
            }
        }
        self.arrived(Ok(got), out.len() as u64, what)
    }

    fn arrived(&mut self, got: io::Result<usize>, len: u64, what: &str) -> Result<(), DataError> {
        match got {
            Ok(n) if n as u64 == len => {
                self.offset += len;
                Ok(())
            }
            Ok(n) => Err(self.wrong(
                format!("{len} bytes of {what}"),
                format!("the end after {n} bytes"),
            )),
            Err(e) => Err(self.wrong(format!("{len} bytes of {what}"), e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_promise_beyond_the_file_fails_before_memory_is_spent() {
        let mut input = Input::plain(Path::new("f"), &[1u8, 2, 3][..], 3);
        let error = input.bytes(1 << 32, "pixels").unwrap_err().to_string();
        assert_eq!(
            error,
            "f: byte 0: expected 4294967296 bytes of pixels, found 3 bytes"
        );
        let error = input.bytes(u64::MAX, "pixels").unwrap_err().to_string();
        assert!(error.contains("at most 8589934592 bytes"), "{error}");
    }

    #[test]
    fn a_bomb_is_inflated_no_further_than_its_header_promises() {
        let bomb = gzipped(&vec![0; 1 << 20]);
        let size = bomb.len() as u64;
        let mut input = Input::maybe_gzipped(Path::new("f"), &bomb[..], size).unwrap();
        assert_eq!(input.bytes(10, "pixels").unwrap(), [0; 10]);
        let error = input.finish().unwrap_err().to_string();
        assert_eq!(
            error,
            "f: byte 10: expected the end of the data, found more bytes"
        );
    }

    #[test]
    fn a_corrupt_gzip_checksum_is_found_at_the_end() {
        let mut packed = gzipped(b"hello");
        let at = packed.len() - 6;
        packed[at] ^= 1;
        let size = packed.len() as u64;
        let mut input = Input::maybe_gzipped(Path::new("f"), &packed[..], size).unwrap();
        input.bytes(5, "text").unwrap();
        assert!(input.finish().is_err());
    }

    #[test]
    fn a_folder_is_not_read() {
        assert!(open_file(Path::new("/"))
            .unwrap_err()
            .to_string()
            .contains("not a regular file"));
    }
}
