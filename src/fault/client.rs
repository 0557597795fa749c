//! Faults of clients: of their devices, and of their reports.

use super::plan::Entry;
use super::speed::{Change, Pace};
use super::when::{draws, lane, Moment};
use crate::quantity::{Distribution, Probability, Span, VirtualTime};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use rand::Rng;
use serde::Serialize;

/// A fault of a client's device or of its report.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum ClientFault {
    /// The client is down while the fault holds: work and messages that it is sending are lost, and
    /// messages to it are dropped. It comes up again when the fault ends, and waits to be asked.
    Crash {
        /// Whether the state that the client keeps between rounds (a personal model, control variates)
        /// survives.
        keep_state: bool,
    },
    /// The client stands still, and afterwards goes on where it was.
    Pause,
    /// Work takes this many times as long.
    Slow(f64),
    /// Work gets slower until it takes this many times as long; the slowdown grows evenly over the
    /// period.
    Degrade(f64),
    /// The device gets hot: the computation of a task beyond `after` takes `slowdown` times as long.
    /// The device cools down between tasks.
    Throttle {
        /// The time for which a task computes at full speed.
        after: Span,
        /// How many times as long the rest takes.
        slowdown: f64,
    },
    /// Training runs out of memory half-way; the client declines the task.
    OutOfMemory,
    /// The client's clock is wrong, and so are the times that the client reports.
    Clock {
        /// By how many seconds the clock is ahead of the true time; behind it if negative.
        ahead: f64,
        /// How many seconds the clock gains in each second.
        drift: f64,
    },
    /// The client's handler panics when it gets a task; the client is gone for good.
    Panic,
    /// The client trains only this share of the steps that it was asked for.
    PartialWork(Probability),
    /// The client trains from the model that it was sent with its previous task.
    StaleModel,
    /// The client's report is wrong.
    Report(ReportFault),
}

/// A way in which a report is wrong.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum ReportFault {
    /// One value is not a number.
    NotANumber,
    /// One value is infinite.
    Infinite,
    /// One value is missing.
    WrongShape,
    /// The report names a round this much later; earlier if negative.
    WrongRound(i32),
    /// The report is sent this many more times.
    Duplicate(u32),
    /// The report is sent this many seconds late.
    Late(Distribution),
    /// The client's previous report is sent again, together with this one.
    Replay,
}

/// All faults of clients in a run.
#[derive(Debug, Clone, Default)]
pub struct ClientFaults {
    seed: u64,
    entries: Vec<Entry<ClientFault>>,
}

/// The faults that one task of one client meets.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskFaults {
    /// Whether the client's handler panics.
    pub panics: bool,
    /// Whether training runs out of memory.
    pub out_of_memory: bool,
    /// Whether the client trains from the model of its previous task.
    pub stale: bool,
    /// The share of the steps that the client trains.
    pub share: f64,
    /// What is wrong with its report.
    pub report: Vec<ReportFault>,
    /// How late the report is sent.
    pub late: Span,
    /// Whether the report is kept, because a fault may send it again later.
    pub keeps_report: bool,
}

snapshot_struct!(TaskFaults {
    panics,
    out_of_memory,
    stale,
    share,
    report,
    late,
    keeps_report,
});
snapshot_enum!(ReportFault {
    0 => NotANumber,
    1 => Infinite,
    2 => WrongShape,
    3 => WrongRound(by),
    4 => Duplicate(copies),
    5 => Late(by),
    6 => Replay,
});

/// The node of a client.
fn node(client: u32) -> u64 {
    u64::from(client) + 1
}

impl ClientFaults {
    pub(super) const fn new(seed: u64, entries: Vec<Entry<ClientFault>>) -> Self {
        Self { seed, entries }
    }

    /// Whether there are no faults of clients.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn of(&self, client: u32) -> impl Iterator<Item = &Entry<ClientFault>> {
        self.entries
            .iter()
            .filter(move |entry| entry.members.contains(client))
    }

    fn crashes(&self, client: u32) -> impl Iterator<Item = (&Entry<ClientFault>, bool)> {
        self.of(client).filter_map(|entry| match entry.fault {
            ClientFault::Crash { keep_state } => Some((entry, keep_state)),
            _ => None,
        })
    }

    /// The crashes among the faults, if there are any.
    pub(super) fn only_crashes(&self) -> Option<Self> {
        let is_crash =
            |entry: &&Entry<ClientFault>| matches!(entry.fault, ClientFault::Crash { .. });
        let entries: Vec<Entry<ClientFault>> =
            self.entries.iter().filter(is_crash).cloned().collect();
        let seed = self.seed;
        (!entries.is_empty()).then_some(Self { seed, entries })
    }

    /// Whether a client is down at `now`.
    pub fn is_down(&self, client: u32, now: VirtualTime) -> bool {
        self.crashes(client)
            .any(|(entry, _)| entry.periods(self.seed, node(client)).at(now).is_some())
    }

    /// The first moment after `now` at which a client comes up again after being down, if there is one.
    pub fn next_rise(&self, client: u32, now: VirtualTime) -> Option<VirtualTime> {
        let ends = self.crashes(client).filter_map(|(entry, _)| {
            let periods = entry.periods(self.seed, node(client));
            periods.at_or_after(now).map(|period| period.end)
        });
        ends.min().filter(|end| *end != VirtualTime::NEVER)
    }

    /// Whether a client crashes in `(after, until]`.
    pub fn crashes_within(&self, client: u32, after: VirtualTime, until: VirtualTime) -> bool {
        self.crashes(client).any(|(entry, _)| {
            entry
                .periods(self.seed, node(client))
                .begins_within(after, until)
        })
    }

    /// When a client first crashes in `(after, until]`, if it does.
    pub fn first_crash(
        &self,
        client: u32,
        after: VirtualTime,
        until: VirtualTime,
    ) -> Option<VirtualTime> {
        let firsts = self.crashes(client).filter_map(|(entry, _)| {
            let periods = entry.periods(self.seed, node(client));
            periods.first_within(after, until)
        });
        firsts.min()
    }

    /// Whether a crash in `(after, until]` erased the state that a client kept.
    pub fn forgets_within(&self, client: u32, after: VirtualTime, until: VirtualTime) -> bool {
        self.crashes(client).any(|(entry, keeps)| {
            !keeps
                && entry
                    .periods(self.seed, node(client))
                    .begins_within(after, until)
        })
    }

    /// When work that begins at `start`, and takes `compute` on a healthy device, is done;
    /// [`VirtualTime::NEVER`] if the device stands still for good.
    pub fn finish(&self, client: u32, start: VirtualTime, compute: Span) -> VirtualTime {
        self.finish_while(client, start, compute, |_| (true, VirtualTime::NEVER))
    }

    /// When work is done that goes on only at certain times, with `start` and `compute` as in
    /// [`ClientFaults::finish`]. For a moment, `open` returns whether work goes on then, and until when
    /// that stays so.
    pub fn finish_while(
        &self,
        client: u32,
        start: VirtualTime,
        compute: Span,
        open: impl Fn(VirtualTime) -> (bool, VirtualTime),
    ) -> VirtualTime {
        let mut pace = Pace::default();
        let mut compute = compute;
        for entry in self.of(client) {
            let periods = entry.periods(self.seed, node(client));
            match &entry.fault {
                ClientFault::Pause => pace.changes.push((periods, Change::To(0.0))),
                ClientFault::Slow(times) => pace.changes.push((periods, Change::To(1.0 / times))),
                ClientFault::Degrade(times) => pace.changes.push((periods, Change::Down(*times))),
                ClientFault::Throttle { after, slowdown } if periods.at(start).is_some() => {
                    let hot = compute.nanos().saturating_sub(after.nanos());
                    compute = compute.min(*after) + Span::from_nanos(hot).scaled(*slowdown);
                }
                _ => {}
            }
        }
        pace.finish_while(start, compute, open)
    }

    /// What a client's clock shows at `now`.
    pub fn clock(&self, client: u32, now: VirtualTime) -> VirtualTime {
        let mut shown = now;
        for entry in self.of(client) {
            if let ClientFault::Clock { ahead, drift } = entry.fault {
                let periods = entry.periods(self.seed, node(client));
                if let Some(period) = periods.at(now) {
                    let gained = ahead + drift * now.since(period.start).seconds();
                    let by = Span::from_seconds(gained.abs());
                    shown = if gained >= 0.0 {
                        shown + by
                    } else {
                        VirtualTime::from_nanos(shown.nanos().saturating_sub(by.nanos()))
                    };
                }
            }
        }
        shown
    }

    /// The faults that the task of `round` meets when it reaches a client at `now`. `number` counts the
    /// tasks of the client, from 1.
    pub fn of_task(&self, client: u32, round: u32, number: u64, now: VirtualTime) -> TaskFaults {
        let moment = Moment {
            now,
            round,
            message: number,
        };
        let mut befalls = TaskFaults {
            keeps_report: self.keeps_reports(client),
            ..TaskFaults::default()
        };
        for entry in self.of(client) {
            if !entry.periods(self.seed, node(client)).holds(moment) {
                continue;
            }
            let mut rng = draws(
                self.seed,
                node(client),
                entry.number,
                lane::FATE,
                u64::from(round),
            );
            if !entry.probability.hit(rng.next_u64()) {
                continue;
            }
            match &entry.fault {
                ClientFault::Panic => befalls.panics = true,
                ClientFault::OutOfMemory => befalls.out_of_memory = true,
                ClientFault::StaleModel => befalls.stale = true,
                ClientFault::PartialWork(share) => befalls.share *= share.get(),
                ClientFault::Report(ReportFault::Late(by)) => {
                    befalls.late = befalls.late + Span::from_seconds(by.sample(&mut rng));
                }
                ClientFault::Report(report) => befalls.report.push(report.clone()),
                _ => {}
            }
        }
        befalls
    }

    /// Whether a client may train from the model of its previous task.
    pub fn keeps_tasks(&self, client: u32) -> bool {
        self.of(client)
            .any(|entry| entry.fault == ClientFault::StaleModel)
    }

    /// The seed of the run.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a client may send its previous report again.
    fn keeps_reports(&self, client: u32) -> bool {
        self.of(client)
            .any(|entry| entry.fault == ClientFault::Report(ReportFault::Replay))
    }
}

impl Default for TaskFaults {
    fn default() -> Self {
        Self {
            panics: false,
            out_of_memory: false,
            stale: false,
            share: 1.0,
            report: Vec::new(),
            late: Span::ZERO,
            keeps_report: false,
        }
    }
}
