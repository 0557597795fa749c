//! Node 0 of a federation without a server: it observes, and is no part of the simulated world.
//!
//! The record of a round is closed when every client has reported this round or a later one. Where there
//! is a deadline, the record is closed at the latest when twice the deadline has passed since the first
//! client reported the round; a client that has not reported it by then is lost to the round. For
//! example, with a deadline of 10 s and a first client that ends round 3 at 95 s, the record of round 3
//! is closed at 115 s at the latest. Records are closed in the order of their rounds.
//!
//! - `measuring`: the end of a round that is measured.

mod measuring;

use super::super::invitation;
use super::super::job::Output;
use super::super::message::Message;
use super::super::outstanding::Asked;
use super::super::record::Record;
use super::super::spread::Own;
use super::super::world::{Federation, Shared};
use super::notice::Notice;
use super::round_record::RoundRecord;
use crate::observe::rows::{ClientOutcome, ClientRow, Outcome, RoundRow};
use crate::quantity::VirtualTime;
use crate::sim::{Context, Input};
use crate::snapshot::{snapshot_enum, Damaged, Reader, Snapshot, Writer};
use measuring::Measuring;
use std::collections::BTreeMap;
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// The timer of the schedule's end; all other timers carry the number of a round.
const STOP: u64 = u64::MAX;

/// The observer of a federation without a server.
pub struct Observer {
    shared: Arc<Shared>,
    /// The round whose record is closed next, from 1.
    round: u32,
    /// The latest round that each client has reported, or that its rows have as lost.
    latest: Vec<u32>,
    /// How many clients have reported neither this round nor a later one.
    behind: u32,
    /// The records of rounds that some client has ended, by round.
    open: BTreeMap<u32, RoundRecord>,
    /// How each client's own model did before and after its latest local training.
    own: BTreeMap<u32, Own>,
    /// The observer waits no longer for rounds up to this one.
    overdue: u32,
    stage: Stage,
    /// Whether the round whose record is closed next is the last.
    stopping: bool,
}

/// What the observer is doing.
enum Stage {
    /// It waits for clients to report their rounds.
    Gathering,
    /// It waits for the mean of the clients' models.
    Averaging(Measuring),
    /// It waits for the pieces of an evaluation.
    Evaluating(Measuring),
    Finished,
}

snapshot_enum!(Stage {
    0 => Gathering,
    1 => Averaging(measuring),
    2 => Evaluating(measuring),
    3 => Finished,
});
impl Observer {
    /// An observer before the first round.
    pub fn new(shared: Arc<Shared>) -> Self {
        let clients = shared.plan.population();
        Self {
            shared,
            round: 1,
            latest: vec![0; clients as usize],
            behind: clients,
            open: BTreeMap::new(),
            own: BTreeMap::new(),
            overdue: 0,
            stage: Stage::Gathering,
            stopping: false,
        }
    }

    /// Writes the observer to a checkpoint.
    pub fn save(&self, to: &mut Writer) {
        let Self {
            shared: _,
            round,
            latest,
            behind,
            open,
            own,
            overdue,
            stage,
            stopping,
        } = self;
        round.save(to);
        latest.save(to);
        behind.save(to);
        open.save(to);
        own.save(to);
        overdue.save(to);
        stage.save(to);
        stopping.save(to);
    }

    /// The observer from what [`Observer::save`] wrote.
    pub fn restore(shared: Arc<Shared>, from: &mut Reader) -> Result<Self, Damaged> {
        let clients = shared.plan.population();
        let observer = Self {
            shared,
            round: Snapshot::load(from)?,
            latest: Snapshot::load(from)?,
            behind: Snapshot::load(from)?,
            open: Snapshot::load(from)?,
            own: Snapshot::load(from)?,
            overdue: Snapshot::load(from)?,
            stage: Snapshot::load(from)?,
            stopping: Snapshot::load(from)?,
        };
        match observer.latest.len() == clients as usize {
            true => Ok(observer),
            false => Err(Damaged::new("an observer of another population")),
        }
    }

    /// How many clients there are.
    const fn clients(&self) -> u32 {
        self.latest.len() as u32
    }

    /// What the observer waits for, in words, for the error of a run that cannot go on; `None` if it
    /// waits for nothing.
    pub fn waiting_for(&self) -> Option<String> {
        let round = self.round;
        match self.stage {
            Stage::Gathering => {
                let behind = self
                    .latest
                    .iter()
                    .zip(0u32..)
                    .filter(|(latest, _)| **latest < round);
                let some: Vec<String> = behind.take(8).map(|(_, c)| c.to_string()).collect();
                let more = self.behind.saturating_sub(some.len() as u32);
                let more = if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                };
                let all = some.join(", ");
                Some(format!("the end of round {round} of clients {all}{more}"))
            }
            Stage::Averaging(_) | Stage::Evaluating(_) => {
                Some(format!("the evaluation of round {round}"))
            }
            Stage::Finished => None,
        }
    }

    /// Handles an event of the observer.
    pub fn on(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                if let Some(span) = self.shared.plan.schedule.stop_at_time {
                    cx.timer(span, STOP);
                }
            }
            Input::Message {
                from,
                message: Message::Notice(notice),
                ..
            } => {
                if let Some(client) = Federation::client_of(from) {
                    self.hear(client, *notice, cx);
                }
            }
            // No node sends the observer any other message.
            Input::Message { .. } => {}
            Input::Timer(STOP) => self.stop(cx),
            Input::Timer(round) => {
                self.overdue = self.overdue.max(u32::try_from(round).unwrap_or(0));
                self.go_on(cx);
            }
            Input::Done { job, output } => self.done(job, output, cx),
        }
    }

    /// Takes in what a client reports of a round.
    fn hear(&mut self, client: u32, notice: Notice, cx: &mut Cx<'_>) {
        let Some(latest) = self.latest.get_mut(client as usize) else {
            return;
        };
        if matches!(self.stage, Stage::Finished) || notice.round <= *latest {
            return;
        }
        let before = std::mem::replace(latest, notice.round);
        for round in before + 1..notice.round {
            // Rounds that the client has passed over, because it had fallen behind.
            self.record_lost(client, round, notice.began, cx);
        }
        let round = notice.round;
        // The record of a round that is being measured is closed.
        let closed = self.round + u32::from(!matches!(self.stage, Stage::Gathering));
        let in_time = round >= closed;
        let outcome = match &notice.refused {
            _ if !in_time => ClientOutcome::Late,
            Some(reason) => ClientOutcome::Refused(Arc::clone(reason)),
            None => ClientOutcome::Reported,
        };
        let held_out = notice.metrics.held_out;
        let row = ClientRow {
            outcome,
            received: Some(notice.began),
            trained: notice.trained,
            reported: Some(notice.ended),
            compute: notice.compute,
            queue_wait: notice.waited,
            bytes_down: notice.received,
            bytes_up: notice.sent,
            samples: notice.samples,
            steps: notice.metrics.steps,
            loss: notice.metrics.loss,
            trained_accuracy: held_out.map(|held_out| held_out.trained_accuracy()),
            received_accuracy: held_out.map(|held_out| held_out.received_accuracy()),
            flops: notice.cost.flops.0,
            memory_bytes: notice.cost.memory.0,
            energy_j: notice.energy,
            ..self.row(client, round, notice.began)
        };
        cx.record(Record::Client(Box::new(row)));
        if !in_time {
            return;
        }
        if before < self.round {
            self.behind = self.behind.saturating_sub(1);
        }
        let record = self.open.entry(round).or_default();
        if let (true, Some(span)) = (record.is_empty(), self.shared.plan.schedule.deadline) {
            cx.timer(span.scaled(2.0), u64::from(round));
        }
        record.count(client, &notice);
        if let Some(held_out) = held_out {
            self.own.insert(client, Own { round, held_out });
        }
        self.go_on(cx);
    }

    /// The line of a client that has not ended a round.
    fn row(&self, client: u32, round: u32, began: VirtualTime) -> ClientRow {
        ClientRow {
            outcome: ClientOutcome::Lost,
            ..invitation::row(&self.shared, client, Asked { round, at: began })
        }
    }

    /// Records that a client is lost to a round.
    fn record_lost(&self, client: u32, round: u32, began: VirtualTime, cx: &mut Cx<'_>) {
        let row = self.row(client, round, began);
        cx.record(Record::Client(Box::new(row)));
    }

    // The end of a round.

    /// Closes all records that can be closed.
    fn go_on(&mut self, cx: &mut Cx<'_>) {
        while matches!(self.stage, Stage::Gathering)
            && (self.behind == 0 || self.round <= self.overdue)
        {
            self.close(cx);
        }
    }

    /// Records the round's line and turns to the next round.
    fn conclude(&mut self, row: RoundRow, cx: &mut Cx<'_>) {
        let plan = &self.shared.plan;
        let (rounds, every) = (plan.schedule.rounds, plan.checkpoint_every);
        if let (Some(goal), Some(accuracy)) = (plan.schedule.stop_at_accuracy, row.accuracy) {
            self.stopping |= accuracy >= goal.get();
        }
        cx.record(Record::Round(Box::new(row)));
        let over = self.round;
        self.round += 1;
        if self.stopping || over >= rounds {
            return self.finish(over, cx);
        }
        if every.is_some_and(|every| over.is_multiple_of(every)) {
            cx.checkpoint();
        }
        let behind = self.latest.iter().filter(|latest| **latest <= over).count();
        self.behind = behind as u32;
    }

    /// Stops when the schedule's virtual time is over.
    fn stop(&mut self, cx: &mut Cx<'_>) {
        self.stopping = true;
        if matches!(self.stage, Stage::Gathering) {
            let record = self.open.remove(&self.round).unwrap_or_default();
            let row = RoundRow {
                ended: cx.now(),
                outcome: Outcome::Stopped,
                ..record.row(self.round, self.clients(), cx.now())
            };
            self.conclude(row, cx);
        }
    }

    /// Ends the run. Messages that arrive later are ignored; `last` is the last round in the table.
    fn finish(&mut self, last: u32, cx: &mut Cx<'_>) {
        for client in 0..self.latest.len() {
            for round in self.latest[client] + 1..=last {
                self.record_lost(client as u32, round, cx.now(), cx);
            }
        }
        self.stage = Stage::Finished;
        cx.finish();
    }

    /// Ends the run because of an error.
    fn fail(&mut self, reason: String, cx: &mut Cx<'_>) {
        cx.record(Record::Fatal(format!("round {}: {reason}", self.round)));
        self.stage = Stage::Finished;
        cx.finish();
    }
}
