//! A world for tests: nodes that send what a script says, over real links in the real kernel.

use super::{LinkNetwork, LinkTable, Topology, Wire};
use crate::fault::LinkFaults;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::{
    mix_words, Context, Digest, Input, Key, Message, Node, NodeId, Observe, Recorder,
    RecorderError, SimError, Simulation, Summary, Workers, World,
};
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// A message of a script; it is answered by one of equal size while `hops` are left.
#[derive(Debug, Clone, Copy)]
pub struct Mail {
    /// The position of the message in the script.
    pub id: u64,
    pub bytes: u64,
    pub hops: u8,
}

impl Digest for Mail {
    fn digest(&self) -> u64 {
        mix_words(&[self.id, self.bytes, u64::from(self.hops)])
    }
}

impl Wire for Mail {
    fn copied(&self) -> Option<Self> {
        Some(*self)
    }
}
snapshot_struct!(Mail { id, bytes, hops });

impl Message for Mail {
    const KINDS: &'static [&'static str] = &["even", "odd"];

    fn kind(&self) -> u8 {
        (self.id % 2) as u8
    }

    fn wire_bytes(&self) -> Bytes {
        Bytes(self.bytes)
    }
}

/// One line of a script.
#[derive(Debug, Clone, Copy)]
pub struct Send {
    pub at: u64,
    pub from: u32,
    pub to: u32,
    pub bytes: u64,
    pub hops: u8,
}

/// A node's record of a message that it got.
#[derive(Debug, Clone, Copy)]
pub struct Got {
    id: u64,
    at: VirtualTime,
    pub took: Span,
}

impl Digest for Got {
    fn digest(&self) -> u64 {
        mix_words(&[self.id, self.at.nanos(), self.took.nanos()])
    }
}

/// A world for tests: nodes, links, a script and an end.
pub struct Bed {
    network: LinkNetwork,
    nodes: u32,
    script: Arc<Vec<Send>>,
    horizon: Span,
    /// A node that panics at its third message, if any.
    fragile: Option<u32>,
}

impl Bed {
    pub fn new(table: LinkTable, topology: Topology, script: &[Send], horizon: Span) -> Self {
        Self {
            nodes: table.nodes(),
            network: LinkNetwork::new(table, topology).unwrap(),
            script: Arc::new(script.to_vec()),
            horizon,
            fragile: None,
        }
    }

    pub fn amid(mut self, faults: LinkFaults) -> Self {
        self.network = self.network.with_faults(faults);
        self
    }

    pub fn with_fragile(mut self, node: u32) -> Self {
        self.fragile = Some(node);
        self
    }
}

pub struct Actor {
    script: Arc<Vec<Send>>,
    horizon: Span,
    fragile: bool,
    got: u32,
}

const FINISH: u64 = u64::MAX;

impl World for Bed {
    type Message = Mail;
    type Node = Actor;
    type Kept = u32;
    type Network = LinkNetwork;
    type Job = ();
    type Output = ();
    type Record = Got;

    fn population(&self) -> u32 {
        self.nodes
    }

    fn starters(&self) -> Vec<NodeId> {
        (0..self.nodes).map(NodeId).collect()
    }

    fn network(&self) -> &LinkNetwork {
        &self.network
    }

    fn wake(&self, id: NodeId, kept: Option<u32>) -> Actor {
        Actor {
            script: Arc::clone(&self.script),
            horizon: self.horizon,
            fragile: self.fragile == Some(id.0),
            got: kept.unwrap_or(0),
        }
    }

    fn restore(&self, id: NodeId, from: &mut Reader) -> Result<Actor, Damaged> {
        Ok(self.wake(id, Some(u32::load(from)?)))
    }

    fn crashed(&self, _: NodeId, _: VirtualTime, _: &str) -> Option<Got> {
        None
    }
}

impl Node<Bed> for Actor {
    fn on(&mut self, input: Input<Mail, ()>, cx: &mut Context<'_, Bed>) {
        match input {
            Input::Start => {
                if cx.id().0 == 0 {
                    cx.timer(self.horizon, FINISH);
                }
                for (index, line) in self.script.iter().enumerate() {
                    if line.from == cx.id().0 {
                        cx.timer(Span::from_nanos(line.at), index as u64);
                    }
                }
            }
            Input::Timer(FINISH) => cx.finish(),
            Input::Timer(index) => {
                let line = self.script[index as usize];
                let mail = Mail {
                    id: index,
                    bytes: line.bytes,
                    hops: line.hops,
                };
                cx.send(NodeId(line.to), mail);
            }
            Input::Message {
                from,
                sent,
                message,
            } => {
                self.got += 1;
                assert!(!(self.fragile && self.got == 3), "fragile");
                cx.record(Got {
                    id: message.id,
                    at: cx.now(),
                    took: cx.now().since(sent),
                });
                if message.hops > 0 {
                    let hops = message.hops - 1;
                    cx.send(from, Mail { hops, ..message });
                }
            }
            Input::Done { .. } => {}
        }
        // The nodes go dormant whenever the kernel lets them, to test that the interface keeps the
        // messages that wait in it.
        cx.rest();
    }

    fn rest(self) -> u32 {
        self.got
    }

    fn save(&self, to: &mut Writer) {
        self.got.save(to);
    }

    fn waiting_for(&self) -> Option<String> {
        None
    }
}

/// When each message of the script was first delivered, and how long every delivery took.
#[derive(Debug, Default)]
pub struct Log {
    pub at: BTreeMap<u64, u64>,
    pub took: Vec<Span>,
}

impl Recorder<Bed> for Log {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[crate::sim::Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, got: Got) -> Result<(), RecorderError> {
        self.at.entry(got.id).or_insert(got.at.nanos());
        self.took.push(got.took);
        Ok(())
    }
}

/// Runs the world on a number of shards.
pub fn run(bed: Bed, seed: u64, shards: usize) -> Result<(Summary, Log), SimError> {
    let simulation = Simulation {
        world: Arc::new(bed),
        seed,
        shards,
    };
    let workers = Workers::start(1, || |_: &()| ()).unwrap();
    let mut log = Log::default();
    let summary = simulation.run(&workers, &mut log, &AtomicBool::new(false))?;
    Ok((summary, log))
}
