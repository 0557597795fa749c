//! The names of the classes of a data set, and how many samples each class has.

use crate::quantity::{listed, shown};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of characters after which a name is cut, since names are for people to read.
const LONGEST_NAME: usize = 60;

/// The names of the classes, by index. A class without a name of its own is named by its index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassNames(Arc<[Box<str>]>);

impl ClassNames {
    /// Names in the order of the classes; a long name is cut. Names that are equal to the indices count
    /// as none.
    pub fn new<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let names = names.into_iter();
        let names: Vec<Box<str>> = names
            .map(|name| shown(name.as_ref(), LONGEST_NAME).into())
            .collect();
        let mut all = names.iter().enumerate();
        match all.all(|(index, name)| **name == *index.to_string()) {
            true => Self::default(),
            false => Self(names.into()),
        }
    }

    /// The name of class `index`.
    pub fn of(&self, index: u32) -> Cow<'_, str> {
        match self.0.get(index as usize) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(index.to_string()),
        }
    }

    /// Whether some class has a name that is not its index.
    pub fn are_given(&self) -> bool {
        !self.0.is_empty()
    }
}

/// A class, with the number of its samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassCount {
    /// The index by which models, attacks and tables name the class.
    pub index: u32,
    /// The name that the data has for the class.
    pub name: String,
    /// The number of training samples, before faults and attacks change any.
    pub train: u64,
    /// The number of test samples.
    pub test: u64,
}

/// The largest number of classes that are listed; the labels of a file must not decide how long a list
/// gets.
const MOST_LISTED: u32 = 1000;

/// Labels below this are counted in an array, higher ones (which a file may contain) one by one.
const IN_A_ROW: usize = 4096;

/// The number of samples of each class, in memory for the classes that occur.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counts {
    low: Vec<u64>,
    high: BTreeMap<u32, u64>,
}

impl Counts {
    /// Counts a sample of class `label`.
    pub fn add(&mut self, label: u32) {
        self.add_many(label, 1);
    }

    fn add_many(&mut self, label: u32, count: u64) {
        let at = label as usize;
        if at >= IN_A_ROW {
            *self.high.entry(label).or_insert(0) += count;
            return;
        }
        if self.low.len() <= at {
            self.low.resize(at + 1, 0);
        }
        self.low[at] += count;
    }

    /// These counts, where class `c` becomes class `indices[c]`.
    pub fn renumbered(&self, indices: &[u32]) -> Self {
        let mut counts = Self::default();
        for label in self.present() {
            let index = indices.get(label as usize).copied().unwrap_or(label);
            counts.add_many(index, self.get(label));
        }
        counts
    }

    /// The counts of a whole list of labels.
    pub fn of(labels: &[u32]) -> Self {
        let mut counts = Self::default();
        labels.iter().for_each(|label| counts.add(*label));
        counts
    }

    fn get(&self, label: u32) -> u64 {
        let low = self.low.get(label as usize).copied();
        low.unwrap_or_else(|| self.high.get(&label).copied().unwrap_or(0))
    }

    /// The classes that occur, in order.
    fn present(&self) -> impl Iterator<Item = u32> + '_ {
        let low = (0u32..).zip(&self.low).filter(|(_, count)| **count > 0);
        low.map(|(label, _)| label).chain(self.high.keys().copied())
    }

    /// The number of classes needed: one above the highest class that occurs.
    pub fn needed(&self) -> usize {
        let top = self.high.keys().next_back().copied();
        top.map_or(self.low.len(), |top| top as usize + 1)
    }
}

/// The first thousand of `classes` classes, with their names and the counts of each part.
pub(super) fn counted(
    names: &ClassNames,
    classes: usize,
    train: &Counts,
    test: &Counts,
) -> Vec<ClassCount> {
    let all = (0..MOST_LISTED).take(classes);
    all.map(|index| ClassCount {
        index,
        name: names.of(index).into_owned(),
        train: train.get(index),
        test: test.get(index),
    })
    .collect()
}

/// The remark that labels which are their own class indices leave classes without a sample.
pub(super) fn gap_note(train: &Counts, test: &Counts) -> Option<String> {
    let needed = train.needed().max(test.needed());
    let has = |label: u32| train.get(label) + test.get(label) > 0;
    let first = (0..needed as u32).find(|label| has(*label))?;
    let mut occur: Vec<u32> = train.present().chain(test.present()).collect();
    occur.sort_unstable();
    occur.dedup();
    let missing = needed - occur.len();
    if missing == 0 {
        return None;
    }
    Some(match missing == first as usize {
        true => format!(
            "labels begin at {first}, and a label is the index of its class: {} no sample; subtract \
             {first} from every label",
            match first {
                1 => "class 0 has".to_string(),
                _ => format!("classes 0 to {} have", first - 1),
            }
        ),
        false => {
            let without = (0..needed as u32).filter(|label| !has(*label));
            let few: Vec<String> = without.take(20).map(|label| label.to_string()).collect();
            format!(
                "a label is the index of its class, and {missing} of {needed} classes have no sample \
                 ({}); number the classes from 0 without gaps, or say classes: {needed} if they are meant",
                listed(few.iter().map(String::as_str), missing)
            )
        }
    })
}

/// The remark that test samples are of classes that occur in no training sample.
pub(super) fn unseen_note(names: &ClassNames, train: &Counts, test: &Counts) -> Option<String> {
    let unseen: Vec<u32> = test.present().filter(|l| train.get(*l) == 0).collect();
    let samples: u64 = unseen.iter().map(|label| test.get(*label)).sum();
    let few: Vec<_> = unseen
        .iter()
        .take(20)
        .map(|label| names.of(*label))
        .collect();
    (!unseen.is_empty()).then(|| {
        format!(
            "{samples} test samples are of classes that no training sample has ({}), and so never right: \
             are labels written alike in both?",
            listed(few.iter().map(|name| &**name), unseen.len())
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_without_a_name_is_called_by_its_index() {
        let names = ClassNames::new(["cat", "dog"]);
        assert_eq!((&*names.of(1), &*names.of(2)), ("dog", "2"));
        assert!(names.are_given());
        let plain = ClassNames::new(["0", "1"]);
        assert_eq!(plain, ClassNames::default());
        assert_eq!(&*plain.of(1), "1");
    }

    #[test]
    fn a_long_name_is_cut() {
        let names = ClassNames::new(["x".repeat(5000)]);
        assert_eq!(names.of(0).chars().count(), LONGEST_NAME + 1);
    }

    #[test]
    fn samples_are_counted_by_class() {
        let names = ClassNames::new(["cat", "dog"]);
        let (train, test) = (Counts::of(&[0, 1, 1]), Counts::of(&[1]));
        let all = counted(&names, 2, &train, &test);
        assert_eq!((all[0].train, all[0].test), (1, 0));
        assert_eq!((all[1].train, all[1].test, &*all[1].name), (2, 1, "dog"));
        let far = Counts::of(&[1 << 19, 5000, 3]);
        assert_eq!(
            (far.needed(), far.get(5000), far.get(4)),
            ((1 << 19) + 1, 1, 0)
        );
        assert_eq!(far.present().collect::<Vec<_>>(), [3, 5000, 1 << 19]);
    }

    #[test]
    fn labels_that_begin_at_1_or_leave_gaps_are_reported() {
        let note = |train: &[u32], test: &[u32]| {
            gap_note(&Counts::of(train), &Counts::of(test)).unwrap_or_default()
        };
        assert_eq!(note(&[0, 2], &[1]), "");
        let one = note(&[1, 2, 3], &[2]);
        assert!(one.contains("class 0 has no sample; subtract 1"), "{one}");
        let gap = note(&[0, 1, 4, 6], &[]);
        assert!(
            gap.contains("3 of 7 classes have no sample (2, 3, 5)"),
            "{gap}"
        );
        let both = note(&[1, 3], &[]);
        assert!(
            both.contains("2 of 4 classes have no sample (0, 2)"),
            "{both}"
        );
    }

    #[test]
    fn classes_that_only_the_test_samples_have_are_reported_of() {
        let names = ClassNames::new(["Cat", "cat", "dog"]);
        let note = unseen_note(&names, &Counts::of(&[1, 2]), &Counts::of(&[0, 0, 2])).unwrap();
        assert!(
            note.contains("2 test samples") && note.contains("(Cat)"),
            "{note}"
        );
        assert_eq!(
            unseen_note(&names, &Counts::of(&[1]), &Counts::of(&[1])),
            None
        );
    }
}
