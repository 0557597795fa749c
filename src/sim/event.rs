//! Events and the one order that they have.

use crate::quantity::VirtualTime;
use crate::snapshot::{snapshot_enum, snapshot_struct, Damaged, Reader, Snapshot, Writer};
use serde::Serialize;
use std::fmt;

/// The number of a node: its place in the population, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// `(time, source, sequence)`: the total order of events. Nothing else orders anything.
///
/// A source numbers what it causes (messages, timers, work) from 0 upward, so no two events share
/// a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// When the event is due.
    pub time: VirtualTime,
    /// The node that caused it.
    pub source: NodeId,
    /// The cause's number at its source.
    pub sequence: u64,
}

/// A message under way, from the handler that sent it to the one that will get it.
#[derive(Debug)]
pub struct Parcel<M> {
    /// Who sent it.
    pub source: NodeId,
    /// Who will get it.
    pub target: NodeId,
    /// The sender's sequence number; with `source` it names the message for ever.
    pub sequence: u64,
    /// When the handler sent it.
    pub sent: VirtualTime,
    /// What it says.
    pub message: M,
}

/// Something due at `key.time` on the shard that hosts `target`.
#[derive(Debug)]
pub(crate) struct Event<M, O> {
    pub key: Key,
    /// When the cause happened; for a message, when its handler sent it.
    pub sent: VirtualTime,
    pub target: NodeId,
    pub body: Body<M, O>,
}

/// What an event is. The order of the variants is of no consequence; [`Body::stage`] is.
#[derive(Debug)]
pub(crate) enum Body<M, O> {
    /// A message reaches the target's network interface.
    Arrive(M),
    /// The target's network interface asked to be woken, with its own token.
    Alarm(u64),
    /// A message reaches the target's handler.
    Deliver(M),
    /// A timer that the node set, with its own token.
    Timer(u64),
    /// Work that the node submitted is done.
    Done(O),
    /// The first event of a node that starts by itself.
    Start,
}

impl Snapshot for NodeId {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        u32::load(from).map(Self)
    }
}

snapshot_struct!(Key {
    time,
    source,
    sequence
});

snapshot_struct!(impl<M> Parcel<M> { source, target, sequence, sent, message });

snapshot_struct!(impl<M, O> Event<M, O> { key, sent, target, body });

snapshot_enum!(impl<M, O> Body<M, O> {
    0 => Arrive(message),
    1 => Alarm(token),
    2 => Deliver(message),
    3 => Timer(token),
    4 => Done(output),
    5 => Start,
});

impl<M, O> Body<M, O> {
    /// At one timestamp a node's network interface moves before its handlers do, so that what it
    /// lets through at that time takes its place in the handlers' order.
    pub const fn stage(&self) -> u8 {
        match self {
            Self::Arrive(_) | Self::Alarm(_) => 0,
            _ => 1,
        }
    }
}

impl<M, O> Event<M, O> {
    /// What shards sort by.
    pub fn rank(&self) -> (VirtualTime, u8, NodeId, u64) {
        (
            self.key.time,
            self.body.stage(),
            self.key.source,
            self.key.sequence,
        )
    }

    /// Whether this event carries a message.
    pub const fn is_message(&self) -> bool {
        matches!(self.body, Body::Arrive(_) | Body::Deliver(_))
    }

    /// The message and its envelope, if this event carries one.
    pub fn into_parcel(self) -> Option<Parcel<M>> {
        match self.body {
            Body::Arrive(message) | Body::Deliver(message) => Some(Parcel {
                source: self.key.source,
                target: self.target,
                sequence: self.key.sequence,
                sent: self.sent,
                message,
            }),
            _ => None,
        }
    }
}
