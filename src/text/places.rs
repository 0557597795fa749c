//! Lists every place of a text in which a test can plant a mistake, for tests of the messages; and
//! tests that no bracket of a scenario accepts an unknown name.

use super::tree::{Body, Node, Step, Value};
use super::Document;

/// The kind of value at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The name of a field.
    FieldName,
    /// A text in quotes.
    Text,
    /// Any other value.
    Value,
    /// The position after an opening bracket of either kind, where nothing stands yet.
    Inside,
}

/// A place of a text.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The path of the value at this place, or of the bracket.
    pub path: String,
    pub what: What,
    /// The first byte of the place.
    pub from: usize,
    /// The byte after the place.
    pub to: usize,
}

impl Place {
    /// `text` with `other` in this place.
    pub(crate) fn put(&self, text: &str, other: &str) -> String {
        format!("{}{other}{}", &text[..self.from], &text[self.to..])
    }
}

/// All places of `text`, from which `document` was read.
pub(crate) fn places(document: &Document, text: &str) -> Vec<Place> {
    let mut found = Vec::new();
    walk(
        &document.root,
        &document.root,
        &mut Vec::new(),
        text,
        &mut found,
    );
    found
}

fn walk(root: &Node, node: &Node, route: &mut Vec<Step>, text: &str, found: &mut Vec<Place>) {
    let path = root.spell(route);
    let (from, to) = (node.span.start as usize, node.span.end as usize);
    let mut add = |what, from, to| {
        found.push(Place {
            path: path.clone(),
            what,
            from,
            to,
        });
    };
    match &node.value {
        Value::Text(_) => add(What::Text, from, to),
        _ => add(What::Value, from, to),
    }
    let behind_name = match &node.value {
        Value::Named(Some(name), Body::Bare) => name.span.end as usize,
        Value::Named(Some(name), _) => name.span.end as usize,
        _ => from,
    };
    let bracketed = matches!(
        &node.value,
        Value::List(_) | Value::Map(_) | Value::Named(_, Body::Tuple(_) | Body::Fields(_))
    );
    if bracketed {
        let opening = text[behind_name..].find(['(', '[', '{']).unwrap();
        let inside = behind_name + opening + 1;
        add(What::Inside, inside, inside);
    }
    let parts: Vec<(Step, &Node)> = match &node.value {
        Value::List(items) | Value::Named(_, Body::Tuple(items)) => {
            let steps = (0..items.len()).map(Step::Item);
            steps.zip(items).collect()
        }
        Value::Named(_, Body::Fields(fields)) => {
            let steps = (0..fields.len()).map(Step::Field);
            steps.zip(fields.iter().map(|field| &field.value)).collect()
        }
        Value::Map(entries) => {
            let steps = (0..entries.len()).map(Step::Entry);
            steps.zip(entries.iter().map(|(_, value)| value)).collect()
        }
        _ => Vec::new(),
    };
    if let Value::Named(_, Body::Fields(fields)) = &node.value {
        for (index, field) in fields.iter().enumerate() {
            route.push(Step::Field(index));
            found.push(Place {
                path: root.spell(route),
                what: What::FieldName,
                from: field.name.span.start as usize,
                to: field.name.span.end as usize,
            });
            route.pop();
        }
    }
    for (step, part) in parts {
        route.push(step);
        walk(root, part, route, text, found);
        route.pop();
    }
}

#[cfg(all(test, feature = "torch"))]
mod tests {
    use super::*;
    use crate::scenario::file::ScenarioFile;
    use crate::text::{Diagnostics, Place as Told};
    use std::path::{Path, PathBuf};

    /// The texts of all scenarios that come with Shoal.
    fn shipped() -> Vec<(PathBuf, String)> {
        let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "ron") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    found.push((path, text));
                }
            }
        }
        found.sort();
        assert!(found.len() > 90, "{}", found.len());
        found
    }

    fn read(text: &str, name: &Path) -> Result<ScenarioFile, Diagnostics> {
        Document::parse(text, name)?.read()
    }

    /// Whether `word` is refused by its name, at a line and column.
    fn is_refused(word: &str, text: &str, name: &Path) -> bool {
        read(text, name).err().is_some_and(|problems| {
            problems.iter().any(|problem| {
                problem.message.contains(word) && matches!(problem.place, Told::At { .. })
            })
        })
    }

    #[test]
    fn no_bracket_of_any_scenario_takes_a_field_that_it_does_not_know() {
        let mut tried = 0;
        for (name, text) in shipped() {
            let document = Document::parse(&text, &name).unwrap();
            for place in places(&document, &text) {
                if place.what == What::Inside {
                    let wrong = place.put(&text, "zzz_unknown: 1, ");
                    assert!(is_refused("zzz_unknown", &wrong, &name), "{wrong}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 1400, "{tried}");
    }

    #[test]
    fn no_field_of_any_scenario_may_be_misspelt() {
        let mut tried = 0;
        for (name, text) in shipped() {
            let document = Document::parse(&text, &name).unwrap();
            for place in places(&document, &text) {
                if place.what == What::FieldName {
                    let misspelt = format!("{}q", &text[place.from..place.to]);
                    let wrong = place.put(&text, &misspelt);
                    assert!(is_refused(&misspelt, &wrong, &name), "{wrong}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 2000, "{tried}");
    }

    #[test]
    fn an_unknown_field_in_each_bracket_is_reported_in_each_at_once() {
        for (name, text) in shipped() {
            let document = Document::parse(&text, &name).unwrap();
            let brackets = places(&document, &text).into_iter().filter(|place| {
                let first = text[place.to..].trim_start();
                place.what == What::Inside
                    && text[..place.to].ends_with('(')
                    && first
                        .split([':', ',', ')', '"', '('])
                        .next()
                        .is_some_and(|name| first[name.len()..].starts_with(':'))
            });
            let mut brackets: Vec<Place> = brackets.collect();
            brackets.sort_by_key(|place| std::cmp::Reverse(place.from));
            let mut wrong = text.clone();
            for place in &brackets {
                wrong = place.put(&wrong, "zzz_unknown: 1, ");
            }
            let problems = read(&wrong, &name).unwrap_err();
            assert_eq!(problems.len(), brackets.len(), "{problems}\n{wrong}");
        }
    }

    #[test]
    fn unknown_fields_beside_a_preset_are_reported_with_all_other_mistakes() {
        let text =
            "(data: Digits, model: \"mlp\", server: (link: (preset: \"wifi\", latncy: \"1 s\")),\n\
                    population: [(count: -1, link: (preset: \"4g\", bandwidth: \"1 kbit/s\"),\n\
                    device: (preset: \"laptop\", sped: \"1 MFLOP/s\"))])";
        let problems = read(text, Path::new("s.ron")).unwrap_err();
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let beginning = [
            "s.ron:1:62: server.link.latncy: expected one of the fields preset, latency, ",
            "s.ron:2:22: population[0].count: expected a whole number from 0",
            "s.ron:2:47: population[0].link.bandwidth: expected one of the fields preset, ",
            "s.ron:3:28: population[0].device.sped: expected one of the fields preset, speed, ",
        ];
        assert_eq!(said.len(), beginning.len(), "{problems}");
        for (said, beginning) in said.iter().zip(beginning) {
            assert!(said.starts_with(beginning), "{said}");
        }
        assert!(said[0].ends_with("found latncy; did you mean latency?"));
        assert!(said[3].ends_with("found sped; did you mean speed?"));
    }
}
