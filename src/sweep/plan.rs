//! The sweep as a whole: made from the command line, checked, and written to a file.

use super::cells::{cells, Cell};
use super::vary::Varied;
use crate::disk;
use crate::observe::folder::file_stem;
use crate::run::SCENARIO;
use crate::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// The name of the file with the plan.
pub const PLAN: &str = "sweep.json";
/// The folder that contains the folders of the cells.
const CELLS: &str = "cells";
/// The number of problems that are printed; further ones are only counted.
const MOST_PROBLEMS: usize = 50;

/// Why a sweep cannot begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The command line describes no valid sweep.
    #[error("{0}")]
    Asked(String),
    /// Some cells are wrong.
    #[error("{0}")]
    Cells(String),
    /// The folder contains another sweep.
    #[error("{}: another sweep is in this folder ({what}); choose another with --out", folder.display())]
    Another {
        /// The folder.
        folder: PathBuf,
        /// The first difference between the two sweeps.
        what: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {problem}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The error of the system.
        problem: String,
    },
}

/// The plan of a whole sweep, as it is written to `sweep.json`. All shards write an identical file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepPlan {
    /// The version of Shoal.
    pub version: String,
    /// The name of the scenario.
    pub name: String,
    /// The path of the scenario's file, as the user gave it.
    pub scenario_file: String,
    /// A hash of the scenario's text, in hexadecimal.
    pub text: String,
    /// The varied paths with their values.
    pub varied: Vec<Varied>,
    /// All cells, in order.
    pub cells: Vec<Cell>,
}

impl SweepPlan {
    /// Plans the sweep of a scenario with the given text and checks every cell. The path of the
    /// scenario's file appears in error messages, and relative paths start from its folder. The
    /// overrides `fixed` apply to all cells.
    ///
    /// # Errors
    /// The problems of all cells, each once.
    pub fn new(
        (text, file): (&str, &Path),
        fixed: &[String],
        varied: Vec<Varied>,
        seeds: Option<&[u64]>,
    ) -> Result<Self, SweepError> {
        let mut cells = cells(fixed, &varied, seeds).map_err(SweepError::Asked)?;
        let mut problems = Problems::default();
        let mut name = String::new();
        for cell in &mut cells {
            match Scenario::parse(text, file, &cell.overrides) {
                Ok(scenario) => {
                    // If the name itself is varied, it cannot name the sweep.
                    if name.is_empty() {
                        name = scenario.name;
                    }
                    cell.seed = scenario.seed;
                }
                Err(found) => {
                    for problem in &found {
                        problems.note(format!("{problem:#}"), cell, &varied);
                    }
                }
            }
        }
        if let Some(text) = problems.in_words(cells.len()) {
            return Err(SweepError::Cells(text));
        }
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").into(),
            name,
            scenario_file: file.display().to_string(),
            text: format!("{:016x}", xxh3_64(text.as_bytes())),
            varied,
            cells,
        })
    }

    /// The folder of the sweep if the user gives none; it is the same for all shards.
    pub fn default_folder(&self) -> PathBuf {
        Path::new("runs").join(format!("{}-sweep", file_stem(&self.name)))
    }

    /// The folder of a cell's run.
    pub fn folder(out: &Path, cell: &Cell) -> PathBuf {
        out.join(CELLS).join(&cell.folder)
    }

    /// The file with the output of a cell's process, beside the folder of the run.
    pub fn log(out: &Path, cell: &Cell) -> PathBuf {
        out.join(CELLS).join(format!("{}.log", cell.folder))
    }

    /// Checks that the folder `out` can be used: it must be empty, or contain this sweep.
    ///
    /// # Errors
    /// When `out` contains another sweep; the error says what differs.
    pub fn fits(&self, out: &Path) -> Result<(), SweepError> {
        let path = out.join(PLAN);
        let file = |problem: String| SweepError::File {
            path: path.clone(),
            problem,
        };
        let there = match disk::read(&path) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(file(error.to_string())),
        };
        let there: Self = serde_json::from_slice(&there)
            .map_err(|error| file(format!("{error}; expected the plan of a sweep")))?;
        let differs = [
            (
                there.version != self.version,
                format!("of shoal {}, this is {}", there.version, self.version),
            ),
            (there.text != self.text, "of another scenario".into()),
            (there.varied != self.varied, "another --vary".into()),
            (
                there.cells.len() != self.cells.len()
                    || there
                        .cells
                        .iter()
                        .zip(&self.cells)
                        .any(|(a, b)| a.seed != b.seed),
                "other seeds".into(),
            ),
            (there.cells != self.cells, "another --set".into()),
        ];
        match differs.into_iter().find(|(differs, _)| *differs) {
            Some((_, what)) => Err(SweepError::Another {
                folder: out.into(),
                what,
            }),
            None => Ok(()),
        }
    }

    /// Makes the folders and writes the plan. All shards write an identical file, so it makes no
    /// difference which comes last.
    ///
    /// # Errors
    /// When the system cannot make a folder or write the file.
    pub fn write(&self, out: &Path) -> Result<(), SweepError> {
        let cells = out.join(CELLS);
        fs::create_dir_all(&cells).map_err(|error| SweepError::File {
            path: cells,
            problem: format!("cannot make the folder: {error}"),
        })?;
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| SweepError::File {
            path: out.join(PLAN),
            problem: error.to_string(),
        })?;
        text.push(b'\n');
        replace(out, PLAN, &text)
    }
}

/// Keeps the scenario's text in the sweep's folder. The cells run this copy, so that a later change
/// of the scenario's file has no effect.
///
/// # Errors
/// When the file cannot be written.
pub fn keep_text(out: &Path, text: &str) -> Result<(), SweepError> {
    replace(out, SCENARIO, text.as_bytes())
}

/// Writes a file of the sweep's folder under a temporary name and moves it to its place. Several
/// shards may do this at the same time, since each uses its own temporary name.
///
/// # Errors
/// When the file cannot be written or moved.
pub fn replace(out: &Path, name: &str, text: &[u8]) -> Result<(), SweepError> {
    let path = out.join(name);
    let draft = out.join(format!(".{name}.{}.new", std::process::id()));
    let written = disk::replace(&path, &draft, text);
    written.map_err(|error| SweepError::File {
        path,
        problem: format!("cannot write: {error}"),
    })
}

/// The problems of all cells: each once, with the first cell that has it and the number of further
/// ones.
#[derive(Default)]
struct Problems {
    found: Vec<(String, String, usize)>,
    known: HashMap<String, usize>,
}

impl Problems {
    fn note(&mut self, text: String, cell: &Cell, varied: &[Varied]) {
        match self.known.get(&text).and_then(|&at| self.found.get_mut(at)) {
            Some((.., cells)) => *cells += 1,
            None => {
                self.known.insert(text.clone(), self.found.len());
                // The description of the cell is not used here, since a cell that is wrong has no
                // known seed.
                let pairs = varied.iter().zip(&cell.values);
                let words = pairs.map(|(one, value)| format!("{}={value}", one.path));
                let words = words.collect::<Vec<_>>().join(", ");
                self.found.push((text, words, 1));
            }
        }
    }

    fn in_words(&self, total: usize) -> Option<String> {
        if self.found.is_empty() {
            return None;
        }
        let shown = self.found.iter().take(MOST_PROBLEMS);
        let mut lines: Vec<String> = shown
            .map(|(text, words, cells)| match (words.is_empty(), *cells) {
                (_, cells) if cells == total => text.clone(),
                (true, cells) => format!("in {cells} of {total} cells: {text}"),
                (false, 1) => format!("with {words}: {text}"),
                (false, cells) => format!("with {words}, {cells} cells: {text}"),
            })
            .collect();
        match self.found.len().saturating_sub(MOST_PROBLEMS) {
            0 => {}
            more => lines.push(format!("and {more} more")),
        }
        Some(lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "(data: Digits, model: \"logistic\", population: [(count: 9)], schedule: (cohort: 3))";

    fn plan(fixed: &[&str], varied: &[&str], seeds: &[u64]) -> Result<SweepPlan, SweepError> {
        let fixed: Vec<String> = fixed.iter().map(ToString::to_string).collect();
        let varied = varied.iter().map(|text| text.parse().unwrap()).collect();
        let seeds = (!seeds.is_empty()).then_some(seeds);
        SweepPlan::new((TEXT, Path::new("s.ron")), &fixed, varied, seeds)
    }

    #[test]
    fn a_plan_knows_the_seed_that_every_cell_has() {
        let given = plan(&[], &["schedule.cohort=2,4"], &[5, 6]).unwrap();
        let seeds: Vec<u64> = given.cells.iter().map(|cell| cell.seed).collect();
        assert_eq!(seeds, [5, 6, 5, 6]);
        let of_file = plan(&["seed=77"], &["schedule.cohort=2,4"], &[]).unwrap();
        assert!(of_file.cells.iter().all(|cell| cell.seed == 77));
    }

    #[test]
    fn all_that_is_wrong_is_told_once_with_the_cells_it_is_wrong_in() {
        let wrong = plan(
            &["training.batch=-1"],
            &["schedule.cohort=2,0", "schedule.rounds=1,none"],
            &[1, 2, 3],
        );
        let said = wrong.unwrap_err().to_string();
        assert_eq!(said.matches("training.batch").count(), 1, "{said}");
        // Of twelve cells six have a cohort of none, and six no number of rounds.
        assert!(
            said.contains("with schedule.cohort=0, schedule.rounds=1, 6 cells: "),
            "{said}"
        );
        assert!(
            said.contains("with schedule.cohort=2, schedule.rounds=none, 6 cells: "),
            "{said}"
        );
        assert_eq!(said.lines().count(), 3, "{said}");
    }

    #[test]
    fn a_folder_takes_one_sweep_and_says_what_differs_about_another() {
        let out = tempfile::tempdir().unwrap();
        let first = plan(&[], &["schedule.cohort=2,4"], &[1, 2]).unwrap();
        first.fits(out.path()).unwrap();
        first.write(out.path()).unwrap();
        first.fits(out.path()).unwrap();
        first.write(out.path()).unwrap();
        for (other, what) in [
            (
                plan(&[], &["schedule.cohort=2,5"], &[1, 2]),
                "another --vary",
            ),
            (plan(&[], &["schedule.cohort=2,4"], &[1, 3]), "other seeds"),
            (
                plan(&[], &["schedule.cohort=2,4"], &[1, 2, 3]),
                "other seeds",
            ),
            (
                plan(&["schedule.rounds=3"], &["schedule.cohort=2,4"], &[1, 2]),
                "another --set",
            ),
        ] {
            let error = other.unwrap().fits(out.path()).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        fs::write(out.path().join(PLAN), "{").unwrap();
        let error = first.fits(out.path()).unwrap_err().to_string();
        assert!(error.contains("expected the plan of a sweep"), "{error}");
        let files: Vec<_> = fs::read_dir(out.path()).unwrap().collect();
        assert_eq!(files.len(), 2, "{files:?}");
    }
}
