//! Maps the labels in tables to class indices, with one map for all tables of a data set.
//!
//! Labels are names. Numbers that are equal are one name, however they are written (`1`, `1.0`, `01`).
//! Numbers come first, in numerical order (10 after 2), then texts by their bytes. The index of a class
//! is its position in that order, so whole numbers from 0 without gaps are their own indices. Where the
//! number of classes is given and every label is a whole number below it, a label is its own index,
//! gaps or not.
//!
//! For example, the labels `cat`, `dog` and `7` get the indices 1, 2 and 0.

use super::assemble::Names;
use super::classes::ClassNames;
use super::dataset::MAX_CLASSES;
use super::error::{DataError, Place};
use crate::quantity::{listed, shown};
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

/// Whole numbers beyond 2^53 cannot be distinguished in double precision.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// More different numbers with fractions than this are taken as values to be predicted, not as classes.
const MOST_FRACTIONS: usize = 20;

/// From this number of different whole numbers on, it is worth asking whether they are classes.
const MANY_NUMBERS: usize = 100;

/// Texts that programs write for a missing value.
const MISSING: &[&str] = &["nan", "na", "n/a", "null", "none", "inf", "-inf", "?"];

/// The name of a class or a user in a table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// A number of at most 2^53.
    Number(Number),
    /// Any other text.
    Text(String),
}

/// A finite number, never -0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number(f64);

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Name {
    /// The name for a text of a file.
    pub fn parse(text: &str) -> Self {
        match text.parse::<f64>() {
            Ok(x) if libm::fabs(x) <= LARGEST => Self::Number(Number(x + 0.0)),
            _ => Self::Text(text.to_string()),
        }
    }

    /// The name for a whole number.
    pub fn whole(number: i64) -> Self {
        match number.unsigned_abs() <= LARGEST as u64 {
            true => Self::Number(Number(number as f64)),
            false => Self::Text(number.to_string()),
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Number(number) => number.0.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// The labels of all tables, numbered in the order in which they appear.
#[derive(Debug, Default)]
pub(super) struct Labels {
    names: Names<Name>,
    /// The place at which the first text for a missing value was found.
    missing: Option<(PathBuf, Place, String)>,
    samples: usize,
}

/// The classes to which labels were mapped.
#[derive(Debug, PartialEq)]
pub(super) struct Classes {
    /// The class index of each label, by the label's number.
    pub indices: Vec<u32>,
    /// The names of the classes, where they are not the indices.
    pub names: ClassNames,
    /// The number of classes.
    pub count: usize,
    /// Remarks about what is probably not intended.
    pub notes: Vec<String>,
}

impl Labels {
    /// The number of a label that was found at this place.
    pub fn number(&mut self, file: &Path, place: Place, name: Name) -> Result<u32, DataError> {
        if let (Name::Text(text), None) = (&name, &self.missing) {
            if MISSING.contains(&text.to_ascii_lowercase().as_str()) {
                self.missing = Some((file.to_path_buf(), place.clone(), text.clone()));
            }
        }
        self.samples += 1;
        let number = self.names.number(name);
        if number as usize >= MAX_CLASSES {
            let expected = format!("at most {MAX_CLASSES} different labels");
            return Err(DataError::malformed(file, place, expected, "more").advise(REGRESSION));
        }
        Ok(number)
    }

    /// Maps the labels to classes. `classes` is the number of classes that the scenario gives, if it
    /// does; `file` is the file that an error names.
    pub fn resolve(&self, file: &Path, classes: Option<usize>) -> Result<Classes, DataError> {
        let wrong = |expected: String, found: String, remedy: &str| {
            DataError::malformed(file, Place::Whole, expected, found).advise(remedy)
        };
        let ordered: Vec<(&Name, u32)> = self.names.iter().collect();
        let numbers: Vec<f64> = ordered.iter().map_while(|(name, _)| number(name)).collect();
        let texts = &ordered[numbers.len()..];
        let distinct = ordered.len();
        self.refuse_missing(&numbers, texts)?;
        self.refuse_regression(file, &numbers)?;
        let whole = |x: &f64| libm::trunc(*x) == *x && *x >= 0.0 && *x < MAX_CLASSES as f64;
        let all_whole = texts.is_empty() && numbers.iter().all(whole);
        let top = numbers.last().map_or(0, |top| *top as usize);
        let own_index = all_whole && classes.is_some_and(|classes| top < classes);
        let count = classes.unwrap_or(distinct);
        if distinct > count || !(1..=MAX_CLASSES).contains(&count) {
            let all: Vec<String> = ordered.iter().take(21).map(|(n, _)| n.written()).collect();
            let found = format!(
                "{distinct} different labels: {}",
                listed(all.iter().map(String::as_str), distinct)
            );
            let expected = format!("as many labels as there are classes ({count})");
            return Err(wrong(
                expected,
                found,
                "leave `classes` out, or correct it or the labels",
            )
            .at("classes"));
        }
        let mut indices = vec![0; distinct];
        for (place, (name, first)) in ordered.iter().enumerate() {
            let index = match number(name) {
                Some(x) if own_index => x as u32,
                _ => place as u32,
            };
            if let Some(slot) = indices.get_mut(*first as usize) {
                *slot = index;
            }
        }
        let names = match own_index {
            true => ClassNames::default(),
            false => ClassNames::new(ordered.iter().map(|(name, _)| name.written())),
        };
        let mut notes = Vec::new();
        if all_whole && !own_index {
            notes.extend(gaps(&numbers, top));
        }
        if !numbers.is_empty() && !texts.is_empty() {
            notes.push(format!(
                "labels are numbers and texts ({} and {}): numbers are the first classes, by their size, \
                 then texts, by their letters",
                ordered[0].0.written(),
                shown(&texts[0].0.written(), 40)
            ));
        }
        if distinct > MANY_NUMBERS && texts.is_empty() && 2 * distinct > self.samples {
            notes.push(format!(
                "{distinct} of {} labels are different numbers, and each is a class: {REGRESSION}",
                self.samples
            ));
        }
        Ok(Classes {
            indices,
            names,
            count,
            notes,
        })
    }

    /// Among numbers, a text for a missing value is not a class.
    fn refuse_missing(&self, numbers: &[f64], texts: &[(&Name, u32)]) -> Result<(), DataError> {
        let stands_for_none = |name: &Name| match name {
            Name::Text(text) => MISSING.contains(&text.to_ascii_lowercase().as_str()),
            Name::Number(_) => false,
        };
        let only = !numbers.is_empty() && texts.iter().all(|(name, _)| stands_for_none(name));
        match &self.missing {
            Some((file, place, text)) if only => Err(DataError::malformed(
                file,
                place.clone(),
                "a label, as the others are numbers",
                format!("{text:?}, which stands for none"),
            )
            .advise("drop the lines without a label")),
            _ => Ok(()),
        }
    }

    fn refuse_regression(&self, file: &Path, numbers: &[f64]) -> Result<(), DataError> {
        let fraction = numbers.iter().find(|x| libm::trunc(**x) != **x);
        let many = numbers.len() > MOST_FRACTIONS || 2 * numbers.len() > self.samples;
        match fraction {
            Some(fraction) if many => Err(DataError::malformed(
                file,
                Place::Whole,
                "labels that name classes",
                format!(
                    "{} different numbers such as {fraction} among {} samples",
                    numbers.len(),
                    self.samples
                ),
            )
            .advise(REGRESSION)),
            _ => Ok(()),
        }
    }
}

/// The advice for labels that are numbers to be predicted.
pub(super) const REGRESSION: &str =
    "predicting a number (regression) is not there yet: cut it into classes, \
                                     for example with pandas.cut(y, 5, labels=False)";

fn number(name: &Name) -> Option<f64> {
    match name {
        Name::Number(number) => Some(number.0),
        Name::Text(_) => None,
    }
}

/// The remark that whole-number labels and class indices differ, where they do.
fn gaps(numbers: &[f64], top: usize) -> Option<String> {
    let first = *numbers.first()?;
    let agree = (0..).zip(numbers).all(|(place, x)| f64::from(place) == *x);
    let last = numbers.len() - 1;
    (!agree).then(|| {
        let what = match top - first as usize == last {
            true => format!("labels begin at {first}"),
            false => format!("labels go from {first} to {top} with gaps"),
        };
        format!(
            "{what}: they are names, class 0 is label {first} and class {last} is label {top}; say classes: \
             {} for a label to be its own class index",
            top + 1
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resolved(labels: &[&str], classes: Option<usize>) -> Result<(Vec<u32>, Classes), DataError> {
        let mut all = Labels::default();
        let mut numbers = Vec::new();
        for (line, label) in (2..).zip(labels) {
            let place = Place::Line { line, column: 1 };
            numbers.push(all.number(Path::new("t.csv"), place, Name::parse(label))?);
        }
        let classes = all.resolve(Path::new("t.csv"), classes)?;
        let indices = numbers.iter().map(|n| classes.indices[*n as usize]);
        Ok((indices.collect(), classes))
    }

    fn indices(labels: &[&str]) -> Vec<u32> {
        resolved(labels, None).unwrap().0
    }

    fn notes(labels: &[&str]) -> String {
        resolved(labels, None).unwrap().1.notes.join("\n")
    }

    fn refused(labels: &[&str], classes: Option<usize>) -> String {
        resolved(labels, classes).unwrap_err().to_string()
    }

    #[test]
    fn numbers_that_are_equal_are_one_class() {
        assert_eq!(
            indices(&["0", "1", "2", "0.0", "1.0", "2.0", "01", "2e0", "-0"]),
            [0, 1, 2, 0, 1, 2, 1, 2, 0]
        );
    }

    #[test]
    fn numbers_are_ordered_as_numbers_and_text_as_text() {
        assert_eq!(indices(&["10", "2", "10"]), [1, 0, 1]);
        assert_eq!(indices(&["-1", "1"]), [0, 1]);
        assert_eq!(indices(&["b", "a10", "a2"]), [2, 0, 1]);
        assert_eq!(indices(&["x", "10", "9"]), [2, 1, 0]);
        // Two numbers that double precision cannot distinguish are two names.
        assert_eq!(indices(&["9007199254740993", "9007199254740994"]), [0, 1]);
    }

    #[test]
    fn labels_from_1_or_with_gaps_say_so_and_how_to_keep_them() {
        assert_eq!(notes(&["0", "1", "2"]), "");
        let from_one = notes(&["1", "2", "3"]);
        assert!(
            from_one.contains("labels begin at 1") && from_one.contains("classes: 4"),
            "{from_one}"
        );
        assert!(notes(&["0", "1", "5"]).contains("from 0 to 5 with gaps"));
        let (indices, classes) = resolved(&["1", "2", "5"], Some(6)).unwrap();
        assert_eq!((indices, classes.count), (vec![1, 2, 5], 6));
        assert_eq!(classes.notes, [""; 0]);
        // Labels 1 to 3 are three classes.
        let (indices, classes) = resolved(&["3", "1", "2"], Some(3)).unwrap();
        assert_eq!((indices, &*classes.names.of(0)), (vec![2, 0, 1], "1"));
    }

    #[test]
    fn a_mixture_of_numbers_and_texts_says_so() {
        assert!(notes(&["1", "cat", "1.0"]).contains("numbers and texts (1 and cat)"));
    }

    #[test]
    fn a_number_to_be_predicted_is_no_class() {
        let said = refused(&["0.5", "1.25", "7", "3.5", "9.75"], None);
        assert!(
            said.contains("5 different numbers such as 0.5 among 5 samples")
                && said.contains("regression"),
            "{said}"
        );
        // Few different values for many samples are classes with unusual names.
        assert_eq!(indices(&["0.5", "1.5", "0.5", "1.5"]), [0, 1, 0, 1]);
    }

    #[test]
    fn a_word_for_no_value_is_no_class_among_numbers() {
        let said = refused(&["0", "1", "NaN"], None);
        assert!(said.starts_with("t.csv:4:1:"), "{said}");
        assert_eq!(indices(&["nan", "rye"]), [0, 1]);
    }

    #[test]
    fn more_labels_than_classes_are_refused_with_their_names() {
        let said = refused(&["a", "b", "c"], Some(2));
        assert!(said.contains("found 3 different labels: a, b, c"), "{said}");
        assert!(refused(&["1", "2", "5"], Some(2)).contains("1, 2, 5"));
    }

    proptest! {
        /// However a number is written, and in whichever order labels come, it is the same class.
        #[test]
        fn classes_do_not_depend_on_spelling_or_order(
            mut labels in prop::collection::vec((0u32..30, 0usize..4), 1..40),
        ) {
            let spell = |(n, how): &(u32, usize)| match how {
                0 => n.to_string(),
                1 => format!("{n}.0"),
                2 => format!("0{n}"),
                _ => format!("{n}e0"),
            };
            let spelt: Vec<String> = labels.iter().map(spell).collect();
            let spelt: Vec<&str> = spelt.iter().map(String::as_str).collect();
            let found = indices(&spelt);
            let mut sorted: Vec<u32> = labels.iter().map(|(n, _)| *n).collect();
            sorted.sort_unstable();
            sorted.dedup();
            let place = |n: u32| sorted.binary_search(&n).unwrap() as u32;
            let wanted: Vec<u32> = labels.iter().map(|(n, _)| place(*n)).collect();
            prop_assert_eq!(&found, &wanted);
            labels.reverse();
            let spelt: Vec<String> = labels.iter().map(spell).collect();
            let spelt: Vec<&str> = spelt.iter().map(String::as_str).collect();
            let mut again = indices(&spelt);
            again.reverse();
            prop_assert_eq!(found, again);
        }
    }
}
