//! The whole state of a simulation between two windows, written and read.
//!
//! No work is under way then: the conductor has waited for all of it, and what came of it is part of
//! the state. Work is a pure function, so when it is done cannot be seen in a result.

use super::conductor::{SimError, State};
use super::event::Key;
use super::hash::TraceHash;
use super::host::Host;
use super::node::World;
use super::shard::{load_parts, save_events, Part};
use crate::quantity::VirtualTime;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// What a conductor knows beside its shards.
pub(super) struct Course {
    pub hash: TraceHash,
    pub now: VirtualTime,
    pub delivered: u64,
    pub windows: u64,
    pub handed: BTreeSet<u64>,
}

impl Course {
    /// Nothing has happened yet.
    pub const fn start() -> Self {
        Self {
            hash: TraceHash::START,
            now: VirtualTime::ZERO,
            delivered: 0,
            windows: 0,
            handed: BTreeSet::new(),
        }
    }
}

snapshot_struct!(Course {
    hash,
    now,
    delivered,
    windows,
    handed
});

/// A simulation as read from a checkpoint.
pub(super) struct Restored<W: World> {
    pub course: Course,
    pub ready: BTreeMap<Key, W::Output>,
    pub parts: Vec<Part<W>>,
}

impl<W: World> Restored<W> {
    /// Reads it, for so many shards.
    pub fn load(world: &W, shards: usize, from: &mut Reader) -> Result<Self, Damaged> {
        from.mark("simulation")?;
        let restored = Self {
            course: Course::load(from)?,
            ready: Snapshot::load(from)?,
            parts: load_parts(world, shards, from)?,
        };
        from.mark("end of the simulation")?;
        Ok(restored)
    }
}

impl<W: World> State<'_, W> {
    /// Writes it. All work has to be done.
    pub(super) fn save(&self, host: &Host<W>, mut to: Writer) -> Writer {
        if !self.waiting.is_empty() || !self.running.is_empty() {
            to.fail("a checkpoint while work is under way");
        }
        to.mark("simulation");
        let course = Course {
            hash: self.hash,
            now: self.now,
            delivered: self.delivered,
            windows: self.windows,
            handed: self.handed.clone(),
        };
        course.save(&mut to);
        self.ready.save(&mut to);
        let crossing = self.crossing.iter().flatten().flatten();
        save_events::<W>(crossing, &mut to);
        to.number(host.shards() as u64);
        for shard in 0..host.shards() {
            // One after the other: what several of them share is written once.
            let writer = to;
            let saved = host.ask_one(shard, move |shard| {
                let mut to = writer;
                shard.save(&mut to);
                to
            });
            to = match saved {
                Ok(to) => to,
                Err(reason) => {
                    let mut lost = Writer::nowhere();
                    lost.fail(reason);
                    return lost;
                }
            };
        }
        to.mark("end of the simulation");
        to
    }
}

impl From<Damaged> for SimError {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged)
    }
}
