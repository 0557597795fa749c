//! That `check` refuses all that `run` would refuse before its first round, in the same words.

use shoal::learn::HostDevice;
use shoal::quantity::Bytes;
use shoal::run::{assemble, run, Options, RunError};
use shoal::scenario::estimate::Machine;
use shoal::scenario::plausible::Outlooks;
use shoal::scenario::Scenario;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// An error as the command line tells it.
fn words(error: &RunError) -> String {
    match error {
        RunError::Scenario(problems) => format!("{problems:#}"),
        other => format!("error: {other}"),
    }
}

/// What `check` says of the file; nothing if it takes it as right.
fn checked(file: &Path, overrides: &[String]) -> Option<String> {
    match Scenario::open(file, overrides) {
        Err(problems) => Some(format!("{problems:#}")),
        Ok(scenario) => assemble(&scenario, HostDevice::Cpu)
            .err()
            .map(|error| words(&error)),
    }
}

/// What `run` says of it; nothing if its rounds begin.
fn refused(file: &Path, overrides: &[String]) -> Option<String> {
    let scenario = match Scenario::open(file, overrides) {
        Err(problems) => return Some(format!("{problems:#}")),
        Ok(scenario) => scenario,
    };
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        workers: 1,
        device: HostDevice::Cpu,
        memory: None,
        out: Some(folder.path().join("run")),
        file: file.to_path_buf(),
        text: fs::read_to_string(file).unwrap(),
        overrides: overrides.to_vec(),
        kept_memory: Bytes(1 << 30),
        quiet: true,
        ranks: None,
    };
    // Stopped before it does anything: what is left is what it refuses.
    let ended = run(&scenario, &options, &AtomicBool::new(true));
    ended.err().map(|error| words(&error))
}

/// The bytes of a NumPy file with such numbers.
fn npy(shape: &str, kind: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).unwrap().to_le_bytes();
    let parts: [&[u8]; 4] = [b"\x93NUMPY\x01\x00", &length, header.as_bytes(), values];
    parts.concat()
}

fn floats(rows: usize, columns: usize, change: impl Fn(&mut Vec<f32>)) -> Vec<u8> {
    let mut values: Vec<f32> = (0..rows * columns).map(|i| (i % 7) as f32).collect();
    change(&mut values);
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    npy(&format!("({rows}, {columns})"), "<f4", &bytes)
}

fn whole(rows: usize, of: impl Fn(usize) -> i64) -> Vec<u8> {
    let bytes: Vec<u8> = (0..rows).flat_map(|i| of(i).to_le_bytes()).collect();
    npy(&format!("({rows},)"), "<i8", &bytes)
}

/// Arrays of 80 samples of four features in two classes, of eight users; one of them is replaced.
fn desk(wrong: (&str, Vec<u8>)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    put("x.npy", &floats(80, 4, |_| ()));
    put("y.npy", &whole(80, |i| i as i64 % 2));
    put("u.npy", &whole(80, |i| i as i64 % 8));
    put("tx.npy", &floats(20, 4, |_| ()));
    put("ty.npy", &whole(20, |i| i as i64 % 2));
    put(wrong.0, &wrong.1);
    folder
}

const ARRAYS: &str = "Npy(train: (x: \"x.npy\", y: \"y.npy\", users: \"u.npy\"), \
                      test: (x: \"tx.npy\", y: \"ty.npy\"))";

fn scenario(data: &str, rest: &str) -> String {
    format!(
        "Scenario(\n    name: \"wrong\",\n    data: {data},\n    \
         {rest}\n    schedule: (rounds: 1, cohort: 2),\n)\n"
    )
}

const LOGISTIC: &str = "model: [Flatten, Dense(2)],";
const DIGITS: &str = "model: [Flatten, Dense(10)],";

/// What only those find out who read the data, deal them and set up the method: what is wrong, the field
/// that is to blame and words of what is said.
fn cases() -> Vec<(
    &'static str,
    TempDir,
    String,
    &'static str,
    &'static [&'static str],
)> {
    let nothing = || ("note.txt", Vec::new());
    let arrays = |population: &str| scenario(ARRAYS, &format!("{LOGISTIC}\n    {population},"));
    let eight = arrays("population: [(count: 8)]");
    let digits = |rest: &str| scenario("Digits", &format!("{DIGITS}\n    {rest},"));
    vec![
        (
            "80 rows of features against 77 labels",
            desk(("y.npy", whole(77, |i| i as i64 % 2))),
            eight.clone(),
            "data.train.y",
            &["77"],
        ),
        (
            "test samples of another shape",
            desk(("tx.npy", floats(20, 5, |_| ()))),
            eight.clone(),
            "data.test.x",
            &["[5]"],
        ),
        (
            "fewer users than samples",
            desk(("u.npy", whole(79, |i| i as i64 % 8))),
            eight.clone(),
            "data.train.users",
            &["79"],
        ),
        (
            "a feature that is no number",
            desk(("x.npy", floats(80, 4, |values| values[17] = f32::NAN))),
            eight.clone(),
            "data",
            &["NaN"],
        ),
        (
            "an infinite feature of the test samples",
            desk(("tx.npy", floats(20, 4, |values| values[17] = f32::INFINITY))),
            eight,
            "data",
            &["inf"],
        ),
        (
            "more clients than natural users",
            desk(nothing()),
            arrays("partition: (by: Natural), population: [(count: 9)]"),
            "population",
            &["9 clients", "8 natural users"],
        ),
        (
            "natural users with fewer samples than each must have",
            desk(("u.npy", whole(80, |i| if i < 2 { 7 } else { i as i64 % 7 }))),
            arrays("partition: (by: Natural, min_per_client: 5), population: [(count: 8)]"),
            "partition.min_per_client",
            &["has 2 samples", "5"],
        ),
        (
            "more samples a client than there are",
            desk(nothing()),
            digits("partition: (by: Iid(samples_per_client: 500)), population: [(count: 10)]"),
            "partition.by.samples_per_client",
            &["need 5000"],
        ),
        (
            "fewer samples a client than each must have",
            desk(nothing()),
            digits(
                "partition: (by: Iid(samples_per_client: 1), min_per_client: 5), \
                 population: [(count: 10)]",
            ),
            "partition.by",
            &["samples per client 1"],
        ),
        (
            "more shards than samples",
            desk(nothing()),
            digits("partition: (by: Shards(per_client: 200)), population: [(count: 50)]"),
            "partition.by.per_client",
            &["shards"],
        ),
        (
            "fewer classes than occur",
            desk(nothing()),
            digits("partition: (by: Labels(per_client: 1)), population: [(count: 3)]"),
            "partition.by.per_client",
            &["all 10"],
        ),
        (
            "a public share of no sample",
            desk(nothing()),
            digits("public: (share: 1e-9), method: FedMD, population: [(count: 8)]"),
            "public",
            &["public: (share: 0.05)"],
        ),
        (
            "a network that the method has no rule for",
            desk(nothing()),
            scenario(
                "Digits",
                "model: [Conv(out: 2, kernel: 3), BatchNorm, Flatten, Dense(10)],\n    \
                 public: (share: 0.1), method: FedConv, population: [(count: 8)],",
            ),
            "method",
            &["BatchNorm"],
        ),
    ]
}

#[test]
fn what_only_a_run_would_find_out_check_finds_out_too_in_the_same_words_and_with_the_place() {
    for (name, folder, text, field, said) in cases() {
        let file = folder.path().join("wrong.ron");
        fs::write(&file, text).unwrap();
        let check = checked(&file, &[]).unwrap_or_else(|| panic!("{name}: check takes it"));
        let place = format!("{}:", file.display());
        assert!(check.starts_with(&place), "{name}: no place in\n{check}");
        let rest = &check[place.len()..];
        let place = rest.split(' ').next().unwrap();
        assert_eq!(
            place.matches(':').count(),
            2,
            "{name}: line:column: in\n{check}"
        );
        assert!(
            rest.contains(&format!(": {field}: ")),
            "{name}: no {field} in\n{check}"
        );
        for words in said {
            assert!(check.contains(words), "{name}: no {words:?} in\n{check}");
        }
        assert_eq!(
            refused(&file, &[]),
            Some(check),
            "{name}: run says something else"
        );
    }
}

#[test]
fn every_wrong_scenario_is_refused_by_run_in_the_words_of_check() {
    let mut count = 0;
    for entry in fs::read_dir("tests/wrong").unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|e| e != "ron") {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        let marked = text
            .lines()
            .filter_map(|line| line.strip_prefix("// --set "));
        let overrides: Vec<String> = marked.map(String::from).collect();
        let check = checked(&file, &overrides);
        assert!(check.is_some(), "{}: check takes it", file.display());
        assert_eq!(check, refused(&file, &overrides), "{}", file.display());
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn both_commands_say_it_alike_and_a_quick_check_does_not_read_the_data() {
    let folder = desk(("x.npy", floats(80, 4, |values| values[17] = f32::NAN)));
    let text = scenario(
        ARRAYS,
        &format!("{LOGISTIC}\n    population: [(count: 8)],"),
    );
    fs::write(folder.path().join("s.ron"), text).unwrap();
    let shoal = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        let done = command
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let out = String::from_utf8(done.stdout).unwrap();
        (
            done.status.code(),
            out,
            String::from_utf8(done.stderr).unwrap(),
        )
    };
    let check = shoal(&["check", "s.ron"]);
    assert_eq!((check.0, check.1.as_str()), (Some(2), ""));
    assert!(check.2.starts_with("s.ron:3:11: data: "), "{}", check.2);
    assert_eq!(shoal(&["run", "s.ron", "--out", "run"]), check);
    assert!(!folder.path().join("run").exists());
    let quick = shoal(&["check", "s.ron", "--quick"]);
    assert_eq!(quick.0, Some(0), "{}", quick.2);
}

#[test]
fn all_that_is_wrong_in_several_files_of_data_is_told_at_once() {
    let folder = desk(("x.npy", floats(80, 4, |values| values[17] = f32::NAN)));
    let infinite = floats(20, 4, |values| values[3] = f32::INFINITY);
    fs::write(folder.path().join("tx.npy"), infinite).unwrap();
    let file = folder.path().join("s.ron");
    let text = scenario(
        ARRAYS,
        &format!("{LOGISTIC}\n    population: [(count: 8)],"),
    );
    fs::write(&file, text).unwrap();
    let check = checked(&file, &[]).expect("check takes it");
    for words in [
        "/x.npy: ",
        "NaN at [4, 1]",
        "/tx.npy: ",
        "precision, at [0, 3]",
    ] {
        assert_eq!(check.matches(words).count(), 1, "{words:?} in\n{check}");
    }
    assert_eq!(refused(&file, &[]), Some(check));
}

#[test]
fn the_readme_shows_what_check_says_of_the_quickstart() {
    let scenario = Scenario::open(Path::new("scenarios/quickstart.ron"), &[]).unwrap();
    let federation = assemble(&scenario, HostDevice::Cpu).unwrap();
    let outlooks = Outlooks::of(&scenario, &federation);
    let readme = fs::read_to_string("README.md").unwrap();
    let expected = scenario.expectations(&federation, &outlooks);
    assert!(expected.len() > 5, "{expected:?}");
    // How fast this machine is and what it has free is another matter.
    let run = scenario.estimate(&federation, &outlooks);
    let machine = Machine {
        cores: 2,
        memory: None,
        disk: None,
    };
    let first = run.lines(&machine).into_iter().take(1);
    for line in expected.into_iter().chain(first) {
        assert!(
            readme.contains(&format!("// {line}\n")),
            "the README lacks\n// {line}"
        );
    }
}
