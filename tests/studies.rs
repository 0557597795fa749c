//! The studies: their library passes its own tests, and what they would run is right. They are of Python
//! alone; where there is none, that is said and nothing is tested.

use shoal::scenario::Scenario;
use shoal::text::Diagnostic;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A `python3` that the studies can be run with, and that leaves nothing in the checkout.
fn python() -> Option<Command> {
    let mut python = Command::new("python3");
    python.current_dir(ROOT).env("PYTHONDONTWRITEBYTECODE", "1");
    for given in ["SHOAL", "RUNS"] {
        python.env_remove(given);
    }
    let asked = Command::new("python3")
        .args(["-c", "import sys; sys.exit(sys.version_info < (3, 9))"])
        .output();
    let why = match asked {
        Ok(done) if done.status.success() => return Some(python),
        Ok(_) => "it is older than 3.9".to_owned(),
        Err(error) => error.to_string(),
    };
    let line = format!("not tested: the studies need python3, 3.9 or later ({why})\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    None
}

/// The files of studies: `study.py`, or `WHAT_study.py` where a folder has several.
fn studies() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in fs::read_dir(Path::new(ROOT).join("scenarios")).unwrap() {
        let folder = folder.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        let files = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        found.extend(files.filter(|file| file.to_string_lossy().ends_with("study.py")));
    }
    found.sort();
    found
}

/// What a Python program prints, if it ends well.
fn printed(command: &mut Command) -> String {
    let done = command.output().unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}:\n{error}");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn the_library_of_studies_passes_its_own_tests() {
    let Some(mut python) = python() else { return };
    let test = [
        "-m",
        "unittest",
        "discover",
        "-s",
        "scenarios",
        "-t",
        "scenarios",
    ];
    printed(python.args(test));
}

#[derive(serde::Deserialize)]
struct Cell {
    name: String,
    scenario: PathBuf,
    sets: Vec<String>,
}

#[test]
fn every_cell_of_a_study_is_one_that_shoal_takes() {
    let (mut wrong, mut cells) = (String::new(), 0);
    for study in studies() {
        let Some(mut python) = python() else { return };
        let listed = printed(python.arg(&study).args(["list", "--json"]));
        for cell in serde_json::from_str::<Vec<Cell>>(&listed).unwrap() {
            cells += 1;
            let Err(problems) = Scenario::open(&Path::new(ROOT).join(&cell.scenario), &cell.sets)
            else {
                continue;
            };
            // Data that has to be fetched first is not there on every machine.
            let to_fetch =
                |problem: &Diagnostic| problem.message.contains("scenarios/data/fetch.sh");
            if !problems.iter().all(to_fetch) {
                wrong += &format!("{}: {}: {problems:#}\n", study.display(), cell.name);
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(cells > 250, "{cells}");
}

/// Two cells of one study that run one thing would be one arm under two names.
#[test]
fn no_two_cells_of_a_study_run_one_thing() {
    for study in studies() {
        let Some(mut python) = python() else { return };
        let listed = printed(python.arg(&study).args(["list", "--json"]));
        let mut known = BTreeMap::new();
        for cell in serde_json::from_str::<Vec<Cell>>(&listed).unwrap() {
            if let Some(other) = known.insert((cell.scenario, cell.sets), cell.name.clone()) {
                panic!("{}: {} and {other}", study.display(), cell.name);
            }
        }
    }
}
