//! The swarm holds the federation to its invariants, and finds what is put in its way.

use shoal::federation::Bug;
use shoal::scenario::Scenario;
use shoal::swarm::{shrink, swarm, Reference, Settings, Subject, SubjectError, Tally};
use std::path::Path;
use std::sync::atomic::AtomicBool;

fn quickstart() -> (Subject, Reference) {
    let path = Path::new("scenarios/quickstart.ron");
    let text = std::fs::read_to_string(path).unwrap();
    let subject = Subject::new(text, path, Vec::new(), false).unwrap();
    let reference = subject.reference().unwrap();
    (subject, reference)
}

fn of(subject: &Subject, reference: &Reference, seed: u64, runs: u32, bug: Option<Bug>) -> Tally {
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
    let tally = of(&subject, &reference, 11, 24, None);
    assert_eq!(tally.failure.map(|failure| failure.violation), None);
    assert_eq!((tally.runs, tally.rounds), (24, 240));
    assert!(
        tally.faults > 48 && tally.rejected > 0,
        "something did go wrong"
    );
}

/// Masked sums are held against plain ones; clients drop out, come late and use old tasks.
#[test]
fn sums_of_masked_updates_are_those_of_the_plain_ones_in_every_run() {
    let path = Path::new("scenarios/layers/secure_aggregation.ron");
    let text = std::fs::read_to_string(path).unwrap();
    let deadline = vec!["schedule.deadline=\"10 s\"".to_string()];
    let subject = Subject::new(text, path, deadline, false).unwrap();
    let reference = subject.reference().unwrap();
    let tally = of(&subject, &reference, 5, 16, None);
    assert_eq!(tally.failure.map(|failure| failure.violation), None);
    assert_eq!((tally.runs, tally.rounds), (16, 160));
    // Masks that do not cancel would be found: here a client masks for a cohort that was.
    let stale = "(fault: StaleModel, p: 0.5)".to_string();
    assert!(subject.trial(&[stale], 1, Some(&reference), None).is_ok());
}

#[test]
fn planted_defects_are_found_and_shrunk_to_two_faults_or_fewer() {
    let (subject, reference) = quickstart();
    for bug in [Bug::DoubleCount, Bug::IgnoreRound, Bug::NeverTimeOut] {
        let tally = of(&subject, &reference, 3, 100, Some(bug));
        let failure = tally
            .failure
            .unwrap_or_else(|| panic!("{bug:?} is not found"));
        let invariant = failure.violation.invariant;
        let fails = |rest: &[String]| {
            let trial = subject.trial(rest, failure.seed, Some(&reference), Some(bug));
            trial.is_err_and(|violation| violation.invariant == invariant)
        };
        let plan = shrink(&failure.plan, fails);
        assert!(plan.len() <= 2, "{bug:?}: {plan:#?}");
        assert!(fails(&plan));
        // What is kept is a scenario, and the same one.
        let kept = subject.to_ron(&plan, failure.seed).unwrap();
        let read = Scenario::parse(&kept, Path::new("scenarios/kept.ron"), &[]).unwrap();
        assert_eq!(read, subject.scenario(&plan, Some(failure.seed)).unwrap());
        // It is the defect that fails, not the plan.
        let sound = subject.trial(&failure.plan, failure.seed, Some(&reference), None);
        assert!(sound.is_ok(), "{sound:?}");
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
}
