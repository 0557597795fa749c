//! Paths such as `population[1].link.latency`: finding values by them and setting values at them.

use super::diagnostic::Diagnostic;
use super::syntax::{self, is_name, MAX_DEPTH};
use super::tree::{shortened, Body, Field, Name, Node, Source, Span, Step, Value};

#[derive(Debug, PartialEq)]
enum Segment {
    /// A field, or a map's key.
    Name(String),
    /// An element of a list or tuple.
    Index(usize),
}

/// Splits `a.b[0].c` into its steps; the error says what is wrong with the path.
fn segments(path: &str) -> Result<Vec<Segment>, String> {
    let wrong = || {
        let path = shortened(path, 80);
        format!("expected a path such as population[0].count, found {path:?}")
    };
    let mut segments = Vec::new();
    for part in path.trim().split('.') {
        let (name, mut indices) = match part.split_once('[') {
            Some((name, rest)) => (name, Some(rest)),
            None => (part, None),
        };
        if !is_name(name) {
            return Err(wrong());
        }
        segments.push(Segment::Name(name.to_string()));
        while let Some(rest) = indices {
            let (index, after) = rest.split_once(']').ok_or_else(wrong)?;
            segments.push(Segment::Index(index.trim().parse().map_err(|_| wrong())?));
            indices = match after {
                "" => None,
                _ => Some(after.strip_prefix('[').ok_or_else(wrong)?),
            };
        }
    }
    if segments.len() > MAX_DEPTH {
        return Err(format!(
            "expected at most {MAX_DEPTH} parts in a path, found more"
        ));
    }
    Ok(segments)
}

/// Adds the steps from `node` to its part `segment`; returns whether there is such a part.
fn step(node: &Node, segment: &Segment, route: &mut Vec<Step>) -> bool {
    let found = match (segment, &node.value) {
        (Segment::Name(name), Value::Named(_, Body::Fields(fields))) => fields
            .iter()
            .position(|field| field.name.text == *name)
            .map(Step::Field),
        (Segment::Name(name), Value::Map(entries)) => entries
            .iter()
            .position(|(key, _)| match &key.value {
                Value::Text(text) => text == name,
                Value::Named(Some(word), Body::Bare) => word.text == *name,
                _ => false,
            })
            .map(Step::Entry),
        // `Some((..))`, and a variant around one value, have no name for the value that they hold.
        (Segment::Name(_), Value::Named(_, Body::Tuple(items))) => match items.as_slice() {
            [only] => {
                route.push(Step::Item(0));
                let found = step(only, segment, route);
                if !found {
                    route.pop();
                }
                return found;
            }
            _ => None,
        },
        (Segment::Index(i), Value::List(items) | Value::Named(_, Body::Tuple(items))) => {
            // `Some([..])[0]` is the list's first element.
            match items.as_slice() {
                [only]
                    if matches!(
                        (&node.value, &only.value),
                        (Value::Named(..), Value::List(_))
                    ) =>
                {
                    route.push(Step::Item(0));
                    let found = step(only, segment, route);
                    if !found {
                        route.pop();
                    }
                    return found;
                }
                _ => items.get(*i).map(|_| Step::Item(*i)),
            }
        }
        _ => None,
    };
    route.extend(found);
    found.is_some()
}

/// The value at `path`, or the nearest existing one around its place.
pub(super) fn find<'a>(root: &'a Node, path: &str) -> &'a Node {
    walk(root, path).0
}

/// Whether there is a value at `path`.
pub(super) fn has(root: &Node, path: &str) -> bool {
    walk(root, path).1
}

/// Follows `path` as far as there are values; returns whether that is all the way.
fn walk<'a>(root: &'a Node, path: &str) -> (&'a Node, bool) {
    let Ok(segments) = segments(path) else {
        return (root, false);
    };
    let mut route = Vec::new();
    let mut node = root;
    for segment in segments {
        if !step(node, &segment, &mut route) {
            return (node, false);
        }
        node = root.at(&route).unwrap_or(node);
    }
    (node, true)
}

/// Puts the value of `assignment` (`path=value`), read as source number `id`, into the tree. Returns
/// that source and the mistakes in its syntax.
pub(super) fn set(
    root: &mut Node,
    id: u32,
    assignment: &str,
) -> Result<(Source, Vec<Diagnostic>), String> {
    let Some((path, text)) = assignment.split_once('=') else {
        return Err("expected path=value, found no `=`".into());
    };
    if text.len() > super::MAX_BYTES {
        return Err(super::too_long());
    }
    let path = segments(path)?;
    let source = Source::assignment(assignment, text.to_string());
    let (value, slips) = read_value(text, id)?;
    let slips = slips
        .into_iter()
        .map(|slip| source.diagnostic(slip.span, String::new(), slip.message))
        .collect();

    let mut route = Vec::new();
    let mut missing = path.as_slice();
    while let Some((first, rest)) = missing.split_first() {
        let node = root.at(&route).unwrap_or(root);
        if !step(node, first, &mut route) {
            break;
        }
        missing = rest;
    }
    if route.len() + missing.len() + value.depth() > MAX_DEPTH {
        return Err(format!(
            "expected at most {MAX_DEPTH} values inside one another, found more"
        ));
    }
    let place = root.spell(&route);
    let node = root.at_mut(&route).ok_or("the path leads nowhere")?;
    match missing.split_first() {
        None => *node = value,
        Some((first, rest)) => {
            let added = around(value, rest)?;
            add(node, first, added, &place)?;
        }
    }
    Ok((source, slips))
}

/// Reads `text` as RON, or as text without quotes if it neither is RON nor looks like an attempt at it.
fn read_value(text: &str, id: u32) -> Result<(Node, Vec<syntax::Slip>), String> {
    let parsed = syntax::parse(text, id);
    let plain =
        !text.trim().is_empty() && !text.contains(['(', ')', '[', ']', '{', '}', '"', '\'']);
    match parsed.root {
        Ok(root) if parsed.slips.is_empty() || !plain => Ok((root, parsed.slips)),
        _ if plain => {
            let start = text.len() - text.trim_start().len();
            let span = Span {
                source: id,
                start: start as u32,
                end: (start + text.trim().len()) as u32,
            };
            Ok((
                Node::new(span, Value::Text(text.trim().to_string())),
                Vec::new(),
            ))
        }
        Ok(root) => Ok((root, parsed.slips)),
        Err(stop) => Err(stop.message),
    }
}

/// Puts `value` into as many structs as `path` has names.
fn around(value: Node, path: &[Segment]) -> Result<Node, String> {
    path.iter()
        .rev()
        .try_fold(value, |value, segment| match segment {
            Segment::Name(name) => {
                let span = value.span;
                let field = new_field(name, value);
                Ok(Node::new(
                    span,
                    Value::Named(None, Body::Fields(vec![field])),
                ))
            }
            Segment::Index(i) => Err(format!("expected a list to set element {i} of, found none")),
        })
}

fn new_field(name: &str, value: Node) -> Field {
    Field {
        name: Name {
            text: name.to_string(),
            span: value.span,
        },
        value,
        lifted: false,
    }
}

/// The field that a text alone stands for, where fields are also allowed: `"4g"` is `(preset: "4g")`.
const OF_TEXT: &str = "preset";

/// The name of the value at `path` in messages.
fn called(path: &str) -> &str {
    if path.is_empty() {
        "the scenario"
    } else {
        path
    }
}

/// Adds `value` to the struct or map `node` as its `segment`.
fn add(node: &mut Node, segment: &Segment, value: Node, place: &str) -> Result<(), String> {
    let name = match (segment, &node.value) {
        (Segment::Name(name), _) => name,
        (Segment::Index(i), Value::List(items) | Value::Named(_, Body::Tuple(items))) => {
            let (place, length) = (called(place), items.len());
            return Err(format!(
                "{place} has {length} elements, counted from 0, and so no element {i}"
            ));
        }
        (Segment::Index(i), _) => {
            let found = node.describe(None);
            return Err(format!(
                "{} is {found}, which has no element {i}",
                called(place)
            ));
        }
    };
    // A variant or `Some` around one struct: the field is that struct's.
    if let Value::Named(_, Body::Tuple(items)) = &mut node.value {
        if let [only] = items.as_mut_slice() {
            return add(only, segment, value, place);
        }
    }
    match &mut node.value {
        Value::Map(entries) => {
            let key = Node::new(value.span, Value::Text(name.clone()));
            entries.push((key, value));
        }
        Value::Named(_, Body::Fields(fields)) => fields.push(new_field(name, value)),
        Value::Named(word, body) if body.is_empty() => {
            // `None` with a field added is no longer none.
            if word.as_ref().is_some_and(|word| word.text == "None") {
                *word = None;
            }
            *body = Body::Fields(vec![new_field(name, value)]);
        }
        // The text stands for the fields of a preset, if the type has such; the reading will find out.
        Value::Text(_) if name == OF_TEXT => {
            node.value = Value::Named(None, Body::Fields(vec![new_field(name, value)]));
        }
        Value::Text(text) => {
            let text = Node::new(node.span, Value::Text(std::mem::take(text)));
            let preset = Field {
                lifted: true,
                ..new_field(OF_TEXT, text)
            };
            node.value = Value::Named(None, Body::Fields(vec![preset, new_field(name, value)]));
        }
        _ => {
            let found = node.describe(None);
            return Err(format!(
                "{} is {found}, which has no field {name}",
                called(place)
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_splits_at_dots_and_brackets() {
        let name = |text: &str| Segment::Name(text.into());
        assert_eq!(
            segments("population[1].link"),
            Ok(vec![name("population"), Segment::Index(1), name("link")])
        );
        assert_eq!(
            segments("a[0][2]"),
            Ok(vec![name("a"), Segment::Index(0), Segment::Index(2)])
        );
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for path in [
            "",
            ".",
            "a..b",
            "a[",
            "a[x]",
            "a[0]b",
            "[0]",
            "a[-1]",
            "a b",
            "a[99999999999999999999]",
        ] {
            assert!(segments(path).is_err(), "{path:?}");
        }
        assert!(segments(&vec!["a"; MAX_DEPTH + 1].join(".")).is_err());
    }
}
