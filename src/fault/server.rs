//! Faults of the server.

use super::speed::{Change, Pace};
use super::when::{Periods, When};
use crate::quantity::{Span, VirtualTime};
use serde::Serialize;

/// Something that goes wrong at the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum ServerFault {
    /// Its work takes so many times as long.
    Slow(f64),
    /// Its clock gains so many seconds a second: deadlines come early, or late if negative.
    ClockDrift(f64),
}

/// All faults of the server in a run.
#[derive(Debug, Clone, Default)]
pub struct ServerFaults {
    seed: u64,
    entries: Vec<(u32, ServerFault, When)>,
}

impl ServerFaults {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            entries: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, number: u32, fault: &super::Fault, what: &ServerFault) {
        self.entries
            .push((number, what.clone(), fault.when.clone()));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn periods<'a>(&self, number: u32, when: &'a When) -> Periods<'a> {
        Periods {
            when,
            seed: self.seed,
            entry: number,
            node: 0,
        }
    }

    /// When work that takes `work` on a healthy server is done if it begins at `start`.
    pub fn finish(&self, start: VirtualTime, work: Span) -> VirtualTime {
        let mut pace = Pace::default();
        for (number, fault, when) in &self.entries {
            if let ServerFault::Slow(times) = fault {
                let change = Change::To(1.0 / times);
                pace.changes.push((self.periods(*number, when), change));
            }
        }
        pace.finish(start, work)
    }

    /// How long the server takes for `span`, by its own clock, at `now`.
    pub fn by_its_clock(&self, now: VirtualTime, span: Span) -> Span {
        let mut rate = 1.0;
        for (number, fault, when) in &self.entries {
            if let ServerFault::ClockDrift(drift) = fault {
                if self.periods(*number, when).at(now).is_some() {
                    rate += drift;
                }
            }
        }
        span.scaled(1.0 / rate)
    }
}
