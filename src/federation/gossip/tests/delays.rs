//! Clients that are slow, crash or are gone.

use super::*;

/// Client 4's models take far longer than the deadline: its neighbours go on without them.
const ONE_IS_SLOW: &str =
    "population: [(name: \"quick\", count: 4, device: \"laptop\", link: \"lan\"),
        (name: \"slow\", count: 1, device: \"laptop\", link: (preset: \"lan\", up: \"8 kbit/s\"))]";

#[test]
fn a_model_that_misses_the_deadline_gives_its_weight_to_ones_own() {
    for (algorithm, own) in [("AdaptThenCombine", What::Trained), ("DPsgd", What::Start)] {
        let ran = run(
            0,
            &format!("graph: Ring, algorithm: {algorithm}"),
            "rounds: 8, deadline: \"3 s\"",
            ONE_IS_SLOW,
        );
        for round in 1..=4 {
            let mine = ran.model(own, round, 0);
            let theirs = ran.model(own, round, 1);
            let mut expected = combine(&[2.0 / 3.0, 1.0 / 3.0], &[mine, theirs]);
            if own == What::Start {
                let (from, to) = (
                    ran.model(What::Start, round, 0),
                    ran.model(What::Trained, round, 0),
                );
                expected = combine(&[1.0, -1.0, 1.0], &[expected, from, to]);
            }
            near(&ran.model(What::End, round, 0), &expected, 1e-6);
        }
        let rounds = &ran.heard.rounds;
        assert!(
            rounds.iter().all(|row| row.unanswered == 0),
            "it is heard of all the same"
        );
        // Two models of 21 kbit at 8 kbit/s: five seconds and more, when its neighbours are further.
        assert!(
            rounds.iter().map(|row| row.late_arrivals).sum::<u32>() > 0,
            "{rounds:?}"
        );
    }
}

#[test]
fn without_a_deadline_everybody_waits_for_the_slowest() {
    let ran = run(0, "graph: Ring", "rounds: 3", ONE_IS_SLOW);
    assert!(ran
        .heard
        .rounds
        .iter()
        .all(|row| row.late_arrivals == 0 && row.unanswered == 0));
    let last = ran
        .heard
        .rounds
        .last()
        .unwrap()
        .ended
        .since(Default::default());
    assert!(last.seconds() > 12.0, "{last:?}");
    let waited = |client| {
        let rows = ran
            .heard
            .clients
            .iter()
            .filter(move |row| row.client == client);
        rows.map(|row| row.queue_wait.seconds()).sum::<f64>()
    };
    assert!(
        waited(0) > 8.0 && waited(2) > 4.0,
        "{} {}",
        waited(0),
        waited(2)
    );
}

#[test]
fn a_client_that_crashes_comes_back_and_catches_up() {
    for (crash, forgets) in [("Crash()", true), ("Crash(keep_state: true)", false)] {
        let ran = run(
            5,
            "graph: Ring, algorithm: AdaptThenCombine",
            "rounds: 12, deadline: \"2 s\"",
            &format!(
                "faults: [(fault: {crash}, who: Clients([2]), when: Once(at: \"2600 ms\", lasts: \"3 s\"))]"
            ),
        );
        assert_eq!(ran.heard.rounds.len(), 12);
        let of_two = |wanted: &ClientOutcome| {
            let rows = ran.heard.clients.iter().filter(|row| row.client == 2);
            rows.filter(|row| row.outcome == *wanted).count()
        };
        let lost = of_two(&ClientOutcome::Lost) + of_two(&ClientOutcome::Late);
        assert!(lost > 0, "it was away for some rounds");
        assert!(
            of_two(&ClientOutcome::Reported) >= 5,
            "and is in most others"
        );
        assert_eq!(ran.heard.rounds.last().unwrap().reported, 5);
        let rows = ran
            .heard
            .clients
            .iter()
            .map(|row| ((row.client, row.round), 1));
        let each: BTreeMap<_, u32> = rows.fold(BTreeMap::new(), |mut all, (key, one)| {
            *all.entry(key).or_default() += one;
            all
        });
        assert_eq!(each.len(), 60, "one line for each client and round");
        assert!(each.values().all(|lines| *lines == 1));
        // Who has lost its model begins with the initial one.
        let initial = ran.initial();
        let began: Vec<u32> = (2..=12)
            .filter(|round| {
                let watched = ran.federation.shared().gossip.as_ref().unwrap();
                let watched = watched.watched.lock().unwrap();
                let start = watched.get(&(What::Start, *round, 2));
                start.is_some_and(|start| wide(start) == initial)
            })
            .collect();
        assert_eq!(began.len(), usize::from(forgets), "{crash}: {began:?}");
    }
}

#[test]
fn a_client_that_is_gone_for_good_does_not_stop_the_others() {
    for fault in [
        "(fault: Crash(), who: Clients([1]), when: Once(at: \"1 s\"))",
        "(fault: Panic, who: Clients([1]), when: Rounds(from: 2))",
    ] {
        let ran = run(
            5,
            "graph: Ring",
            "rounds: 6, deadline: \"2 s\"",
            &format!("faults: [{fault}]"),
        );
        assert_eq!(ran.heard.rounds.len(), 6);
        for row in &ran.heard.rounds[2..] {
            assert_eq!(
                (row.reported, row.unanswered, row.outcome),
                (4, 1, Outcome::Completed)
            );
            assert!(row.accuracy.is_some());
        }
    }
    // Without a deadline its neighbours wait for ever, and the error says for whom.
    let scenario = scenario(
        5,
        "graph: Ring",
        "rounds: 6",
        "faults: [(fault: Crash(), who: Clients([1]), when: Once(at: \"1 s\"))]",
    );
    let error = run_on(&scenario, 1, 1).summary.unwrap_err().to_string();
    assert!(
        error.contains("from clients 1") && error.contains("schedule.deadline"),
        "{error}"
    );
}
