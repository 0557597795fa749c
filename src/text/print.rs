//! Prints a document as text, overrides included; comments are lost.

use super::tree::{Body, Node, Value};
use std::fmt::Write;

/// The width of a line: a value that fits stays on one line.
const WIDTH: usize = 100;

/// The value as RON.
pub(super) fn print(node: &Node) -> String {
    let mut text = String::new();
    write_node(node, 0, &mut text);
    text.push('\n');
    text
}

fn write_node(node: &Node, depth: usize, out: &mut String) {
    let flat = flat(node);
    if flat.len() + 4 * depth <= WIDTH && depth > 0 {
        out.push_str(&flat);
        return;
    }
    match &node.value {
        Value::List(items) => block('[', ']', depth, items.iter(), out, |item, out| {
            write_node(item, depth + 1, out);
        }),
        Value::Map(entries) => block('{', '}', depth, entries.iter(), out, |(key, value), out| {
            let _ = write!(out, "{}: ", self::flat(key));
            write_node(value, depth + 1, out);
        }),
        Value::Named(name, Body::Tuple(items)) => {
            out.push_str(name.as_ref().map_or("", |name| &name.text));
            block('(', ')', depth, items.iter(), out, |item, out| {
                write_node(item, depth + 1, out);
            });
        }
        Value::Named(name, Body::Fields(fields)) => {
            out.push_str(name.as_ref().map_or("", |name| &name.text));
            block('(', ')', depth, fields.iter(), out, |field, out| {
                let _ = write!(out, "{}: ", field.name.text);
                write_node(&field.value, depth + 1, out);
            });
        }
        _ => out.push_str(&flat),
    }
}

fn block<T>(
    open: char,
    close: char,
    depth: usize,
    parts: impl Iterator<Item = T>,
    out: &mut String,
    each: impl Fn(T, &mut String),
) {
    out.push(open);
    out.push('\n');
    for part in parts {
        out.push_str(&"    ".repeat(depth + 1));
        each(part, out);
        out.push_str(",\n");
    }
    out.push_str(&"    ".repeat(depth));
    out.push(close);
}

/// The value on one line.
fn flat(node: &Node) -> String {
    let list = |items: &[Node]| items.iter().map(flat).collect::<Vec<_>>().join(", ");
    match &node.value {
        Value::Bool(value) => value.to_string(),
        Value::Char(value) => format!("{value:?}"),
        Value::Text(text) => quoted(text),
        Value::Int(value) => value.to_string(),
        // A number with a point or an exponent: without either it would be another kind of value.
        Value::Float(value) => format!("{value:?}"),
        Value::List(items) => format!("[{}]", list(items)),
        Value::Map(entries) => {
            let entries = entries.iter();
            let each = entries.map(|(key, value)| format!("{}: {}", flat(key), flat(value)));
            format!("{{{}}}", each.collect::<Vec<_>>().join(", "))
        }
        Value::Named(name, body) => {
            let name = name.as_ref().map_or("", |name| &name.text);
            match body {
                Body::Bare => name.to_string(),
                Body::Tuple(items) => format!("{name}({})", list(items)),
                Body::Fields(fields) => {
                    let fields = fields.iter();
                    let each =
                        fields.map(|field| format!("{}: {}", field.name.text, flat(&field.value)));
                    format!("{name}({})", each.collect::<Vec<_>>().join(", "))
                }
            }
        }
    }
}

/// A text in quotes, with what RON escapes.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(all(test, feature = "torch"))]
mod tests {
    use super::super::Document;
    use crate::scenario::Scenario;
    use std::path::Path;

    fn printed(text: &str, overrides: &[&str]) -> String {
        let mut document = Document::parse(text, Path::new("s.ron")).unwrap();
        for assignment in overrides {
            document.set(assignment).unwrap();
        }
        document.to_ron()
    }

    #[test]
    fn a_printed_scenario_means_the_same_with_its_overrides_in_it() {
        for file in [
            "scenarios/quickstart.ron",
            "scenarios/faults/partitions.ron",
            "scenarios/layers/private_and_secure.ron",
        ] {
            let text = std::fs::read_to_string(file).unwrap();
            let overrides = ["seed=9", "schedule.rounds=3", "population[0].count=7"];
            let printed = printed(&text, &overrides);
            let path = Path::new(file);
            let overrides: Vec<String> = overrides.map(String::from).into();
            let expected = Scenario::parse(&text, path, &overrides).unwrap();
            assert_eq!(
                Scenario::parse(&printed, path, &[]).unwrap(),
                expected,
                "{printed}"
            );
        }
    }

    #[test]
    fn every_kind_of_value_comes_back() {
        let text = r#"S(a: true, b: 'x', c: "q\"\\\n\u{7}é", d: -3, e: 1.0, f: 1e-30, g: [1, 2], h: {"k": (1, 2)},
            i: Some(Bare), j: (x: 1), k: inf)"#;
        let once = printed(text, &[]);
        assert_eq!(printed(&once, &[]), once);
        assert!(once.contains(r#"c: "q\"\\\n\u{7}é""#), "{once}");
        assert!(
            once.contains("e: 1.0") && once.contains("f: 1e-30"),
            "{once}"
        );
    }
}
