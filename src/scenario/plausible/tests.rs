use super::*;
use crate::learn::HostDevice;
use crate::run::assemble;
use std::path::Path;

struct Said {
    lines: Vec<String>,
    warnings: String,
    outlooks: Outlooks,
}

fn said(rest: &str) -> Said {
    said_of(&format!(
        "data: Digits, model: [Flatten, Dense(10)], {rest}"
    ))
}

fn said_of(parts: &str) -> Said {
    let scenario = Scenario::parse(&format!("({parts})"), Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    let federation = assemble(&scenario, HostDevice::Cpu).unwrap();
    let outlooks = Outlooks::of(&scenario, &federation);
    Said {
        lines: scenario.expectations(&federation, &outlooks),
        warnings: scenario.surprises(&federation, &outlooks).join("\n"),
        outlooks,
    }
}

/// 650 parameters are 2,600 bytes: 20.8 kbit, and 640 bits of headers in two packets. One step on ten
/// samples of 3,870 operations.
const CLIENT: &str = "device: (speed: \"38.7 kFLOP/s\", startup: \"3 s\"), \
                      link: (latency: \"50 ms\", up: \"21.44 kbit/s\", down: \"42.88 kbit/s\")";
const REST: &str = "training: (steps: 1, batch: 10), server: (link: \"ideal\")";

#[test]
fn a_round_is_split_into_what_it_is_spent_on() {
    let said = said(&format!(
        "population: [(name: \"slow\", count: 8, {CLIENT})], {REST}"
    ));
    let one = &said.outlooks.groups[0].clients[0];
    let near = |span: Span, seconds: f64| (span.seconds() - seconds).abs() < 1e-6;
    assert!(
        near(one.download, 0.55) && near(one.upload, 1.05),
        "{one:?}"
    );
    assert!(near(one.startup, 3.0) && near(one.compute, 1.0), "{one:?}");
    assert!(near(one.total(), 5.6), "{one:?}");
    let row = said
        .lines
        .iter()
        .find(|line| line.starts_with("slow"))
        .unwrap();
    for part in ["8", "550 ms", "3.00 s", "1.00 s", "1.05 s", "5.60 s"] {
        assert!(row.contains(part), "no {part} in {row}");
    }
    assert_eq!(said.warnings, "");
}

#[test]
fn a_deadline_that_cannot_be_met_is_warned_of_and_one_that_can_is_not() {
    let with = |deadline: &str| {
        said(&format!(
            "population: [(name: \"slow\", count: 8, {CLIENT})], {REST}, \
             schedule: (cohort: 4, deadline: \"{deadline}\")"
        ))
    };
    let late = with("5 s");
    assert!(late
        .warnings
        .contains("no client of slow is expected to be done within the 5.00 s"));
    assert!(
        late.warnings
            .contains("about 0.0 reports of 4 clients asked"),
        "{}",
        late.warnings
    );
    assert!(
        late.lines.iter().any(|line| line.ends_with("0 %")),
        "{:?}",
        late.lines
    );
    let fine = with("6 s");
    assert_eq!(fine.warnings, "");
    assert!(
        fine.lines.iter().any(|line| line.ends_with("100 %")),
        "{:?}",
        fine.lines
    );
}

/// Two packets each way, each lost with 0.1: a message comes at once with 0.81, a second later with
/// 0.9801 − 0.81. With a second to spare either may be late, but not both.
#[test]
fn what_is_lost_and_sent_again_costs_the_chance_to_be_in_time() {
    let link = "link: (latency: \"50 ms\", up: \"21.44 kbit/s\", down: \"42.88 kbit/s\", \
                loss: Independent(0.1), transport: Reliable(timeout: \"1 s\"))";
    let device = "device: (speed: \"38.7 kFLOP/s\", startup: \"3 s\")";
    let said = said(&format!(
        "population: [(count: 8, {device}, {link})], {REST}, schedule: (cohort: 4, deadline: \"6.7 s\")"
    ));
    let found = said.outlooks.groups[0].clients[0].chance_within(Span::from_seconds(6.7));
    let (at_once, later) = (0.81, 0.9801 - 0.81);
    let expected = at_once * at_once + 2.0 * at_once * later;
    assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
}

/// A deadline at the median of what a round takes: half of the clients are in time, and with a little less or
/// more time as many as the sum of four independent latencies says. Uniform latencies of 1 to 201 ms have
/// deviations of 57.7 ms each, so that of four of them is 115.5 ms.
#[test]
fn latencies_that_vary_decide_who_is_in_time() {
    let chance = |within: f64| {
        let link = "link: (latency: Uniform(low: \"1 ms\", high: \"201 ms\"))";
        let text = format!(
            "population: [(count: 4, device: (speed: \"1 TFLOP/s\", startup: \"1 s\"), {link})], \
             server: ({link}), schedule: (cohort: 4, deadline: \"9 s\")"
        );
        let outlook = &said(&text).outlooks.groups[0].clients[0];
        outlook.chance_within(Span::from_seconds(within))
    };
    // Four medians of 101 ms, and the start-up.
    let normal = |sigmas: f64| 0.5 * (1.0 + libm::erf(sigmas / std::f64::consts::SQRT_2));
    for sigmas in [-1.0, 0.0, 1.0] {
        let found = chance(1.404 + sigmas * 0.1155);
        // 200 draws: a standard error of at most 3.5 %, and the sum of four is nearly normal.
        assert!((found - normal(sigmas)).abs() < 0.12, "{sigmas}: {found}");
    }
    assert_eq!((chance(0.9), chance(2.0)), (0.0, 1.0));
}

#[test]
fn start_up_that_hides_every_difference_of_speed_is_warned_of() {
    let devices = |startup: &str| {
        format!(
            "population: [(count: 4, device: (speed: \"1 GFLOP/s\", startup: \"{startup}\")), \
             (count: 4, device: (speed: \"10 GFLOP/s\", startup: \"{startup}\"))]"
        )
    };
    assert!(said(&devices("2 s"))
        .warnings
        .contains("start-up hides how fast they are"));
    assert_eq!(said(&devices("0 s")).warnings, "");
    // Where all are alike there is nothing to hide.
    let alike = "population: [(count: 8, device: (speed: \"1 GFLOP/s\", startup: \"2 s\"))], \
                 partition: (by: Shared(per_client: 20))";
    assert_eq!(said(alike).warnings, "");
}

#[test]
fn clients_of_one_sample_meet_batch_normalisation() {
    let parts =
        "data: Digits, partition: (by: Shared(per_client: 1)), population: [(count: 5)], model:";
    let measured = said_of(&format!(
        "{parts} [Conv(out: 2, kernel: 3), BatchNorm, Flatten, Dense(10)]"
    ));
    assert!(
        measured
            .warnings
            .contains("5 of 5 clients train on a single sample"),
        "{}",
        measured.warnings
    );
    assert_eq!(
        said_of(&format!("{parts} [Flatten, Dense(10)]")).warnings,
        ""
    );
}

#[test]
fn more_adversaries_than_a_defence_bears_are_told_with_their_chance() {
    let with = |defence: &str| {
        said(&format!(
            "population: [(count: 10)], schedule: (cohort: 5), \
             adversaries: [(who: Count(4), attack: SignFlip)], defence: {defence}"
        ))
    };
    // C(10, 5) = 252 cohorts; with k of four: 6, 60, 120, 60, 6.
    let krum = with("Krum(byzantine: 1)");
    let line = krum.lines.last().unwrap();
    assert!(
        line.contains("4 of 10 clients, 2.0 in a cohort of 5"),
        "{line}"
    );
    assert!(
        line.contains("with chance 74 % there are more than the 1 that Krum bears"),
        "{line}"
    );
    assert!(
        krum.warnings.contains("most rounds have more (74 %)"),
        "{}",
        krum.warnings
    );
    let median = with("Median");
    assert!(
        median.lines.last().unwrap().contains("with chance 26 %"),
        "{:?}",
        median.lines
    );
    assert_eq!(median.warnings, "");
    let unknown = with("NormClipping(bound: 1)");
    assert!(unknown
        .lines
        .last()
        .unwrap()
        .contains("it is not known how many it bears"));
}

#[test]
fn large_groups_are_judged_by_two_hundred_clients_spread_over_them() {
    let said = said(
        "partition: (by: Shared(per_client: 20)), population: [(count: 5000, \
         device: (preset: \"laptop\", speed: LogNormal(\"15 GFLOP/s\", 0.5)))]",
    );
    let group = &said.outlooks.groups[0];
    assert_eq!((group.looked_at, group.clients.len()), (200, 200));
    let stands_for: f64 = said.outlooks.each().map(|(_, weight)| weight).sum();
    assert!((stands_for - 5_000.0).abs() < 1e-6);
}

#[test]
fn chances_and_spans_are_told_to_a_few_digits() {
    let chances: Vec<String> = [0.0, 1e-9, 0.0123, 0.5, 0.995, 1.0 - 1e-9, 1.0]
        .map(percent)
        .into();
    assert_eq!(
        chances,
        ["0 %", "< 0.1 %", "1.2 %", "50 %", "99.5 %", "> 99.9 %", "100 %"]
    );
    let spans: Vec<String> = [0.0, 1.234e-4, 0.0567, 12.34, 90_000.0]
        .map(|seconds| about(Span::from_seconds(seconds)))
        .into();
    assert_eq!(spans, ["0 s", "123 us", "56.7 ms", "12.3 s", "25.0 h"]);
}
