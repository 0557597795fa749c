//! Runs whose device workers are on several ranks, as `mpirun` starts them: the same run as alone, and
//! one that loses a rank can be gone on with.

use super::resume::Done;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Sub-models, and evaluations of both widths.
const SCENARIO: &str = "Scenario(
    seed: 6, data: Digits,
    partition: (by: Dirichlet(alpha: 1.0), min_per_client: 8, holdout: 0.2),
    model: [Flatten, Dense(12), Relu, Dense(10)],
    training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
    population: [(count: 20, size: Drawn([1, 0.5]))],
    method: HeteroFL(),
    schedule: (rounds: 8, cohort: 8),
    evaluation: (every: 2, per_client: true, by_size: true),
)";

/// A cohort that is gathered into units of several clients, which keep something.
const STACKED: &str = "Scenario(
    seed: 2, data: Digits, model: [Flatten, Dense(10)],
    training: (epochs: 1, batch: 8, optimizer: Sgd(lr: 0.1)),
    population: [(count: 60)],
    method: Scaffold(),
    schedule: (rounds: 3, cohort: 60),
)";

struct Desk(TempDir);

impl Desk {
    fn with(scenario: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("tiny.ron"), scenario).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command on so many ranks; on none, without a launcher.
    fn command(&self, ranks: usize, flags: &str, arguments: &str) -> Command {
        let shoal = env!("CARGO_BIN_EXE_shoal");
        let mut command = match ranks {
            0 => Command::new(shoal),
            _ => {
                let mut command = Command::new("mpirun");
                command.args(["-n", &ranks.to_string(), "--oversubscribe"]);
                command.args(["--allow-run-as-root", "--bind-to", "none"]);
                command.args(flags.split_whitespace()).arg(shoal);
                command
            }
        };
        command
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn on(&self, ranks: usize, arguments: &str) -> Done {
        self.command(ranks, "", arguments)
            .spawn()
            .map(wait)
            .unwrap_or_else(|error| panic!("mpirun (openmpi-bin) is needed: {error}"))
    }

    fn run(&self, ranks: usize, workers: usize) -> Value {
        let folder = format!("run-{ranks}-{workers}");
        let done = self.on(
            ranks,
            &format!("run tiny.ron --out {folder} --workers {workers} --quiet"),
        );
        assert_eq!(done.status, Some(0), "{}", done.err);
        assert_eq!(done.out, "");
        self.record(&folder)
    }

    fn record(&self, folder: &str) -> Value {
        json(&self.path(folder).join("run.json"))
    }
}

fn wait(child: Child) -> Done {
    child.wait_with_output().unwrap().into()
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn the_trace_hash_is_that_of_one_process_on_any_number_of_ranks_and_workers() {
    let all = [(0, 2), (0, 4), (1, 1), (3, 1), (3, 2)];
    for (scenario, crews) in [(SCENARIO, &all[..]), (STACKED, &all[4..])] {
        let desk = Desk::with(scenario);
        let alone = desk.run(0, 1);
        assert!(alone.get("ranks").is_none());
        for &(ranks, workers) in crews {
            let many = desk.run(ranks, workers);
            let hash = &many["trace_hash"];
            assert_eq!(
                *hash, alone["trace_hash"],
                "{ranks} ranks, {workers} workers"
            );
            if ranks == 0 {
                continue;
            }
            let told = many["ranks"].as_array().unwrap();
            assert_eq!(told.len(), ranks);
            for rank in told {
                assert_eq!(rank["workers"], workers);
                assert_eq!(rank["host"], told[0]["host"]);
            }
            let units = told[1..].iter().map(|rank| rank["units"].as_u64().unwrap());
            assert!(ranks == 1 || units.sum::<u64>() > 0, "{told:?}");
        }
        let verified = desk.on(3, "verify run-3-2 --workers 1");
        assert_eq!(verified.status, Some(0), "{}", verified.err);
        assert_eq!(
            verified.out.matches("identical: ").count(),
            1,
            "{}",
            verified.out
        );
    }
}

#[test]
fn only_rank_0_speaks() {
    let desk = Desk::with("Scenario(data: Digit)");
    let wrong = desk.on(3, "run tiny.ron --out run");
    // The launcher hands on the status of the rank that failed.
    assert_eq!(wrong.status, Some(2), "{}", wrong.err);
    assert_eq!(
        wrong.err.matches("did you mean Digits?").count(),
        1,
        "{}",
        wrong.err
    );
    let listed = desk.on(2, "list devices");
    assert_eq!(listed.status, Some(0), "{}", listed.err);
    assert_eq!(
        listed.out.matches("raspberry-pi-4").count(),
        1,
        "{}",
        listed.out
    );
    let help = desk.on(2, "run --help");
    assert_eq!(help.out.matches("Usage:").count(), 1, "{}", help.out);
}

/// The process numbers of the ranks other than 0, by the variable that the launcher gives them.
fn members(launcher: u32) -> Vec<(u32, i32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let status = String::from_utf8_lossy(&read("status")).into_owned();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        if parent.and_then(|pid| pid.trim().parse().ok()) != Some(launcher) {
            continue;
        }
        let environment = String::from_utf8_lossy(&read("environ")).into_owned();
        let mut variables = environment.split('\0');
        let rank = variables.find_map(|v| v.strip_prefix("OMPI_COMM_WORLD_RANK="));
        if let Some(rank) = rank
            .and_then(|rank| rank.parse().ok())
            .filter(|&rank| rank > 0)
        {
            found.push((rank, pid));
        }
    }
    found.sort_unstable();
    found
}

/// By default the launcher ends the other ranks when one is killed, a second later; told not to, it
/// leaves that to rank 0.
#[test]
fn a_rank_that_is_killed_ends_the_run_in_words_and_it_can_be_gone_on_with() {
    let scenario = SCENARIO
        .replace("rounds: 8", "rounds: 150")
        .replace("every: 2, per", "every: 20, per")
        .replace("seed: 6,", "seed: 6, checkpoint: (every: 3),");
    let desk = Desk::with(&scenario);
    let reference = desk.run(0, 2);
    let lenient = "--mca orte_abort_on_non_zero_status 0";
    for (folder, flags, resumed_on) in [("strict", "", 0), ("lenient", lenient, 3)] {
        let arguments = format!("run tiny.ron --out {folder} --workers 1 --quiet");
        let launcher = desk.command(3, flags, &arguments).spawn();
        let launcher = launcher.expect("mpirun (openmpi-bin) is needed");
        let began = Instant::now();
        let checkpoints = desk.path(folder).join("checkpoints");
        while !checkpoints.exists() {
            assert!(began.elapsed() < Duration::from_secs(60), "no checkpoint");
            std::thread::sleep(Duration::from_millis(5));
        }
        let (rank, pid) = members(launcher.id()).pop().expect("two members");
        let killed = Command::new("kill").args(["-9", &pid.to_string()]).status();
        assert!(killed.unwrap().success());
        let done = wait(launcher);
        assert_ne!(done.status, Some(0), "{}", done.err);
        let said = [
            format!("rank {rank} ("),
            format!("process {pid}) is lost: its process has ended"),
            format!("shoal resume {folder}"),
        ];
        for words in said {
            assert!(done.err.contains(&words), "{words} in {}", done.err);
        }
        let record = desk.record(folder);
        assert_eq!(record["status"], "failed", "{record}");
        let resumed = desk.on(resumed_on, &format!("resume {folder} --workers 1 --quiet"));
        assert_eq!(resumed.status, Some(0), "{}", resumed.err);
        let record = desk.record(folder);
        assert_eq!(record["trace_hash"], reference["trace_hash"]);
        assert_eq!(record["resumed"], 1);
    }
}
