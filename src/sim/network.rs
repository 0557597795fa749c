//! What the kernel asks of a network: whether a message arrives, and when.
//!
//! A network is immutable and shared by all shards. The state that changes (queues, bursts of losses)
//! is in the network interface of each node, its [`Network::Nic`], which only the shard of that node
//! uses.

use super::event::{NodeId, Parcel};
use crate::quantity::{Span, VirtualTime};
use crate::snapshot::Snapshot;

/// A model of the links between nodes, for messages of type `M`.
pub trait Network<M>: Send + Sync + 'static {
    /// The state of one node's network interface.
    type Nic: Snapshot + Send;

    /// The lookahead: no message takes less time than this from the last moment at which its sender's
    /// interface handles it until its arrival. The kernel's windows are as long as the lookahead.
    fn lookahead(&self) -> Span;

    /// Makes the interface of a node that wakes.
    fn interface(&self, node: NodeId) -> Self::Nic;

    /// Called when the node's handler sends a message.
    fn send(&self, nic: &mut Self::Nic, parcel: Parcel<M>, cx: &mut NetContext<'_, M>);

    /// Called when a message sent with [`NetContext::carry`] reaches the interface of the receiving
    /// node.
    fn arrive(&self, nic: &mut Self::Nic, parcel: Parcel<M>, cx: &mut NetContext<'_, M>);

    /// Called when an alarm set with [`NetContext::alarm`] goes off.
    fn alarm(&self, nic: &mut Self::Nic, token: u64, cx: &mut NetContext<'_, M>);

    /// Calls `visit` for every message that waits inside the interface.
    fn held(&self, nic: &Self::Nic, visit: &mut dyn FnMut(&M));

    /// Whether the interface has state that must be kept while its node is dormant.
    fn remembers(&self, nic: &Self::Nic) -> bool {
        let _ = nic;
        false
    }
}

/// What an interface asked for while it handled something.
pub(crate) enum NetEffect<M> {
    /// The message arrives at the target's interface at the time given.
    Carry(Parcel<M>, VirtualTime),
    /// The message arrives at the target's handler at the time given.
    Deliver(Parcel<M>, VirtualTime),
    Lose(Parcel<M>),
    Drop(Parcel<M>),
    /// Bytes to be counted that belong to no message's content.
    Beside {
        kind: u8,
        setup: u64,
        acks: u64,
    },
    /// A copy of a message, which arrives at the target's handler without passing the target's
    /// interface.
    Copy(Parcel<M>, VirtualTime),
    Alarm(VirtualTime, u64),
}

/// What an interface can do while it handles a message or an alarm.
pub struct NetContext<'a, M> {
    pub(crate) now: VirtualTime,
    pub(crate) node: NodeId,
    pub(crate) seed: u64,
    pub(crate) effects: &'a mut Vec<NetEffect<M>>,
}

impl<M> NetContext<'_, M> {
    /// The current virtual time.
    pub const fn now(&self) -> VirtualTime {
        self.now
    }

    /// The node whose interface this is.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The seed of the run, for random streams that are named by a message.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Puts a message on its way. It reaches the target's **interface** at `at`, which is at least the
    /// lookahead from now.
    pub fn carry(&mut self, parcel: Parcel<M>, at: VirtualTime) {
        self.effects.push(NetEffect::Carry(parcel, at));
    }

    /// Puts a message on its way past the target's interface: the target's handler gets the message at
    /// `at`. From a sender, `at` is at least the lookahead from now; from the target's own interface,
    /// it is now or later.
    pub fn deliver(&mut self, parcel: Parcel<M>, at: VirtualTime) {
        self.effects.push(NetEffect::Deliver(parcel, at));
    }

    /// Reports that the message is lost.
    pub fn lose(&mut self, parcel: Parcel<M>) {
        self.effects.push(NetEffect::Lose(parcel));
    }

    /// Reports that a fault takes the message away.
    pub fn drop(&mut self, parcel: Parcel<M>) {
        self.effects.push(NetEffect::Drop(parcel));
    }

    /// Puts a copy of a message on its way past the target's interface, while the **sender's**
    /// interface handles the message. The target's handler gets the copy at `at`, at least the
    /// lookahead from now. The copy gets a sequence number of its own.
    pub fn copy(&mut self, parcel: Parcel<M>, at: VirtualTime) {
        self.effects.push(NetEffect::Copy(parcel, at));
    }

    /// Counts bytes that cross links beside the messages of this kind and their headers: `setup` bytes
    /// that set up a connection, and `acks` bytes of acknowledgements.
    pub fn beside(&mut self, kind: u8, setup: u64, acks: u64) {
        self.effects.push(NetEffect::Beside { kind, setup, acks });
    }

    /// Wakes this interface at `at` (now or later) with `token`.
    pub fn alarm(&mut self, at: VirtualTime, token: u64) {
        self.effects.push(NetEffect::Alarm(at, token));
    }
}
