//! Properties of every page, whatever the course of the run and the names in it.

use super::*;
use crate::observe::record::{ClassEntry, MessageCount};
use crate::observe::rows::{
    ClientAccuracyRow, ClientOutcome, ClientRow, CostRow, InvitationRow, Outcome, Rejection,
    RoundRow, SizeRow,
};
use crate::observe::staleness::Staleness;
use crate::quantity::VirtualTime;
use proptest::prelude::*;
use std::time::Duration;

/// A run to be drawn.
struct Run {
    name: &'static str,
    digest: Digest,
    histograms: Histograms,
    messages: Messages,
    rejections: Rejections,
    classes: Vec<ClassEntry>,
    staleness: Staleness,
}

fn at(seconds: u64) -> VirtualTime {
    VirtualTime::from_nanos(seconds * 1_000_000_000)
}

fn round(round: u32) -> RoundRow {
    let start = u64::from(round) * 100;
    RoundRow {
        round,
        started: at(start),
        ended: at(start + 60),
        invited: 12,
        reported: 9,
        late_arrivals: 1,
        refused: 1,
        unanswered: 1,
        accuracy: Some(0.5),
        loss: Some(1.0),
        train_loss: Some(0.9),
        client_mean: Some(0.4),
        client_std: Some(0.1),
        client_p5: Some(0.2),
        client_p95: Some(0.6),
        client_worst10: Some(0.1),
        bytes_down: 1_000_000,
        bytes_up: 900_000,
        server_compute: Span::ZERO,
        outcome: Outcome::Completed,
        attack_success: None,
        epsilon: None,
        restored: None,
        available: None,
        staleness_mean: None,
        staleness_max: None,
        consensus_distance: None,
        rejected: 1,
        client_worst10_clients: Some(2),
        client_worst10_samples: Some(80),
        trained_mean: Some(0.45),
        trained_p5: Some(0.3),
        trained_p95: Some(0.7),
        trained_worst10: Some(0.2),
        trained_worst10_clients: Some(1),
        trained_worst10_samples: Some(7),
        trained_clients: Some(9),
        diverged: Some(0),
        ..RoundRow::default()
    }
}

/// The same twelve, when it is known what became of the one that had not answered.
fn invitations(round: u32) -> InvitationRow {
    InvitationRow {
        invited: 12,
        reported: 9,
        refused: 1,
        rejected: 1,
        late: 1,
        ..InvitationRow::of(round)
    }
}

fn client(round: u32, client: u32, group: &str) -> ClientRow {
    let start = u64::from(round) * 100;
    ClientRow {
        round,
        client,
        group: group.into(),
        outcome: match client % 4 {
            0 => ClientOutcome::Refused("<i>no</i>".into()),
            1 => ClientOutcome::Lost,
            _ => ClientOutcome::Reported,
        },
        invited: at(start),
        received: Some(at(start + 5)),
        trained: Some(at(start + 30)),
        reported: Some(at(start + 40)),
        compute: Span::from_secs(20),
        queue_wait: Span::ZERO,
        bytes_down: 10,
        bytes_up: 10,
        samples: 5,
        steps: 1,
        loss: None,
        trained_accuracy: None,
        size: 1.0,
        flops: 0,
        memory_bytes: 0,
        energy_j: 0.0,
        received_accuracy: None,
        overhead_bytes: 0,
    }
}

fn run(name: &'static str, group: &'static str, rounds: u32, clients: u32) -> Run {
    let rows = (1..=rounds).flat_map(|r| (0..clients).map(move |c| client(r, c, group)));
    let scores = (0..if rounds > 0 { clients } else { 0 }).map(|c| ClientAccuracyRow {
        round: rounds,
        client: c,
        group: group.into(),
        correct: Some(c % 7),
        count: 7,
        received_correct: Some(c % 5),
        trained_correct: Some(c % 6),
        trained_round: Some(rounds),
    });
    let mut histograms = Histograms::new();
    for i in 0..u64::from(rounds) {
        histograms.message(name, at(i), Span::from_millis(i + 1));
        histograms.round(at(i), Span::from_secs(60));
    }
    let count = MessageCount {
        sent: rounds.into(),
        delivered: rounds.into(),
        ..MessageCount::default()
    };
    Run {
        name,
        digest: Digest {
            invitations: (1..=rounds).map(invitations).collect(),
            ..Digest::of((1..=rounds).map(round).collect(), rows, scores, &[])
        },
        histograms,
        messages: Messages::from([(name.to_owned(), count)]),
        rejections: Rejections::new(),
        classes: Vec::new(),
        staleness: Staleness::default(),
    }
}

fn page(run: &Run) -> String {
    page_with(run, Party::Clients)
}

fn page_with(run: &Run, party: Party) -> String {
    let end = at(1_000);
    let totals = Totals::of(&run.digest.rounds, end, 1, Duration::from_secs(1));
    ReportPage {
        name: run.name,
        seed: 1,
        version: "0.1.0",
        status: Status::Completed,
        hash: Some("9f2c"),
        facts: &[("method", run.name.to_owned())],
        command: run.name,
        totals: &totals,
        digest: &run.digest,
        histograms: &run.histograms,
        messages: &run.messages,
        rejections: &run.rejections,
        classes: &run.classes,
        staleness: &run.staleness,
        party,
        deadline: Some(Span::from_secs(70)),
        scenario: run.name,
    }
    .render()
    .unwrap()
}

#[test]
fn the_picture_of_outcomes_adds_up_to_the_invitations() {
    let mut run = run("quickstart", "phones", 2, 12);
    let html = page(&run);
    assert!(
        html.contains("24 invitations, each with exactly one outcome."),
        "{html}"
    );
    for (word, share) in [("reported", "75.00"), ("late", "8.33"), ("refused", "8.33")] {
        let row = html.split(&format!("<td>{word}</td>")).nth(1).unwrap();
        let row = row.split("</tr>").next().unwrap();
        assert!(row.contains(share), "{word}: {row}");
    }
    // After a run that was killed, the outcome of some invitations is not known.
    run.digest.invitations.clear();
    assert!(page(&run).contains("<h2>Answers by round</h2>"));
    run.digest.invitations = vec![invitations(1)];
    assert!(page_with(&run, Party::Servers).contains("<h2>Answers by round</h2>"));
}

/// The names of all elements, if every one that is opened is closed in its turn.
fn elements(html: &str) -> Vec<&str> {
    let void = ["meta", "!doctype"];
    let (mut open, mut all) = (vec![], vec![]);
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("a tag ends");
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "closed out of turn");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        all.push(name);
        if !tag.ends_with('/') && !void.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    all
}

#[test]
fn a_full_run_has_every_picture_and_table() {
    let html = page(&run("quickstart", "phones", 12, 12));
    elements(&html);
    for title in [
        "Accuracy by round",
        "Accuracy in virtual time",
        "Loss by round",
        "Spread over the clients",
        "Client by client",
        "Message latency",
        "Invitations by round",
        "What became of the invitations",
        "Traffic by round",
        "A round as it went",
        "Groups",
        "Where time goes",
        "Messages",
    ] {
        assert!(html.contains(&format!("<h2>{title}</h2>")), "{title}");
    }
    // What the worst tenth stands on.
    assert!(
        html.contains("The worst tenth at the end: 2 clients with 80 samples held out together.")
    );
    assert_eq!(html.matches("<svg").count(), 9);
    assert_eq!(html, page(&run("quickstart", "phones", 12, 12)));
}

#[test]
fn a_page_loads_nothing_and_runs_nothing() {
    let html = page(&run("quickstart", "phones", 3, 5));
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    assert!(html.contains(policy));
    // The name of the SVG language looks like an address but is none.
    let addresses = html.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!addresses.contains(outside), "{outside}");
    }
}

#[test]
fn names_with_markup_are_shown_and_do_nothing() {
    let markup = "</title></pre><script>alert(1)</script><img src=x onerror=\"a()\">'&\u{202e}\0";
    let html = page(&run(markup, markup, 3, 5));
    let found = elements(&html);
    let plain = page(&run("plain", "plain", 3, 5));
    let mut kinds: Vec<&str> = found.clone();
    kinds.sort_unstable();
    kinds.dedup();
    let mut plain_kinds = elements(&plain);
    plain_kinds.sort_unstable();
    plain_kinds.dedup();
    assert_eq!(kinds, plain_kinds);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!html.contains('\u{202e}') && !html.contains('\0'));
}

#[test]
fn a_run_without_rounds_says_so_and_draws_nothing() {
    let html = page(&run("empty", "phones", 0, 5));
    elements(&html);
    assert!(html.contains("No round was closed"));
    assert!(!html.contains("<svg"));
}

#[test]
fn one_round_of_one_client_is_drawn() {
    let html = page(&run("one", "phones", 1, 1));
    elements(&html);
    assert_eq!(html.matches("<svg").count(), 9);
    assert!(!html.contains("the median of"));
}

#[test]
fn classes_are_reported_with_their_names_and_samples() {
    let mut run = run("classes", "phones", 2, 4);
    assert!(!page(&run).contains("<h2>Classes"));
    run.classes = vec![ClassEntry {
        index: 0,
        name: "cat & <dog>".to_owned(),
        train: 1_234,
        test: 56,
    }];
    let html = page(&run);
    elements(&html);
    for shown in ["Classes", "cat &amp; &lt;dog&gt;", "1,234"] {
        assert!(html.contains(shown), "{shown}");
    }
}

#[test]
fn what_went_wrong_is_reported_and_only_then() {
    let mut run = run("faulty", "phones", 6, 4);
    let titles = ["Reports that were not used", "Rounds out of the ordinary"];
    let sound = page(&run);
    assert!(titles.iter().all(|title| !sound.contains(title)));
    run.rejections.insert(Rejection::NotFinite, 1_234);
    run.digest.rounds[2].outcome = Outcome::Crashed;
    run.digest.rounds[3].restored = Some(2);
    run.digest.rounds[4].outcome = Outcome::Abandoned;
    let html = page(&run);
    elements(&html);
    for shown in [
        titles[0],
        titles[1],
        "a value is not a finite number",
        "1,234",
        "lost: the server went down",
        "the checkpoint of round 2",
        "abandoned: too few reports",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
}

#[test]
fn how_old_reports_were_is_reported_where_clients_are_asked_one_by_one() {
    let mut run = run("buffered", "phones", 6, 4);
    let title = "How old reports were";
    assert!(!page(&run).contains(title));
    run.staleness = Staleness([(0, 750), (2, 100), (3, 150)].into());
    let html = page(&run);
    elements(&html);
    for shown in [title, "75.00 %", "2–3", "25.00 %", "mean 0.65"] {
        assert!(html.contains(shown), "{shown}");
    }
}

#[test]
fn without_client_evaluations_only_their_pictures_are_missing() {
    let mut run = run("central", "phones", 4, 4);
    run.digest.accuracy.clear();
    for row in &mut run.digest.rounds {
        row.client_mean = None;
        row.trained_mean = None;
    }
    let html = page(&run);
    elements(&html);
    assert!(!html.contains("Client by client") && !html.contains("Spread over"));
    assert!(html.contains("Accuracy by round"));
}

#[test]
fn a_diverged_run_is_drawn_up_to_where_it_diverged() {
    let mut run = run("diverged", "phones", 20, 4);
    for row in run.digest.rounds.iter_mut().skip(10) {
        row.loss = Some(f64::NAN);
        row.train_loss = Some(f64::INFINITY);
    }
    let html = page(&run);
    elements(&html);
    assert!(html.contains("A gap is a value that is not a finite number."));
}

#[test]
fn a_large_run_is_sampled_and_says_so() {
    let html = page(&run("large", "phones", 5_000, 300));
    assert!(html.contains("600 of 5,000 evaluations are drawn"));
    assert!(html.contains("60 of 300 clients are drawn"));
    assert!(html.contains("Every bar is the mean of 36 rounds."));
    assert!(html.len() < 400_000, "{} bytes", html.len());
}

#[test]
fn a_sample_is_even_and_keeps_both_ends() {
    assert_eq!(evenly(3, 5), [0, 1, 2]);
    assert_eq!(evenly(0, 5), Vec::<usize>::new());
    assert_eq!(evenly(101, 5), [0, 25, 50, 75, 100]);
    let many = evenly(1_000_000, 600);
    assert_eq!((many.len(), many[0], many[599]), (600, 0, 999_999));
    assert!(many.windows(2).all(|w| w[0] < w[1]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_numbers_are_there_is_a_page(
        numbers in prop::collection::vec((any::<[u64; 4]>(), any::<[u32; 3]>(), prop::array::uniform8(prop::option::of(prop::num::f64::ANY))), 0..6),
        times in any::<[u64; 4]>(),
    ) {
        let mut run = run("odd", "phones", 2, 3);
        run.digest.rounds = numbers.iter().map(|(n, c, f)| RoundRow {
            round: c[0],
            started: VirtualTime::from_nanos(n[0]),
            ended: VirtualTime::from_nanos(n[1]),
            bytes_down: n[2],
            bytes_up: n[3],
            reported: c[1],
            unanswered: c[2],
            accuracy: f[0],
            loss: f[1],
            train_loss: f[2],
            client_mean: f[3],
            client_p5: f[4],
            client_p95: f[5],
            client_worst10: f[6],
            ..round(1)
        }).collect();
        for row in &mut run.digest.timeline {
            row.round = run.digest.rounds.first().map_or(1, |r| r.round);
            row.received = Some(VirtualTime::from_nanos(times[0]));
            row.trained = Some(VirtualTime::from_nanos(times[1]));
            row.reported = Some(VirtualTime::from_nanos(times[2]));
            row.compute = Span::from_nanos(times[3]);
        }
        elements(&page(&run));
    }
}

#[test]
fn pictures_say_whom_rounds_are_held_with() {
    let run = run("fedavg", "phones", 3, 4);
    for (party, says, timeline) in [
        (Party::Clients, "clients to server", true),
        (Party::Servers, "from servers between", false),
        (Party::Peers, "sent by clients", true),
    ] {
        let html = page_with(&run, party);
        assert!(html.contains(says), "{party:?}");
        // Clients of other servers have rounds of their own with the same numbers.
        assert_eq!(html.contains("A round as it went"), timeline, "{party:?}");
    }
}

#[test]
fn widths_have_a_picture_and_a_table_where_there_are_several() {
    let mut one = run("fedavg", "phones", 3, 4);
    let cost = |size: f64, clients| CostRow {
        size,
        clients,
        parameters: 14_506,
        ..CostRow::default()
    };
    one.digest.costs = vec![cost(1.0, 4)];
    let plain = page(&one);
    assert!(plain.contains("What clients cost") && !plain.contains("Accuracy by width"));
    one.digest.costs = vec![cost(1.0, 1), cost(0.5, 3)];
    one.digest.sizes = [
        (1, 1.0, 0.5),
        (1, 0.5, 0.25),
        (3, 1.0, 0.75),
        (3, 0.5, 0.6171),
    ]
    .map(|(round, size, accuracy)| SizeRow {
        round,
        size,
        clients: 2,
        accuracy: Some(accuracy),
        loss: None,
        client_mean: None,
        received_mean: None,
        trained_mean: None,
    })
    .into();
    let page = page(&one);
    for expected in [
        "Accuracy by width",
        "width 0.5",
        "14,506",
        "61.71 %",
        "on own samples",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!elements(&page).is_empty());
}

#[test]
fn who_has_which_samples_is_drawn_by_client_or_by_group_with_what_to_know_of_it() {
    use crate::observe::dealt::Dealt;
    use crate::observe::rows::PartitionRow;
    let row = |client: Option<u32>, class, train| PartitionRow {
        client,
        group: "phones<b>".into(),
        clients: 1,
        class,
        train,
        held_out: 1,
    };
    let mut run = run("fedavg", "phones<b>", 3, 4);
    assert!(!page(&run).contains("Who has which samples"));
    // More clients and more classes than there is room for.
    let many = (0..300u32).map(|client| row(Some(client), Some(client % 120), 5));
    run.digest.dealt = Dealt::of(many, 300);
    let html = page(&run);
    assert!(!elements(&html).is_empty());
    for said in [
        "Who has which samples",
        "the largest is 6.",
        "Clients train on 5 to 5 samples",
        "100 of 300 clients are drawn",
        "Every line is 3 classes.",
    ] {
        assert!(html.contains(said), "{said}");
    }
    let groups = [row(None, Some(0), 7), row(None, None, 0)];
    run.digest.dealt = Dealt::of(groups, 4);
    assert!(page(&run).contains("Groups are drawn"));
}
