//! The kernel alone, as a discrete-event engine: a token goes round a ring of nodes, with no learning in
//! sight. The run is deterministic, whatever the number of shards.
//!
//! ```sh
//! cargo run --release --example kernel_alone
//! ```

use shoal::quantity::{Span, VirtualTime};
use shoal::sim::{Context, FixedLatency, Input, Node, NodeId, Silent, Simulation, Workers, World};
use shoal::snapshot::{Damaged, Reader, Writer};
use std::sync::{atomic::AtomicBool, Arc};

const NODES: u32 = 1_000;

struct Ring(FixedLatency);
struct Member;

impl World for Ring {
    /// How many nodes the token has been at.
    type Message = u64;
    type Node = Member;
    type Kept = ();
    type Network = FixedLatency;
    type Job = ();
    type Output = ();
    type Record = ();

    fn population(&self) -> u32 {
        NODES
    }
    fn network(&self) -> &FixedLatency {
        &self.0
    }
    fn wake(&self, _: NodeId, _: Option<()>) -> Member {
        Member
    }
    fn restore(&self, _: NodeId, _: &mut Reader) -> Result<Member, Damaged> {
        Ok(Member)
    }
}

impl Node<Ring> for Member {
    fn on(&mut self, input: Input<u64, ()>, cx: &mut Context<'_, Ring>) {
        let seen = match input {
            Input::Message { message, .. } => message,
            _ => 0,
        };
        match seen == 3 * u64::from(NODES) {
            true => cx.finish(),
            false => cx.send(NodeId((cx.id().0 + 1) % NODES), seen + 1),
        }
    }
    // A member has no state: nothing is kept while it is dormant, and nothing in a checkpoint.
    fn rest(self) {}
    fn save(&self, _: &mut Writer) {}
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let workers = Workers::start(1, || |_: &()| ())?;
    let run = |shards| {
        let world = Arc::new(Ring(FixedLatency(Span::from_millis(1))));
        let simulation = Simulation {
            world,
            seed: 1,
            shards,
        };
        simulation.run(&workers, &mut Silent, &AtomicBool::new(false))
    };
    let (one, four) = (run(1)?, run(4)?);
    shoal::say!("{} events in {}, hash {}", one.delivered, one.now, one.hash);
    assert_eq!(one.now, VirtualTime::ZERO + Span::from_secs(3));
    assert_eq!(one.hash, four.hash);
    Ok(())
}
