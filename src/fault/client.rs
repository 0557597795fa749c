//! Faults of clients: their devices, and what they report.

use super::plan::Entry;
use super::speed::{Change, Pace};
use super::when::{draws, lane, Moment};
use crate::quantity::{Distribution, Probability, Span, VirtualTime};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use rand::Rng;
use serde::Serialize;

/// Something that goes wrong on a client's device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ClientFault {
    /// It is down while the fault holds: what it computes and sends is lost, what is sent to it is
    /// dropped. It comes back when the fault ends, and waits to be asked.
    Crash {
        /// Whether what it kept between rounds (personal model, control variates) survives.
        keep_state: bool,
    },
    /// It stands still, and goes on where it was.
    Pause,
    /// Work takes so many times as long.
    Slow(f64),
    /// Work comes to take so many times as long, evenly over the period.
    Degrade(f64),
    /// What a task computes beyond some time takes so many times as long: it gets hot. Between tasks
    /// it cools down.
    Throttle {
        /// Of computing at full speed.
        after: Span,
        /// From then on.
        slowdown: f64,
    },
    /// Training runs out of memory half-way; the client declines.
    OutOfMemory,
    /// Its clock is wrong: what it says of when things happened.
    Clock {
        /// It shows more than the true time by this, in seconds; less if negative.
        ahead: f64,
        /// And gains this many seconds a second.
        drift: f64,
    },
    /// Its handler panics when it gets a task: it is gone for good.
    Panic,
    /// It trains so small a part of what it was asked, in steps.
    PartialWork(Probability),
    /// It trains from the model it was sent the time before.
    StaleModel,
    /// Its report is wrong.
    Report(ReportFault),
}

/// What is wrong with a report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ReportFault {
    /// A value is not a number.
    NotANumber,
    /// A value is infinite.
    Infinite,
    /// A value is missing.
    WrongShape,
    /// It says that it belongs to a round so much later; earlier if negative.
    WrongRound(i32),
    /// It is sent so many times more.
    Duplicate(u32),
    /// It is sent so many seconds late.
    Late(Distribution),
    /// The report of the time before is sent with it, again.
    Replay,
}

/// All faults of clients in a run.
#[derive(Debug, Clone, Default)]
pub struct ClientFaults {
    seed: u64,
    entries: Vec<Entry<ClientFault>>,
}

/// What befalls one task of one client.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its handler panics.
    pub panics: bool,
    /// It runs out of memory.
    pub out_of_memory: bool,
    /// It takes the model of the time before.
    pub stale: bool,
    /// The share of the steps it takes.
    pub share: f64,
    /// What is wrong with its report.
    pub report: Vec<ReportFault>,
    /// How late the report is.
    pub late: Span,
    /// Whether the report is kept, to be sent again some time.
    pub keeps_report: bool,
}

snapshot_struct!(Job {
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

    /// Whether there is none.
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

    /// Only the crashes among them, if there are any.
    pub(super) fn only_crashes(&self) -> Option<Self> {
        let is_crash =
            |entry: &&Entry<ClientFault>| matches!(entry.fault, ClientFault::Crash { .. });
        let entries: Vec<Entry<ClientFault>> =
            self.entries.iter().filter(is_crash).cloned().collect();
        let seed = self.seed;
        (!entries.is_empty()).then_some(Self { seed, entries })
    }

    /// Whether a client is down.
    pub fn is_down(&self, client: u32, now: VirtualTime) -> bool {
        self.crashes(client)
            .any(|(entry, _)| entry.periods(self.seed, node(client)).at(now).is_some())
    }

    /// The first end after `now` of a time in which a client is down, if there is one.
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

    /// Whether a crash in `(after, until]` took what a client kept.
    pub fn forgets_within(&self, client: u32, after: VirtualTime, until: VirtualTime) -> bool {
        self.crashes(client).any(|(entry, keeps)| {
            !keeps
                && entry
                    .periods(self.seed, node(client))
                    .begins_within(after, until)
        })
    }

    /// When work that takes `compute` on a healthy device is done if it begins at `start`; never, if
    /// the device stands still for good.
    pub fn finish(&self, client: u32, start: VirtualTime, compute: Span) -> VirtualTime {
        self.finish_while(client, start, compute, |_| (true, VirtualTime::NEVER))
    }

    /// The same for work that goes on only while it may: `open` says whether it may at a moment, and
    /// until when that stays.
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

    /// What befalls the task of a round that reaches a client at `now` as its `number`-th, from 1.
    pub fn job(&self, client: u32, round: u32, number: u64, now: VirtualTime) -> Job {
        let moment = Moment {
            now,
            round,
            message: number,
        };
        let mut job = Job {
            keeps_report: self.keeps_reports(client),
            ..Job::default()
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
                ClientFault::Panic => job.panics = true,
                ClientFault::OutOfMemory => job.out_of_memory = true,
                ClientFault::StaleModel => job.stale = true,
                ClientFault::PartialWork(share) => job.share *= share.get(),
                ClientFault::Report(ReportFault::Late(by)) => {
                    job.late = job.late + Span::from_seconds(by.sample(&mut rng));
                }
                ClientFault::Report(report) => job.report.push(report.clone()),
                _ => {}
            }
        }
        job
    }

    /// Whether some client may use a model or send a report of the time before.
    pub fn keeps_tasks(&self, client: u32) -> bool {
        self.of(client)
            .any(|entry| entry.fault == ClientFault::StaleModel)
    }

    /// The seed of the run.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether a client may send its last report again.
    fn keeps_reports(&self, client: u32) -> bool {
        self.of(client)
            .any(|entry| entry.fault == ClientFault::Report(ReportFault::Replay))
    }
}

impl Default for Job {
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
