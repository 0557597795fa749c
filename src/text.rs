//! Reading scenario text: RON in, typed values out, and every mistake reported at once with its place.
//!
//! A [`Document`] is a RON file read into a tree in which every value has its place in the file.
//! [`Document::read`] turns that tree into any type that serde can read. serde stops at the first
//! mistake, so the document does more: it records the mistake, takes the field or list element at fault
//! out of the tree so that its default applies, and reads again, until no new mistake is found. The
//! result is one [`Diagnostic`] for each mistake, in the order of the file. This module does not know
//! what a scenario contains.
//!
//! For example, a scenario with the two mistakes `cohort: "ten"` and `ruonds: 5` gives two diagnostics
//! in one run, each with its line and column.
//!
//! The submodules:
//!
//! - `syntax` reads characters into the `tree`;
//! - `reader` is the serde deserializer over the tree, and `hole` stands in for a value already
//!   reported;
//! - `fault` describes why one reading stopped, and `repair` drives the repeated readings;
//! - `path` finds and sets values by paths such as `population[0].count`;
//! - [`Diagnostics`] are the messages that a user sees;
//! - [`fields`] has field types for durations, sizes, rates, fractions and distributions;
//! - [`names_of`] lists the names that a type can have.
//!
//! Types that are read in this way derive `Deserialize` as usual. Unknown fields are always errors,
//! with or without `deny_unknown_fields`. `Option` fields take a bare value as well as `Some(value)`. A
//! struct variant takes its values by name or by position. A newtype variant over a struct takes that
//! struct's fields directly, and none at all when they all have defaults (`FedAvg`).
//!
//! `flatten` and `untagged` buffer values and lose their places, and serde's `MapAccessDeserializer`
//! loses the names of the fields; types should avoid them ([`read_fields`] is there instead). A value
//! that a type ignores in spite of this is refused, so that nothing in a file is ignored silently.

mod diagnostic;
mod fault;
pub mod fields;
mod hint;
mod hole;
mod known;
mod mended;
mod open;
mod path;
#[cfg(test)]
mod places;
mod print;
#[cfg(test)]
mod properties;
mod reader;
mod repair;
mod syntax;
mod tree;

pub use diagnostic::{Diagnostic, Diagnostics, Excerpt, Place};
pub use hint::{Hints, Misread, Misreading};
pub use known::{names_of, read_fields};
pub(crate) use mended::concerns;
pub use mended::{Mended, Spoilt};
pub use open::Opener;
#[cfg(test)]
pub(crate) use places::{places, Place as TextPlace, What};
pub use tree::Span;

use serde::de::DeserializeOwned;
use std::io::Read;
use std::path::{Path, PathBuf};
use tree::{Node, Source};

/// The longest text that is read, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A RON text as a tree of values, each with its place in the text.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file first, then one source for each override.
    sources: Vec<Source>,
    root: Node,
    /// Mistakes in the syntax that did not stop the reading; their values are marked as removed.
    slips: Vec<Diagnostic>,
    /// Gives hints about mistakes beyond what the types expect.
    hints: Hints,
}

impl Document {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Returns diagnostics if the file cannot be read, is not UTF-8 or is over 4 MiB, or if
    /// [`Document::parse`] refuses its text.
    pub fn open(path: &Path) -> Result<Self, Diagnostics> {
        Self::parse(&read_text(path)?, path)
    }

    /// Reads the text `source`; diagnostics call it `name`.
    ///
    /// Mistakes in the syntax that leave the rest readable (a duplicate field, a number with letters, a
    /// missing comma between fields) are kept for [`Document::read`] to report with all other mistakes.
    ///
    /// # Errors
    /// Returns diagnostics for syntax that leaves the structure in doubt, for nesting over 64 deep, and
    /// for more than 4 MiB of text or 262,144 values.
    pub fn parse(source: &str, name: &Path) -> Result<Self, Diagnostics> {
        if source.len() > MAX_BYTES {
            return Err(Diagnostic::about_file(name.into(), too_long()).into());
        }
        let file = Source::file(PathBuf::from(name), source.to_string());
        let parsed = syntax::parse(source, 0);
        let slips: Vec<_> = parsed
            .slips
            .into_iter()
            .map(|slip| file.diagnostic(slip.span, String::new(), slip.message))
            .collect();
        match parsed.root {
            Ok(root) => Ok(Self {
                sources: vec![file],
                root,
                slips,
                hints: hint::none,
            }),
            Err(stop) => {
                let mut all: Diagnostics = slips.into_iter().collect();
                all.push(file.diagnostic(stop.span, String::new(), stop.message));
                Err(all)
            }
        }
    }

    /// Returns this document with `hints`, which can say more about a mistake than the types that are
    /// read.
    pub fn with_hints(mut self, hints: Hints) -> Self {
        self.hints = hints;
        self
    }

    /// Reads the document as a `T`.
    ///
    /// # Errors
    /// Returns every mistake found, each once, in the order of the file and then of the overrides.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        let read = self.read_mended();
        match read.value {
            Some(value) => read.mistakes.into_result(value),
            None => Err(read.mistakes),
        }
    }

    /// Reads the document as a `T` with every mistake taken out: a default or a placeholder is in the
    /// place of each value at fault. Further checks on such a value can find more mistakes, but their
    /// findings about the repaired parts mean nothing.
    pub fn read_mended<T: DeserializeOwned>(&self) -> Mended<T> {
        if self.slips.is_empty() {
            if let Ok(value) = T::deserialize(reader::Reader::new(&self.root)) {
                return Mended {
                    value: Some(value),
                    mistakes: Diagnostics::default(),
                    spoilt: Vec::new(),
                };
            }
        }
        let (root, slips) = (self.root.clone(), self.slips.clone());
        repair::Repair::new(&self.sources, root, slips, self.hints).read()
    }

    /// Applies one override, `path=value`, for example `schedule.rounds=20`. The value is RON; a bare
    /// word or an unquoted quantity may stand for text. Fields that are missing on the path are added,
    /// and [`Document::read`] checks them.
    ///
    /// # Errors
    /// Returns diagnostics if there is no `=`, if the path is malformed, if an index is past the end of
    /// a list, if a parent has no fields, or if the value is neither RON nor text.
    pub fn set(&mut self, assignment: &str) -> Result<(), Diagnostics> {
        let id = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        path::set(&mut self.root, id, assignment)
            .map(|(source, slips)| {
                self.slips.extend(slips);
                self.sources.push(source);
            })
            .map_err(|message| Diagnostic::about_override(assignment, message).into())
    }

    /// The place of the value at `path` (`population[1].link.latency`), or of its nearest ancestor
    /// where the document leaves the value out.
    pub fn span_of(&self, path: &str) -> Span {
        path::find(&self.root, path).span
    }

    /// The document as RON, overrides included; comments are lost.
    pub fn to_ron(&self) -> String {
        print::print(&self.root)
    }

    /// Whether the document has a value at `path`.
    pub fn has(&self, path: &str) -> bool {
        path::has(&self.root, path)
    }

    /// A diagnostic about the value at `path`, for checks that are made after the reading.
    pub fn error(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        let span = self.span_of(path);
        diagnose(&self.sources, span, path.to_string(), message.into())
    }
}

/// The text of the file at `path`. The file is read only once, since a pipe cannot be read a second
/// time.
///
/// # Errors
/// Returns diagnostics if the file cannot be read, is not UTF-8, or is over 4 MiB.
pub fn read_text(path: &Path) -> Result<String, Diagnostics> {
    let refuse = |message: String| Diagnostics::from(Diagnostic::about_file(path.into(), message));
    let mut bytes = Vec::new();
    // A device or a pipe may never end, so at most one byte over the limit is read.
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| refuse(format!("cannot read the file: {error}")))?;
    if bytes.len() > MAX_BYTES {
        return Err(refuse(too_long()));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..at]);
        let line = before.matches('\n').count() + 1;
        let byte = error.as_bytes().get(at).copied().unwrap_or_default();
        refuse(format!(
            "expected UTF-8 text, found the byte 0x{byte:02x} in line {line}; save the file as UTF-8"
        ))
    })
}

fn too_long() -> String {
    format!(
        "expected at most {} MiB of text, found more",
        MAX_BYTES >> 20
    )
}

/// A diagnostic at `span`, in whichever source that is.
fn diagnose(sources: &[Source], span: Span, path: String, message: String) -> Diagnostic {
    match sources.get(span.source as usize) {
        Some(source) => source.diagnostic(span, path, message),
        None => Diagnostic::about_file(PathBuf::new(), message),
    }
}

#[cfg(test)]
mod tests;
