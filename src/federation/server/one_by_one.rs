//! A server that asks clients one by one: FedBuff and FedAsync.
//!
//! As many clients train as the scenario says. Whenever one has reported, declined or been given up,
//! another is asked with the model of that moment. A *round* is the time from one server step to the
//! next; the stages of a step are those of any round. What comes while the server is at a step is
//! held until that is done.
//!
//! The round that a message names is the number of a *task*: that of the open round or, for a client
//! that was asked in it before, one more than its last. So each task of a client has a higher number
//! than those before, as in a federation that holds rounds; clients need not know that it does not,
//! and two tasks of a client share no random stream.

use super::super::books;
use super::super::crowd::Gathering;
use super::super::hierarchy::Below;
use super::super::message::{Message, Report, Task};
use super::super::outstanding::Asked;
use super::super::waiting::Waiting;
use super::super::world::{Bug, Federation};
use super::{named, timer, Cx, Server, Stage};
use crate::observe::rows::{Outcome, Rejection};
use crate::quantity::{Span, VirtualTime};
use crate::select::{one_of_the_rest, Ask, Expected, Population};
use crate::sim::mix_words;
use crate::sim::rng::{below as index, stream, Purpose};
use crate::snapshot::snapshot_struct;
use rand::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

/// So often a round looks whether somebody is back.
const MOST_LOOKS: u32 = 100_000;

/// Clients looked at for one that is there. With fewer than one in a thousand there, a place may stay
/// empty until something happens again.
const LOOKED_AT: u32 = 4_000;

/// The streams of draws one by one, apart from those of rounds.
const ONE_BY_ONE: u64 = 1 << 63;

/// Who trains.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Clients whose answer is waited for.
    flights: BTreeMap<u32, Flight>,
    /// The last task of each client whose number is not below that of the open round.
    last: BTreeMap<u32, Last>,
    /// The highest number of any task.
    highest: u32,
    /// Clients drawn, or looked for in vain.
    draws: u64,
    /// Reports in the buffer that were taken in before the open round.
    carried: u32,
    /// What came while the server was at a step, first to last.
    held: VecDeque<Held>,
    /// When somebody who is away may be back, if a place is free for it.
    back: Option<VirtualTime>,
}

#[derive(Debug)]
struct Flight {
    task: u32,
    /// The round in which it was asked.
    round: u32,
    at: VirtualTime,
}

#[derive(Debug)]
struct Last {
    task: u32,
    answered: bool,
}

#[derive(Debug)]
struct Held {
    client: u32,
    report: Report,
    at: VirtualTime,
}

snapshot_struct!(Flow {
    flights,
    last,
    highest,
    draws,
    carried,
    held,
    back,
});
snapshot_struct!(Flight { task, round, at });
snapshot_struct!(Last { task, answered });
snapshot_struct!(Held { client, report, at });

/// Clients that are not at work.
struct Free<'a> {
    gathering: Gathering<'a>,
    flights: &'a BTreeMap<u32, Flight>,
}

impl Population for Free<'_> {
    fn size(&self) -> u32 {
        self.gathering.size()
    }

    fn is_there(&self, client: u32, draw: u64) -> bool {
        !self.flights.contains_key(&client) && self.gathering.is_there(client, draw)
    }

    fn samples(&self, client: u32) -> u32 {
        self.gathering.samples(client)
    }

    fn expected(&self, client: u32) -> Expected {
        self.gathering.expected(client)
    }

    fn groups(&self) -> Vec<Range<u32>> {
        self.gathering.groups()
    }

    fn deadline(&self) -> Option<Span> {
        None
    }
}

impl Flow {
    /// The number of the next task of a client, asked in round `round`.
    fn number(&mut self, client: u32, round: u32) -> u32 {
        let last = self.last.get(&client);
        let task = last.map_or(round, |last| round.max(last.task.saturating_add(1)));
        self.highest = self.highest.max(task);
        task
    }

    /// Notes that a client was asked.
    fn ask(&mut self, client: u32, flight: Flight) {
        let last = Last {
            task: flight.task,
            answered: false,
        };
        self.last.insert(client, last);
        self.flights.insert(client, flight);
    }

    /// A client answers, or is given up; `None` if that is not what is waited for.
    pub fn land(&mut self, client: u32, task: u32, answered: bool) -> Option<Asked> {
        let flight = self.flights.get(&client)?;
        if flight.task != task {
            return None;
        }
        let asked = Asked {
            round: flight.round,
            at: flight.at,
        };
        self.flights.remove(&client);
        if let Some(last) = self.last.get_mut(&client).filter(|last| last.task == task) {
            last.answered = answered;
        }
        Some(asked)
    }

    /// The task that a client is working at.
    pub fn task_of(&self, client: u32) -> Option<u32> {
        self.flights.get(&client).map(|flight| flight.task)
    }

    /// Who is at work.
    pub fn at_work(&self) -> impl Iterator<Item = u32> + '_ {
        self.flights.keys().copied()
    }

    /// Why a report to task `task` that nobody waits for is not used, in round `round`.
    pub fn reason(&self, client: u32, task: u32, round: u32) -> Rejection {
        let last = self.last.get(&client);
        let newest = self.task_of(client).or(last.map(|last| last.task));
        match newest {
            Some(newest) if task > newest => Rejection::Future,
            Some(newest) if task < newest => Rejection::Stale,
            Some(_) if last.is_some_and(|last| last.answered) => Rejection::Again,
            // Given up before it came.
            Some(_) => Rejection::Stale,
            None if task > round => Rejection::Future,
            None if task < round => Rejection::Stale,
            None => Rejection::NotAsked,
        }
    }

    /// A round begins; the one before was `abandoned` with `reported` reports, which stay in the
    /// buffer.
    pub fn turn(&mut self, round: u32, abandoned: bool, reported: u32) {
        self.carried = match abandoned {
            true => self.carried.saturating_add(reported),
            false => 0,
        };
        self.last.retain(|_, last| last.task >= round);
    }

    /// Whether this is the moment at which somebody may be back; then it has come.
    fn is_due(&mut self, now: VirtualTime) -> bool {
        self.back.take_if(|back| *back <= now).is_some()
    }

    /// What is held and will not be heard: clients, tasks and bytes.
    pub fn take_held(&mut self) -> Vec<(u32, u32, u64)> {
        let held = std::mem::take(&mut self.held).into_iter();
        held.map(|held| (held.client, held.report.round, held.report.wire_bytes().0))
            .collect()
    }

    /// Nobody is waited for any more.
    pub fn clear(&mut self) -> Vec<(u32, Asked)> {
        self.held.clear();
        self.carried = 0;
        self.back = None;
        let all = std::mem::take(&mut self.flights).into_iter();
        all.map(|(client, flight)| {
            let asked = Asked {
                round: flight.round,
                at: flight.at,
            };
            (client, asked)
        })
        .collect()
    }

    /// The most tasks that any client can have had since round `round`.
    pub fn tasks_since(&self, round: u32) -> u32 {
        self.highest.saturating_sub(round)
    }
}

impl Server {
    /// Whom it waits for, in words.
    pub(super) fn waits_for_at_work(&self) -> String {
        let at_work = self.flow.iter().flat_map(|flow| flow.at_work());
        let all: Vec<String> = at_work.map(|client| client.to_string()).collect();
        format!(
            "{}, and there is no timeout (set schedule.waiting.timeout, or a reliable transport)",
            named("reports from clients", &all)
        )
    }

    /// How it waits, where it does not hold rounds.
    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.shared.plan.schedule.waiting
    }

    /// Whether a report waits until the server's step is done; it is held then.
    pub(super) fn holds_back(
        &mut self,
        client: u32,
        report: Report,
        now: VirtualTime,
    ) -> Option<Report> {
        let busy = !matches!(self.stage, Stage::Collecting | Stage::Finished);
        match &mut self.flow {
            Some(flow) if busy => {
                flow.held.push_back(Held {
                    client,
                    report,
                    at: now,
                });
                None
            }
            _ => Some(report),
        }
    }

    /// Keeps clients at work and takes in what was held, until there is nothing to do but to wait.
    pub(super) fn go_round(&mut self, cx: &mut Cx<'_>) {
        let Some(waiting) = self.waiting() else {
            return;
        };
        // A step that is done at once comes back here; the loop goes on then, and the stack does not
        // grow with the rounds.
        if std::mem::replace(&mut self.going_round, true) {
            return;
        }
        while matches!(self.stage, Stage::Collecting) {
            let carried = self.flow.as_ref().map_or(0, |flow| flow.carried);
            if self.round.reported > 0 && carried + self.round.reported >= waiting.buffer() {
                self.close(cx);
                continue;
            }
            if let Err(reason) = self.fill(waiting, cx) {
                self.fail(reason, cx);
                continue;
            }
            let Some(flow) = &mut self.flow else { break };
            if let Some(held) = flow.held.pop_front() {
                self.hear(held.client, held.report, held.at, cx);
                continue;
            }
            let nobody = flow.flights.is_empty();
            let returns = self.await_return(waiting, cx);
            if (nobody && !returns) || self.round.asked() >= waiting.patience() {
                tracing::info!(round = self.round.number, "round abandoned");
                self.round.outcome = Outcome::Abandoned;
                self.evaluate(cx);
            } else {
                break;
            }
        }
        self.going_round = false;
    }

    /// Asks clients until as many are at work as are to be, or nobody more is there.
    fn fill(&mut self, waiting: Waiting, cx: &mut Cx<'_>) -> Result<(), String> {
        while let Some(client) = self.draw(waiting, cx.now()) {
            let Some(flow) = &mut self.flow else { break };
            let number = flow.number(client, self.round.number);
            let payload = self.half.task(client, number);
            let payload = payload.map_err(|error| format!("task for client {client}: {error}"))?;
            let task = Task {
                round: number,
                payload,
            };
            self.round.invite(client, task.wire_bytes());
            let flight = Flight {
                task: number,
                round: self.round.number,
                at: cx.now(),
            };
            if self.shared.plan.hierarchy.is_empty() {
                let (round, at) = (flight.round, flight.at);
                let bytes = Some(task.wire_bytes());
                let asked = Asked { round, at };
                books::tell_asked(&self.shared, (client, number), asked, bytes, cx);
            }
            flow.ask(client, flight);
            let timeout = waiting.timeout;
            if let Some(timeout) = timeout.filter(|_| self.shared.bug != Some(Bug::NeverTimeOut)) {
                let timeout = self.shared.faults.server.by_its_clock(cx.now(), timeout);
                cx.timer(timeout, timer::task(client, number));
            }
            cx.send(Federation::node_of(client), Message::Task(Box::new(task)));
        }
        Ok(())
    }

    /// A client for a free place, of those that are there and not at work.
    fn draw(&mut self, waiting: Waiting, now: VirtualTime) -> Option<u32> {
        let flow = self.flow.as_mut()?;
        if flow.flights.len() as u64 >= u64::from(waiting.concurrency) {
            return None;
        }
        let (shared, round) = (&self.shared, self.round.number);
        let plan = &shared.plan;
        let draws = ONE_BY_ONE | flow.draws;
        flow.draws += 1;
        if !plan.hierarchy.is_empty() {
            // Few, and always there.
            let below = plan.hierarchy().below_top().members();
            let free: Vec<u32> = below.filter(|m| !flow.flights.contains_key(m)).collect();
            let mut rng = stream(plan.seed, 0, Purpose::Selection, draws);
            return free
                .get(index(&mut rng, free.len() as u64) as usize)
                .copied();
        }
        if !plan.selection.selection().is_uniform() {
            let gathering = Gathering {
                shared,
                server: Federation::SERVER,
                below: Below::all(plan.population()),
                round,
                now,
                deadline: None,
            };
            let chosen = self.policy.choose(&Ask {
                // Choices of one round draw apart.
                seed: mix_words(&[plan.seed, draws]),
                round,
                wanted: 1,
                population: &Free {
                    gathering,
                    flights: &flow.flights,
                },
            });
            return chosen.first().copied();
        };
        // Uniform costs no look at the whole population.
        let mut rng = stream(plan.seed, 0, Purpose::Selection, draws);
        for _ in 0..LOOKED_AT {
            let client = one_of_the_rest(&mut rng, plan.population(), &flow.flights)?;
            let there = plan.client(client).participation.hit(rng.next_u64());
            if there && shared.presence.is_there(client, round, now) {
                return Some(client);
            }
        }
        None
    }

    /// Sees to it that a place which nobody is there to take is looked at again when somebody may be
    /// back; whether there is such a moment.
    fn await_return(&mut self, waiting: Waiting, cx: &mut Cx<'_>) -> bool {
        let Some(flow) = &mut self.flow else {
            return false;
        };
        let full = flow.flights.len() as u64 >= u64::from(waiting.concurrency);
        if full || !self.shared.presence.is_any() {
            return false;
        }
        if flow.back.is_some() {
            return true;
        }
        let back = self.shared.presence.return_of(1, cx.now());
        let back = back.filter(|back| *back < VirtualTime::NEVER && self.round.waits < MOST_LOOKS);
        let Some(back) = back else {
            return false;
        };
        self.round.waits += 1;
        flow.back = Some(back);
        cx.timer(back.since(cx.now()), timer::BACK);
        true
    }

    /// Somebody may be back.
    pub(super) fn back(&mut self, cx: &mut Cx<'_>) {
        let due = self.flow.as_mut().is_some_and(|flow| flow.is_due(cx.now()));
        if due {
            self.go_round(cx);
        }
    }

    /// A client has not answered in time: another is asked in its place.
    pub(super) fn give_up(&mut self, client: u32, task: u32, cx: &mut Cx<'_>) {
        let Some(flow) = &mut self.flow else { return };
        let task_of = flow
            .task_of(client)
            .filter(|full| timer::is_of(task, *full));
        let Some(asked) = task_of.and_then(|task| flow.land(client, task, false)) else {
            return;
        };
        self.half.gone(client);
        self.round.give_up();
        self.record_lost(client, asked, cx);
        self.go_round(cx);
    }

    /// What was held and will not be taken in any more.
    pub(super) fn too_late(&mut self, cx: &mut Cx<'_>) {
        let held = self
            .flow
            .as_mut()
            .map(|flow| std::mem::take(&mut flow.held));
        for held in held.into_iter().flatten() {
            self.hear(held.client, held.report, held.at, cx);
        }
    }
}
