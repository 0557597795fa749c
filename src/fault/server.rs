//! Faults of the server.

use super::speed::{Change, Pace};
use super::when::{draws, lane, Milestones, Moment, Periods, When};
use crate::quantity::{Probability, Span, VirtualTime};
use crate::sim::rng::below;
use rand::Rng;
use serde::Serialize;
use std::sync::Arc;

/// A fault of the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum ServerFault {
    /// The server's work takes this many times as long.
    Slow(f64),
    /// The server's clock gains this many seconds in each second, so deadlines come early; late if
    /// negative.
    ClockDrift(f64),
    /// The server is down: its work is lost, and messages to it are dropped. Then it goes on from its
    /// last checkpoint that can be read.
    Crash,
    /// A checkpoint that the server writes is cut short.
    Torn,
}

/// One entry of a fault plan that concerns the server.
#[derive(Debug, Clone)]
struct Entry {
    number: u32,
    fault: ServerFault,
    when: When,
    probability: Probability,
    milestones: Arc<Milestones>,
}

/// All faults of the server in a run.
#[derive(Debug, Clone, Default)]
pub struct ServerFaults {
    seed: u64,
    entries: Vec<Entry>,
}

impl ServerFaults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            entries: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, number: u32, fault: &super::Fault, what: &ServerFault) {
        self.entries.push(Entry {
            number,
            fault: what.clone(),
            when: fault.when.clone(),
            probability: fault.probability,
            milestones: Arc::default(),
        });
    }

    /// The crashes among the faults, if there are any.
    pub(super) fn only_crashes(&self) -> Option<Self> {
        let is_crash = |entry: &&Entry| entry.fault == ServerFault::Crash;
        let entries: Vec<Entry> = self.entries.iter().filter(is_crash).cloned().collect();
        let seed = self.seed;
        (!entries.is_empty()).then_some(Self { seed, entries })
    }

    /// Whether there are no faults of the server.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn periods<'a>(&self, entry: &'a Entry) -> Periods<'a> {
        Periods {
            when: &entry.when,
            seed: self.seed,
            entry: entry.number,
            node: 0,
            milestones: Some(&entry.milestones),
        }
    }

    fn crashes(&self) -> impl Iterator<Item = Periods<'_>> {
        let crashes = self.entries.iter();
        crashes
            .filter(|entry| entry.fault == ServerFault::Crash)
            .map(|entry| self.periods(entry))
    }

    /// Whether a crash of the server is among the faults.
    pub fn can_crash(&self) -> bool {
        self.crashes().next().is_some()
    }

    /// Whether the server is down at `now`.
    pub fn is_down(&self, now: VirtualTime) -> bool {
        self.crashes().any(|periods| periods.at(now).is_some())
    }

    /// When the server goes down next: `now` if it is down already; `None` if it does not go down
    /// again.
    pub fn next_crash(&self, now: VirtualTime) -> Option<VirtualTime> {
        let next = self.crashes().filter_map(|periods| {
            let period = periods.at_or_after(now)?;
            Some(period.start.max(now))
        });
        next.min()
    }

    /// The earliest moment at which the server can be up again; `now` if it is not down.
    pub fn down_until(&self, now: VirtualTime) -> VirtualTime {
        let ends = self.crashes().filter_map(|periods| periods.at(now));
        ends.map(|period| period.end).max().unwrap_or(now)
    }

    /// Whether the server crashes in `(after, until]`.
    pub fn crashes_within(&self, after: VirtualTime, until: VirtualTime) -> bool {
        self.crashes()
            .any(|periods| periods.begins_within(after, until))
    }

    /// The number of bytes that are left of a checkpoint of `bytes`, the server's `number`-th from 1,
    /// written after `round`; `None` if the checkpoint is whole.
    pub fn tears(&self, bytes: u64, round: u32, number: u64, now: VirtualTime) -> Option<u64> {
        let moment = Moment {
            now,
            round,
            message: number,
        };
        self.entries.iter().find_map(|entry| {
            let holds = entry.fault == ServerFault::Torn && self.periods(entry).holds(moment);
            if !holds {
                return None;
            }
            let mut rng = draws(self.seed, 0, entry.number, lane::FATE, number);
            let hit = entry.probability.hit(rng.next_u64());
            hit.then(|| below(&mut rng, bytes.max(1)))
        })
    }

    /// When work that begins at `start`, and takes `work` on a healthy server, is done.
    pub fn finish(&self, start: VirtualTime, work: Span) -> VirtualTime {
        let mut pace = Pace::default();
        for entry in &self.entries {
            if let ServerFault::Slow(times) = entry.fault {
                let change = Change::To(1.0 / times);
                pace.changes.push((self.periods(entry), change));
            }
        }
        pace.finish(start, work)
    }

    /// The true time in which the server's own clock measures `span`, beginning at `now`.
    pub fn by_its_clock(&self, now: VirtualTime, span: Span) -> Span {
        let mut rate = 1.0;
        for entry in &self.entries {
            if let ServerFault::ClockDrift(drift) = entry.fault {
                if self.periods(entry).at(now).is_some() {
                    rate += drift;
                }
            }
        }
        span.scaled(1.0 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, FaultPlan, Filter, What};
    use super::*;
    use crate::who::Who;

    fn at(seconds: f64) -> VirtualTime {
        VirtualTime::ZERO + Span::from_seconds(seconds)
    }

    fn faults(entries: &[(ServerFault, When, f64)]) -> ServerFaults {
        let entries = entries.iter().map(|(fault, when, p)| Fault {
            what: What::Server(fault.clone()),
            who: Who::All,
            when: when.clone(),
            together: true,
            probability: Probability::new(*p).unwrap(),
            filter: Filter::default(),
        });
        let entries: Vec<Fault> = entries.collect();
        FaultPlan::new(&entries, std::iter::empty(), 7).server
    }

    fn once(start: u64, lasts: u64) -> When {
        When::Once {
            at: Span::from_secs(start),
            lasts: Some(Span::from_secs(lasts)),
        }
    }

    #[test]
    fn a_server_is_down_while_any_crash_holds() {
        let faults = faults(&[
            (ServerFault::Crash, once(10, 5), 1.0),
            (ServerFault::Crash, once(12, 8), 1.0),
            (ServerFault::Slow(2.0), once(1, 1), 1.0),
        ]);
        assert!(faults.can_crash());
        assert_eq!(faults.next_crash(at(0.0)), Some(at(10.0)));
        assert_eq!(faults.next_crash(at(11.0)), Some(at(11.0)), "it is down");
        assert_eq!(faults.next_crash(at(20.0)), None);
        let down = [0.0, 10.0, 19.9, 20.0].map(|s| faults.is_down(at(s)));
        assert_eq!(down, [false, true, true, false]);
        // The second crash begins while the first lasts: the server asks about it when the first is
        // over.
        assert_eq!(faults.down_until(at(10.0)), at(15.0));
        assert_eq!(faults.down_until(at(15.0)), at(20.0));
        assert_eq!(faults.down_until(at(20.0)), at(20.0));
        assert!(faults.crashes_within(at(9.0), at(10.0)));
        assert!(!faults.crashes_within(at(12.0), at(30.0)));
        assert_eq!(faults.only_crashes().unwrap().entries.len(), 2);
    }

    #[test]
    fn a_checkpoint_is_cut_with_its_probability_and_in_its_rounds() {
        let sound = faults(&[(ServerFault::Crash, once(1, 1), 1.0)]);
        assert_eq!(sound.tears(100, 1, 1, at(0.0)), None);
        let rounds = When::Rounds {
            from: 2,
            until: Some(3),
        };
        let torn = faults(&[(ServerFault::Torn, rounds, 1.0)]);
        assert!(!torn.can_crash());
        for (round, cut) in [(1, false), (2, true), (3, true), (4, false)] {
            let left = torn.tears(100, round, u64::from(round), at(0.0));
            assert_eq!(left.is_some(), cut, "{round}");
            assert!(left.is_none_or(|left| left < 100));
        }
        let half = faults(&[(ServerFault::Torn, When::Always, 0.5)]);
        let cuts = (1..=4_000).filter(|n| half.tears(100, 1, *n, at(0.0)).is_some());
        // Five standard deviations of a binomial are 158.
        assert!(cuts.count().abs_diff(2_000) < 158);
    }
}
