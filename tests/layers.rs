//! Layers in whole runs: what they cost on the wire, what they promise, and that a run with them is
//! as repeatable as one without.

use super::tiny::Ran;
use shoal::observe::rows::{ClientOutcome, Outcome};

/// Ten clients, of whom five are wanted a round, in layers.
fn wearing(layers: &str, schedule: &str) -> String {
    format!(
        "Scenario(
            seed: 6,
            data: Digits,
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.1)),
            population: [
                (name: \"sound\", count: 8, device: \"laptop\", link: \"lan\"),
                (name: \"slow\", count: 2, link: \"lan\",
                 device: (preset: \"laptop\", speed: \"100 FLOP/s\")),
            ],
            {layers}
            schedule: (rounds: 4, deadline: \"5 s\", {schedule}),
        )"
    )
}

const ALL: &[&str] = &[
    "compression: TopK(share: 0.1),",
    "compression: RandomK(share: 0.1),",
    "compression: Qsgd(),",
    "compression: Ternary(),",
    "compression: Sign(),",
    "method: Scaffold(), compression: Int8(),",
    "privacy: CentralDp(clip: 0.5, noise: 1.0), compression: Int8(),",
    "privacy: CentralDp(clip: 0.5, noise: 1.0, adaptive: (count_noise: 1.0)),",
    "privacy: LocalDp(clip: 0.5, noise: 0.1),",
    "secure_aggregation: SecAgg(threshold: 0.5),",
    "privacy: CentralDp(clip: 0.5, noise: 1.0), secure_aggregation: SecAgg(threshold: 0.5),",
];

#[test]
fn runs_in_any_layer_have_the_same_hash_on_one_worker_and_on_two() {
    for layers in ALL {
        let text = wearing(layers, "cohort: 8");
        let (one, two) = (Ran::on(1, &text), Ran::on(2, &text));
        let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
        assert_eq!(hash(&one), hash(&two), "{layers}");
        assert!(one
            .rounds()
            .iter()
            .all(|round| round.outcome == Outcome::Completed));
    }
}

/// A model is 650 values.
#[test]
fn what_links_carry_is_what_the_formulas_say() {
    for (layers, content) in [
        ("", 4 * 650),
        // 65 values and as many indices of ten bits.
        ("compression: TopK(share: 0.1),", 4 * 65 + 82),
        ("compression: RandomK(share: 0.1),", 8 + 4 * 65),
        ("compression: Qsgd(levels: 15, bucket: 512),", 2 * 4 + 407),
        ("compression: Ternary(),", 2 * 4 + 130),
        ("compression: Sign(),", 2 * 4 + 82),
        ("compression: Int8(block: 256),", 3 * 8 + 650),
        // Eight are asked: 16 bits and three; 64 bytes of keys, shares for seven and of eight.
        (
            "secure_aggregation: SecAgg(threshold: 0.5),",
            1_544 + 4 + 64 + 7 * 96 + 8 * 40,
        ),
    ] {
        let ran = Ran::of(&wearing(layers, "cohort: 8"));
        for row in ran.clients() {
            if row.outcome == ClientOutcome::Reported {
                assert_eq!(row.bytes_up, 16 + 8 + content, "{layers}");
            }
        }
    }
}

#[test]
fn epsilon_grows_round_by_round_and_is_told_at_the_end() {
    let ran = Ran::of(&wearing(
        "privacy: CentralDp(clip: 0.5, noise: 2.0),",
        "cohort: 5",
    ));
    let spent: Vec<f64> = ran
        .rounds()
        .iter()
        .map(|round| round.epsilon.unwrap())
        .collect();
    assert!(spent.is_sorted_by(|a, b| a < b), "{spent:?}");
    // Half of the clients are asked a round.
    let accountant = shoal::privacy::Accountant::new(0.5, 2.0, 1e-5);
    assert_eq!(spent[3], accountant.epsilon(4));
    let finished = ran.result.as_ref().unwrap();
    assert_eq!(finished.totals.epsilon, Some(spent[3]));
    // The distribution of the privacy loss promises more, after the same four rounds.
    let tighter = accountant.tightest(4).by_distribution();
    assert!(tighter.unwrap() < spent[3]);
    assert_eq!(finished.totals.epsilon_pld, tighter);
    assert!(finished.table.contains("ε = "), "{}", finished.table);
    assert!(finished.table.contains("(PLD)"), "{}", finished.table);
    let plain = Ran::of(&wearing("", "cohort: 5"));
    assert!(plain.rounds().iter().all(|round| round.epsilon.is_none()));
}

#[test]
fn the_masks_of_clients_that_never_report_come_out_of_the_sum() {
    // All ten are asked, two of them never report in time.
    let secure = "secure_aggregation: SecAgg(threshold: 0.8, bits: 20, range: 0.5),";
    let (plain, secure) = (wearing("", "cohort: 10"), wearing(secure, "cohort: 10"));
    let (plain, secure) = (Ran::of(&plain), Ran::of(&secure));
    for (plain, secure) in plain.rounds().iter().zip(secure.rounds()) {
        assert_eq!((secure.reported, secure.unanswered), (8, 2));
        let off = plain.loss.unwrap() - secure.loss.unwrap();
        assert!(off.abs() < 1e-4, "{off}");
    }
}

#[test]
fn a_cohort_below_the_threshold_abandons_the_round_and_the_model_stays() {
    let ran = Ran::of(&wearing(
        "secure_aggregation: SecAgg(threshold: 0.9),",
        "cohort: 10",
    ));
    let rounds = ran.rounds();
    assert!(rounds
        .iter()
        .all(|round| round.outcome == Outcome::Abandoned));
    assert!(rounds.iter().all(|round| round.loss == rounds[0].loss));
}
