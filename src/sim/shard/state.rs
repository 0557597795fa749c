//! A shard's part of a checkpoint: nodes by number and events by target, so that a run can be resumed
//! with any number of shards.

use super::super::accounting::Tally;
use super::super::event::NodeId;
use super::super::network::Network;
use super::super::node::{Message, Node, World};
use super::{Asleep, EventOf, Live, Shard, Slot};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};

/// The nodes, events and counts with which a shard resumes.
pub(crate) struct Part<W: World> {
    slots: Vec<(usize, Slot<W>)>,
    events: Vec<EventOf<W>>,
    tallies: Vec<Tally>,
}

impl<W: World> Part<W> {
    fn new() -> Self {
        Self {
            slots: Vec::new(),
            events: Vec::new(),
            tallies: vec![Tally::default(); W::Message::KINDS.len()],
        }
    }
}

impl<W: World> Shard<W> {
    /// Writes the shard's state between two windows. Nodes that never had an event take no space.
    pub fn save(&self, to: &mut Writer) {
        if !self.deferred.is_empty() || !self.current.is_empty() || !self.local.is_empty() {
            to.fail("a checkpoint in the midst of a window");
        }
        to.mark("shard");
        to.list(&self.tallies);
        to.number(self.queue.iter().count() as u64);
        self.queue.iter().for_each(|event| event.save(to));
        let awake = self.slots.iter().enumerate();
        let awake = awake.filter(|(_, slot)| !matches!(slot, Slot::Dormant));
        to.number(awake.clone().count() as u64);
        for (index, slot) in awake {
            NodeId((index * self.shards + self.index) as u32).save(to);
            slot.save(to);
        }
    }

    /// Takes nodes and events that were those of one other shard or of several.
    pub fn restore(&mut self, part: Part<W>) {
        for (index, slot) in part.slots {
            if let Some(place) = self.slots.get_mut(index) {
                *place = slot;
            }
        }
        for event in part.events {
            self.queue.push(event);
        }
        self.tallies = part.tallies;
    }

    /// The window of the earliest event.
    pub fn next_window(&mut self) -> Option<u64> {
        self.queue.next_window()
    }
}

impl<W: World> Slot<W> {
    fn save(&self, to: &mut Writer) {
        match self {
            Self::Dormant => to.tag(0),
            Self::Live(live) => {
                to.tag(1);
                live.save(to);
            }
            Self::Asleep(asleep) => {
                to.tag(2);
                to.number(asleep.sequence);
                asleep.kept.save(to);
                asleep.nic.save(to);
            }
            Self::Crashed => to.tag(3),
        }
    }

    fn load(world: &W, id: NodeId, from: &mut Reader) -> Result<Self, Damaged> {
        Ok(match from.tag()? {
            0 => Self::Dormant,
            1 => Self::Live(Box::new(Live::load(world, id, from)?)),
            2 => Self::Asleep(Box::new(Asleep {
                sequence: from.number()?,
                kept: world.restore_kept(from)?,
                nic: Snapshot::load(from)?,
            })),
            3 => Self::Crashed,
            other => return Err(Damaged::new(format!("{other} is no state of a node"))),
        })
    }
}

impl<W: World> Live<W> {
    fn save(&self, to: &mut Writer) {
        let Self {
            node,
            nic,
            sequence,
            pending,
            resting,
            blocked,
        } = self;
        sequence.save(to);
        pending.save(to);
        resting.save(to);
        blocked.save(to);
        nic.save(to);
        node.save(to);
        to.mark("node");
    }

    fn load(world: &W, id: NodeId, from: &mut Reader) -> Result<Self, Damaged> {
        let live = Self {
            sequence: Snapshot::load(from)?,
            pending: Snapshot::load(from)?,
            resting: Snapshot::load(from)?,
            blocked: Snapshot::load(from)?,
            nic: <W::Network as Network<W::Message>>::Nic::load(from)?,
            node: world.restore(id, from)?,
        };
        from.mark("node")?;
        Ok(live)
    }
}

/// Writes events that are on their way between shards.
pub(crate) fn save_events<'a, W: World>(
    events: impl Iterator<Item = &'a EventOf<W>> + Clone,
    to: &mut Writer,
) {
    to.number(events.clone().count() as u64);
    events.for_each(|event| event.save(to));
}

/// Reads what `written` shards wrote and distributes it to `shards` shards.
pub(crate) fn load_parts<W: World>(
    world: &W,
    shards: usize,
    from: &mut Reader,
) -> Result<Vec<Part<W>>, Damaged> {
    let mut parts: Vec<Part<W>> = (0..shards).map(|_| Part::new()).collect();
    let population = world.population();
    let known = |id: NodeId| match id.0 < population {
        true => Ok(id),
        false => Err(Damaged::new(format!(
            "{id}, where there are {population} nodes"
        ))),
    };
    let load_events = |parts: &mut Vec<Part<W>>, from: &mut Reader| -> Result<(), Damaged> {
        for _ in 0..from.length()? {
            let event = EventOf::<W>::load(from)?;
            // A message to a node that does not exist lies in some shard too, where it will be dropped.
            parts[Shard::<W>::home(event.target, shards)]
                .events
                .push(event);
        }
        Ok(())
    };
    load_events(&mut parts, from)?;
    for _ in 0..from.length()? {
        from.mark("shard")?;
        let tallies: Vec<Tally> = from.list()?;
        // Only the sums of the counts matter, so one shard gets them all.
        for (sum, tally) in parts[0].tallies.iter_mut().zip(&tallies) {
            sum.add(tally);
        }
        load_events(&mut parts, from)?;
        for _ in 0..from.length()? {
            let id = known(NodeId::load(from)?)?;
            let slot = Slot::load(world, id, from)?;
            let home = Shard::<W>::home(id, shards);
            parts[home].slots.push((id.0 as usize / shards, slot));
        }
    }
    Ok(parts)
}
