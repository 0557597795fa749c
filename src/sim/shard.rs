//! A shard: a share of the nodes, their event queue, and the loop that hands nodes their events.
//!
//! The nodes of a shard lie in a slab here. Each node is still an actor in all that matters: it has its
//! own state, its own events in order, its own streams and its own failure. What actix schedules is the
//! shard; `docs/architecture.md` has the measurement behind that choice. The submodule `effects`
//! carries out what handlers and interfaces asked for; `state` writes and reads a shard's part of a
//! checkpoint.

mod effects;
mod state;

pub(super) use state::{load_parts, save_events, Part};

use super::accounting::Tally;
use super::crash::guarded;
use super::event::{Body, Event, Key, NodeId, Parcel};
use super::hash::{event_digest, Digest};
use super::network::{NetContext, NetEffect, Network};
use super::node::{Context, Effect, Input, JobId, Left, Message, Node, World};
use super::queue::EventQueue;
use super::recorder::{Delivery, Observe};
use crate::quantity::{Bytes, VirtualTime};
use crossbeam::channel::Sender;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

/// The state in which a shard keeps a node.
enum Slot<W: World> {
    /// The node has never had an event.
    Dormant,
    Live(Box<Live<W>>),
    Asleep(Box<Asleep<W>>),
    Crashed,
}

struct Live<W: World> {
    node: W::Node,
    nic: <W::Network as Network<W::Message>>::Nic,
    /// The sequence number of the next message, timer or job that this node causes.
    sequence: u64,
    /// Timers and jobs that are not yet due.
    pending: u32,
    /// Whether the node asked to become dormant once nothing is pending.
    resting: bool,
    /// The job due inside the window being run, if there is one: the node's later events wait for it.
    blocked: Option<Key>,
}

struct Asleep<W: World> {
    kept: W::Kept,
    /// The interface, where it has state to be kept.
    nic: Option<<W::Network as Network<W::Message>>::Nic>,
    sequence: u64,
}

type BodyOf<W> = Body<<W as World>::Message, <W as World>::Output>;
pub(crate) type EventOf<W> = Event<<W as World>::Message, <W as World>::Output>;

/// A job on its way to a device worker; `due` identifies it.
pub(crate) struct Submitted<J> {
    pub due: Key,
    pub job: J,
}

/// A command to a shard: run a window, or go on with one.
pub(crate) struct Command<W: World> {
    pub window: u64,
    /// Whether to go on with the window after jobs: no other new events join it, not even at zero
    /// lookahead.
    pub resumed: bool,
    /// The last window to run if nothing needs the conductor before.
    pub until: u64,
    /// Events from other shards.
    pub incoming: Vec<Vec<EventOf<W>>>,
    /// Outputs of all jobs due up to `until`.
    pub done: Vec<EventOf<W>>,
}

/// A shard that runs on through windows returns once it has this many records and deliveries to report,
/// so that a report stays small.
const FULL: usize = 1 << 14;

/// A shard's report to the conductor after a window, or after several.
pub(crate) struct WindowDone<W: World> {
    pub shard: usize,
    /// Events for other shards, by shard, with the earliest window among them.
    pub outgoing: Vec<(Vec<EventOf<W>>, u64)>,
    pub jobs: Vec<Submitted<W::Job>>,
    /// Records in the order of the events that caused them.
    pub records: Vec<(Key, W::Record)>,
    /// The deliveries in order, if the recorder asked for them.
    pub deliveries: Vec<Delivery>,
    /// The windows run, each with the wrapping sum of the digests of its deliveries.
    pub windows: Vec<(u64, u64)>,
    pub delivered: u64,
    /// The window of the earliest waiting event.
    pub next: Option<u64>,
    pub finish: bool,
    /// Whether a node asked for a checkpoint.
    pub checkpoint: bool,
}

/// An event of the window being run that this shard's own nodes caused.
struct Local<W: World>(EventOf<W>);

impl<W: World> PartialEq for Local<W> {
    fn eq(&self, other: &Self) -> bool {
        self.0.rank() == other.0.rank()
    }
}
impl<W: World> Eq for Local<W> {}
impl<W: World> PartialOrd for Local<W> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<W: World> Ord for Local<W> {
    /// The order is reversed, so that the top of the heap is the earliest event.
    fn cmp(&self, other: &Self) -> Ordering {
        other.0.rank().cmp(&self.0.rank())
    }
}

pub(crate) struct Shard<W: World> {
    world: Arc<W>,
    seed: u64,
    index: usize,
    shards: usize,
    slots: Vec<Slot<W>>,
    queue: EventQueue<W::Message, W::Output>,
    observe: Observe,
    pub tallies: Vec<Tally>,

    // The window being run.
    window: u64,
    /// The wrapping sum of the digests of the window's deliveries.
    digest: u64,
    /// The sorted events of the window, the latest first: the next event is taken off the end.
    current: Vec<EventOf<W>>,
    local: BinaryHeap<Local<W>>,
    deferred: Vec<EventOf<W>>,
    /// The event being handled: the index of its node, and the key for records if there is one.
    handling: Option<(usize, Key)>,
    effects: Vec<Effect<W>>,
    net_effects: Vec<NetEffect<W::Message>>,
    report: WindowDone<W>,
}

impl<W: World> Shard<W> {
    pub fn new(world: Arc<W>, seed: u64, index: usize, shards: usize, observe: Observe) -> Self {
        let population = world.population() as usize;
        let hosted = (population + shards - 1 - index) / shards;
        let kinds = W::Message::KINDS.len();
        Self {
            seed,
            index,
            shards,
            slots: (0..hosted).map(|_| Slot::Dormant).collect(),
            queue: EventQueue::new(world.network().lookahead()),
            observe,
            tallies: vec![Tally::default(); kinds],
            window: 0,
            digest: 0,
            current: Vec::new(),
            local: BinaryHeap::new(),
            deferred: Vec::new(),
            handling: None,
            effects: Vec::new(),
            net_effects: Vec::new(),
            report: WindowDone::empty(index, shards),
            world,
        }
    }

    /// The index of the shard that hosts a node.
    pub const fn home(node: NodeId, shards: usize) -> usize {
        node.0 as usize % shards
    }

    /// Queues the starts of nodes; returns the window of the earliest event, before the first command.
    pub fn prime(&mut self) -> Option<u64> {
        for id in self.world.starters() {
            if Self::home(id, self.shards) == self.index {
                self.queue.push(Event {
                    key: Key {
                        time: VirtualTime::ZERO,
                        source: id,
                        // Handlers number what they cause from 0 upward; the start needs a number that
                        // they never use.
                        sequence: u64::MAX,
                    },
                    sent: VirtualTime::ZERO,
                    target: id,
                    body: Body::Start,
                });
            }
        }
        self.queue.next_window()
    }

    /// Runs a window, or goes on with the one whose jobs are done; then runs later windows, up to the
    /// command's limit.
    pub fn run(&mut self, command: Command<W>) -> WindowDone<W> {
        for batch in command.incoming {
            for event in batch {
                self.queue.push(event);
            }
        }
        let mut due: Vec<u64> = Vec::new();
        let events = if command.resumed {
            let mut events = std::mem::take(&mut self.deferred);
            for event in &command.done {
                self.unblock(event.target, event.key);
            }
            events.extend(command.done);
            events.sort_unstable_by_key(|event| Reverse(event.rank()));
            events
        } else {
            for event in command.done {
                due.push(self.queue.window_of(event.key.time));
                self.queue.push(event);
            }
            self.queue.take(command.window)
        };
        self.run_window(command.window, events);
        while let Some(next) = self.queue.next_window() {
            // A submitted job may have to be handed out in a window where other jobs are due.
            let submitted = self
                .report
                .jobs
                .iter()
                .map(|s| self.queue.window_of(s.due.time))
                .min();
            let needs_conductor =
                submitted.is_some_and(|first| first <= next || due.contains(&next));
            let full = self.report.records.len() + self.report.deliveries.len() > FULL;
            // At zero lookahead a timestamp may come again; it is then run as another pass.
            let again = next == self.window;
            let over = self.report.finish || self.report.checkpoint;
            if next > command.until || over || needs_conductor || full || again {
                break;
            }
            let events = self.queue.take(next);
            self.run_window(next, events);
        }
        self.report.next = self.queue.next_window();
        std::mem::replace(&mut self.report, WindowDone::empty(self.index, self.shards))
    }

    fn run_window(&mut self, window: u64, events: Vec<EventOf<W>>) {
        self.window = window;
        self.digest = 0;
        self.current = events;
        // A panic leaves the loop; the node whose handler panicked crashes, and the loop goes on.
        while let Err(reason) = guarded(|| self.drain()) {
            self.crash(&reason);
        }
        self.queue.recycle(std::mem::take(&mut self.current));
        self.report.windows.push((window, self.digest));
    }

    fn drain(&mut self) {
        let traced = tracing::enabled!(tracing::Level::DEBUG);
        while let Some(event) = self.next_event() {
            let index = event.target.0 as usize / self.shards;
            if traced {
                let _span = tracing::debug_span!(
                    "event",
                    t = event.key.time.nanos(),
                    node = event.target.0,
                    source = event.key.source.0
                )
                .entered();
                self.handle(index, event);
            } else {
                self.handle(index, event);
            }
        }
    }

    /// Takes the earlier of the window's next sorted event and the next one caused inside the window.
    fn next_event(&mut self) -> Option<EventOf<W>> {
        let local = match (self.current.last(), self.local.peek()) {
            (Some(sorted), Some(local)) => local.0.rank() < sorted.rank(),
            (sorted, _) => sorted.is_none(),
        };
        if local {
            self.local.pop().map(|local| local.0)
        } else {
            self.current.pop()
        }
    }

    fn handle(&mut self, index: usize, event: EventOf<W>) {
        if event.is_message() && self.world.is_down(event.target, event.key.time) {
            // The node has crashed: neither its handler nor its interface is left to take the event.
            self.drop_undeliverable(event);
            return;
        }
        let Some(slot) = self.slots.get_mut(index) else {
            // The node does not exist, so nothing will ever take the message.
            self.drop_undeliverable(event);
            return;
        };
        let live = match slot {
            Slot::Live(live) => live,
            Slot::Crashed => {
                self.drop_undeliverable(event);
                return;
            }
            dormant => {
                self.handling = Some((index, event.key));
                match Self::wake(&self.world, event.target, dormant) {
                    Some(live) => live,
                    None => return,
                }
            }
        };
        if live.blocked.is_some_and(|due| due < event.key) {
            self.deferred.push(event);
            return;
        }
        self.handling = Some((index, event.key));
        let key = event.key;
        let target = event.target;
        let mut bytes = Bytes(0);
        let (input, kind, content) = match event.body {
            Body::Deliver(message) => {
                let kind = message.kind();
                bytes = message.wire_bytes();
                if let Some(tally) = self.tallies.get_mut(usize::from(kind)) {
                    tally.delivered += 1;
                    tally.bytes_delivered += bytes.0;
                }
                let content = message.digest();
                let input = Input::Message {
                    from: key.source,
                    sent: event.sent,
                    message,
                };
                (input, kind, content)
            }
            Body::Timer(token) => {
                live.pending -= 1;
                (Input::Timer(token), Delivery::TIMER, token)
            }
            Body::Done(output) => {
                live.pending -= 1;
                let content = output.digest();
                let job = JobId(key.sequence);
                (Input::Done { job, output }, Delivery::WORK, content)
            }
            Body::Start => (Input::Start, Delivery::START, 0),
            Body::Arrive(message) => {
                let parcel = Parcel {
                    source: key.source,
                    target,
                    sequence: key.sequence,
                    sent: event.sent,
                    message,
                };
                let mut cx = NetContext {
                    now: key.time,
                    node: target,
                    seed: self.seed,
                    effects: &mut self.net_effects,
                };
                self.world.network().arrive(&mut live.nic, parcel, &mut cx);
                self.apply_net(index, target, key.time);
                return;
            }
            Body::Alarm(token) => {
                live.pending -= 1;
                let mut cx = NetContext {
                    now: key.time,
                    node: target,
                    seed: self.seed,
                    effects: &mut self.net_effects,
                };
                self.world.network().alarm(&mut live.nic, token, &mut cx);
                self.apply_net(index, target, key.time);
                self.settle(index);
                return;
            }
        };
        let digest = event_digest(key, target, kind, content);
        self.digest = self.digest.wrapping_add(digest);
        self.report.delivered += 1;
        if self.observe.deliveries {
            self.report.deliveries.push(Delivery {
                key,
                sent: event.sent,
                target,
                kind,
                bytes,
                digest,
            });
        }
        let mut rest = false;
        live.node.on(
            input,
            &mut Context {
                now: key.time,
                id: target,
                seed: self.seed,
                sequence: &mut live.sequence,
                effects: &mut self.effects,
                rest: &mut rest,
                finish: &mut self.report.finish,
                checkpoint: &mut self.report.checkpoint,
            },
        );
        live.resting = rest;
        if !self.effects.is_empty() {
            self.apply(index, target, key);
        }
        if rest {
            self.settle(index);
        }
    }

    fn wake<'a>(world: &Arc<W>, id: NodeId, slot: &'a mut Slot<W>) -> Option<&'a mut Box<Live<W>>> {
        let (kept, nic, sequence) = match std::mem::replace(slot, Slot::Dormant) {
            Slot::Asleep(asleep) => (Some(asleep.kept), asleep.nic, asleep.sequence),
            _ => (None, None, 0),
        };
        *slot = Slot::Live(Box::new(Live {
            node: world.wake(id, kept),
            nic: nic.unwrap_or_else(|| world.network().interface(id)),
            sequence,
            pending: 0,
            resting: false,
            blocked: None,
        }));
        match slot {
            Slot::Live(live) => Some(live),
            _ => None,
        }
    }

    /// Counts the messages under way where they wait, in the queue and in network interfaces. The
    /// conductor counts those between shards.
    pub fn count_in_flight(&mut self) {
        let tallies = &mut self.tallies;
        let mut count = |message: &W::Message| {
            if let Some(tally) = tallies.get_mut(usize::from(message.kind())) {
                tally.in_flight += 1;
            }
        };
        for event in self.queue.iter().chain(&self.deferred) {
            if let Body::Arrive(message) | Body::Deliver(message) = &event.body {
                count(message);
            }
        }
        for slot in &self.slots {
            if let Slot::Live(live) = slot {
                self.world.network().held(&live.nic, &mut count);
            }
        }
    }

    /// Sends the records of the final state of each node that ever woke ([`World::left`]), until the
    /// receiver is gone.
    pub fn left(&self, to: &Sender<Result<(NodeId, W::Record), String>>) {
        for (index, slot) in self.slots.iter().enumerate() {
            let node = match slot {
                Slot::Live(live) => Left::Awake(&live.node),
                Slot::Asleep(asleep) => Left::Asleep(&asleep.kept),
                Slot::Dormant | Slot::Crashed => continue,
            };
            let id = NodeId((index * self.shards + self.index) as u32);
            let mut listens = true;
            let left = self.world.left(id, node, &mut |record| {
                listens &= to.send(Ok((id, record))).is_ok();
                listens
            });
            if let Err(reason) = left {
                listens &= to.send(Err(reason)).is_ok();
            }
            if !listens {
                return;
            }
        }
    }

    /// What the live nodes wait for, for the error of a run in which nothing is pending any more.
    pub fn waiting(&self) -> Vec<(NodeId, String)> {
        let live = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(index, slot)| match slot {
                Slot::Live(live) => Some((index, live.node.waiting_for()?)),
                _ => None,
            });
        live.map(|(index, text)| (NodeId((index * self.shards + self.index) as u32), text))
            .collect()
    }
}

impl<W: World> WindowDone<W> {
    fn empty(shard: usize, shards: usize) -> Self {
        Self {
            shard,
            outgoing: (0..shards).map(|_| (Vec::new(), u64::MAX)).collect(),
            jobs: Vec::new(),
            records: Vec::new(),
            deliveries: Vec::new(),
            windows: Vec::new(),
            delivered: 0,
            next: None,
            finish: false,
            checkpoint: false,
        }
    }
}
