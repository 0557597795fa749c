//! What faults do to a client's tasks and reports.

use super::super::invitation;
use super::super::message::{Message, Report, Task};
use super::super::world::{Federation, Shared};
use super::answer;
use crate::fault::{ClientFaults, ReportFault, TaskFaults};
use crate::method::{ClientState, Payload};
use crate::observe::ledger::{What, Work};
use crate::quantity::{Span, VirtualTime};
use crate::sim::rng::{stream, Purpose, Stream};
use crate::sim::{Context, NodeId};
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// The faults of one task.
pub(super) struct Fate {
    /// The faults, as the plan has them.
    pub job: TaskFaults,
    /// The seed for draws about the report.
    seed: u64,
}

/// What a client remembers for the faults of a plan.
#[derive(Default)]
pub(super) struct Memory {
    /// When the client last had an event.
    pub seen: VirtualTime,
    /// How many tasks the client got.
    tasks: u64,
    /// The latest round of which the client took a task.
    round: u32,
    /// The task before, where a fault may make the client train from it again.
    task: Option<Payload>,
    /// The round, the samples and the payload of the last report, where a fault may send it again.
    report: Option<(u32, u32, Payload)>,
    /// The reports that are held back, by timer, with the server and the task.
    held: BTreeMap<u64, (NodeId, u32, Message)>,
    /// How many timers were set for reports.
    timers: u64,
}

snapshot_struct!(Fate { job, seed });
snapshot_struct!(Memory {
    seen,
    tasks,
    round,
    task,
    report,
    held,
    timers,
});

/// The names of entries in a dormant client's state.
const FIGURES: &str = "faults.figures";
const TASK: &str = "faults.task";
const REPORT: &str = "faults.report";
/// Timers for reports have this bit; timers without it carry the number of a round.
const HELD: u64 = 1 << 40;

/// An integer as two numbers that a double holds exactly.
fn halves(n: u64) -> [f64; 2] {
    [(n >> 32) as f64, f64::from(n as u32)]
}

/// The integer of which [`halves`] made two numbers.
fn whole(high: f64, low: f64) -> u64 {
    (high as u64) << 32 | low as u64
}

impl Memory {
    /// Takes the entries for faults out of what a client kept.
    pub fn wake(state: &mut ClientState) -> Self {
        let mut memory = Self {
            task: state.take(TASK),
            ..Self::default()
        };
        let figures = state.take(FIGURES);
        if let Some(Ok([a, b, c, d, round])) = figures.as_ref().map(Payload::as_scalars) {
            memory.seen = VirtualTime::from_nanos(whole(a, b));
            memory.tasks = whole(c, d);
            memory.round = round as u32;
        }
        if let Some(report) = state.take(REPORT) {
            if let Ok([figures, payload]) = report.as_parts() {
                if let Ok([round, samples]) = figures.as_scalars() {
                    memory.report = Some((round as u32, samples as u32, payload.clone()));
                }
            }
        }
        memory
    }

    /// Whether a client can have kept this payload under this name.
    pub fn keeps(name: &str, payload: &Payload) -> bool {
        match (name, payload.as_parts()) {
            (FIGURES, _) => payload.as_scalars::<5>().is_ok(),
            (REPORT, Ok([figures, _])) => figures.as_scalars::<2>().is_ok(),
            (REPORT, Err(_)) => false,
            _ => true,
        }
    }

    /// Puts the entries for faults back into what a client keeps.
    pub fn keep(self, state: ClientState, client: u32, faults: &ClientFaults) -> ClientState {
        let (seen, tasks) = (halves(self.seen.nanos()), halves(self.tasks));
        let figures = [seen[0], seen[1], tasks[0], tasks[1], f64::from(self.round)];
        let mut state = state.with(FIGURES, Payload::scalars(figures));
        if let Some(task) = self.task.filter(|_| faults.keeps_tasks(client)) {
            state = state.with(TASK, task);
        }
        if let Some((round, samples, payload)) = self.report {
            let figures = Payload::scalars([f64::from(round), f64::from(samples)]);
            state = state.with(REPORT, Payload::bundle([figures, payload]));
        }
        state
    }

    /// Whether reports are held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Drops the reports that are held back, because of a crash.
    pub fn drop_held(&mut self) {
        self.held.clear();
    }

    /// Forgets everything, because of a crash that loses the client's state.
    pub fn forget(&mut self) {
        let (seen, timers) = (self.seen, self.timers);
        *self = Self {
            seen,
            timers,
            ..Self::default()
        };
    }

    /// The faults of a task that arrives now; `None` if the client had the task before. A fault may replace
    /// the payload of the task by that of an older task.
    ///
    /// # Panics
    /// When the fault plan says that the client's handler panics.
    pub fn meet(
        &mut self,
        faults: &ClientFaults,
        client: u32,
        task: &mut Task,
        now: VirtualTime,
    ) -> Option<Fate> {
        if task.round <= self.round {
            return None;
        }
        self.round = task.round;
        self.tasks += 1;
        let job = faults.of_task(client, task.round, self.tasks, now);
        if job.panics {
            panic!("the handler of client {client} panics, as planned");
        }
        if faults.keeps_tasks(client) {
            let before = self.task.replace(task.payload.clone());
            if let Some(before) = before.filter(|_| job.stale) {
                task.payload = before;
            }
        }
        Some(Fate {
            job,
            seed: faults.seed(),
        })
    }

    /// Sends a report as the faults of its task make it: late, wrong, more than once, or with an older report.
    pub fn send(
        &mut self,
        shared: &Shared,
        fate: &Fate,
        (client, server): (u32, NodeId),
        message: Message,
        cx: &mut Context<'_, Federation>,
    ) {
        let Message::Report(mut report) = message else {
            let task = crate::net::Wire::round(&message);
            return answer(shared, (client, task), server, message, cx);
        };
        // The task that the report really answers, also where a fault makes it name another.
        let task = report.round;
        let node = u64::from(client) + 1;
        let mut rng = stream(
            fate.seed,
            node,
            Purpose::Fault,
            1 << 63 | u64::from(report.round),
        );
        let (mut copies, mut replayed) = (0, None);
        let last = (report.round, report.samples, report.payload.clone());
        for fault in &fate.job.report {
            match fault {
                ReportFault::Duplicate(more) => copies += more,
                ReportFault::Replay => replayed = self.report.take(),
                other => spoil(&mut report, other, &mut rng),
            }
        }
        self.report = fate.job.keeps_report.then_some(last);
        let mut out: Vec<Message> = Vec::new();
        if let Some((round, samples, payload)) = replayed {
            out.push(Message::Report(Box::new(Report {
                round,
                samples,
                payload,
                ..*report.clone()
            })));
        }
        out.extend((0..copies).map(|_| Message::Report(report.clone())));
        out.push(Message::Report(report));
        for message in out {
            if fate.job.late.nanos() == 0 {
                answer(shared, (client, task), server, message, cx);
            } else {
                let token = HELD | self.timers;
                self.timers += 1;
                self.held.insert(token, (server, task, message));
                cx.timer(fate.job.late, token);
            }
        }
        if fate.job.late.nanos() > 0 {
            let until = cx.now() + fate.job.late;
            let crash = shared.faults.clients.first_crash(client, cx.now(), until);
            let held_back = Work {
                until,
                breaks: crash.unwrap_or(VirtualTime::NEVER),
                compute: Span::ZERO,
                flops: 0,
                memory: 0,
                energy: 0.0,
                trains: false,
            };
            invitation::record(client, task, What::Works(Box::new(held_back)), cx);
        }
    }

    /// Sends the report that waited for this timer. Returns whether the timer was for a report.
    pub fn release(
        &mut self,
        shared: &Shared,
        token: u64,
        client: u32,
        cx: &mut Context<'_, Federation>,
    ) -> bool {
        if let Some((server, task, message)) = self.held.remove(&token) {
            answer(shared, (client, task), server, message, cx);
        }
        token & HELD != 0
    }
}

/// Makes a report wrong, as a fault says.
fn spoil(report: &mut Report, fault: &ReportFault, rng: &mut Stream) {
    let mut set_one = |value: f32| {
        let payload = std::mem::take(&mut report.payload);
        report.payload = payload.with_values(&mut |values| {
            let place = crate::sim::rng::below(rng, values.len() as u64) as usize;
            if let Some(slot) = values.get_mut(place) {
                *slot = value;
            }
        });
    };
    match fault {
        ReportFault::NotANumber => set_one(f32::NAN),
        ReportFault::Infinite => set_one(f32::INFINITY),
        ReportFault::WrongShape => {
            report.payload = std::mem::take(&mut report.payload).shortened();
        }
        ReportFault::WrongRound(by) => report.round = report.round.saturating_add_signed(*by),
        ReportFault::Duplicate(_) | ReportFault::Late(_) | ReportFault::Replay => {}
    }
}
