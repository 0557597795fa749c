//! The model of one access link.

use super::connection::Connection;
use super::latency::Latency;
use super::loss::Loss;
use super::retransmission::Retransmission;
use super::tcp::Congestion;
use crate::quantity::{Bandwidth, Bytes, Span};
use crate::registry::Interned;
use serde::Serialize;

/// The largest number of retransmissions. Each is an event, and this many are enough for any transport
/// in use.
const MOST_RETRIES: u32 = 1_000;
/// The largest header: the length field of an IP packet has 16 bits.
const LARGEST_HEADER: u64 = 65_535;
/// The largest initial window in packets, more than any sender uses.
const MOST_INITIAL: u32 = 1_000;
/// The largest window of TCP in bytes: 2^16, scaled by 2^14.
const LARGEST_WINDOW: u64 = 1 << 30;

/// How the messages on one side of a link share its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub enum Sharing {
    /// At every moment each of the n messages under way gets an n-th of the rate (egalitarian processor
    /// sharing). Many TCP flows through one bottleneck approach this (Massoulié and Roberts, "Bandwidth
    /// sharing and admission control for elastic traffic", 2000).
    #[default]
    Fair,
    /// One message after the other at the full rate. The order is that in which they are handed in at
    /// the sender, and that in which they arrive at the receiver (at one moment, the order of their
    /// event keys).
    Fifo,
}

/// How a link's messages are protected against lost packets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Transport {
    /// Not at all: one lost packet loses the message.
    Datagram,
    /// Selective repeat: some time after the last packet has left, the sender sends the lost packets
    /// again.
    Reliable {
        /// The time to the first retransmission. It is never less than the path's median round trip,
        /// before which no loss can be known.
        timeout: Span,
        /// The factor by which each further wait is longer: after attempt `n` (from 0) the sender waits
        /// `timeout * backoff^n`.
        backoff: f64,
        /// The number of retransmissions before the message is given up as lost.
        retries: u32,
    },
    /// TCP, at flow level: slow start, congestion control, recovery and timeouts (see
    /// [`super::tcp`]).
    Tcp {
        /// The congestion control, which decides how many packets are in flight.
        congestion: Congestion,
        /// The number of packets that are sent before the first acknowledgement (10: RFC 6928).
        initial_window: u32,
        /// The size up to which the receiver's window may grow.
        receive_window: Bytes,
    },
    /// Packets are sent again by a rule from the registry.
    #[serde(untagged)]
    Other(Interned<dyn Retransmission>),
}

impl Transport {
    /// The time from the moment at which the last packet of attempt `attempt` (from 0) has left until the
    /// sender sends the lost packets again. `None` where the sender gives up, and for TCP, whose flows
    /// decide themselves.
    pub(super) fn wait(&self, attempt: u32) -> Option<Span> {
        match self {
            Self::Datagram | Self::Tcp { .. } => None,
            Self::Reliable {
                timeout,
                backoff,
                retries,
            } => {
                let wait = || timeout.scaled(libm::pow(*backoff, f64::from(attempt)));
                (attempt < *retries).then(wait)
            }
            Self::Other(law) if attempt < MOST_RETRIES => law.get().wait(attempt),
            Self::Other(_) => None,
        }
    }

    /// TCP with the defaults of Linux: CUBIC, an initial window of ten packets (RFC 6928), and a
    /// receiver's window of at most 6 MiB (the upper end of `tcp_rmem`).
    pub const TCP: Self = Self::Tcp {
        congestion: Congestion::Cubic,
        initial_window: 10,
        receive_window: Bytes(6 << 20),
    };
}

impl Default for Transport {
    /// A first timeout of one second, doubled each time (RFC 6298, sections 2.1 and 5.5), 15 times
    /// (`tcp_retries2` of Linux).
    fn default() -> Self {
        Self::Reliable {
            timeout: Span::from_secs(1),
            backoff: 2.0,
            retries: 15,
        }
    }
}

/// The access link of one node: up is from the node, down is to the node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LinkModel {
    /// The latency that this link adds to a path, in each direction.
    pub latency: Latency,
    /// The rate from the node; `None` means no limit.
    pub up: Option<Bandwidth>,
    /// The rate to the node; `None` means no limit.
    pub down: Option<Bandwidth>,
    /// How messages share the rates.
    pub sharing: Sharing,
    /// Which packets are lost, on either side.
    pub loss: Loss,
    /// The largest number of bytes of a message that one packet carries, headers not counted.
    pub mtu: Bytes,
    /// Bytes of headers in each packet: 40 for TCP over IPv4, 28 for UDP.
    pub header: Bytes,
    /// How messages are protected against lost packets.
    pub transport: Transport,
    /// The number of bytes that may wait on each side while TCP sends; packets beyond it are dropped.
    /// `None` means no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub buffer: Option<Bytes>,
    /// Whether each message sets up a connection of its own.
    #[serde(skip_serializing_if = "Connection::is_persistent")]
    pub connection: Connection,
    /// Whether acknowledgements of packets that TCP sends take their bytes on the way back.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub acks: bool,
}

impl LinkModel {
    /// A lossless link without limits: packets of 1,460 bytes with 40 bytes of headers (Ethernet's
    /// 1,500), fair sharing and the default transport.
    pub fn new(latency: Latency) -> Self {
        Self {
            latency,
            up: None,
            down: None,
            sharing: Sharing::default(),
            loss: Loss::default(),
            mtu: Bytes(1_460),
            header: Bytes(40),
            transport: Transport::default(),
            buffer: None,
            connection: Connection::Persistent,
            acks: false,
        }
    }

    /// A link without latency, limits and losses.
    pub fn ideal() -> Self {
        Self::new(Latency::ideal())
    }

    /// Everything that is wrong with the model, in words; empty if the model can be used.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.mtu.0 == 0 {
            problems.push("mtu 0 B: a packet must carry at least one byte".into());
        }
        if self.header.0 > LARGEST_HEADER {
            problems.push(format!(
                "header {} is outside [0, {LARGEST_HEADER}] bytes a packet",
                self.header.0
            ));
        }
        problems.extend(self.loss.problem());
        if let Transport::Reliable {
            timeout,
            backoff,
            retries,
        } = self.transport
        {
            if timeout == Span::ZERO {
                problems.push(
                    "transport: timeout 0 s must be above zero; lost packets would be sent again \
                     without end at one moment"
                        .into(),
                );
            }
            if !(backoff.is_finite() && backoff >= 1.0) {
                problems.push(format!(
                    "transport: backoff {backoff} is outside [1, infinity); 1 keeps the timeout as \
                     it is, 2 doubles it"
                ));
            }
            if retries > MOST_RETRIES {
                problems.push(format!(
                    "transport: retries {retries} is outside [0, {MOST_RETRIES}]"
                ));
            }
        }
        if let Transport::Tcp {
            initial_window,
            receive_window,
            ..
        } = self.transport
        {
            if !(1..=MOST_INITIAL).contains(&initial_window) {
                problems.push(format!(
                    "transport: initial_window {initial_window} is outside [1, {MOST_INITIAL}] packets"
                ));
            }
            let least = self.mtu.0.saturating_mul(2);
            if !(least..=LARGEST_WINDOW).contains(&receive_window.0) {
                problems.push(format!(
                    "transport: receive_window {receive_window} is outside [{}, {}]: two packets at \
                     least, and what a scaled window of TCP can say (RFC 7323)",
                    Bytes(least),
                    Bytes(LARGEST_WINDOW)
                ));
            }
        }
        if let Transport::Other(law) = self.transport {
            let own = law.get().problem();
            let at_once = || {
                let at_once = (0..MOST_RETRIES).map_while(|attempt| law.get().wait(attempt));
                let at_once = at_once.filter(|wait| *wait == Span::ZERO).count() > 0;
                at_once.then(|| "a wait of 0 s would send lost packets again at one moment".into())
            };
            let problem = own.or_else(at_once);
            problems.extend(
                problem.map(|problem: String| format!("transport: {}: {problem}", law.name())),
            );
        }
        if self.transport == Transport::Datagram && !self.connection.is_persistent() {
            problems.push(
                "connection: a datagram has none; leave PerMessage out, or give transport: Tcp()"
                    .into(),
            );
        }
        if self.acks && !matches!(self.transport, Transport::Tcp { .. }) {
            problems.push(
                "acks: only TCP acknowledges packet by packet; give transport: Tcp() with it, or leave \
                 it out"
                    .into(),
            );
        }
        if let Some(buffer) = self.buffer {
            let packet = Bytes(self.mtu.0.saturating_add(self.header.0));
            if buffer < packet {
                problems.push(format!("buffer {buffer} holds no packet of {packet}"));
            }
            if !matches!(self.transport, Transport::Tcp { .. }) {
                problems.push(
                    "buffer: only TCP notices that packets are dropped; give transport: Tcp() with it, \
                     or leave it out"
                        .into(),
                );
            }
        }
        problems
    }

    /// The number of packets that a message of `bytes` takes: `ceil(bytes / mtu)`, at least one.
    pub fn packets(&self, bytes: Bytes) -> u64 {
        packets(bytes, self.mtu)
    }

    /// The bytes on the wire, headers included, of `packets` packets of a message of `bytes`, where one
    /// packet carries `mtu`. Every packet of a retransmission counts as full.
    pub(super) fn on_wire(&self, bytes: Bytes, packets: u64, mtu: Bytes) -> u128 {
        let full = u128::from(packets) * u128::from(mtu.0);
        full.min(u128::from(bytes.0)) + u128::from(packets) * u128::from(self.header.0)
    }
}

/// The number of packets that a message of `bytes` takes if one packet carries `mtu`.
pub(super) fn packets(bytes: Bytes, mtu: Bytes) -> u64 {
    bytes.0.div_ceil(mtu.0.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantity::Probability;

    #[test]
    fn a_message_is_at_least_one_packet_and_each_has_headers() {
        let link = LinkModel::ideal();
        assert_eq!(link.packets(Bytes(0)), 1);
        assert_eq!(link.packets(Bytes(1_460)), 1);
        assert_eq!(link.packets(Bytes(1_461)), 2);
        assert_eq!(link.on_wire(Bytes(0), 1, link.mtu), 40);
        assert_eq!(link.on_wire(Bytes(1_461), 2, link.mtu), 1_461 + 80);
        assert_eq!(link.on_wire(Bytes(14_600), 3, link.mtu), 3 * 1_500);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let link = LinkModel {
            mtu: Bytes(0),
            header: Bytes(70_000),
            loss: Loss::GilbertElliott {
                p_good_to_bad: Probability::ZERO,
                p_bad_to_good: Probability::ZERO,
                loss_good: Probability::ZERO,
                loss_bad: Probability::ONE,
            },
            transport: Transport::Reliable {
                timeout: Span::ZERO,
                backoff: 0.5,
                retries: 5_000,
            },
            ..LinkModel::ideal()
        };
        assert_eq!(link.problems().len(), 6, "{:#?}", link.problems());
        assert!(LinkModel::ideal().problems().is_empty());
        // A division by the bad mtu must not be reachable either.
        assert_eq!(link.packets(Bytes(3)), 3);
    }
}
