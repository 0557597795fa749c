//! Events and their total order.

use crate::quantity::VirtualTime;
use crate::snapshot::{snapshot_enum, snapshot_struct, Damaged, Reader, Snapshot, Writer};
use serde::Serialize;
use std::fmt;

/// The number of a node in the population, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// The total order of events, `(time, source, sequence)`. No other property of an event affects the
/// order.
///
/// A source numbers what it causes (messages, timers, jobs) from 0 upward, so no two events share a
/// key. For example, `(5 s, node 3, 17)` comes before `(5 s, node 4, 2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key {
    /// When the event is due.
    pub time: VirtualTime,
    /// The node that caused the event.
    pub source: NodeId,
    /// The number of the event among all that its source caused.
    pub sequence: u64,
}

/// A message under way, with its sender, its receiver and the time at which it was sent.
#[derive(Debug)]
pub struct Parcel<M> {
    /// The node that sent the message.
    pub source: NodeId,
    /// The node that gets the message.
    pub target: NodeId,
    /// The sender's sequence number. Together with `source` it names the message uniquely in a run.
    pub sequence: u64,
    /// When the sender's handler sent the message.
    pub sent: VirtualTime,
    /// The content of the message.
    pub message: M,
}

/// An event that is due at `key.time` on the shard that hosts `target`.
#[derive(Debug)]
pub(crate) struct Event<M, O> {
    pub key: Key,
    /// When the cause happened; for a message, when its handler sent it.
    pub sent: VirtualTime,
    pub target: NodeId,
    pub body: Body<M, O>,
}

/// The content of an event. The order of the variants has no effect; [`Body::stage`] says what comes
/// first.
#[derive(Debug)]
pub(crate) enum Body<M, O> {
    /// A message reaches the target's network interface.
    Arrive(M),
    /// The target's network interface asked to be woken, with a token of its own.
    Alarm(u64),
    /// A message reaches the target's handler.
    Deliver(M),
    /// A timer that the node set, with a token of its own.
    Timer(u64),
    /// A job that the node submitted is done; holds the output.
    Done(O),
    /// The first event of a node that starts at time zero.
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
    /// The place of the event among those of one node at one time. The network interface comes before
    /// the handlers, so that a message which it lets through at that time takes its place in the
    /// handlers' order.
    pub const fn stage(&self) -> u8 {
        match self {
            Self::Arrive(_) | Self::Alarm(_) => 0,
            _ => 1,
        }
    }
}

impl<M, O> Event<M, O> {
    /// The value by which shards sort events.
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

    /// The message with its sender and receiver, if this event carries one.
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
