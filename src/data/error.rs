//! Why data cannot be used: the file, the place in it, the rule it breaks and what to do.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where in a file something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    Whole,
    /// This many bytes from the start (of the inflated data, where the file is compressed).
    Byte(u64),
    /// Line and column of a text, both from 1.
    Line {
        /// Line, from 1.
        line: u64,
        /// Column, from 1; 0 where only the line is known.
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
pub enum DataError {
    /// The file or folder is not there, or the system refuses it.
    #[error("{}: {problem}{}", file.display(), after_semicolon(remedy))]
    Unreadable {
        /// The file or folder.
        file: PathBuf,
        /// What the system said.
        problem: String,
        /// What to do; empty where nothing can be advised.
        remedy: String,
    },
    /// The file is there but is not what it should be.
    #[error("{}{place}: expected {expected}, found {found}{}", file.display(), after_semicolon(remedy))]
    Malformed {
        /// The file; for an entry of an archive, archive/entry.
        file: PathBuf,
        /// Where in the file.
        place: Place,
        /// What would have been right.
        expected: String,
        /// What is there.
        found: String,
        /// What to do; empty where nothing can be advised.
        remedy: String,
    },
    /// Samples that break a rule of [`super::Dataset`], or a source's parameter out of its range.
    #[error("{name}: expected {expected}, found {found}")]
    Invalid {
        /// The data set or the source.
        name: String,
        /// The rule.
        expected: String,
        /// What breaks it.
        found: String,
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
    pub(super) fn unreadable(file: &Path, problem: impl fmt::Display) -> Self {
        Self::Unreadable {
            file: file.to_path_buf(),
            problem: problem.to_string(),
            remedy: String::new(),
        }
    }

    pub(super) fn malformed(
        file: &Path,
        place: Place,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Malformed {
            file: file.to_path_buf(),
            place,
            expected: expected.into(),
            found: found.into(),
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
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// The same error with advice, where it has room for some.
    pub(super) fn advise(mut self, advice: &str) -> Self {
        if let Self::Unreadable { remedy, .. } | Self::Malformed { remedy, .. } = &mut self {
            *remedy = advice.to_string();
        }
        self
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
}
