//! What is said of wrong scenarios, word for word, and that no right one is refused.
//!
//! `tests/wrong` holds a scenario for each kind of mistake and beside it what is said of it. A line
//! `// --set path=value` in a scenario is an override that it is read with.

use super::books::add_up;
use super::tiny::Ran;
use shoal::scenario::Scenario;
use shoal::text::Diagnostic;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The names, without their ending, of the files in `folder` that end in `.extension`.
fn stems(folder: &str, extension: &str) -> BTreeSet<String> {
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|file| file.extension().is_some_and(|e| e == extension))
        .map(|file| file.file_stem().unwrap().to_str().unwrap().to_string())
        .collect()
}

/// The overrides that a scenario of `tests/wrong` is read with.
fn overrides(file: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned();
    let marked = text
        .lines()
        .filter_map(|line| line.strip_prefix("// --set "));
    marked.map(String::from).collect()
}

/// Both texts line by line, with a mark where they differ.
fn difference(pinned: &str, said: &str) -> String {
    let (pinned, said): (Vec<_>, Vec<_>) = (pinned.lines().collect(), said.lines().collect());
    let lines = (0..pinned.len().max(said.len())).map(|i| match (pinned.get(i), said.get(i)) {
        (Some(a), Some(b)) if a == b => format!("    {a}\n"),
        (a, b) => {
            let a = a.map_or(String::new(), |line| format!("  - {line}\n"));
            let b = b.map_or(String::new(), |line| format!("  + {line}\n"));
            a + &b
        }
    });
    lines.collect()
}

#[test]
fn what_is_said_of_each_wrong_scenario_is_pinned() {
    let scenarios = stems("tests/wrong", "ron");
    assert!(scenarios.len() >= 15, "{}", scenarios.len());
    assert_eq!(
        scenarios,
        stems("tests/wrong", "txt"),
        "each scenario needs what is said of it in a .txt, and each .txt its scenario"
    );
    let mut wrong = String::new();
    for name in scenarios {
        let file = PathBuf::from(format!("tests/wrong/{name}.ron"));
        let pinned = fs::read_to_string(file.with_extension("txt")).unwrap();
        let said = match Scenario::open(&file, &overrides(&file)) {
            Ok(_) => "nothing: it was taken as right\n".to_string(),
            Err(problems) => format!("{problems:#}\n"),
        };
        if said != pinned {
            wrong += &format!("{name} (- pinned, + said):\n{}", difference(&pinned, &said));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn no_message_shows_how_a_program_writes_its_values() {
    for name in stems("tests/wrong", "txt") {
        let said = fs::read_to_string(format!("tests/wrong/{name}.txt")).unwrap();
        // The lines of the file itself are the user's own words.
        let ours = said.lines().filter(|line| !line.starts_with(' '));
        for line in ours {
            for rust in [
                "Some(", "None)", "Ok(", "Err(", " { ", "File {", "Spec", "::",
            ] {
                assert!(!line.contains(rust), "{name}: {line}");
            }
        }
    }
}

/// Every scenario below `folder`.
fn scenarios_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scenarios_below(&path, found);
        } else if path.extension().is_some_and(|e| e == "ron") {
            found.push(path);
        }
    }
}

#[test]
fn every_scenario_that_comes_with_shoal_is_right() {
    let mut files = Vec::new();
    scenarios_below(Path::new("scenarios"), &mut files);
    files.sort();
    assert!(files.iter().any(|file| file.ends_with("quickstart.ron")));
    let mut wrong = String::new();
    for file in &files {
        let Err(problems) = Scenario::open(file, &[]) else {
            continue;
        };
        let said = format!("{problems:#}\n");
        // Data that has to be fetched first is not there on every machine.
        let to_fetch = |problem: &Diagnostic| {
            problem.path == "data" && problem.message.contains("scenarios/data/fetch.sh")
        };
        if problems.iter().all(to_fetch) {
            // Written past the harness, which shows nothing of a test that passes.
            writeln!(std::io::stderr(), "not checked: {said}").unwrap();
        } else {
            wrong += &said;
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Two rounds of each: the whole of it is for people.
#[test]
fn every_scenario_that_has_its_data_runs_and_its_books_add_up() {
    let mut files = Vec::new();
    scenarios_below(Path::new("scenarios"), &mut files);
    files.sort();
    let mut ran_through = 0;
    for file in &files {
        let name = file.display();
        let text = fs::read_to_string(file).unwrap();
        // One round of those that other tests run through.
        let elsewhere = ["methods", "selection", "baselines"].map(OsStr::new);
        let folder = file.parent().and_then(Path::file_name);
        let (rounds, held) = match folder.is_some_and(|folder| elsewhere.contains(&folder)) {
            true => (1, "schedule.rounds=1"),
            false => (2, "schedule.rounds=2"),
        };
        let overrides = [held, "record.clients=true"];
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let Ok(scenario) = Scenario::parse(&text, file, &overrides) else {
            // Its data has to be fetched, as the test above has seen.
            continue;
        };
        let changes: Vec<&str> = overrides.iter().map(String::as_str).collect();
        let ran = Ran::changed(&text, file, &changes);
        let finished = ran
            .result
            .as_ref()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(finished.totals.rounds, rounds, "{name}");
        let with_clients = !["centralised", "public_only"].contains(&&*scenario.name);
        assert!(!with_clients || finished.totals.reports > 0, "{name}");
        add_up(&ran, &scenario, &name.to_string());
        ran_through += 1;
    }
    assert!(ran_through > 75, "{ran_through}");
}

#[test]
fn the_readme_shows_the_quickstart_as_it_is_and_its_smallest_scenario_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let quickstart = std::fs::read_to_string(root.join("scenarios/quickstart.ron")).unwrap();
    let mut shown = readme.split("```ron\n").skip(1);
    let mut next = || shown.next().unwrap().split("```").next().unwrap();
    assert_eq!(next(), quickstart);
    let smallest = next();
    assert!(smallest.lines().count() < 10);
    Scenario::parse(smallest, Path::new("smallest.ron"), &[]).unwrap();
}
