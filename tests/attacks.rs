//! Adversaries and defences in whole runs.

use super::tiny::Ran;
use shoal::observe::rows::{ClientOutcome, Outcome};

/// Ten clients with IID digits; `parts` of the scenario beside that.
fn digits(parts: &str) -> String {
    format!(
        "Scenario(
            seed: 2,
            data: Digits,
            public: (share: 0.05),
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.1)),
            population: [(name: \"all\", count: 10, device: \"laptop\", link: \"lan\")],
            schedule: (rounds: 6, cohort: 10),
            {parts}
        )"
    )
}

fn accuracy(parts: &str) -> f64 {
    let ran = Ran::of(&digits(parts));
    ran.rounds().pop().unwrap().accuracy.unwrap()
}

const REVERSED: &str = "adversaries: [(who: Count(3), attack: SignFlip(scale: 10.0))],";

#[test]
fn defences_hold_where_the_plain_mean_falls() {
    let clean = accuracy("");
    let fallen = accuracy(REVERSED);
    assert!(clean > 0.85 && fallen < 0.5, "{clean} and {fallen}");
    for defence in [
        "Median()",
        "TrimmedMean(trim: 0.3)",
        "GeometricMedian()",
        "Krum(byzantine: 3)",
        "MultiKrum(byzantine: 3, keep: 5)",
        "Bulyan(byzantine: 1)",
        "FLTrust()",
        "DnC(byzantine: 3)",
        "Bucketing(size: 1, inner: Median())",
    ] {
        let held = accuracy(&format!("defence: {defence}, {REVERSED}"));
        assert!(held > clean - 0.15, "{defence}: {held} of {clean}");
    }
}

/// Every attack and every defence once, with its defaults where they fit.
#[test]
fn any_number_of_workers_gives_the_same_trace() {
    let attacks = "adversaries: [
        (who: Clients([0]), attack: LabelFlip()),
        (who: Clients([1]), attack: Backdoor(boost: 2.0), rounds: (from: 2, on: 1, off: 1)),
        (who: Clients([2, 3]), attack: Sybils()),
        (who: Clients([4]), attack: DisguisedFreeRider()),
        (who: Clients([5, 6]), attack: Alie(knowledge: Cohort)),
        (who: Clients([7]), attack: Gaussian()),
    ],";
    for defence in [
        "WeakDp()",
        "FoolsGold()",
        "CentredClipping()",
        "SignMajority()",
    ] {
        let text = digits(&format!("defence: {defence}, {attacks}"));
        let hash = |workers| Ran::on(workers, &text).result.unwrap().hash;
        assert_eq!(hash(1), hash(3), "{defence}");
    }
}

#[test]
fn a_backdoor_is_measured_and_a_run_without_one_has_no_such_figure() {
    let backdoor = "adversaries: [(who: Count(4), attack: Backdoor(target: 3, share: 0.6))],";
    let ran = Ran::of(&digits(backdoor));
    let rounds = ran.rounds();
    let success: Vec<f64> = rounds.iter().map(|r| r.attack_success.unwrap()).collect();
    assert!(success[5] > 0.5, "{success:?}");
    assert!(
        rounds[5].accuracy.unwrap() > 0.8,
        "the model is as good as ever"
    );
    let table = &ran.result.as_ref().unwrap().table;
    assert!(table.contains("\n  attack        "), "{table}");
    let honest = Ran::of(&digits(""));
    assert!(honest.rounds().iter().all(|r| r.attack_success.is_none()));
    assert!(!honest.result.unwrap().table.contains("attack"));
}

#[test]
fn a_free_rider_costs_its_device_nothing() {
    let ran = Ran::of(&digits(
        "adversaries: [(who: Clients([4]), attack: FreeRider(), rounds: (until: 3))],",
    ));
    for row in ran.clients() {
        let idle = row.client == 4 && row.round <= 3;
        assert_eq!(
            row.flops == 0,
            idle,
            "client {} round {}",
            row.client,
            row.round
        );
        assert_eq!(row.outcome, ClientOutcome::Reported);
    }
}

#[test]
fn a_round_with_fewer_reports_than_the_defence_needs_is_given_up() {
    let slow = "Scenario(
        seed: 5,
        data: Digits,
        model: [Flatten, Dense(10)],
        population: [
            (name: \"sound\", count: 4, device: \"laptop\", link: \"lan\"),
            (name: \"slow\", count: 3, device: (preset: \"laptop\", speed: \"100 FLOP/s\"), link: \"lan\"),
        ],
        defence: Krum(byzantine: 1),
        schedule: (rounds: 2, cohort: 7, deadline: \"5 s\"),
    )";
    for round in Ran::of(slow).rounds() {
        assert_eq!((round.reported, round.outcome), (4, Outcome::Abandoned));
    }
}

#[test]
fn poisoned_scores_make_a_federation_of_scores_worse() {
    let mean = |adversaries: &str| {
        let text = format!(
            "Scenario(
                seed: 4,
                data: Digits,
                public: (share: 0.1),
                partition: (by: Dirichlet(alpha: 0.5), min_per_client: 8, holdout: 0.25),
                model: [Flatten, Dense(16), Relu, Dense(10)],
                training: (epochs: 1, batch: 8, optimizer: Sgd(lr: 0.05)),
                population: [(count: 6, device: \"laptop\", link: \"lan\")],
                method: FedMD(
                    subset: 150,
                    digest_batch: 8,
                    digest_epochs: 5,
                    transfer_public_epochs: 2,
                    transfer_private_epochs: 2,
                ),
                schedule: (rounds: 5, cohort: 6),
                evaluation: (per_client: true),
                {adversaries}
            )"
        );
        Ran::of(&text).rounds().pop().unwrap().trained_mean.unwrap()
    };
    let (clean, poisoned) = (
        mean(""),
        mean("adversaries: [(who: Count(4), attack: LogitPoisoning(mode: Negate))],"),
    );
    assert!(poisoned < clean - 0.08, "{poisoned} of {clean}");
}
