//! The network that the kernel runs: the path of a message over the links of its sender and receiver.

use super::link::{packets, LinkModel, Transport};
use super::loss::Loss;
use super::nic::{Clock, Nic, Transfer, Wake};
use super::queue::Work;
use super::table::{Group, LinkTable, NetError};
use super::wire::Wire;
use crate::availability::Presence;
use crate::fault::LinkFaults;
use crate::quantity::{Bandwidth, Bytes, Span, VirtualTime};
use crate::sim::rng::{stream, Purpose, Stream};
use crate::sim::{NetContext, Network, NodeId, Parcel};
use std::ops::Range;
use std::sync::Arc;

/// The number of an attempt is put into the bits above the message's sequence number, which never
/// reaches 2⁴⁸, so that each retransmission draws from a stream of its own.
const ATTEMPT_SHIFT: u32 = 48;

/// Which nodes send messages to each other. The topology decides the lookahead, and so the length of
/// the windows of virtual time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// Any node may send to any other.
    Mesh,
    /// Every node sends to the centre, and the centre to every node. A message between two other nodes
    /// is let through, but takes at least the lookahead.
    Star {
        /// The centre, usually the server.
        centre: NodeId,
    },
    /// The nodes of one layer send to those of the next layer and of the layer before; each layer is a
    /// range of node numbers made of whole groups. As with a star, any other message takes at least the
    /// lookahead.
    Layers(Vec<Range<u32>>),
}

/// A network of access links; see the [module documentation](super).
#[derive(Debug, Clone)]
pub struct LinkNetwork {
    table: LinkTable,
    /// The group of nodes beyond the table; the kernel drops messages to them.
    nowhere: Group,
    lookahead: Span,
    /// The faults of links, if there are any.
    pub(super) faults: Option<Arc<LinkFaults>>,
    /// The availability of clients whose messages depend on it, if there are any. The nodes of clients
    /// follow the node of the server: client 0 is node 1.
    pub(super) presence: Option<Arc<Presence>>,
}

impl LinkNetwork {
    /// A network in which every node of `table` has its link.
    ///
    /// The lookahead is the least sum of the latency bounds of two nodes that send to each other.
    ///
    /// # Errors
    /// Returns a [`NetError`] if the table has no nodes, or if the centre of a star has no link.
    pub fn new(table: LinkTable, topology: Topology) -> Result<Self, NetError> {
        let Some(nowhere) = table.last().cloned() else {
            return Err(NetError::Empty);
        };
        let lookahead = match topology {
            Topology::Mesh => two_least(&table),
            Topology::Star { centre } if centre.0 < table.nodes() => {
                let own = table.group(centre).unwrap_or(&nowhere);
                own.model.latency.bound() + least_other(&table, centre)
            }
            Topology::Layers(layers) => {
                let least = |layer: &Range<u32>| least_within(&table, layer);
                let pairs = layers.windows(2).map(|pair| match pair {
                    [upper, lower] => least(upper) + least(lower),
                    _ => Span::ZERO,
                });
                pairs.min().unwrap_or(Span::ZERO)
            }
            Topology::Star { centre } => {
                let nodes = table.nodes();
                return Err(NetError::NoCentre { centre, nodes });
            }
        };
        Ok(Self {
            table,
            nowhere,
            lookahead,
            faults: None,
            presence: None,
        })
    }

    /// Returns this network with faults.
    pub fn with_faults(mut self, faults: LinkFaults) -> Self {
        self.set_faults(faults);
        self
    }

    /// Sets the faults of the network.
    pub fn set_faults(&mut self, faults: LinkFaults) {
        self.faults = (!faults.is_empty()).then(|| Arc::new(faults));
    }

    /// Returns this network, of a server and clients, with clients that may leave while they send.
    pub fn with_presence(self, presence: &Arc<Presence>) -> Self {
        Self {
            presence: presence.matters().then(|| Arc::clone(presence)),
            ..self
        }
    }

    /// Returns this network without faults and absences.
    pub(super) fn undisturbed(&self) -> Self {
        Self {
            faults: None,
            presence: None,
            ..self.clone()
        }
    }

    /// The least time that any message takes.
    pub(super) const fn least(&self) -> Span {
        self.lookahead
    }

    /// How time passes for the queues of a node.
    pub(super) fn clock(&self, node: NodeId) -> Clock<'_> {
        Clock(self.faults.as_deref().map(|faults| (faults, node)))
    }

    /// How time passes for one side of a node, without a clock where nothing changes the side's rate.
    pub(super) fn clock_of(&self, node: NodeId, up: bool) -> Clock<'_> {
        let faults = self.faults.as_deref();
        let paced = faults.filter(|faults| faults.is_paced(node, up));
        Clock(paced.map(|faults| (faults, node)))
    }

    /// The time that a message of `bytes` takes from one node to another on idle links without losses:
    /// the set-up of its connection, both sides of the path, and the median latencies.
    pub fn expected(&self, from: NodeId, to: NodeId, bytes: Bytes) -> Span {
        let (source, target) = (self.group(from), self.group(to));
        let mtu = source.model.mtu;
        let wire = source.model.on_wire(bytes, packets(bytes, mtu), mtu);
        let wire = Bytes(u64::try_from(wire).unwrap_or(u64::MAX));
        let side = |rate: Option<Bandwidth>| rate.map_or(Span::ZERO, |rate| rate.time_for(wire));
        // A message enters the second link once the first has let all of the message through.
        let passing = side(source.up(from)) + side(target.down(to)) + source.median + target.median;
        passing + self.setup_expected(from, to)
    }

    /// The link model of a node. Rates that the node has of its own ([`super::Rates`]) are not in the
    /// model.
    pub fn link(&self, node: NodeId) -> &LinkModel {
        &self.group(node).model
    }

    pub(super) fn group(&self, node: NodeId) -> &Group {
        self.table.group(node).unwrap_or(&self.nowhere)
    }

    /// Puts packets on the up side of the sender's link.
    pub(super) fn emit<M: Wire>(
        &self,
        nic: &mut Nic<M>,
        transfer: Transfer<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let node = transfer.parcel.source;
        let from = self.group(node);
        match from.up(node) {
            None => self.emitted(nic, transfer, cx),
            Some(rate) => {
                let bytes = transfer.parcel.message.wire_bytes();
                let bits = from.model.on_wire(bytes, transfer.packets, transfer.mtu);
                let (work, sharing) = (Work::of(bits, rate), from.model.sharing);
                nic.queue_up(sharing, self.clock(node), work, transfer, cx);
            }
        }
    }

    /// Handles the moment at which the last packet has left: draws which packets get across.
    fn emitted<M: Wire>(
        &self,
        nic: &mut Nic<M>,
        transfer: Transfer<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let parcel = &transfer.parcel;
        if let (Some(presence), Some(client)) = (&self.presence, parcel.source.0.checked_sub(1)) {
            if presence.abandons(client, parcel.sent, cx.now()) {
                // The sender has left meanwhile.
                return cx.drop(transfer.parcel);
            }
        }
        let from = self.group(parcel.source);
        let to = self.group(parcel.target);
        let mut draws = Draws::new(cx.seed(), parcel, transfer.attempt);
        let lost = lost(nic, from, to, &transfer, &mut draws);
        if let Some(faults) = &self.faults {
            return self.emitted_amid(faults, nic, transfer, lost, draws, cx);
        }
        if lost == 0 {
            let latency = draws.latency(from) + draws.latency(to);
            self.depart(transfer.parcel, to, latency, cx);
            return;
        }
        self.resend(nic, transfer, lost, cx);
    }

    /// Decides what happens to packets that did not get across.
    pub(super) fn resend<M: Wire>(
        &self,
        nic: &mut Nic<M>,
        mut transfer: Transfer<M>,
        lost: u64,
        cx: &mut NetContext<'_, M>,
    ) {
        let from = self.group(transfer.parcel.source);
        let to = self.group(transfer.parcel.target);
        let Some(wait) = from.model.transport.wait(transfer.attempt) else {
            return cx.lose(transfer.parcel);
        };
        // A loss cannot be known before a round trip is over.
        let round_trip = (from.median + to.median).scaled(2.0);
        transfer.packets = lost;
        transfer.attempt += 1;
        nic.keep(
            from.model.sharing,
            cx.now() + wait.max(round_trip),
            transfer,
            cx,
        );
    }

    /// Sends the message on: all packets are across but for the latency; `to` is the target's group.
    #[inline(always)]
    pub(super) fn depart<M: Wire>(
        &self,
        parcel: Parcel<M>,
        to: &Group,
        latency: Span,
        cx: &mut NetContext<'_, M>,
    ) {
        let mut leaves = cx.now();
        if let (Some(presence), Some(client)) = (&self.presence, parcel.source.0.checked_sub(1)) {
            leaves = presence.resumes(client, leaves);
            if leaves == VirtualTime::NEVER {
                return cx.lose(parcel);
            }
        }
        let at = leaves + latency.max(self.lookahead);
        if to.down(parcel.target).is_some() {
            cx.carry(parcel, at);
        } else {
            cx.deliver(parcel, at);
        }
    }

    /// Sends a message on a connection that is open.
    #[inline(always)]
    fn set_out<M: Wire>(&self, nic: &mut Nic<M>, parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        if let Some(faults) = &self.faults {
            return self.send_amid(faults, nic, parcel, cx);
        }
        let from = self.group(parcel.source);
        let to = self.group(parcel.target);
        if let Transport::Tcp { .. } = from.model.transport {
            return self.open_stream(nic, parcel, 0, from.model.mtu, cx);
        }
        let lossless = from.model.loss == Loss::None && to.model.loss == Loss::None;
        if lossless && from.up(parcel.source).is_none() {
            let mut draws = Draws::new(cx.seed(), &parcel, 0);
            let latency = draws.latency(from) + draws.latency(to);
            self.depart(parcel, to, latency, cx);
            return;
        }
        let packets = packets(parcel.message.wire_bytes(), from.model.mtu);
        let transfer = Transfer {
            parcel,
            packets,
            attempt: 0,
            number: 0,
            mtu: from.model.mtu,
        };
        self.emit(nic, transfer, cx);
    }

    /// Handles a message that reaches its receiver's side.
    fn come<M: Wire>(&self, nic: &mut Nic<M>, parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        let to = self.group(parcel.target);
        let Some(rate) = to.down(parcel.target) else {
            let now = cx.now();
            cx.deliver(parcel, now);
            return;
        };
        // The sender cut the message into packets.
        let from = self.group(parcel.source);
        let sender = &from.model;
        let streams = matches!(sender.transport, Transport::Tcp { .. });
        let bytes = parcel.message.wire_bytes();
        let mtu = match &self.faults {
            Some(faults) => {
                // A message whose packets passed this side on their way found room there then.
                let passed = streams && self.passes_both(&parcel);
                if !passed && !self.has_room_amid(faults, nic, &parcel, cx) {
                    return cx.drop(parcel);
                }
                self.mtu_amid(faults, &parcel, 0, cx.now())
            }
            None => sender.mtu,
        };
        let bits = sender.on_wire(bytes, packets(bytes, mtu), mtu);
        let (work, clock) = (Work::of(bits, rate), self.clock(parcel.target));
        if streams {
            let first = parcel.sent + from.median + to.median;
            return nic.pass_down(to.model.sharing, clock, (first, work), parcel, cx);
        }
        nic.queue_down(to.model.sharing, clock, work, parcel, cx);
    }

    /// Charges the receiver's up side with the acknowledgements of a message.
    #[cold]
    fn acknowledge<M: Wire>(
        &self,
        nic: &mut Nic<M>,
        parcel: &Parcel<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let own = self.group(parcel.target);
        let Some(rate) = own.up(parcel.target) else {
            return;
        };
        let bytes = self.ack_bytes_of(parcel);
        let clock = self.clock(parcel.target);
        if let Transport::Tcp { .. } = own.model.transport {
            let seconds = bytes as f64 * 8.0 / rate.get();
            return nic.load_streams(own.model.sharing, clock, seconds, cx);
        }
        let work = Work::of(u128::from(bytes), rate);
        nic.load_side(own.model.sharing, clock, (true, work), cx);
    }

    /// Charges the sender's down side with the acknowledgements of a message, all of which it has now
    /// got.
    #[cold]
    pub(super) fn acknowledged<M: Wire>(
        &self,
        nic: &mut Nic<M>,
        parcel: &Parcel<M>,
        cx: &mut NetContext<'_, M>,
    ) {
        let own = self.group(parcel.source);
        let Some(rate) = own.down(parcel.source) else {
            return;
        };
        let work = Work::of(u128::from(self.ack_bytes_of(parcel)), rate);
        let clock = self.clock(parcel.source);
        nic.load_side(own.model.sharing, clock, (false, work), cx);
    }

    fn ack_bytes_of<M: Wire>(&self, parcel: &Parcel<M>) -> u64 {
        let bytes = parcel.message.wire_bytes();
        self.beside(parcel.source, parcel.target, bytes).acks
    }
}

/// The number of lost packets of a transfer: first those lost on the sender's side, then, of the rest,
/// those lost on the receiver's.
fn lost<M>(
    nic: &mut Nic<M>,
    from: &Group,
    to: &Group,
    transfer: &Transfer<M>,
    draws: &mut Draws,
) -> u64 {
    let mut lost = 0;
    if from.model.loss != Loss::None {
        let bursty = matches!(from.model.loss, Loss::GilbertElliott { .. });
        let state = if bursty {
            &mut nic.memory().up
        } else {
            &mut None
        };
        lost = from
            .model
            .loss
            .lost(transfer.packets, state, draws.stream());
    }
    if to.model.loss != Loss::None {
        let bursty = matches!(to.model.loss, Loss::GilbertElliott { .. });
        let state = if bursty {
            nic.memory().down.entry(transfer.parcel.target).or_default()
        } else {
            &mut None
        };
        let left = transfer.packets - lost;
        lost += to.model.loss.lost(left, state, draws.stream());
    }
    lost
}

/// The random draws of one attempt of one message; most messages on simple links need none.
pub(super) struct Draws {
    seed: u64,
    source: u64,
    counter: u64,
    stream: Option<Stream>,
}

impl Draws {
    pub(super) fn new<M>(seed: u64, parcel: &Parcel<M>, attempt: u32) -> Self {
        Self {
            seed,
            source: u64::from(parcel.source.0),
            counter: parcel.sequence | (u64::from(attempt) << ATTEMPT_SHIFT),
            stream: None,
        }
    }

    fn stream(&mut self) -> &mut Stream {
        let (seed, source, counter) = (self.seed, self.source, self.counter);
        self.stream
            .get_or_insert_with(|| stream(seed, source, Purpose::Link, counter))
    }

    pub(super) fn latency(&mut self, group: &Group) -> Span {
        match group.fixed {
            Some(latency) => latency,
            None => group.model.latency.draw(self.stream()),
        }
    }
}

/// The sum of the two least latency bounds; in a table with one node its bound counts twice.
fn two_least(table: &LinkTable) -> Span {
    let mut bounds: Vec<Span> = Vec::new();
    for bound in table.bounds() {
        let times = bound.count.min(2) as usize;
        bounds.extend(std::iter::repeat_n(bound.latency, times));
    }
    bounds.sort_unstable();
    match bounds.as_slice() {
        [first, second, ..] => *first + *second,
        [only] => *only + *only,
        [] => Span::ZERO,
    }
}

/// The least latency bound of nodes that make whole groups; zero if there are none.
fn least_within(table: &LinkTable, nodes: &Range<u32>) -> Span {
    let concerned = table.bounds().filter(|bound| bound.begins_in(nodes));
    let bounds = concerned.map(|bound| bound.latency);
    bounds.min().unwrap_or(Span::ZERO)
}

/// The least latency bound of the nodes that are not `centre`; zero if there are none.
fn least_other(table: &LinkTable, centre: NodeId) -> Span {
    let others = table
        .bounds()
        .filter(|bound| bound.count > u32::from(bound.holds(centre)));
    others
        .map(|bound| bound.latency)
        .min()
        .unwrap_or(Span::ZERO)
}

impl<M: Wire> Network<M> for LinkNetwork {
    type Nic = Nic<M>;

    fn lookahead(&self) -> Span {
        self.lookahead
    }

    fn interface(&self, _: NodeId) -> Nic<M> {
        Nic::new()
    }

    fn send(&self, nic: &mut Nic<M>, parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        if parcel.target == parcel.source {
            // A message from a node to itself never leaves the node.
            let now = cx.now();
            cx.deliver(parcel, now);
            return;
        }
        let from = self.group(parcel.source);
        if from.beside {
            let bytes = parcel.message.wire_bytes();
            let beside = self.beside(parcel.source, parcel.target, bytes);
            cx.beside(parcel.message.kind(), beside.setup, beside.acks);
            if let Some(wait) = self.setup(cx.seed(), &parcel) {
                let at = cx.now() + wait;
                return nic.open(from.model.sharing, at, parcel, cx);
            }
        }
        self.set_out(nic, parcel, cx);
    }

    fn arrive(&self, nic: &mut Nic<M>, parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        let from = self.group(parcel.source);
        if from.beside && from.model.acks {
            self.acknowledge(nic, &parcel, cx);
        }
        self.come(nic, parcel, cx);
    }

    fn alarm(&self, nic: &mut Nic<M>, token: u64, cx: &mut NetContext<'_, M>) {
        let (now, node) = (cx.now(), cx.node());
        let Some(wake) = Wake::from_token(token).filter(|wake| nic.expects(*wake, now)) else {
            return;
        };
        let clock = self.clock(node);
        match wake {
            Wake::Up => {
                while let Some(transfer) = nic.through_up(clock, now) {
                    self.emitted(nic, transfer, cx);
                }
            }
            Wake::Down => {
                while let Some(parcel) = nic.through_down(clock, now) {
                    cx.deliver(parcel, now);
                }
            }
            Wake::Stream => self.streams_due(nic, cx),
            Wake::Open => {
                while let Some(parcel) = nic.opened(now) {
                    self.set_out(nic, parcel, cx);
                }
            }
            Wake::Resend => {
                while let Some(transfer) = nic.due_again(now) {
                    self.emit(nic, transfer, cx);
                }
            }
        }
        nic.settle(clock, cx);
    }

    fn remembers(&self, nic: &Nic<M>) -> bool {
        self.faults.is_some() && nic.counts()
    }

    fn held(&self, nic: &Nic<M>, visit: &mut dyn FnMut(&M)) {
        nic.for_each(visit);
    }
}
