//! A client without a server: it trains, sends its model, waits for others and mixes, round after round.
//!
//! A client's round ends when all models of its neighbours have arrived, or at the deadline. A model that
//! has not arrived by then is not mixed, and its weight goes to the client's own model. Where there is a
//! deadline, a client that has fallen behind goes on with the latest round that it has heard of.
//!
//! - `training`: the client's local training;
//! - `mixing`: models that arrive, and the mixing of them;
//! - `state`: the client in a checkpoint.

mod mixing;
mod state;
mod training;

use super::super::invitation;
use super::super::job::{Output, UNASKED};
use super::super::message::{Message, PeerModel};
use super::super::outstanding::Asked;
use super::super::record::Record;
use super::super::world::{Bug, Federation, Shared};
use super::inbox::Inbox;
use super::notice::Notice;
use super::{Algorithm, Common};
use crate::method::{ClientState, Payload};
use crate::net::Beside;
use crate::observe::ledger::What;
use crate::quantity::VirtualTime;
use crate::sim::{Context, Input, JobId};
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// The timer at which a client rises after a crash; all other timers are numbered.
const UP: u64 = u64::MAX;

/// A client without a server.
pub struct Peer {
    shared: Arc<Shared>,
    common: Arc<Common>,
    /// Its number, from 0.
    number: u32,
    /// x_i: its model at the begin of the round.
    model: Payload,
    /// What the method's client half keeps between rounds.
    state: ClientState,
    /// The round it is in, from 1; 0 before the first.
    round: u32,
    step: Step,
    /// What training made of its model in this round, where the algorithm mixes after that.
    trained: Option<Payload>,
    inbox: Inbox,
    /// Whether this round's models are mixed; a model of this round that arrives now is late.
    mixed: bool,
    /// Whether the deadline of this round is over.
    overdue: bool,
    /// The timer of this round's deadline.
    deadline: u64,
    /// How many timers it has set.
    timers: u64,
    waiting_since: VirtualTime,
    /// The latest round that it has heard of from any client.
    heard: u32,
    /// When it last had an event.
    seen: VirtualTime,
    /// How often it has begun to train.
    tasks: u64,
    /// What it will tell the observer of this round.
    notice: Notice,
}

/// What a client is doing.
enum Step {
    /// It has not begun, or is down.
    Down,
    Training(Work),
    /// It waits for its neighbours' models.
    Waiting,
    Mixing(Work),
    Finished,
}

/// Work that is under way. It has neither a job nor a timer if it will never be done.
#[derive(Default)]
struct Work {
    job: Option<JobId>,
    timer: Option<u64>,
    /// The model that training began from, with which the client goes on where training fails or is only
    /// modelled.
    start: Payload,
    /// Whether training runs out of memory.
    fails: bool,
    /// How many local steps the training has.
    steps: u32,
}

impl Peer {
    /// Its number, its round, and its present model.
    pub const fn model(&self) -> (u32, u32, &Payload) {
        (self.number, self.round, &self.model)
    }

    /// What the client waits for, in words, for the error of a run that cannot go on; `None` if it
    /// waits for nothing.
    pub fn waiting_for(&self) -> Option<String> {
        let round = self.round;
        match self.step {
            Step::Training(_) => Some(format!("its training for round {round}")),
            Step::Mixing(_) => Some(format!("its mixing for round {round}")),
            Step::Waiting => {
                let links = self.common.links(self.number, round).ok()?;
                let missing = links.sources.iter().map(|(client, _)| *client);
                let missing = missing.filter(|client| !self.inbox.has(round, *client));
                let missing: Vec<String> = missing.take(8).map(|c| c.to_string()).collect();
                Some(format!(
                    "models of round {round} from clients {}, and there is no deadline (set \
                     schedule.deadline, or a reliable transport)",
                    missing.join(", ")
                ))
            }
            Step::Down | Step::Finished => None,
        }
    }

    /// Handles an event of the client.
    pub fn on(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) {
        let outcome = self.rise(cx).and_then(|()| self.take(input, cx));
        if let Err(reason) = outcome {
            let round = self.round;
            let client = self.number;
            let text = format!("round {round} of client {client}: {reason}");
            cx.record(Record::Fatal(text));
            self.step = Step::Finished;
            cx.finish();
        }
    }

    fn take(&mut self, input: Input<Message, Output>, cx: &mut Cx<'_>) -> Result<(), String> {
        match input {
            Input::Start | Input::Timer(UP) => {
                let rise = self.shared.faults.clients.next_rise(self.number, cx.now());
                if let Some(at) = rise {
                    // Until its crash, a run is the same run as one without the crash: this timer takes no
                    // number from the others.
                    cx.timer_beside(at.since(cx.now()), UP, at.nanos());
                }
                Ok(())
            }
            Input::Message {
                from,
                message: Message::Model(model),
                ..
            } => self.receive(from, *model, cx),
            // All other messages are for servers and their clients.
            Input::Message { .. } => Ok(()),
            Input::Timer(token) => self.timed(token, cx),
            Input::Done { job, output } => self.done(job, output, cx),
        }
    }

    /// Loses what a crash takes that happened since the client's last event, and begins the client's round
    /// if the client was down and is up now.
    fn rise(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let now = cx.now();
        let seen = std::mem::replace(&mut self.seen, now);
        let shared = Arc::clone(&self.shared);
        let faults = &shared.faults.clients;
        if matches!(self.step, Step::Finished) {
            return Ok(());
        }
        if !faults.is_empty() && faults.crashes_within(self.number, seen, now) {
            self.step = Step::Down;
            self.trained = None;
            self.inbox.clear();
            if faults.forgets_within(self.number, seen, now) {
                self.model = Self::initial(&shared, &self.common, self.number);
                self.state = ClientState::default();
            }
        }
        if matches!(self.step, Step::Down) && !faults.is_down(self.number, now) {
            return self.begin(self.round.max(1), cx);
        }
        Ok(())
    }

    /// Begins a round, or begins the present round again after a crash.
    fn begin(&mut self, round: u32, cx: &mut Cx<'_>) -> Result<(), String> {
        let began = Notice::open(round, cx.now());
        self.notice = match round == self.round {
            // Messages of the round that a crash interrupted were sent and received all the same.
            true => Notice {
                sent: self.notice.sent,
                received: self.notice.received,
                late: self.notice.late,
                ..began
            },
            false => began,
        };
        self.round = round;
        self.heard = self.heard.max(round);
        self.trained = None;
        self.mixed = false;
        self.overdue = false;
        self.inbox.turn(round);
        let asked = Asked {
            round,
            at: cx.now(),
        };
        invitation::record_asked(&self.shared, (self.number, round), asked, None, cx);
        let deadline = self.shared.plan.schedule.deadline;
        if let Some(span) = deadline.filter(|_| self.shared.bug != Some(Bug::NeverTimeOut)) {
            self.deadline = self.token();
            cx.timer(span, self.deadline);
        }
        let algorithm = self.common.gossip.algorithm;
        if algorithm.sends_first() {
            self.share(self.model.clone(), cx)?;
        }
        match algorithm {
            Algorithm::CombineThenAdapt => self.wait(cx),
            Algorithm::DPsgd | Algorithm::AdaptThenCombine => self.train(self.model.clone(), cx),
        }
    }

    /// The number of the next timer.
    fn token(&mut self) -> u64 {
        self.timers += 1;
        self.timers
    }

    /// Sends a model to all neighbours of the round.
    fn share(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        let round = self.round;
        if let Some(audit) = &self.shared.peer_watcher {
            audit.sends(self.number, round, &model);
        }
        let graph = self.common.graph(round)?;
        let (mut bytes, mut beside) = (0, Beside::default());
        let network = &self.shared.network;
        graph.each_target(self.number, round, |client| {
            let message = PeerModel {
                round,
                payload: model.clone(),
            };
            let size = message.wire_bytes();
            bytes += size.0;
            beside.add(network.beside(cx.id(), Federation::node_of(client), size));
            cx.send(
                Federation::node_of(client),
                Message::Model(Box::new(message)),
            );
        });
        self.notice.sent += bytes;
        let beside = beside.total();
        self.record(
            What::Sent {
                bytes,
                beside,
                answers: 0,
            },
            cx,
        );
        Ok(())
    }

    /// Records something that happened in its round.
    fn record(&self, what: What, cx: &mut Cx<'_>) {
        invitation::record(self.number, self.round, what, cx);
    }

    /// Ends the round with this model, tells the observer, and begins the next round.
    fn end(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        #[cfg(test)]
        self.common
            .watch(super::tests::What::End, self.round, self.number, &model);
        if let Some(audit) = &self.shared.peer_watcher {
            audit.ends(self.number, self.round, &model);
        }
        let plan = &self.shared.plan;
        self.model = model;
        let measured = plan.compute.is_real() && plan.is_measured_after(self.round);
        self.notice.ended = cx.now();
        if measured {
            self.notice.model = self.model.clone();
        }
        let rounds = plan.schedule.rounds;
        let next = match plan.schedule.deadline {
            Some(_) => self.heard.min(rounds).max(self.round + 1),
            None => self.round + 1,
        };
        // The client has answered the task that it set itself at the begin of the round.
        self.record(What::Received, cx);
        self.record(
            What::Sent {
                bytes: 0,
                beside: 0,
                answers: 1,
            },
            cx,
        );
        let notice = std::mem::take(&mut self.notice);
        cx.tell(Federation::SERVER, Message::Notice(Box::new(notice)));
        if next > rounds {
            self.step = Step::Finished;
            self.inbox.clear();
            return Ok(());
        }
        self.begin(next, cx)
    }

    /// Acts on a timer: the deadline, or the end of work that no device worker does.
    fn timed(&mut self, token: u64, cx: &mut Cx<'_>) -> Result<(), String> {
        if token == self.deadline {
            self.overdue = true;
            return self.mix_if_complete(cx);
        }
        match &mut self.step {
            Step::Training(work) if work.timer == Some(token) => {
                let work = std::mem::take(work);
                self.modelled(work, cx)
            }
            Step::Mixing(work) if work.timer == Some(token) => {
                self.combined(self.model.clone(), cx)
            }
            // The timer of a round that is over, or that a crash has ended.
            _ => Ok(()),
        }
    }

    /// Takes the output of a job.
    fn done(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) -> Result<(), String> {
        match &mut self.step {
            Step::Training(work) if work.job == Some(job) => {
                let start = std::mem::take(&mut work.start);
                self.learned(start, output, cx)
            }
            Step::Mixing(work) if work.job == Some(job) => match output {
                Output::Mix(Ok(model)) => self.combined(Payload::Model(model), cx),
                Output::Mix(Err(error)) => Err(error.to_string()),
                Output::Failed(reason) => Err(reason),
                _ => Err(UNASKED.into()),
            },
            _ => Ok(()),
        }
    }
}
