//! A world to torment the kernel with: nodes that gossip, set timers, submit work and misbehave, all
//! by draws from their own streams.

use rand::Rng;
use shoal::quantity::{Bytes, Span, VirtualTime};
use shoal::sim::rng::{below, stream, Purpose};
use shoal::sim::{
    mix_words, Context, Delivery, Digest, Input, Key, Message, NetContext, Network, Node, NodeId,
    Observe, Outcome, Parcel, Recorder, RecorderError, SimError, Simulation, Summary, Workers,
    World,
};
use shoal::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

pub struct Rumour(pub u64);

impl Digest for Rumour {
    fn digest(&self) -> u64 {
        self.0
    }
}

impl Snapshot for Rumour {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        u64::load(from).map(Self)
    }
}

impl Snapshot for Product {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Snapshot::load(from).map(Self)
    }
}

impl Message for Rumour {
    const KINDS: &'static [&'static str] = &["even", "odd"];

    fn kind(&self) -> u8 {
        (self.0 % 2) as u8
    }

    fn wire_bytes(&self) -> Bytes {
        Bytes(8 + self.0 % 100)
    }
}

/// The product of a job.
pub struct Product(pub Result<u64, String>);

impl Digest for Product {
    fn digest(&self) -> u64 {
        self.0.as_ref().copied().unwrap_or(1)
    }
}

impl Outcome for Product {
    fn failed(reason: String) -> Self {
        Self(Err(reason))
    }
}

/// Latencies uniform on [floor, 3·floor], and a share of messages lost.
pub struct Wire {
    pub floor: Span,
    pub loss_percent: u64,
}

impl Network<Rumour> for Wire {
    type Nic = ();

    fn lookahead(&self) -> Span {
        self.floor
    }

    fn interface(&self, _: NodeId) {}

    fn send(&self, _: &mut (), parcel: Parcel<Rumour>, cx: &mut NetContext<'_, Rumour>) {
        let mut rng = stream(
            cx.seed(),
            u64::from(parcel.source.0),
            Purpose::Link,
            parcel.sequence,
        );
        if below(&mut rng, 100) < self.loss_percent {
            return cx.lose(parcel);
        }
        let extra = below(&mut rng, 2 * self.floor.nanos() + 1);
        let at = cx.now() + self.floor + Span::from_nanos(extra);
        if extra.is_multiple_of(3) {
            cx.deliver(parcel, at);
        } else {
            cx.carry(parcel, at);
        }
    }

    fn arrive(&self, (): &mut (), parcel: Parcel<Rumour>, cx: &mut NetContext<'_, Rumour>) {
        // Some wait a little at the interface, often into the same window.
        let wait = Span::from_nanos(parcel.message.0 % 5 * self.floor.nanos() / 10);
        let at = cx.now() + wait;
        cx.deliver(parcel, at);
    }

    fn alarm(&self, (): &mut (), _: u64, _: &mut NetContext<'_, Rumour>) {}

    fn held(&self, (): &(), _: &mut dyn FnMut(&Rumour)) {}
}

#[derive(Clone, Copy, Default)]
pub struct Mischief {
    /// Nodes whose handler panics at their third event.
    pub panics: Option<u32>,
    /// Whether nodes go dormant whenever they can.
    pub rests: bool,
    /// Never finish: the run wedges once all rumours are lost.
    pub never_finishes: bool,
    /// Node 0 asks for a checkpoint at one of so many of its events; never for 0.
    pub checkpoints: u64,
    /// Whether each event of another node is told to node 0, past the network.
    pub tells: bool,
}

pub struct Gossip {
    pub nodes: u32,
    pub wire: Wire,
    pub horizon: Span,
    pub mischief: Mischief,
}

pub struct Gossiper {
    nodes: u32,
    horizon: Span,
    mischief: Mischief,
    events: u64,
    memory: u64,
}

/// What a node remembers, recorded at each event: a witness of the order it saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory(pub u32, pub u64, pub &'static str);

impl Digest for Memory {
    fn digest(&self) -> u64 {
        mix_words(&[u64::from(self.0), self.1])
    }
}

impl World for Gossip {
    type Message = Rumour;
    type Node = Gossiper;
    type Kept = (u64, u64);
    type Network = Wire;
    type Job = u64;
    type Output = Product;
    type Record = Memory;

    fn population(&self) -> u32 {
        self.nodes
    }

    fn starters(&self) -> Vec<NodeId> {
        (0..self.nodes.div_ceil(2)).map(NodeId).collect()
    }

    fn network(&self) -> &Wire {
        &self.wire
    }

    fn wake(&self, _: NodeId, kept: Option<(u64, u64)>) -> Gossiper {
        let (events, memory) = kept.unwrap_or_default();
        Gossiper {
            nodes: self.nodes,
            horizon: self.horizon,
            mischief: self.mischief,
            events,
            memory,
        }
    }

    fn restore(&self, id: NodeId, from: &mut Reader) -> Result<Gossiper, Damaged> {
        Ok(self.wake(id, Some(Snapshot::load(from)?)))
    }

    fn crashed(&self, id: NodeId, _: VirtualTime, reason: &str) -> Option<Memory> {
        assert!(reason.contains("bad rumour"), "{reason}");
        Some(Memory(id.0, 0, "crashed"))
    }
}

impl Node<Gossip> for Gossiper {
    fn on(&mut self, input: Input<Rumour, Product>, cx: &mut Context<'_, Gossip>) {
        self.events += 1;
        let id = cx.id().0;
        let mut rng = cx.rng(Purpose::Node);
        let what = match input {
            Input::Start => {
                if id == 0 && !self.mischief.never_finishes {
                    cx.timer(self.horizon, u64::MAX);
                }
                1
            }
            Input::Message { from, message, .. } => mix_words(&[u64::from(from.0), message.0]),
            Input::Timer(u64::MAX) => return cx.finish(),
            Input::Timer(token) => token,
            Input::Done { job, output } => mix_words(&[job.0, output.0.unwrap_or(7)]),
        };
        self.memory = mix_words(&[self.memory, what, cx.now().nanos()]);
        let turn = self.events.checked_rem(self.mischief.checkpoints);
        if id == 0 && turn == Some(1) {
            cx.checkpoint();
        }
        // Half of the effects come before the panic, to see that they are undone.
        cx.record(Memory(id, self.memory, "event"));
        let to = NodeId(below(&mut rng, u64::from(self.nodes)) as u32);
        cx.send(to, Rumour(rng.next_u64() >> 8));
        if self.mischief.tells && id != 0 {
            cx.tell(NodeId(0), Rumour(self.memory >> 8));
        }
        if self.events == 3 && self.mischief.panics.is_some_and(|every| id % every == 1) {
            panic!("bad rumour");
        }
        match below(&mut rng, 10) {
            0 => cx.timer(Span::from_nanos(below(&mut rng, 3) * 400), self.events),
            1 | 2 => {
                // Often due inside the running window, sometimes at once.
                let duration = Span::from_nanos(below(&mut rng, 4) * 700);
                cx.work(self.memory, duration);
                cx.work(self.memory ^ 1, duration + Span::from_nanos(50));
            }
            _ => {}
        }
        if self.mischief.rests {
            cx.rest();
        }
    }

    fn rest(self) -> (u64, u64) {
        (self.events, self.memory)
    }

    fn save(&self, to: &mut Writer) {
        (self.events, self.memory).save(to);
    }

    fn waiting_for(&self) -> Option<String> {
        Some(format!("a rumour, after {} events", self.events))
    }
}

/// Keeps everything.
#[derive(Default)]
pub struct Witness {
    pub deliveries: Vec<Delivery>,
    pub records: Vec<(Key, Memory)>,
    pub checkpoints: Vec<Checkpoint>,
}

/// The bytes of a checkpoint, and how much had been told by then.
pub struct Checkpoint {
    pub deliveries: usize,
    pub records: usize,
    pub bytes: Vec<u8>,
}

/// A sink whose bytes can be looked at.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Recorder<Gossip> for Witness {
    fn observe(&self) -> Observe {
        Observe {
            deliveries: true,
            left: false,
        }
    }

    fn deliveries(&mut self, deliveries: &[Delivery]) -> Result<(), RecorderError> {
        self.deliveries.extend_from_slice(deliveries);
        Ok(())
    }

    fn record(&mut self, at: Key, record: Memory) -> Result<(), RecorderError> {
        self.records.push((at, record));
        Ok(())
    }

    fn checkpoint(&mut self, save: &mut dyn FnMut(Writer) -> Writer) -> Result<(), RecorderError> {
        let sink = Sink::default();
        let to = save(Writer::new(Box::new(sink.clone())));
        to.finish()
            .map_err(|error| RecorderError(Box::new(error)))?;
        self.checkpoints.push(Checkpoint {
            deliveries: self.deliveries.len(),
            records: self.records.len(),
            bytes: std::mem::take(&mut *sink.0.lock().unwrap()),
        });
        Ok(())
    }
}

impl Gossip {
    pub fn small(mischief: Mischief) -> Self {
        Self {
            nodes: 23,
            wire: Wire {
                floor: Span::from_nanos(1_000),
                loss_percent: 10,
            },
            horizon: Span::from_nanos(40_000),
            mischief,
        }
    }

    pub fn run(
        self,
        seed: u64,
        shards: usize,
        workers: usize,
    ) -> (Result<Summary, SimError>, Witness) {
        self.run_from(None, seed, shards, workers)
    }

    /// The same, from a checkpoint if there is one.
    pub fn run_from(
        self,
        from: Option<&[u8]>,
        seed: u64,
        shards: usize,
        workers: usize,
    ) -> (Result<Summary, SimError>, Witness) {
        let sim = Simulation {
            world: Arc::new(self),
            seed,
            shards,
        };
        let workers =
            Workers::start(workers, || |job: &u64| Product(Ok(job.rotate_left(7)))).unwrap();
        let mut witness = Witness::default();
        let never = AtomicBool::new(false);
        let summary = match from {
            Some(bytes) => {
                let source = Box::new(io::Cursor::new(bytes.to_vec()));
                let from = Reader::new(source, bytes.len() as u64);
                sim.resume(from, &workers, &mut witness, &never)
            }
            None => sim.run(&workers, &mut witness, &never),
        };
        (summary, witness)
    }
}
