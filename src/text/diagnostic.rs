//! Diagnostics: one message for each mistake, with its place.

use std::fmt;
use std::path::PathBuf;

/// The number of diagnostics that are printed; further ones are only counted.
const SHOWN: usize = 50;

/// The place of a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file as a whole, for example one that cannot be read.
    File(PathBuf),
    /// A position in a file.
    At {
        /// The file, as the user named it.
        file: PathBuf,
        /// The line, from one.
        line: usize,
        /// The column in characters, from one.
        column: usize,
    },
    /// An override given on the command line, as typed.
    Override(String),
}

/// The source line of a mistake, and the part of it to mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The line, or the part of a long line around the mistake.
    pub line: String,
    /// The number of characters before the mark.
    pub offset: usize,
    /// The number of characters under the mark; at least one.
    pub width: usize,
}

/// One mistake in a text, with its place and a message for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The place of the mistake.
    pub place: Place,
    /// The path of the value at fault, such as `population[1].link.latency`; empty for the whole
    /// document.
    pub path: String,
    /// What was expected, what was found, and what would be right.
    pub message: String,
    /// The source line, if there is one.
    pub excerpt: Option<Excerpt>,
    /// The source and the offset, by which diagnostics are sorted.
    order: (u32, u32),
}

/// All mistakes in the order of the text. `{}` prints one line for each; `{:#}` adds the source line of
/// each, with a mark under the mistake. At most 50 are printed, and the rest are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    incomplete: bool,
}

/// `text` without control characters, which could change what a terminal shows.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

impl Diagnostic {
    pub(super) fn new(
        place: Place,
        order: (u32, u32),
        path: String,
        message: String,
        excerpt: Option<Excerpt>,
    ) -> Self {
        Self {
            place,
            path: clean(&path),
            message: clean(&message),
            excerpt,
            order,
        }
    }

    /// A diagnostic about a whole file.
    pub fn about_file(file: PathBuf, message: String) -> Self {
        Self::new(Place::File(file), (0, 0), String::new(), message, None)
    }

    /// A diagnostic about an override that could not be applied.
    pub fn about_override(assignment: &str, message: String) -> Self {
        let place = Place::Override(clean(&super::tree::shortened(assignment, 200)));
        Self::new(place, (u32::MAX, 0), String::new(), message, None)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::At { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
            Self::Override(assignment) => write!(f, "--set {assignment}"),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        // The override contains the path already.
        let said = matches!(&self.place, Place::Override(a) if a.split('=').next().is_some_and(|p| p.trim() == self.path));
        if !self.path.is_empty() && !said {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        match (&self.place, &self.excerpt) {
            (Place::At { line, .. }, Some(excerpt)) if f.alternate() => {
                let number = line.to_string();
                let blank = " ".repeat(number.len());
                let indent = " ".repeat(excerpt.offset);
                let mark = "^".repeat(excerpt.width);
                write!(f, "\n {number} | {}", excerpt.line)?;
                write!(f, "\n {blank} | {indent}{mark}")
            }
            _ => Ok(()),
        }
    }
}

impl Diagnostics {
    /// Adds `diagnostic` at its place in the order of the text.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let at = self
            .list
            .partition_point(|earlier| earlier.order <= diagnostic.order);
        self.list.insert(at, diagnostic);
    }

    /// Whether there are no diagnostics.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of diagnostics.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The diagnostics in the order of the text.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Returns `value` if there are no diagnostics.
    ///
    /// # Errors
    /// Returns the diagnostics, if there are any.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() {
            Ok(value)
        } else {
            Err(self)
        }
    }

    /// Notes that the search for mistakes ended before the end of the text.
    pub(super) fn stop_early(&mut self) {
        self.incomplete = true;
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.list.iter().take(SHOWN).enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            diagnostic.fmt(f)?;
        }
        match (self.list.len().saturating_sub(SHOWN), self.incomplete) {
            (0, false) => Ok(()),
            (0, true) => write!(f, "\nand perhaps more: the search stopped here"),
            (more, false) => write!(f, "\nand {more} more"),
            (more, true) => write!(f, "\nand at least {more} more"),
        }
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        std::iter::once(diagnostic).collect()
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(diagnostics: I) -> Self {
        let mut all = Self::default();
        all.extend(diagnostics);
        all
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: I) {
        self.list.extend(diagnostics);
        // The sort is stable: diagnostics of one place stay in the order in which they were made.
        self.list.sort_by_key(|diagnostic| diagnostic.order);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
