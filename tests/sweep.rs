//! That a sweep is the runs it is made of, whoever runs them, and that it goes on where it was stopped.

use super::tiny::{Ran, TINY};
use shoal::observe::record::{RunRecord, Status};
use shoal::sweep::SweepPlan;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with the tiny scenario, to sweep in.
struct Desk(TempDir);

impl Desk {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.ron"), text).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.args(["sweep", "tiny.ron"]).args(arguments);
        command.current_dir(self.0.path());
        command
    }

    fn sweep(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn done(&self, arguments: &[&str]) -> String {
        let output = self.sweep(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The rows of a sweep's table, each a column's name to its value.
    fn table(&self, file: &str) -> Vec<BTreeMap<String, String>> {
        let mut reader = csv::Reader::from_path(self.path(file)).unwrap();
        reader.deserialize().map(Result::unwrap).collect()
    }

    fn plan(&self, out: &str) -> SweepPlan {
        let text = fs::read(self.path(out).join("sweep.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn record(&self, out: &str, cell: usize) -> RunRecord {
        let plan = self.plan(out);
        let folder = SweepPlan::folder(&self.path(out), &plan.cells[cell]);
        RunRecord::read(&folder.join("run.json")).unwrap()
    }
}

const GRID: [&str; 6] = [
    "--vary",
    "schedule.cohort=2,4",
    "--vary",
    "method=FedAvg(),FedProx(mu: 0.1)",
    "--seeds",
    "1..2",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    GRID.iter().chain(more).copied().collect()
}

/// What no host's clock is in.
fn timeless(mut rows: Vec<BTreeMap<String, String>>) -> Vec<BTreeMap<String, String>> {
    for row in &mut rows {
        row.remove("real_s").unwrap();
    }
    rows
}

#[test]
fn shards_make_the_whole_and_every_cell_is_the_run_of_its_overrides() {
    let desk = Desk::new(TINY);
    let told = desk.done(&with(&[
        "--out",
        "whole",
        "--jobs",
        "2",
        "--workers",
        "1",
        "--goal",
        "0.5",
    ]));
    assert!(told.contains("8 of 8 cells done"), "{told}");
    for shard in ["3/3", "1/3", "2/3"] {
        desk.done(&with(&[
            "--out",
            "parts",
            "--jobs",
            "1",
            "--workers",
            "2",
            "--goal",
            "0.5",
            "--shard",
            shard,
        ]));
    }
    assert_eq!(
        fs::read(desk.path("whole/sweep.json")).unwrap(),
        fs::read(desk.path("parts/sweep.json")).unwrap()
    );
    let whole = timeless(desk.table("whole/sweep.csv"));
    assert_eq!(whole, timeless(desk.table("parts/sweep.csv")));
    assert_eq!(
        fs::read_to_string(desk.path("whole/summary.csv")).unwrap(),
        fs::read_to_string(desk.path("parts/summary.csv")).unwrap()
    );
    // Each is the run that its overrides give alone.
    let plan = desk.plan("whole");
    assert_eq!(plan.cells.len(), 8);
    for (cell, row) in plan.cells.iter().zip(&whole) {
        let overrides: Vec<&str> = cell.overrides.iter().map(String::as_str).collect();
        let alone = Ran::changed(TINY, Path::new("tiny.ron"), &overrides);
        let rounds = alone.rounds();
        let finished = alone.result.unwrap();
        assert_eq!(
            row["trace_hash"],
            finished.hash.to_string(),
            "{overrides:?}"
        );
        assert_eq!(row["schedule.cohort"], cell.values[0]);
        assert_eq!(row["seed"], cell.seed.to_string());
        let last: f64 = row["final_accuracy"].parse().unwrap();
        assert_eq!(Some(last), finished.totals.final_accuracy);
        let first = rounds.iter().find(|round| round.accuracy >= Some(0.5));
        let reached = first.map(|round| round.ended.nanos() as f64 / 1e9);
        assert_eq!(row["goal_s"].parse::<f64>().ok(), reached);
        assert!(desk
            .path("whole")
            .join(&row["folder"])
            .join("rounds.csv")
            .exists());
    }
    // The mean over the seeds of the first setting.
    let summary = desk.table("whole/summary.csv");
    let row = summary
        .iter()
        .find(|row| row["figure"] == "final_accuracy")
        .unwrap();
    let values: Vec<f64> = whole[..2]
        .iter()
        .map(|row| row["final_accuracy"].parse().unwrap())
        .collect();
    let mean: f64 = row["mean"].parse().unwrap();
    assert!((mean - (values[0] + values[1]) / 2.0).abs() < 1e-12);
    let sd: f64 = row["sd"].parse().unwrap();
    assert!((sd - (values[0] - values[1]).abs() / 2f64.sqrt()).abs() < 1e-12);
    assert_eq!(row["runs"], "2");
}

#[test]
fn all_cells_are_checked_before_any_runs() {
    let desk = Desk::new(TINY);
    for (arguments, said) in [
        (
            &[
                "--vary",
                "schedule.cohort=2,0",
                "--seeds",
                "1..3",
                "--set",
                "training.batch=-1",
            ][..],
            &["training.batch", "with schedule.cohort=0, 3 cells: "][..],
        ),
        (
            &["--vary", "nonsense=1,2"],
            &["--set nonsense=1: ", "--set nonsense=2: "],
        ),
        (&["--vary", "schedule.cohort=2,,3"], &["an empty value"]),
        (&["--vary", "seed=2,3"], &["--seeds"]),
        (
            &["--seeds", "1..3", "--seed", "4"],
            &["cannot be used with"],
        ),
        (&["--shard", "4/3"], &["is no shard"]),
        (&["--goal", "90"], &["from 0 to 1"]),
    ] {
        let output = desk.sweep(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {err}");
        for said in said {
            assert_eq!(
                err.matches(said).count(),
                1,
                "{arguments:?}: {said} in {err}"
            );
        }
    }
    let told = desk.done(&with(&["--dry-run"]));
    assert_eq!(told.matches("to be run").count(), 8, "{told}");
    assert!(!desk.path("runs").exists());
}

#[test]
fn what_is_done_stays_what_failed_stops_nobody_and_another_sweep_is_refused() {
    let desk = Desk::new(TINY);
    let arguments = [
        "--vary",
        "schedule.cohort=2,3,4",
        "--out",
        "s",
        "--jobs",
        "2",
    ];
    // Something is in the way of the second.
    fs::create_dir_all(desk.path("s/cells")).unwrap();
    fs::write(desk.path("s/cells/2-cohort-3"), "a file").unwrap();
    let output = desk.sweep(&arguments);
    assert_eq!(output.status.code(), Some(1));
    let status = |desk: &Desk| -> Vec<String> {
        let rows = desk.table("s/sweep.csv");
        rows.iter().map(|row| row["status"].clone()).collect()
    };
    assert_eq!(status(&desk), ["ok", "failed", "ok"]);
    assert_ne!(desk.table("s/sweep.csv")[1]["error"], "");
    let before = (desk.record("s", 0), desk.record("s", 2));
    fs::remove_file(desk.path("s/cells/2-cohort-3")).unwrap();
    desk.done(&arguments);
    assert_eq!(status(&desk), ["ok", "ok", "ok"]);
    // Not run again: they say the same time of day.
    assert_eq!(before, (desk.record("s", 0), desk.record("s", 2)));
    assert!(desk.path("s/sweep.svg").exists());

    fs::remove_file(desk.path("s/sweep.csv")).unwrap();
    let collected: Vec<&str> = arguments.iter().copied().chain(["--collect"]).collect();
    let told = desk.done(&collected);
    assert!(told.contains("3 of 3 cells done"), "{told}");
    assert_eq!(status(&desk), ["ok", "ok", "ok"]);

    let other = desk.sweep(&["--vary", "schedule.cohort=2,3", "--out", "s"]);
    let err = String::from_utf8_lossy(&other.stderr);
    assert_eq!(other.status.code(), Some(2));
    assert!(
        err.contains("another sweep is in this folder (another --vary)"),
        "{err}"
    );
}

#[test]
fn an_interrupted_sweep_goes_on_from_its_checkpoints_to_the_same_hashes() {
    let text = TINY
        .replace("rounds: 3", "rounds: 150")
        .replace("cohort: 4)", "cohort: 4), checkpoint: (every: 1)");
    let desk = Desk::new(&text);
    let arguments = [
        "--seeds",
        "1..2",
        "--out",
        "s",
        "--jobs",
        "1",
        "--workers",
        "1",
    ];
    let mut child = desk.command(&arguments).spawn().unwrap();
    // Amid the first cell, once it has a checkpoint.
    let begun = Instant::now();
    let rounds = desk.path("s/cells/1-seed-1/rounds.csv");
    while fs::read_to_string(&rounds).map_or(0, |text| text.lines().count()) < 4 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no round");
        assert!(child.try_wait().unwrap().is_none(), "over too soon");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap()
        .success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let first = desk.record("s", 0);
    assert_eq!(first.status, Status::Interrupted);
    let status: Vec<String> = desk
        .table("s/sweep.csv")
        .iter()
        .map(|row| row["status"].clone())
        .collect();
    assert_eq!(status, ["interrupted", "absent"]);

    desk.done(&arguments);
    assert_eq!(desk.record("s", 0).resumed, 1);
    assert_eq!(desk.record("s", 1).resumed, 0);
    for (cell, seed) in [(0, "seed=1"), (1, "seed=2")] {
        let alone = Ran::changed(&text, Path::new("tiny.ron"), &[seed]);
        let hash = alone.result.unwrap().hash.to_string();
        assert_eq!(desk.record("s", cell).trace_hash, Some(hash), "{seed}");
    }
}
