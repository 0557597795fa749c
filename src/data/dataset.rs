//! Samples in memory: features as they were read, labels, and the constants that normalise them.

use super::classes::{counted, ClassCount, ClassNames, Counts};
use super::error::DataError;
use serde::Serialize;
use std::borrow::Cow;

/// The most bytes that the features of one data set may take.
pub const MAX_BYTES: u64 = 1 << 33;

/// The most classes that labels may name: what sizes a model's last layer is not left to a file.
pub const MAX_CLASSES: usize = 1 << 20;

/// Labelled samples of one shape, row-major `[len, shape...]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What errors and reports call it.
    pub name: String,
    /// Shape of one sample: `[channels, height, width]` for images, `[features]` for rows.
    pub shape: Vec<usize>,
    /// Raw features, `len × shape` of them.
    pub values: Values,
    /// How a raw feature becomes a model's input.
    pub scaling: Scaling,
    /// One label a sample, each below `classes`.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
    /// The natural user of each sample, numbered from 0 without gaps (in a [`TestSet`] numbers may
    /// be missing: they are those of the training set).
    pub users: Option<Vec<u32>>,
}

/// What dealing samples needs to know of them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labelled<'a> {
    /// What errors call the data set.
    pub name: &'a str,
    /// One label a sample.
    pub labels: Cow<'a, [u32]>,
    /// The natural user of each sample.
    pub users: Option<Cow<'a, [u32]>>,
}

impl Labelled<'_> {
    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.labels.len()
    }
}

/// Features as the source has them; they become floats on the device that learns from them.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Bytes, as in image files.
    U8(Vec<u8>),
    /// Single-precision numbers, all finite.
    F32(Vec<f32>),
}

/// Normalisation: `x = (raw · scale − mean[c]) / std[c]`, where c is a sample's first dimension
/// (the channel of an image, the feature of a row).
#[derive(Debug, Clone, PartialEq)]
pub struct Scaling {
    /// Factor on the raw value (1/255 for byte images).
    pub scale: f32,
    /// Mean of the scaled values: one a channel, or a single one for all.
    pub mean: Vec<f32>,
    /// Standard deviation of the scaled values, above zero; as many as `mean`.
    pub std: Vec<f32>,
}

/// Data that only evaluation may see. It gives no way to where training data is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct TestSet(Dataset);

/// A source as read: what is learned from, and what is only measured on.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Dealt to clients by a partitioner.
    pub train: Dataset,
    /// Same shape and classes as `train`.
    pub test: TestSet,
    /// What the data calls its classes.
    pub names: ClassNames,
    /// Sentences about what is probably not meant.
    pub notes: Vec<String>,
}

/// What a source holds, without its samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DataSummary {
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// Training samples.
    pub train: usize,
    /// Test samples.
    pub test: usize,
    /// Natural users, where the source has them. Where test samples are drawn from the same file,
    /// a user whose every sample is drawn is counted here but has none to train on.
    pub users: Option<usize>,
    /// What the data calls its classes; `run.json` has a list of its own.
    #[serde(skip)]
    pub names: ClassNames,
    /// Sentences about what is allowed and probably not meant, as far as it was looked at.
    #[serde(skip)]
    pub notes: Vec<String>,
}

impl Values {
    /// Number of features, over all samples.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Scaling {
    /// Raw values as they are.
    pub fn identity() -> Self {
        Self::uniform(1.0, 0.0, 1.0)
    }

    /// Bytes to [0, 1].
    pub fn bytes() -> Self {
        Self::uniform(1.0 / 255.0, 0.0, 1.0)
    }

    /// One mean and deviation for every channel.
    pub fn uniform(scale: f32, mean: f32, std: f32) -> Self {
        Self {
            scale,
            mean: vec![mean],
            std: vec![std],
        }
    }
}

impl Dataset {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Features in one sample: the product of its shape.
    pub fn sample_len(&self) -> usize {
        self.shape
            .iter()
            .fold(1, |product, d| product.saturating_mul(*d))
    }

    /// Number of natural users: one above the highest id.
    pub fn user_count(&self) -> Option<usize> {
        self.users
            .as_ref()
            .map(|users| users.iter().max().map_or(0, |top| *top as usize + 1))
    }

    /// Checks every rule of the type: shape without zeros, lengths that agree, at least one sample,
    /// labels below `classes`, finite features, deviations above zero, users without gaps.
    ///
    /// # Errors
    /// [`DataError::Invalid`] with the first rule that is broken.
    pub fn validate(&self) -> Result<(), DataError> {
        self.check()?;
        let Some(users) = &self.users else {
            return Ok(());
        };
        // An id beyond the number of samples leaves a gap; so the marks below stay bounded.
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

    /// Whether shape, values, labels and users agree in number: what makes [`Self::select`] safe.
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

    /// Whether the number of classes is fit for a table of them, and every label below it.
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
    /// The rules of [`Dataset::validate`], except that user ids may have gaps.
    pub fn new(data: Dataset) -> Result<Self, DataError> {
        data.check()?;
        Ok(Self(data))
    }

    /// The samples, for measuring a model.
    pub fn as_evaluation(&self) -> &Dataset {
        &self.0
    }

    /// The samples, for measuring a model, to be moved to a host device.
    pub fn into_evaluation(self) -> Dataset {
        self.0
    }
}

impl Split {
    /// Pairs training and test data.
    ///
    /// # Errors
    /// When either breaks a rule of its own, or they differ in shape, kind of value or classes.
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

    /// The classes with their names and how many samples each has; of very many, the first thousand.
    pub fn classes(&self) -> Vec<ClassCount> {
        let (train, test) = self.counts();
        counted(&self.names, self.train.classes, &train, &test)
    }

    /// How many samples of each class both parts have.
    pub(super) fn counts(&self) -> (Counts, Counts) {
        let test = self.test.as_evaluation();
        (Counts::of(&self.train.labels), Counts::of(&test.labels))
    }

    /// What the split holds.
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
