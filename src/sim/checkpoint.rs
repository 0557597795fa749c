//! Writes the whole state of a simulation between two windows to a checkpoint, and reads it back.
//!
//! No job is under way at that moment: the conductor has waited for all jobs, and their outputs are
//! part of the state. A job is a pure function, so the moment at which it is done on the host cannot be
//! seen in any result.

use super::conductor::{SimError, State};
use super::event::Key;
use super::hash::TraceHash;
use super::host::Host;
use super::node::World;
use super::shard::{load_parts, save_events, Part};
use crate::quantity::VirtualTime;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::{BTreeMap, BTreeSet};

/// The conductor's own counters, beside the state of its shards.
pub(super) struct Counters {
    pub hash: TraceHash,
    pub now: VirtualTime,
    pub delivered: u64,
    pub windows: u64,
    pub handed: BTreeSet<u64>,
}

impl Counters {
    /// The counters of a run in which nothing has happened yet.
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

snapshot_struct!(Counters {
    hash,
    now,
    delivered,
    windows,
    handed
});

/// A simulation as it was read from a checkpoint.
pub(super) struct Restored<W: World> {
    pub counters: Counters,
    pub ready: BTreeMap<Key, W::Output>,
    pub parts: Vec<Part<W>>,
}

impl<W: World> Restored<W> {
    /// Reads a simulation and distributes its nodes and events to `shards` shards.
    pub fn load(world: &W, shards: usize, from: &mut Reader) -> Result<Self, Damaged> {
        from.mark("simulation")?;
        let restored = Self {
            counters: Counters::load(from)?,
            ready: Snapshot::load(from)?,
            parts: load_parts(world, shards, from)?,
        };
        from.mark("end of the simulation")?;
        Ok(restored)
    }
}

impl<W: World> State<'_, W> {
    /// Writes the state. All jobs have to be done.
    pub(super) fn save(&self, host: &Host<W>, mut to: Writer) -> Writer {
        if !self.waiting.is_empty() || !self.running.is_empty() {
            to.fail("a checkpoint while work is under way");
        }
        to.mark("simulation");
        let counters = Counters {
            hash: self.hash,
            now: self.now,
            delivered: self.delivered,
            windows: self.windows,
            handed: self.handed.clone(),
        };
        counters.save(&mut to);
        self.ready.save(&mut to);
        let crossing = self.crossing.iter().flatten().flatten();
        save_events::<W>(crossing, &mut to);
        to.number(host.shards() as u64);
        for shard in 0..host.shards() {
            // One shard after the other: a value that several shards share is written once.
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
