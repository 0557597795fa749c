//! Simulates single messages on idle links with the network and the kernel alone, to find how long each
//! message takes.

use super::network::LinkNetwork;
use super::wire::Wire;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::{
    mix_words, Context, Delivery, Digest, Input, Key, Message, Node, NodeId, Observe, Recorder,
    RecorderError, SimError, Simulation, Workers, World,
};
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// A message to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// When it is sent.
    pub at: VirtualTime,
    /// The sender; messages that one sender sends at one moment go in the order in which they are
    /// given.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The size of the message in bytes.
    pub bytes: Bytes,
}

/// The message of a trip, numbered by the trip's position.
#[derive(Debug, Clone, Copy)]
struct Letter {
    trip: u64,
    bytes: Bytes,
}

snapshot_struct!(Letter { trip, bytes });

impl Digest for Letter {
    fn digest(&self) -> u64 {
        mix_words(&[self.trip, self.bytes.0])
    }
}

impl Wire for Letter {}

impl Message for Letter {
    const KINDS: &'static [&'static str] = &["letter"];

    fn kind(&self) -> u8 {
        0
    }

    fn wire_bytes(&self) -> Bytes {
        self.bytes
    }
}

/// A record that a trip is over.
#[derive(Debug, Clone, Copy)]
struct Over {
    trip: u64,
    took: Span,
}

impl Digest for Over {
    fn digest(&self) -> u64 {
        mix_words(&[self.trip, self.took.nanos()])
    }
}

struct Post {
    network: LinkNetwork,
    nodes: u32,
    /// The trips by sender, each with its position.
    trips: Arc<BTreeMap<NodeId, Vec<(u64, Trip)>>>,
}

struct Sender {
    trips: Arc<BTreeMap<NodeId, Vec<(u64, Trip)>>>,
}

impl World for Post {
    type Message = Letter;
    type Node = Sender;
    type Kept = ();
    type Network = LinkNetwork;
    type Job = ();
    type Output = ();
    type Record = Over;

    fn population(&self) -> u32 {
        self.nodes
    }

    fn starters(&self) -> Vec<NodeId> {
        self.trips.keys().copied().collect()
    }

    fn network(&self) -> &LinkNetwork {
        &self.network
    }

    fn wake(&self, _: NodeId, _: Option<()>) -> Sender {
        let trips = Arc::clone(&self.trips);
        Sender { trips }
    }

    fn restore(&self, id: NodeId, _: &mut Reader) -> Result<Sender, Damaged> {
        Ok(self.wake(id, None))
    }

    fn crashed(&self, _: NodeId, _: VirtualTime, _: &str) -> Option<Over> {
        None
    }
}

impl Sender {
    /// Sends all messages that are due now, from the `place`-th of the node's trips on, and sets a
    /// timer for the next one.
    fn go_on(&self, place: usize, cx: &mut Context<'_, Post>) {
        let own = self.trips.get(&cx.id()).map_or(&[][..], Vec::as_slice);
        for (index, (trip, line)) in own.iter().enumerate().skip(place) {
            if line.at > cx.now() {
                return cx.timer(line.at.since(cx.now()), index as u64);
            }
            let (trip, bytes) = (*trip, line.bytes);
            cx.send(line.to, Letter { trip, bytes });
        }
    }
}

impl Node<Post> for Sender {
    fn on(&mut self, input: Input<Letter, ()>, cx: &mut Context<'_, Post>) {
        match input {
            Input::Start => self.go_on(0, cx),
            Input::Timer(place) => self.go_on(usize::try_from(place).unwrap_or(usize::MAX), cx),
            Input::Message { sent, message, .. } => cx.record(Over {
                trip: message.trip,
                took: cx.now().since(sent),
            }),
            Input::Done { .. } => {}
        }
        cx.rest();
    }

    fn rest(self) {}

    fn save(&self, to: &mut Writer) {
        ().save(to);
    }

    fn waiting_for(&self) -> Option<String> {
        None
    }
}

/// The time of each trip; `None` where the message was lost.
struct Times(Vec<Option<Span>>);

impl Recorder<Post> for Times {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, over: Over) -> Result<(), RecorderError> {
        if let Some(place) = self.0.get_mut(over.trip as usize) {
            *place = Some(over.took);
        }
        Ok(())
    }
}

impl LinkNetwork {
    /// How long each of these trips takes, in their order; `None` where the message is lost. Faults and
    /// absences are left out, so only the links lose messages.
    ///
    /// # Errors
    /// Returns the error of the kernel, for example a thread that cannot be started.
    pub fn try_out(&self, trips: &[Trip], seed: u64) -> Result<Vec<Option<Span>>, SimError> {
        let mut by_sender: BTreeMap<NodeId, Vec<(u64, Trip)>> = BTreeMap::new();
        for (place, trip) in trips.iter().enumerate() {
            let own = by_sender.entry(trip.from).or_default();
            own.push((place as u64, *trip));
        }
        for own in by_sender.values_mut() {
            own.sort_by_key(|(place, trip)| (trip.at, *place));
        }
        let last = trips.iter().map(|trip| trip.from.0.max(trip.to.0)).max();
        let Some(last) = last else {
            return Ok(Vec::new());
        };
        let simulation = Simulation {
            world: Arc::new(Post {
                network: self.undisturbed(),
                nodes: last.saturating_add(1),
                trips: Arc::new(by_sender),
            }),
            seed,
            shards: 1,
        };
        let workers = Workers::start(1, || |(): &()| ())
            .map_err(|error| SimError::Host(error.to_string()))?;
        let mut times = Times(vec![None; trips.len()]);
        match simulation.run(&workers, &mut times, &AtomicBool::new(false)) {
            // No node ends this run: it is over when no event is left.
            Ok(_) | Err(SimError::Wedged { .. }) => Ok(times.0),
            Err(error) => Err(error),
        }
    }
}
