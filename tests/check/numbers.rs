//! That no number of a scenario makes `check` panic or a run go on for ever: it is refused, or `check`
//! says what it costs, or the run ends.
//!
//! Every number of every scenario that comes with Shoal, and of every method, attack, defence, policy
//! and layer with its defaults, is replaced by six others. Reading all of that takes minutes, and
//! running it an hour: here is a sample, the same each time. All of it:
//!
//! ```sh
//! cargo test --release --test integration check::numbers -- --ignored --nocapture
//! ```

use shoal::attack::AttackSpec;
use shoal::compress::Compression;
use shoal::defend::DefenceSpec;
use shoal::learn::HostDevice;
use shoal::method::MethodSpec;
use shoal::observe::record::Status;
use shoal::quantity::Bytes;
use shoal::run::{assemble, run, Options};
use shoal::scenario::estimate::{Estimate, Machine};
use shoal::scenario::plausible::Outlooks;
use shoal::scenario::Scenario;
use shoal::select::SelectionSpec;
use shoal::text::Document;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const VALUES: [&str; 6] = ["0", "-1", "1e-300", "1e300", "4294967295", "NaN"];

/// Where numbers stand in a text: bare ones, and those that texts such as "20 ms" begin with.
fn numbers(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let number = |at: usize| {
        let sign = usize::from(bytes.get(at) == Some(&b'-'));
        let digits = bytes.get(at + sign).is_some_and(u8::is_ascii_digit);
        digits.then(|| {
            let rest = &bytes[at + sign..];
            let mut end = 0;
            while end < rest.len() {
                let exponent = end > 0 && matches!(rest[end - 1], b'e' | b'E');
                match rest[end] {
                    b'0'..=b'9' | b'.' | b'_' | b'e' | b'E' => end += 1,
                    b'-' | b'+' if exponent => end += 1,
                    _ => break,
                }
            }
            at..at + sign + end
        })
    };
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += text[at..].find('\n').unwrap_or(text.len() - at);
            }
            b'"' => {
                let end = at + 1 + text[at + 1..].find('"').unwrap_or(text.len() - at - 1);
                // A quantity has a space before its unit; a name such as "4g" has none.
                let quantity = number(at + 1).filter(|n| bytes.get(n.end) == Some(&b' '));
                found.extend(quantity);
                at = end + 1;
            }
            b if b.is_ascii_alphabetic() || b == b'_' => {
                let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
                at += bytes[at..].iter().take_while(|b| word(b)).count();
            }
            _ => match number(at) {
                Some(range) => {
                    at = range.end;
                    found.push(range);
                }
                None => at += 1,
            },
        }
    }
    found
}

/// A scenario with one number replaced.
struct Case {
    file: PathBuf,
    text: String,
    what: String,
}

fn scenarios_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scenarios_below(&path, found);
        } else if path.extension().is_some_and(|e| e == "ron") {
            found.push(path);
        }
    }
}

/// Every scenario that comes with Shoal, and one for each thing that the registries list.
fn sources() -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    scenarios_below(Path::new("scenarios"), &mut files);
    files.sort();
    let shipped = files.into_iter().map(|file| {
        let text = std::fs::read_to_string(&file).unwrap();
        (file, text)
    });
    let small = |part: String| {
        format!(
            "(data: Digits, model: [Flatten, Dense(10)], public: (share: 0.1), \
              population: [(count: 20, device: \"laptop\", link: \"lan\")], \
              schedule: (rounds: 2, cohort: 10, deadline: \"60 s\"), \
              evaluation: (per_client: true), {part})"
        )
    };
    // With all their fields written out.
    let mut listed = Vec::new();
    macro_rules! all {
        ($spec:ty, $field:literal, $around:expr) => {
            for (name, _) in <$spec>::ALL {
                let Ok(spec) =
                    Document::parse(name, Path::new(name)).and_then(|d| d.read::<$spec>())
                else {
                    // It has a field without a default: scenarios that come with Shoal show it.
                    continue;
                };
                let around: fn(String) -> String = $around;
                let written = ron::to_string(&spec).unwrap();
                listed.push((format!("{}/{name}", $field), small(around(written))));
            }
        };
    }
    all!(MethodSpec, "method", |spec| format!("method: {spec}"));
    all!(DefenceSpec, "defence", |spec| format!("defence: {spec}"));
    all!(SelectionSpec, "selection", |spec| format!(
        "selection: {spec}"
    ));
    all!(Compression, "compression", |spec| format!(
        "compression: {spec}"
    ));
    all!(AttackSpec, "attack", |spec| format!(
        "adversaries: [(who: Count(2), attack: {spec})]"
    ));
    for layer in [
        "privacy: CentralDp(clip: 0.5, noise: 1.0, delta: 1e-5)",
        "privacy: LocalDp(clip: 0.5, noise: 1.0, delta: 1e-5)",
        "secure_aggregation: SecAgg(threshold: 0.6, bits: 16, range: 4.0)",
    ] {
        listed.push(("layer".to_string(), small(layer.to_string())));
    }
    let listed = listed
        .into_iter()
        .map(|(name, text)| (PathBuf::from(name), text));
    shipped.chain(listed).collect()
}

/// One case of so many, the same each time.
fn cases(one_of: u64) -> impl Iterator<Item = Case> {
    let mut number = 0u64;
    let sources = sources().into_iter();
    sources.flat_map(move |(file, text)| {
        let mut some = Vec::new();
        for range in numbers(&text) {
            for value in VALUES {
                number += 1;
                // Spread over files and values alike.
                if number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 >= (1 << 32) / one_of {
                    continue;
                }
                let line = text[..range.start].matches('\n').count() + 1;
                let mut changed = text.clone();
                changed.replace_range(range.clone(), value);
                some.push(Case {
                    what: format!(
                        "{}:{line}: {} as {value}",
                        file.display(),
                        &text[range.clone()]
                    ),
                    file: file.clone(),
                    text: changed,
                });
            }
        }
        some
    })
}

/// What is read of a case; none where it is refused.
fn read(case: &Case) -> Option<Scenario> {
    let started = Instant::now();
    let scenario = Scenario::parse(&case.text, &case.file, &[]);
    let took = started.elapsed();
    assert!(
        took < Duration::from_secs(20),
        "{}: read in {took:?}",
        case.what
    );
    scenario.ok()
}

/// Whether setting it up is cheap enough for a test: some scenarios have a million clients as they are.
fn is_small(scenario: &Scenario) -> bool {
    let values = scenario.samples.shape.iter().product::<usize>();
    let samples = scenario.samples.train + scenario.samples.test;
    scenario.clients() <= 5_000
        && values.saturating_mul(samples) <= 50_000_000
        && scenario.model.parameters <= 2_000_000
}

/// What `check` says of its cost, if it takes it.
fn judged(scenario: &Scenario) -> Option<Estimate> {
    let federation = assemble(scenario, HostDevice::Cpu).ok()?;
    let outlooks = Outlooks::of(scenario, &federation);
    Some(scenario.estimate(&federation, &outlooks))
}

const MACHINE: Machine = Machine {
    cores: 1,
    memory: Some(Bytes(4 << 30)),
    disk: Some(Bytes(4 << 30)),
};

/// Runs it; whether it ends by itself in `most`, however it ends.
fn ends(case: &Case, scenario: &Scenario, most: Duration) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        workers: 1,
        device: HostDevice::Cpu,
        memory: None,
        out: Some(folder.path().join("run")),
        file: case.file.clone(),
        text: case.text.clone(),
        overrides: Vec::new(),
        kept_memory: Bytes(1 << 30),
        quiet: true,
        ranks: None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, (done, wait)) = (Arc::clone(&stop), std::sync::mpsc::channel::<()>());
    let watchdog = std::thread::spawn(move || {
        if wait.recv_timeout(most).is_err() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    let ended = run(scenario, &options, &stop);
    let _ = done.send(());
    watchdog.join().unwrap();
    let interrupted = matches!(&ended, Ok(finished) if finished.status == Status::Interrupted);
    if interrupted {
        println!("{}: not done in {most:?}", case.what);
    }
    !interrupted
}

/// Reads all cases of one in so many, sets up those of the small, and runs those that `check` says take
/// less than `seconds`; how many of each there were.
fn try_all(one_of: u64, set_up_one_of: usize, run_one_of: usize, seconds: f64) -> [usize; 3] {
    let (mut all, mut taken, mut ran) = (0, 0, 0);
    let mut small = 0;
    let mut endless = Vec::new();
    for case in cases(one_of) {
        all += 1;
        let Some(scenario) = read(&case).filter(is_small) else {
            continue;
        };
        small += 1;
        if small % set_up_one_of != 0 {
            continue;
        }
        let Some(estimate) = judged(&scenario) else {
            continue;
        };
        taken += 1;
        let warned = !estimate.warnings(&MACHINE).is_empty();
        let seconds_taken = estimate.seconds(&MACHINE);
        assert!(
            seconds_taken.is_finite() || warned,
            "{}: {estimate:?}",
            case.what
        );
        if seconds_taken > seconds || warned || taken % run_one_of != 0 {
            continue;
        }
        // What is estimated for a release build on an idle machine is not what a test runs on.
        let most = Duration::from_secs_f64(120.0 + 60.0 * seconds_taken);
        if !ends(&case, &scenario, most) {
            endless.push(case.what);
        }
        ran += 1;
        if ran % 500 == 0 {
            println!("{all} cases, {taken} set up, {ran} run so far");
        }
    }
    assert!(endless.is_empty(), "{endless:#?}");
    println!("{all} cases, {taken} set up, {ran} run");
    [all, taken, ran]
}

#[test]
fn numbers_are_found_where_they_stand_and_nowhere_else() {
    let text = "(a: 12, b: -0.5, c: [1e-3, \"20 ms\"], // 7\n d: \"4g\", e5: Conv(out: 1_000), f: \"x 3\")";
    let found: Vec<&str> = numbers(text)
        .into_iter()
        .map(|range| &text[range])
        .collect();
    assert_eq!(found, ["12", "-0.5", "1e-3", "20", "1_000"]);
}

/// What is said of a small scenario with this part, if it is refused.
fn said(part: &str) -> Option<String> {
    let text = format!(
        "(data: Digits, model: [Flatten, Dense(10)], population: [(count: 20, link: \"lan\")], {part})"
    );
    let refused = Scenario::parse(&text, Path::new("s.ron"), &[]).err()?;
    Some(refused.to_string())
}

#[test]
fn numbers_that_once_made_a_run_hang_are_refused_with_their_range() {
    let often = |between: &str, lasts: &str| {
        format!("faults: [(fault: Slow(2), when: Repeated(between: {between}, lasts: {lasts}))]")
    };
    let waiting = "schedule: (waiting: FedBuff(concurrency: 4, buffer: 4294967295))";
    let cases = [
        (
            waiting.to_string(),
            "schedule.waiting.buffer: 4294967295 is outside [1, 1000000]",
        ),
        (
            "defence: GeometricMedian(iterations: 1000000000)".to_string(),
            "defence.iterations: 1000000000 is outside [1, 10000]",
        ),
        (
            "faults: [(fault: Corrupt(how: Flip(4294967295), checksum: false))]".to_string(),
            "faults[0].fault.how: expected 1 to 1000000 bits, found 4294967295",
        ),
        (
            often("\"1 ns\"", "\"1 ns\""),
            "faults[0].when: expected 1 ms or more",
        ),
        (
            often("\"1 us\"", "\"5 us\""),
            "faults[0].when: expected 1 ms or more",
        ),
        // Forty seconds on average, and nothing but once in a hundred thousand times.
        (
            often(
                "Mixture([(0.99999, \"0 s\"), (0.00001, \"1000 h\")])",
                "\"1 us\"",
            ),
            "faults[0].when: expected 1 ms or more",
        ),
        (
            "faults: [(fault: Partition(cut: Half, heal: \"3000 h\"), \
             when: Repeated(between: \"2 ms\", lasts: \"2 ms\"))]"
                .to_string(),
            "faults[0].when: a link that takes up to",
        ),
        (
            "selection: TiFL(tiers: 4294967295)".to_string(),
            "selection.tiers: 4294967295 is outside [1, 10000]",
        ),
        (
            "method: FedProx(mu: 1e300)".to_string(),
            "method.mu: 1e300 is outside [0, 1e12]",
        ),
    ];
    for (part, expected) in cases {
        let said = said(&part).unwrap_or_else(|| panic!("{part} is taken"));
        assert!(said.contains(expected), "{part}:\n{said}");
    }
}

/// Drawn by trial until nothing is left to draw, or more lists of neighbours than fit: told from the numbers.
#[test]
fn a_graph_that_takes_too_many_draws_or_has_too_many_edges_is_not_drawn_to_find_out() {
    let graph = |graph: &str, clients: u32| {
        let text = format!(
            "(data: Digits, partition: (by: Shared(per_client: 9)), model: [Flatten, Dense(10)], \
              population: [(count: {clients}, link: \"lan\")], topology: Gossip(graph: {graph}))"
        );
        let started = Instant::now();
        let refused = Scenario::parse(&text, Path::new("s.ron"), &[])
            .unwrap_err()
            .to_string();
        assert!(started.elapsed() < Duration::from_secs(10), "{graph}");
        refused
    };
    let said = graph("RandomRegular(degree: 100000)", 200_000);
    assert!(said.contains("send 20000000000 models a round"), "{said}");
    let said = graph("SmallWorld(degree: 9990, rewire: 1)", 10_000);
    assert!(said.contains("draws, at most 1000000000 may be"), "{said}");
    let said = graph("Complete", 4_000_000);
    assert!(said.contains("models a round"), "{said}");
}

/// Once an accountant of terabytes, and refused: now an epsilon of any size, and of none.
#[test]
fn central_privacy_with_next_to_no_noise_and_with_none_runs() {
    for noise in ["1e-10", "0"] {
        let part = format!(
            "(data: Digits, model: [Flatten, Dense(10)], population: [(count: 20, link: \"lan\")], \
              schedule: (rounds: 1, cohort: 4), privacy: CentralDp(clip: 0.5, noise: {noise}))"
        );
        let case = Case {
            file: "s.ron".into(),
            text: part,
            what: format!("noise: {noise}"),
        };
        let scenario = read(&case).unwrap();
        let warned = scenario.warnings().join("\n");
        assert_eq!(
            warned.contains("epsilon is infinite"),
            noise == "0",
            "{warned}"
        );
        assert!(ends(&case, &scenario, Duration::from_secs(60)));
    }
}

#[test]
fn whatever_a_number_is_it_is_refused_or_the_run_ends() {
    let [all, taken, ran] = try_all(8, 2, 2, 0.2);
    assert!(all > 1_000 && taken > 50 && ran > 5, "{all} {taken} {ran}");
}

/// All of them read, set up and estimated, and none run.
#[test]
#[ignore = "takes minutes"]
fn every_number_of_every_scenario_is_refused_or_told_with_its_cost() {
    let [all, taken, _] = try_all(1, 1, usize::MAX, 0.0);
    assert!(all > 5_000 && taken > 500, "{all} {taken}");
}

/// All of them, run where that is not to take more than a few seconds: an hour or so, of a release build.
#[test]
#[ignore = "takes an hour"]
fn every_number_of_every_scenario_is_refused_or_the_run_ends() {
    let [all, taken, ran] = try_all(1, 1, 1, 20.0);
    assert!(
        all > 5_000 && taken > 500 && ran > 300,
        "{all} {taken} {ran}"
    );
}
