//! The swarm holds the federation to its invariants, and finds what is put in its way.

use shoal::federation::Bug;
use shoal::scenario::Scenario;
use shoal::swarm::{
    of_run, shrink, swarm, Reference, Settings, Subject, SubjectError, SwarmResult,
};
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn quickstart() -> (Subject, Reference) {
    let path = Path::new("scenarios/quickstart.ron");
    let text = std::fs::read_to_string(path).unwrap();
    let subject = Subject::new(text, path, Vec::new(), false).unwrap();
    let reference = subject.reference().unwrap();
    (subject, reference)
}

fn of(
    subject: &Subject,
    reference: &Reference,
    seed: u64,
    runs: u32,
    bug: Option<Bug>,
) -> SwarmResult {
    let settings = Settings {
        seed,
        runs,
        jobs: 2,
        until: None,
        bug,
    };
    swarm(
        subject,
        reference,
        settings,
        &AtomicBool::new(false),
        |_| {},
    )
}

#[test]
fn no_invariant_is_broken_by_a_federation_of_quickstarts_size() {
    let (subject, reference) = quickstart();
    let result = of(&subject, &reference, 11, 24, None);
    assert_eq!(result.failure.map(|failure| failure.violation), None);
    assert_eq!((result.runs, result.rounds), (24, 240));
    assert!(
        result.faults > 48 && result.rejected > 0,
        "something did go wrong"
    );
}

/// Over TCP with acknowledgements, and connections that each message sets up.
#[test]
fn no_invariant_is_broken_where_connections_are_set_up_and_messages_acknowledged() {
    let path = Path::new("scenarios/quickstart.ron");
    let text = std::fs::read_to_string(path).unwrap();
    let overrides = [
        "population[0].link.transport=Tcp(congestion: Bbr)",
        "population[0].link.acks=true",
        "population[1].link.connection=PerMessage(handshake: Tls13)",
        "population[2].link.buffer=\"20 kB\"",
    ];
    let overrides = overrides.map(String::from).to_vec();
    let subject = Subject::new(text, path, overrides, false).unwrap();
    let reference = subject.reference().unwrap();
    let result = of(&subject, &reference, 23, 12, None);
    assert_eq!(result.failure.map(|failure| failure.violation), None);
    assert_eq!((result.runs, result.rounds), (12, 120));
}

/// Masked sums are held against plain ones; clients drop out, come late and use old tasks.
#[test]
fn sums_of_masked_updates_are_those_of_the_plain_ones_in_every_run() {
    let path = Path::new("scenarios/layers/secure_aggregation.ron");
    let text = std::fs::read_to_string(path).unwrap();
    let deadline = vec!["schedule.deadline=\"10 s\"".to_string()];
    let subject = Subject::new(text, path, deadline, false).unwrap();
    let reference = subject.reference().unwrap();
    let result = of(&subject, &reference, 5, 16, None);
    assert_eq!(result.failure.map(|failure| failure.violation), None);
    assert_eq!((result.runs, result.rounds), (16, 160));
    // Masks that do not cancel would be found: here a client masks for a cohort that was.
    let stale = "(fault: StaleModel, p: 0.5)".to_string();
    assert!(subject.trial(&[stale], 1, Some(&reference), None).is_ok());
}

/// A scenario of a file with changes, ready to be tried.
fn file(path: &str, changes: &[&str]) -> (Subject, Reference) {
    let path = Path::new(path);
    let text = std::fs::read_to_string(path).unwrap();
    let changes = changes.iter().map(ToString::to_string).collect();
    let subject = Subject::new(text, path, changes, false).unwrap();
    let reference = subject.reference().unwrap();
    (subject, reference)
}

/// Clients without a server, each with two neighbours.
fn ring() -> (Subject, Reference) {
    file(
        "scenarios/topology/ring.ron",
        &["schedule.deadline=\"5 s\""],
    )
}

/// A server that makes a step of every five updates, and uses none that is very old.
fn fedbuff() -> (Subject, Reference) {
    let changes = ["faults=[]", "schedule.waiting.max_staleness=6"];
    file("scenarios/population/async_fedbuff.ron", &changes)
}

/// No invariant is broken in so many runs of ten rounds each.
fn holds((subject, reference): &(Subject, Reference), seed: u64, runs: u32) -> SwarmResult {
    let result = of(subject, reference, seed, runs, None);
    assert_eq!(
        result.failure.as_ref().map(|failure| &failure.violation),
        None
    );
    assert_eq!(result.runs, runs);
    assert!(result.faults > u64::from(runs), "something did go wrong");
    result
}

#[test]
fn servers_that_do_not_wait_hold_amid_random_faults() {
    let result = holds(&fedbuff(), 21, 6);
    assert_eq!(result.rounds, 60);
    assert!(result.rejected > 0);
    holds(&file("scenarios/population/async_fedasync.ron", &[]), 22, 4);
}

/// The servers between hold rounds, the one at the top does not wait for them.
#[test]
fn tiers_below_a_server_that_does_not_wait_hold_amid_random_faults() {
    let changes = [
        "schedule.waiting.timeout=\"40 s\"",
        "hierarchy[0].deadline=\"15 s\"",
    ];
    holds(&file("scenarios/population/fedat.ron", &changes), 23, 3);
}

#[test]
fn clients_without_a_server_hold_amid_random_faults() {
    let result = holds(&ring(), 24, 5);
    assert_eq!(result.rounds, 50);
    let changes = ["faults=[]"];
    let drawn = file("scenarios/topology/random_regular.ron", &changes);
    assert!(drawn.1.peers && drawn.1.kinds.count().0 > 10);
    holds(&drawn, 25, 2);
}

#[test]
fn a_method_that_trains_parts_of_the_depth_is_tried_with_a_small_model_that_has_exits() {
    let changes = ["schedule.deadline=\"10 s\""];
    let tried = file("scenarios/methods/depthfl.ron", &changes);
    let small = tried.0.to_ron(&[], 1).unwrap();
    assert!(
        small.contains("Exit") && small.contains("Dense(8)"),
        "{small}"
    );
    holds(&tried, 26, 3);
}

/// Faults whose effect hangs on values that nobody computes are not drawn: those would be refused.
#[test]
fn modelled_learning_meets_no_fault_that_cannot_be_modelled() {
    let changes = [
        "compute=Modelled",
        "evaluation=(every: 1000, central: false)",
    ];
    let (subject, reference) = file("scenarios/quickstart.ron", &changes);
    let (some, all) = reference.kinds.count();
    assert!((some as usize) < all, "{some} of {all}");
    for run in 0..60 {
        let (plan, seed) = of_run(&subject, &reference, 1, run);
        let scenario = subject.scenario(&plan, Some(seed));
        assert!(scenario.is_ok(), "run {run}: {}", scenario.unwrap_err());
    }
    holds(&(subject, reference), 1, 5);
}

#[test]
fn a_run_that_ends_by_the_clock_before_its_last_round_misses_none() {
    let until = |seconds: u32| {
        let end = format!("schedule.stop_at_time=\"{seconds} s\"");
        file("scenarios/quickstart.ron", &[&end])
    };
    let (subject, reference) = until(5);
    assert!(reference.rounds < 10 && reference.rounds > 1);
    holds(&(subject, reference), 1, 5);
    // Without faults all rounds are held by then, amid them often not.
    let (subject, reference) = until(7);
    assert_eq!(reference.rounds, 10);
    let result = holds(&(subject, reference), 1, 5);
    assert!(result.rounds < 50);
}

/// In this run faults move the last rounds into a night: the server waits for phones that are not
/// plugged in, and those that it finds go before they are done.
#[test]
fn a_round_without_clients_who_are_there_is_no_missing_liveness() {
    let changes = ["schedule.least_reports=10"];
    let (subject, reference) = file("scenarios/population/night.ron", &changes);
    // Amid the faults rounds are abandoned because of them; later ones for want of phones.
    let untold =
        |outcome: &shoal::swarm::Outcome| outcome.abandoned as usize > outcome.not_completed.len();
    let mut runs = (0..20).map(|run| {
        let (plan, seed) = of_run(&subject, &reference, 1, run);
        let scenario = subject.scenario(&plan, Some(seed)).unwrap();
        (plan, seed, shoal::swarm::run(&scenario, 1, None).unwrap())
    });
    let excused = runs.find(|(_, _, outcome)| untold(outcome));
    let (plan, seed, outcome) = excused.expect("nothing to excuse");
    let last = reference.last_round_with_faults();
    assert!(outcome
        .not_completed
        .iter()
        .all(|(round, _)| *round <= last));
    let tried = subject.trial(&plan, seed, Some(&reference), None);
    assert!(tried.is_ok(), "{tried:?}");
    // But where they are there all the time, a round that is abandoned is told as ever.
    let stays = [
        "schedule.least_reports=10",
        "population[0].availability=Always",
        "population[0].leaving=Continue",
    ];
    let (subject, reference) = file("scenarios/population/night.ron", &stays);
    let silent = "(fault: Disconnect, who: Group(\"phones\"), when: Once(at: \"0 s\"))".to_string();
    let told = subject.trial(&[silent], seed, Some(&reference), None);
    assert_eq!(told.unwrap_err().invariant, "liveness");
}

/// Finds a defect with a seed, and shrinks it to a few faults that are to blame.
fn found_and_shrunk(
    (subject, reference): &(Subject, Reference),
    seed: u64,
    bug: Bug,
    folder: &str,
) -> Vec<String> {
    let failure = of(subject, reference, seed, 100, Some(bug)).failure;
    let failure = failure.unwrap_or_else(|| panic!("{bug:?} is not found"));
    let invariant = failure.violation.invariant;
    let fails = |rest: &[String]| {
        let trial = subject.trial(rest, failure.seed, Some(reference), Some(bug));
        trial.is_err_and(|violation| violation.invariant == invariant)
    };
    let plan = shrink(&failure.plan, fails);
    assert!(plan.len() <= 3, "{bug:?}: {plan:#?}");
    assert!(fails(&plan));
    // What is kept is a scenario, and the same one.
    let kept = subject.to_ron(&plan, failure.seed).unwrap();
    let read = Scenario::parse(&kept, &Path::new(folder).join("kept.ron"), &[]).unwrap();
    assert_eq!(read, subject.scenario(&plan, Some(failure.seed)).unwrap());
    // It is the defect that fails, not the plan.
    let sound = subject.trial(&failure.plan, failure.seed, Some(reference), None);
    assert!(sound.is_ok(), "{sound:?}");
    plan
}

#[test]
fn planted_defects_are_found_and_shrunk_to_a_few_faults() {
    let tried = quickstart();
    for bug in [Bug::DoubleCount, Bug::IgnoreRound, Bug::NeverTimeOut] {
        let plan = found_and_shrunk(&tried, 3, bug, "scenarios");
        assert!(plan.len() <= 2, "{bug:?}: {plan:#?}");
    }
}

#[test]
fn defects_of_a_server_that_does_not_wait_are_found_and_shrunk() {
    let tried = fedbuff();
    for bug in [Bug::DoubleCount, Bug::IgnoreRound, Bug::NeverTimeOut] {
        let plan = found_and_shrunk(&tried, 3, bug, "scenarios/population");
        assert!(!plan.is_empty(), "{bug:?} needs something to go wrong");
    }
    // Reports grow old without any fault.
    let plan = found_and_shrunk(&tried, 3, Bug::AlwaysFresh, "scenarios/population");
    assert_eq!(plan, [""; 0]);
}

#[test]
fn defects_of_clients_without_a_server_are_found_and_shrunk() {
    let tried = ring();
    for bug in [Bug::LoseWeight, Bug::IgnoreRound, Bug::NeverTimeOut] {
        let plan = found_and_shrunk(&tried, 3, bug, "scenarios/topology");
        assert!(!plan.is_empty(), "{bug:?} needs something to go wrong");
    }
}

#[test]
fn a_scenario_that_cannot_be_tried_is_told_why() {
    let of = |text: &str| {
        let subject = Subject::new(text.to_string(), Path::new("s.ron"), Vec::new(), false);
        subject.and_then(|subject| subject.reference())
    };
    let text = "(data: Digits, model: [Flatten, Dense(10)], population: [(count: 8)]REST)";
    let refused = |rest: &str| of(&text.replace("REST", rest)).unwrap_err();
    assert!(matches!(refused(""), SubjectError::NoDeadline));
    let faults = ", schedule: (deadline: \"5 s\"), faults: [(fault: Pause)]";
    assert!(matches!(refused(faults), SubjectError::Faults));
    assert!(matches!(
        refused(", schedule: (deadlin: \"5 s\")"),
        SubjectError::Wrong(_)
    ));
    let hopeless = ", schedule: (rounds: 2, deadline: \"1 ms\")";
    assert!(matches!(refused(hopeless), SubjectError::Unsound(_)));
    let for_ever = ", schedule: (waiting: FedBuff(concurrency: 4))";
    let error = refused(for_ever);
    assert!(matches!(error, SubjectError::NoTimeout));
    assert!(error
        .to_string()
        .contains("--set 'schedule.waiting.timeout="));
    let alone = ", topology: Gossip(graph: Ring)";
    assert!(matches!(refused(alone), SubjectError::NoDeadline));
}
