//! Every scenario of a page is one that Shoal takes.

use super::page::*;
use shoal::scenario::Scenario;
use shoal::text::{Diagnostic, Diagnostics};
use std::path::Path;

/// The entries of a fragment: what commas, or new fields at the start of a line, part at the top level.
/// Comments are left out.
pub(super) fn entries(text: &str) -> Vec<String> {
    let (mut entries, mut entry) = (Vec::new(), String::new());
    let (mut depth, mut quoted) = (0, false);
    for line in text.lines() {
        if depth == 0 && !quoted && begins_an_entry(line) {
            entries.push(std::mem::take(&mut entry));
        }
        let mut characters = line.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\\' if quoted => {
                    entry.push(c);
                    entry.extend(characters.next());
                    continue;
                }
                '"' => quoted = !quoted,
                '/' if !quoted && characters.peek() == Some(&'/') => break,
                '(' | '[' | '{' if !quoted => depth += 1,
                ')' | ']' | '}' if !quoted => depth -= 1,
                ',' if !quoted && depth == 0 => {
                    entries.push(std::mem::take(&mut entry));
                    continue;
                }
                _ => {}
            }
            entry.push(c);
        }
        entry.push('\n');
    }
    entries.push(entry);
    let entries = entries.iter().map(|entry| entry.trim().to_string());
    entries.filter(|entry| !entry.is_empty()).collect()
}

/// Whether a line begins with a field, `name: …`, or with a value such as `Npz(…)`.
pub(super) fn begins_an_entry(line: &str) -> bool {
    let name = line.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    name.is_some_and(|end| end > 0 && line[end..].starts_with([':', '(']))
}

/// The name of the field that an entry gives a value.
pub(super) fn field(entry: &str) -> Option<&str> {
    let (name, _) = entry.split_once(':')?;
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// A small scenario with these fields in place of its own.
pub(super) fn completed(fields: &[String]) -> String {
    let has = |name: &str| fields.iter().any(|entry| field(entry) == Some(name));
    let schedule = match has("topology") {
        true => "schedule: (rounds: 5, deadline: \"5 s\")",
        false => "schedule: (rounds: 5, cohort: 0.4, deadline: \"5 s\")",
    };
    let base = [
        "data: Digits",
        "model: [Conv(out: 8, kernel: 3, padding: 1), Relu, MaxPool(size: 2), Flatten, Dense(32), Relu, Dense(10)]",
        "partition: (by: Dirichlet(alpha: 0.3))",
        "population: [(name: \"phones\", count: 60, device: \"phone-mid\", link: \"4g\")]",
        schedule,
    ];
    let base = base.iter().filter(|entry| !has(field(entry).unwrap()));
    let all: Vec<_> = base
        .map(ToString::to_string)
        .chain(fields.iter().cloned())
        .collect();
    format!("(\n{},\n)\n", all.join(",\n"))
}

/// Fields of a group that a scenario does not have itself.
pub(super) const OF_A_GROUP: &[&str] = &[
    "count",
    "device",
    "link",
    "tiers",
    "correlation",
    "trace",
    "budget",
    "participation",
    "availability",
    "leaving",
    "size",
];

/// The scenarios that a block stands for: itself, or a small one with its fields. A field that stands
/// there twice is shown with two values, of which each gets a scenario.
pub(super) fn scenarios(block: &Block) -> Vec<String> {
    let with = block.said("with").map_or(Vec::new(), entries);
    let small = |fields: &[String]| completed(&[fields, &with].concat());
    let entries = entries(&block.text);
    if let [whole] = &entries[..] {
        let body = whole.strip_prefix("Scenario").unwrap_or(whole);
        match body.starts_with('(') {
            true if body.contains("population:") && body.contains("data:") => {
                return vec![block.text.clone()];
            }
            // A group of a population.
            true => return vec![small(&[format!("population: [{body}]")])],
            false => {}
        }
    }
    let names: Vec<_> = entries.iter().map(|entry| field(entry)).collect();
    if names.iter().all(Option::is_none) {
        // Values without a field are sources of data.
        let data = entries.iter().map(|value| format!("data: {value}"));
        return data.map(|data| small(&[data])).collect();
    }
    if names.iter().flatten().any(|name| OF_A_GROUP.contains(name)) {
        let mut group = entries.clone();
        if !names.contains(&Some("count")) {
            group.push("count: 60".to_string());
        }
        let group = format!("population: [({})]", group.join(", "));
        return vec![small(&[group])];
    }
    let apart = block.said("each by itself").is_some();
    let repeated = |entry: &str| {
        let name = field(entry);
        apart || names.iter().filter(|other| **other == name).count() > 1
    };
    let (once, each): (Vec<_>, Vec<_>) =
        entries.iter().cloned().partition(|entry| !repeated(entry));
    match each.is_empty() {
        true => vec![small(&once)],
        false => each
            .into_iter()
            .map(|entry| small(&[&once[..], &[entry]].concat()))
            .collect(),
    }
}

/// Whether a problem is only that a file of the reader's is not here.
pub(super) fn is_of_a_missing_file(problem: &Diagnostic) -> bool {
    let said = problem.message.to_lowercase();
    said.contains("no such file") || said.contains("scenarios/data/fetch.sh")
}

/// What is wrong with a block as a scenario or as fields of one.
pub(super) fn refused(block: &Block) -> Option<String> {
    let read = |text: &String| -> Result<_, Diagnostics> {
        // Relative paths start where there is a file of weights, for those that begin with one.
        Scenario::parse(text, Path::new("scenarios/weights/page.ron"), &[])
    };
    let problems = scenarios(block)
        .iter()
        .filter_map(|scenario| read(scenario).err())
        .collect::<Vec<_>>();
    let told = problems
        .iter()
        .filter(|them| !them.iter().all(is_of_a_missing_file));
    let told: Vec<_> = told.map(|problems| format!("{problems:#}")).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

#[test]
fn every_scenario_of_a_page_is_one_that_shoal_takes() {
    let (mut wrong, mut taken, mut ignored) = (String::new(), 0, 0);
    let mut pages = docs();
    pages.extend(["README.md", "CONTRIBUTING.md"].map(|name| Page::read(Path::new(name))));
    for page in &pages {
        for block in &page.blocks {
            let place = page.at(block.line);
            match block.language.as_str() {
                "ron" => {
                    taken += 1;
                    if let Some(why) = refused(block) {
                        wrong += &format!("{place}: {why}\n");
                    }
                }
                "ron,ignore" => {
                    ignored += 1;
                    if block.said("ignored").is_none_or(str::is_empty) {
                        wrong += &format!("{place}: <!-- ignored: WHY --> is missing before it\n");
                    }
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(
        taken >= 20 && ignored <= 3,
        "{taken} taken, {ignored} ignored"
    );
}
