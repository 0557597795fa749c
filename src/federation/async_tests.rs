//! Servers that ask clients one by one, in a federation that really learns.

use super::testing::{self, Heard};
use crate::observe::rows::{ClientOutcome, ClientRow, Outcome, Rejection, RoundRow};
use crate::quantity::{Span, VirtualTime};
use crate::scenario::Scenario;
use crate::sim::rng::{below, stream, Purpose};
use crate::sim::{Ending, SimError, Summary};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

impl Heard {
    fn sum(&self, of: impl Fn(&RoundRow) -> u32) -> u32 {
        self.rounds.iter().map(of).sum()
    }

    fn outcomes(&self, wanted: &ClientOutcome) -> u32 {
        let rows = self.clients.iter();
        rows.filter(|row| row.outcome == *wanted).count() as u32
    }

    /// Tasks that nobody had answered when the run ended.
    fn unanswered(&self) -> Vec<&ClientRow> {
        let end = self.rounds.last().unwrap().ended;
        let rows = self.clients.iter().rev();
        rows.take_while(|row| row.outcome == ClientOutcome::Lost && row.invited <= end)
            .collect()
    }
}

/// Eight that are quick, four that are slow.
const TWO_SPEEDS: &str = "
    (name: \"quick\", count: 8, device: (preset: \"laptop\", startup: \"300 ms\"), link: \"wifi\"),
    (name: \"slow\", count: 4, device: (preset: \"laptop\", startup: \"2 s\"), link: \"4g\"),";

/// Twelve that are alike.
const ALIKE: &str = "(name: \"all\", count: 12, device: \"laptop\", link: \"lan\")";

fn try_run(population: &str, schedule: &str, further: &str) -> (Heard, Result<Summary, SimError>) {
    let text = format!(
        "Scenario(
            seed: 6,
            data: Digits,
            partition: (by: Dirichlet(alpha: 1.0), min_per_client: 8),
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [{population}],
            schedule: ({schedule}),
            {further}
        )"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    let (heard, summary) = testing::run(&scenario);
    (heard, summary)
}

/// Runs it to its end; each task then has one outcome.
fn run_among(population: &str, schedule: &str, further: &str) -> Heard {
    let (heard, summary) = try_run(population, schedule, further);
    let summary = summary.unwrap_or_else(|error| panic!("{error}: {schedule} {further}"));
    assert_eq!(summary.ending, Ending::Finished, "{schedule} {further}");
    assert_eq!(heard.fatal, None);
    let asked = heard.sum(|round| round.invited);
    assert_eq!(asked, heard.clients.len() as u32, "{schedule} {further}");
    let tasks: BTreeSet<_> = heard
        .clients
        .iter()
        .map(|row| (row.client, row.invited))
        .collect();
    assert_eq!(tasks.len(), heard.clients.len(), "{schedule} {further}");
    let reported = heard.sum(|round| round.reported);
    assert_eq!(reported, heard.outcomes(&ClientOutcome::Reported));
    assert_eq!(reported, heard.staleness.values().sum::<u32>());
    heard
}

fn run(schedule: &str, further: &str) -> Heard {
    run_among(TWO_SPEEDS, schedule, further)
}

#[test]
fn as_many_clients_are_at_work_as_are_to_be_and_a_round_is_a_server_step() {
    let heard = run(
        "rounds: 12, waiting: FedBuff(buffer: 3, concurrency: 5)",
        "",
    );
    assert_eq!(heard.rounds.len(), 12);
    for round in &heard.rounds {
        assert_eq!((round.reported, round.refused, round.unanswered), (3, 0, 0));
        assert_eq!(round.outcome, Outcome::Completed);
        assert!(round.accuracy.is_some() && round.ended >= round.started);
    }
    for pair in heard.rounds.windows(2) {
        assert_eq!(pair[0].ended, pair[1].started);
    }
    // Who has begun and not ended whenever somebody is asked: never more than five, and five once all
    // of that moment are.
    let (mut most, mut moments) = (0, BTreeMap::new());
    for row in &heard.clients {
        let at = row.invited;
        let rows = heard.clients.iter();
        let at_work = rows.filter(|r| r.invited <= at && r.reported.is_none_or(|t| t > at));
        let at_work = at_work.count();
        most = most.max(at_work);
        moments.insert(at, at_work);
    }
    assert_eq!(most, 5);
    assert!(moments.values().all(|&n| n == 5), "{moments:?}");
    assert!(heard.unanswered().len() >= 3, "at work when it ended");
    // The slow are overtaken.
    let (tau, max) = (
        heard.rounds[11].staleness_mean,
        heard.rounds.iter().filter_map(|r| r.staleness_max).max(),
    );
    assert!(tau.is_some() && max >= Some(2), "{max:?}");
    assert_eq!(heard.staleness.keys().last().copied(), max);
    let last = heard.rounds[11].accuracy.unwrap();
    assert!(last > heard.rounds[0].accuracy.unwrap(), "it learns");
}

#[test]
fn one_step_of_all_clients_alike_is_a_round_of_fedavg() {
    let (rounds, _) = try_run(ALIKE, "rounds: 1, cohort: 12", "");
    let step = "rounds: 1, waiting: FedBuff(buffer: 12, concurrency: 12, weighting: Samples)";
    let buffered = run_among(ALIKE, step, "");
    let (a, b) = (&rounds.rounds[0], &buffered.rounds[0]);
    assert_eq!((a.reported, b.reported), (12, 12));
    assert_eq!(a.accuracy, b.accuracy);
    let off = |of: fn(&RoundRow) -> Option<f64>| (of(a).unwrap() - of(b).unwrap()).abs();
    assert!(off(|row| row.loss) < 1e-6, "{}", off(|row| row.loss));
    assert!(off(|row| row.train_loss) < 1e-6);
    let half = buffered_with("server_lr: 0.5");
    assert!((half.rounds[0].loss.unwrap() - b.loss.unwrap()).abs() > 1e-3);
    assert_eq!(b.staleness_mean, Some(0.0));
}

fn buffered_with(option: &str) -> Heard {
    let step = format!(
        "rounds: 1, waiting: FedBuff(buffer: 12, concurrency: 12, weighting: Samples, {option})"
    );
    run_among(ALIKE, &step, "")
}

#[test]
fn a_model_is_mixed_in_as_soon_as_it_comes() {
    let heard = run(
        "rounds: 30, waiting: FedAsync(concurrency: 4, alpha: 0.8)",
        "",
    );
    assert!(heard.rounds.iter().all(|round| round.reported == 1));
    let first = heard.rounds[0].accuracy.unwrap();
    let last = heard.rounds[29].accuracy.unwrap();
    assert!(last > first, "{first} to {last}");
    let constant = run(
        "rounds: 30, waiting: FedAsync(concurrency: 4, alpha: 0.8, staleness: Constant)",
        "",
    );
    // Until somebody is overtaken nothing is weighed.
    assert_eq!(constant.rounds[0], heard.rounds[0]);
    assert_ne!(constant.rounds[29].loss, heard.rounds[29].loss);
}

#[test]
fn reports_that_are_too_old_are_counted_and_not_used() {
    let heard = run(
        "rounds: 12, waiting: FedBuff(buffer: 2, concurrency: 6, max_staleness: 1)",
        "",
    );
    assert!(heard.staleness.keys().all(|tau| *tau <= 1));
    let rows = heard.rejections.iter();
    let old = rows.filter(|row| row.reason == Rejection::TooStale).count() as u32;
    assert!(old > 0);
    assert_eq!(old, heard.sum(|round| round.rejected));
    let words = ClientOutcome::Rejected("is older than max_staleness".into());
    assert_eq!(old, heard.outcomes(&words));
    let mut rejected = heard.clients.iter().filter(|row| row.outcome == words);
    assert!(rejected.any(|row| &*row.group == "slow"));
}

#[test]
fn no_place_is_lost_whatever_goes_wrong() {
    let faults = [
        "(fault: Crash(), when: Rate(every: \"4 s\", lasts: \"1 s\"))",
        "(fault: Crash(keep_state: true), who: Count(3), when: Once(at: \"3 s\"))",
        "(fault: Loss(0.3), direction: Up)",
        "(fault: Duplicate(after: \"400 ms\"), p: 0.5)",
        "(fault: ReplayReport, p: 0.5)",
        "(fault: LateReport(\"3 s\"), p: 0.4)",
        "(fault: WrongRound(1), p: 0.3)",
        "(fault: WrongRound(-1), p: 0.3)",
        "(fault: NotANumber, p: 0.3)",
        "(fault: OutOfMemory, p: 0.3)",
        "(fault: Disconnect, when: Rate(every: \"6 s\", lasts: \"1 s\"))",
        "(fault: Pause, when: Rate(every: \"5 s\", lasts: \"2 s\"))",
        "(fault: StaleModel, p: 0.4)",
    ];
    for (seed, waiting) in (0..10).zip(
        [
            "FedBuff(buffer: 3, concurrency: 6, timeout: \"4 s\")",
            "FedAsync(concurrency: 5, timeout: \"4 s\")",
        ]
        .into_iter()
        .cycle(),
    ) {
        let mut rng = stream(seed, 0, Purpose::Node, 0);
        let chosen = faults.iter().filter(|_| below(&mut rng, 3) == 0);
        let chosen = chosen.copied().collect::<Vec<_>>().join(", ");
        let further = format!("faults: [{chosen}]");
        let heard = run(&format!("rounds: 25, waiting: {waiting}"), &further);
        assert_eq!(heard.rounds.len(), 25, "{chosen}");
        let done = |row: &RoundRow| row.outcome == Outcome::Completed;
        assert!(heard.rounds.iter().all(done), "{chosen}");
        // When it ends all places but the last reporter's and those of its moment are taken, and by
        // clients that may still answer.
        let end = heard.rounds[24].ended;
        let left = heard.unanswered();
        let most = if waiting.starts_with("FedBuff") { 6 } else { 5 };
        assert!(
            (most - 2..=most).contains(&left.len()),
            "{}: {chosen}",
            left.len()
        );
        for row in left {
            assert!(
                end.since(row.invited) <= Span::from_secs(4),
                "{row:?}: {chosen}"
            );
        }
    }
}

#[test]
fn a_server_that_waits_for_ever_says_what_it_lacks() {
    let (_, summary) = try_run(
        ALIKE,
        "rounds: 3, waiting: FedBuff(buffer: 2, concurrency: 3)",
        "faults: [(fault: Crash(), when: Once(at: \"1 ms\"))]",
    );
    let error = summary.unwrap_err().to_string();
    assert!(error.contains("reports from clients"), "{error}");
    assert!(error.contains("set schedule.waiting.timeout"), "{error}");
}

#[test]
fn a_federation_in_which_nobody_can_answer_comes_to_an_end() {
    let small =
        "(name: \"all\", count: 4, device: (preset: \"laptop\", memory: \"1 kB\"), link: \"lan\")";
    let heard = run_among(small, "rounds: 2, waiting: FedAsync(concurrency: 2)", "");
    let outcomes: Vec<Outcome> = heard.rounds.iter().map(|round| round.outcome).collect();
    assert_eq!(outcomes, [Outcome::Abandoned; 2]);
    assert!(
        heard.rounds.iter().all(|round| round.refused >= 98),
        "{:?}",
        heard.rounds
    );
    let nobody =
        "(name: \"all\", count: 4, device: \"laptop\", link: \"lan\", participation: 0.000001)";
    let heard = run_among(nobody, "rounds: 3, waiting: FedAsync(concurrency: 2)", "");
    let rounds: Vec<_> = heard
        .rounds
        .iter()
        .map(|r| (r.invited, r.outcome))
        .collect();
    assert_eq!(rounds, [(0, Outcome::Abandoned); 3]);
}

/// Two of three tasks are declined: rounds are given up, what is in the buffer is not.
#[test]
fn reports_of_an_abandoned_round_stay_in_the_buffer() {
    let mixed = "
        (name: \"able\", count: 1, device: (preset: \"laptop\", startup: \"300 ms\"), link: \"lan\"),
        (name: \"small\", count: 5, device: (preset: \"laptop\", memory: \"1 kB\"), link: \"lan\"),";
    let heard = run_among(
        mixed,
        "rounds: 40, waiting: FedBuff(buffer: 2, concurrency: 3)",
        "",
    );
    let rounds = heard.rounds.iter();
    let done: Vec<&RoundRow> = rounds
        .filter(|row| row.outcome == Outcome::Completed)
        .collect();
    let reported = heard.sum(|round| round.reported);
    assert!(reported >= 2, "{reported} reports");
    assert_eq!(done.len() as u32, reported / 2, "a step of every two");
    assert!(
        done.iter().any(|row| row.reported == 1),
        "the other came in an earlier round"
    );
}

#[test]
fn a_server_that_was_down_asks_anew_and_uses_nothing_of_before() {
    let crash = "faults: [(fault: ServerCrash, when: Once(at: \"2450 ms\", lasts: \"20 ms\"))]";
    let heard = run(
        "rounds: 40, waiting: FedBuff(buffer: 3, concurrency: 6)",
        crash,
    );
    let down = heard
        .rounds
        .iter()
        .position(|row| row.outcome == Outcome::Crashed);
    let down = down.unwrap();
    let lost = &heard.rounds[down];
    assert_eq!(lost.unanswered, 6, "all that were at work");
    let next = &heard.rounds[down + 1];
    assert_eq!(next.restored, Some(lost.round - 1));
    assert_eq!(next.started, lost.ended + Span::from_millis(20));
    let up = VirtualTime::ZERO + Span::from_millis(2_470);
    for row in &heard.clients {
        if row.outcome == ClientOutcome::Reported {
            let across = row.invited < lost.ended && row.reported.unwrap() > lost.ended;
            assert!(!across, "{row:?}");
        }
    }
    assert!(heard.rounds[down + 1..]
        .iter()
        .all(|row| row.outcome == Outcome::Completed));
    let fresh = heard.rejections.iter().filter(|row| row.time >= up);
    let fresh: Vec<_> = fresh.collect();
    assert!(!fresh.is_empty() && fresh.iter().all(|row| row.reason == Rejection::Stale));
    assert!(heard.staleness.len() > 1);
}

#[test]
fn clients_are_asked_as_often_as_they_are_there() {
    let population = "
        (name: \"always\", count: 6, device: \"laptop\", link: \"lan\"),
        (name: \"rarely\", count: 6, device: \"laptop\", link: \"lan\", participation: 0.25),";
    let schedule = "rounds: 300, waiting: FedAsync(concurrency: 2)";
    let heard = run_among(population, schedule, "evaluation: (every: 100)");
    let rarely = heard
        .clients
        .iter()
        .filter(|row| &*row.group == "rarely")
        .count();
    // One in five of 301; five deviations of 7.
    assert!((25..96).contains(&rarely), "{rarely}");
    let first = heard
        .rounds
        .iter()
        .filter(|row| row.accuracy.is_some())
        .count();
    assert_eq!(first, 3, "evaluated every hundred steps");
}

#[test]
fn the_time_of_the_schedule_ends_it() {
    let heard = run(
        "rounds: 1000, stop_at_time: \"5 s\", waiting: FedAsync(concurrency: 4)",
        "",
    );
    let last = heard.rounds.last().unwrap();
    assert_eq!(last.outcome, Outcome::Stopped);
    assert_eq!(last.ended, VirtualTime::ZERO + Span::from_secs(5));
    assert_eq!(heard.unanswered().len(), 4);
}

/// What takes the time of what, and how old reports are, does not depend on what is learned.
#[test]
fn what_is_modelled_is_asked_when_it_is_and_as_old_as_what_is_real() {
    for waiting in [
        "FedBuff(buffer: 3, concurrency: 6)",
        "FedAsync(concurrency: 5, max_staleness: 6)",
    ] {
        let schedule = format!("rounds: 20, waiting: {waiting}");
        let real = run_among(TWO_SPEEDS, &schedule, "");
        let modelled = run_among(TWO_SPEEDS, &schedule, "compute: Modelled");
        let asked = |heard: &Heard| {
            let rows = heard.clients.iter();
            rows.map(|row| (row.client, row.invited, row.reported, row.outcome.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(asked(&real), asked(&modelled), "{waiting}");
        assert_eq!(real.staleness, modelled.staleness, "{waiting}");
        let sampled = run_among(TWO_SPEEDS, &schedule, "compute: Sampled(0.5)");
        assert_eq!(asked(&real), asked(&sampled), "{waiting}");
        assert!(sampled.rounds.last().unwrap().accuracy.unwrap() > 0.3);
    }
}

/// The reports that a round does not wait for come while the last round ends.
#[test]
fn what_comes_as_the_run_ends_is_lost_and_not_rejected() {
    let further = "server: (link: \"ideal\")";
    let (heard, summary) = try_run(ALIKE, "rounds: 2, cohort: 2, over_selection: 6.0", further);
    assert_eq!(summary.unwrap().ending, Ending::Finished);
    assert!(heard.rejections.is_empty(), "{:?}", heard.rejections);
    let last = heard.clients.iter().filter(|row| row.round == 2);
    let lost = last.filter(|row| row.outcome == ClientOutcome::Lost);
    assert_eq!(lost.count(), 10);
}
