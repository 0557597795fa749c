//! Scenario text: RON in, typed values out, every mistake reported at once with its place.
//!
//! A [`Document`] is a RON file read into a tree whose every value knows where it stands.
//! [`Document::read`] turns that tree into any serde type. Where serde stops at the first mistake,
//! the document notes it, takes the offending field or list element out so that its default
//! applies, and reads again, until nothing new is found: one [`Diagnostic`] a mistake, in the order
//! of the file. Nothing here knows what a scenario contains.
//!
//! What the folder holds: `syntax` reads characters into the `tree`; `reader` is the serde
//! deserializer over the tree and `hole` its stand-in for a value already reported; `fault` says
//! what went wrong in the reader's words and `repair` drives the rereading; `path` finds and sets
//! values by paths such as `population[0].count`; [`Diagnostics`] are what the user sees; [`fields`]
//! holds field types for durations, sizes, rates, fractions and distributions; [`names_of`] says which
//! names a type can have.
//!
//! Types to be read this way derive `Deserialize` as usual. Unknown fields are always errors, with
//! or without `deny_unknown_fields`. `Option` fields take a bare value as well as `Some(value)`; a
//! struct variant takes its values by name or by position; a newtype variant over a struct takes
//! that struct's fields directly, and none at all when they all have defaults (`FedAvg`).
//! `flatten` and `untagged` buffer values and lose their places, and serde's `MapAccessDeserializer`
//! loses the names of the fields: avoid them ([`read_fields`] is there instead). Whatever a type passes
//! over nevertheless is refused, so that nothing in a file is ignored.

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

/// A RON text as a tree of values that know their places.
#[derive(Debug, Clone)]
pub struct Document {
    /// The file first, then one source for each override.
    sources: Vec<Source>,
    root: Node,
    /// Slips in the syntax that did not stop the reading; their values are marked as removed.
    slips: Vec<Diagnostic>,
    /// What is said of mistakes beside what the types expect.
    hints: Hints,
}

impl Document {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, is not UTF-8, is over 4 MiB, or as [`Document::parse`].
    pub fn open(path: &Path) -> Result<Self, Diagnostics> {
        Self::parse(&read_text(path)?, path)
    }

    /// Reads `source`; `name` is what its diagnostics call it.
    ///
    /// Slips that leave the rest readable (a duplicate field, a number with letters, a missing
    /// comma between fields) are kept for [`Document::read`] to report with everything else.
    ///
    /// # Errors
    /// Syntax that leaves the structure in doubt, nesting over 64 deep, over 4 MiB of text, or over
    /// 262,144 values.
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

    /// This document, of whose mistakes `hints` can say more than the types that it is read as.
    pub fn with_hints(mut self, hints: Hints) -> Self {
        self.hints = hints;
        self
    }

    /// Reads the document as a `T`.
    ///
    /// # Errors
    /// Every mistake found, each once, in the order of the file and then of the overrides.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Diagnostics> {
        let read = self.read_mended();
        match read.value {
            Some(value) => read.mistakes.into_result(value),
            None => Err(read.mistakes),
        }
    }

    /// Reads the document as a `T`, as it would be with every mistake taken out: a default or a
    /// placeholder stands where something was wrong. Further checks on such a value can find more
    /// mistakes, and must not be believed about what was mended.
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

    /// Applies one override, `path=value`. The value is RON; a bare word or an unquoted quantity
    /// may stand for text. Fields missing on the way are added, for [`Document::read`] to judge.
    ///
    /// # Errors
    /// No `=`, a path that is not one, an index past the end of a list, a parent that has no
    /// fields, or a value that is neither RON nor text.
    pub fn set(&mut self, assignment: &str) -> Result<(), Diagnostics> {
        let id = u32::try_from(self.sources.len()).unwrap_or(u32::MAX);
        path::set(&mut self.root, id, assignment)
            .map(|(source, slips)| {
                self.slips.extend(slips);
                self.sources.push(source);
            })
            .map_err(|message| Diagnostic::about_override(assignment, message).into())
    }

    /// Where the value at `path` (`population[1].link.latency`) stands; where its nearest ancestor
    /// does when the document leaves it out.
    pub fn span_of(&self, path: &str) -> Span {
        path::find(&self.root, path).span
    }

    /// The document as RON, overrides included; comments are gone.
    pub fn to_ron(&self) -> String {
        print::print(&self.root)
    }

    /// Whether the document says anything at `path`.
    pub fn has(&self, path: &str) -> bool {
        path::has(&self.root, path)
    }

    /// A diagnostic about the value at `path`, for checks made after reading.
    pub fn error(&self, path: &str, message: impl Into<String>) -> Diagnostic {
        let span = self.span_of(path);
        diagnose(&self.sources, span, path.to_string(), message.into())
    }
}

/// The text of the file at `path`, which is read once: a pipe has nothing for a second reading.
///
/// # Errors
/// When it cannot be read, is not UTF-8, or is over 4 MiB.
pub fn read_text(path: &Path) -> Result<String, Diagnostics> {
    let refuse = |message: String| Diagnostics::from(Diagnostic::about_file(path.into(), message));
    let mut bytes = Vec::new();
    // A device or a pipe may never end: one byte over the limit is enough to know.
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

/// A diagnostic at `span`, whichever source it is in.
fn diagnose(sources: &[Source], span: Span, path: String, message: String) -> Diagnostic {
    match sources.get(span.source as usize) {
        Some(source) => source.diagnostic(span, path, message),
        None => Diagnostic::about_file(PathBuf::new(), message),
    }
}

#[cfg(test)]
mod tests;
