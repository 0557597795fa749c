//! Messages over TCP in an interface: flows that share the sender's side and, where the receiver's side
//! is slower, pass that side too.
//!
//! Trains of packets wait in drop-tail queues and are served first come, first served, whatever the
//! link's [`super::Sharing`]: flows share a rate as their windows do. One event handles a whole train,
//! so a message takes a few events for each round trip.

use super::amid::traffic;
use super::link::{packets, Transport};
use super::network::LinkNetwork;
use super::nic::{Nic, Wake};
use super::tcp::{Bottleneck, Dice, Flow, Setup};
use super::way::{moment, Hop, Way};
use super::wire::Wire;
use crate::fault::{Corruption, LinkFault};
use crate::quantity::{Bandwidth, Bytes, Span, VirtualTime};
use crate::sim::rng::{stream, Purpose};
use crate::sim::{NetContext, NodeId, Parcel};
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// Where several messages are under way, the acknowledgements of this part of a round trip are handled
/// at once.
const GRAIN: f64 = 0.25;
/// The largest number of steps of one message that are taken in one event.
const AT_ONCE: u32 = 64;

/// The messages over TCP that a node is sending.
pub(super) struct Streams<M> {
    /// This node's side of the path.
    up: Bottleneck,
    /// The sides of receivers that are slower than this node's side, each with the number of messages
    /// on their way to it.
    down: BTreeMap<NodeId, (Bottleneck, u32)>,
    /// The messages by when their next event is due; those of one moment in the order in which they
    /// came there.
    due: BTreeMap<(VirtualTime, u64), Box<Sending<M>>>,
    serial: u64,
}

/// One message over TCP under way.
struct Sending<M> {
    parcel: Parcel<M>,
    flow: Flow,
    /// The latency of the path, without the time in queues.
    latency: Span,
    /// The seconds that one of its packets takes on this node's side, and on the receiver's side if
    /// that is slower.
    packet_up: f64,
    packet_down: Option<f64>,
    /// The number of the message among those to its receiver; 0 where they are not counted.
    number: u64,
    /// The number of trains so far: each train has a draw of its own for faults that hit only some.
    trains: u32,
    /// Whether all packets are known to get through and are leaving now.
    leaves: bool,
}

snapshot_struct!(impl<M> Streams<M> { up, down, due, serial });
snapshot_struct!(impl<M> Sending<M> {
    parcel, flow, latency, packet_up, packet_down, number, trains, leaves
});

impl<M> Streams<M> {
    pub const fn new() -> Self {
        Self {
            up: Bottleneck::new(0.0, f64::INFINITY),
            down: BTreeMap::new(),
            due: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Adds `seconds` of work behind what is on this node's side; returns when the side will be free.
    pub fn load(&mut self, now: f64, seconds: f64) -> VirtualTime {
        self.up.free = self.up.free.max(now) + seconds;
        moment(self.up.free)
    }

    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    pub fn for_each(&self, visit: &mut dyn FnMut(&M)) {
        self.due
            .values()
            .for_each(|sending| visit(&sending.parcel.message));
    }

    /// Keeps a message until its next event at `at`.
    fn keep(&mut self, at: VirtualTime, sending: Box<Sending<M>>, cx: &mut NetContext<'_, M>) {
        self.due.insert((at, self.serial), sending);
        self.serial += 1;
        cx.alarm(at, Wake::Stream.token());
    }

    /// Takes out the message whose next event is due by `now`.
    fn next(&mut self, now: VirtualTime) -> Option<Box<Sending<M>>> {
        let (at, _) = *self.due.first_key_value()?.0;
        (at <= now)
            .then(|| self.due.pop_first())?
            .map(|(_, sending)| sending)
    }

    /// Counts a message that is sent to `target`, whose side is slower.
    fn expect(&mut self, target: NodeId, packet: f64) {
        let fresh = Bottleneck::new(packet, f64::INFINITY);
        self.down.entry(target).or_insert((fresh, 0)).1 += 1;
    }

    /// Counts off a message that is no longer on its way to `target`; the last one removes the side.
    fn forget(&mut self, target: NodeId) {
        if let Some((_, flows)) = self.down.get_mut(&target) {
            *flows = flows.saturating_sub(1);
            if *flows == 0 {
                self.down.remove(&target);
            }
        }
    }
}

impl LinkNetwork {
    /// The seconds that one packet of a message takes on its sender's side, and on its receiver's if
    /// that is slower. All packets of one message count as equal.
    fn paces(&self, from: NodeId, to: NodeId, wire: f64) -> (f64, Option<f64>) {
        let time = |rate: Bandwidth| wire * 8.0 / rate.get();
        let up = self.group(from).up(from).map_or(0.0, time);
        let down = self.group(to).down(to).map(time);
        (up, down.filter(|down| *down > up))
    }

    /// The handler of a node sends a message over TCP.
    pub(super) fn open_stream<M: Wire>(
        &self,
        nic: &mut Nic<M>,
        parcel: Parcel<M>,
        number: u64,
        mtu: Bytes,
        cx: &mut NetContext<'_, M>,
    ) {
        let from = self.group(parcel.source);
        let to = self.group(parcel.target);
        let Transport::Tcp {
            congestion,
            initial_window,
            receive_window,
        } = from.model.transport
        else {
            return cx.drop(parcel);
        };
        let mut rng = stream(
            cx.seed(),
            u64::from(parcel.source.0),
            Purpose::Link,
            parcel.sequence,
        );
        // The latency is drawn once for each message, for the way there and the way back.
        let latency = match (from.fixed, to.fixed) {
            (Some(a), Some(b)) => a + b,
            _ => from.model.latency.draw(&mut rng) + to.model.latency.draw(&mut rng),
        };
        let latency = latency.max(self.least());
        let bytes = parcel.message.wire_bytes();
        let count = packets(bytes, mtu);
        let wire = from.model.on_wire(bytes, count, mtu) as f64 / count as f64;
        let (packet_up, packet_down) = self.paces(parcel.source, parcel.target, wire);
        let instant = latency == Span::ZERO && packet_up == 0.0 && packet_down.is_none();
        if instant && self.faults.is_none() && !from.model.acks {
            return self.depart(parcel, to, latency, cx);
        }
        let streams = nic.streams(from.model.sharing);
        if streams.is_empty() {
            streams.up.forget_idle();
        }
        let rtt = 2.0 * latency.seconds();
        let setup = Setup {
            congestion,
            initial_window,
            receive_window: receive_window.0 as f64 / mtu.0.max(1) as f64,
            packets: count,
            rtt,
            losses: [from.model.loss, to.model.loss],
            grain: if streams.is_empty() {
                f64::INFINITY
            } else {
                rtt * GRAIN
            },
        };
        let dice = Dice::new(cx.seed(), parcel.source.0, parcel.sequence);
        let now = cx.now().seconds();
        if let Some(packet) = packet_down {
            streams.expect(parcel.target, packet);
        }
        let mut sending = Ahead {
            packet_up,
            packet_down,
            number,
            trains: 0,
        };
        let flow = self.along(streams, &mut sending, &parcel, cx.now(), |way| {
            Flow::begin(&setup, dice, now, way)
        });
        let sending = Box::new(Sending {
            parcel,
            flow,
            latency,
            packet_up,
            packet_down,
            number,
            trains: sending.trains,
            leaves: false,
        });
        self.keep_stream(streams, sending, cx);
    }

    /// Calls `what` with the path that a message's trains take.
    fn along<M: Wire, T>(
        &self,
        streams: &mut Streams<M>,
        ahead: &mut Ahead,
        parcel: &Parcel<M>,
        now: VirtualTime,
        what: impl FnOnce(&mut Way<'_>) -> T,
    ) -> T {
        let (source, target) = (parcel.source, parcel.target);
        let faults = self.faults.as_deref();
        let mut traffic = traffic(parcel, ahead.trains, ahead.number);
        // A fault may make the buffer smaller.
        let mut least = [f64::INFINITY; 2];
        for pass in faults
            .into_iter()
            .flat_map(|faults| faults.met(&traffic, now))
        {
            if let LinkFault::Queue { capacity, .. } = pass.fault {
                let side = &mut least[usize::from(!pass.up)];
                *side = side.min(capacity.0 as f64);
            }
        }
        let room = |node: NodeId, rate: Option<Bandwidth>, least: f64| {
            let own = self.group(node).model.buffer;
            let bytes = own.map_or(f64::INFINITY, |own| own.0 as f64).min(least);
            rate.map_or(f64::INFINITY, |rate| bytes * 8.0 / rate.get())
        };
        let mut hops = [None, None];
        if ahead.packet_up > 0.0 {
            hops[0] = Some(Hop {
                bottleneck: &mut streams.up,
                packet: ahead.packet_up,
                buffer: room(source, self.group(source).up(source), least[0]),
                clock: self.clock_of(source, true),
                up: true,
            });
        }
        let down = ahead.packet_down.zip(streams.down.get_mut(&target));
        if let Some((packet, (bottleneck, _))) = down {
            hops[1] = Some(Hop {
                bottleneck,
                packet,
                buffer: room(target, self.group(target).down(target), least[1]),
                clock: self.clock_of(target, false),
                up: false,
            });
        }
        let mut way = Way {
            hops,
            faults: faults.map(|faults| (faults, &mut traffic)),
        };
        let result = what(&mut way);
        ahead.trains = traffic.attempt;
        result
    }

    /// Keeps a message until its next event.
    fn keep_stream<M: Wire>(
        &self,
        streams: &mut Streams<M>,
        mut sending: Box<Sending<M>>,
        cx: &mut NetContext<'_, M>,
    ) {
        let now = cx.now();
        if sending.flow.has_failed() {
            streams.forget(sending.parcel.target);
            return cx.lose(sending.parcel);
        }
        let at = if sending.flow.is_done() {
            sending.leaves = true;
            moment(sending.flow.end() - sending.latency.seconds())
        } else {
            moment(sending.flow.next())
        };
        streams.keep(at.max(now), sending, cx);
    }

    /// Handles all events that are due.
    pub(super) fn streams_due<M: Wire>(&self, nic: &mut Nic<M>, cx: &mut NetContext<'_, M>) {
        let now = cx.now();
        let sharing = self.group(cx.node()).model.sharing;
        loop {
            let streams = nic.streams(sharing);
            let Some(mut sending) = streams.next(now) else {
                return;
            };
            if sending.leaves {
                streams.forget(sending.parcel.target);
                self.left(nic, *sending, cx);
                continue;
            }
            let mut ahead = Ahead {
                packet_up: sending.packet_up,
                packet_down: sending.packet_down,
                number: sending.number,
                trains: sending.trains,
            };
            // Events that come so soon are handled now, so that a round trip takes one event or a few.
            let soon = now.seconds() + sending.latency.seconds() * 2.0 * GRAIN;
            let Sending { parcel, flow, .. } = &mut *sending;
            self.along(streams, &mut ahead, parcel, now, |way| {
                for _ in 0..AT_ONCE {
                    flow.step(way);
                    let over = flow.is_done() || flow.has_failed();
                    if over || flow.next() > soon {
                        break;
                    }
                }
            });
            sending.trains = ahead.trains;
            self.keep_stream(streams, sending, cx);
        }
    }

    /// Whether a message over TCP passes its receiver's side packet by packet, and not as a whole once
    /// it has arrived.
    pub(super) fn passes_both<M: Wire>(&self, parcel: &Parcel<M>) -> bool {
        // All packets count as equal, so the rates alone decide.
        self.paces(parcel.source, parcel.target, 1.0).1.is_some()
    }

    /// The last packet of a message has left.
    fn left<M: Wire>(&self, nic: &mut Nic<M>, sending: Sending<M>, cx: &mut NetContext<'_, M>) {
        let now = cx.now();
        let Sending {
            mut parcel,
            flow,
            latency,
            number,
            trains,
            ..
        } = sending;
        if let (Some(presence), Some(client)) = (&self.presence, parcel.source.0.checked_sub(1)) {
            if presence.abandons(client, parcel.sent, now) {
                return cx.drop(parcel);
            }
        }
        let mut at = moment(flow.end()).max(now + latency.max(self.least()));
        if let Some(faults) = &self.faults {
            if faults.crashes_within(parcel.source, parcel.sent, now) {
                return cx.drop(parcel);
            }
            let traffic = traffic(&parcel, trains, number);
            let mut corrupt: Option<(u32, Corruption)> = None;
            let mut copies = Vec::new();
            for pass in faults.met(&traffic, now) {
                match pass.fault {
                    LinkFault::Corrupt {
                        how,
                        checksum: false,
                    } => {
                        corrupt = Some((pass.entry, *how));
                    }
                    LinkFault::Duplicate { after } => {
                        let mut rng = faults.draws(&pass, &traffic);
                        copies.push(Span::from_seconds(after.sample(&mut rng)));
                    }
                    _ => {}
                }
            }
            if let Some((entry, how)) = corrupt {
                let mut rng = faults.draws_of(entry, &traffic);
                parcel.message = parcel.message.corrupt(how, &mut rng);
            }
            for after in copies {
                if let Some(message) = parcel.message.copied() {
                    cx.copy(Parcel { message, ..parcel }, at + after);
                }
            }
        }
        if let (Some(presence), Some(client)) = (&self.presence, parcel.source.0.checked_sub(1)) {
            let resumes = presence.resumes(client, now);
            if resumes == VirtualTime::NEVER {
                return cx.lose(parcel);
            }
            at += resumes.since(now);
        }
        if self.group(parcel.source).model.acks {
            self.acknowledged(nic, &parcel, cx);
            // The receiver's interface sends the acknowledgements.
            return cx.carry(parcel, at);
        }
        // Messages of other senders may be on the receiver's side.
        if self.group(parcel.target).down(parcel.target).is_some() {
            cx.carry(parcel, at);
        } else {
            cx.deliver(parcel, at);
        }
    }
}

/// The values that a train needs of its message.
struct Ahead {
    packet_up: f64,
    packet_down: Option<f64>,
    number: u64,
    trains: u32,
}

#[cfg(test)]
mod tests {
    use super::super::Loss;
    use super::*;

    #[test]
    fn what_waits_in_an_interface_is_the_same_after_a_checkpoint() {
        use crate::net::tcp::Congestion;
        use crate::net::testbed::Mail;
        use crate::snapshot::testing::{again, bytes_of};
        use crate::snapshot::Snapshot;
        let setup = Setup {
            congestion: Congestion::Cubic,
            initial_window: 10,
            receive_window: 400.0,
            packets: 60,
            rtt: 0.05,
            losses: [Loss::None, Loss::None],
            grain: f64::INFINITY,
        };
        let mut streams: Streams<Mail> = Streams::new();
        let flow = Flow::begin(&setup, Dice::new(1, 2, 3), 0.0, &mut streams.up);
        let next = moment(flow.next());
        let message = Mail {
            id: 1,
            bytes: 80_000,
            hops: 0,
        };
        let parcel = Parcel {
            source: NodeId(2),
            target: NodeId(0),
            sequence: 3,
            sent: VirtualTime::ZERO,
            message,
        };
        let sending = Sending {
            parcel,
            flow,
            latency: Span::from_millis(25),
            packet_up: 0.001,
            packet_down: Some(0.002),
            number: 0,
            trains: 1,
            leaves: false,
        };
        streams.due.insert((next, 0), Box::new(sending));
        let mut other = again(&streams).unwrap();
        assert_eq!(
            bytes_of(|to| streams.save(to)),
            bytes_of(|to| other.save(to))
        );
        assert!(other.next(VirtualTime::ZERO).is_none());
        let sending = other.next(next).unwrap();
        assert!(sending.parcel.message.id == 1 && other.is_empty());
    }
}
