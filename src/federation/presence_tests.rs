//! Clients that are there or not, and what becomes of what they were doing.

use super::testing::{self, Heard};
use crate::observe::rows::{ClientOutcome, ClientRow, Outcome};
use crate::quantity::{Span, VirtualTime};
use crate::scenario::Scenario;
use crate::sim::{Ending, Summary};

struct Run {
    heard: Heard,
    summary: Summary,
}

impl Run {
    /// The line of a client in a round.
    fn row(&self, round: u32, client: u32) -> &ClientRow {
        let mut rows = self.heard.clients.iter();
        rows.find(|row| (row.round, row.client) == (round, client))
            .unwrap()
    }

    fn available(&self) -> Vec<Option<u32>> {
        self.heard.rounds.iter().map(|row| row.available).collect()
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.heard.rounds.iter().map(|row| row.outcome).collect()
    }
}

/// Runs a scenario of these groups and schedule beside a trace of `(client, start, end)` in
/// nanoseconds, `trace.csv`.
fn run(groups: &str, schedule: &str, further: &str, trace: &[(u32, u64, u64)]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let mut table = String::from("client,start_s,end_s\n");
    for (client, start, end) in trace {
        let [start, end] =
            [start, end].map(|t| format!("{}.{:09}", t / 1_000_000_000, t % 1_000_000_000));
        table += &format!("{client},{start},{end}\n");
    }
    std::fs::write(folder.path().join("trace.csv"), table).unwrap();
    let text = format!(
        "Scenario(
            seed: 5,
            data: Digits,
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [{groups}],
            schedule: ({schedule}),
            {further}
        )"
    );
    let scenario = Scenario::parse(&text, &folder.path().join("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    let (heard, summary) = testing::run(&scenario);
    let summary = summary.unwrap();
    assert_eq!(summary.ending, Ending::Finished, "{groups}");
    assert_eq!(heard.fatal, None, "{groups}");
    Run { heard, summary }
}

/// Client 0, as `leaving` says, and client 1, which is always there. A report takes 1 s to send.
fn pair(availability: &str, schedule: &str, trace: &[(u32, u64, u64)]) -> Run {
    let link = "link: (latency: \"10 ms\", up: \"20 kbit/s\", header: \"0 B\")";
    run(
        &format!(
            "(name: \"leaver\", count: 1, device: \"laptop\", {link}, {availability}),
             (name: \"steady\", count: 1, device: \"laptop\", {link})"
        ),
        schedule,
        "server: (link: \"ideal\"),",
        trace,
    )
}

fn traced(leaving: &str) -> String {
    format!("availability: Trace(file: \"trace.csv\"), leaving: {leaving}")
}

const S: u64 = 1_000_000_000;
const LONG: u64 = 1_000 * S;

/// What a client goes through in round 1, in nanoseconds: received, trained, reported.
fn times(row: &ClientRow) -> [u64; 3] {
    [row.received, row.trained, row.reported].map(|at| at.map_or(0, VirtualTime::nanos))
}

#[test]
fn a_client_that_leaves_while_it_trains_goes_on_stands_still_or_gives_up_to_the_nanosecond() {
    let schedule = "rounds: 2, cohort: 2, deadline: \"30 s\"";
    let plain = pair("", schedule, &[]);
    assert_eq!(plain.available(), [None, None]);
    let [received, trained, reported] = times(plain.row(1, 0));
    let compute = trained - received;
    assert!(compute > 1_000, "{compute}");

    // Away from the middle of its training, for ten seconds and a nanosecond.
    let (leaves, back) = (received + compute / 2, received + compute / 2 + 10 * S + 1);
    let gap = [(0, 0, leaves), (0, back, LONG)];
    let goes_on = pair(&traced("Continue"), schedule, &gap);
    assert_eq!(times(goes_on.row(1, 0)), [received, trained, reported]);
    assert_eq!(goes_on.available(), [Some(2), Some(1)]);

    let pauses = pair(&traced("Pause"), schedule, &gap);
    let away = back - leaves;
    let late = [received, trained + away, reported + away];
    assert_eq!(times(pauses.row(1, 0)), late);
    assert_eq!(pauses.row(1, 0).compute, Span::from_nanos(compute + away));
    assert_eq!(pauses.row(1, 0).energy_j, plain.row(1, 0).energy_j);
    assert_eq!(pauses.row(1, 0).loss, plain.row(1, 0).loss);
    assert_eq!(pauses.available(), [Some(2), Some(2)]);

    let anew = pair(&traced("Restart"), schedule, &gap);
    let again = [
        received,
        back + compute,
        back + compute + (reported - trained),
    ];
    assert_eq!(times(anew.row(1, 0)), again);
    // Half of it was in vain.
    let share = anew.row(1, 0).energy_j / plain.row(1, 0).energy_j;
    assert!((share - 1.5).abs() < 1e-6, "{share}");

    let gives_up = pair(&traced("Abandon"), schedule, &gap);
    assert_eq!(gives_up.row(1, 0).outcome, ClientOutcome::Lost);
    let second = &gives_up.heard.rounds[1];
    assert!(second.started >= VirtualTime::ZERO + Span::from_secs(30));
    // Free again: in the next round it is asked and reports.
    assert_eq!((second.available, second.reported), (Some(2), 2));

    // A session that ends with the training itself is enough; one nanosecond less is not.
    for (end, outcome) in [
        (trained, ClientOutcome::Lost),
        (reported, ClientOutcome::Reported),
        (reported - 10_000_000, ClientOutcome::Reported),
        (reported - 10_000_001, ClientOutcome::Lost),
    ] {
        // Reported is the last packet's departure and 10 ms.
        let run = pair(
            &traced("Abandon"),
            schedule,
            &[(0, 0, end), (0, end + S, LONG)],
        );
        assert_eq!(run.row(1, 0).outcome, outcome, "{end} of {reported}");
    }
}

#[test]
fn what_is_being_sent_when_its_client_leaves_waits_or_is_lost() {
    let schedule = "rounds: 2, cohort: 2, deadline: \"30 s\"";
    let plain = pair("", schedule, &[]);
    let [received, trained, reported] = times(plain.row(1, 0));
    assert!(reported - trained > S, "a report takes time");
    let leaves = trained + S / 2;
    let gap = [(0, 0, leaves), (0, leaves + 7 * S, LONG)];
    let pauses = pair(&traced("Pause"), schedule, &gap);
    // Its last packet is there 10 ms after it is back.
    let late = leaves + 7 * S + 10_000_000;
    assert_eq!(times(pauses.row(1, 0)), [received, trained, late]);
    let gives_up = pair(&traced("Abandon"), schedule, &gap);
    assert_eq!(gives_up.row(1, 0).outcome, ClientOutcome::Lost);
    assert_eq!(gives_up.summary.accounting.total().dropped, 1);
}

#[test]
fn what_reaches_a_client_that_has_just_left_is_dropped_or_waits_for_it() {
    // It is there when the round opens, and gone when the task comes.
    let gap = [(0, 0, 1_000), (0, 5 * S, LONG)];
    let schedule = "rounds: 1, cohort: 2, deadline: \"30 s\"";
    let gives_up = pair(&traced("Abandon"), schedule, &gap);
    assert_eq!(gives_up.row(1, 0).outcome, ClientOutcome::Lost);
    assert_eq!(gives_up.summary.accounting.total().dropped, 1);
    let pauses = pair(&traced("Pause"), schedule, &gap);
    let [received, trained, _] = times(pauses.row(1, 0));
    let [plain_received, plain_trained, _] = times(pair("", schedule, &[]).row(1, 0));
    assert_eq!(received, plain_received);
    assert_eq!(trained, 5 * S + (plain_trained - plain_received));
}

const TRACED: &str =
    "(count: 3, device: \"laptop\", link: \"lan\", availability: Trace(file: \"trace.csv\"))";

#[test]
fn only_clients_that_are_there_when_a_round_opens_are_asked() {
    let trace = [(0, 0, 3 * S), (1, 0, LONG), (2, 3 * S, LONG)];
    let run = run(TRACED, "rounds: 12, cohort: 3", "", &trace);
    let mut seen = [0; 2];
    for round in &run.heard.rounds {
        let late = round.started.nanos() >= 3 * S;
        seen[usize::from(late)] += 1;
        let rows = run.heard.clients.iter();
        let mut asked: Vec<u32> = rows
            .filter(|row| row.round == round.round)
            .map(|row| row.client)
            .collect();
        asked.sort_unstable();
        assert_eq!(asked, if late { [1, 2] } else { [0, 1] });
        assert_eq!(round.available, Some(2));
    }
    assert!(seen.iter().all(|&n| n > 2), "{seen:?}");
}

#[test]
fn a_round_waits_until_as_many_are_there_as_it_needs() {
    let trace = [(0, 5 * S, LONG), (1, 7 * S, LONG), (2, 9 * S, LONG)];
    for (least, opens, there) in [(1, 5, 1), (2, 7, 2), (3, 9, 3)] {
        let schedule = format!("rounds: 2, cohort: 3, least_reports: {least}");
        let run = run(TRACED, &schedule, "", &trace);
        let first = &run.heard.rounds[0];
        assert_eq!(first.started, VirtualTime::ZERO);
        assert_eq!(first.available, Some(there));
        for row in run.heard.clients.iter().filter(|row| row.round == 1) {
            assert_eq!(row.invited.nanos(), opens * S);
        }
        assert_eq!(run.outcomes(), [Outcome::Completed; 2]);
    }
}

#[test]
fn a_federation_to_which_nobody_comes_ends_all_the_same() {
    // After a second there is nobody, ever again.
    let over = run(TRACED, "rounds: 4, cohort: 3", "", &[(0, 0, S)]);
    assert_eq!(over.outcomes()[..1], [Outcome::Completed]);
    assert_eq!(over.outcomes()[2..], [Outcome::Abandoned; 2]);
    assert_eq!(over.available()[2..], [Some(0); 2]);
    // Two that take turns are never both there: it looks a thousand times, then asks who is.
    let turns = TRACED.replace("\"trace.csv\"", "\"trace.csv\", period: \"2 s\"");
    let trace = [(0, 0, S), (1, S, 2 * S), (2, 0, S / 4)];
    let never = run(&turns, "rounds: 2, cohort: 3, least_reports: 3", "", &trace);
    assert_eq!(never.outcomes(), [Outcome::Abandoned; 2]);
    let asked = never.row(1, never.heard.clients[0].client).invited;
    assert!(asked > VirtualTime::ZERO + Span::from_secs(400), "{asked}");
    // Those who are away for whole rounds are not waited for.
    let by_round = "(count: 3, device: \"laptop\", link: \"lan\", availability: HOMO(0.7))";
    let run = run(by_round, "rounds: 12, cohort: 3, least_reports: 3", "", &[]);
    let few = run.heard.rounds.iter().filter(|r| r.available < Some(3));
    assert!(few.clone().count() > 5);
    assert!(few.into_iter().all(|r| r.outcome == Outcome::Abandoned));
}

#[test]
fn a_server_that_waits_still_stops_at_its_time_and_still_crashes() {
    let trace = [(0, 100 * S, LONG), (1, 100 * S, LONG)];
    let stopped = run(
        TRACED,
        "rounds: 3, cohort: 3, stop_at_time: \"20 s\"",
        "",
        &trace,
    );
    assert_eq!(stopped.outcomes(), [Outcome::Stopped]);
    assert_eq!(stopped.heard.rounds[0].ended.nanos(), 20 * S);
    let crash = "faults: [(fault: ServerCrash, when: Once(at: \"30 s\", lasts: \"1 s\"))]";
    let crashed = run(TRACED, "rounds: 3, cohort: 3", crash, &trace);
    use Outcome::{Completed, Crashed};
    assert_eq!(crashed.outcomes(), [Crashed, Completed, Completed]);
    let invited = crashed.heard.clients.iter().map(|row| row.invited.nanos());
    assert_eq!(invited.min(), Some(100 * S));
}

#[test]
fn the_number_of_those_who_are_there_by_round_is_what_their_rates_say() {
    let group = "(count: 20, device: \"laptop\", link: \"lan\", availability: HOMO(0.4)),
                 (count: 5, device: \"laptop\", link: \"lan\")";
    let run = run(group, "rounds: 60, cohort: 25", "", &[]);
    let mut there = 0;
    for round in &run.heard.rounds {
        let available = round.available.unwrap();
        assert_eq!(round.invited, available);
        there += available - 5;
    }
    // Binomial(1 200, 0.6): mean 720, deviation 17; five of them.
    assert!(there.abs_diff(720) < 85, "{there}");
}

#[test]
fn whoever_is_always_there_is_so_by_any_name() {
    let group = |how: &str| {
        let group = format!("(count: 6, device: \"laptop\", link: \"lan\"{how})");
        run(&group, "rounds: 3, cohort: 4", "", &[(0, 0, LONG)])
    };
    let plain = group("");
    for how in [
        "IDL",
        "Independent(1)",
        "LDF(0)",
        "Trace(file: \"trace.csv\")",
    ] {
        let named = group(&format!(", availability: {how}"));
        let same = |run: &Run| run.heard.clients.clone();
        assert_eq!(same(&named), same(&plain), "{how}");
        assert_eq!(named.available(), [Some(6); 3]);
    }
}

/// Client 0 is there from 10 to 20 s and from 50 s on, and nobody else: a server that asks one by one
/// asks it then, and waits in between.
#[test]
fn a_server_that_asks_one_by_one_waits_for_somebody_to_come_back() {
    let seconds = |from: u64, to: u64| (0, from * 1_000_000_000, to * 1_000_000_000);
    let run = run(
        "(count: 1, device: \"laptop\", link: \"lan\", availability: Trace(file: \"trace.csv\"))",
        "rounds: 8, stop_at_time: \"52 s\", waiting: FedBuff(concurrency: 1, buffer: 1)",
        "server: (link: \"ideal\"),",
        &[seconds(10, 20), seconds(50, 90)],
    );
    let asked: Vec<f64> = run
        .heard
        .clients
        .iter()
        .map(|row| row.invited.since(VirtualTime::ZERO).seconds())
        .collect();
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|at| (10.0..20.0).contains(at) || *at >= 50.0),
        "{asked:?}"
    );
    assert!((asked[0] - 10.0).abs() < 1e-9, "{asked:?}");
    assert_eq!(run.heard.rounds[0].outcome, Outcome::Completed);
}

#[test]
fn nobody_who_is_away_is_asked_one_by_one() {
    for selection in [
        "Uniform()",
        "ByData()",
        "RoundRobin()",
        "Oort()",
        "PowerOfChoice()",
    ] {
        let run = run(
            "(count: 12, device: \"laptop\", link: \"lan\", availability: Trace(file: \"trace.csv\"))",
            "rounds: 30, waiting: FedAsync(concurrency: 3, timeout: \"5 s\")",
            &format!("server: (link: \"ideal\"), selection: {selection},"),
            // Four at a time, ten seconds each, three times round.
            &(0..36u32)
                .map(|k| {
                    let from = u64::from(k / 4) * 10_000_000_000;
                    (k % 12, from, from + 10_000_000_000)
                })
                .collect::<Vec<_>>(),
        );
        assert!(run
            .heard
            .rounds
            .iter()
            .all(|row| row.outcome == Outcome::Completed));
        for row in &run.heard.clients {
            let slot = row.invited.nanos() / 10_000_000_000;
            assert_eq!(u64::from(row.client / 4), slot % 3, "{selection}: {row:?}");
        }
    }
}

/// A client that leaves does not come back to its task: its place is free after the timeout.
#[test]
fn a_client_that_abandons_its_task_is_given_up_where_clients_are_asked_one_by_one() {
    let run = run(
        "(name: \"leaver\", count: 1, device: (preset: \"laptop\", startup: \"3 s\"), link: \"lan\",
            availability: Trace(file: \"trace.csv\"), leaving: Abandon),
         (name: \"steady\", count: 1, device: (preset: \"laptop\", startup: \"3 s\"), link: \"lan\")",
        "rounds: 6, waiting: FedBuff(concurrency: 2, buffer: 2, timeout: \"8 s\")",
        "server: (link: \"ideal\"),",
        &[(0, 0, 2_000_000_000), (0, 30_000_000_000, 60_000_000_000)],
    );
    let leaver: Vec<_> = run
        .heard
        .clients
        .iter()
        .filter(|row| row.client == 0)
        .collect();
    assert_eq!(leaver[0].outcome, ClientOutcome::Lost);
    // Given up at 8 s, there again at 30 s.
    assert!(
        leaver[1].invited >= VirtualTime::ZERO + Span::from_secs(30),
        "{:?}",
        leaver[1]
    );
}
