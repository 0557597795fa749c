//! Estimates, before a message is sent, how it gets through: how likely losses are, and how much later
//! the message arrives because of them.

use super::link::{packets, Transport};
use super::loss::Loss;
use super::network::LinkNetwork;
use super::tcp::{race, Course};
use crate::quantity::{Bandwidth, Bytes, Probability, Span};
use crate::sim::rng::{stream, Purpose};
use crate::sim::NodeId;

/// Probabilities below this are treated as zero.
const NEGLIGIBLE: f64 = 1e-9;

/// The number of simulated transfers over TCP from which the delay by losses is estimated.
const DRAWN: u32 = 64;

/// The rate in bit/s of a path that nothing limits.
const UNLIMITED: f64 = 1e12;

/// A message between two nodes whose packets are lost independently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Passage {
    /// The number of packets.
    pub packets: u64,
    /// The probability that a packet is lost on the way, on either side. For links that lose packets in
    /// bursts it is the share in the long run.
    pub loss: f64,
    /// How the message is protected against lost packets.
    pub transport: Transport,
    /// The time before which no loss can be known.
    pub round_trip: Span,
    /// The message alone on an idle path, where the transport is TCP; the slowest side of the path
    /// counts for all.
    pub course: Option<Course>,
    /// How long the message waits for a connection of its own.
    pub setup: Span,
}

impl LinkNetwork {
    /// The passage of a message of `bytes` from one node to another.
    pub fn passage(&self, from: NodeId, to: NodeId, bytes: Bytes) -> Passage {
        let (source, target) = (self.group(from), self.group(to));
        let losses = [source.model.loss, target.model.loss];
        let kept = (1.0 - losses[0].rate()) * (1.0 - losses[1].rate());
        let loss = (1.0 - kept).clamp(0.0, 1.0);
        let count = packets(bytes, source.model.mtu);
        let round_trip = (source.median + target.median).scaled(2.0);
        let course = |congestion| {
            let rates = [source.up(from), target.down(to)].into_iter().flatten();
            let slowest = rates.map(Bandwidth::get).fold(UNLIMITED, f64::min);
            let wire = source.model.on_wire(bytes, count, source.model.mtu);
            let buffers = [source.model.buffer, target.model.buffer]
                .into_iter()
                .flatten();
            Course {
                congestion,
                rate: slowest,
                rtt: round_trip.seconds(),
                loss: both(losses, loss),
                buffer: buffers.map(|b| b.0 as f64).fold(f64::INFINITY, f64::min),
                flows: 1,
                stagger: 0.0,
                packets: count,
                packet: wire as f64 / count.max(1) as f64,
            }
        };
        Passage {
            packets: count,
            loss,
            setup: self.setup_expected(from, to),
            transport: source.model.transport,
            round_trip,
            course: match source.model.transport {
                Transport::Tcp { congestion, .. } => Some(course(congestion)),
                Transport::Datagram | Transport::Reliable { .. } | Transport::Other(_) => None,
            },
        }
    }
}

impl LinkNetwork {
    /// By how many seconds the latency of a message from one node to another is above the median, below zero
    /// where it is less: `draws` draws, the `number`-th lot of them. A single 0 where latencies are fixed.
    pub fn latency_spread(&self, from: NodeId, to: NodeId, number: u32, draws: u32) -> Vec<f64> {
        let ends = [self.group(from), self.group(to)];
        if ends.iter().all(|group| group.fixed.is_some()) {
            return vec![0.0];
        }
        let median: f64 = ends.iter().map(|group| group.median.seconds()).sum();
        let mut rng = stream(0, u64::from(from.0), Purpose::Link, u64::from(number));
        let one = |_| {
            let each = ends.iter().map(|group| match group.fixed {
                Some(latency) => latency.seconds(),
                None => group.model.latency.draw(&mut rng).seconds(),
            });
            each.sum::<f64>() - median
        };
        (0..draws).map(one).collect()
    }
}

/// The losses of both ends of a path together; `rate` is the share of packets lost in the long run.
fn both(losses: [Loss; 2], rate: f64) -> Loss {
    match losses {
        [one, Loss::None] | [Loss::None, one] => one,
        _ => Loss::Independent {
            p: Probability::new(rate).unwrap_or(Probability::ONE),
        },
    }
}

/// The time that a message takes on `course`, with the `number`-th draw of its losses.
fn takes(course: &Course, number: u32) -> Span {
    let (times, _) = race(course, u64::from(number));
    Span::from_seconds(times.first().copied().unwrap_or_default())
}

impl Passage {
    /// By how many seconds the message takes longer than with the median latency, for each of these
    /// differences of its latency from the median, in seconds. Over TCP every round trip takes longer: the time
    /// is worked out at a few latencies, and in between it is taken for a straight line.
    pub fn later(&self, differences: &[f64]) -> Vec<f64> {
        let Some(course) = &self.course else {
            return differences.to_vec();
        };
        let mut sorted = differences.to_vec();
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().saturating_sub(1);
        let mut nodes: Vec<f64> = [0, 1, 2, 3, 4]
            .iter()
            .filter_map(|i| sorted.get(last * i / 4).copied())
            .collect();
        nodes.dedup();
        let alone = |difference: f64| {
            let rtt = (course.rtt + 2.0 * difference).max(0.0);
            let lossless = Course {
                loss: Loss::None,
                rtt,
                ..*course
            };
            takes(&lossless, 0).seconds()
        };
        let median = alone(0.0);
        let points: Vec<(f64, f64)> = nodes.iter().map(|&at| (at, alone(at) - median)).collect();
        let at = |difference: &f64| {
            let after = points.partition_point(|(at, _)| at < difference);
            match (
                after.checked_sub(1).and_then(|i| points.get(i)),
                points.get(after),
            ) {
                (Some((x0, y0)), Some((x1, y1))) => y0 + (y1 - y0) * (difference - x0) / (x1 - x0),
                (_, Some((_, y))) | (Some((_, y)), None) => *y,
                (None, None) => 0.0,
            }
        };
        differences.iter().map(at).collect()
    }

    /// The time that the message takes, set-up included, on an idle path without losses; `None` where
    /// the transport is not TCP.
    pub fn alone(&self) -> Option<Span> {
        self.course.map(|course| {
            let lossless = Course {
                loss: Loss::None,
                ..course
            };
            self.setup + takes(&lossless, 0)
        })
    }

    /// By how much the message arrives later than one without losses: each delay with its probability.
    /// The probability that it never arrives is what the sum lacks to 1.
    pub fn delays(&self) -> Vec<(Span, f64)> {
        if let (Some(course), Some(alone)) = (&self.course, self.alone()) {
            if self.loss == 0.0 {
                return vec![(Span::ZERO, 1.0)];
            }
            let drawn = (0..DRAWN).map(|number| (self.setup + takes(course, number)).nanos());
            let later = drawn.map(|nanos| nanos.saturating_sub(alone.nanos()));
            // A few draws without a loss do not make it certain that there is none.
            let each = (1.0 - NEGLIGIBLE) / f64::from(DRAWN);
            return later.map(|nanos| (Span::from_nanos(nanos), each)).collect();
        }
        // The probability that all packets are through after this many attempts.
        let through = |attempts: u32| {
            let lost = libm::pow(self.loss, f64::from(attempts));
            libm::exp(self.packets as f64 * libm::log1p(-lost))
        };
        let (mut delays, mut before, mut waited) = (Vec::new(), 0.0, Span::ZERO);
        // Without losses, the course alone gives the time.
        if matches!(self.transport, Transport::Tcp { .. }) {
            return delays;
        }
        for attempt in 0.. {
            let by_now = through(attempt + 1);
            delays.push((waited, (by_now - before).max(0.0)));
            before = by_now;
            if 1.0 - by_now < NEGLIGIBLE {
                break;
            }
            let Some(wait) = self.transport.wait(attempt) else {
                break;
            };
            waited = waited + wait.max(self.round_trip);
        }
        delays
    }

    /// The probability that the message arrives at all.
    pub fn arrives(&self) -> f64 {
        let chances = self.delays().into_iter().map(|(_, chance)| chance);
        chances.sum::<f64>().clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tcp::Congestion;
    use super::*;

    fn passage(packets: u64, loss: f64, transport: Transport) -> Passage {
        Passage {
            packets,
            loss,
            transport,
            round_trip: Span::from_millis(40),
            course: None,
            setup: Span::ZERO,
        }
    }

    #[test]
    fn over_tcp_a_message_takes_longer_than_its_bytes_and_losses_delay_it_further() {
        let tcp = Transport::Tcp {
            congestion: Congestion::Cubic,
            initial_window: 10,
            receive_window: Bytes(6 << 20),
        };
        let course = |loss| Course {
            congestion: Congestion::Cubic,
            rate: 7.6e6,
            rtt: 0.062,
            loss,
            buffer: f64::INFINITY,
            flows: 1,
            stagger: 0.0,
            packets: 105,
            packet: 1_500.0,
        };
        let of = |loss: Loss| Passage {
            course: Some(course(loss)),
            ..passage(105, loss.rate(), tcp)
        };
        // Linux takes 0.28 s for the quickstart's message, and bytes over the rate and half a round
        // trip are 0.20 s.
        let clean = of(Loss::None);
        let alone = clean.alone().unwrap().seconds();
        assert!((0.25..0.31).contains(&alone), "{alone}");
        assert_eq!(clean.delays(), [(Span::ZERO, 1.0)]);
        let p = Probability::new(0.03).unwrap();
        let lossy = of(Loss::Independent { p });
        assert_eq!(lossy.alone(), clean.alone());
        let chances: f64 = lossy.delays().iter().map(|(_, chance)| chance).sum();
        assert!(chances < 1.0 && chances > 1.0 - 2.0 * NEGLIGIBLE);
        let late = lossy
            .delays()
            .iter()
            .filter(|(wait, _)| *wait > Span::ZERO)
            .count();
        assert!(late > 32, "{late}");
        assert!(lossy.arrives() < 1.0 && lossy.arrives() > 1.0 - 2.0 * NEGLIGIBLE);
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
