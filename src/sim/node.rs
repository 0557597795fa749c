//! Nodes, the world that makes them, and what a handler may do.

use super::event::NodeId;
use super::hash::Digest;
use super::network::Network;
use super::rng::{stream, Purpose, Stream};
use super::stack::Stack;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};

/// What nodes say to each other.
pub trait Message: Digest + Snapshot + Send + 'static {
    /// The names of the kinds of message, for accounting.
    const KINDS: &'static [&'static str];

    /// Which kind this is: an index into [`Message::KINDS`].
    fn kind(&self) -> u8;

    /// Its exact size on the wire.
    fn wire_bytes(&self) -> Bytes;
}

/// The outcome of real work; a job whose worker died twice has an outcome too.
pub trait Outcome: Digest + Snapshot + Send + 'static {
    /// What the node gets when the work panicked on two workers in a row.
    fn failed(reason: String) -> Self;
}

impl Outcome for () {
    fn failed(_: String) -> Self {}
}

/// Everything the kernel is told about what it simulates.
pub trait World: Sized + Send + Sync + 'static {
    /// What nodes say to each other.
    type Message: Message;
    /// A live node.
    type Node: Node<Self>;
    /// What a node keeps while it is dormant.
    type Kept: Snapshot + Send + 'static;
    /// The network between the nodes.
    type Network: Network<Self::Message>;
    /// Real work that nodes submit: a pure function of its content.
    type Job: Send + 'static;
    /// What a job gives.
    type Output: Outcome;
    /// What nodes report to the recorder.
    type Record: Digest + Send + 'static;

    /// How many nodes there are, dormant ones included.
    fn population(&self) -> u32;

    /// The nodes that get [`Input::Start`] at time zero; all others wait for a message.
    fn starters(&self) -> Vec<NodeId>;

    /// The network.
    fn network(&self) -> &Self::Network;

    /// Makes the node live: for the first time, or with what it kept when it went dormant.
    fn wake(&self, id: NodeId, kept: Option<Self::Kept>) -> Self::Node;

    /// Makes a live node of what [`Node::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are not those of such a node.
    fn restore(&self, id: NodeId, from: &mut Reader) -> Result<Self::Node, Damaged>;

    /// What a dormant node keeps, as read from a checkpoint.
    ///
    /// # Errors
    /// When the bytes are not those of such a thing.
    fn restore_kept(&self, from: &mut Reader) -> Result<Self::Kept, Damaged> {
        Self::Kept::load(from)
    }

    /// Called in place of a crashed node's handler: a record of the crash for the recorder.
    fn crashed(&self, id: NodeId, at: VirtualTime, reason: &str) -> Option<Self::Record>;

    /// Called when a message is copied on its way, or will not arrive: a record for the recorder, which
    /// must be one that does not enter the trace hash ([`Digest::counts`]).
    fn fate(
        &self,
        _: Fate,
        (_from, _to): (NodeId, NodeId),
        _: &Self::Message,
    ) -> Option<Self::Record> {
        None
    }

    /// Called for every node that ever woke when the run has ended or was interrupted, where the
    /// recorder asks for it ([`super::Observe`]): hands `tell` what the recorder is to know of the node as
    /// it is left. `tell` says whether anybody still listens. What is told here is past the end of the
    /// trace hash.
    ///
    /// # Errors
    /// Why it cannot be told, in words; the run then fails.
    fn left(
        &self,
        _: NodeId,
        _: Left<'_, Self>,
        _: &mut dyn FnMut(Self::Record) -> bool,
    ) -> Result<(), String> {
        Ok(())
    }

    /// Whether a node is down: what reaches it then is dropped. It must follow from the node and the
    /// moment alone.
    fn is_down(&self, _: NodeId, _: VirtualTime) -> bool {
        false
    }

    /// How a job may run with others that are pending; `None` if it runs alone. It must follow from
    /// the job and from what is fixed for the run.
    fn stack(&self, _: &Self::Job) -> Option<Stack> {
        None
    }
}

/// A node as the end of a run finds it.
pub enum Left<'a, W: World> {
    /// Live.
    Awake(&'a W::Node),
    /// Dormant, with what it kept.
    Asleep(&'a W::Kept),
}

/// What becomes of a message on its way, other than that it arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// There is one more of it.
    Copied,
    /// It was lost or dropped.
    Gone,
}

/// What happens to a node.
#[derive(Debug)]
pub enum Input<M, O> {
    /// Time zero, for the nodes that start by themselves.
    Start,
    /// A message.
    Message {
        /// Who sent it.
        from: NodeId,
        /// When it was sent.
        sent: VirtualTime,
        /// What it says.
        message: M,
    },
    /// A timer, with the token given when it was set.
    Timer(u64),
    /// Work is done.
    Done {
        /// What [`Context::work`] returned.
        job: JobId,
        /// What came of it.
        output: O,
    },
}

/// A piece of work, by the sequence number its node gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

impl Snapshot for JobId {
    fn save(&self, to: &mut Writer) {
        to.number(self.0);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        from.number().map(Self)
    }
}

/// One actor: a synchronous state machine, testable without the kernel.
pub trait Node<W: World<Node = Self>>: Send {
    /// Handles one event. A panic is this node's crash: its effects in this handler are undone,
    /// and what is sent to it from now on is dropped.
    fn on(&mut self, input: Input<W::Message, W::Output>, cx: &mut Context<'_, W>);

    /// Becomes dormant: only what is returned survives.
    fn rest(self) -> W::Kept;

    /// Writes all that its future depends on to a checkpoint; [`World::restore`] reads it.
    fn save(&self, to: &mut Writer);

    /// Whom or what this node waits for; the text of a wedged run's error.
    fn waiting_for(&self) -> Option<String>;
}

/// What a handler wants done once it has returned.
pub(crate) enum Effect<W: World> {
    Send(NodeId, W::Message, u64),
    Tell(NodeId, W::Message, u64),
    Timer(VirtualTime, u64, u64),
    Work(VirtualTime, W::Job, u64),
    Record(W::Record),
}

/// Sequences of timers outside a node's numbering have this bit.
const BESIDE: u64 = 1 << 62;

/// What a handler may do.
pub struct Context<'a, W: World> {
    pub(crate) now: VirtualTime,
    pub(crate) id: NodeId,
    pub(crate) seed: u64,
    pub(crate) sequence: &'a mut u64,
    pub(crate) effects: &'a mut Vec<Effect<W>>,
    pub(crate) rest: &'a mut bool,
    pub(crate) finish: &'a mut bool,
    pub(crate) checkpoint: &'a mut bool,
}

impl<W: World> Context<'_, W> {
    /// The moment of virtual time.
    pub const fn now(&self) -> VirtualTime {
        self.now
    }

    /// The node whose handler this is.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    fn next_sequence(&mut self) -> u64 {
        let sequence = *self.sequence;
        *self.sequence += 1;
        sequence
    }

    /// Hands a message to the network.
    pub fn send(&mut self, to: NodeId, message: W::Message) {
        let sequence = self.next_sequence();
        self.effects.push(Effect::Send(to, message, sequence));
    }

    /// Tells another node something past the network, for observation: it comes after the network's
    /// lookahead, takes no bytes of any link and meets no loss and no fault of one. It is accounted for
    /// as any message.
    pub fn tell(&mut self, to: NodeId, message: W::Message) {
        let sequence = self.next_sequence();
        self.effects.push(Effect::Tell(to, message, sequence));
    }

    /// Wakes this node after `after` with `token`. A timer is not cancelled: ignore its token.
    pub fn timer(&mut self, after: Span, token: u64) {
        let sequence = self.next_sequence();
        self.effects
            .push(Effect::Timer(self.now + after, token, sequence));
    }

    /// The same outside this node's numbering, so that all else it does is named and drawn as it
    /// would be without. `number` is another one each time, below 2⁶².
    pub fn timer_beside(&mut self, after: Span, token: u64, number: u64) {
        let sequence = BESIDE | number;
        self.effects
            .push(Effect::Timer(self.now + after, token, sequence));
    }

    /// Submits real work that takes `duration` of virtual time; its outcome comes as
    /// [`Input::Done`] at the end of it.
    pub fn work(&mut self, job: W::Job, duration: Span) -> JobId {
        let sequence = self.next_sequence();
        self.effects
            .push(Effect::Work(self.now + duration, job, sequence));
        JobId(sequence)
    }

    /// Passes over the numbers of `count` things that are not done, so that all else is named and
    /// drawn as if they were.
    pub fn pass_over(&mut self, count: u64) {
        *self.sequence += count;
    }

    /// Reports to the recorder; enters the trace hash.
    pub fn record(&mut self, record: W::Record) {
        self.effects.push(Effect::Record(record));
    }

    /// A stream of this node's own that no other call ever gets.
    pub fn rng(&mut self, purpose: Purpose) -> Stream {
        let sequence = self.next_sequence();
        stream(self.seed, u64::from(self.id.0), purpose, sequence)
    }

    /// Lets this node become dormant once it has no timer, work or outgoing message pending.
    pub fn rest(&mut self) {
        *self.rest = true;
    }

    /// Asks for a checkpoint at the end of this window. It changes nothing that happens.
    pub fn checkpoint(&mut self) {
        *self.checkpoint = true;
    }

    /// The schedule is done: the run ends with this window.
    pub fn finish(&mut self) {
        *self.finish = true;
    }
}
