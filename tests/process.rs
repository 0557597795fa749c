//! What must not break around a run: output that nobody takes, signals, folders that were left half made,
//! files that are not what they seem.

use super::tiny::TINY;
use serde_json::Value;
use shoal::run::in_use;
use shoal::sim::rng::{below, stream, Purpose, Stream};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder with the scenario `tiny.ron` in it.
struct Desk(TempDir);

impl Desk {
    fn with(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.ron"), scenario).unwrap();
        Self(folder)
    }

    /// A finished run of the tiny scenario in `run`.
    fn ran() -> Self {
        let desk = Self::with(TINY);
        let done = desk.shoal("run tiny.ron --out run --quiet");
        assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command
            .args(arguments.split(' '))
            .current_dir(self.0.path());
        command
    }

    fn shoal(&self, arguments: &str) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("run/run.json")).unwrap()).unwrap()
    }
}

struct Done {
    status: Option<i32>,
    signal: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            signal: output.status.signal(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A pipe whose reader has left.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A disk without room.
fn full() -> Stdio {
    File::options()
        .write(true)
        .open("/dev/full")
        .unwrap()
        .into()
}

/// A number of a signal to one process that was started here and not yet waited for.
fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill")
        .args(["-s", name, &id])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Waits until something is so.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn rows(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

#[test]
fn output_that_nobody_takes_ends_no_run_and_no_command_panics() {
    let desk = Desk::ran();
    let soon = TINY.replace("cohort: 4)", "cohort: 4, deadline: \"20 s\")");
    fs::write(desk.path("soon.ron"), soon).unwrap();
    let sweep = "sweep tiny.ron --seeds 1..2 --workers 1 --out";
    let scale = "scale tiny.ron --population 8 --rounds 1 --out";
    // What is asked for, where its words go, and how it ends.
    for (number, (arguments, kind, expected)) in [
        ("check tiny.ron", "unread", 141),
        ("check tiny.ron", "full", 1),
        ("list methods", "unread", 141),
        ("--help", "full", 1),
        ("verify run", "full", 0),
        ("swarm soon.ron --runs 1", "unread", 0),
        ("run tiny.ron --out", "full", 0),
        (sweep, "unread", 0),
        (scale, "full", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let to = match kind {
            "unread" => unread(),
            _ => full(),
        };
        let arguments = match arguments.ends_with("--out") {
            true => format!("{arguments} {kind}-{number}"),
            false => arguments.to_string(),
        };
        // Only standard output, so that what is said of it can be read.
        let mut command = desk.command(&arguments);
        let command = command.stdout(to).stderr(Stdio::piped());
        let done: Done = command.output().unwrap().into();
        let told = format!("{arguments}, {kind}: {}", done.err);
        assert_eq!(done.status, Some(expected), "{told}");
        assert!(!done.err.contains("panicked"), "{told}");
        let says = "standard output: cannot write: No space left on device";
        assert_eq!(done.err.contains(says), kind == "full", "{told}");
    }
    // Both of them, and standard error alone.
    for (number, (out, err)) in [
        (unread(), unread()),
        (full(), full()),
        (Stdio::null(), unread()),
    ]
    .into_iter()
    .enumerate()
    {
        let run = format!("run tiny.ron --out both-{number}");
        let status = desk.command(&run).stdout(out).stderr(err).status().unwrap();
        assert_eq!(status.code(), Some(0), "{run}");
        let record = fs::read_to_string(desk.path(&format!("both-{number}/run.json"))).unwrap();
        assert!(record.contains("\"status\": \"completed\""), "{record}");
    }
}

/// Jobs that keep two workers busy in libtorch, one after the other, for hours.
const LONG: &str = "Scenario(
    seed: 3,
    data: Digits,
    model: [Conv(out: 4, kernel: 3), Relu, Flatten, Dense(10)],
    training: (steps: 30, batch: 8, optimizer: Sgd(lr: 0.05, momentum: 0.9)),
    population: [(name: \"all\", count: 8, device: \"laptop\", link: \"lan\")],
    schedule: (rounds: 100000, cohort: 4),
    checkpoint: (every: 1),
)";

#[test]
fn two_signals_at_any_moment_end_a_run_with_130_and_leave_its_folder_whole() {
    let mut rng: Stream = stream(5, 0, Purpose::Node, 0);
    let names = ["INT", "TERM", "HUP"];
    let (mut after_begin, mut seen) = (0, Vec::new());
    for trial in 0..8 {
        let desk = Desk::with(LONG);
        let run = "run tiny.ron --out run --quiet --workers 2";
        let child = desk.command(run).stderr(Stdio::piped()).spawn().unwrap();
        let record = desk.path("run/run.json");
        let begun = trial % 4 != 0;
        if begun {
            until("a record", || record.exists());
        }
        std::thread::sleep(Duration::from_millis(below(&mut rng, 400)));
        let mut pick = || names[below(&mut rng, 3) as usize];
        let (first, second) = (pick(), pick());
        signal(&child, first);
        std::thread::sleep(Duration::from_micros(below(&mut rng, 20_000)));
        signal(&child, second);
        let done: Done = child.wait_with_output().unwrap().into();
        let told = format!("trial {trial}, {first} and {second}: {}", done.err);
        if done.status.is_none() {
            // Before it listens the system ends it, and it has nothing to keep.
            assert!(
                [Some(1), Some(2), Some(15)].contains(&done.signal),
                "{:?}, {told}",
                done.signal
            );
            assert!(!begun && !record.exists(), "{told}");
            continue;
        }
        assert_eq!(done.status, Some(130), "{told}");
        assert!(!done.err.contains("panicked"), "{told}");
        if record.exists() {
            after_begin += 1;
            assert_eq!(desk.record()["status"], "interrupted", "{told}");
            seen.push(desk);
        }
    }
    assert!(after_begin >= 6, "{after_begin}");
    // Whatever was left, it goes on.
    for desk in seen.iter().take(2) {
        let before = rows(&desk.path("run/rounds.csv"));
        let child = desk.command("resume run --quiet").spawn().unwrap();
        until("two more rounds", || {
            rows(&desk.path("run/rounds.csv")) > before.max(1) + 1
        });
        signal(&child, "TERM");
        let done: Done = child.wait_with_output().unwrap().into();
        assert_eq!(done.status, Some(130));
        assert_eq!(desk.record()["status"], "interrupted");
    }
}

#[test]
fn one_signal_stops_a_run_amid_a_training_that_would_not_end() {
    for model in [
        "[Flatten, Dense(10)]",
        "[Conv(out: 4, kernel: 3), Relu, Flatten, Dense(10)]",
    ] {
        let endless = TINY
            .replace("[Flatten, Dense(10)]", model)
            .replace("epochs: 1", "steps: 4000000000");
        let desk = Desk::with(&endless);
        let run = "run tiny.ron --out run --quiet";
        let child = desk.command(run).stderr(Stdio::piped()).spawn().unwrap();
        until("a record", || desk.path("run/run.json").exists());
        std::thread::sleep(Duration::from_millis(300));
        signal(&child, "TERM");
        let told = Instant::now();
        let done: Done = child.wait_with_output().unwrap().into();
        assert_eq!(done.status, Some(130), "{}", done.err);
        assert!(told.elapsed() < PATIENCE / 4, "{:?}", told.elapsed());
        assert_eq!(desk.record()["status"], "interrupted");
        assert!(
            desk.path("run/report.html").exists(),
            "what was done is kept"
        );
    }
}

#[test]
fn a_terminal_that_goes_away_does_not_end_a_run_under_nohup() {
    let desk = Desk::with(&TINY.replace("rounds: 3", "rounds: 100000"));
    let mut command = Command::new("sh");
    let deaf = "trap '' HUP; exec \"$0\" run tiny.ron --out run --quiet";
    command
        .args(["-c", deaf, env!("CARGO_BIN_EXE_shoal")])
        .current_dir(desk.0.path());
    let mut child = command.spawn().unwrap();
    let table = desk.path("run/rounds.csv");
    until("a round", || rows(&table) > 1);
    signal(&child, "HUP");
    let before = rows(&table);
    until("rounds after it", || rows(&table) > before + 3);
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_sweep_that_is_killed_takes_its_cells_with_it() {
    let desk = Desk::with(&TINY.replace("epochs: 1", "steps: 4000000000"));
    let sweep = "sweep tiny.ron --seeds 1..2 --jobs 2 --workers 1 --out s";
    let mut child = desk.command(sweep).stderr(Stdio::null()).spawn().unwrap();
    let cells = [desk.path("s/cells/1-seed-1"), desk.path("s/cells/2-seed-2")];
    until("two cells at work", || {
        cells.iter().all(|cell| cell.join("run.json").exists())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    until("their end", || !cells.iter().any(|cell| in_use(cell)));
    for cell in &cells {
        let text = fs::read_to_string(cell.join("run.json")).unwrap();
        assert!(text.contains("\"status\": \"interrupted\""), "{text}");
    }
}

#[test]
fn two_sweeps_of_one_plan_at_once_run_every_cell_once() {
    let desk = Desk::with(&TINY.replace("rounds: 3", "rounds: 6"));
    let sweep = "sweep tiny.ron --seeds 1..6 --jobs 2 --workers 1 --out s";
    let start = || {
        let mut command = desk.command(sweep);
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let both = [start(), start()].map(|child| Done::from(child.wait_with_output().unwrap()));
    let mut run = 0;
    for done in &both {
        assert_eq!(done.status, Some(0), "{}", done.err);
        let lines = done.err.lines().filter(|line| line.starts_with('['));
        run += lines
            .filter(|line| line.contains(" % after ") && !line.contains("done by another"))
            .count();
    }
    let told = format!("{}\n{}", both[0].err, both[1].err);
    assert_eq!(run, 6, "{told}");
    let table = fs::read_to_string(desk.path("s/sweep.csv")).unwrap();
    let again = desk.shoal(sweep);
    assert!(
        again.out.contains("6 of 6 cells done"),
        "{}\n{table}{told}",
        again.out
    );
    let left = fs::read_dir(desk.path("s/cells")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "nothing but the runs: {left:?}");
}

#[test]
fn a_folder_of_a_run_that_was_killed_before_it_began_is_used_again() {
    let desk = Desk::with(TINY);
    fs::create_dir(desk.path("run")).unwrap();
    for (file, text) in [
        (".lock", "process 1 of long ago\n"),
        ("scenario.ron", TINY),
        ("rounds.csv", "rou"),
    ] {
        fs::write(desk.path("run").join(file), text).unwrap();
    }
    let done = desk.shoal("resume run");
    assert_eq!(done.status, Some(2));
    assert!(done.err.contains("stopped before it began"), "{}", done.err);
    let done = desk.shoal("run tiny.ron --out run --quiet");
    assert_eq!(done.status, Some(0), "{}", done.err);
    assert!(done.err.contains("is cleared away"), "{}", done.err);
    assert_eq!(desk.record()["status"], "completed");
    // A folder of anything else is not.
    let done = desk.shoal("run tiny.ron --out run --quiet");
    assert_eq!(done.status, Some(2));
    assert!(done.err.contains("is not empty"), "{}", done.err);
}

#[test]
fn what_a_kill_at_the_end_leaves_goes_with_the_next_command() {
    let desk = Desk::ran();
    for command in ["verify run", "resume run"] {
        fs::create_dir(desk.path("run/checkpoints")).unwrap();
        fs::write(desk.path("run/checkpoints/round-00000002.ckpt"), "left").unwrap();
        fs::write(desk.path("run/.reserve"), "left").unwrap();
        let done = desk.shoal(command);
        assert!(
            !desk.path("run/checkpoints").exists(),
            "{command}: {}",
            done.err
        );
        assert!(!desk.path("run/.reserve").exists(), "{command}");
    }
    assert_eq!(desk.shoal("verify run").status, Some(0));
}

#[test]
fn a_full_disk_leaves_the_reason_and_the_name_of_the_file() {
    // The trace is the first file that is too large.
    let desk = Desk::with(&TINY.replace("rounds: 3", "rounds: 400"));
    let cramped = "ulimit -f 300; trap '' XFSZ; exec \"$0\" run tiny.ron --out run --quiet";
    let mut command = Command::new("sh");
    command
        .args(["-c", cramped, env!("CARGO_BIN_EXE_shoal")])
        .current_dir(desk.0.path());
    let done: Done = command.output().unwrap().into();
    assert_eq!(done.status, Some(1), "{}", done.err);
    let record = desk.record();
    assert_eq!(record["status"], "failed");
    let error = record["error"].as_str().unwrap();
    let named = [
        "run/trace.bin: cannot write: ",
        "run/clients.csv: cannot write: ",
    ];
    assert!(named.iter().any(|words| error.contains(words)), "{error}");
    assert!(error.contains("File too large"), "{error}");
}

#[test]
fn verify_says_which_file_is_not_what_the_run_wrote() {
    let desk = Desk::ran();
    let whole = |file: &str| fs::read(desk.path("run").join(file)).unwrap();
    for file in [
        "rounds.csv",
        "clients.csv",
        "costs.csv",
        "report.html",
        "scenario.ron",
        "run.json",
    ] {
        let before = whole(file);
        let text = String::from_utf8(before.clone()).unwrap();
        let changed = match file {
            "run.json" => text.replacen("\"finished\": \"2", "\"finished\": \"3", 1),
            "scenario.ron" => format!("{text} // a remark"),
            _ => text.replacen('1', "2", 1),
        };
        assert_ne!(text, changed, "{file}");
        fs::write(desk.path("run").join(file), changed).unwrap();
        let done = desk.shoal("verify run");
        assert_eq!(done.status, Some(1), "{file}: {}", done.err);
        assert!(done.out.starts_with("identical: "), "{file}: {}", done.out);
        let says = format!("not as the run left them:\n  {file}: ");
        assert!(done.out.contains(&says), "{file}: {}", done.out);
        fs::write(desk.path("run").join(file), before).unwrap();
    }
    fs::remove_file(desk.path("run/costs.csv")).unwrap();
    let trace = whole("trace.bin");
    fs::write(
        desk.path("run/trace.bin"),
        [trace.as_slice(), b"more"].concat(),
    )
    .unwrap();
    let done = desk.shoal("verify run");
    assert_eq!(done.status, Some(1));
    for says in [
        "trace.bin: 4 bytes too many at its end",
        "costs.csv: it is missing",
    ] {
        assert!(done.out.contains(says), "{}", done.out);
    }
}

#[test]
fn verify_says_that_the_environment_is_another_before_it_compares() {
    let desk = Desk::with(TINY);
    let mut command = desk.command("run tiny.ron --out run --quiet");
    let done: Done = command
        .env("MKL_CBWR", "COMPATIBLE")
        .output()
        .unwrap()
        .into();
    assert_eq!(done.status, Some(0), "{}", done.err);
    let host = &desk.record()["host"];
    assert_eq!(host["variables"]["MKL_CBWR"], "COMPATIBLE");
    assert!(host["libtorch_build"]
        .as_str()
        .is_some_and(|build| build.len() >= 16));
    assert!(host["features"]
        .as_array()
        .is_some_and(|all| !all.is_empty()));
    let mut command = desk.command("verify run");
    let done: Done = command.env_remove("MKL_CBWR").output().unwrap().into();
    let says = "numbers may be rounded differently, so that it may differ from here:\n  \
                MKL_CBWR: \"COMPATIBLE\" then, not set now\n";
    assert!(
        done.out.starts_with("the run was made where "),
        "{}",
        done.out
    );
    assert!(done.out.contains(says), "{}", done.out);
    // In the same one nothing is said of it.
    let mut command = desk.command("verify run");
    let done: Done = command
        .env("MKL_CBWR", "COMPATIBLE")
        .output()
        .unwrap()
        .into();
    assert!(done.out.starts_with("identical: "), "{}", done.out);
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_a_run_is_refused_and_not_waited_for() {
    let desk = Desk::ran();
    for (file, command) in [
        ("run.json", "verify run"),
        ("run.json", "resume run"),
        ("scenario.ron", "verify run"),
        ("trace.bin", "verify run"),
    ] {
        let (path, aside) = (desk.path("run").join(file), desk.path("aside"));
        fs::rename(&path, &aside).unwrap();
        assert!(Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success());
        let done = desk.shoal(command);
        assert_eq!(done.status, Some(2), "{command}, {file}: {}", done.err);
        let says = format!("{file}: ");
        assert!(
            done.err.contains(&says) && done.err.contains("a named pipe"),
            "{}",
            done.err
        );
        fs::rename(&aside, &path).unwrap();
    }
}
