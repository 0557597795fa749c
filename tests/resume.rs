//! Runs that are killed, and gone on with: nothing lost, nothing twice.

use serde_json::Value;
use shoal::sim::rng::{below, stream, Purpose, Stream};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Many short rounds in which late reports are under way; every kind of file is written.
const SCENARIO: &str = "Scenario(
    seed: 3,
    data: Digits,
    partition: (by: Dirichlet(alpha: 1.0), min_per_client: 8, holdout: 0.2),
    model: [Flatten, Dense(12), Relu, Dense(10)],
    training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
    population: [
        (name: \"quick\", count: 20, device: \"laptop\", participation: 0.8,
         link: (preset: \"lan\", up: \"300 kbit/s\", loss: Independent(0.1)), size: Drawn([1, 0.5])),
        (name: \"slow\", count: 10, device: (preset: \"laptop\", speed: \"700 kFLOP/s\"),
         link: (preset: \"wifi\", up: \"20 kbit/s\")),
    ],
    method: HeteroFL(),
    schedule: (rounds: 30, cohort: 8, over_selection: 1.5, deadline: \"3 s\"),
    evaluation: (every: 2, per_client: true),
    record: (events: Events(kinds: [\"report\", \"timer\"]), model: Best),
    checkpoint: (every: 3),
)";

/// A folder with the scenario `tiny.ron` in it.
struct Desk(TempDir);

/// What a command did.
pub(super) struct Done {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Desk {
    fn with(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.ron"), scenario).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn shoal(&self, arguments: &str) -> Done {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts a command and kills it after a while, which it may not live to see; whether it did.
    fn kill(&self, arguments: &str, after: Duration) -> bool {
        let mut child = self.command(arguments).spawn().unwrap();
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap().code().is_some()
    }

    /// Runs the scenario where no file may be larger than `blocks` of 512 bytes.
    fn cramped(&self, blocks: u32) -> Done {
        let blocked =
            format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$0\" run tiny.ron --out run --quiet");
        let mut command = Command::new("sh");
        command
            .args(["-c", &blocked, env!("CARGO_BIN_EXE_shoal")])
            .current_dir(self.0.path());
        command.output().unwrap().into()
    }

    /// A run that was ended by a table for which there was no room.
    fn stopped() -> Self {
        let desk = Self::with(SCENARIO);
        let done = desk.cramped(120);
        assert_eq!(done.status, Some(1), "{}", done.err);
        assert!(
            done.err.contains("cannot write: File too large"),
            "{}",
            done.err
        );
        desk
    }

    fn record(&self) -> Value {
        json(&self.path("run/run.json"))
    }
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// All files of a run folder but its record and its report, which tell host time.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = |folder: PathBuf, prefix: &'static str| {
        fs::read_dir(folder).unwrap().map(move |entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (format!("{prefix}{name}"), path)
        })
    };
    let models = folder.join("models");
    let models = models.exists().then(|| names(models, "models/"));
    let entries = names(folder.to_path_buf(), "").chain(models.into_iter().flatten());
    let entries = entries.filter(|(name, _)| name != "models");
    entries
        .filter(|(name, _)| name != "run.json" && name != "report.html")
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

/// What two records of equal runs have in common.
fn told(record: &Value) -> Value {
    let mut totals = record["totals"].clone();
    totals.as_object_mut().unwrap().remove("real_s").unwrap();
    let same = ["status", "error", "trace_hash", "messages", "identity"];
    let same: BTreeMap<&str, &Value> = same.map(|field| (field, &record[field])).into();
    serde_json::json!([totals, same])
}

/// Waits until there is such a file.
fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "no {}",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a run that was never stopped left behind, and how long it took.
struct Whole {
    files: BTreeMap<String, Vec<u8>>,
    told: Value,
    took: Duration,
}

static WHOLE: LazyLock<Whole> = LazyLock::new(|| {
    let desk = Desk::with(SCENARIO);
    let began = Instant::now();
    let done = desk.shoal("run tiny.ron --out run --quiet");
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
    Whole {
        took: began.elapsed(),
        files: files(&desk.path("run")),
        told: told(&desk.record()),
    }
});

/// Holds a run against the one that was never stopped.
#[track_caller]
fn is_whole(desk: &Desk) {
    let files = files(&desk.path("run"));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&files), names(&WHOLE.files));
    for (name, bytes) in &files {
        assert!(*bytes == WHOLE.files[name], "{name} differs");
    }
    assert_eq!(told(&desk.record()), WHOLE.told);
}

/// How often runs are killed, and by how many threads side by side.
const KILLS: u64 = 20;
const THREADS: u64 = 4;

/// Goes on with a run until its end, and holds it against the whole one.
fn ends(desk: &Desk) {
    if desk.record()["status"] != "completed" {
        let done = desk.shoal("resume run --quiet");
        assert_eq!(done.status, Some(0), "{}", done.err);
    }
    is_whole(desk);
    assert!(!desk.path("run/checkpoints").exists());
}

/// Kills runs at random moments, each again and again until it is through.
fn campaign(number: u64) {
    let mut rng: Stream = stream(11, number, Purpose::Node, 0);
    let mut desk = Desk::with(SCENARIO);
    let mut killed = 0;
    while killed < KILLS / THREADS {
        let record = desk.path("run/run.json");
        let workers = 1 + below(&mut rng, 3);
        let command = match record.exists() {
            true => format!("resume run --quiet --workers {workers}"),
            false => format!("run tiny.ron --out run --quiet --workers {workers}"),
        };
        let share = 0.1 + 0.01 * below(&mut rng, 70) as f64;
        let ended = desk.kill(&command, WHOLE.took.mul_f64(share));
        killed += u64::from(!ended);
        if record.exists() && desk.record()["status"] == "completed" {
            ends(&desk);
            desk = Desk::with(SCENARIO);
        } else {
            assert!(!ended, "{command} ended, and the run is not complete");
        }
    }
    if desk.path("run/run.json").exists() {
        ends(&desk);
    }
}

#[test]
fn a_run_that_is_killed_at_any_moment_and_gone_on_with_is_the_run_that_was_not() {
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            scope.spawn(move || campaign(number));
        }
    });
}

#[test]
fn a_full_disk_ends_a_run_with_an_error_and_it_goes_on_once_there_is_room() {
    let desk = Desk::stopped();
    let record = desk.record();
    assert_eq!(record["status"], "failed");
    let error = record["error"].as_str().unwrap();
    assert!(error.contains("run/"), "{error}");
    assert!(fs::read_dir(desk.path("run/checkpoints")).unwrap().count() > 0);
    let done = desk.shoal("resume run");
    assert_eq!(done.status, Some(0), "{}", done.err);
    let record = desk.record();
    assert_eq!(record["resumed"], 1);
    assert!(done.out.contains(record["trace_hash"].as_str().unwrap()));
    is_whole(&desk);
    let done = desk.shoal("verify run");
    assert!(
        done.out.starts_with("identical: "),
        "{}{}",
        done.out,
        done.err
    );
}

#[test]
fn a_checkpoint_for_which_there_is_no_room_is_an_error_and_the_run_can_begin_again() {
    // The tables are smaller than a checkpoint.
    let record = "record: (clients: false, trace: false, histograms: false, report: false),";
    let events = "record: (events: Events(kinds: [\"report\", \"timer\"]), model: Best),";
    let desk = Desk::with(&SCENARIO.replace(events, record));
    let done = desk.cramped(20);
    assert_eq!(done.status, Some(1), "{}", done.err);
    let says = "run/checkpoints/round-00000003.ckpt: cannot write the checkpoint: File too large";
    assert!(done.err.contains(says), "{}", done.err);
    let left = fs::read_dir(desk.path("run/checkpoints")).unwrap().count();
    assert_eq!(left, 0, "nothing is left of it");
    let done = desk.shoal("resume run --quiet");
    assert_eq!((done.status, done.err.as_str()), (Some(0), ""));
    // The same events, whatever is written down of them.
    assert_eq!(desk.record()["trace_hash"], WHOLE.told[1]["trace_hash"]);
}

#[test]
fn the_newest_checkpoint_that_is_whole_is_used() {
    let desk = Desk::stopped();
    let mut checkpoints: Vec<PathBuf> = fs::read_dir(desk.path("run/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    checkpoints.sort();
    assert_eq!(checkpoints.len(), 2);
    let bytes = fs::read(&checkpoints[1]).unwrap();
    fs::write(&checkpoints[1], &bytes[..bytes.len() / 2]).unwrap();
    let done = desk.shoal("resume run --quiet");
    assert_eq!(done.status, Some(0), "{}", done.err);
    let name = checkpoints[1].file_name().unwrap().to_string_lossy();
    assert!(
        done.err.contains(&*name) && done.err.contains("damaged"),
        "{}",
        done.err
    );
    is_whole(&desk);
}

#[test]
fn what_cannot_be_gone_on_with_is_an_error_that_says_why() {
    let desk = Desk::with(&SCENARIO.replace("rounds: 30", "rounds: 2"));
    let done = desk.shoal("run tiny.ron --out run --quiet");
    assert_eq!(done.status, Some(0), "{}", done.err);
    let refused = |says: &str| {
        let done = desk.shoal("resume run");
        assert_eq!(done.status, Some(2), "{}", done.err);
        assert!(done.err.contains(says), "{says:?} is not in {}", done.err);
    };
    refused("the run has come to its end");
    let record = desk.path("run/run.json");
    let text = fs::read_to_string(&record).unwrap();
    let running = text.replace("\"status\": \"completed\"", "\"status\": \"running\"");
    fs::write(
        &record,
        running.replace("\"version\": \"", "\"version\": \"9."),
    )
    .unwrap();
    refused("the run is of shoal 9.");
    fs::write(
        &record,
        running.replace("\"device\": \"cpu\"", "\"device\": \"cuda:0\""),
    )
    .unwrap();
    refused("the run is on cuda:0, not on cpu; give --device cuda:0");
    fs::write(&record, &running).unwrap();
    let copy = desk.path("run/scenario.ron");
    let scenario = fs::read_to_string(&copy).unwrap();
    fs::write(&copy, scenario.replace("lr: 0.1", "lr: 0.2")).unwrap();
    refused("its scenario or its data have been changed since it began");
    fs::write(&copy, scenario.replace("checkpoint: (every: 3),", "")).unwrap();
    refused("its scenario has no checkpoint: (every: N)");
    fs::write(&copy, scenario.replace("rounds: 2", "round: 2")).unwrap();
    refused("schedule.round");
    fs::write(&record, "{").unwrap();
    refused("run.json:1");
    let done = desk.shoal("resume nowhere");
    assert_eq!(done.status, Some(2));
    let says =
        "nowhere/run.json: cannot read: No such file or directory (os error 2); check the path; \
                expected the folder of a run";
    assert!(done.err.contains(says), "{}", done.err);
}

#[test]
fn a_run_that_is_still_running_is_left_alone() {
    let desk = Desk::with(&SCENARIO.replace("rounds: 30", "rounds: 100000"));
    let mut child = desk
        .command("run tiny.ron --out run --quiet")
        .spawn()
        .unwrap();
    let record = desk.path("run/run.json");
    wait_for(&record);
    let done = desk.shoal("resume run");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(done.status, Some(2), "{}", done.err);
    assert!(
        done.err.contains("another process is running it"),
        "{}",
        done.err
    );
}

#[test]
fn a_run_that_was_interrupted_goes_on() {
    let desk = Desk::with(SCENARIO);
    let child = desk
        .command("run tiny.ron --out run --quiet")
        .spawn()
        .unwrap();
    wait_for(&desk.path("run/checkpoints"));
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().unwrap();
    assert!(sent.success());
    let done = Done::from(child.wait_with_output().unwrap());
    if done.status == Some(130) {
        assert_eq!(desk.record()["status"], "interrupted");
        let done = desk.shoal("resume run --quiet");
        assert_eq!(done.status, Some(0), "{}", done.err);
    }
    is_whole(&desk);
}
