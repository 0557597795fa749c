//! A client without a server: trains, sends, waits, mixes, round after round.
//!
//! Its round ends when all models of its neighbours have come, or at the deadline: what has not come
//! by then counts for nothing, and the weight goes to its own model. Where there is a deadline a
//! client that has fallen behind goes on with the latest round that it has heard of.

use super::super::books;
use super::super::client::{part_of, takes, work_of};
use super::super::job::{ClientJob, Job, Output, UNASKED};
use super::super::message::{unsound, Message, PeerModel};
use super::super::outstanding::Asked;
use super::super::record::Record;
use super::super::world::{Bug, Federation, Shared};
use super::inbox::Inbox;
use super::mix::MixJob;
use super::notice::Notice;
use super::watch::Mixing;
use super::{Algorithm, Common};
use crate::learn::Cost;
use crate::method::{ClientState, ClientWork, MethodError, Metrics, Payload};
use crate::model::ParamSet;
use crate::net::Beside;
use crate::observe::ledger::{self, What};
use crate::observe::rows::{Rejection, RejectionRow};
use crate::quantity::{Flops, Span, VirtualTime};
use crate::sim::{Context, Input, JobId, NodeId};
use crate::snapshot::{snapshot_enum, snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

type Cx<'a> = Context<'a, Federation>;

/// Where there is a deadline, models of rounds further ahead than this are not kept.
const AHEAD: u32 = 8;

/// The timer at which it rises after a crash; all others are numbered.
const UP: u64 = u64::MAX;

/// One client, live.
pub struct Peer {
    shared: Arc<Shared>,
    common: Arc<Common>,
    /// From 0.
    number: u32,
    /// x_i.
    model: Payload,
    /// What the method's client half keeps.
    state: ClientState,
    /// Under way, from 1.
    round: u32,
    step: Step,
    /// What training made of its model in this round, where that waits for mixing.
    trained: Option<Payload>,
    inbox: Inbox,
    /// Whether this round's models are mixed: what comes now comes late.
    mixed: bool,
    /// Whether the deadline of this round is over, and its timer.
    overdue: bool,
    deadline: u64,
    timers: u64,
    waiting_since: VirtualTime,
    /// The latest round of anybody.
    heard: u32,
    /// When it last did anything, and how often it has trained.
    seen: VirtualTime,
    tasks: u64,
    /// What the observer will be told of this round.
    notice: Notice,
}

enum Step {
    /// Not begun, or down.
    Down,
    Training(Work),
    Waiting,
    Mixing(Work),
    Finished,
}

/// Work under way; neither job nor timer, if it will never be done.
#[derive(Default)]
struct Work {
    job: Option<JobId>,
    timer: Option<u64>,
    /// What it is done with, if it is not really done; and whether it runs out of memory.
    start: Payload,
    fails: bool,
    steps: u32,
}

snapshot_enum!(Step {
    0 => Down,
    1 => Training(work),
    2 => Waiting,
    3 => Mixing(work),
    4 => Finished,
});
snapshot_struct!(Work {
    job,
    timer,
    start,
    fails,
    steps,
});

impl Peer {
    pub fn new(shared: Arc<Shared>, common: Arc<Common>, number: u32) -> Self {
        Self {
            model: Self::initial(&shared, &common, number),
            shared,
            common,
            number,
            state: ClientState::default(),
            round: 0,
            step: Step::Down,
            trained: None,
            inbox: Inbox::default(),
            mixed: false,
            overdue: false,
            deadline: 0,
            timers: 0,
            waiting_since: VirtualTime::ZERO,
            heard: 0,
            seen: VirtualTime::ZERO,
            tasks: 0,
            notice: Notice::default(),
        }
    }

    /// Its number, its round, and its model as it is.
    pub const fn model(&self) -> (u32, u32, &Payload) {
        (self.number, self.round, &self.model)
    }

    /// The model that it begins with.
    fn initial(shared: &Shared, common: &Common, number: u32) -> Payload {
        match shared.plan.compute.is_real() {
            true => Payload::Model(common.initial.clone()),
            false => shared.stand_ins.report(shared.sizes.level_of(number)),
        }
    }

    pub fn save(&self, to: &mut Writer) {
        let Self {
            shared: _,
            common: _,
            number: _,
            model,
            state,
            round,
            step,
            trained,
            inbox,
            mixed,
            overdue,
            deadline,
            timers,
            waiting_since,
            heard,
            seen,
            tasks,
            notice,
        } = self;
        model.save(to);
        state.save(to);
        round.save(to);
        step.save(to);
        trained.save(to);
        inbox.save(to);
        mixed.save(to);
        overdue.save(to);
        deadline.save(to);
        timers.save(to);
        waiting_since.save(to);
        heard.save(to);
        seen.save(to);
        tasks.save(to);
        notice.save(to);
    }

    /// A live client of what [`Peer::save`] wrote.
    pub fn restore(
        shared: Arc<Shared>,
        common: Arc<Common>,
        number: u32,
        from: &mut Reader,
    ) -> Result<Self, Damaged> {
        Ok(Self {
            model: Snapshot::load(from)?,
            state: shared.kept(from)?,
            shared,
            common,
            number,
            round: Snapshot::load(from)?,
            step: Snapshot::load(from)?,
            trained: Snapshot::load(from)?,
            inbox: Snapshot::load(from)?,
            mixed: Snapshot::load(from)?,
            overdue: Snapshot::load(from)?,
            deadline: Snapshot::load(from)?,
            timers: Snapshot::load(from)?,
            waiting_since: Snapshot::load(from)?,
            heard: Snapshot::load(from)?,
            seen: Snapshot::load(from)?,
            tasks: Snapshot::load(from)?,
            notice: Snapshot::load(from)?,
        })
    }

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
                    // A run with a crash is the one without until it happens.
                    cx.timer_beside(at.since(cx.now()), UP, at.nanos());
                }
                Ok(())
            }
            Input::Message {
                from,
                message: Message::Model(model),
                ..
            } => self.receive(from, *model, cx),
            // All else is for servers and their clients.
            Input::Message { .. } => Ok(()),
            Input::Timer(token) => self.timed(token, cx),
            Input::Done { job, output } => self.done(job, output, cx),
        }
    }

    /// Loses what a crash since it last did anything takes, and begins its round if it can.
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

    // A round.

    fn begin(&mut self, round: u32, cx: &mut Cx<'_>) -> Result<(), String> {
        let began = Notice::open(round, cx.now());
        self.notice = match round == self.round {
            // What a crash interrupted was sent all the same.
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
        books::tell_asked(&self.shared, (self.number, round), asked, None, cx);
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

    fn token(&mut self) -> u64 {
        self.timers += 1;
        self.timers
    }

    /// Sends a model to all neighbours of the round.
    fn share(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        let round = self.round;
        if let Some(audit) = &self.shared.overhears {
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
        self.tell(
            What::Sent {
                bytes,
                beside,
                answers: 0,
            },
            cx,
        );
        Ok(())
    }

    /// Tells something of its round.
    fn tell(&self, what: What, cx: &mut Cx<'_>) {
        books::tell(self.number, self.round, what, cx);
    }

    fn train(&mut self, start: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        #[cfg(test)]
        self.common
            .watch(super::tests::What::Start, self.round, self.number, &start);
        let shared = Arc::clone(&self.shared);
        let (plan, round, now) = (&shared.plan, self.round, cx.now());
        let me = plan.client(self.number);
        let train = shared.train_samples(self.number, round);
        if train.is_empty() {
            return self.untrained(start, "has no training data".into(), cx);
        }
        self.tasks += 1;
        let faults = &shared.faults.clients;
        let fate =
            (!faults.is_empty()).then(|| faults.of_task(self.number, round, self.tasks, now));
        if fate.as_ref().is_some_and(|fate| fate.panics) {
            panic!("the handler of client {} panics, as planned", self.number);
        }
        let local = &shared.local[me.group];
        let samples = train.len();
        let local = match &fate {
            Some(fate) if fate.share < 1.0 => Arc::new(part_of(local, samples, fate.share)),
            _ => Arc::clone(local),
        };
        let (own, narrower) = (
            shared.sizes.of(self.number),
            shared.sizes.narrower(self.number),
        );
        let half = &shared.client_half;
        let input = shared.input(
            (self.number, round),
            Arc::clone(&local),
            train,
            start.clone(),
            self.state.clone(),
        );
        let beside = match half.beside(&input) {
            Ok(beside) => beside,
            Err(error) => return self.untrained(start, format!("cannot begin: {error}"), cx),
        };
        let cost = match plan.adversaries.idles(self.number, round) {
            true => Cost::default(),
            false => half.cost(own, narrower, &local, samples).then(beside),
        };
        if !me.device.fits(cost.memory) {
            let (need, has) = (cost.memory, me.device.memory);
            let reason = format!("training needs {need}, the device has {has}");
            return self.untrained(start, reason, cx);
        }
        let fails = fate.is_some_and(|fate| fate.out_of_memory);
        let compute = me.device.duration(cost.flops);
        let compute = if fails { compute.scaled(0.5) } else { compute };
        let spent = match fails {
            true => Cost {
                flops: Flops(cost.flops.0 / 2),
                ..cost
            },
            false => cost,
        };
        let Some(span) = self.occupy(compute, spent, !fails, cx) else {
            self.step = Step::Training(Work::default());
            return Ok(());
        };
        self.notice.samples = samples as u32;
        self.notice.cost = cost;
        let mut work = Work {
            fails,
            start: start.clone(),
            steps: u32::try_from(local.steps(samples)).unwrap_or(u32::MAX),
            ..Work::default()
        };
        if fails || !plan.compute.is_real() {
            let token = self.token();
            cx.timer(span, token);
            work.timer = Some(token);
        } else {
            let half = Arc::clone(half);
            let job = Job::Client(Box::new(ClientJob { half, input }));
            work.job = Some(cx.work(job, span));
        }
        self.step = Step::Training(work);
        Ok(())
    }

    /// Keeps the device busy; how long that takes from now, if it ever ends.
    fn occupy(&mut self, compute: Span, cost: Cost, trains: bool, cx: &mut Cx<'_>) -> Option<Span> {
        let taken = takes(&self.shared, self.number, compute, cx.now());
        let work = work_of(&self.shared, self.number, (compute, taken), cost, cx.now());
        let trains = trains && work.trains;
        let work = ledger::Work { trains, ..work };
        self.tell(What::Works(Box::new(work)), cx);
        let (span, computing) = taken?;
        self.notice.compute = self.notice.compute + span;
        let power = self.shared.plan.client(self.number).device.power;
        self.notice.energy += power.energy(computing);
        Some(span)
    }

    /// It does not train: its model stays as it is, and is mixed all the same.
    fn untrained(&mut self, start: Payload, reason: String, cx: &mut Cx<'_>) -> Result<(), String> {
        tracing::debug!(round = self.round, reason, "not trained");
        self.notice.refused = Some(reason.into());
        self.adapted(start, cx)
    }

    /// Training is over, with this model.
    fn adapted(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        #[cfg(test)]
        self.common
            .watch(super::tests::What::Trained, self.round, self.number, &model);
        match self.common.gossip.algorithm {
            Algorithm::CombineThenAdapt => self.end(model, cx),
            Algorithm::DPsgd => {
                self.trained = Some(model);
                self.wait(cx)
            }
            Algorithm::AdaptThenCombine => {
                self.trained = Some(model.clone());
                self.share(model, cx)?;
                self.wait(cx)
            }
        }
    }

    fn wait(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.step = Step::Waiting;
        self.waiting_since = cx.now();
        self.mix_if_complete(cx)
    }

    fn mix_if_complete(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if !matches!(self.step, Step::Waiting) {
            return Ok(());
        }
        let awaited = self.common.graph(self.round)?.degree(self.number);
        if self.overdue || self.inbox.count(self.round) >= awaited as usize {
            return self.mix(cx);
        }
        Ok(())
    }

    fn mix(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let waited = cx.now().since(self.waiting_since);
        self.notice.waited = self.notice.waited + waited;
        self.mixed = true;
        let links = self.common.links(self.number, self.round)?;
        let expected = self.shared.overhears.is_some().then(|| links.clone());
        let mut came = self.inbox.open(self.round);
        let own = match self.common.gossip.algorithm {
            Algorithm::AdaptThenCombine => self.trained.take(),
            Algorithm::DPsgd | Algorithm::CombineThenAdapt => None,
        };
        let own = own.unwrap_or_else(|| self.model.clone());
        let (mut terms, mut weight) = (Vec::new(), links.own);
        for (client, share) in links.sources {
            match came.remove(&client) {
                Some(model) => terms.push((client, share, model)),
                None if self.shared.bug == Some(Bug::LoseWeight) => {}
                // Who is missing counts for nothing.
                None => weight += share,
            }
        }
        let place = terms.partition_point(|(client, ..)| *client < self.number);
        terms.insert(place, (self.number, weight, own));
        if let (Some(audit), Some(links)) = (&self.shared.overhears, &expected) {
            audit.mixes(&Mixing {
                client: self.number,
                round: self.round,
                links,
                terms: &terms,
                step: self.trained.as_ref().map(|trained| (&self.model, trained)),
            });
        }
        let values = self.shared.plan.model.layout().total() as u64;
        let flops = Flops(2 * terms.len() as u64 * values);
        let speed = self.shared.plan.client(self.number).device.speed;
        let mixing = Cost {
            flops,
            ..Cost::default()
        };
        let Some(span) = self.occupy(speed.time_for(flops), mixing, false, cx) else {
            self.step = Step::Mixing(Work::default());
            return Ok(());
        };
        let cost = &mut self.notice.cost;
        cost.flops = Flops(cost.flops.0.saturating_add(flops.0));
        let mut work = Work::default();
        if self.shared.plan.compute.is_real() {
            let job = self.mixture(&terms).map_err(|error| error.to_string())?;
            let job = Job::Mix(Box::new(job));
            work.job = Some(cx.work(job, span));
        } else {
            self.trained = None;
            let token = self.token();
            cx.timer(span, token);
            work.timer = Some(token);
        }
        self.step = Step::Mixing(work);
        Ok(())
    }

    /// What is mixed: models with their weights, and the step of training where that comes on top.
    fn mixture(&mut self, terms: &[(u32, f64, Payload)]) -> Result<MixJob, MethodError> {
        let terms = terms.iter();
        let terms = terms.map(|(_, weight, set)| Ok((*weight, set.as_model()?.clone())));
        let terms = terms.collect::<Result<Vec<(f64, ParamSet)>, MethodError>>()?;
        let step = match self.trained.take() {
            Some(trained) => Some((self.model.as_model()?.clone(), trained.as_model()?.clone())),
            None => None,
        };
        Ok(MixJob { terms, step })
    }

    /// Mixing is over, with this model.
    fn combined(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        if let Some(audit) = &self.shared.overhears {
            audit.mixed(self.number, self.round, &model);
        }
        match self.common.gossip.algorithm {
            Algorithm::CombineThenAdapt => self.train(model, cx),
            Algorithm::DPsgd | Algorithm::AdaptThenCombine => self.end(model, cx),
        }
    }

    /// The round is over: the observer is told, and the next one begins.
    fn end(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        #[cfg(test)]
        self.common
            .watch(super::tests::What::End, self.round, self.number, &model);
        if let Some(audit) = &self.shared.overhears {
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
        // The round that it set itself is done with, and told of.
        self.tell(What::Received, cx);
        self.tell(
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

    // What happens.

    fn receive(&mut self, from: NodeId, model: PeerModel, cx: &mut Cx<'_>) -> Result<(), String> {
        let Some(client) = Federation::client_of(from) else {
            return Ok(());
        };
        let (mut round, bytes) = (model.round, model.wire_bytes().0);
        if matches!(self.step, Step::Finished) {
            self.tell(What::Unheard { bytes }, cx);
            return Ok(());
        }
        if self.shared.bug == Some(Bug::IgnoreRound) {
            round = round.max(self.round);
        }
        self.notice.received += bytes;
        self.tell(What::Got { bytes }, cx);
        self.heard = self.heard.max(round);
        let over = round < self.round || round == self.round && self.mixed;
        let deadline = self.shared.plan.schedule.deadline.is_some();
        if over || deadline && round > self.round + AHEAD {
            self.notice.late += 1;
            return Ok(());
        }
        let unusable = self.unusable(&model.payload);
        if let Some(reason) = unusable {
            let row = RejectionRow {
                round: self.round,
                client,
                time: cx.now(),
                said: round,
                reason,
            };
            cx.record(Record::Rejection(Box::new(row)));
        }
        let usable = unusable.is_none().then_some(model.payload);
        self.inbox.take_in(round, client, usable);
        self.mix_if_complete(cx)
    }

    /// Why a model is not mixed.
    fn unusable(&self, payload: &Payload) -> Option<Rejection> {
        if !self.shared.plan.compute.is_real() {
            return None;
        }
        let fits = payload.as_model().ok();
        let fits = fits.filter(|set| set.has_layout(self.common.initial.layout()).is_ok());
        match fits {
            Some(_) => unsound(payload),
            None => Some(Rejection::Misfit),
        }
    }

    fn timed(&mut self, token: u64, cx: &mut Cx<'_>) -> Result<(), String> {
        if token == self.deadline {
            self.overdue = true;
            return self.mix_if_complete(cx);
        }
        match &mut self.step {
            Step::Training(work) if work.timer == Some(token) => {
                let work = std::mem::take(work);
                if work.fails {
                    return self.untrained(work.start, "out of memory".into(), cx);
                }
                self.notice.trained = Some(cx.now());
                self.notice.metrics = Metrics {
                    steps: work.steps,
                    ..Metrics::default()
                };
                self.adapted(work.start, cx)
            }
            Step::Mixing(work) if work.timer == Some(token) => {
                self.combined(self.model.clone(), cx)
            }
            // Of a round that is over, or of one that a crash has ended.
            _ => Ok(()),
        }
    }

    fn done(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) -> Result<(), String> {
        match &mut self.step {
            Step::Training(work) if work.job == Some(job) => {
                let start = std::mem::take(&mut work.start);
                let reason = match output {
                    Output::Client(Ok(work)) => return self.learned(work, cx),
                    Output::Client(Err(error)) => {
                        self.notice.diverged = error.diverged();
                        error.to_string()
                    }
                    Output::Failed(reason) => reason,
                    _ => UNASKED.into(),
                };
                self.untrained(start, format!("training failed: {reason}"), cx)
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

    fn learned(&mut self, work: ClientWork, cx: &mut Cx<'_>) -> Result<(), String> {
        self.state = work.state;
        self.notice.trained = Some(cx.now());
        self.notice.metrics = work.metrics;
        self.adapted(work.report, cx)
    }
}
