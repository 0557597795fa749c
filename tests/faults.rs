//! Faults inside a federation that really learns: each does what it says, and none stalls a round or
//! spoils the model.

use super::tiny::Ran;
use shoal::observe::rows::{ClientOutcome, ClientRow, Outcome, Rejection, RoundRow};
use shoal::quantity::Span;
use std::collections::BTreeMap;

/// Six clients, all asked in each of four rounds, and what goes wrong.
fn amid(faults: &str) -> String {
    under("rounds: 4, cohort: 6, deadline: \"60 s\"", faults)
}

fn under(schedule: &str, faults: &str) -> String {
    format!(
        "Scenario(
            seed: 5,
            data: Digits,
            model: [Flatten, Dense(10)],
            training: (epochs: 2, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [
                (name: \"sound\", count: 3, device: \"laptop\", link: \"lan\"),
                (name: \"other\", count: 3, device: \"laptop\", link: \"lan\"),
            ],
            schedule: ({schedule}),
            faults: [{faults}],
        )"
    )
}

/// `(reported, refused or not used, late, unanswered)` of each round.
fn books(rounds: &[RoundRow]) -> Vec<(u32, u32, u32, u32)> {
    let each = rounds.iter();
    each.map(|r| {
        (
            r.reported,
            r.refused + r.rejected,
            r.late_arrivals,
            r.unanswered,
        )
    })
    .collect()
}

fn rejections(ran: &Ran) -> BTreeMap<Rejection, u64> {
    ran.record().rejections
}

/// The central loss after each round.
fn losses(ran: &Ran) -> Vec<f64> {
    ran.rounds().iter().filter_map(|row| row.loss).collect()
}

/// But for the order in which reports were added up: what is drawn for links depends on how many
/// messages there were before.
fn alike(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5)
}

fn compute(ran: &Ran, group: &str) -> Vec<Span> {
    let rows = ran.clients();
    let own = rows.iter().filter(|row| &*row.group == group);
    own.map(|row| row.compute).collect()
}

#[test]
fn without_faults_nothing_is_rejected_and_an_empty_plan_is_no_plan() {
    let plain = Ran::of(&amid(""));
    assert_eq!(books(&plain.rounds()), [(6, 0, 0, 0); 4]);
    assert!(rejections(&plain).is_empty());
    // A fault that never holds changes no result.
    let never = "(fault: Crash(), who: Group(\"other\"), when: Once(at: \"1000 s\"))";
    let idle = Ran::of(&amid(never));
    assert_eq!(plain.record().trace_hash, idle.record().trace_hash);
}

#[test]
fn a_crashed_client_is_lost_until_it_is_back() {
    let first = Ran::of(&amid("")).rounds()[0].ended;
    // Down from the first round's start to just after its deadline.
    let crash = "(fault: Crash(), who: Group(\"other\"), when: Once(at: \"0 s\", lasts: \"61 s\"))";
    let ran = Ran::of(&amid(crash));
    let books = books(&ran.rounds());
    assert_eq!(books[0], (3, 0, 0, 3));
    assert_eq!(books[3], (6, 0, 0, 0), "back again");
    assert!(first.seconds() < 60.0);
    let messages = ran.record().messages;
    assert_eq!(
        messages["task"].dropped,
        3 * books.iter().filter(|b| b.3 == 3).count() as u64
    );
}

#[test]
fn what_a_client_computes_when_it_goes_down_is_lost() {
    // Training takes longer than the fault leaves it.
    let slow = "(fault: Slow(1e4), who: Group(\"other\"))";
    let healthy = compute(&Ran::of(&under("rounds: 1, cohort: 6", slow)), "other");
    let half = healthy[0].seconds() / 2.0;
    let crash = format!(
        "{slow}, (fault: Crash(), who: Group(\"other\"), when: Once(at: \"{half} s\", lasts: \"1 ms\"))"
    );
    let schedule = format!("rounds: 1, cohort: 6, deadline: \"{} s\"", 4.0 * half);
    let ran = Ran::of(&under(&schedule, &crash));
    assert_eq!(books(&ran.rounds()), [(3, 0, 0, 3)]);
}

#[test]
fn a_server_that_crashes_throws_the_model_back() {
    let sound = Ran::of(&amid(""));
    let second = &sound.rounds()[1];
    let at = (second.started.seconds() + second.ended.seconds()) / 2.0;
    let faults = format!("(fault: ServerCrash, when: Once(at: \"{at:.9} s\", lasts: \"5 s\"))");
    let crashed = Ran::of(&amid(&faults));
    let outcomes: Vec<Outcome> = crashed.rounds().iter().map(|row| row.outcome).collect();
    let (done, lost) = (Outcome::Completed, Outcome::Crashed);
    assert_eq!(outcomes, [done, lost, done, done]);
    let restored: Vec<Option<u32>> = crashed.rounds().iter().map(|row| row.restored).collect();
    assert_eq!(restored, [None, None, Some(1), None]);
    // Two rounds have been learned when the third is over, and not three.
    let (lost, kept) = (losses(&crashed), losses(&sound));
    assert_eq!((lost.len(), lost[0]), (3, kept[0]));
    let near = |a: f64, b: f64| (a - b).abs() < 0.02;
    assert!(
        near(lost[1], kept[1]) && !near(lost[1], kept[2]),
        "{lost:?} {kept:?}"
    );
    let totals = crashed.record().totals.unwrap();
    assert_eq!((totals.rounds, totals.completed), (4, 3));
    // All is torn, the first checkpoint too: the server has nothing but what it was set up with.
    let torn = Ran::of(&amid(&format!("{faults}, (fault: TornCheckpoint)")));
    assert_eq!(torn.rounds()[2].restored, Some(0));
    let again = losses(&torn);
    assert!(
        near(again[1], kept[0]) && !near(again[1], kept[1]),
        "{again:?} {kept:?}"
    );
}

#[test]
fn a_client_whose_clock_drifts_says_so_by_and_by() {
    let read = |fault: &str| {
        let ran = Ran::of(&amid(fault));
        let rows = ran.clients().into_iter();
        rows.filter(|row| &*row.group == "other")
            .map(|row| row.received.unwrap().seconds())
            .collect::<Vec<f64>>()
    };
    let right = read("");
    let drifts = read("(fault: Clock(ahead: 0.5, drift: 0.25), who: Group(\"other\"))");
    assert_eq!(right.len(), 12);
    for (said, is) in drifts.iter().zip(&right) {
        assert!((said - (0.5 + 1.25 * is)).abs() < 1e-6, "{said} at {is}");
    }
}

#[test]
fn a_crash_may_take_what_a_client_keeps() {
    // SCAFFOLD's clients keep control variates; one that lost them begins as if it were new.
    // All crash for a moment when the second round begins; nobody is at work then.
    let scaffold =
        |faults: &str| amid(faults).replace("schedule:", "method: Scaffold(), schedule:");
    let at = Ran::of(&scaffold("")).rounds()[0].ended.seconds();
    let of = |keep: bool| {
        let ran = Ran::of(&scaffold(&format!(
            "(fault: Crash(keep_state: {keep}), when: Once(at: \"{at} s\", lasts: \"1 ns\"))"
        )));
        assert_eq!(books(&ran.rounds()), [(6, 0, 0, 0); 4]);
        ran.record().trace_hash
    };
    assert_ne!(of(true), of(false));
}

#[test]
fn slow_stopped_and_hot_devices_take_as_long_as_they_say() {
    let healthy = compute(&Ran::of(&amid("")), "other");
    let plain = healthy[0];
    let with = |fault: &str| {
        compute(
            &Ran::of(&amid(&format!("(fault: {fault}, who: Group(\"other\"))"))),
            "other",
        )[0]
    };
    let times = |span: Span| span.seconds() / plain.seconds();
    assert!((times(with("Slow(3.0)")) - 3.0).abs() < 1e-6);
    let half = plain.seconds() / 2.0;
    let hot = with(&format!("Throttle(after: \"{half} s\", slowdown: 5.0)"));
    assert!((times(hot) - 3.0).abs() < 1e-6, "{hot}");
    // The network takes a moment before training begins; the pause lies inside it.
    let pause = compute(
        &Ran::of(&amid(&format!(
            "(fault: Pause, who: Group(\"other\"), when: Once(at: \"{half} s\", lasts: \"7 s\"))"
        ))),
        "other",
    )[0];
    assert!(
        (pause.seconds() - plain.seconds() - 7.0).abs() < 1e-6,
        "{pause}"
    );
    let worn = compute(
        &Ran::of(&amid(
            "(fault: Degrade(4.0), who: Group(\"other\"), when: Once(at: \"0 s\", lasts: \"60 s\"))",
        )),
        "other",
    );
    let last = worn[worn.len() - 1];
    assert!(
        worn[0] > plain && last > worn[0] && times(last) < 4.0,
        "{plain} {worn:?}"
    );
}

#[test]
fn a_device_out_of_memory_says_so_after_half_the_work() {
    let ran = Ran::of(&amid(
        "(fault: OutOfMemory, who: Group(\"other\"), when: Rounds(from: 2, until: 2))",
    ));
    assert_eq!(
        books(&ran.rounds()),
        [(6, 0, 0, 0), (3, 3, 0, 0), (6, 0, 0, 0), (6, 0, 0, 0)]
    );
    let why = |row: &ClientRow| row.outcome == ClientOutcome::Refused("out of memory".into());
    assert_eq!(ran.clients().iter().filter(|row| why(row)).count(), 3);
}

#[test]
fn a_handler_that_panics_is_its_clients_end_alone() {
    let ran = Ran::of(&amid(
        "(fault: Panic, who: Clients([4]), when: Messages(from: 2))",
    ));
    let reported: Vec<u32> = ran.rounds().iter().map(|row| row.reported).collect();
    assert_eq!(reported, [6, 5, 5, 5]);
    let own = ran.clients().into_iter().filter(|row| row.client == 4);
    let mut own: Vec<(u32, ClientOutcome)> = own.map(|row| (row.round, row.outcome)).collect();
    own.sort_by_key(|(round, _)| *round);
    use ClientOutcome::{Crashed, Lost, Reported};
    assert_eq!(own, [(1, Reported), (2, Crashed), (3, Lost), (4, Lost)]);
}

#[test]
fn a_wrong_clock_shows_in_what_a_client_says_and_nowhere_else() {
    let plain = Ran::of(&amid(""));
    let ran = Ran::of(&amid("(fault: Clock(ahead: 100.0), who: Group(\"other\"))"));
    for (wrong, right) in ran.clients().iter().zip(plain.clients()) {
        let ahead = wrong
            .trained
            .unwrap()
            .since(right.trained.unwrap())
            .seconds();
        let expected = if &*wrong.group == "other" { 100.0 } else { 0.0 };
        assert!((ahead - expected).abs() < 1e-6);
        assert_eq!(wrong.reported, right.reported);
    }
}

#[test]
fn reports_that_are_wrong_are_counted_and_never_touch_the_model() {
    // With only the sound clients from the start.
    let out = Ran::of(&amid("(fault: Disconnect, who: Group(\"other\"))"));
    let expected = losses(&out);
    for (fault, reason) in [
        ("NotANumber", Rejection::NotFinite),
        ("Infinite", Rejection::NotFinite),
        ("WrongShape", Rejection::Misfit),
        ("WrongRound(1)", Rejection::Future),
    ] {
        let ran = Ran::of(&amid(&format!("(fault: {fault}, who: Group(\"other\"))")));
        assert_eq!(books(&ran.rounds()), [(3, 3, 0, 0); 4], "{fault}");
        assert_eq!(rejections(&ran), [(reason, 12)].into(), "{fault}");
        assert!(alike(&losses(&ran), &expected), "{fault}");
        // Nobody waited for a deadline.
        assert!(
            ran.rounds()
                .iter()
                .all(|row| row.duration() < Span::from_secs(60)),
            "{fault}"
        );
    }
}

#[test]
fn a_report_of_a_past_round_is_no_answer_and_the_deadline_ends_the_round() {
    let ran = Ran::of(&amid("(fault: WrongRound(-1), who: Group(\"other\"))"));
    assert_eq!(books(&ran.rounds()), [(3, 0, 3, 3); 4]);
    assert_eq!(rejections(&ran), [(Rejection::Stale, 12)].into());
    // What became of each is that its report was not used, whatever round that named.
    let words = ClientOutcome::Rejected("belongs to a round that is over".into());
    let others = ran
        .clients()
        .into_iter()
        .filter(|row| &*row.group == "other");
    let others: Vec<ClientOutcome> = others.map(|row| row.outcome).collect();
    assert_eq!(others, vec![words; 12]);
    assert!(ran
        .rounds()
        .iter()
        .all(|row| row.duration() >= Span::from_secs(60)));
}

#[test]
fn a_report_counts_once_however_often_it_comes() {
    let expected = losses(&Ran::of(&amid("")));
    for fault in [
        "(fault: DuplicateReport(2), who: Group(\"other\"))",
        "(fault: ReplayReport, who: Group(\"other\"))",
        "(fault: Duplicate(after: \"1 ms\"), who: Group(\"other\"))",
        "(fault: Duplicate(after: \"10 ms\"), kinds: [\"report\"])",
        "(fault: Duplicate(), direction: Down, kinds: [\"task\"])",
    ] {
        let ran = Ran::of(&amid(fault));
        let rounds = ran.rounds();
        assert!(rounds.iter().all(|row| row.reported == 6), "{fault}");
        assert!(alike(&losses(&ran), &expected), "{fault}");
        assert_eq!(
            ran.clients().len(),
            24,
            "one line a client and round: {fault}"
        );
        let copies = rejections(&ran).values().sum::<u64>();
        assert_eq!(copies > 0, !fault.contains("task"), "{fault}: {copies}");
    }
}

#[test]
fn a_late_report_is_late_and_a_deadline_holds() {
    let ran = Ran::of(&amid(
        "(fault: LateReport(\"90 s\"), who: Group(\"other\"), when: Rounds(from: 1, until: 1))",
    ));
    let rounds = ran.rounds();
    assert_eq!((rounds[0].reported, rounds[0].unanswered), (3, 3));
    let outcomes: Vec<ClientOutcome> = ran
        .clients()
        .into_iter()
        .filter(|row| row.round == 1 && &*row.group == "other")
        .map(|row| row.outcome)
        .collect();
    assert_eq!(
        outcomes,
        vec![ClientOutcome::Unfinished; 3],
        "the run ends before the reports go out"
    );
}

#[test]
fn partial_work_takes_fewer_steps_and_a_stale_model_is_one_round_old() {
    let steps = |fault: &str| -> Vec<u32> {
        let ran = Ran::of(&amid(fault));
        ran.clients()
            .iter()
            .filter(|row| &*row.group == "other")
            .map(|row| row.steps)
            .collect()
    };
    let all = steps("");
    let half = steps("(fault: PartialWork(0.5), who: Group(\"other\"))");
    assert!(
        all.iter()
            .zip(&half)
            .all(|(all, half)| *half == all.div_ceil(2)),
        "{all:?} {half:?}"
    );
    let of = |fault: &str| losses(&Ran::of(&amid(fault)));
    let (fresh, stale) = (of(""), of("(fault: StaleModel, who: All)"));
    assert_eq!(
        fresh[0], stale[0],
        "there is no older model in the first round"
    );
    assert_ne!(fresh[1], stale[1]);
}

#[test]
fn spoilt_samples_hurt_and_only_their_owners_train_on_them() {
    let last = |fault: &str| Ran::of(&amid(fault)).rounds()[3].accuracy.unwrap();
    let clean = last("");
    assert!(last("(fault: LabelNoise(1.0), who: All)") < clean - 0.3);
    assert!(last("(fault: FeatureNoise(20.0), who: All)") < clean - 0.1);
}

#[test]
fn a_corrupted_message_is_found_by_its_shape_its_values_or_not_at_all() {
    let cut = "(fault: Corrupt(how: Truncate, checksum: false), who: Group(\"other\"), kinds: [\"report\"])";
    let ran = Ran::of(&amid(cut));
    assert_eq!(rejections(&ran), [(Rejection::Misfit, 12)].into());
    // A flipped bit in a task: the client trains from a model that is a little, or much, different.
    let flip = "(fault: Corrupt(checksum: false), who: All, direction: Down, kinds: [\"task\"])";
    assert_ne!(
        Ran::of(&amid(flip)).rounds()[3].loss,
        Ran::of(&amid("")).rounds()[3].loss
    );
}

#[test]
fn the_server_may_be_slow_and_its_clock_may_be_wrong() {
    let ended = |fault: &str| Ran::of(&amid(fault)).rounds()[3].ended;
    assert!(ended("(fault: ServerSlow(1e5))") > ended(""));
    let gone = "(fault: Disconnect, who: Group(\"other\"))";
    let round = |fault: &str| Ran::of(&amid(fault)).rounds()[0].duration().seconds();
    assert!((round(gone) - 60.0).abs() < 1e-3);
    let fast = round(&format!("{gone}, (fault: ServerClock(0.5))"));
    assert!((fast - 40.0).abs() < 1e-3, "{fast}");
}

#[test]
fn the_same_faults_on_any_number_of_workers() {
    let faults = "(fault: Loss(0.2)), (fault: Delay(Exponential(min: \"0 s\", mean: \"50 ms\"))),
        (fault: Crash(), who: Share(0.5), when: Rate(every: \"20 s\", lasts: \"5 s\")),
        (fault: Slow(4.0), who: Count(2)), (fault: NotANumber, p: 0.2),
        (fault: Duplicate(after: \"10 ms\"), p: 0.3)";
    let text = amid(faults);
    let hash = |workers| {
        let ran = Ran::on(workers, &text);
        ran.result.unwrap().hash
    };
    let one = hash(1);
    assert_eq!(one, hash(2));
    assert_eq!(one, hash(4));
}
