//! Setting up a connection: the round trips that pass before the first byte of a message is sent, and
//! the bytes that they take.
//!
//! The sender of a message opens the connection. This is what passes between the two ends before data
//! may be sent:
//!
//! | handshake | round trips | source |
//! |---|---|---|
//! | TCP | 1: SYN, SYN-ACK | RFC 9293, 3.5 |
//! | TLS 1.3 over TCP | 2: also ClientHello, the server's flight | RFC 8446, 2 |
//! | TLS 1.3 over TCP, resumed | 2: as above, without certificates | RFC 8446, 2.2 |
//! | QUIC, 0-RTT | 0: data follow the first datagram | RFC 9001, 4.6; RFC 9000, 14.1 |
//!
//! For example, on a path with a round trip of 40 ms a message over TLS 1.3 waits 80 ms, and the time
//! that the bytes of the handshake take, before its first byte is sent.
//!
//! The sizes of TLS records are those of the traces in RFC 8448, sections 3 and 4, except for the chain
//! of certificates: the RFC has one certificate of 432 bytes that signs itself, and here the chain has
//! [`CERTIFICATES`] bytes.

use super::link::{LinkModel, Transport};
use super::network::LinkNetwork;
use super::table::Group;
use crate::quantity::{Bandwidth, Bytes, Span};
use crate::sim::rng::{stream, Purpose};
use crate::sim::{NodeId, Parcel};
use crate::snapshot::snapshot_struct;
use serde::Serialize;

/// Bytes of options in a SYN as Linux sends it: largest segment (4), SACK permitted (2), timestamps
/// (10), window scale (3), and one byte of padding.
const SYN_OPTIONS: u64 = 20;
/// Bytes of options in every later segment: timestamps (10, RFC 7323) and two bytes of padding.
const OPTIONS: u64 = 12;
/// Bytes of the record of a ClientHello (RFC 8448, section 3).
const CLIENT_HELLO: u64 = 201;
/// Bytes of the records of ServerHello (95) and of the rest of the flight (679), without the
/// certificate of the trace (432).
const SERVER_FLIGHT: u64 = 95 + 679 - 432;
/// Bytes of a server's certificate and of the certificate of the authority that signed it. This is an
/// assumption: with RSA keys of 2,048 bits they are larger, with elliptic curves smaller.
const CERTIFICATES: u64 = 3_000;
/// Bytes of the client's Finished.
const FINISHED: u64 = 58;
/// Bytes of a ticket with which a later connection can be resumed; nothing waits for the ticket.
const TICKET: u64 = 227;
/// Bytes of a ClientHello that contains a ticket (RFC 8448, section 4).
const RESUMING_HELLO: u64 = 517;
/// Bytes of a ServerHello that accepts the ticket (101), EncryptedExtensions (40) and Finished (36) in
/// one record, with 22 bytes of header, type and tag.
const RESUMING_FLIGHT: u64 = 101 + 40 + 36 + 22;
/// Bytes to which a datagram with an Initial packet is padded (RFC 9000, section 14.1).
const INITIAL: u64 = 1_200;
/// An attempt number that no message reaches: the random draws of a connection's set-up are named by
/// it.
const SETUP_ATTEMPT: u64 = 0xffff;
const ATTEMPT_SHIFT: u32 = 48;

/// The handshake by which a connection is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum Handshake {
    /// TCP alone, without encryption.
    Tcp,
    /// TCP, then TLS 1.3 with certificates.
    Tls13,
    /// TCP, then TLS 1.3 with a ticket of an earlier connection. Data wait for the server's answer:
    /// data sent earlier could be replayed by others (RFC 8446, section 8), and a report must count
    /// once.
    Tls13Resumed,
    /// QUIC with a ticket, and data in the first flight of packets.
    Quic0Rtt,
}

/// Whether messages use an open connection or each set up their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[non_exhaustive]
pub enum Connection {
    /// The connection is open already.
    #[default]
    Persistent,
    /// Each message sets up a connection of its own.
    PerMessage {
        /// The handshake that sets it up.
        handshake: Handshake,
    },
}

impl Connection {
    /// Whether the connection is open already, which is the default and is left out where a link is
    /// written.
    pub const fn is_persistent(&self) -> bool {
        matches!(self, Self::Persistent)
    }
}

/// Bytes that cross links in addition to a message and its headers, in both directions together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// Bytes that set up the connection.
    pub setup: u64,
    /// Bytes of acknowledgements, in both directions.
    pub acks: u64,
}

snapshot_struct!(Beside { setup, acks });

impl Beside {
    /// The sum of both.
    pub const fn total(self) -> u64 {
        self.setup.saturating_add(self.acks)
    }

    /// Adds the bytes of another message.
    pub const fn add(&mut self, other: Self) {
        self.setup = self.setup.saturating_add(other.setup);
        self.acks = self.acks.saturating_add(other.acks);
    }
}

/// Packets that one end sends before the other end answers.
#[derive(Debug, Clone, Copy)]
struct Flight {
    /// Whether the end that opens the connection sends them.
    there: bool,
    /// Bytes of the flight, without headers.
    bytes: u64,
    /// Bytes of options in each packet.
    options: u64,
}

/// The flights before data may be sent, and the flights after that.
type Flights = (Vec<Flight>, Vec<Flight>);

impl Handshake {
    /// The number of round trips before the first byte of data is sent.
    pub const fn round_trips(self) -> u32 {
        match self {
            Self::Tcp => 1,
            Self::Tls13 | Self::Tls13Resumed => 2,
            Self::Quic0Rtt => 0,
        }
    }

    fn flights(self) -> Flights {
        let flight = |there, bytes, options| Flight {
            there,
            bytes,
            options,
        };
        let (there, back) = (
            |bytes| flight(true, bytes, OPTIONS),
            |bytes| flight(false, bytes, OPTIONS),
        );
        let (syn, syn_ack) = (flight(true, 0, SYN_OPTIONS), flight(false, 0, SYN_OPTIONS));
        let mut before = vec![syn, syn_ack, there(0)];
        match self {
            Self::Tcp => (before, vec![]),
            Self::Tls13 => {
                let server = back(SERVER_FLIGHT + CERTIFICATES);
                before.extend([there(CLIENT_HELLO), server, there(FINISHED)]);
                (before, vec![back(TICKET)])
            }
            Self::Tls13Resumed => {
                let server = back(RESUMING_FLIGHT);
                before.extend([there(RESUMING_HELLO), server, there(FINISHED)]);
                (before, vec![back(TICKET)])
            }
            Self::Quic0Rtt => {
                let initial = |there| flight(there, INITIAL, 0);
                let after = [initial(false), flight(true, FINISHED, 0)];
                (vec![initial(true)], after.to_vec())
            }
        }
    }
}

impl Flight {
    /// Bytes on the wire, in packets of the size that `link` has.
    fn on_wire(&self, link: &LinkModel) -> u64 {
        let packets = self.bytes.div_ceil(link.mtu.0.max(1)).max(1);
        let each = link.header.0.saturating_add(self.options);
        self.bytes.saturating_add(packets.saturating_mul(each))
    }
}

/// Bytes of the acknowledgements of `packets` packets: one acknowledgement for every two packets, and
/// one for a last packet alone (RFC 5681, section 4.2), with timestamps and without SACK blocks.
pub(super) fn ack_bytes(link: &LinkModel, packets: u64) -> u64 {
    let each = link.header.0.saturating_add(OPTIONS);
    packets.div_ceil(2).saturating_mul(each)
}

impl LinkNetwork {
    /// Bytes that cross links in addition to a message of `bytes` and its headers. Faults are not
    /// considered: acknowledgements are those of packets of the size that the sender's link has.
    pub fn beside(&self, from: NodeId, to: NodeId, bytes: Bytes) -> Beside {
        let link = &self.group(from).model;
        if from == to {
            return Beside::default();
        }
        let setup = match link.connection {
            Connection::Persistent => 0,
            Connection::PerMessage { handshake } => {
                let (before, after) = handshake.flights();
                let all = before.iter().chain(&after);
                all.map(|flight| flight.on_wire(link)).sum()
            }
        };
        let acks = match (link.acks, link.transport) {
            (true, Transport::Tcp { .. }) => ack_bytes(link, link.packets(bytes)),
            _ => 0,
        };
        Beside { setup, acks }
    }

    /// The time that the bytes of a set-up take on the sides they cross, one after the other at the
    /// full rates.
    fn setup_bytes_time(&self, handshake: Handshake, from: NodeId, to: NodeId) -> Span {
        let (source, target) = (self.group(from), self.group(to));
        let side = |rate: Option<Bandwidth>, bytes| {
            rate.map_or(Span::ZERO, |rate| rate.time_for(Bytes(bytes)))
        };
        let times = handshake.flights().0.into_iter().map(|flight| {
            let bytes = flight.on_wire(&source.model);
            match flight.there {
                true => side(source.up(from), bytes) + side(target.down(to), bytes),
                false => side(target.up(to), bytes) + side(source.down(from), bytes),
            }
        });
        times.fold(Span::ZERO, |all, one| all + one)
    }

    /// How long a message waits until its connection is set up; `None` where the connection is open.
    /// The latency of each direction of a round trip is drawn.
    pub(super) fn setup<M>(&self, seed: u64, parcel: &Parcel<M>) -> Option<Span> {
        let Connection::PerMessage { handshake } = self.group(parcel.source).model.connection
        else {
            return None;
        };
        let ends = [self.group(parcel.source), self.group(parcel.target)];
        let counter = parcel.sequence | (SETUP_ATTEMPT << ATTEMPT_SHIFT);
        let source = u64::from(parcel.source.0);
        let mut rng = stream(seed, source, Purpose::Link, counter);
        let mut draw = |group: &Group| match group.fixed {
            Some(latency) => latency,
            None => group.model.latency.draw(&mut rng),
        };
        let mut wait = self.setup_bytes_time(handshake, parcel.source, parcel.target);
        for _ in 0..2 * handshake.round_trips() {
            let latency = draw(ends[0]) + draw(ends[1]);
            wait = wait + latency.max(self.least());
        }
        Some(wait)
    }

    /// The time of the set-up with median latencies on idle links.
    pub(super) fn setup_expected(&self, from: NodeId, to: NodeId) -> Span {
        let Connection::PerMessage { handshake } = self.group(from).model.connection else {
            return Span::ZERO;
        };
        let way = self.group(from).median + self.group(to).median;
        let round_trips = way.scaled(2.0 * f64::from(handshake.round_trips()));
        self.setup_bytes_time(handshake, from, to) + round_trips
    }
}
