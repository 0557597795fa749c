use super::super::rows::{ClientOutcome, ClientRow};
use super::*;
use crate::quantity::Span;
use proptest::prelude::*;

fn at(seconds: u64) -> VirtualTime {
    VirtualTime::from_nanos(seconds * 1_000_000_000)
}

fn row(client: u32, round: u32, invited: VirtualTime) -> ClientRow {
    ClientRow {
        round,
        client,
        group: "a".into(),
        outcome: ClientOutcome::Lost,
        invited,
        received: None,
        trained: None,
        reported: None,
        compute: Span::ZERO,
        queue_wait: Span::ZERO,
        bytes_down: 0,
        bytes_up: 0,
        samples: 0,
        steps: 0,
        loss: None,
        trained_accuracy: None,
        received_accuracy: None,
        overhead_bytes: 0,
        size: 1.0,
        flops: 0,
        memory_bytes: 0,
        energy_j: 0.0,
    }
}

fn arrived(outcome: ClientOutcome) -> What {
    What::Arrived(Box::new(outcome))
}

/// Ten seconds of work from `from`, with 1000 operations and 50 J, which breaks off at `breaks`.
fn work(from: u64, breaks: VirtualTime) -> What {
    What::Works(Box::new(Work {
        until: at(from + 10),
        breaks,
        compute: Span::from_secs(10),
        flops: 1_000,
        memory: 64,
        energy: 50.0,
        trains: true,
    }))
}

/// A ledger of one client, driven second by second.
#[derive(Default)]
struct Story {
    ledger: Ledger,
    lines: Vec<ClientRow>,
}

impl Story {
    fn fact(&mut self, task: u32, seconds: u64, what: What) -> &mut Self {
        let fact = Fact {
            client: 3,
            task,
            at: at(seconds),
            what,
        };
        self.lines.extend(self.ledger.fact(fact));
        self
    }

    /// The client is asked in round `task`; its way from the server takes a second.
    fn asked(&mut self, task: u32, seconds: u64) -> &mut Self {
        let row = Box::new(row(3, task, at(seconds)));
        let bytes = Some(100);
        self.fact(
            task,
            seconds,
            What::Asked {
                row,
                bytes,
                beside: 0,
            },
        )
    }

    /// The client is asked, and at work a second later.
    fn at_work(&mut self, task: u32, seconds: u64) -> &mut Self {
        self.asked(task, seconds)
            .fact(task, seconds + 1, What::Received)
            .fact(task, seconds + 1, work(seconds + 1, VirtualTime::NEVER))
    }

    fn sent(&mut self, task: u32, seconds: u64) -> &mut Self {
        let (bytes, answers) = (7, 1);
        self.fact(
            task,
            seconds,
            What::Sent {
                bytes,
                beside: 0,
                answers,
            },
        )
    }

    fn record(&mut self, task: u32, seconds: u64, outcome: ClientOutcome) -> &mut Self {
        let answer = ClientRow {
            outcome,
            ..row(3, task, at(seconds))
        };
        self.lines.extend(self.ledger.record(answer));
        self
    }

    fn end(&mut self, seconds: u64) -> Vec<ClientRow> {
        self.lines.extend(self.ledger.close(at(seconds)));
        std::mem::take(&mut self.lines)
    }

    /// The only line that there is at the end.
    fn line(&mut self, seconds: u64) -> ClientRow {
        let lines = self.end(seconds);
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].clone()
    }
}

fn spent(row: &ClientRow) -> (u64, u64, u64, f64) {
    (row.bytes_down, row.bytes_up, row.flops, row.energy_j)
}

#[test]
fn a_report_in_time_has_its_line_at_once_with_what_was_spent() {
    let mut story = Story::default();
    story.at_work(1, 0).sent(1, 11);
    assert!(story.lines.is_empty());
    story.record(1, 0, ClientOutcome::Reported);
    assert_eq!(story.lines.len(), 1);
    assert!(story.ledger.is_empty());
    let line = story.line(20);
    assert_eq!(spent(&line), (100, 7, 1_000, 50.0));
    assert_eq!((line.compute, line.memory_bytes), (Span::from_secs(10), 64));
    assert_eq!(line.outcome, ClientOutcome::Reported);
}

#[test]
fn a_lost_task_cost_its_bytes_and_a_lost_report_all_of_its_work() {
    let mut story = Story::default();
    story.asked(1, 0).fact(1, 0, What::Gone { task: true });
    story.record(1, 0, ClientOutcome::Lost);
    assert!(story.ledger.is_empty(), "nothing can become of it");
    let line = story.line(20);
    assert_eq!(line.outcome, ClientOutcome::Lost);
    assert_eq!(spent(&line), (100, 0, 0, 0.0));

    story.at_work(2, 30).sent(2, 41);
    story.fact(2, 42, What::Gone { task: false });
    let line = story.record(2, 30, ClientOutcome::Lost).line(50);
    assert_eq!(line.outcome, ClientOutcome::Lost);
    assert_eq!(spent(&line), (100, 7, 1_000, 50.0));
    assert_eq!((line.received, line.trained), (Some(at(31)), Some(at(41))));
}

#[test]
fn a_client_asked_again_gives_up_what_it_was_at_and_has_spent_its_share() {
    let mut story = Story::default();
    story.at_work(1, 0).asked(2, 4);
    // The server takes it as lost when it asks again.
    story.record(1, 0, ClientOutcome::Lost);
    assert!(story.lines.is_empty(), "it is still at it");
    story.fact(2, 5, What::Received);
    let line = story.lines.pop().unwrap();
    assert_eq!(line.outcome, ClientOutcome::Superseded);
    // Four of ten seconds.
    assert_eq!(spent(&line), (100, 0, 400, 20.0));
    assert_eq!((line.compute, line.trained), (Span::from_secs(4), None));
}

#[test]
fn a_report_to_a_task_that_was_asked_anew_is_late_and_nothing_else() {
    let mut story = Story::default();
    story.at_work(1, 0).sent(1, 11).asked(2, 11);
    story
        .record(1, 0, ClientOutcome::Lost)
        .fact(2, 12, What::Received);
    story.fact(1, 13, arrived(ClientOutcome::Late));
    let line = story.lines.pop().unwrap();
    assert_eq!((line.round, line.outcome.clone()), (1, ClientOutcome::Late));
    assert_eq!(line.reported, Some(at(13)));
    assert_eq!(spent(&line), (100, 7, 1_000, 50.0));
    // A refusal that comes late is a refusal.
    let mut story = Story::default();
    story
        .at_work(1, 0)
        .sent(1, 3)
        .record(1, 0, ClientOutcome::Lost);
    let refusal = ClientOutcome::Refused("no".into());
    let line = story.fact(1, 5, arrived(refusal)).line(9);
    assert_eq!(line.outcome, ClientOutcome::Refused("no".into()));
}

#[test]
fn what_is_under_way_when_the_run_ends_is_unfinished_and_has_its_line() {
    let on_its_way = Story::default().asked(1, 0).line(1);
    assert_eq!(on_its_way.outcome, ClientOutcome::Unfinished);
    assert_eq!(spent(&on_its_way), (100, 0, 0, 0.0));
    // Also where the server has stopped waiting.
    let at_work = Story::default()
        .at_work(1, 0)
        .record(1, 0, ClientOutcome::Lost)
        .line(6);
    assert_eq!(at_work.outcome, ClientOutcome::Unfinished);
    assert_eq!(spent(&at_work), (100, 0, 500, 25.0));
    let on_its_way_back = Story::default().at_work(1, 0).sent(1, 11).line(12);
    assert_eq!(on_its_way_back.outcome, ClientOutcome::Unfinished);
    assert_eq!(spent(&on_its_way_back), (100, 7, 1_000, 50.0));
}

#[test]
fn work_that_a_client_goes_down_over_is_lost_with_its_share() {
    let mut story = Story::default();
    story.asked(1, 0).fact(1, 1, What::Received);
    story.fact(1, 1, work(1, at(6)));
    // It is not down yet.
    let mut early = Story::default();
    early.asked(1, 0).fact(1, 1, What::Received);
    let line = early.fact(1, 1, work(1, at(6))).line(4);
    assert_eq!(line.outcome, ClientOutcome::Unfinished);
    assert_eq!(line.flops, 300);
    let line = story.record(1, 0, ClientOutcome::Lost).line(60);
    assert_eq!(line.outcome, ClientOutcome::Lost);
    assert_eq!((line.flops, line.compute), (500, Span::from_secs(5)));
}

#[test]
fn a_panic_over_a_task_is_a_crash_and_later_tasks_are_lost() {
    let mut story = Story::default();
    story.asked(1, 0);
    // A panic undoes whatever the handler reported.
    story.lines.extend(story.ledger.crashed(3, at(1)));
    story.asked(2, 5).fact(2, 6, What::Gone { task: true });
    story.record(1, 0, ClientOutcome::Lost);
    story.record(2, 5, ClientOutcome::Lost);
    let outcomes: Vec<ClientOutcome> = story.end(9).into_iter().map(|l| l.outcome).collect();
    assert_eq!(outcomes, [ClientOutcome::Crashed, ClientOutcome::Lost]);
}

#[test]
fn copies_of_a_task_keep_it_open_until_none_is_under_way() {
    let mut story = Story::default();
    story.asked(1, 0).fact(1, 0, What::Copied { task: true });
    story.fact(1, 0, What::Gone { task: true });
    story.record(1, 0, ClientOutcome::Lost);
    assert!(story.lines.is_empty(), "the copy may arrive");
    story.fact(1, 2, What::Received);
    assert_eq!(story.line(3).outcome, ClientOutcome::Lost);
}

#[test]
fn work_that_is_done_again_for_a_copy_of_the_task_is_counted_again() {
    let mut story = Story::default();
    story.asked(1, 0).fact(1, 0, What::Copied { task: true });
    story.fact(1, 1, What::Received);
    story.fact(1, 1, work(1, VirtualTime::NEVER)).sent(1, 11);
    story.record(1, 0, ClientOutcome::Reported);
    assert!(story.lines.is_empty(), "the copy is under way");
    story.fact(1, 20, What::Received);
    story.fact(1, 20, work(20, VirtualTime::NEVER)).sent(1, 30);
    let line = story.lines.pop().unwrap();
    assert_eq!(line.outcome, ClientOutcome::Reported);
    assert_eq!(spent(&line), (100, 14, 2_000, 100.0));
}

#[test]
fn a_report_that_is_held_back_is_sent_whatever_its_client_is_asked_meanwhile() {
    let mut story = Story::default();
    story.at_work(1, 0);
    let held_back = Work {
        until: at(40),
        breaks: VirtualTime::NEVER,
        compute: Span::ZERO,
        flops: 0,
        memory: 0,
        energy: 0.0,
        trains: false,
    };
    story.fact(1, 11, What::Works(Box::new(held_back)));
    story.record(1, 0, ClientOutcome::Lost);
    story.at_work(2, 20);
    assert!(story.lines.is_empty());
    story.sent(1, 40).fact(1, 41, arrived(ClientOutcome::Late));
    let line = story.lines.pop().unwrap();
    assert_eq!(line.outcome, ClientOutcome::Late);
    assert_eq!(spent(&line), (100, 7, 1_000, 50.0));
    assert_eq!(line.trained, Some(at(11)));
}

#[test]
fn a_ledger_comes_back_from_a_checkpoint() {
    let mut story = Story::default();
    story
        .at_work(1, 0)
        .asked(2, 4)
        .record(1, 0, ClientOutcome::Lost);
    story.ledger.fact(Fact {
        client: 0,
        task: 0,
        at: at(4),
        what: What::Unheard { bytes: 9 },
    });
    let mut again = crate::snapshot::testing::again(&story.ledger).unwrap();
    assert_eq!(again.unheard(), 9);
    assert_eq!(again.close(at(6)), story.ledger.close(at(6)));
}

/// One thing that may happen next.
fn step() -> impl Strategy<Value = (u32, u8)> {
    (1u32..5, 0u8..9)
}

proptest! {
    /// In whatever order things are reported, each invitation has exactly one line, and no bytes are
    /// missing.
    #[test]
    fn every_invitation_has_exactly_one_line(steps in prop::collection::vec(step(), 0..80)) {
        let (mut story, mut asked, mut up) = (Story::default(), Vec::new(), 0);
        for (second, (task, what)) in (0u64..).zip(steps) {
            match what {
                0 if !asked.contains(&task) => {
                    asked.push(task);
                    story.asked(task, second);
                }
                1 => { story.fact(task, second, What::Received); }
                2 => { story.fact(task, second, work(second, VirtualTime::NEVER)); }
                3 if story.ledger.open.contains_key(&(3, task)) => {
                    up += 7;
                    story.sent(task, second);
                }
                4 => { story.fact(task, second, What::Gone { task: true }); }
                5 => { story.fact(task, second, What::Gone { task: false }); }
                6 => { story.fact(task, second, arrived(ClientOutcome::Late)); }
                7 => {
                    let open = story.ledger.open.get(&(3, task)).filter(|entry| !entry.is_recorded());
                    if open.is_some() {
                        story.record(task, 0, ClientOutcome::Lost);
                    }
                }
                8 if second % 7 == 0 => {
                    let done = story.ledger.crashed(3, at(second));
                    story.lines.extend(done);
                }
                _ => {}
            }
        }
        let lines = story.end(100);
        let mut found: Vec<u32> = lines.iter().map(|line| line.round).collect();
        found.sort_unstable();
        asked.sort_unstable();
        prop_assert_eq!(found, asked);
        prop_assert_eq!(lines.iter().map(|line| line.bytes_up).sum::<u64>(), up);
        let down = lines.iter().map(|line| line.bytes_down).sum::<u64>();
        prop_assert_eq!(down, 100 * lines.len() as u64);
    }
}
