//! Errors of data: the file, the place in it, the rule that is broken, and advice.

use crate::quantity::shown;
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The number of characters that a message shows of what was expected or found. Readers cut their
/// quotations to far less; this limit bounds what a library's own text repeats of a file.
const LONGEST: usize = 400;

/// The place in a file where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    Whole,
    /// The number of bytes from the start (of the inflated data, where the file is compressed).
    Byte(u64),
    /// A line and a column of a text, both from 1.
    Line {
        /// The line, from 1.
        line: u64,
        /// The column, from 1; 0 where only the line is known.
        column: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Byte(offset) => write!(f, ": byte {offset}"),
            Self::Line { line, column: 0 } => write!(f, ":{line}"),
            Self::Line { line, column } => write!(f, ":{line}:{column}"),
        }
    }
}

/// Why a source cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file or folder does not exist, or the operating system refuses to open it.
    #[error("{}: {problem}{}", file.display(), after_semicolon(remedy))]
    Unreadable {
        /// The file or folder.
        file: PathBuf,
        /// The error of the operating system.
        problem: String,
        /// What the user can do; empty where there is no advice.
        remedy: String,
    },
    /// The file exists but is not what it should be.
    #[error("{}{place}: expected {expected}, found {found}{}", file.display(), after_semicolon(remedy))]
    Malformed {
        /// The file; for an entry of an archive, archive/entry.
        file: PathBuf,
        /// The place in the file.
        place: Place,
        /// What would be right.
        expected: String,
        /// What was found.
        found: String,
        /// What the user can do; empty where there is no advice.
        remedy: String,
    },
    /// Samples break a rule of [`super::Dataset`], or a parameter of the source is out of its range.
    #[error("{name}: expected {expected}, found {found}")]
    Invalid {
        /// The data set or the source.
        name: String,
        /// The rule that is broken.
        expected: String,
        /// The value that breaks it.
        found: String,
    },
    /// Any of these errors, with the field of the source in which the user made the mistake.
    #[error("{error}")]
    At {
        /// The path in the source, such as `train.y`.
        field: String,
        /// The error.
        error: Box<DataError>,
    },
}

fn after_semicolon(remedy: &str) -> String {
    if remedy.is_empty() {
        String::new()
    } else {
        format!("; {remedy}")
    }
}

impl DataError {
    pub(crate) fn unreadable(file: &Path, problem: impl fmt::Display) -> Self {
        Self::Unreadable {
            file: file.to_path_buf(),
            problem: shown(&problem.to_string(), LONGEST),
            remedy: String::new(),
        }
    }

    pub(crate) fn malformed(
        file: &Path,
        place: Place,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            file: file.to_path_buf(),
            place,
            expected: shown(&expected.into(), LONGEST),
            found: shown(&found.into(), LONGEST),
            remedy: String::new(),
        }
    }

    pub(super) fn invalid(
        name: &str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            name: name.to_string(),
            expected: shown(&expected.into(), LONGEST),
            found: shown(&found.into(), LONGEST),
        }
    }

    /// This error with advice, where it has a place for advice.
    pub(crate) fn advise(mut self, advice: &str) -> Self {
        match &mut self {
            Self::Unreadable { remedy, .. } | Self::Malformed { remedy, .. } => {
                *remedy = advice.to_string();
            }
            Self::At { field, error } => {
                let (field, error) = (std::mem::take(field), (**error).clone());
                return error.advise(advice).at(&field);
            }
            Self::Invalid { .. } => {}
        }
        self
    }

    /// This error with the field of the source that it is about.
    pub(super) fn at(self, field: &str) -> Self {
        match self {
            Self::At { .. } => self,
            error => Self::At {
                field: field.to_string(),
                error: Box::new(error),
            },
        }
    }

    /// The field of the source that the error is about, such as `train.y`; empty where it is not known.
    /// With `data.` before it, it is a path in the scenario.
    pub fn field(&self) -> &str {
        match self {
            Self::At { field, .. } => field,
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_file_place_rule_and_remedy() {
        let error = DataError::malformed(Path::new("a/b"), Place::Byte(16), "10 bytes", "9 bytes");
        assert_eq!(
            error.to_string(),
            "a/b: byte 16: expected 10 bytes, found 9 bytes"
        );
        let error = DataError::malformed(
            Path::new("a.csv"),
            Place::Line { line: 3, column: 7 },
            "a number",
            "\"x\"",
        );
        assert_eq!(
            error.advise("quote it").to_string(),
            "a.csv:3:7: expected a number, found \"x\"; quote it"
        );
        let error = DataError::unreadable(Path::new("mnist"), "no such folder");
        assert_eq!(error.to_string(), "mnist: no such folder");
    }
    #[test]
    fn an_error_says_which_field_of_the_source_it_is_about() {
        let error = DataError::malformed(Path::new("y.npy"), Place::Whole, "labels", "none");
        let said = error.to_string();
        assert_eq!(error.field(), "");
        let error = error.at("train.y").at("train");
        assert_eq!((error.field(), error.to_string()), ("train.y", said));
        let advised = error.advise("add some").to_string();
        assert!(advised.ends_with("found none; add some"), "{advised}");
    }

    #[test]
    fn no_error_is_longer_than_a_few_lines_whatever_a_file_says() {
        let long = "x".repeat(1 << 20);
        let errors = [
            DataError::malformed(Path::new("a"), Place::Whole, long.clone(), long.clone()),
            DataError::unreadable(Path::new("a"), &long),
            DataError::invalid("a", long.clone(), long.clone()),
        ];
        for error in errors {
            assert!(error.to_string().chars().count() < 900);
        }
    }
}
