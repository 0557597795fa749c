//! How a message gets through, before it is sent: what is lost and sent again, and how likely.

use super::link::{packets, Transport};
use super::network::LinkNetwork;
use crate::quantity::{Bytes, Span};
use crate::sim::NodeId;

/// What is less likely than this is not told apart any more.
const NEGLIGIBLE: f64 = 1e-9;

/// A message on its way between two nodes, whose packets are lost independently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Passage {
    /// Its packets.
    pub packets: u64,
    /// The probability that one is lost on the way, at whichever end. Of links that lose packets in
    /// bursts it is the ratio in the long run.
    pub loss: f64,
    /// What is done about lost ones.
    pub transport: Transport,
    /// Nobody learns of a loss sooner.
    pub round_trip: Span,
}

impl LinkNetwork {
    /// How a message of `bytes` gets from one node to another.
    pub fn passage(&self, from: NodeId, to: NodeId, bytes: Bytes) -> Passage {
        let (source, target) = (self.group(from), self.group(to));
        let kept = (1.0 - source.model.loss.rate()) * (1.0 - target.model.loss.rate());
        Passage {
            packets: packets(bytes, source.model.mtu),
            loss: (1.0 - kept).clamp(0.0, 1.0),
            transport: source.model.transport,
            round_trip: (source.median + target.median).scaled(2.0),
        }
    }
}

impl Passage {
    /// By how much it comes later than one that loses nothing, each with its probability; what is
    /// missing to 1 is the probability that it never comes.
    pub fn delays(&self) -> Vec<(Span, f64)> {
        // All packets are through after so many attempts.
        let through = |attempts: u32| {
            let lost = libm::pow(self.loss, f64::from(attempts));
            libm::exp(self.packets as f64 * libm::log1p(-lost))
        };
        let (timeout, backoff, retries) = match self.transport {
            Transport::Datagram => (Span::ZERO, 1.0, 0),
            Transport::Reliable {
                timeout,
                backoff,
                retries,
            } => (timeout, backoff, retries),
        };
        let (mut delays, mut before, mut waited) = (Vec::new(), 0.0, Span::ZERO);
        for attempt in 0..=retries {
            let by_now = through(attempt + 1);
            delays.push((waited, (by_now - before).max(0.0)));
            before = by_now;
            if 1.0 - by_now < NEGLIGIBLE {
                break;
            }
            let wait = timeout.scaled(libm::pow(backoff, f64::from(attempt)));
            waited = waited + wait.max(self.round_trip);
        }
        delays
    }

    /// The probability that it comes at all.
    pub fn arrives(&self) -> f64 {
        let chances = self.delays().into_iter().map(|(_, chance)| chance);
        chances.sum::<f64>().clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(packets: u64, loss: f64, transport: Transport) -> Passage {
        Passage {
            packets,
            loss,
            transport,
            round_trip: Span::from_millis(40),
        }
    }

    #[test]
    fn a_datagram_comes_if_all_its_packets_do() {
        let arrives = passage(10, 0.01, Transport::Datagram).arrives();
        assert!((arrives - 0.99f64.powi(10)).abs() < 1e-12, "{arrives}");
        assert_eq!(passage(10, 1.0, Transport::Datagram).arrives(), 0.0);
        assert_eq!(passage(10, 0.0, Transport::Datagram).arrives(), 1.0);
    }

    /// Of one packet: lost with p, sent again after 1 s, after 2 s more, and then given up.
    #[test]
    fn a_lost_packet_is_sent_again_later_and_later() {
        let transport = Transport::Reliable {
            timeout: Span::from_secs(1),
            backoff: 2.0,
            retries: 2,
        };
        let delays = passage(1, 0.1, transport).delays();
        let expected = [(0, 0.9), (1, 0.09), (3, 0.009)];
        assert_eq!(delays.len(), 3);
        for ((wait, chance), (seconds, likely)) in delays.iter().zip(expected) {
            assert_eq!(*wait, Span::from_secs(seconds));
            assert!((chance - likely).abs() < 1e-12, "{chance}");
        }
        let arrives = passage(1, 0.1, transport).arrives();
        assert!((arrives - 0.999).abs() < 1e-12);
    }

    #[test]
    fn many_retries_are_not_followed_to_where_nothing_happens_any_more() {
        let transport = Transport::Reliable {
            timeout: Span::from_secs(1),
            backoff: 1.0,
            retries: 1_000,
        };
        assert!(passage(1_000, 0.01, transport).delays().len() < 12);
    }
}
