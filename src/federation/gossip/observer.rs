//! Node 0 of a federation without a server: it observes, and is no part of the simulated world.
//!
//! The books of a round are closed when every client has told of it or of a later one. Where there is
//! a deadline they are closed twice the deadline after the first was through with it, too: whoever has
//! not told by then is lost to the round. Rounds are closed in order.

use super::super::books;
use super::super::evaluation::Marks;
use super::super::job::{Job, Output, UNASKED};
use super::super::keep::{Keep, Of, Weights};
use super::super::message::Message;
use super::super::outstanding::Asked;
use super::super::record::Record;
use super::super::spread::{Own, PerClient};
use super::super::world::{Federation, Shared};
use super::books::Books;
use super::mix::{Consensus, ConsensusJob};
use super::notice::Notice;
use crate::learn::EvaluationSums;
use crate::model::ParamSet;
use crate::observe::rows::{ClientOutcome, ClientRow, Outcome, RoundRow};
use crate::quantity::{Span, VirtualTime};
use crate::sim::{Context, Input, JobId};
use crate::snapshot::{snapshot_enum, snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// The timer of the schedule's end; the others name a round.
const STOP: u64 = u64::MAX;

/// The observer, live.
pub struct Observer {
    shared: Arc<Shared>,
    /// The next to be closed, from 1.
    round: u32,
    /// The latest round that each client has told of, or that is in its rows as lost.
    told: Vec<u32>,
    /// How many clients have not told of this round or a later one.
    behind: u32,
    open: BTreeMap<u32, Books>,
    /// How each client's model did around its latest local training.
    own: BTreeMap<u32, Own>,
    /// Rounds up to this one are waited for no longer.
    overdue: u32,
    stage: Stage,
    stopping: bool,
}

enum Stage {
    Gathering,
    Averaging(Measuring),
    Evaluating(Measuring),
    Finished,
}

/// The end of a round that is measured.
struct Measuring {
    books: Books,
    distance: Option<f64>,
    average: JobId,
    /// The clients' own models, until their evaluation has begun.
    models: BTreeMap<u32, ParamSet>,
    central: Vec<(JobId, Option<Marks>)>,
    own: Vec<(JobId, (u32, Option<Marks>))>,
}

snapshot_enum!(Stage {
    0 => Gathering,
    1 => Averaging(measuring),
    2 => Evaluating(measuring),
    3 => Finished,
});
snapshot_struct!(Measuring {
    books,
    distance,
    average,
    models,
    central,
    own,
});

impl Observer {
    pub fn new(shared: Arc<Shared>) -> Self {
        let clients = shared.plan.population();
        Self {
            shared,
            round: 1,
            told: vec![0; clients as usize],
            behind: clients,
            open: BTreeMap::new(),
            own: BTreeMap::new(),
            overdue: 0,
            stage: Stage::Gathering,
            stopping: false,
        }
    }

    pub fn save(&self, to: &mut Writer) {
        let Self {
            shared: _,
            round,
            told,
            behind,
            open,
            own,
            overdue,
            stage,
            stopping,
        } = self;
        round.save(to);
        told.save(to);
        behind.save(to);
        open.save(to);
        own.save(to);
        overdue.save(to);
        stage.save(to);
        stopping.save(to);
    }

    /// The observer of what [`Observer::save`] wrote.
    pub fn restore(shared: Arc<Shared>, from: &mut Reader) -> Result<Self, Damaged> {
        let clients = shared.plan.population();
        let observer = Self {
            shared,
            round: Snapshot::load(from)?,
            told: Snapshot::load(from)?,
            behind: Snapshot::load(from)?,
            open: Snapshot::load(from)?,
            own: Snapshot::load(from)?,
            overdue: Snapshot::load(from)?,
            stage: Snapshot::load(from)?,
            stopping: Snapshot::load(from)?,
        };
        match observer.told.len() == clients as usize {
            true => Ok(observer),
            false => Err(Damaged::new("an observer of another population")),
        }
    }

    const fn clients(&self) -> u32 {
        self.told.len() as u32
    }

    pub fn waiting_for(&self) -> Option<String> {
        let round = self.round;
        match self.stage {
            Stage::Gathering => {
                let behind = self
                    .told
                    .iter()
                    .zip(0u32..)
                    .filter(|(told, _)| **told < round);
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
            // Nobody sends it anything else.
            Input::Message { .. } => {}
            Input::Timer(STOP) => self.stop(cx),
            Input::Timer(round) => {
                self.overdue = self.overdue.max(u32::try_from(round).unwrap_or(0));
                self.go_on(cx);
            }
            Input::Done { job, output } => self.done(job, output, cx),
        }
    }

    /// A client is through with a round.
    fn hear(&mut self, client: u32, notice: Notice, cx: &mut Cx<'_>) {
        let Some(told) = self.told.get_mut(client as usize) else {
            return;
        };
        if matches!(self.stage, Stage::Finished) || notice.round <= *told {
            return;
        }
        let before = std::mem::replace(told, notice.round);
        for round in before + 1..notice.round {
            // It has passed over these.
            self.record_lost(client, round, notice.began, cx);
        }
        let round = notice.round;
        // A round that is being measured is closed.
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
        let books = self.open.entry(round).or_default();
        if let (true, Some(span)) = (books.is_empty(), self.shared.plan.schedule.deadline) {
            cx.timer(span.scaled(2.0), u64::from(round));
        }
        books.count(client, &notice);
        if let Some(held_out) = held_out {
            self.own.insert(client, Own { round, held_out });
        }
        self.go_on(cx);
    }

    fn row(&self, client: u32, round: u32, began: VirtualTime) -> ClientRow {
        ClientRow {
            outcome: ClientOutcome::Lost,
            ..books::row(&self.shared, client, Asked { round, at: began })
        }
    }

    fn record_lost(&self, client: u32, round: u32, began: VirtualTime, cx: &mut Cx<'_>) {
        let row = self.row(client, round, began);
        cx.record(Record::Client(Box::new(row)));
    }

    // The end of a round.

    /// Closes what can be closed.
    fn go_on(&mut self, cx: &mut Cx<'_>) {
        while matches!(self.stage, Stage::Gathering)
            && (self.behind == 0 || self.round <= self.overdue)
        {
            self.close(cx);
        }
    }

    fn close(&mut self, cx: &mut Cx<'_>) {
        let mut books = self.open.remove(&self.round).unwrap_or_default();
        let models = books.take_models();
        if models.is_empty() {
            let row = books.row(self.round, self.clients(), cx.now());
            return self.conclude(row, cx);
        }
        let job = ConsensusJob {
            models: models.values().cloned().collect(),
        };
        self.stage = Stage::Averaging(Measuring {
            books,
            distance: None,
            average: cx.work(Job::Consensus(Box::new(job)), Span::ZERO),
            models,
            central: Vec::new(),
            own: Vec::new(),
        });
    }

    /// The mean of all models is there.
    fn measure(&mut self, mut measuring: Measuring, found: &Consensus, cx: &mut Cx<'_>) {
        let (plan, evaluator) = (&self.shared.plan, &self.shared.evaluator);
        measuring.distance = Some(found.distance);
        let kept = plan.keep.is_some_and(|keep| match keep {
            // Nobody has such a model when the run is over: the last that was measured is it.
            Keep::Final | Keep::Clients => true,
            Keep::Best | Keep::Every(_) => keep.after(self.round, true),
        });
        if kept {
            let weights = Weights {
                round: self.round,
                of: Of::Round,
                sets: vec![(0, found.mean.clone())],
            };
            cx.record(Record::Weights(Box::new(weights)));
        }
        let pieces = match evaluator.pieces(plan, &found.mean, |_| Ok(found.mean.clone())) {
            Ok(pieces) => pieces,
            Err(error) => return self.fail(format!("evaluation: {error}"), cx),
        };
        let models = std::mem::take(&mut measuring.models);
        let mut submit = |piece| cx.work(Job::Evaluation(Box::new(piece)), Span::ZERO);
        measuring.central = pieces
            .into_iter()
            .map(|piece| (submit(piece), None))
            .collect();
        if plan.evaluation.per_client {
            for (client, model) in models {
                let held_out = self.shared.holdout_samples(client);
                if !held_out.is_empty() {
                    let piece = evaluator.own(plan, model, held_out);
                    measuring.own.push((submit(piece), (client, None)));
                }
            }
        }
        if measuring.central.is_empty() && measuring.own.is_empty() {
            return self.measured(measuring, cx);
        }
        self.stage = Stage::Evaluating(measuring);
    }

    /// All pieces of an evaluation are there.
    fn measured(&mut self, measuring: Measuring, cx: &mut Cx<'_>) {
        let central = measuring.central.into_iter();
        let marks: Vec<Marks> = central.filter_map(|(_, marks)| marks).collect();
        let scores = self.shared.evaluator.sum(&marks);
        let own = measuring.own.into_iter();
        let own = own.filter_map(|(_, (client, marks))| Some((client, marks?.tally)));
        let own: Vec<(u32, EvaluationSums)> = own.collect();
        let clients = PerClient {
            now: own,
            own: self.own.clone(),
        };
        let rows = clients.rows(self.round, |client| self.shared.plan.group_name(client));
        // Of those whose model is there in this round.
        for row in rows.filter(|row| row.correct.is_some()) {
            cx.record(Record::Accuracy(Box::new(row)));
        }
        let central = scores.central();
        let row = RoundRow {
            accuracy: central.map(|tally| tally.accuracy()),
            loss: central.map(|tally| tally.mean_loss()),
            consensus_distance: measuring.distance,
            attack_success: scores.attack.map(|tally| tally.accuracy()),
            ..measuring.books.row(self.round, self.clients(), cx.now())
        };
        let row = clients.fill(row);
        self.stage = Stage::Gathering;
        self.conclude(row, cx);
        self.go_on(cx);
    }

    /// Writes the round's line and turns to the next round.
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
        let behind = self.told.iter().filter(|told| **told <= over).count();
        self.behind = behind as u32;
    }

    /// The schedule's virtual time is over.
    fn stop(&mut self, cx: &mut Cx<'_>) {
        self.stopping = true;
        if matches!(self.stage, Stage::Gathering) {
            let books = self.open.remove(&self.round).unwrap_or_default();
            let row = RoundRow {
                ended: cx.now(),
                outcome: Outcome::Stopped,
                ..books.row(self.round, self.clients(), cx.now())
            };
            self.conclude(row, cx);
        }
    }

    /// Nothing that still comes is heard; `last` is the last round in the table.
    fn finish(&mut self, last: u32, cx: &mut Cx<'_>) {
        for client in 0..self.told.len() {
            for round in self.told[client] + 1..=last {
                self.record_lost(client as u32, round, cx.now(), cx);
            }
        }
        self.stage = Stage::Finished;
        cx.finish();
    }

    fn fail(&mut self, reason: String, cx: &mut Cx<'_>) {
        cx.record(Record::Fatal(format!("round {}: {reason}", self.round)));
        self.stage = Stage::Finished;
        cx.finish();
    }

    fn done(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Gathering);
        match (stage, output) {
            (Stage::Averaging(measuring), Output::Consensus(Ok(found)))
                if measuring.average == job =>
            {
                self.measure(measuring, &found, cx);
            }
            (Stage::Evaluating(mut measuring), Output::Evaluation(Ok(marks))) => {
                let mut central = measuring.central.iter_mut();
                let mut own = measuring.own.iter_mut();
                if let Some(slot) = central.find(|(id, _)| *id == job) {
                    slot.1 = Some(marks);
                } else if let Some(slot) = own.find(|(id, _)| *id == job) {
                    slot.1 .1 = Some(marks);
                }
                let central = measuring.central.iter().all(|(_, marks)| marks.is_some());
                let own = measuring.own.iter().all(|(_, (_, marks))| marks.is_some());
                match central && own {
                    true => self.measured(measuring, cx),
                    false => self.stage = Stage::Evaluating(measuring),
                }
            }
            (Stage::Finished, _) => self.stage = Stage::Finished,
            (_, Output::Consensus(Err(error)) | Output::Evaluation(Err(error))) => {
                self.fail(error.to_string(), cx);
            }
            (_, Output::Failed(reason)) => self.fail(reason, cx),
            (_, _) => self.fail(UNASKED.into(), cx),
        }
    }
}
