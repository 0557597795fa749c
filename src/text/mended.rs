//! A value that was read in spite of mistakes, and which parts of it are as they were written.

use super::diagnostic::Diagnostics;
use super::Document;

/// A value that was read in spite of mistakes.
#[derive(Debug)]
pub struct Mended<T> {
    /// The value, with a default or a placeholder in the place of each mistake; `None` if too much was
    /// wrong.
    pub value: Option<T>,
    /// The mistakes, in the order of the text.
    pub mistakes: Diagnostics,
    /// The parts of the value that are not as they were written.
    pub spoilt: Vec<Spoilt>,
}

/// A part of a value that is not as it was written, because of a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoilt {
    /// The value at this path.
    Value(String),
    /// Any field that the bracket at this path leaves out: an unknown field may have been meant as one
    /// of them.
    Absent(String),
    /// Any part of the value.
    Anything,
}

impl Spoilt {
    /// Whether the value at `path` may be different from what was written, at least in part. `[]` in
    /// the path stands for any element. With `?` at its end the path is about the kind of value, if
    /// there is any, and not about its parts; with `.*` it is about the fields of the value as they
    /// were typed.
    pub fn touches(&self, path: &str, document: &Document) -> bool {
        match self {
            Self::Anything => true,
            Self::Value(spoilt) => {
                concerns(spoilt, path)
                    // An element that was taken out of its list has moved the elements after it.
                    || list_of(spoilt).is_some_and(|list| concerns(list, path))
            }
            Self::Absent(bracket) => match below(bracket, bare(path)) {
                Below::Inside(first) => {
                    let dot = if bracket.is_empty() { "" } else { "." };
                    !document.has(&format!("{bracket}{dot}{first}"))
                }
                Below::Around => !path.ends_with('?'),
                Below::Elsewhere => false,
            },
        }
    }
}

/// The path without the ending that says how much of the value matters.
fn bare(path: &str) -> &str {
    path.trim_end_matches('?').trim_end_matches(".*")
}

/// Whether a mistake at `mistake` concerns `path`, as in [`Spoilt::touches`].
pub(crate) fn concerns(mistake: &str, path: &str) -> bool {
    match path.strip_suffix('?') {
        Some(path) => overlap(mistake, path) && steps(mistake).count() <= steps(path).count(),
        None => overlap(mistake, bare(path)),
    }
}

/// The steps of a path: names, and indices with their brackets.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    path.split('.').flat_map(|part| {
        let (name, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
        std::iter::once(name)
            .filter(|name| !name.is_empty())
            .chain(indices.split_inclusive(']'))
    })
}

fn alike(a: &str, b: &str) -> bool {
    let any = |step: &str| step == "[]";
    a == b || (any(a) && b.starts_with('[')) || (any(b) && a.starts_with('['))
}

/// Whether one of the paths is the other, or leads into it.
fn overlap(a: &str, b: &str) -> bool {
    steps(a).zip(steps(b)).all(|(a, b)| alike(a, b))
}

/// The position of a path relative to a bracket.
enum Below<'a> {
    /// Inside the bracket, in the field of this name.
    Inside(&'a str),
    /// The bracket itself, or a value around it.
    Around,
    Elsewhere,
}

fn below<'a>(bracket: &str, path: &'a str) -> Below<'a> {
    if !overlap(bracket, path) {
        return Below::Elsewhere;
    }
    match steps(path).nth(steps(bracket).count()) {
        Some(first) => Below::Inside(first),
        None => Below::Around,
    }
}

/// The list that a path names an element of.
fn list_of(path: &str) -> Option<&str> {
    let (list, _) = path.strip_suffix(']')?.rsplit_once('[')?;
    Some(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn paths_overlap_where_one_holds_the_other() {
        assert!(overlap("population[0]", "population[0].count"));
        assert!(overlap("population[0].count", "population"));
        assert!(overlap("population[].count", "population[3].count"));
        assert!(overlap("", "data"));
        assert!(!overlap("population[0].count", "population[1].count"));
        assert!(!overlap("public", "publication"));
        assert!(!overlap("population[].count", "population[3].link"));
        assert!(!overlap("a[1][2]", "a[1][3]"));
    }

    #[test]
    fn what_kind_of_value_stands_at_a_path_does_not_depend_on_its_parts() {
        assert!(concerns("topology", "topology?") && concerns("", "topology?"));
        assert!(!concerns("topology.graph", "topology?"));
        assert!(concerns("topology.graph", "topology"));
    }

    #[test]
    fn an_unknown_field_may_have_meant_what_is_left_out_and_nothing_else() {
        let text = "(population: [(count: 3, klink: 1), (count: 4)])";
        let document = Document::parse(text, Path::new("s.ron")).unwrap();
        let spoilt = Spoilt::Absent("population[0]".into());
        assert!(spoilt.touches("population[0].link", &document));
        assert!(spoilt.touches("population[0]", &document));
        assert!(spoilt.touches("population[].link.up", &document));
        assert!(!spoilt.touches("population[].count", &document));
        assert!(!spoilt.touches("population[1].link", &document));
        let top = Spoilt::Absent(String::new());
        assert!(top.touches("data", &document) && !top.touches("population", &document));
    }
}
