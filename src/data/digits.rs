//! The embedded UCI optical digits; source and licence are in `embedded/README.md`.
//!
//! The split is fixed: the samples are listed class by class, each class in the order of the file, and
//! every fifth, beginning with the first, is a test sample. That makes 1,437 for training and 360 for
//! testing, with each class in both by its share.

use super::dataset::{Dataset, Scaling, Split, Values};
use super::error::{DataError, Place};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::Path;

const FILE: &[u8] = include_bytes!("embedded/digits.csv.gz");
const SAMPLES: usize = 1797;
const PIXELS: usize = 64;
/// One sample in this many is for testing.
const TEST_EVERY: usize = 5;

/// The number of training samples; `TEST` is the number of test samples.
pub(super) const TRAIN: usize = SAMPLES - TEST;
pub(super) const TEST: usize = SAMPLES.div_ceil(TEST_EVERY);
/// Shape of one sample.
pub(super) const SHAPE: [usize; 3] = [1, 8, 8];
pub(super) const CLASSES: usize = 10;

/// Pixels go from 0 to 16; the mean and the deviation are those of the scaled training pixels.
const SCALE: f32 = 1.0 / 16.0;
const MEAN: f32 = 0.305_754_45;
const STD: f32 = 0.376_216_9;

/// Reads the embedded file.
pub(super) fn load() -> Result<Split, DataError> {
    let whole = read()?;
    let mut order: Vec<u32> = (0..whole.len() as u32).collect();
    order.sort_by_key(|i| whole.labels.get(*i as usize).copied());
    let part = |test: bool| {
        let wanted = |(place, i): (usize, &u32)| ((place % TEST_EVERY == 0) == test).then_some(*i);
        let mut indices: Vec<u32> = order.iter().enumerate().filter_map(wanted).collect();
        indices.sort_unstable();
        whole.select(&indices)
    };
    Split::new(part(false), part(true))
}

fn read() -> Result<Dataset, DataError> {
    let name = Path::new("embedded digits");
    let mut text = String::new();
    GzDecoder::new(FILE)
        .read_to_string(&mut text)
        .map_err(|e| DataError::unreadable(name, e))?;
    let (mut pixels, mut labels) = (
        Vec::with_capacity(SAMPLES * PIXELS),
        Vec::with_capacity(SAMPLES),
    );
    for (line, row) in text.lines().enumerate() {
        let numbers: Option<Vec<u8>> = row.split(',').map(|n| n.parse().ok()).collect();
        match numbers.as_deref().and_then(<[u8]>::split_last) {
            Some((label, row)) if row.len() == PIXELS => {
                pixels.extend_from_slice(row);
                labels.push(u32::from(*label));
            }
            _ => {
                let place = Place::Line {
                    line: line as u64 + 1,
                    column: 0,
                };
                return Err(DataError::malformed(
                    name,
                    place,
                    "64 pixels and a label",
                    "another line",
                ));
            }
        }
    }
    let data = Dataset {
        name: "Digits".into(),
        shape: SHAPE.to_vec(),
        values: Values::U8(pixels),
        scaling: Scaling::uniform(SCALE, MEAN, STD),
        labels,
        classes: CLASSES,
        users: None,
    };
    data.check_lengths()?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_has_its_stated_sizes_and_every_class_by_its_share() {
        let split = load().unwrap();
        let (train, test) = (&split.train, split.test.as_evaluation());
        assert_eq!((train.len(), test.len()), (TRAIN, TEST));
        assert_eq!((TRAIN, TEST), (1437, 360));
        for class in 0..10 {
            let count = |d: &Dataset| d.labels.iter().filter(|l| **l == class).count();
            let all = count(train) + count(test);
            assert!((174..=183).contains(&all), "class {class}: {all}");
            assert!(
                count(test).abs_diff(all / 5) <= 1,
                "class {class}: {}",
                count(test)
            );
        }
    }

    #[test]
    fn the_first_image_is_the_zero_that_begins_the_file() {
        // The first line of the file is the first sample of class 0, so it is a test sample.
        let split = load().unwrap();
        let test = split.test.as_evaluation();
        assert_eq!(test.labels[0], 0);
        let Values::U8(pixels) = &test.values else {
            panic!("digits are bytes");
        };
        assert_eq!(
            pixels[..16],
            [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]
        );
    }

    #[test]
    fn the_constants_are_those_of_the_training_pixels() {
        let split = load().unwrap();
        let Values::U8(pixels) = &split.train.values else {
            panic!("digits are bytes");
        };
        let n = pixels.len() as f64;
        let scaled = || pixels.iter().map(|p| f64::from(*p) / 16.0);
        let mean = scaled().sum::<f64>() / n;
        let std = (scaled().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n).sqrt();
        assert!((mean - f64::from(MEAN)).abs() < 1e-7, "{mean}");
        assert!((std - f64::from(STD)).abs() < 1e-7, "{std}");
    }
}
