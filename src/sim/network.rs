//! What the kernel asks of a network: when a message arrives, and whether.
//!
//! A network is immutable and shared; what changes (queues, burst states) lives in the network
//! interface of each node, its [`Network::Nic`], which only the shard of that node touches.

use super::event::{NodeId, Parcel};
use crate::quantity::{Span, VirtualTime};
use crate::snapshot::Snapshot;

/// A model of the links between nodes.
pub trait Network<M>: Send + Sync + 'static {
    /// The state of one node's network interface.
    type Nic: Snapshot + Send;

    /// No message ever takes less than this from the moment it is last touched at its sender to
    /// its arrival. The kernel's windows are this long.
    fn lookahead(&self) -> Span;

    /// The interface of a node that becomes live.
    fn interface(&self, node: NodeId) -> Self::Nic;

    /// The node's handler sends a message.
    fn send(&self, nic: &mut Self::Nic, parcel: Parcel<M>, cx: &mut NetContext<'_, M>);

    /// A message sent with [`NetContext::carry`] reaches the receiving node's interface.
    fn arrive(&self, nic: &mut Self::Nic, parcel: Parcel<M>, cx: &mut NetContext<'_, M>);

    /// An alarm set with [`NetContext::alarm`] goes off.
    fn alarm(&self, nic: &mut Self::Nic, token: u64, cx: &mut NetContext<'_, M>);

    /// Calls `visit` for every message that waits inside the interface.
    fn held(&self, nic: &Self::Nic, visit: &mut dyn FnMut(&M));

    /// Whether an interface must outlast its node's sleep.
    fn remembers(&self, nic: &Self::Nic) -> bool {
        let _ = nic;
        false
    }
}

/// What an interface wants done.
pub(crate) enum NetEffect<M> {
    /// Arrives at the target's interface.
    Carry(Parcel<M>, VirtualTime),
    /// Arrives at the target's handler.
    Deliver(Parcel<M>, VirtualTime),
    Lose(Parcel<M>),
    Drop(Parcel<M>),
    /// Bytes to be counted.
    Beside {
        kind: u8,
        setup: u64,
        acks: u64,
    },
    /// A copy of a message: arrives at the target's handler, past its interface.
    Copy(Parcel<M>, VirtualTime),
    Alarm(VirtualTime, u64),
}

/// What an interface may do while it handles something.
pub struct NetContext<'a, M> {
    pub(crate) now: VirtualTime,
    pub(crate) node: NodeId,
    pub(crate) seed: u64,
    pub(crate) effects: &'a mut Vec<NetEffect<M>>,
}

impl<M> NetContext<'_, M> {
    /// The moment of virtual time.
    pub const fn now(&self) -> VirtualTime {
        self.now
    }

    /// The node whose interface this is.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The seed of the run, for streams named by message.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Puts a message on its way; it reaches the target's **interface** at `at`, which is at least
    /// the lookahead from now.
    pub fn carry(&mut self, parcel: Parcel<M>, at: VirtualTime) {
        self.effects.push(NetEffect::Carry(parcel, at));
    }

    /// Puts a message on its way past the target's interface: its handler gets it at `at`. From a
    /// sender, at least the lookahead from now; from the target's own interface, now or later.
    pub fn deliver(&mut self, parcel: Parcel<M>, at: VirtualTime) {
        self.effects.push(NetEffect::Deliver(parcel, at));
    }

    /// The message is lost.
    pub fn lose(&mut self, parcel: Parcel<M>) {
        self.effects.push(NetEffect::Lose(parcel));
    }

    /// A fault takes the message away.
    pub fn drop(&mut self, parcel: Parcel<M>) {
        self.effects.push(NetEffect::Drop(parcel));
    }

    /// Puts a copy of a message that its **sender's** interface handles on its way past the target's:
    /// the handler gets it at `at`, at least the lookahead from now. It is numbered anew.
    pub fn copy(&mut self, parcel: Parcel<M>, at: VirtualTime) {
        self.effects.push(NetEffect::Copy(parcel, at));
    }

    /// Bytes cross links beside a message of this kind and its headers: to set its connection up, and to
    /// acknowledge it.
    pub fn beside(&mut self, kind: u8, setup: u64, acks: u64) {
        self.effects.push(NetEffect::Beside { kind, setup, acks });
    }

    /// Wakes this interface at `at` (now or later) with `token`.
    pub fn alarm(&mut self, at: VirtualTime, token: u64) {
        self.effects.push(NetEffect::Alarm(at, token));
    }
}
