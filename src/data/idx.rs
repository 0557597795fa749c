//! The IDX format of MNIST and similar data sets, plain or gzipped.
//!
//! Layout (Y. LeCun, "The MNIST database"): two zero bytes, a type (only 0x08, unsigned byte, is read
//! here), the number of dimensions, each dimension as a big-endian `u32`, then the data.

use super::error::DataError;
use super::input::{Flow, Input};
use super::magic;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

const UNSIGNED_BYTE: u8 = 0x08;

/// Reads the header and checks it against the file's size; returns the dimensions and their product.
pub(super) fn header(
    input: &mut Input<'_>,
    dimensions: RangeInclusive<u8>,
    what: &str,
) -> Result<(Vec<usize>, u64), DataError> {
    let [zero, zero2, kind, count] = input.array::<4>("an IDX header")?;
    if (zero, zero2) != (0, 0) {
        let expected = "an IDX file, which begins with two zero bytes";
        return Err(match magic::kind(&[zero, zero2, kind, count]) {
            Some(kind) => input.wrong(expected, kind.what).advise(kind.remedy),
            None => input.wrong(expected, format!("{zero:#04x} {zero2:#04x}")),
        });
    }
    if kind != UNSIGNED_BYTE {
        return Err(input.wrong("IDX type 0x08 (unsigned byte)", format!("type {kind:#04x}")));
    }
    if !dimensions.contains(&count) {
        let (low, high) = (dimensions.start(), dimensions.end());
        let expected = match low == high {
            true => format!("{low} dimension(s) for {what}"),
            false => format!("{low} to {high} dimensions for {what}"),
        };
        return Err(input.wrong(expected, format!("{count}")));
    }
    let mut shape = Vec::new();
    let mut total = 1u64;
    for _ in 0..count {
        let d = u32::from_be_bytes(input.array::<4>("an IDX dimension")?);
        if d == 0 {
            return Err(input.wrong(format!("{what} in every dimension"), "a dimension of 0"));
        }
        total = total.saturating_mul(u64::from(d));
        shape.push(d as usize);
    }
    input.expect_rest(total, what)?;
    Ok((shape, total))
}

/// Reads images: returns `[n, rest...]` and the bytes.
pub(super) fn images(mut input: Input<'_>) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let (shape, total) = header(&mut input, 2..=4, "pixels")?;
    let bytes = input.bytes(total, "pixels")?;
    input.finish()?;
    Ok((shape, bytes))
}

/// Passes labels, one byte each, to `each`, with their places.
pub(super) fn labels(
    mut input: Input<'_>,
    mut each: impl FnMut(u64, u8) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let (_, total) = header(&mut input, 1..=1, "labels")?;
    let mut at = 0;
    input.pieces(total, 1, "labels", |piece| {
        for label in piece {
            each(at, *label)?;
            at += 1;
        }
        Ok(Flow::On)
    })?;
    input.finish()
}

/// Reads images to the end without keeping them.
pub(super) fn scan(mut input: Input<'_>) -> Result<(), DataError> {
    let (_, total) = header(&mut input, 2..=4, "pixels")?;
    input.pieces(total, 1, "pixels", |_| Ok(Flow::On))?;
    input.finish()
}

/// The shape of one sample: images without a channel dimension get one in front.
pub(super) fn sample_shape(dimensions: &[usize]) -> Vec<usize> {
    match dimensions {
        [_, height, width] => vec![1, *height, *width],
        [_, rest @ ..] => rest.to_vec(),
        [] => Vec::new(),
    }
}

/// The file in `folder` that contains `part` ("train-images", "t10k-labels"), under either of the names
/// in use, gzipped or not.
pub(super) fn locate(folder: &Path, part: &str, remedy: &str) -> Result<PathBuf, DataError> {
    let suffix = if part.ends_with("images") {
        "idx3-ubyte"
    } else {
        "idx1-ubyte"
    };
    for joint in ["-", "."] {
        for packed in ["", ".gz"] {
            let path = folder.join(format!("{part}{joint}{suffix}{packed}"));
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    let missing = folder.join(format!("{part}-{suffix}"));
    let error = DataError::unreadable(&missing, "no such file, gzipped or not");
    Err(error.advise(&looked_in(folder, remedy)))
}

/// How to get a data set, and where Shoal looked for it.
pub(super) fn looked_in(folder: &Path, remedy: &str) -> String {
    format!(
        "looked in the folder {} (dir: \"...\" names another, relative to the scenario's folder); {remedy}",
        folder.display()
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An IDX file with this header and body.
    pub fn file(dims: &[u32], body: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 0, UNSIGNED_BYTE, dims.len() as u8];
        dims.iter().for_each(|d| out.extend(d.to_be_bytes()));
        out.extend(body);
        out
    }

    fn read(bytes: &[u8]) -> Result<(Vec<usize>, Vec<u8>), DataError> {
        images(Input::plain(Path::new("x"), bytes, bytes.len() as u64))
    }

    fn error(bytes: &[u8]) -> String {
        read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn images_are_read_as_written() {
        let bytes: Vec<u8> = (0..12).collect();
        assert_eq!(read(&file(&[3, 2, 2], &bytes)), Ok((vec![3, 2, 2], bytes)));
    }

    #[test]
    fn a_truncated_file_is_an_error_with_its_offset() {
        let whole = file(&[3, 2, 2], &[7; 12]);
        assert_eq!(
            error(&whole[..27]),
            "x: byte 16: expected 12 bytes of pixels, found 11 bytes"
        );
        assert_eq!(
            error(&whole[..3]),
            "x: byte 0: expected 4 bytes of an IDX header, found 3 bytes"
        );
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn trailing_bytes_are_an_error() {
        let error = error(&file(&[3, 2, 2], &[7; 13]));
        assert_eq!(
            error,
            "x: byte 16: expected 12 bytes of pixels and no more, found 13 bytes"
        );
    }

    #[test]
    fn a_lying_dimension_is_an_error_before_it_is_allocated() {
        assert!(
            error(&file(&[u32::MAX; 4], &[7; 12])).contains("at most 8589934592 bytes of pixels")
        );
        assert!(error(&file(&[0, 2, 2], &[])).contains("a dimension of 0"));
        assert!(error(&file(&[12], &[7; 12])).contains("2 to 4 dimensions for pixels, found 1"));
        assert!(error(&[0, 0, 0x0d, 3]).contains("found type 0x0d"));
        assert!(error(&[0x1f, 0x8b, 8, 3]).contains("two zero bytes, found a gzip file"));
    }

    #[test]
    fn every_spelling_of_a_file_name_is_found() {
        for name in [
            "-idx3-ubyte",
            ".idx3-ubyte",
            "-idx3-ubyte.gz",
            ".idx3-ubyte.gz",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(format!("train-images{name}"));
            std::fs::write(&path, "x").unwrap();
            assert_eq!(locate(folder.path(), "train-images", ""), Ok(path));
        }
        let error = locate(Path::new("/nowhere"), "t10k-labels", "run fetch.sh").unwrap_err();
        assert_eq!(
            error.to_string(),
            "/nowhere/t10k-labels-idx1-ubyte: no such file, gzipped or not; looked in the folder /nowhere \
             (dir: \"...\" names another, relative to the scenario's folder); run fetch.sh"
        );
    }
}
