//! Nodes, the world that makes them, and what a handler can do.

use super::event::NodeId;
use super::hash::Digest;
use super::network::Network;
use super::rng::{stream, Purpose, Stream};
use super::stack::Stack;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};

/// The content of a message between nodes.
pub trait Message: Digest + Snapshot + Send + 'static {
    /// The names of the kinds of message, for accounting.
    const KINDS: &'static [&'static str] = &["message"];

    /// The kind of this message, as an index into [`Message::KINDS`].
    fn kind(&self) -> u8 {
        0
    }

    /// The exact size of this message on the wire.
    fn wire_bytes(&self) -> Bytes;
}

/// A number is a message of eight bytes, for models that need no more.
impl Message for u64 {
    fn wire_bytes(&self) -> Bytes {
        Bytes(8)
    }
}

/// The output of a job. A job that fails has an output too.
pub trait Outcome: Digest + Snapshot + Send + 'static {
    /// The output that the node gets when the job panicked on two executors in a row; `reason` says
    /// why.
    fn failed(reason: String) -> Self;
}

impl Outcome for () {
    fn failed(_: String) -> Self {}
}

/// Everything that the kernel has to know about what it simulates.
pub trait World: Sized + Send + Sync + 'static {
    /// The messages between nodes.
    type Message: Message;
    /// A node that is awake.
    type Node: Node<Self>;
    /// What a node keeps while it is dormant.
    type Kept: Snapshot + Send + 'static;
    /// The network between the nodes.
    type Network: Network<Self::Message>;
    /// A job: real computation that nodes submit to device workers. It has to be a pure function of its
    /// content.
    type Job: Send + 'static;
    /// The output of a job.
    type Output: Outcome;
    /// What nodes report to the recorder.
    type Record: Digest + Send + 'static;

    /// The number of nodes, dormant ones included.
    fn population(&self) -> u32;

    /// The nodes that get [`Input::Start`] at time zero; all other nodes wait for a message. Node 0,
    /// unless a world says otherwise.
    fn starters(&self) -> Vec<NodeId> {
        vec![NodeId(0)]
    }

    /// The network between the nodes.
    fn network(&self) -> &Self::Network;

    /// Wakes a node: for the first time, or with what it kept when it went dormant.
    fn wake(&self, id: NodeId, kept: Option<Self::Kept>) -> Self::Node;

    /// Reads a node that was awake, as [`Node::save`] wrote it to a checkpoint.
    ///
    /// # Errors
    /// Returns [`Damaged`] when the bytes are not those of such a node.
    fn restore(&self, id: NodeId, from: &mut Reader) -> Result<Self::Node, Damaged>;

    /// Reads from a checkpoint what a dormant node keeps.
    ///
    /// # Errors
    /// Returns [`Damaged`] when the bytes are not those of such a value.
    fn restore_kept(&self, from: &mut Reader) -> Result<Self::Kept, Damaged> {
        Self::Kept::load(from)
    }

    /// Called when the handler of a node has panicked: makes a record of the crash for the recorder.
    fn crashed(&self, _: NodeId, _at: VirtualTime, _reason: &str) -> Option<Self::Record> {
        None
    }

    /// Called when a message is copied on its way, or will not arrive: makes a record for the recorder,
    /// which must be one that does not enter the trace hash ([`Digest::counts`]).
    fn fate(
        &self,
        _: Fate,
        (_from, _to): (NodeId, NodeId),
        _: &Self::Message,
    ) -> Option<Self::Record> {
        None
    }

    /// Called at the end of a run, finished or interrupted, for every node that ever woke, where the
    /// recorder asks for it ([`super::Observe`]). It passes records of the node's final state to
    /// `tell`, which returns false once nobody listens any more. These records come after the end of
    /// the trace hash.
    ///
    /// # Errors
    /// Returns in words why the state cannot be reported; the run then fails.
    fn left(
        &self,
        _: NodeId,
        _: Left<'_, Self>,
        _: &mut dyn FnMut(Self::Record) -> bool,
    ) -> Result<(), String> {
        Ok(())
    }

    /// Whether a node is down at a moment; a message that reaches a node which is down is dropped. The
    /// answer must follow from the node and the moment alone.
    fn is_down(&self, _: NodeId, _: VirtualTime) -> bool {
        false
    }

    /// How a job may run together with other pending jobs; `None` if it runs alone. The answer must
    /// follow from the job and from what is fixed for the run.
    fn stack(&self, _: &Self::Job) -> Option<Stack> {
        None
    }
}

/// The state of a node at the end of a run.
pub enum Left<'a, W: World> {
    /// The node is awake.
    Awake(&'a W::Node),
    /// The node is dormant; holds what it kept.
    Asleep(&'a W::Kept),
}

/// What becomes of a message on its way, other than its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The network made one more copy of the message.
    Copied,
    /// The message was lost or dropped.
    Gone,
}

/// An event as a node's handler gets it.
#[derive(Debug)]
pub enum Input<M, O> {
    /// The run begins, at time zero; only for the nodes that start by themselves.
    Start,
    /// A message arrived at the node.
    Message {
        /// The node that sent the message.
        from: NodeId,
        /// When the message was sent.
        sent: VirtualTime,
        /// The content of the message.
        message: M,
    },
    /// A timer went off; holds the token given when it was set.
    Timer(u64),
    /// A job is done.
    Done {
        /// The identifier that [`Context::work`] returned.
        job: JobId,
        /// The output of the job.
        output: O,
    },
}

/// A job, identified by the sequence number that its node gave it.
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

/// One actor: a synchronous state machine, which can be tested without the kernel.
pub trait Node<W: World<Node = Self>>: Send {
    /// Handles one event. If the handler panics, the node crashes: the effects of this call are undone,
    /// and messages sent to the node from then on are dropped.
    fn on(&mut self, input: Input<W::Message, W::Output>, cx: &mut Context<'_, W>);

    /// Becomes dormant: only the returned value survives.
    fn rest(self) -> W::Kept;

    /// Writes everything on which the node's future depends to a checkpoint; [`World::restore`] reads
    /// it.
    fn save(&self, to: &mut Writer);

    /// What this node waits for, in words, for the error of a run in which nothing is pending any more.
    fn waiting_for(&self) -> Option<String> {
        None
    }
}

/// What a handler asked for, to be carried out once it has returned.
pub(crate) enum Effect<W: World> {
    Send(NodeId, W::Message, u64),
    Tell(NodeId, W::Message, u64),
    Timer(VirtualTime, u64, u64),
    Work(VirtualTime, W::Job, u64),
    Record(W::Record),
}

/// A bit set in the sequence numbers of timers outside a node's own numbering.
const BESIDE: u64 = 1 << 62;

/// What a handler can do while it handles an event.
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
    /// The current virtual time.
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

    /// Sends a message to another node without the network, for observation. The message arrives after
    /// the network's lookahead, takes no bytes of any link, and meets no loss and no fault of a link.
    /// It is counted like any other message.
    pub fn tell(&mut self, to: NodeId, message: W::Message) {
        let sequence = self.next_sequence();
        self.effects.push(Effect::Tell(to, message, sequence));
    }

    /// Wakes this node after `after` with `token`. A timer cannot be cancelled; the handler ignores a
    /// token that it no longer wants.
    pub fn timer(&mut self, after: Span, token: u64) {
        let sequence = self.next_sequence();
        self.effects
            .push(Effect::Timer(self.now + after, token, sequence));
    }

    /// Sets a timer outside this node's numbering, so that everything else the node does has the
    /// sequence numbers and random draws that it would have without the timer. `number` has to be a
    /// different one each time, below 2⁶².
    pub fn timer_beside(&mut self, after: Span, token: u64, number: u64) {
        let sequence = BESIDE | number;
        self.effects
            .push(Effect::Timer(self.now + after, token, sequence));
    }

    /// Submits a job that takes `duration` of virtual time; its output comes as [`Input::Done`] when
    /// that time has passed.
    pub fn work(&mut self, job: W::Job, duration: Span) -> JobId {
        let sequence = self.next_sequence();
        self.effects
            .push(Effect::Work(self.now + duration, job, sequence));
        JobId(sequence)
    }

    /// Skips `count` sequence numbers, as if `count` messages, timers or jobs had taken them, so that
    /// everything else has the numbers and random draws that it would have in a run with them.
    pub fn pass_over(&mut self, count: u64) {
        *self.sequence += count;
    }

    /// Reports to the recorder; the record enters the trace hash unless [`Digest::counts`] says
    /// otherwise.
    pub fn record(&mut self, record: W::Record) {
        self.effects.push(Effect::Record(record));
    }

    /// A random stream for this node that no other call gets.
    pub fn rng(&mut self, purpose: Purpose) -> Stream {
        let sequence = self.next_sequence();
        stream(self.seed, u64::from(self.id.0), purpose, sequence)
    }

    /// Lets this node become dormant once it has no timer, job or outgoing message pending.
    pub fn rest(&mut self) {
        *self.rest = true;
    }

    /// Asks for a checkpoint at the end of this window. The request changes nothing else in the run.
    pub fn checkpoint(&mut self) {
        *self.checkpoint = true;
    }

    /// Reports that the schedule is done: the run ends with this window.
    pub fn finish(&mut self) {
        *self.finish = true;
    }
}
