//! The kernel under message storms: events a second, and bytes a node.
//!
//! Storms run on two shards over real links (`shoal::net`), with accounting and trace hash on and
//! records off. Every node has one message under way for ever; the run ends at a virtual time that
//! about ten million events need.
//!
//! Storms over TCP send messages of 100 kB over links with rates; what they are held against is the same
//! storm with `Reliable`, in turn with it.
//!
//! Floor of a storm: the same handlers, latency draws and digests in a bare loop over an array of
//! node states, without queue, actors or books, times the number of shards. Floor of a node's
//! memory: what it has to remember, and nothing else.

#[path = "support/counted.rs"]
mod counted;
mod support;

use counted::Counted;
use rand::Rng;
use shoal::learn::HostDevice;
use shoal::net::{Latency, LinkModel, LinkNetwork, LinkTable, Topology, Transport, Wire};
use shoal::quantity::{Bandwidth, Bytes, Distribution, Span, VirtualTime};
use shoal::run::{run, Options};
use shoal::scenario::Scenario;
use shoal::sim::rng::{stream, Purpose};
use shoal::sim::{
    mix_words, Context, Digest, Input, Message, Node, NodeId, Silent, Simulation, Summary, Workers,
    World,
};
use shoal::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use support::{alone, in_own_process, line, median, peak_resident, seconds, wanted};

const SHARDS: usize = 2;
const EVENTS: u64 = 10_000_000;
/// Of heavy storms.
const HEAVY: u64 = 1_000_000;
/// Mean one-way latency of the links below.
const MEAN_LATENCY: Span = Span::from_millis(16);

#[derive(Debug)]
struct Ball(u64);

impl Digest for Ball {
    fn digest(&self) -> u64 {
        self.0
    }
}

impl Wire for Ball {}
impl Snapshot for Ball {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        u64::load(from).map(Self)
    }
}

impl Message for Ball {
    const KINDS: &'static [&'static str] = &["ball"];

    fn kind(&self) -> u8 {
        0
    }

    fn wire_bytes(&self) -> Bytes {
        Bytes(BYTES.load(Ordering::Relaxed))
    }
}

/// What a ball weighs; no part of it, so that it is as small as a message can be.
static BYTES: AtomicU64 = AtomicU64::new(8);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shape {
    /// All throw to node 0, which throws back.
    Star,
    /// Each throws to the next.
    Ring,
    /// Each throws to one of eight others, in turn.
    Random,
    /// Nobody but node 0 is ever live.
    Silence,
}

impl Shape {
    fn next(self, id: u32, nodes: u32, turn: u64) -> NodeId {
        NodeId(match self {
            Self::Star | Self::Silence => 0,
            Self::Ring => (id + 1) % nodes,
            Self::Random => {
                let edge = (u64::from(id) * 8 + turn % 8).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (edge >> 33) as u32 % nodes
            }
        })
    }
}

struct Storm {
    nodes: u32,
    shape: Shape,
    horizon: Span,
    network: Counted,
}

struct Player {
    nodes: u32,
    shape: Shape,
    horizon: Span,
    turn: u64,
}

impl Storm {
    fn new(nodes: u32, shape: Shape, events: u64) -> Self {
        let link =
            |distribution| LinkModel::new(Latency::new(distribution, None).expect("a latency"));
        let mut table = LinkTable::new();
        let centre = NodeId(0);
        let topology = match shape {
            Shape::Star | Shape::Silence => {
                table
                    .push(1, link(Distribution::Constant(0.001)))
                    .expect("a link");
                let clients = link(Distribution::Uniform {
                    low: 0.010,
                    high: 0.020,
                });
                table.push(nodes - 1, clients).expect("links");
                Topology::Star { centre }
            }
            Shape::Ring | Shape::Random => {
                let halves = link(Distribution::Uniform {
                    low: 0.0055,
                    high: 0.0105,
                });
                table.push(nodes, halves).expect("links");
                Topology::Mesh
            }
        };
        let rounds = events as f64 / f64::from(nodes);
        Self {
            nodes,
            shape,
            horizon: MEAN_LATENCY.scaled(rounds),
            network: Counted::new(LinkNetwork::new(table, topology).expect("a network")),
        }
    }
}

/// Messages of 100 kB over links with rates: 20 Mbit/s from a node and 80 to it, and 10 Gbit/s both ways
/// for the server of a star.
fn heavy_storm(nodes: u32, shape: Shape, transport: Transport) -> Storm {
    let mut storm = Storm::new(nodes, shape, HEAVY);
    let rate = |mbit: f64| Bandwidth::bits_per_second(mbit * 1e6);
    let link = |low, high, up, down| LinkModel {
        up: rate(up),
        down: rate(down),
        transport,
        ..LinkModel::new(
            Latency::new(Distribution::Uniform { low, high }, None).expect("a latency"),
        )
    };
    let mut table = LinkTable::new();
    let topology = match shape {
        Shape::Star | Shape::Silence => {
            let server = link(0.000_9, 0.001_1, 10_000.0, 10_000.0);
            table.push(1, server).expect("a link");
            let clients = link(0.010, 0.020, 20.0, 80.0);
            table.push(nodes - 1, clients).expect("links");
            let centre = NodeId(0);
            Topology::Star { centre }
        }
        Shape::Ring | Shape::Random => {
            let halves = link(0.005_5, 0.010_5, 20.0, 80.0);
            table.push(nodes, halves).expect("links");
            Topology::Mesh
        }
    };
    storm.network = Counted::new(LinkNetwork::new(table, topology).expect("a network"));
    // A message takes about four times as long as one without rates.
    storm.horizon = storm.horizon.scaled(4.0);
    storm
}

/// Delivered events a second of a heavy storm.
fn heavy(nodes: u32, shape: Shape, transport: Transport) -> f64 {
    BYTES.store(100_000, Ordering::Relaxed);
    let figure = throw(heavy_storm(nodes, shape, transport));
    BYTES.store(8, Ordering::Relaxed);
    figure
}

/// All events of a heavy storm for each that is delivered: those at interfaces, too.
fn events_of_each(nodes: u32, shape: Shape, transport: Transport) -> f64 {
    BYTES.store(100_000, Ordering::Relaxed);
    let storm = Arc::new(heavy_storm(nodes, shape, transport));
    storm.network.counts.store(true, Ordering::Relaxed);
    let delivered = ended(&storm).delivered as f64;
    BYTES.store(8, Ordering::Relaxed);
    1.0 + storm.network.events.load(Ordering::Relaxed) as f64 / delivered
}

impl World for Storm {
    type Message = Ball;
    type Node = Player;
    type Kept = ();
    type Network = Counted;
    type Job = ();
    type Output = ();
    type Record = ();

    fn population(&self) -> u32 {
        self.nodes
    }

    fn starters(&self) -> Vec<NodeId> {
        match self.shape {
            Shape::Silence => vec![NodeId(0)],
            _ => (0..self.nodes).map(NodeId).collect(),
        }
    }

    fn network(&self) -> &Counted {
        &self.network
    }

    fn wake(&self, _: NodeId, _: Option<()>) -> Player {
        Player {
            nodes: self.nodes,
            shape: self.shape,
            horizon: self.horizon,
            turn: 0,
        }
    }

    fn restore(&self, id: NodeId, from: &mut Reader) -> Result<Player, Damaged> {
        let turn = Snapshot::load(from)?;
        Ok(Player {
            turn,
            ..self.wake(id, None)
        })
    }

    fn crashed(&self, _: NodeId, _: VirtualTime, _: &str) -> Option<()> {
        None
    }
}

impl Node<Storm> for Player {
    fn on(&mut self, input: Input<Ball, ()>, cx: &mut Context<'_, Storm>) {
        let id = cx.id().0;
        self.turn += 1;
        let next = self.shape.next(id, self.nodes, self.turn);
        match input {
            Input::Start => {
                if id == 0 {
                    cx.timer(self.horizon, 0);
                }
                if self.shape != Shape::Silence && (id != 0 || self.shape != Shape::Star) {
                    cx.send(next, Ball(u64::from(id)));
                }
            }
            Input::Message { from, message, .. } => {
                let back = id == 0 && self.shape == Shape::Star;
                cx.send(
                    if back { from } else { next },
                    Ball(message.0.wrapping_add(1)),
                );
            }
            Input::Timer(_) => cx.finish(),
            Input::Done { .. } => {}
        }
    }

    fn rest(self) {}

    fn save(&self, to: &mut Writer) {
        self.turn.save(to);
    }

    fn waiting_for(&self) -> Option<String> {
        None
    }
}

/// Delivered events a second.
fn storm(nodes: u32, shape: Shape, events: u64) -> f64 {
    throw(Storm::new(nodes, shape, events))
}

/// Delivered events a second.
fn throw(storm: Storm) -> f64 {
    let storm = Arc::new(storm);
    let (time, summary) = seconds(|| ended(&storm));
    summary.delivered as f64 / time
}

/// Runs a storm to its end.
fn ended(storm: &Arc<Storm>) -> Summary {
    let simulation = Simulation {
        world: Arc::clone(storm),
        seed: 1,
        shards: SHARDS,
    };
    let workers = Workers::start(1, || |(): &()| ()).expect("a thread");
    let never = AtomicBool::new(false);
    let summary = simulation
        .run(&workers, &mut Silent, &never)
        .expect("a storm ends");
    assert!(summary.accounting.unbalanced().is_empty());
    summary
}

/// Events a second of the bare loop on one core.
fn floor(nodes: u32, shape: Shape) -> f64 {
    let mut turns = vec![0u64; nodes as usize];
    let events = EVENTS / 2;
    let mut digest = 0u64;
    let mut node = 0;
    let (time, ()) = seconds(|| {
        for sequence in 0..events {
            let mut rng = stream(1, u64::from(node), Purpose::Link, sequence);
            let latency = Distribution::Uniform {
                low: 0.010,
                high: 0.020,
            }
            .sample(&mut rng);
            let time = sequence + (latency * 1e9) as u64;
            let turn = &mut turns[node as usize];
            *turn += 1;
            let next = match shape {
                // Every second event is at a client drawn at random.
                Shape::Star if node == 0 => rng.next_u64() as u32 % nodes,
                _ => shape.next(node, nodes, *turn).0,
            };
            let key = (u64::from(node) << 32) | u64::from(next);
            digest = digest.wrapping_add(mix_words(&[time, key, sequence, *turn]));
            node = next;
        }
    });
    black_box(digest);
    events as f64 / time
}

fn main() {
    shoal::cli::keep_freed_memory();
    if let Some(name) = alone() {
        println!("{}", memory(&name));
        return;
    }
    let cases = [
        ("kernel/star", Shape::Star, 10_000),
        ("kernel/ring", Shape::Ring, 10_000),
        ("kernel/random", Shape::Random, 10_000),
        ("kernel/star-1m", Shape::Star, 1_000_000),
        ("kernel/ring-1m", Shape::Ring, 1_000_000),
        ("kernel/random-1m", Shape::Random, 1_000_000),
    ];
    for (name, shape, nodes) in cases {
        if wanted(name) {
            let runs = (0..3).map(|_| storm(nodes, shape, EVENTS));
            let figure = median(runs.collect());
            let bare = median((0..3).map(|_| floor(nodes, shape)).collect()) * SHARDS as f64;
            line(name, figure / 1e6, "Mevents/s", bare / 1e6, figure / bare);
        }
    }
    for (name, shape) in [
        ("kernel/tcp-star", Shape::Star),
        ("kernel/tcp-ring", Shape::Ring),
    ] {
        if wanted(name) {
            let turns = (0..3).map(|_| {
                let plain = heavy(10_000, shape, Transport::default());
                (heavy(10_000, shape, Transport::TCP), plain)
            });
            let turns: Vec<(f64, f64)> = turns.collect();
            let of = |figure: fn(&(f64, f64)) -> f64| median(turns.iter().map(figure).collect());
            let (tcp, plain) = (of(|turn| turn.0), of(|turn| turn.1));
            let ratio = of(|turn| turn.0 / turn.1);
            line(name, tcp / 1e6, "Mmessages/s", plain / 1e6, ratio);
            let each = |transport| events_of_each(10_000, shape, transport);
            let (of_tcp, of_plain) = (each(Transport::TCP), each(Transport::default()));
            let (tcp, plain) = (tcp * of_tcp, plain * of_plain);
            let name = format!("{name}-events");
            line(
                &name,
                tcp / 1e6,
                "Mevents/s",
                plain / 1e6,
                ratio * of_tcp / of_plain,
            );
        }
    }
    for (name, least) in [
        // A node that was never asked has to remember that: one bit.
        ("kernel/dormant", 0.125),
        // The same, and which samples it has: 4 bytes each, here one a client, and where they begin.
        ("kernel/dormant-clients", 0.125 + 4.0 + 8.0),
        // A live node has to remember its state, its sequence number and its message under way.
        (
            "kernel/live",
            (size_of::<Player>() + size_of::<u64>() + 4 * size_of::<u64>()) as f64,
        ),
    ] {
        if wanted(name) {
            let bytes = in_own_process(name);
            line(name, bytes, "B/node", least, least / bytes);
        }
    }
}

/// Bytes a node, as the growth of this process's peak.
fn memory(name: &str) -> f64 {
    let before = peak_resident();
    let nodes = match name {
        "kernel/dormant" => {
            let nodes = 10_000_000;
            storm(nodes, Shape::Silence, u64::from(nodes));
            nodes
        }
        "kernel/dormant-clients" => federation(1_000_000),
        _ => {
            let nodes = 2_000_000;
            storm(nodes, Shape::Ring, 4 * u64::from(nodes));
            nodes
        }
    };
    (peak_resident() - before) / f64::from(nodes)
}

/// Runs one round of a federation of which ten clients are asked.
fn federation(clients: u32) -> u32 {
    let text = format!(
        r#"Scenario(
            data: Random(shape: [1], classes: 2, train: {clients}, test: 10, bytes: true),
            model: [Dense(2)],
            population: [(count: {clients})],
            schedule: (rounds: 1, cohort: 10),
            record: (report: false),
        )"#
    );
    let file = Path::new("bench.ron");
    let scenario = Scenario::parse(&text, file, &[]).expect("the bench's scenario is right");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options {
        workers: SHARDS,
        device: HostDevice::Cpu,
        memory: None,
        out: Some(folder.path().join("run")),
        file: file.to_path_buf(),
        text,
        overrides: Vec::new(),
        kept_memory: shoal::quantity::Bytes(u64::MAX),
        quiet: true,
        ranks: None,
    };
    run(&scenario, &options, &AtomicBool::new(false)).expect("the bench runs");
    clients
}
