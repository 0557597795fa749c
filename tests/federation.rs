//! How a federation meets what goes wrong: clients that cannot, reports that come late or never.

use super::tiny::Ran;
use shoal::method::MethodSpec;
use shoal::observe::record::Status;
use shoal::observe::rows::{ClientOutcome, Outcome};
use shoal::quantity::Span;
use std::collections::BTreeMap;

/// Three clients as they should be and three that are `other`, all asked in each round.
fn mixed(other: &str, schedule: &str) -> String {
    format!(
        "Scenario(
            seed: 5,
            data: Digits,
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [
                (name: \"sound\", count: 3, device: \"laptop\", link: \"lan\"),
                (name: \"other\", count: 3, {other}),
            ],
            schedule: ({schedule}),
        )"
    )
}

/// Clients that take hours to train.
const SLOW: &str = "device: (preset: \"laptop\", speed: \"100 FLOP/s\"), link: \"lan\"";

#[test]
fn a_client_whose_model_does_not_fit_declines_and_the_round_goes_on() {
    let small = "device: (preset: \"laptop\", memory: \"1 kB\"), link: \"lan\"";
    let ran = Ran::of(&mixed(small, "rounds: 2, cohort: 6"));
    for round in ran.rounds() {
        assert_eq!((round.reported, round.refused, round.unanswered), (3, 3, 0));
        assert_eq!(round.outcome, Outcome::Completed);
    }
    for row in ran.clients() {
        match &row.outcome {
            ClientOutcome::Refused(reason) => {
                assert_eq!(&*row.group, "other");
                assert!(reason.ends_with("the device has 1 kB"), "{reason}");
            }
            outcome => assert_eq!((&*row.group, outcome), ("sound", &ClientOutcome::Reported)),
        }
    }
}

#[test]
fn a_deadline_closes_a_round_with_the_reports_it_has() {
    let ran = Ran::of(&mixed(SLOW, "rounds: 2, cohort: 6, deadline: \"5 s\""));
    for round in ran.rounds() {
        assert_eq!((round.invited, round.reported, round.unanswered), (6, 3, 3));
        assert_eq!(round.outcome, Outcome::Completed);
        // The server's arithmetic for 650 parameters takes less than a microsecond.
        let over = round.duration() - Span::from_secs(5);
        assert!(over < Span::from_nanos(1_000), "{over}");
        assert!(round.duration() >= Span::from_secs(5));
    }
}

/// Three clients that take three times as long as a round.
#[test]
fn slow_clients_report_the_steps_that_they_have_taken_where_the_schedule_says_so() {
    let slow = "device: (preset: \"laptop\", speed: \"200 kFLOP/s\"), link: \"lan\"";
    let partial = "rounds: 2, cohort: 6, deadline: \"2 s\", on_deadline: ReportPartial";
    let ran = Ran::of(&mixed(slow, partial));
    for round in ran.rounds() {
        let counts = (round.reported, round.unanswered, round.partial);
        assert_eq!(counts, (6, 0, Some(3)));
        assert!(round.duration() < Span::from_secs(2));
    }
    for row in ran.clients() {
        let all = row.samples.div_ceil(32);
        match &*row.group {
            "other" => assert!((1..all).contains(&row.steps), "{} of {all}", row.steps),
            _ => assert_eq!(row.steps, all),
        }
    }
    assert_eq!(ran.record().totals.unwrap().partial, Some(6));
    let hash = |ran: &Ran| ran.result.as_ref().unwrap().hash.to_string();
    for workers in [2, 4] {
        let again = Ran::on(workers, &mixed(slow, partial));
        assert_eq!(hash(&ran), hash(&again), "{workers} workers");
    }
    let dropped = Ran::of(&mixed(slow, "rounds: 2, cohort: 6, deadline: \"2 s\""));
    for round in dropped.rounds() {
        let counts = (round.reported, round.unanswered, round.partial);
        assert_eq!(counts, (3, 3, None));
    }
    assert_eq!(dropped.record().totals.unwrap().partial, None);
}

#[test]
fn too_few_reports_abandon_a_round_and_the_model_stays_as_it_was() {
    let losses = |least: u32| {
        let schedule = format!("rounds: 3, cohort: 6, deadline: \"5 s\", least_reports: {least}");
        let ran = Ran::of(&mixed(SLOW, &schedule));
        let rounds = ran.rounds();
        let outcomes: Vec<Outcome> = rounds.iter().map(|round| round.outcome).collect();
        let losses: Vec<f64> = rounds.iter().map(|round| round.loss.unwrap()).collect();
        (outcomes, losses)
    };
    let (outcomes, kept) = losses(4);
    assert_eq!(outcomes, [Outcome::Abandoned; 3]);
    assert!(kept.iter().all(|loss| *loss == kept[0]), "{kept:?}");
    let (outcomes, moved) = losses(3);
    assert_eq!(outcomes, [Outcome::Completed; 3]);
    assert!(moved[0] != kept[0] && moved[1] != moved[0], "{moved:?}");
}

#[test]
fn over_selection_takes_the_first_reports_and_ignores_the_late() {
    // A report is 2.6 kB: it takes a second, or longer than the run.
    let other = |up: &str| format!("device: \"laptop\", link: (preset: \"lan\", up: \"{up}\")");
    let schedule = "rounds: 5, cohort: 3, over_selection: 2.0";
    let late = Ran::of(&mixed(&other("21 kbit/s"), schedule));
    let never = Ran::of(&mixed(&other("10 bit/s"), schedule));
    let (with, without) = (late.rounds(), never.rounds());
    assert!(with.iter().map(|round| round.late_arrivals).sum::<u32>() > 0);
    assert_eq!(
        without.iter().map(|round| round.late_arrivals).sum::<u32>(),
        0
    );
    for (with, without) in with.iter().zip(&without) {
        assert_eq!((with.invited, with.reported), (6, 3));
        // Reports are added up as they come, and what that rounds differs with the latencies drawn; a
        // report more moves the loss by a hundredth.
        let (with, without) = (with.loss.unwrap(), without.loss.unwrap());
        assert!(
            (with - without).abs() < 1e-6,
            "a late report moved the model"
        );
    }
    let used = late.clients();
    assert!(used
        .iter()
        .all(|row| row.outcome != ClientOutcome::Reported || &*row.group == "sound"));
}

#[test]
fn each_client_asked_in_a_round_has_one_row() {
    let other = "device: \"laptop\", link: (preset: \"lan\", up: \"21 kbit/s\")";
    let ran = Ran::of(&mixed(other, "rounds: 5, cohort: 3, over_selection: 2.0"));
    let clients = ran.clients();
    for round in ran.rounds() {
        let rows: Vec<_> = clients
            .iter()
            .filter(|row| row.round == round.round)
            .collect();
        let mut asked: Vec<u32> = rows.iter().map(|row| row.client).collect();
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2, 3, 4, 5], "round {}", round.round);
        for row in rows {
            assert_eq!(row.invited, round.started, "{row:?}");
        }
    }
}

#[test]
fn a_lost_report_without_a_deadline_is_an_error_that_says_who_waits_for_whom() {
    let lossy =
        "device: \"laptop\", link: (preset: \"lan\", loss: Independent(1), transport: Datagram)";
    let ran = Ran::on(1, &mixed(lossy, "rounds: 2, cohort: 6"));
    let error = ran.result.as_ref().unwrap_err().to_string();
    assert!(error.starts_with("wedged at "), "{error}");
    assert!(
        error.contains("node 0 waits for reports of round 1 from clients 3, 4, 5"),
        "{error}"
    );
    assert!(error.contains("set schedule.deadline"), "{error}");
    let record = ran.record();
    assert_eq!(record.status, Status::Failed);
    assert_eq!(record.error, Some(error));
}

#[test]
fn a_run_stops_at_its_accuracy() {
    let ran = Ran::of(&mixed(
        "device: \"laptop\", link: \"lan\"",
        "rounds: 50, cohort: 6, stop_at_accuracy: 0.8",
    ));
    let reached: Vec<bool> = ran
        .rounds()
        .iter()
        .map(|round| round.accuracy.unwrap() >= 0.8)
        .collect();
    assert!(reached.len() > 1 && reached.len() < 50, "{reached:?}");
    assert_eq!(reached.iter().position(|r| *r), Some(reached.len() - 1));
}

#[test]
fn a_run_stops_at_its_time() {
    // A round takes a laptop's start-up of half a second and little more.
    let ran = Ran::of(&mixed(
        "device: \"laptop\", link: \"lan\"",
        "rounds: 50, cohort: 6, stop_at_time: \"1750 ms\"",
    ));
    let rounds = ran.rounds();
    let outcomes: Vec<Outcome> = rounds.iter().map(|round| round.outcome).collect();
    use Outcome::{Completed, Stopped};
    assert_eq!(outcomes, [Completed, Completed, Completed, Stopped]);
    assert_eq!(rounds[3].ended.nanos(), 1_750_000_000);
    assert_eq!(ran.record().status, Status::Completed);
}

/// With and without a model that all share, beside which clients have their own.
#[test]
fn clients_with_models_of_their_own_are_told_of_before_and_after_training_and_not_as_if_handed_one()
{
    for method in ["LotteryFL()", "Hermes()", "TailorFL()", "FedMD()"] {
        let sized = ["TailorFL()", "FedMD()"].contains(&method);
        let text = format!(
            "Scenario(
                seed: 4,
                data: Digits,
                public: (share: 0.02),
                partition: (by: Dirichlet(alpha: 0.5), min_per_client: 8, holdout: 0.25),
                model: [Flatten, Dense(16), Relu, Dense(10)],
                training: (epochs: 1, batch: 8, optimizer: Sgd(lr: 0.1)),
                population: [
                    (name: \"a\", count: 5, device: \"laptop\", link: \"lan\"),
                    (name: \"b\", count: 5, device: \"laptop\", link: \"lan\"{}),
                ],
                method: {method},
                schedule: (rounds: 5, cohort: 4),
                evaluation: (every: 5, per_client: true),
            )",
            if sized { ", size: 0.5" } else { "" }
        );
        let ran = Ran::of(&text);
        let last: BTreeMap<u32, f64> = ran
            .clients()
            .iter()
            .filter_map(|row| Some((row.client, row.trained_accuracy?)))
            .collect();
        assert!((4..=10).contains(&last.len()), "{method}: {last:?}");
        let mean = last.values().sum::<f64>() / last.len() as f64;
        let round = ran.rounds().pop().unwrap();
        assert_eq!(round.client_mean, None, "{method}");
        assert!(round.received_mean.is_some(), "{method}");
        let told = round.trained_mean.unwrap();
        assert!(
            (told - mean).abs() < 1e-9,
            "{method}: {told} against {mean}"
        );
        assert_eq!(round.accuracy.is_some(), method != "FedMD()", "{method}");
    }
}

/// Six clients under any method, measured after the last of three rounds.
fn measured(method: &str, cohort: u32, every: u32) -> String {
    let head = match method {
        "DepthFL()" => {
            "Flatten, Dense(16), Relu, Exit(head: [Dense(10)]), Dense(16), Relu, Dense(10)"
        }
        _ => "Flatten, Dense(16), Relu, Dense(10)",
    };
    format!(
        "Scenario(
            seed: 4,
            data: Digits,
            public: (share: 0.01, select: 0.25),
            partition: (by: Dirichlet(alpha: 0.5), min_per_client: 8, holdout: 0.25),
            model: [{head}],
            training: (epochs: 1, batch: 16, optimizer: Sgd(lr: 0.1)),
            population: [(name: \"all\", count: 6, device: \"laptop\", link: \"lan\")],
            method: {method},
            schedule: (rounds: 3, cohort: {cohort}),
            evaluation: (every: {every}, per_client: true),
        )"
    )
}

#[test]
fn every_method_measures_its_clients_before_and_after_local_training() {
    let mut asked = 0;
    for (name, _) in MethodSpec::ALL {
        let method = match *name {
            // By default it trains long before a client's first round.
            "FedMD" => "FedMD(transfer_public_epochs: 1, transfer_private_epochs: 1)".to_string(),
            name => format!("{name}()"),
        };
        let ran = Ran::of(&measured(&method, 4, 3));
        let clients = ran.clients();
        if clients.is_empty() {
            // A baseline that works at the server alone.
            continue;
        }
        asked += 1;
        let mut last = BTreeMap::new();
        for row in clients {
            let both = row.received_accuracy.zip(row.trained_accuracy);
            let both = both.unwrap_or_else(|| panic!("{name}: {row:?}"));
            last.insert(row.client, both);
        }
        let round = ran.rounds().pop().unwrap();
        assert_eq!(round.trained_clients, Some(last.len() as u32), "{name}");
        assert_eq!(round.trained_worst10_clients, Some(1), "{name}");
        assert!(round.trained_worst10_samples >= Some(2), "{name}");
        for (told, mean) in [
            (
                round.received_mean,
                last.values().map(|both| both.0).sum::<f64>(),
            ),
            (
                round.trained_mean,
                last.values().map(|both| both.1).sum::<f64>(),
            ),
        ] {
            let difference = told.unwrap() - mean / last.len() as f64;
            assert!(difference.abs() < 1e-9, "{name}: {difference}");
        }
    }
    assert!(asked >= 20, "{asked}");
}

/// What all clients are handed after a round is what they receive in the next.
#[test]
fn a_model_is_as_good_when_it_is_received_as_it_was_when_it_was_measured() {
    let rounds = Ran::of(&measured("FedAvg", 6, 1)).rounds();
    for pair in rounds.windows(2) {
        assert!(pair[0].client_mean.is_some());
        assert_eq!(pair[0].client_mean, pair[1].received_mean);
        assert_eq!(pair[0].client_worst10, pair[1].received_worst10);
        assert_eq!(
            pair[0].client_worst10_samples,
            pair[1].received_worst10_samples
        );
    }
}

#[test]
fn trainings_that_diverge_are_counted_and_warned_of() {
    // Each of ten steps or more takes a weight times -999,999.
    let text = measured("FedAvg", 4, 3)
        .replace("epochs: 1,", "epochs: 10,")
        .replace("Sgd(lr: 0.1)", "Sgd(lr: 1e6, weight_decay: 1)");
    let ran = Ran::of(&text);
    let declined = ran.clients().into_iter().filter(|row| {
        matches!(&row.outcome, ClientOutcome::Refused(reason)
            if reason.starts_with("training failed: training diverged"))
    });
    let declined = declined.count() as u32;
    assert!(declined > 0);
    let counted: u32 = ran
        .rounds()
        .iter()
        .map(|round| round.diverged.unwrap())
        .sum();
    assert_eq!(counted, declined);
    let totals = ran.record().totals.unwrap();
    assert_eq!(totals.diverged, u64::from(declined));
    let warning = &totals.warnings()[0];
    assert!(warning.contains("lower the learning rate"), "{warning}");
    let report = String::from_utf8(ran.bytes("report.html")).unwrap();
    assert!(report.contains("class=\"card warning\""));
}
