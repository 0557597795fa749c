//! CIFAR-10 and CIFAR-100 in their binary version (A. Krizhevsky, 2009).
//!
//! A file is a row of records: the label (for CIFAR-100 a coarse then a fine one), then 3,072 bytes
//! of a 32×32 image, channel by channel.

use super::error::{DataError, Place};
use super::idx::looked_in;
use super::input::Input;
use std::path::{Path, PathBuf};

pub(super) const PIXELS: usize = 3 * 32 * 32;

/// The labels of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    /// The number of label bytes before the pixels.
    pub labels: usize,
    /// The index of the wanted label byte.
    pub wanted: usize,
    /// The number of classes of that label.
    pub classes: usize,
}

/// The number of records in a file of `size` bytes.
pub(super) fn count(file: &Path, size: u64, format: Format) -> Result<usize, DataError> {
    let record = (PIXELS + format.labels) as u64;
    if size == 0 || !size.is_multiple_of(record) {
        let expected = format!("one or more whole records of {record} bytes");
        let place = Place::Byte(size / record * record);
        return Err(DataError::malformed(
            file,
            place,
            expected,
            format!("{size} bytes in all"),
        ));
    }
    Ok((size / record) as usize)
}

/// Hands the label and the pixels of each record of one file of `size` bytes to `each`.
pub(super) fn read(
    mut input: Input<'_>,
    size: u64,
    format: Format,
    mut each: impl FnMut(u32, &[u8]),
) -> Result<(), DataError> {
    let records = count(input.file(), size, format)?;
    input.expect_rest(size, "records")?;
    let mut record = vec![0; format.labels + PIXELS];
    for _ in 0..records {
        input.read_into(&mut record, "a record")?;
        let (labels, pixels) = record.split_at(format.labels);
        let label = labels.get(format.wanted).copied().unwrap_or(u8::MAX);
        if usize::from(label) >= format.classes {
            let expected = format!(
                "a label below {} in the record that ends here",
                format.classes
            );
            return Err(input.wrong(expected, label.to_string()));
        }
        each(u32::from(label), pixels);
    }
    input.finish()
}

/// The files of one part, in `folder` or in the folder into which the archive unpacks.
pub(super) fn locate(
    folder: &Path,
    unpacked: &str,
    names: &[&str],
    remedy: &str,
) -> Result<Vec<PathBuf>, DataError> {
    let inner = folder.join(unpacked);
    let base = if inner.is_dir() {
        inner
    } else {
        folder.to_path_buf()
    };
    let paths: Vec<_> = names.iter().map(|name| base.join(name)).collect();
    match paths.iter().find(|path| !path.is_file()) {
        None => Ok(paths),
        Some(missing) => {
            let error = DataError::unreadable(missing, "no such file");
            Err(error.advise(&looked_in(folder, remedy)))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const FINE: Format = Format {
        labels: 2,
        wanted: 1,
        classes: 100,
    };

    #[derive(Debug, Default)]
    pub struct Records {
        pub pixels: Vec<u8>,
        pub labels: Vec<u32>,
    }

    pub fn parse(bytes: &[u8], format: Format) -> Result<Records, DataError> {
        let mut records = Records::default();
        let size = bytes.len() as u64;
        let input = Input::plain(Path::new("c"), bytes, size);
        read(input, size, format, |label, pixels| {
            records.labels.push(label);
            records.pixels.extend_from_slice(pixels);
        })?;
        Ok(records)
    }

    #[test]
    fn records_split_into_labels_and_pixels() {
        let mut bytes = vec![3, 99];
        bytes.extend((0..PIXELS).map(|i| i as u8));
        bytes.extend([4, 0]);
        bytes.extend([9; PIXELS]);
        let records = parse(&bytes, FINE).unwrap();
        assert_eq!(records.labels, [99, 0]);
        assert_eq!(records.pixels[300], (300 % 256) as u8);
        assert_eq!(records.pixels[PIXELS..], [9; PIXELS]);
        let coarse = Format {
            labels: 2,
            wanted: 0,
            classes: 20,
        };
        assert_eq!(parse(&bytes, coarse).unwrap().labels, [3, 4]);
    }

    #[test]
    fn a_part_of_a_record_is_an_error_with_its_offset() {
        let error = parse(&[0; 3074 + 5], FINE).unwrap_err().to_string();
        assert_eq!(
            error,
            "c: byte 3074: expected one or more whole records of 3074 bytes, found 3079 bytes in all"
        );
        assert!(parse(&[], FINE).is_err());
    }

    #[test]
    fn a_label_out_of_range_is_an_error() {
        let mut bytes = vec![0; 3074];
        bytes[1] = 100;
        let error = parse(&bytes, FINE).unwrap_err().to_string();
        assert!(
            error.contains("byte 3074: expected a label below 100"),
            "{error}"
        );
    }
}
