//! That clients spend what they may and no more, and that everybody is told.

use super::tiny::Ran;
use shoal::observe::rows::{ClientOutcome, ClientRow};
use std::collections::BTreeMap;
use std::path::Path;

/// Four clients that are all asked in each of eight rounds, a second apart at least.
fn federation(budget: &str) -> String {
    format!(
        "Scenario(
            name: \"budgets\",
            seed: 5,
            data: Digits,
            partition: (by: Shared(per_client: 40)),
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 20, optimizer: Sgd(lr: 0.1)),
            population: [(name: \"phones\", count: 4, link: \"lan\", {budget}
                device: (speed: \"1 GFLOP/s\", startup: \"1 s\", power: \"2 W\"))],
            schedule: (rounds: 8, cohort: 4),
            checkpoint: (every: 1),
        )"
    )
}

/// What came of each client's tasks, round after round.
fn outcomes(rows: &[ClientRow]) -> BTreeMap<u32, Vec<String>> {
    let mut all: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut rows: Vec<&ClientRow> = rows.iter().collect();
    rows.sort_by_key(|row| row.round);
    for row in rows {
        let of = all.entry(row.client).or_default();
        of.push(row.outcome.to_string());
    }
    all
}

fn pattern(reported: usize, rest: &str) -> Vec<String> {
    let words = ["reported"].repeat(reported).into_iter();
    words
        .chain(std::iter::repeat_n(rest, 8 - reported))
        .map(String::from)
        .collect()
}

/// 40 samples of 3 · 1,290 FLOP at 1 GFLOP/s and a second of start-up, at 2 W.
#[test]
fn energy_is_spent_at_the_rate_of_the_cost_model_and_then_clients_decline() {
    let free = Ran::of(&federation(""));
    let rows = free.clients();
    let each = 2.0 * (1.0 + 40.0 * 3.0 * 1_290.0 / 1e9);
    for row in &rows {
        assert_eq!(row.outcome, ClientOutcome::Reported);
        assert!(
            (row.energy_j / each - 1.0).abs() < 1e-6,
            "{} of {each}",
            row.energy_j
        );
    }
    assert!(free.record().declined.is_empty());
    // A budget of two rounds and a half is crossed in the third: the fourth is declined.
    let budget = format!("budget: (energy: \"{} J\"),", 2.5 * each);
    let ran = Ran::of(&federation(&budget));
    let declined = "refused: energy budget spent";
    for (client, outcomes) in outcomes(&ran.clients()) {
        assert_eq!(outcomes, pattern(3, declined), "client {client}");
    }
    let record = ran.record();
    assert_eq!(record.declined["energy budget spent"], 4 * 5);
    let table = ran.result.as_ref().unwrap().table.clone();
    assert!(
        table.contains("declined      20 (energy budget spent)"),
        "{table}"
    );
    let rows = ran.rounds();
    assert_eq!(rows[2].refused, 0);
    assert_eq!((rows[3].refused, rows[3].reported), (4, 0));
    // Modelled clients spend as real ones, and workers change nothing.
    let modelled = Ran::changed(
        &federation(&budget),
        Path::new("t.ron"),
        &["compute=Modelled"],
    );
    assert_eq!(outcomes(&modelled.clients()), outcomes(&ran.clients()));
    let two = Ran::on(2, &federation(&budget)).result.unwrap().hash;
    assert_eq!(two, ran.result.unwrap().hash);
}

#[test]
fn a_data_plan_counts_both_ways_and_begins_anew() {
    let rows = Ran::of(&federation("")).clients();
    let (down, up) = (rows[0].bytes_down, rows[0].bytes_up);
    assert!(down > 2_600 && up > 2_600, "{down} and {up}");
    // Two rounds use up all of it, to the byte.
    let budget = format!("budget: (data: \"{} B\"),", 2 * (down + up));
    let ran = Ran::of(&federation(&budget));
    for outcomes in outcomes(&ran.clients()).values() {
        assert_eq!(outcomes, &pattern(2, "refused: data plan spent"));
    }
    // With a byte more there is something left for the third.
    let budget = format!("budget: (data: \"{} B\"),", 2 * (down + up) + 1);
    let ran = Ran::of(&federation(&budget));
    for outcomes in outcomes(&ran.clients()).values() {
        assert_eq!(outcomes, &pattern(3, "refused: data plan spent"));
    }
}

/// Training takes a second and the way there and back a tenth: the first round is over at 1.1 s, those
/// after it are declined, until at 1.5 s the budget is whole again; and so on.
#[test]
fn a_period_gives_the_budget_back() {
    let text = federation("budget: (energy: \"1 J\", per: \"1500 ms\"),");
    let overrides = [
        "schedule.rounds=16",
        "population[0].link=(latency: \"50 ms\")",
        "server.link=ideal",
    ];
    let ran = Ran::changed(&text, Path::new("t.ron"), &overrides);
    let mut trained: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut declined = 0;
    for row in ran.clients() {
        match row.outcome {
            ClientOutcome::Reported => {
                let received = row.received.unwrap().nanos();
                let periods = trained.entry(row.client).or_default();
                periods.push(received / 1_500_000_000);
            }
            other => {
                assert_eq!(other.to_string(), "refused: energy budget spent");
                declined += 1;
            }
        }
    }
    assert_eq!(trained.len(), 4);
    for periods in trained.values() {
        // Once in each: one round spends more than all of it.
        assert!(periods.starts_with(&[0, 1, 2]), "{periods:?}");
        assert!(
            periods.windows(2).all(|pair| pair[0] < pair[1]),
            "{periods:?}"
        );
    }
    assert!(declined >= 4 * 8, "{declined}");
}
