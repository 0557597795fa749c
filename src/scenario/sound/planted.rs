//! One mistake anywhere is told where it is, and nowhere else.

use crate::scenario::Scenario;
use crate::text::{concerns, places, Diagnostics, Document, TextPlace, What};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The scenarios in a folder and those below it.
fn scenarios(folder: &str) -> Vec<(PathBuf, String)> {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "ron") {
                // One of the wrong scenarios is no text.
                let text = std::fs::read_to_string(&path);
                found.extend(text.ok().map(|text| (path, text)));
            }
        }
    }
    found.sort();
    found
}

fn said(text: &str, path: &Path) -> Diagnostics {
    Scenario::parse(text, path, &[]).err().unwrap_or_default()
}

/// What is no value of the kind that stands in `place`, whatever its type is.
fn wrong(place: &TextPlace, text: &str) -> Option<(TextPlace, String)> {
    let other = match place.what {
        What::Text => "31".to_string(),
        What::Value => "\"?\"".to_string(),
        What::FieldName => format!("{}q", &text[place.from..place.to]),
        What::Inside => return None,
    };
    Some((place.clone(), place.put(text, &other)))
}

/// The path without its indices, as `population[].count`.
fn kind_of(path: &str) -> String {
    let mut kind = String::new();
    let mut inside = false;
    for c in path.chars() {
        inside = (inside || c == '[') && c != ']';
        if c == '[' || !inside {
            kind.push(c);
        }
    }
    kind
}

/// What of `found` is neither about `place` nor in `before`.
fn invented(found: &Diagnostics, before: &Diagnostics, place: &str) -> Vec<String> {
    let told_before = |path: &str, message: &str| {
        let mut before = before.iter();
        before.any(|earlier| earlier.path == path && earlier.message == message)
    };
    let invented = found.iter().filter(|problem| {
        !told_before(&problem.path, &problem.message)
            && (problem.path.is_empty() || !concerns(&problem.path, place))
    });
    invented.map(ToString::to_string).collect()
}

/// The places to plant a mistake in: of those alike, in all texts together, so many.
fn chosen(
    text: &str,
    path: &Path,
    most: usize,
    planted: &mut BTreeMap<String, usize>,
) -> Vec<TextPlace> {
    let document = Document::parse(text, path).unwrap();
    let mut places = places(&document, text);
    places.retain(|place| {
        if place.path.is_empty() || place.what == What::Inside {
            return false;
        }
        let alike = format!("{:?} {}", place.what, kind_of(&place.path));
        let before = planted.entry(alike).or_default();
        *before += 1;
        *before <= most
    });
    places
}

/// The path of a misspelt field is that of the bracket's field with the misspelt name.
fn misspelt(place: &TextPlace) -> String {
    match place.what {
        What::FieldName => format!("{}q", place.path),
        _ => place.path.clone(),
    }
}

#[test]
fn one_mistake_anywhere_in_a_scenario_is_told_where_it_is_and_nowhere_else() {
    let mut planted = BTreeMap::new();
    let (mut tried, mut wrongly) = (0, String::new());
    for (path, text) in scenarios("scenarios") {
        let places = chosen(&text, &path, 1, &mut planted);
        if places.is_empty() {
            continue;
        }
        let before = said(&text, &path);
        for (place, wrong) in places.iter().filter_map(|place| wrong(place, &text)) {
            let found = said(&wrong, &path);
            let invented = invented(&found, &before, &misspelt(&place));
            if found.is_empty() || !invented.is_empty() {
                let file = path.display();
                wrongly += &format!("{file}: {place:?}:\n{found}\n\n");
            }
            tried += 1;
        }
    }
    assert!(wrongly.is_empty(), "\n{wrongly}");
    assert!(tried > 200, "{tried}");
}

#[test]
fn a_second_mistake_elsewhere_makes_nobody_invent_a_third() {
    let mut planted = BTreeMap::new();
    let (mut tried, mut hidden, mut wrongly) = (0, 0, String::new());
    for (path, text) in scenarios("tests/wrong") {
        let Ok(_) = Document::parse(&text, &path) else {
            continue;
        };
        let before = said(&text, &path);
        // Elsewhere than the first.
        let elsewhere = |place: &&TextPlace| {
            let mut first = before.iter();
            first.all(|first| !concerns(&first.path, &place.path))
        };
        let places = chosen(&text, &path, 2, &mut planted);
        let places = places.iter().filter(elsewhere);
        for (place, wrong) in places.filter_map(|place| wrong(place, &text)) {
            let found = said(&wrong, &path);
            let invented = invented(&found, &before, &misspelt(&place));
            if found.is_empty() || !invented.is_empty() {
                let file = path.display();
                wrongly += &format!("{file}: {place:?}:\n{found}\n\n");
            }
            tried += 1;
            hidden += usize::from(found.len() < before.len());
        }
    }
    assert!(wrongly.is_empty(), "\n{wrongly}");
    assert!(tried > 150, "{tried}");
    // What rests on the second mistake is not told: that is not most of it.
    assert!(2 * hidden < tried, "{hidden} of {tried}");
}
