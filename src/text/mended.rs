//! What was read in spite of mistakes, and how far it can be believed.

use super::diagnostic::Diagnostics;
use super::Document;

/// A value that was read in spite of mistakes.
#[derive(Debug)]
pub struct Mended<T> {
    /// It, with a default or a placeholder where something was wrong; none where too much was.
    pub value: Option<T>,
    /// What was wrong, in the order of the text.
    pub mistakes: Diagnostics,
    /// What of the value is not as it was written.
    pub spoilt: Vec<Spoilt>,
}

/// A part of a value that is not as it was written, since there was a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoilt {
    /// What stands at this path.
    Value(String),
    /// Whatever the bracket at this path leaves out: an unknown field may have meant any of it.
    Absent(String),
    /// It could be anything.
    Anything,
}

impl Spoilt {
    /// Whether the value at `path` may be another than was written, in part. `[]` in the path is any
    /// element; with `?` at its end the path is about what kind of value stands there, if any, and not
    /// about its parts; with `.*` it is about its fields as they were typed.
    pub fn touches(&self, path: &str, document: &Document) -> bool {
        match self {
            Self::Anything => true,
            Self::Value(spoilt) => {
                concerns(spoilt, path)
                    // Taken out of its list, it has moved the elements after it.
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

/// The path without what says how much of the value matters.
fn bare(path: &str) -> &str {
    path.trim_end_matches('?').trim_end_matches(".*")
}

/// Whether a mistake at `mistake` is one of what `path` is about, as in [`Spoilt::touches`].
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

/// Whether one of the paths is at the other, in it, or around it.
fn overlap(a: &str, b: &str) -> bool {
    steps(a).zip(steps(b)).all(|(a, b)| alike(a, b))
}

/// Where a path lies as seen from a bracket.
enum Below<'a> {
    /// In it, in the field of this name.
    Inside(&'a str),
    /// It is the bracket, or holds it.
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
