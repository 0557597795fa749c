//! Whatever stands in a scenario file, it is read or refused: without a panic, soon, in little
//! memory, and what is read fits together.

use proptest::prelude::*;
use proptest::sample::{select, Index};
use shoal::scenario::Scenario;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

thread_local! {
    /// Bytes that this thread holds and the most it held; other tests run on other threads.
    static HELD: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

/// The system's allocator, counting.
struct Counting;

fn count(bytes: i64) {
    // A thread that is ending has no count any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: everything is passed on to the system's allocator unchanged, which keeps its promises; what
// is counted beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the layout is the caller's, who keeps what is asked of it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the block is one of the system's allocator, for all are.
        unsafe { System.dealloc(pointer, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `of` gives, and the most bytes that this thread held meanwhile beside what it had.
pub fn most_held<T>(of: impl FnOnce() -> T) -> (T, u64) {
    let before = HELD.get().0;
    HELD.set((before, before));
    let given = of();
    (given, (HELD.get().1 - before).max(0) as u64)
}

/// Longer than any reading takes on a busy machine.
const SOON: Duration = Duration::from_secs(5);
/// More than any reading of a small file needs.
const LITTLE: i64 = 64 << 20;

/// Does what `shoal check` does, and holds it to its promises; whether the text is a scenario.
fn check(text: &str) -> Result<bool, TestCaseError> {
    let began = Instant::now();
    let before = HELD.get().0;
    HELD.set((before, before));
    // Data paths start in `tests`, where there is no data: nothing but the text is read.
    let read = Scenario::parse(text, Path::new("tests/s.ron"), &[]);
    match &read {
        Ok(scenario) => {
            sizes_fit(scenario)?;
            prop_assert!(!ron::to_string(scenario).unwrap().is_empty());
            let _ = scenario.warnings();
        }
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            let said = format!("{problems:#}");
            prop_assert!(!said.is_empty());
        }
    }
    let took = began.elapsed();
    prop_assert!(took < SOON, "took {:?}:\n{}", took, text);
    let most = HELD.get().1 - before;
    prop_assert!(most < LITTLE, "held {} bytes:\n{}", most, text);
    Ok(read.is_ok())
}

/// What is resolved could be run.
fn sizes_fit(scenario: &Scenario) -> Result<(), TestCaseError> {
    let clients = scenario.clients();
    let counts = scenario
        .population
        .iter()
        .map(|member| u64::from(member.group.count));
    prop_assert_eq!(counts.sum::<u64>(), u64::from(clients));
    prop_assert!(scenario
        .population
        .iter()
        .all(|member| member.group.count > 0));
    let schedule = &scenario.schedule;
    let cohort = schedule.cohort.of(clients);
    prop_assert!((1..=clients).contains(&cohort));
    prop_assert!(schedule.least_reports <= cohort && schedule.rounds > 0);
    prop_assert!((1.0..=100.0).contains(&schedule.over_selection));
    prop_assert!(scenario.evaluation.every > 0);
    prop_assert!(scenario.partition.holdout.get() < 1.0);
    let model = scenario.build_model().unwrap();
    prop_assert_eq!(model.parameters(), scenario.model.parameters);
    prop_assert_eq!(scenario.model.bytes.0, 4 * model.parameters() as u64);
    Ok(())
}

/// The parts that a text is made of: words and numbers, texts in quotes, single signs, gaps.
fn tokens(text: &str) -> Vec<String> {
    let kind = |c: char| match c {
        c if c.is_alphanumeric() || "_.-".contains(c) => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut tokens: Vec<String> = Vec::new();
    let (mut last, mut quoted) = (2, false);
    for c in text.chars() {
        let this = kind(c);
        match tokens.last_mut() {
            Some(token) if quoted || (this == last && this != 2) => token.push(c),
            _ => tokens.push(c.to_string()),
        }
        quoted ^= c == '"';
        last = this;
    }
    tokens
}

const QUICKSTART: &str = include_str!("../scenarios/quickstart.ron");

const EXTREMES: &[&str] = &[
    "0",
    "-1",
    "1",
    "1e308",
    "-1e308",
    "1e-308",
    "0.0",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "340282366920938463463374607431768211456",
    "NaN",
    "inf",
    "-inf",
    "\"\"",
    "\"1e308 s\"",
    "\"0 bit/s\"",
    "\"1e18 bit/s\"",
    "\"1e21 FLOP/s\"",
    "\"18446744073709551615 B\"",
    "None",
    "()",
    "[]",
    "{}",
    "true",
];

/// Words that mean something somewhere.
const WORDS: &[&str] = &[
    "Synthetic(alpha: 1.0, beta: 1.0, users: 4294967295)",
    "Synthetic(users: 30, samples: Constant(18446744073709551615))",
    "Random(shape: [3, 32, 32], classes: 10, train: 18446744073709551615, test: 1)",
    "Mnist()",
    "Npz(file: \"wrong\", train: (x: \"x\", y: \"y\"))",
    "Natural",
    "Shards(per_client: 18446744073709551615)",
    "Shared(per_client: 18446744073709551615)",
    "Modelled",
    "Sampled(1e-320)",
    "Labels(per_client: 3)",
    "QuantitySkew(exponent: 1e308)",
    "Conv(out: 18446744073709551615, kernel: 3)",
    "Conv(out: 3, kernel: 18446744073709551615, padding: 18446744073709551615)",
    "Dense(18446744073709551615)",
    "MaxPool(size: 2, stride: 0)",
    "Residual(body: [Relu])",
    "Dropout(rate: 1.0)",
    "Scaffold",
    "FedProx(mu: 1e308)",
    "Quantiles([])",
    "Exponential(\"2 s\", \"1 s\")",
    "GilbertElliott(p_good_to_bad: 1, p_bad_to_good: 0)",
    "Reliable(timeout: \"0 s\", backoff: 1e308, retries: 4294967295)",
    "(preset: \"4g\", mtu: \"0 B\", header: \"1e18 B\", bound: \"1e10 s\")",
    "resnet18-gn",
    "population",
    "training",
];

#[derive(Debug, Clone)]
enum Change {
    Delete(Index),
    Double(Index),
    Swap(Index, Index),
    Put(Index, &'static str),
    Number(Index, &'static str),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        2 => at().prop_map(Change::Delete),
        1 => at().prop_map(Change::Double),
        1 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        3 => (at(), select(WORDS)).prop_map(|(at, word)| Change::Put(at, word)),
        6 => (at(), select(EXTREMES)).prop_map(|(at, extreme)| Change::Number(at, extreme)),
        1 => at().prop_map(Change::Cut),
    ]
}

/// The places of the tokens for which `which` holds.
fn places(tokens: &[String], which: impl Fn(&str) -> bool) -> Vec<usize> {
    let places = tokens.iter().enumerate().filter(|(_, token)| which(token));
    places.map(|(place, _)| place).collect()
}

fn apply(change: &Change, tokens: &mut Vec<String>) {
    let solid = places(tokens, |token| !token.trim().is_empty());
    if solid.is_empty() {
        return;
    }
    let at = |index: &Index| *index.get(&solid);
    match change {
        Change::Delete(index) => {
            tokens.remove(at(index));
        }
        Change::Double(index) => {
            let token = tokens[at(index)].clone();
            tokens.insert(at(index), token);
        }
        Change::Swap(a, b) => tokens.swap(at(a), at(b)),
        Change::Put(index, word) => tokens[at(index)] = (*word).to_string(),
        Change::Number(index, extreme) => {
            let numbers = places(tokens, |token| {
                token.starts_with(|c: char| c.is_ascii_digit() || c == '"')
            });
            if !numbers.is_empty() {
                let place = *index.get(&numbers);
                tokens[place] = (*extreme).to_string();
            }
        }
        Change::Cut(index) => tokens.truncate(at(index)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_mutilated_scenario_is_read_or_refused(changes in prop::collection::vec(change(), 1..5)) {
        let mut tokens = tokens(QUICKSTART);
        for change in &changes {
            apply(change, &mut tokens);
        }
        check(&tokens.concat())?;
    }
}

#[test]
fn every_number_of_a_scenario_may_be_extreme() {
    let tokens = tokens(QUICKSTART);
    assert_eq!(tokens.concat(), QUICKSTART);
    let numbers = places(&tokens, |token| {
        token.starts_with(|c: char| c.is_ascii_digit())
    });
    assert!(numbers.len() > 25, "{}", numbers.len());
    let (mut read, mut refused) = (0, 0);
    for place in numbers {
        for extreme in [
            "0",
            "-1",
            "1e308",
            "4294967295",
            "18446744073709551615",
            "NaN",
        ] {
            let mut tokens = tokens.clone();
            tokens[place] = extreme.to_string();
            match check(&tokens.concat()).unwrap() {
                true => read += 1,
                false => refused += 1,
            }
        }
    }
    // Some zeros and some large seeds are allowed, most of the rest is not.
    assert!(
        read >= 10 && refused >= 100,
        "{read} read, {refused} refused"
    );
}

#[test]
fn a_hundred_million_clients_are_checked_as_fast_as_a_hundred() {
    let text = "(data: Digits, partition: (min_per_client: 0), model: \"mlp\",
                 population: [(count: 100000000, device: (preset: \"laptop\", speed: Normal(\"1 GFLOP/s\", \"1 MFLOP/s\")))])";
    assert!(check(text).unwrap());
}
