//! Clients that stop training in time to report before their round ends.

use super::testing::{self, Heard};
use crate::observe::rows::{ClientOutcome, ClientRow, RoundRow};
use crate::quantity::Span;
use crate::scenario::Scenario;
use crate::sim::Summary;
use std::path::Path;

/// Client 0 starts up in half a second and computes a step of its whole data in less than a fifth of a
/// second; client 1 is fast. A report takes a second to send. A round lasts 10 s, in which client 0 does
/// not get through 60 steps.
const PARTIAL: &str = "rounds: 3, cohort: 2, deadline: \"10 s\", on_deadline: ReportPartial";

fn text(slow: &str, schedule: &str, further: &str) -> String {
    let link = "link: (latency: \"10 ms\", up: \"20 kbit/s\", header: \"0 B\")";
    format!(
        "Scenario(
            seed: 5,
            data: Digits,
            model: [Flatten, Dense(10)],
            training: (steps: 60, batch: 0, optimizer: Sgd(lr: 0.1)),
            server: (link: \"ideal\"),
            population: [
                (name: \"slow\", count: 1, {link},
                 device: (speed: \"15 MFLOP/s\", startup: \"500 ms\", memory: \"1 GB\"){slow}),
                (name: \"fast\", count: 1, {link},
                 device: (speed: \"1 GFLOP/s\", startup: \"500 ms\", memory: \"1 GB\")),
            ],
            schedule: ({schedule}),
            {further}
        )"
    )
}

fn try_run(text: &str) -> (Heard, Summary) {
    let scenario = Scenario::parse(text, Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    let (heard, summary) = testing::run(&scenario);
    assert_eq!(heard.fatal, None, "{text}");
    (heard, summary.unwrap())
}

fn run(slow: &str, schedule: &str, further: &str) -> Heard {
    try_run(&text(slow, schedule, further)).0
}

fn of(heard: &Heard, client: u32) -> Vec<&ClientRow> {
    let mut rows: Vec<&ClientRow> = heard
        .clients
        .iter()
        .filter(|r| r.client == client)
        .collect();
    rows.sort_by_key(|row| row.round);
    rows
}

/// How long client 0 computes a step, in seconds: 64 inputs and a bias for each of ten scores, two
/// operations each but for the bias, three times over, for each sample.
fn step(row: &ClientRow) -> f64 {
    f64::from(row.samples) * 3.0 * 10.0 * 129.0 / 15e6
}

/// The most whole steps that end before `end`, if they begin at `begin`, both in seconds.
fn fit(begin: f64, end: f64, step: f64) -> u32 {
    ((end - begin) / step).ceil() as u32 - 1
}

/// When the training of a row must end: in time for a report of so many bytes at 20 kbit/s, 10 ms away.
fn stop(row: &ClientRow, lasts: f64) -> f64 {
    row.invited.seconds() + lasts - (row.bytes_up as f64 * 8.0 / 20e3 + 0.01)
}

#[test]
fn a_client_takes_the_steps_that_leave_its_report_time_to_arrive() {
    let heard = run("", PARTIAL, "");
    let rows = of(&heard, 0);
    assert_eq!(rows.len(), 3);
    for row in rows {
        let begin = row.received.unwrap().seconds() + 0.5;
        let expected = fit(begin, stop(row, 10.0), step(row));
        assert!((10..60).contains(&expected), "{expected}");
        assert_eq!(
            (row.steps, &row.outcome),
            (expected, &ClientOutcome::Reported)
        );
        let trained = begin + f64::from(expected) * step(row);
        assert!((row.trained.unwrap().seconds() - trained).abs() < 1e-6);
        let took = row.reported.unwrap().since(row.invited).seconds();
        assert!(took < 10.0 && took > 10.0 - step(row) - 1e-6, "{took}");
    }
    assert!(of(&heard, 1).iter().all(|row| row.steps == 60));
    for round in &heard.rounds {
        assert_eq!((round.reported, round.partial), (2, Some(1)));
        assert!(round.duration() < Span::from_secs(10));
    }
}

#[test]
fn what_a_client_does_not_finish_is_lost_unless_the_schedule_says_otherwise() {
    let schedule = "rounds: 3, cohort: 2, deadline: \"10 s\"";
    let as_ever = run("", schedule, "");
    let (said, summary) = try_run(&text("", &format!("{schedule}, on_deadline: Drop"), ""));
    assert_eq!(as_ever.clients, said.clients);
    assert_eq!(summary.hash, try_run(&text("", schedule, "")).1.hash);
    for round in &said.rounds {
        assert_eq!(
            (round.reported, round.unanswered, round.partial),
            (1, 1, None)
        );
    }
}

#[test]
fn pauses_slowdowns_absences_and_a_reserve_cost_steps() {
    let steps = |slow: &str, schedule: &str, further: &str| {
        let heard = run(slow, schedule, further);
        let row = of(&heard, 0)[0].clone();
        assert_eq!(row.outcome, ClientOutcome::Reported, "{further}");
        (row.steps, row)
    };
    let (plain, row) = steps("", PARTIAL, "");
    let (begin, end, step) = (
        row.received.unwrap().seconds() + 0.5,
        stop(&row, 10.0),
        step(&row),
    );
    assert_eq!(plain, fit(begin, end, step));
    let once = "when: Once(at: \"3 s\", lasts: \"2 s\")";
    let paused = format!("faults: [(fault: Pause, who: Group(\"slow\"), {once})],");
    assert_eq!(steps("", PARTIAL, &paused).0, fit(begin + 2.0, end, step));
    // Two seconds at half the speed cost one.
    let slowed = format!("faults: [(fault: Slow(2.0), who: Group(\"slow\"), {once})],");
    assert_eq!(steps("", PARTIAL, &slowed).0, fit(begin + 1.0, end, step));
    let reserved = PARTIAL.replace("ReportPartial", "ReportPartial(reserve: \"1500 ms\")");
    assert_eq!(steps("", &reserved, "").0, fit(begin, end - 1.5, step));
    // By a clock that is a second ahead, the round is over a second earlier.
    let ahead = "faults: [(fault: Clock(ahead: 1.0), who: Group(\"slow\"))],";
    let (steps_by_clock, row) = steps("", PARTIAL, ahead);
    assert_eq!(steps_by_clock, fit(begin, end - 1.0, step));
    assert_eq!(row.steps, steps_by_clock);
}

#[test]
fn with_no_time_for_a_single_step_a_client_declines() {
    let short = PARTIAL.replace("10 s", "1600 ms");
    let heard = run("", &short, "");
    for row in of(&heard, 0) {
        let ClientOutcome::Refused(why) = &row.outcome else {
            panic!("{:?}", row.outcome);
        };
        assert_eq!(&**why, "not one local step would end in time to report");
        assert_eq!(row.flops, 0);
    }
    let all = |round: &RoundRow| (round.reported, round.refused, round.unanswered);
    assert!(heard.rounds.iter().all(|round| all(round) == (1, 1, 0)));
}

/// Also for methods that count steps: a client that stops after k steps is one that was asked for k.
#[test]
fn a_client_that_stops_early_does_what_one_with_so_many_steps_does() {
    for method in [
        "FedAvg",
        "FedProx(mu: 0.5)",
        "FedNova",
        "Scaffold",
        "FedAdam(lr: 0.01)",
    ] {
        let further = format!("method: {method},");
        let cut = run("", PARTIAL, &further);
        let steps: Vec<u32> = of(&cut, 0).iter().map(|row| row.steps).collect();
        assert!(
            steps[0] < 60 && steps.iter().all(|k| *k == steps[0]),
            "{method}: {steps:?}"
        );
        let asked = format!(", training: (steps: {})", steps[0]);
        let schedule = PARTIAL.replace(", on_deadline: ReportPartial", "");
        let whole = run(&asked, &schedule, &further);
        assert_eq!(cut.clients, whole.clients, "{method}");
        let without = |row: &RoundRow| RoundRow {
            partial: None,
            ..row.clone()
        };
        let rounds: Vec<RoundRow> = cut.rounds.iter().map(without).collect();
        assert_eq!(rounds, whole.rounds, "{method}");
    }
}

/// The times of a modelled run are those of the real one, partial work and all.
#[test]
fn modelled_clients_stop_as_real_ones_do() {
    let real = run("", PARTIAL, "");
    let modelled = run("", PARTIAL, "compute: Modelled,");
    let times = |heard: &Heard| -> Vec<_> {
        let rows = [of(heard, 0), of(heard, 1)].concat();
        rows.iter()
            .map(|r| (r.round, r.client, r.steps, r.trained, r.reported))
            .collect()
    };
    assert_eq!(times(&real), times(&modelled));
    assert!(modelled.rounds.iter().all(|round| round.partial == Some(1)));
}
