//! Links, as typed.

use crate::net::{PacketLoss, Retransmission};
use crate::registry::{either, Spec};
use crate::text::fields::{Duration, Fraction, OrDistribution, Rate, Size};
use serde::{Deserialize, Deserializer};

/// An access link in figures.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "Link", default)]
pub struct LinkFields {
    /// The preset that gives what is not said here; an ideal link when not given.
    pub preset: Option<String>,
    /// One-way latency this link adds to a path.
    pub latency: Option<OrDistribution<Duration>>,
    /// No latency is below this; the distribution's own minimum when not given.
    pub bound: Option<Duration>,
    /// From the node. A distribution is drawn once a client.
    pub up: Option<OrDistribution<Rate>>,
    /// To the node. A distribution is drawn once a client.
    pub down: Option<OrDistribution<Rate>>,
    /// How messages share the rates.
    pub sharing: Option<SharingFile>,
    /// Which packets are lost.
    #[serde(deserialize_with = "given")]
    pub loss: Option<LossFile>,
    /// Bytes of a message that one packet carries.
    pub mtu: Option<Size>,
    /// Bytes of headers in each packet.
    pub header: Option<Size>,
    /// What is done about lost packets.
    pub transport: Option<TransportFile>,
    /// What may wait on each side while TCP sends.
    pub buffer: Option<Size>,
    /// Whether each message sets up a connection of its own.
    pub connection: Option<ConnectionFile>,
    /// Whether acknowledgements take their bytes on the way back.
    pub acks: Option<bool>,
}

/// What is written, whatever it is: `loss: None` is a law of loss, and not the absence of one.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// How messages share a rate.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum SharingFile {
    /// An equal share each, at every moment.
    Fair,
    /// One after the other.
    Fifo,
}

/// Which packets are lost.
#[derive(Debug, Clone, Deserialize)]
#[serde(remote = "Self")]
pub enum LossFile {
    /// None.
    None,
    /// Each with this probability.
    Independent(Fraction),
    /// In bursts.
    GilbertElliott {
        /// Probability of going from the good to the bad state after a packet.
        p_good_to_bad: Fraction,
        /// Probability of going back.
        p_bad_to_good: Fraction,
        /// Loss in the good state.
        #[serde(default = "zero")]
        loss_good: Fraction,
        /// Loss in the bad state.
        #[serde(default = "one")]
        loss_bad: Fraction,
    },
    /// By a law of the registry.
    #[serde(skip)]
    Other(Spec<dyn PacketLoss>),
}

either! { LossFile, dyn PacketLoss }

const fn zero() -> Fraction {
    Fraction(crate::quantity::Probability::ZERO)
}

const fn one() -> Fraction {
    Fraction(crate::quantity::Probability::ONE)
}

/// What is done about lost packets.
#[derive(Debug, Clone, Deserialize)]
#[serde(remote = "Self")]
pub enum TransportFile {
    /// Nothing: one lost packet loses the message.
    Datagram,
    /// They are sent again.
    Reliable {
        /// Time to the first retransmission.
        #[serde(default = "second")]
        timeout: Duration,
        /// What the next waits are multiplied by.
        #[serde(default = "twice")]
        backoff: f64,
        /// Retransmissions before the message is given up.
        #[serde(default = "fifteen")]
        retries: u32,
    },
    /// Windows, losses and timeouts of TCP.
    Tcp {
        /// What decides how much is in flight.
        #[serde(default)]
        congestion: CongestionFile,
        /// Packets before the first acknowledgement.
        #[serde(default = "ten")]
        initial_window: u32,
        /// What the receiver's window may grow to.
        #[serde(default = "six_megabytes")]
        receive_window: Size,
    },
    /// By a law of the registry.
    #[serde(skip)]
    Other(Spec<dyn Retransmission>),
}

either! { TransportFile, dyn Retransmission }

/// What messages are sent over.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum ConnectionFile {
    /// A connection that is there.
    Persistent,
    /// One that is set up for each.
    PerMessage {
        /// How.
        handshake: HandshakeFile,
    },
}

/// How a connection is set up.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum HandshakeFile {
    /// RFC 9293.
    Tcp,
    /// RFC 8446.
    Tls13,
    /// RFC 8446, with a ticket.
    Tls13Resumed,
    /// RFC 9001, with data in the first flight.
    Quic0Rtt,
}

/// What decides how much TCP has in flight.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub enum CongestionFile {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 5681.
    Reno,
    /// Version 1.
    Bbr,
}

const fn ten() -> u32 {
    10
}

/// The end of Linux's `tcp_rmem`.
const fn six_megabytes() -> Size {
    Size(crate::quantity::Bytes(6 << 20))
}

const fn second() -> Duration {
    Duration(crate::quantity::Span::from_secs(1))
}

const fn twice() -> f64 {
    2.0
}

const fn fifteen() -> u32 {
    15
}
