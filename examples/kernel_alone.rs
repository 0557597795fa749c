//! The kernel alone, as a discrete-event engine: a token goes round a ring of nodes, with no learning in
//! sight. The run is deterministic, whatever the number of shards.
//!
//! ```sh
//! cargo run --release --example kernel_alone
//! ```

use shoal::quantity::{Bytes, Span, VirtualTime};
use shoal::sim::{
    Context, Digest, Input, Message, NetContext, Network, Node, NodeId, Parcel, Silent, Simulation,
    Workers, World,
};
use shoal::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

const NODES: u32 = 1_000;
const TURNS: u64 = 3;
const LATENCY: Span = Span::from_millis(1);

/// How many nodes the token has been at.
struct Token(u64);

impl Digest for Token {
    fn digest(&self) -> u64 {
        self.0
    }
}

impl Snapshot for Token {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        u64::load(from).map(Self)
    }
}

impl Message for Token {
    const KINDS: &'static [&'static str] = &["token"];

    fn kind(&self) -> u8 {
        0
    }

    fn wire_bytes(&self) -> Bytes {
        Bytes(8)
    }
}

/// Every message takes a millisecond. That is the lookahead too: what shards may run side by side.
struct Wires;

impl Network<Token> for Wires {
    type Nic = ();

    fn lookahead(&self) -> Span {
        LATENCY
    }

    fn interface(&self, _: NodeId) {}

    fn send(&self, (): &mut (), parcel: Parcel<Token>, cx: &mut NetContext<'_, Token>) {
        let at = cx.now() + LATENCY;
        cx.deliver(parcel, at);
    }

    fn arrive(&self, (): &mut (), parcel: Parcel<Token>, cx: &mut NetContext<'_, Token>) {
        let now = cx.now();
        cx.deliver(parcel, now);
    }

    fn alarm(&self, (): &mut (), _: u64, _: &mut NetContext<'_, Token>) {}

    fn held(&self, (): &(), _: &mut dyn FnMut(&Token)) {}
}

struct Ring(Wires);
struct Member;

impl World for Ring {
    type Message = Token;
    type Node = Member;
    type Kept = ();
    type Network = Wires;
    type Job = ();
    type Output = ();
    type Record = ();

    fn population(&self) -> u32 {
        NODES
    }

    fn starters(&self) -> Vec<NodeId> {
        vec![NodeId(0)]
    }

    fn network(&self) -> &Wires {
        &self.0
    }

    fn wake(&self, _: NodeId, _: Option<()>) -> Member {
        Member
    }

    fn restore(&self, _: NodeId, _: &mut Reader) -> Result<Member, Damaged> {
        Ok(Member)
    }

    fn crashed(&self, _: NodeId, _: VirtualTime, _: &str) -> Option<()> {
        None
    }
}

impl Node<Ring> for Member {
    fn on(&mut self, input: Input<Token, ()>, cx: &mut Context<'_, Ring>) {
        let seen = match input {
            Input::Message { message, .. } => message.0,
            _ => 0,
        };
        if seen == TURNS * u64::from(NODES) {
            return cx.finish();
        }
        cx.send(NodeId((cx.id().0 + 1) % NODES), Token(seen + 1));
    }

    /// For the message about a run in which nothing can happen any more.
    fn waiting_for(&self) -> Option<String> {
        None
    }

    fn rest(self) {}

    fn save(&self, _: &mut Writer) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workers = Workers::start(1, || |_: &()| ())?;
    let run = |shards| {
        let world = Arc::new(Ring(Wires));
        let simulation = Simulation {
            world,
            seed: 1,
            shards,
        };
        simulation.run(&workers, &mut Silent, &AtomicBool::new(false))
    };
    let (one, four) = (run(1)?, run(4)?);
    shoal::say!(
        "{} events in {} of virtual time, hash {}",
        one.delivered,
        one.now,
        one.hash
    );
    assert_eq!(one.now, VirtualTime::ZERO + Span::from_secs(3));
    assert_eq!(one.hash, four.hash);
    Ok(())
}
