//! Servers between, in a federation that really learns.

use super::testing::{self, Heard};
use crate::observe::rows::{ClientOutcome, Outcome, RoundRow};
use crate::scenario::Scenario;
use crate::sim::{Ending, Summary};
use std::path::Path;

/// Twelve that are alike, on links that take no time and lose nothing.
const ALIKE: &str = "(name: \"all\", count: 12, device: \"laptop\", link: \"ideal\")";

fn run_among(population: &str, schedule: &str, further: &str) -> (Heard, Summary) {
    let text = format!(
        "Scenario(
            seed: 6,
            data: Digits,
            partition: (by: Dirichlet(alpha: 1.0), min_per_client: 8),
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [{population}],
            server: (link: \"ideal\"),
            schedule: ({schedule}),
            {further}
        )"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    let (heard, summary) = testing::run(&scenario);
    let summary = summary.unwrap_or_else(|error| panic!("{error}: {schedule} {further}"));
    assert_eq!(summary.ending, Ending::Finished, "{schedule} {further}");
    assert_eq!(heard.fatal, None);
    assert!(summary.accounting.unbalanced().is_empty());
    (heard, summary)
}

fn run(schedule: &str, further: &str) -> Heard {
    run_among(ALIKE, schedule, further).0
}

fn losses(heard: &Heard) -> Vec<f64> {
    let of = |row: &RoundRow| row.loss.unwrap();
    heard.rounds.iter().map(of).collect()
}

fn near(a: &[f64], b: &[f64], what: &str) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 2e-5, "{what}: {a} against {b}");
    }
}

/// The mean of means weighed by their samples is the mean.
#[test]
fn servers_between_with_ideal_links_are_flat_fedavg_to_float_tolerance() {
    let schedule = "rounds: 4, cohort: 12";
    for method in [
        "FedAvg()",
        "FedProx(mu: 0.1)",
        "FedAvgM()",
        "FedAdam(lr: 0.03)",
    ] {
        let method = format!("method: {method}");
        let flat = losses(&run(schedule, &method));
        for tiers in [
            "(count: 1, link: \"ideal\")",
            "(count: 3, link: \"ideal\")",
            "(count: 5, link: \"ideal\", assign: Interleaved)",
            "(count: 2, link: \"ideal\"), (count: 4, link: \"ideal\", assign: Interleaved)",
        ] {
            let heard = run(schedule, &format!("{method}, hierarchy: [{tiers}]"));
            near(&losses(&heard), &flat, &format!("{method} {tiers}"));
            assert!(heard.rejections.is_empty());
            let clients = heard.clients.iter();
            let used = clients.filter(|row| row.outcome == ClientOutcome::Reported);
            assert_eq!(used.count(), 4 * 12, "{tiers}");
        }
    }
}

/// One server between that holds two rounds for each of the server above goes as fast as rounds are
/// held at the bottom.
#[test]
fn rounds_below_are_rounds() {
    let flat = losses(&run("rounds: 6, cohort: 12", ""));
    let between = "hierarchy: [(count: 1, link: \"ideal\", rounds: 2)]";
    let heard = run("rounds: 3, cohort: 12", between);
    near(&losses(&heard), &[flat[1], flat[3], flat[5]], "two for one");
    let rounds: Vec<_> = heard
        .servers
        .iter()
        .map(|row| (row.above_round, row.round))
        .collect();
    assert_eq!(rounds, [(1, 1), (1, 2), (2, 3), (2, 4), (3, 5), (3, 6)]);
    // And two tiers of them multiply.
    let between = "hierarchy: [(count: 1, link: \"ideal\", rounds: 3),
        (count: 1, link: \"ideal\", rounds: 2)]";
    let heard = run("rounds: 1, cohort: 12", between);
    near(&losses(&heard), &[flat[5]], "six for one");
}

/// Servers that hold two rounds for one of the server above go on from their own means in the second,
/// which is another model than that of two rounds of all together, and not far from it.
#[test]
fn servers_move_apart_between_rounds_of_the_one_above() {
    let together = run(
        "rounds: 4, cohort: 12",
        "hierarchy: [(count: 3, link: \"ideal\")]",
    );
    let apart = run(
        "rounds: 2, cohort: 12",
        "hierarchy: [(count: 3, link: \"ideal\", rounds: 2)]",
    );
    let (together, apart) = (losses(&together)[3], losses(&apart)[1]);
    assert!(
        (together - apart).abs() > 1e-4,
        "{together} against {apart}"
    );
    assert!((together - apart).abs() < 0.3, "{together} against {apart}");
}

#[test]
fn a_cohort_is_shared_out_and_every_line_adds_up() {
    let tiers = "hierarchy: [(name: \"region\", count: 2, link: \"lan\"),
        (name: \"edge\", count: 4, link: \"lan\")]";
    let (heard, summary) = run_among(ALIKE, "rounds: 3, cohort: 6, over_selection: 1.5", tiers);
    for round in 1..=3 {
        let of = |tier: &str| {
            let rows = heard.servers.iter();
            let rows = rows.filter(|row| &*row.tier == tier && row.round == round);
            rows.fold((0, 0, 0), |(n, asked, reported), row| {
                (n + 1, asked + row.invited, reported + row.reported)
            })
        };
        assert_eq!(of("region"), (2, 4, 4));
        let (servers, asked, reported) = of("edge");
        assert_eq!((servers, reported), (4, 6));
        let rows = heard.clients.iter().filter(|row| row.round == round);
        assert_eq!(rows.count() as u32, asked, "each that was asked has a line");
    }
    let bytes = |of: fn(&RoundRow) -> u64| heard.rounds.iter().map(of).sum::<u64>();
    let below: u64 = heard.servers.iter().map(|row| row.bytes_down).sum();
    let sent = summary.accounting.total().bytes;
    let up: u64 = heard.servers.iter().map(|row| row.bytes_up).sum();
    let told = bytes(|row| row.bytes_down) + bytes(|row| row.bytes_up) + below + up;
    let report = heard.clients[0].bytes_up;
    // What came after the last round is in no line.
    assert!(
        told <= sent && (sent - told) / report <= 4,
        "{told} of {sent} bytes"
    );
    assert!(heard
        .rounds
        .iter()
        .all(|row| row.invited == 2 && row.reported == 2));
}

const TWO_SPEEDS: &str = "
    (name: \"quick\", count: 6, device: \"laptop\", link: \"lan\"),
    (name: \"slow\", count: 6, device: (preset: \"laptop\", startup: \"20 s\"), link: \"lan\"),";

#[test]
fn a_server_whose_clients_are_slow_is_gone_on_without() {
    let between = "hierarchy: [(count: 2, link: \"lan\")]";
    let (heard, _) = run_among(
        TWO_SPEEDS,
        "rounds: 3, cohort: 12, deadline: \"5 s\"",
        between,
    );
    assert!(heard
        .rounds
        .iter()
        .all(|row| (row.reported, row.unanswered) == (1, 1)));
    let outcomes = |server| {
        let rows = heard.servers.iter().filter(|row| row.server == server);
        rows.map(|row| row.outcome).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(0), [Outcome::Completed; 3]);
    // The third task is under way when the run ends.
    assert_eq!(outcomes(1), [Outcome::Stopped; 2]);
}

#[test]
fn a_server_between_with_a_deadline_reports_what_it_has() {
    let between = "hierarchy: [(count: 2, link: \"lan\", assign: Interleaved, deadline: \"5 s\")]";
    let (heard, _) = run_among(TWO_SPEEDS, "rounds: 5, cohort: 12", between);
    assert!(heard.rounds.iter().all(|row| row.reported == 2));
    for row in &heard.servers {
        assert_eq!(
            (row.invited, row.reported, row.unanswered),
            (6, 3, 3),
            "{row:?}"
        );
    }
    // Who was asked again before it had answered gave the older task up.
    let lost = heard
        .clients
        .iter()
        .filter(|row| row.outcome == ClientOutcome::Lost);
    assert_eq!(lost.count(), 4 * 6);
}

#[test]
fn a_server_whose_clients_all_decline_declines_itself() {
    // All of the second server's clients decline: they have no memory for the model.
    let population = "(count: 6, device: \"laptop\", link: \"lan\"),
        (count: 6, device: (preset: \"laptop\", memory: \"1 kB\"), link: \"lan\")";
    let between = "hierarchy: [(count: 2, link: \"lan\")]";
    let (heard, _) = run_among(population, "rounds: 2, cohort: 12", between);
    assert!(heard
        .rounds
        .iter()
        .all(|row| (row.reported, row.refused) == (1, 1)));
    let second = heard.servers.iter().filter(|row| row.server == 1);
    assert!(second
        .clone()
        .all(|row| row.outcome == Outcome::Abandoned && row.refused == 6));
    assert_eq!(second.count(), 2);
}

#[test]
fn what_is_modelled_takes_the_time_of_what_is_real() {
    let between = "hierarchy: [(count: 3, link: \"wifi\", rounds: 2)]";
    let population = "(count: 12, device: \"phone-mid\", link: \"4g\")";
    let schedule = "rounds: 2, cohort: 6";
    let real = run_among(population, schedule, between).0;
    let modelled = format!("{between}, compute: Modelled");
    let modelled = run_among(population, schedule, &modelled).0;
    let ends = |heard: &Heard| heard.rounds.iter().map(|row| row.ended).collect::<Vec<_>>();
    assert_eq!(ends(&real), ends(&modelled));
    let bytes = |heard: &Heard| heard.servers.iter().map(|row| row.bytes_up).sum::<u64>();
    assert_eq!(bytes(&real), bytes(&modelled));
}

#[test]
fn compressed_reports_are_read_by_the_server_that_they_go_to() {
    let schedule = "rounds: 3, cohort: 12";
    let compressed = "compression: Int8(()), ";
    let flat = run(schedule, compressed);
    let heard = run(
        schedule,
        &format!("{compressed} hierarchy: [(count: 3, link: \"ideal\")]"),
    );
    near(&losses(&heard), &losses(&flat), "a byte a value");
    let up: u64 = heard.servers.iter().map(|row| row.bytes_up).sum();
    let flat_up: u64 = flat.rounds.iter().map(|row| row.bytes_up).sum();
    assert_eq!(up, flat_up);
}

/// Semi-synchronous tiers: each holds rounds at its own pace, and the server at the top waits for none.
#[test]
fn tiers_by_speed_report_as_often_as_they_are_done() {
    let tiers = "hierarchy: [(count: 2, link: \"lan\", assign: BySpeed)]";
    let waits = "rounds: 24, cohort: 12, waiting: FedAT()";
    // The slow stand first, so that order is by speed and not by number.
    let population = "
        (name: \"slow\", count: 6, device: (preset: \"laptop\", startup: \"5 s\"), link: \"lan\"),
        (name: \"quick\", count: 6, device: (preset: \"laptop\", startup: \"1 s\"), link: \"lan\"),";
    let (heard, _) = run_among(population, waits, tiers);
    for row in &heard.clients {
        let quick = row.client >= 6;
        assert_eq!(quick, &*row.group == "quick");
    }
    let rounds = |server| {
        heard
            .servers
            .iter()
            .filter(|row| row.server == server)
            .count()
    };
    // Five of the quick tier's for each of the slow one's.
    let (quick, slow) = (rounds(0), rounds(1));
    assert!(
        (19..=21).contains(&quick) && (3..=4).contains(&slow),
        "{quick} {slow}"
    );
    let last = heard.rounds.last().unwrap();
    assert!(
        last.ended
            .since(crate::quantity::VirtualTime::ZERO)
            .seconds()
            < 25.0
    );
    assert!(last.accuracy.unwrap() > 0.6, "{last:?}");
}

/// With one server between all three rules of waiting are rounds of flat FedAvg, one by one.
#[test]
fn one_tier_of_one_that_is_not_waited_for_is_flat_fedavg() {
    let flat = losses(&run("rounds: 4, cohort: 12", ""));
    for waiting in [
        "FedAT()",
        "FedAsync(concurrency: 1, alpha: 1.0)",
        "FedBuff(concurrency: 1, buffer: 1)",
    ] {
        let between = "hierarchy: [(count: 1, link: \"ideal\")]";
        let heard = run(
            &format!("rounds: 4, cohort: 12, waiting: {waiting}"),
            between,
        );
        near(&losses(&heard), &flat, waiting);
    }
}
