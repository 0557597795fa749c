//! Samples in memory: the features as they were read, the labels, and the constants that normalise the
//! features.

use super::classes::{counted, ClassCount, ClassNames, Counts};
use super::error::DataError;
use serde::Serialize;
use std::borrow::Cow;

/// The largest number of bytes that the features of one data set may take.
pub const MAX_BYTES: u64 = 1 << 33;

/// The largest number of classes: a file must not decide how large a model's last layer gets.
pub const MAX_CLASSES: usize = 1 << 20;

/// Labelled samples of one shape, row-major `[len, shape...]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The name of the data set in errors and reports.
    pub name: String,
    /// Shape of one sample: `[channels, height, width]` for images, `[features]` for rows.
    pub shape: Vec<usize>,
    /// The raw features, `len × shape` of them.
    pub values: Values,
    /// How a raw feature becomes a model's input.
    pub scaling: Scaling,
    /// One label for each sample, each below `classes`.
    pub labels: Vec<u32>,
    /// The number of classes.
    pub classes: usize,
    /// The natural user of each sample, numbered from 0 without gaps. (In a [`TestSet`] the numbers are
    /// those of the training set, and some may be missing.)
    pub users: Option<Vec<u32>>,
}

/// The labels and users of samples, which is all that a partition rule needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labelled<'a> {
    /// The name of the data set in errors.
    pub name: &'a str,
    /// One label for each sample.
    pub labels: Cow<'a, [u32]>,
    /// The natural user of each sample.
    pub users: Option<Cow<'a, [u32]>>,
}

impl Labelled<'_> {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }
}

/// Features as the source has them. They become floats on the device that learns from them.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Bytes, as in image files.
    U8(Vec<u8>),
    /// Single-precision numbers, all finite.
    F32(Vec<f32>),
}

/// Normalisation: `x = (raw · scale − mean[c]) / std[c]`, where c is the index in a sample's first
/// dimension (the channel of an image, the feature of a row). For example, with `Scaling::bytes()` the
/// byte 51 becomes 0.2.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// The factor for the raw value (1/255 for byte images).
    pub scale: f32,
    /// The mean of the scaled values: one for each channel, or a single one for all.
    pub mean: Vec<f32>,
    /// The standard deviation of the scaled values, above zero; as many values as `mean` has.
    pub std: Vec<f32>,
}

/// Test data, which only evaluation may use: the type cannot be passed where training data is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct TestSet(Dataset);

/// A source that was read: training data and test data.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The training data, which a partitioner distributes to clients.
    pub train: Dataset,
    /// The test data, with the shape and the classes of `train`.
    pub test: TestSet,
    /// The names that the data has for its classes.
    pub names: ClassNames,
    /// Remarks, in sentences, about what is probably not intended.
    pub notes: Vec<String>,
}

/// A summary of a source without its samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataSummary {
    /// The shape of one sample.
    pub shape: Vec<usize>,
    /// The number of classes.
    pub classes: usize,
    /// The number of training samples.
    pub train: usize,
    /// The number of test samples.
    pub test: usize,
    /// The number of natural users, where the source has users. Where test samples are drawn from the
    /// training file, this counts also a user all of whose samples were drawn, who has none to train
    /// on.
    pub users: Option<usize>,
    /// The names that the data has for its classes; `run.json` has a list of its own.
    #[serde(skip)]
    pub names: ClassNames,
    /// Remarks, in sentences, about what is allowed but probably not intended, as far as the source was
    /// read.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Values {
    /// The number of features, over all samples.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are no features.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Scaling {
    /// No change: raw values are used as they are.
    pub fn identity() -> Self {
        Self::uniform(1.0, 0.0, 1.0)
    }

    /// Scales bytes to [0, 1].
    pub fn bytes() -> Self {
        Self::uniform(1.0 / 255.0, 0.0, 1.0)
    }

    /// One mean and one standard deviation for all channels.
    pub fn uniform(scale: f32, mean: f32, std: f32) -> Self {
        Self {
            scale,
            mean: vec![mean],
            std: vec![std],
        }
    }
}

impl Dataset {
    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The number of features in one sample: the product of its shape.
    pub fn sample_len(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |product, d| product.saturating_mul(*d))
    }

    /// The number of natural users: one above the highest user number.
    pub fn user_count(&self) -> Option<usize> {
        self.users
            .as_ref()
            .map(|users| users.iter().max().map_or(0, |top| *top as usize + 1))
    }

    /// Checks every rule of the type: a shape without zeros, lengths that agree, at least one sample,
    /// labels below `classes`, finite features, deviations above zero, users without gaps.
    ///
    /// # Errors
    /// Returns [`DataError::Invalid`] with the first rule that is broken.
    pub fn validate(&self) -> Result<(), DataError> {
        self.check()?;
        let Some(users) = &self.users else {
            return Ok(());
        };
        // A user number beyond the number of samples means that there is a gap, so this list stays
        // bounded.
        let mut seen = vec![false; users.len()];
        for user in users {
            match seen.get_mut(*user as usize) {
                Some(mark) => *mark = true,
                None => return Err(self.broken("user ids numbered without gaps", user.to_string())),
            }
        }
        let count = self.user_count().unwrap_or(0);
        match seen.iter().take(count).position(|mark| !mark) {
            None => Ok(()),
            Some(gap) => {
                Err(self.broken("user ids numbered without gaps", format!("no user {gap}")))
            }
        }
    }

    /// The rules that training and test data share.
    fn check(&self) -> Result<(), DataError> {
        self.check_lengths()?;
        self.check_labels()?;
        self.check_values()?;
        self.check_scaling()
    }

    /// Whether shape, values, labels and users agree in number; [`Self::select`] relies on it.
    pub(super) fn check_lengths(&self) -> Result<(), DataError> {
        if self.is_empty() {
            return Err(self.broken("at least one sample", "none".into()));
        }
        if self.shape.is_empty() || self.shape.contains(&0) {
            return Err(self.broken(
                "a shape with every dimension above 0",
                format!("{:?}", self.shape),
            ));
        }
        if self.len() > u32::MAX as usize {
            return Err(self.broken("at most 2^32 - 1 samples", self.len().to_string()));
        }
        let wanted = self.len().checked_mul(self.sample_len());
        if wanted != Some(self.values.len()) {
            let expected = format!("{} samples of shape {:?}", self.len(), self.shape);
            return Err(self.broken(&expected, format!("{} values", self.values.len())));
        }
        if self
            .users
            .as_ref()
            .is_some_and(|users| users.len() != self.len())
        {
            let found = self.users.as_ref().map_or(0, Vec::len);
            return Err(self.broken("a user for each sample", format!("{found} users")));
        }
        Ok(())
    }

    /// Whether the number of classes is one for which a table can be made, and every label is below it.
    pub(super) fn check_labels(&self) -> Result<(), DataError> {
        if self.classes == 0 || self.classes > MAX_CLASSES {
            let expected = format!("1 to {MAX_CLASSES} classes");
            return Err(self.broken(&expected, self.classes.to_string()));
        }
        if let Some(at) = self.labels.iter().position(|l| *l as usize >= self.classes) {
            let expected = format!("labels below {} (the number of classes)", self.classes);
            return Err(self.broken(&expected, format!("{} at sample {at}", self.labels[at])));
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), DataError> {
        if let Values::F32(values) = &self.values {
            if let Some(at) = values.iter().position(|v| !v.is_finite()) {
                let found = format!("{} at sample {}", values[at], at / self.sample_len());
                return Err(self.broken("finite features", found));
            }
        }
        Ok(())
    }

    fn check_scaling(&self) -> Result<(), DataError> {
        let Scaling { scale, mean, std } = &self.scaling;
        let channels = self.shape.first().copied().unwrap_or(1);
        if mean.len() != std.len() || (mean.len() != 1 && mean.len() != channels) {
            let expected = format!("1 or {channels} means, and as many deviations");
            return Err(self.broken(&expected, format!("{} and {}", mean.len(), std.len())));
        }
        if !scale.is_finite() || mean.iter().any(|m| !m.is_finite()) {
            return Err(self.broken("a finite scale and means", format!("{scale} and {mean:?}")));
        }
        if std.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            return Err(self.broken("deviations above 0", format!("{std:?}")));
        }
        Ok(())
    }

    fn broken(&self, expected: &str, found: String) -> DataError {
        DataError::invalid(&self.name, expected, found)
    }

    /// A copy of the samples at `indices`, in that order. Every index must be below `len`.
    pub(super) fn select(&self, indices: &[u32]) -> Self {
        fn gather<T: Copy>(from: &[T], width: usize, indices: &[u32]) -> Vec<T> {
            let mut out = Vec::with_capacity(indices.len() * width);
            for &i in indices {
                let start = i as usize * width;
                out.extend_from_slice(&from[start..start + width]);
            }
            out
        }
        let width = self.sample_len();
        Self {
            name: self.name.clone(),
            shape: self.shape.clone(),
            values: match &self.values {
                Values::U8(values) => Values::U8(gather(values, width, indices)),
                Values::F32(values) => Values::F32(gather(values, width, indices)),
            },
            scaling: self.scaling.clone(),
            labels: gather(&self.labels, 1, indices),
            classes: self.classes,
            users: self.users.as_ref().map(|users| gather(users, 1, indices)),
        }
    }
}

impl TestSet {
    /// Marks `data` as fit for evaluation only.
    ///
    /// # Errors
    /// Returns an error if a rule of [`Dataset::validate`] is broken, except that user numbers may have
    /// gaps.
    pub fn new(data: Dataset) -> Result<Self, DataError> {
        data.check()?;
        Ok(Self(data))
    }

    /// The samples, for measuring a model.
    pub fn as_evaluation(&self) -> &Dataset {
        &self.0
    }

    /// The samples, for measuring a model, by value, so that they can be moved to a device of the host.
    pub fn into_evaluation(self) -> Dataset {
        self.0
    }
}

impl Split {
    /// Pairs training and test data.
    ///
    /// # Errors
    /// Returns an error if either part breaks a rule of its own, or if they differ in shape, kind of
    /// value or classes.
    pub fn new(train: Dataset, test: Dataset) -> Result<Self, DataError> {
        train.validate()?;
        let test = TestSet::new(test)?;
        let other = test.as_evaluation();
        let kind = |d: &Dataset| match d.values {
            Values::U8(_) => "bytes",
            Values::F32(_) => "floats",
        };
        let say = |d: &Dataset| format!("shape {:?}, {} classes, {}", d.shape, d.classes, kind(d));
        if say(&train) != say(other) {
            let expected = format!("test samples as the training samples ({})", say(&train));
            return Err(DataError::invalid(&train.name, expected, say(other)));
        }
        Ok(Self {
            train,
            test,
            names: ClassNames::default(),
            notes: Vec::new(),
        })
    }

    /// The classes with their names and numbers of samples; of very many classes, the first thousand.
    pub fn classes(&self) -> Vec<ClassCount> {
        let (train, test) = self.counts();
        counted(&self.names, self.train.classes, &train, &test)
    }

    /// The number of samples of each class, for training and for testing.
    pub(super) fn counts(&self) -> (Counts, Counts) {
        let test = self.test.as_evaluation();
        (Counts::of(&self.train.labels), Counts::of(&test.labels))
    }

    /// A summary of the split.
    pub fn describe(&self) -> DataSummary {
        DataSummary {
            shape: self.train.shape.clone(),
            classes: self.train.classes,
            train: self.train.len(),
            test: self.test.as_evaluation().len(),
            users: self.train.user_count(),
            names: self.names.clone(),
            notes: self.notes.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Dataset {
        Dataset {
            name: "small".into(),
            shape: vec![2],
            values: Values::F32(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
            scaling: Scaling::identity(),
            labels: vec![0, 1, 2],
            classes: 3,
            users: Some(vec![0, 1, 1]),
        }
    }

    fn after(change: impl FnOnce(&mut Dataset)) -> String {
        let mut data = small();
        change(&mut data);
        data.validate().unwrap_err().to_string()
    }

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(small().validate(), Ok(()));
        assert!(after(|d| d.labels.clear()).contains("at least one sample"));
        assert!(after(|d| d.shape = vec![]).contains("every dimension above 0"));
        assert!(after(|d| d.shape = vec![2, 0]).contains("every dimension above 0"));
        assert!(after(|d| d.shape = vec![3]).contains("3 samples of shape [3], found 6 values"));
        assert!(after(|d| d.shape = vec![usize::MAX, 2]).contains("found 6 values"));
        assert!(after(|d| d.classes = 2)
            .contains("labels below 2 (the number of classes), found 2 at sample 2"));
        assert!(after(|d| d.classes = MAX_CLASSES + 1).contains("classes"));
        let nan = Values::F32(vec![0.0, 1.0, f32::NAN, 0.0, 0.0, 0.0]);
        assert!(after(|d| d.values = nan).contains("finite features, found NaN at sample 1"));
        assert!(after(|d| d.users = Some(vec![0])).contains("a user for each sample"));
        assert!(after(|d| d.users = Some(vec![0, 2, 2])).contains("no user 1"));
        assert!(after(|d| d.users = Some(vec![0, 1, 9])).contains("without gaps, found 9"));
        assert!(after(|d| d.scaling.std = vec![0.0]).contains("deviations above 0"));
        assert!(after(|d| d.scaling.mean = vec![0.0; 3]).contains("1 or 2 means"));
        assert!(after(|d| d.scaling.scale = f32::INFINITY).contains("finite scale"));
    }

    #[test]
    fn a_test_set_may_lack_users_but_must_have_the_shape_of_its_training_set() {
        let mut test = small();
        test.users = Some(vec![7, 7, 9]);
        assert!(Split::new(small(), test.clone()).is_ok());
        test.shape = vec![1, 2];
        let error = Split::new(small(), test).unwrap_err().to_string();
        assert!(error.contains("found shape [1, 2]"), "{error}");
    }

    #[test]
    fn a_selection_copies_whole_samples_in_the_order_asked() {
        let picked = small().select(&[2, 0]);
        assert_eq!(picked.values, Values::F32(vec![4.0, 5.0, 0.0, 1.0]));
        assert_eq!(picked.labels, [2, 0]);
        assert_eq!(picked.users, Some(vec![1, 0]));
    }
}
