//! The command line, as a shell sees it: what it prints and the status it ends with.

use super::tiny::TINY;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder with the scenario `tiny.ron` in it.
struct Desk(TempDir);

/// What a command did.
struct Done {
    status: i32,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("ended by a signal"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Desk {
    fn new() -> Self {
        Self::with(TINY)
    }

    fn with(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.ron"), scenario).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    fn shoal(&self, arguments: &[&str]) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// A finished run of `tiny.ron` in `run`.
    fn ran() -> Self {
        let desk = Self::new();
        let done = desk.shoal(&["run", "tiny.ron", "--out", "run", "--quiet"]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        desk
    }
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn a_run_that_ends_has_status_0_and_says_where_its_results_lie() {
    let desk = Desk::new();
    let done = desk.shoal(&["run", "tiny.ron", "--out", "run"]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(done.out.contains("run"), "{}", done.out);
    let record = json(&desk.path("run/run.json"));
    assert_eq!(record["status"], "completed");
    let hash = record["trace_hash"].as_str().unwrap();
    assert!(done.out.contains(hash), "{}", done.out);
    for file in [
        "rounds.csv",
        "clients.csv",
        "scenario.ron",
        "trace.bin",
        "report.html",
    ] {
        assert!(desk.path("run").join(file).exists(), "{file}");
    }
}

#[test]
fn overrides_and_the_seed_are_applied_and_recorded() {
    let desk = Desk::new();
    let arguments = "run tiny.ron --out run --quiet --set schedule.rounds=2 --seed 9";
    let done = desk.shoal(&arguments.split(' ').collect::<Vec<_>>());
    assert_eq!(done.status, 0, "{}", done.err);
    let record = json(&desk.path("run/run.json"));
    assert_eq!(record["seed"], 9);
    assert_eq!(record["scenario"]["schedule"]["rounds"], 2);
    let overrides = serde_json::json!(["schedule.rounds=2", "seed=9"]);
    assert_eq!(record["overrides"], overrides);
    let rounds = fs::read_to_string(desk.path("run/rounds.csv")).unwrap();
    assert_eq!(rounds.lines().count(), 3);
    // The record says all that is needed to run it again.
    let done = desk.shoal(&["verify", "run"]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
}

#[test]
fn check_prints_what_a_scenario_means() {
    let desk = Desk::new();
    let done = desk.shoal(&["check", "tiny.ron", "--set", "schedule.deadline=30 s"]);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    for part in [
        "rounds: 3",
        "deadline: Some(\"30 s\")",
        "startup: \"500 ms\"",
        "650 parameters",
    ] {
        assert!(done.out.contains(part), "no {part} in\n{}", done.out);
    }
}

#[test]
fn check_prints_all_mistakes_and_ends_with_status_2() {
    let text = TINY
        .replace("rounds: 3", "rounds: 0")
        .replace("\"lan\"", "\"lann\"");
    let desk = Desk::with(&text.replace("epochs", "epoch"));
    for command in ["check", "run"] {
        let done = desk.shoal(&[command, "tiny.ron"]);
        assert_eq!((done.status, done.out.as_str()), (2, ""));
        for path in ["training.epoch", "population[0].link", "schedule.rounds"] {
            assert!(
                done.err.contains(&format!(" {path}: ")),
                "no {path} in\n{}",
                done.err
            );
        }
    }
}

#[test]
fn bad_input_of_any_kind_ends_with_status_2() {
    let desk = Desk::ran();
    for (arguments, says) in [
        ("run nowhere.ron", "nowhere.ron: cannot read the file"),
        (
            "run tiny.ron --set schedule.rounds=-1",
            "--set schedule.rounds=-1: expected a whole number",
        ),
        ("run tiny.ron --out run", "run"),
        ("run tiny.ron --device gpu", "cuda:0"),
        (
            "run tiny.ron --device cuda:99 --out other",
            "cuda:99 was asked for, but",
        ),
        ("run tiny.ron --workers 0", "--workers"),
        ("run tiny.ron --sed 1", "--seed"),
        ("list planets", "methods"),
        (
            "verify nowhere",
            "nowhere/run.json: cannot read: No such file or directory (os error 2); check the path; \
             expected the folder of a run that had record.trace on",
        ),
    ] {
        let done = desk.shoal(&arguments.split(' ').collect::<Vec<_>>());
        assert_eq!(done.status, 2, "{arguments}: {}", done.err);
        assert!(done.err.contains(says), "{arguments}: {}", done.err);
        assert!(!desk.path("other").exists(), "{arguments} left a folder");
    }
}

#[test]
fn an_argument_that_is_no_number_it_could_be_is_refused() {
    let desk = Desk::new();
    let refused = |arguments: &[&str], value: &str, words: &str| {
        let done = desk.shoal(&[arguments, &[value]].concat());
        assert_eq!(done.status, 2, "{arguments:?} {value}: {}", done.err);
        assert!(
            done.err.contains(words),
            "{arguments:?} {value}: {}",
            done.err
        );
    };
    for value in ["NaN", "nan", "inf", "-1", "0", "-0", "1e300", "soon", ""] {
        // An equals sign, so that a minus is no flag.
        let argument = format!("--minutes={value}");
        refused(&["swarm", "tiny.ron"], &argument, "minutes above 0");
    }
    for value in ["NaN", "inf", "2"] {
        let sweep = ["sweep", "tiny.ron", "--seeds", "1..2", "--goal"];
        refused(&sweep, value, "a number from 0 to 1");
        let scale = ["scale", "tiny.ron", "--population"];
        let value = if value == "2" { "2.5" } else { value };
        refused(&scale, value, "no number of clients");
    }
    for value in ["NaN", "NaN GB", "inf B"] {
        refused(&["run", "tiny.ron", "--memory"], value, "memory");
    }
}

#[test]
fn a_folder_with_something_in_it_is_not_written_to() {
    let desk = Desk::new();
    fs::create_dir(desk.path("run")).unwrap();
    fs::write(desk.path("run/thesis.txt"), "years of work").unwrap();
    let done = desk.shoal(&["run", "tiny.ron", "--out", "run"]);
    assert_eq!(done.status, 2);
    assert!(
        done.err.contains("run") && done.err.contains("empty"),
        "{}",
        done.err
    );
    assert_eq!(fs::read_dir(desk.path("run")).unwrap().count(), 1);
}

#[test]
fn a_run_that_cannot_go_on_ends_with_status_1() {
    let lossy = "(preset: \"lan\", loss: Independent(1), transport: Datagram)";
    let desk = Desk::with(&TINY.replace("\"lan\"", lossy));
    let done = desk.shoal(&["run", "tiny.ron", "--out", "run", "--quiet"]);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.starts_with("error: wedged at "), "{}", done.err);
    assert_eq!(json(&desk.path("run/run.json"))["status"], "failed");
}

#[test]
fn ctrl_c_ends_a_run_with_status_130_and_keeps_its_rounds() {
    let desk = Desk::with(&TINY.replace("rounds: 3", "rounds: 1000000"));
    let child = desk
        .command(&["run", "tiny.ron", "--out", "run", "--quiet"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let rounds = || fs::read_to_string(desk.path("run/rounds.csv")).unwrap_or_default();
    let began = Instant::now();
    while rounds().lines().count() < 4 && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill")
        .args(["-INT", &id])
        .status()
        .unwrap()
        .success());
    let done = Done::from(child.wait_with_output().unwrap());
    assert_eq!(done.status, 130, "{}", done.err);
    let record = json(&desk.path("run/run.json"));
    assert_eq!(record["status"], "interrupted");
    let kept = rounds().lines().count() as u64 - 1;
    assert!(kept >= 3);
    assert_eq!(record["totals"]["rounds"], kept);
    assert!(desk.path("run/report.html").exists());
    let done = desk.shoal(&["verify", "run"]);
    assert_eq!(done.status, 0, "{}{}", done.out, done.err);
    assert!(
        done.out.starts_with("identical up to where"),
        "{}",
        done.out
    );
}

#[test]
fn verify_says_identical_on_other_workers() {
    let desk = Desk::ran();
    let hash = json(&desk.path("run/run.json"))["trace_hash"]
        .as_str()
        .unwrap()
        .to_string();
    for workers in ["1", "3"] {
        let done = desk.shoal(&["verify", "run", "--workers", workers]);
        assert_eq!(done.status, 0, "{}{}", done.out, done.err);
        assert!(done.out.starts_with("identical: "), "{}", done.out);
        assert!(done.out.contains(&hash), "{}", done.out);
    }
}

#[test]
fn verify_names_the_event_in_which_a_planted_difference_is() {
    let desk = Desk::ran();
    let trace = desk.path("run/trace.bin");
    let mut bytes = fs::read(&trace).unwrap();
    // A header of 16 bytes, 33 bytes an event, the digest from the 16th byte of an event.
    let events = (bytes.len() - 16) / 33;
    let planted = events / 2;
    bytes[16 + planted * 33 + 16] ^= 1;
    fs::write(&trace, &bytes).unwrap();
    let done = desk.shoal(&["verify", "run"]);
    assert_eq!(done.status, 1, "{}", done.err);
    let says = format!("diverged at event {planted} (counted from 0)");
    assert!(done.out.starts_with(&says), "{}", done.out);
}

#[test]
fn verify_sees_events_that_are_missing_and_events_too_many() {
    let desk = Desk::ran();
    let trace = desk.path("run/trace.bin");
    let bytes = fs::read(&trace).unwrap();
    let events = (bytes.len() - 16) / 33;
    let more: Vec<u8> = bytes
        .iter()
        .chain(&bytes[bytes.len() - 33..])
        .copied()
        .collect();
    for (planted, index) in [(&bytes[..bytes.len() - 33], events - 1), (&more, events)] {
        fs::write(&trace, planted).unwrap();
        let done = desk.shoal(&["verify", "run"]);
        assert_eq!(done.status, 1, "{}", done.err);
        let says = format!("diverged at event {index} (counted from 0)");
        assert!(done.out.starts_with(&says), "{}", done.out);
        assert!(done.out.contains("no further event"), "{}", done.out);
    }
}

#[test]
fn verify_sees_another_hash_where_no_event_differs() {
    let desk = Desk::ran();
    let file = desk.path("run/run.json");
    let record = fs::read_to_string(&file).unwrap();
    let hash = json(&file)["trace_hash"].as_str().unwrap().to_string();
    let other: String = hash.chars().rev().collect();
    assert_ne!(hash, other);
    fs::write(&file, record.replace(&hash, &other)).unwrap();
    let done = desk.shoal(&["verify", "run"]);
    assert_eq!(done.status, 1, "{}", done.err);
    let says = format!("the trace hash was {other} and is {hash}");
    assert!(done.out.contains(&says), "{}", done.out);
}

#[test]
fn verify_sees_another_seed() {
    let desk = Desk::ran();
    let file = desk.path("run/scenario.ron");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("seed: 3", "seed: 4")).unwrap();
    let done = desk.shoal(&["verify", "run"]);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.out.starts_with("diverged at event "), "{}", done.out);
}

#[test]
fn list_names_what_a_scenario_can_say() {
    let desk = Desk::new();
    let all = desk.shoal(&["list"]);
    assert_eq!(all.status, 0);
    for (kind, name) in [
        ("methods", "Scaffold"),
        ("layers", "TopK"),
        ("models", "lenet5"),
        ("data", "Digits"),
        ("links", "satellite-leo"),
        ("devices", "raspberry-pi-4"),
        ("availability", "SLN"),
    ] {
        let done = desk.shoal(&["list", kind]);
        assert_eq!((done.status, done.err.as_str()), (0, ""));
        let mut first = done.out.lines().map(|line| line.split(' ').next().unwrap());
        assert!(first.any(|word| word == name), "no {name} in\n{}", done.out);
        assert!(
            all.out.contains(&done.out),
            "{kind} is not in the whole list"
        );
    }
}

#[test]
fn devices_lists_the_cpu_with_rates() {
    let done = Desk::new().shoal(&["devices", "--workers", "1"]);
    assert_eq!(done.status, 0, "{}", done.err);
    let cpu = done.out.lines().find(|line| line.starts_with("cpu "));
    let cpu = cpu.expect("a line for the CPU");
    assert_eq!(cpu.matches("FLOP/s").count(), 3, "{cpu}");
    assert!(cpu.ends_with(" GB/s"), "{cpu}");
    assert!(!cpu.contains('?'), "{cpu}");
}

#[test]
fn help_teaches_the_exit_statuses() {
    let done = Desk::new().shoal(&["--help"]);
    assert_eq!(done.status, 0);
    for line in [
        "0  done",
        "1  the run failed",
        "2  the input is wrong",
        "3  the run came to its end, and no round was completed",
        "130  interrupted",
    ] {
        assert!(done.out.contains(line), "no {line} in\n{}", done.out);
    }
}

#[test]
fn a_scenario_from_a_pipe_is_kept_as_it_was_read_and_can_be_verified() {
    let text = TINY.trim_end().strip_suffix(')').unwrap().trim_end();
    let text = format!("{},\n checkpoint: (every: 1))", text.trim_end_matches(','));
    let desk = Desk::with(&text);
    let script = "cat tiny.ron | \"$SHOAL\" run /dev/stdin --out run --quiet";
    let piped = |script: &str| -> Done {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(desk.0.path());
        command.env("SHOAL", env!("CARGO_BIN_EXE_shoal"));
        command.output().unwrap().into()
    };
    let done = piped(script);
    assert_eq!((done.status, done.err.as_str()), (0, ""));
    let kept = fs::read_to_string(desk.path("run/scenario.ron")).unwrap();
    assert_eq!(kept, text);
    let verified = desk.shoal(&["verify", "run"]);
    assert_eq!(verified.status, 0, "{}{}", verified.out, verified.err);
    assert!(verified.out.contains("identical"), "{}", verified.out);
    // The run from the file is the same run.
    let done = desk.shoal(&["run", "tiny.ron", "--out", "file", "--quiet"]);
    assert_eq!(done.status, 0, "{}", done.err);
    let hash = |run: &str| json(&desk.path(run).join("run.json"))["trace_hash"].clone();
    assert_eq!(hash("run"), hash("file"));
    // Every other command reads it once, too.
    let checked = piped("cat tiny.ron | \"$SHOAL\" check /dev/stdin");
    assert_eq!(checked.status, 0, "{}", checked.err);
    let swept = piped("cat tiny.ron | \"$SHOAL\" sweep /dev/stdin --seeds 1..2 --out sweep");
    assert_eq!(swept.status, 0, "{}{}", swept.out, swept.err);
    let scaled = piped(
        "cat tiny.ron | \"$SHOAL\" scale /dev/stdin --population 10,20 --rounds 1 --out scale",
    );
    assert_eq!(scaled.status, 0, "{}{}", scaled.out, scaled.err);
    for cell in fs::read_dir(desk.path("sweep/cells")).unwrap() {
        let cell = cell.unwrap().path();
        if cell.is_dir() {
            assert_eq!(fs::read_to_string(cell.join("scenario.ron")).unwrap(), text);
        }
    }
}
