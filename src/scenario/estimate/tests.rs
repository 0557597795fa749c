use super::*;
use crate::learn::HostDevice;
use crate::run::assemble;
use std::path::Path;

const MACHINE: Machine = Machine {
    cores: 2,
    memory: Some(Bytes(1 << 30)),
    disk: Some(Bytes(1 << 30)),
};

fn estimated(rest: &str) -> Estimate {
    let text = format!("(data: Digits, model: [Flatten, Dense(10)], {rest})");
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    let federation = assemble(&scenario, HostDevice::Cpu).unwrap();
    let outlooks = Outlooks::of(&scenario, &federation);
    scenario.estimate(&federation, &outlooks)
}

fn warned(rest: &str) -> String {
    estimated(rest).warnings(&MACHINE).join("\n")
}

/// 1,437 digits among 8 clients of whom 4 are asked in each of 30 rounds: 179.6 samples a task, of 3,870
/// operations each, in 18 batches of ten.
#[test]
fn work_is_that_of_all_tasks() {
    let plain =
        "population: [(count: 8)], training: (epochs: 2), schedule: (rounds: 30, cohort: 4)";
    let found = estimated(plain);
    assert_eq!(
        (found.rounds, found.tasks, found.evaluations),
        (30.0, 120.0, 30.0)
    );
    let flops = 1437.0 / 8.0 * 2.0 * 3_870.0;
    assert!((found.flops / flops - 1.0).abs() < 1e-3, "{found:?}");
    assert!((found.steps - 36.0).abs() < 0.5, "{found:?}");
    // Evaluation of 360 test samples, and a tenth of a millisecond a step.
    let least = 120.0 * flops / RATE + 30.0 * 360.0 * 1_290.0 / RATE + 120.0 * 36.0 * STEP;
    assert!(
        found.work > least && found.work < 1.5 * least + 0.1,
        "{found:?}"
    );
    // `clients.csv` and `trace.bin` grow with the tasks.
    let twice = estimated(&plain.replace("rounds: 30", "rounds: 60"));
    let lines = 120.0 * (CLIENT_LINE + EVENTS_A_TASK * TRACE) + 30.0 * (ROUND_LINE + TRACE);
    let grown = twice.disk - found.disk;
    assert!((grown - lines).abs() < 1.0, "{grown} for {lines}");
}

#[test]
fn what_is_modelled_costs_events_and_no_arithmetic() {
    let plain =
        "population: [(count: 8)], training: (steps: 1000000), schedule: (rounds: 30, cohort: 4)";
    let (real, modelled) = (
        estimated(plain),
        estimated(&format!("{plain}, compute: Modelled")),
    );
    assert!(
        real.work > 1e3 && modelled.work == 0.0,
        "{real:?} {modelled:?}"
    );
    assert_eq!((real.tasks, real.serial), (modelled.tasks, modelled.serial));
    let on = |cores| real.seconds(&Machine { cores, ..MACHINE }) - real.serial;
    assert!((on(1) / on(4) - 4.0).abs() < 1e-9);
    let sampled = estimated(&format!("{plain}, compute: Sampled(0.1)"));
    assert!((sampled.work / real.work - 0.1).abs() < 0.02);
}

#[test]
fn rounds_of_rounds_and_steps_of_a_buffer_and_peers_are_counted() {
    let tiers = "population: [(count: 40)], hierarchy: [(count: 4, rounds: 3)], \
                 schedule: (rounds: 5, cohort: 20)";
    assert_eq!(estimated(tiers).tasks, 300.0);
    let buffered = "population: [(count: 40)], schedule: (rounds: 5, \
                    waiting: FedBuff(concurrency: 10, buffer: 7))";
    assert_eq!(estimated(buffered).tasks, 45.0);
    let peers = "population: [(count: 40)], topology: Gossip(graph: Ring), schedule: (rounds: 5)";
    let peers = estimated(peers);
    assert_eq!(peers.tasks, 200.0);
    assert!(peers.events > 600.0 && peers.events < 1_500.0, "{peers:?}");
}

/// Two million models a round, each of which is an event and is mixed.
#[test]
fn everybody_talking_to_everybody_is_told_with_its_cost() {
    let peers = "partition: (by: Shared(per_client: 20)), population: [(count: 1437)], \
                 topology: Gossip(graph: Complete), schedule: (rounds: 1000)";
    let found = estimated(peers);
    let models = 1437.0 * 1436.0;
    assert!(
        found.serial > 1_000.0 * models * EVENT && found.memory > models * MESSAGE,
        "{found:?}"
    );
    assert!(found.warnings(&MACHINE)[0].contains("of this machine"));
}

#[test]
fn a_run_of_months_is_warned_of() {
    let said = warned("population: [(count: 8)], training: (steps: 4000000000)");
    assert!(said.contains("days of this machine"), "{said}");
    let buffered = "population: [(count: 40)], schedule: (rounds: 1000000, \
                    waiting: FedBuff(concurrency: 10, buffer: 1000000))";
    assert!(warned(buffered).contains("of this machine"));
    assert_eq!(warned("population: [(count: 8)]"), "");
}

#[test]
fn faults_that_come_and_go_a_thousand_times_a_second_for_years_are_warned_of() {
    let said = warned(
        "population: [(count: 100, device: (speed: \"1 kFLOP/s\"))],
         schedule: (rounds: 100000),
         faults: [(fault: Slow(2), when: Rate(every: \"2 ms\", lasts: \"1 ms\"))]",
    );
    assert!(said.contains("to follow faults"), "{said}");
}

#[test]
fn what_does_not_fit_is_warned_of() {
    let small = Machine {
        memory: Some(Bytes(100_000_000)),
        disk: Some(Bytes(100_000)),
        ..MACHINE
    };
    let said = estimated("population: [(count: 8)]").warnings(&small);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("of memory, and 100 MB are free"),
        "{said:?}"
    );
    assert!(said[1].contains("of room on disk"), "{said:?}");
    // A model of its own for each of a thousand clients.
    let of = |method: &str| {
        estimated(&format!(
            "population: [(count: 1000)], partition: (by: Shared(per_client: 10)), method: {method}"
        ))
    };
    let more = of("LotteryFL").memory - of("FedAvg").memory;
    assert!((more - 1000.0 * 2_600.0).abs() < 10_000.0, "{more}");
}

#[test]
fn figures_are_told_as_people_say_them() {
    let said: Vec<String> = [0.5, 61.0, 7_000.0, 20_000.0, 1e6, 1e10, 1e20]
        .map(span)
        .into();
    assert_eq!(
        said,
        [
            "500 ms",
            "61.0 s",
            "7000 s",
            "5.6 h",
            "12 days",
            "317 years",
            "more than a million years"
        ]
    );
    assert_eq!([bytes(1_200.0), bytes(5e13)], ["1.20 kB", "50.0 TB"]);
}

/// Whoever crashes keeps the round waiting: with a deadline of 136 years that is how long crashes every
/// half minute are followed, whatever a round is expected to take.
#[test]
fn faults_are_followed_to_the_deadline_that_they_may_make_a_round_wait_for() {
    let crashing = |deadline: &str| {
        warned(&format!(
            "population: [(count: 8)], schedule: (rounds: 25, cohort: 4, deadline: \"{deadline}\"), \
             faults: [(fault: Crash(), who: All, when: Rate(every: \"30 s\", lasts: \"3 s\"))]"
        ))
    };
    let found = crashing("4294967295 s");
    assert!(found.contains("most of it to follow faults"), "{found}");
    assert!(!crashing("5 s").contains("follow faults"));
    let waiting = |timeout: &str| {
        warned(&format!(
            "population: [(count: 60)], schedule: (rounds: 120, waiting: FedBuff(concurrency: 12, buffer: 5, \
             timeout: \"{timeout}\")), faults: [(fault: Crash(), when: Rate(every: \"60 s\", lasts: \"5 s\"))]"
        ))
    };
    assert!(waiting("4294967295 s").contains("most of it to follow faults"));
    assert!(!waiting("10 s").contains("follow faults"));
    let tiers = warned(
        "population: [(count: 40)], hierarchy: [(count: 4, deadline: \"4294967295 s\")], \
         schedule: (rounds: 30, cohort: 40), \
         faults: [(fault: Crash(), when: Rate(every: \"60 s\", lasts: \"5 s\"))]",
    );
    assert!(tiers.contains("most of it to follow faults"), "{tiers}");
}

/// A start-up of 1,193 hours amid pauses every twenty seconds: each task goes through as many of them as are
/// followed for one. So does work that stands still, or begins anew, whenever its client goes.
#[test]
fn interruptions_of_long_work_are_counted() {
    let with = |startup: &str, rest: &str| {
        let device = format!("device: (preset: \"phone-mid\", startup: \"{startup}\")");
        estimated(&format!(
            "population: [(count: 8, {device}{rest}, schedule: (rounds: 25, cohort: 4)"
        ))
        .interruptions
    };
    let pauses = ")], faults: [(fault: Pause, when: Rate(every: \"20 s\", lasts: \"2 s\"))]";
    let long = with("4294967295 ms", pauses);
    assert_eq!(long, 25.0 * 4.0 * 131_072.0);
    let short = with("200 ms", pauses);
    assert!(short > 0.0 && short < 100.0, "{short}");
    for leaving in ["Pause", "Restart"] {
        let absences =
            format!(", availability: Markov(on: \"20 s\", off: \"2 s\"), leaving: {leaving})]");
        assert!(with("4294967295 ms", &absences) >= long, "{leaving}");
        assert!(with("200 ms", &absences) < 100.0, "{leaving}");
    }
    assert_eq!(with("4294967295 ms", ")]"), 0.0);
}
