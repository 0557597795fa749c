//! From raw samples to a checked [`Split`]: the code that the readers of user files share.

use super::classes::{gap_note, unseen_note, ClassNames, Counts};
use super::dataset::{Dataset, Scaling, Split, Values, MAX_CLASSES};
use super::error::{DataError, Place};
use super::source::Shaping;
use crate::quantity::Probability;
use crate::sim::rng::{below, stream, Purpose, Stream};
use std::collections::BTreeMap;
use std::path::Path;

/// The node of the stream that draws test samples; no natural user has this number.
const SPLIT_NODE: u64 = u64::MAX;

/// Samples as a reader finds them in a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Raw {
    /// Shape of one sample.
    pub shape: Vec<usize>,
    pub values: Values,
    pub labels: Vec<u32>,
    pub users: Option<Vec<u32>>,
}

/// Where the test samples of a raw training part come from.
#[derive(Debug)]
pub(super) enum RawTest {
    Given(Raw),
    Fraction(Probability),
}

/// Numbers for the users or labels of a file, in order of first appearance.
#[derive(Debug)]
pub(super) struct Names<K: Ord>(BTreeMap<K, u32>);

impl<K: Ord> Default for Names<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Names<K> {
    /// The number of names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of `name`, which may be new. At most 2^32 samples are allowed, so a number is always
    /// free.
    pub fn number(&mut self, name: K) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(name).or_insert(next)
    }

    /// Every name in sorted order, with its number.
    pub fn iter(&self) -> impl Iterator<Item = (&K, u32)> {
        self.0.iter().map(|(name, number)| (name, *number))
    }
}

/// The label as the index of its class, if it can be one.
pub(super) fn index(number: i64) -> Option<u32> {
    let label = u32::try_from(number).ok();
    label.filter(|label| (*label as usize) < MAX_CLASSES)
}

/// The numbers that [`index`] accepts, in words.
pub(super) fn indices_in_words() -> String {
    format!("labels from 0 to {}", MAX_CLASSES - 1)
}

/// The number of classes: the given one, or one above the highest label in the file `labels`.
pub(super) fn classes(labels: &Path, shaping: &Shaping, needed: usize) -> Result<usize, DataError> {
    let classes = shaping.classes.unwrap_or(needed);
    if classes < needed.max(1) || classes > MAX_CLASSES {
        let least = needed.max(1);
        let expected = format!(
            "{least} to {MAX_CLASSES} classes, as the highest label is {}",
            least - 1
        );
        let error = DataError::malformed(labels, Place::Whole, expected, classes.to_string());
        return Err(error.at("classes"));
    }
    Ok(classes)
}

/// Remarks on labels that are indices: about gaps, unless the number of classes is given, and about
/// classes that occur only in separately `given` test samples.
pub(super) fn index_notes(
    shaping: &Shaping,
    given: bool,
    train: &Counts,
    test: &Counts,
) -> Vec<String> {
    let gap = match shaping.classes {
        Some(_) => None,
        None => gap_note(train, test),
    };
    let unseen = given.then(|| unseen_note(&ClassNames::default(), train, test));
    gap.into_iter().chain(unseen.flatten()).collect()
}

/// The shape of one sample: the given one, if it has as many values as the samples of the file.
pub(super) fn shape(
    name: &str,
    shaping: &Shaping,
    read: &[usize],
) -> Result<Vec<usize>, DataError> {
    let product = |shape: &[usize]| shape.iter().try_fold(1usize, |p, d| p.checked_mul(*d));
    match &shaping.shape {
        Some(wanted) if product(wanted) == product(read) => Ok(wanted.clone()),
        Some(wanted) => Err(DataError::invalid(
            name,
            format!("a shape with as many values as a sample has (shape {read:?})"),
            format!("{wanted:?}"),
        )
        .at("shape")),
        // A sample of a single number is a row of one feature.
        None if read.is_empty() => Ok(vec![1]),
        None => Ok(read.to_vec()),
    }
}

/// The remark that samples of this shape look like images with their channels last.
pub(super) fn layout_note(shape: &[usize]) -> Option<String> {
    let [height, width, channels @ 1..=4] = *shape else {
        return None;
    };
    let remedy = match channels {
        1 => format!("say shape: [1, {height}, {width}]"),
        _ => "write them as numpy.transpose(x, (0, 3, 1, 2)) does".into(),
    };
    (height > 4 && width > 4).then(|| {
        format!(
            "samples of shape {shape:?} look like images with their channels last, and the first number \
             is taken for the channels: {remedy}"
        )
    })
}

/// How many of `n` samples are for testing: the nearest whole number to the share, which must leave
/// samples for training and for testing.
pub(super) fn test_count(name: &str, n: usize, fraction: Probability) -> Result<usize, DataError> {
    let count = libm::round(fraction.get() * n as f64) as usize;
    if count == 0 || count >= n {
        let expected = "a test fraction that leaves samples for training and for testing";
        return Err(
            DataError::invalid(name, expected, format!("{count} of {n} for testing"))
                .at("test_fraction"),
        );
    }
    Ok(count)
}

/// Builds and checks the split of samples of `classes` classes. Without a `scaling`, bytes are scaled
/// to [0, 1] and other numbers stay as they are.
pub(super) fn split(
    name: &str,
    train: Raw,
    test: RawTest,
    classes: usize,
    shaping: &Shaping,
    scaling: Option<&Scaling>,
    seed: u64,
) -> Result<Split, DataError> {
    let finish = |raw: Raw| {
        let scaling = match (scaling, &raw.values) {
            (Some(scaling), _) => scaling.clone(),
            (None, Values::U8(_)) => Scaling::bytes(),
            (None, Values::F32(_)) => Scaling::identity(),
        };
        Ok(Dataset {
            name: name.to_string(),
            shape: shape(name, shaping, &raw.shape)?,
            values: raw.values,
            scaling,
            labels: raw.labels,
            classes,
            users: raw.users,
        })
    };
    let train = finish(train)?;
    let (mut train, mut test) = match test {
        RawTest::Given(test) => (train, finish(test)?),
        RawTest::Fraction(fraction) => draw(train, fraction, seed)?,
    };
    renumber(&mut train, &mut test);
    if shaping.standardise {
        train.check_lengths()?;
        train.scaling = standardised(&train);
        test.scaling = train.scaling.clone();
    }
    Split::new(train, test)
}

/// Decides which samples of a file are for testing, one sample after the other.
pub(super) struct TestDraw {
    rng: Stream,
    /// The number of samples not yet decided, and how many of those are for testing.
    rest: u64,
    left: u64,
}

impl TestDraw {
    /// A draw of `count` of `n` samples.
    pub fn new(n: usize, count: usize, seed: u64) -> Self {
        Self {
            rng: stream(seed, SPLIT_NODE, Purpose::Data, 0),
            rest: n as u64,
            left: count as u64,
        }
    }

    /// Whether the next sample is for testing. This is selection sampling (Knuth, TAOCP 3.4.2,
    /// algorithm S), by which each subset is equally likely.
    pub fn takes_next(&mut self) -> bool {
        if self.rest == 0 {
            return false;
        }
        let taken = below(&mut self.rng, self.rest) < self.left;
        self.rest -= 1;
        self.left -= u64::from(taken);
        taken
    }
}

/// Draws the test samples; both parts keep the order of the file.
fn draw(data: Dataset, fraction: Probability, seed: u64) -> Result<(Dataset, Dataset), DataError> {
    data.check_lengths()?;
    let n = data.len();
    let count = test_count(&data.name, n, fraction)?;
    let mut taken = TestDraw::new(n, count, seed);
    let (mut train, mut test) = (Vec::with_capacity(n - count), Vec::with_capacity(count));
    for i in 0..n as u32 {
        match taken.takes_next() {
            true => test.push(i),
            false => train.push(i),
        }
    }
    Ok((data.select(&train), data.select(&test)))
}

/// Numbers users by first appearance, in the training samples first, so that the numbers of the
/// training samples have no gaps.
fn renumber(train: &mut Dataset, test: &mut Dataset) {
    let mut numbers = Names::default();
    for data in [train, test] {
        for user in data.users.iter_mut().flatten() {
            *user = numbers.number(*user);
        }
    }
}

/// Mean and standard deviation of each channel over all samples, in double precision. A channel that
/// never varies gets the deviation 1.
fn standardised(data: &Dataset) -> Scaling {
    let scale = match data.values {
        Values::U8(_) => 1.0 / 255.0,
        Values::F32(_) => 1.0,
    };
    let channels = data.shape.first().copied().unwrap_or(1).max(1);
    let plane = (data.sample_len() / channels).max(1);
    let count = (data.len() * plane).max(1) as f64;
    let over = |value: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0f64; channels];
        let mut add = |at: usize, raw: f32| {
            let channel = at / plane % channels;
            sums[channel] += value(channel, f64::from(raw * scale));
        };
        match &data.values {
            Values::U8(raw) => raw
                .iter()
                .enumerate()
                .for_each(|(at, x)| add(at, f32::from(*x))),
            Values::F32(raw) => raw.iter().enumerate().for_each(|(at, x)| add(at, *x)),
        }
        sums.iter().map(|sum| sum / count).collect::<Vec<_>>()
    };
    let mean = over(&|_, x| x);
    let variance = over(&|channel, x| (x - mean[channel]) * (x - mean[channel]));
    // A deviation that rounding alone gives to a constant counts as none.
    let deviation = |(variance, mean): (&f64, &f64)| {
        let std = libm::sqrt(*variance);
        let varies = std > 1e-6 * libm::fabs(*mean) && std as f32 > 0.0;
        if varies {
            std as f32
        } else {
            1.0
        }
    };
    Scaling {
        scale,
        mean: mean.iter().map(|m| *m as f32).collect(),
        std: variance.iter().zip(&mean).map(deviation).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(n: usize) -> Raw {
        Raw {
            shape: vec![2],
            values: Values::F32((0..2 * n).map(|i| i as f32).collect()),
            labels: (0..n as u32).map(|i| i % 3).collect(),
            users: Some((0..n as u32).map(|i| 10 - i % 4).collect()),
        }
    }

    fn fraction(f: f64) -> RawTest {
        RawTest::Fraction(Probability::new(f).unwrap())
    }

    #[test]
    fn a_fraction_takes_its_share_and_every_sample_lands_in_one_part() {
        let split = split(
            "t",
            raw(40),
            fraction(0.25),
            3,
            &Shaping::default(),
            None,
            1,
        )
        .unwrap();
        let test = split.test.as_evaluation();
        assert_eq!((split.train.len(), test.len()), (30, 10));
        let firsts = |d: &Dataset| match &d.values {
            Values::F32(v) => v
                .iter()
                .step_by(2)
                .map(|x| *x as usize / 2)
                .collect::<Vec<_>>(),
            Values::U8(_) => Vec::new(),
        };
        let (train, test) = (firsts(&split.train), firsts(test));
        assert!(train.is_sorted() && test.is_sorted());
        let mut all = [train, test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn the_draw_depends_on_the_seed_alone() {
        let at = |seed| {
            split(
                "t",
                raw(40),
                fraction(0.25),
                3,
                &Shaping::default(),
                None,
                seed,
            )
            .unwrap()
        };
        assert_eq!(at(1), at(1));
        assert_ne!(at(1), at(2));
    }

    #[test]
    fn a_fraction_that_leaves_a_part_empty_is_an_error() {
        for f in [0.0, 0.1, 0.9, 1.0] {
            assert!(
                split("t", raw(4), fraction(f), 3, &Shaping::default(), None, 1).is_err(),
                "{f}"
            );
        }
    }

    #[test]
    fn users_are_renumbered_without_gaps() {
        let split = split(
            "t",
            raw(40),
            fraction(0.25),
            3,
            &Shaping::default(),
            None,
            1,
        )
        .unwrap();
        assert_eq!(split.train.user_count(), Some(4));
    }

    #[test]
    fn standardising_measures_the_training_samples_by_channel() {
        let train = Raw {
            shape: vec![3],
            values: Values::F32(vec![1.0, 0.1, 7.0, 3.0, 0.1, 8.0]),
            labels: vec![0, 1],
            users: None,
        };
        let shaping = Shaping {
            standardise: true,
            ..Shaping::default()
        };
        let split = split(
            "t",
            train.clone(),
            RawTest::Given(train),
            2,
            &shaping,
            None,
            1,
        )
        .unwrap();
        let Scaling { mean, std, .. } = &split.train.scaling;
        assert_eq!(mean, &[2.0, 0.1, 7.5]);
        assert_eq!(std, &[1.0, 1.0, 0.5]);
        assert_eq!(split.test.as_evaluation().scaling, split.train.scaling);
    }

    #[test]
    fn a_shape_must_hold_what_a_sample_has() {
        let shaped = |shape: Vec<usize>| {
            let shaping = Shaping {
                shape: Some(shape),
                ..Shaping::default()
            };
            split("t", raw(8), fraction(0.25), 3, &shaping, None, 1).map(|s| s.train.shape)
        };
        assert_eq!(shaped(vec![1, 1, 2]), Ok(vec![1, 1, 2]));
        let error = shaped(vec![3]).unwrap_err().to_string();
        assert!(error.contains("(shape [2]), found [3]"), "{error}");
    }

    #[test]
    fn images_with_channels_last_are_recognised() {
        let note = layout_note(&[28, 28, 3]).unwrap();
        assert!(note.contains("numpy.transpose(x, (0, 3, 1, 2))"), "{note}");
        let note = layout_note(&[28, 28, 1]).unwrap();
        assert!(note.contains("say shape: [1, 28, 28]"), "{note}");
        for fine in [&[3, 28, 28][..], &[1, 8, 8], &[28, 28], &[3, 4, 3], &[7]] {
            assert_eq!(layout_note(fine), None);
        }
    }

    #[test]
    fn labels_out_of_range_are_no_indices() {
        assert_eq!(index(3), Some(3));
        for bad in [-1, MAX_CLASSES as i64, i64::MAX] {
            assert_eq!(index(bad), None);
        }
    }
}
