//! Several messages at once through one bottleneck, for studies and tests that compare the model with
//! measurements.

use super::bottleneck::Bottleneck;
use super::flow::{Flow, FlowCounts, Setup};
use super::gaps::Dice;
use super::Congestion;
use crate::net::Loss;

/// A path, and the messages that are sent on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// The congestion control of the senders.
    pub congestion: Congestion,
    /// The rate of the bottleneck in bit/s.
    pub rate: f64,
    /// The round trip without waiting in queues, in seconds.
    pub rtt: f64,
    /// The random losses on the path, in addition to packets that the buffer drops.
    pub loss: Loss,
    /// The bytes that may wait in the bottleneck's buffer.
    pub buffer: f64,
    /// The number of messages.
    pub flows: u32,
    /// Seconds from the start of one message to the start of the next.
    pub stagger: f64,
    /// The number of packets of each message.
    pub packets: u64,
    /// The bytes of one packet on the wire, headers included.
    pub packet: f64,
}

/// Simulates the messages of `course`. Returns when each message has arrived, in seconds from its own
/// start, and the sum of the counts of all flows.
pub fn race(course: &Course, seed: u64) -> (Vec<f64>, FlowCounts) {
    let packet = course.packet * 8.0 / course.rate;
    let mut path = Bottleneck::new(packet, course.buffer * 8.0 / course.rate);
    let setup = Setup {
        congestion: course.congestion,
        initial_window: 10,
        receive_window: 4096.0,
        packets: course.packets,
        rtt: course.rtt,
        losses: [course.loss, Loss::None],
        grain: if course.flows > 1 {
            course.rtt / 4.0
        } else {
            f64::INFINITY
        },
    };
    let starts: Vec<f64> = (0..course.flows)
        .map(|flow| f64::from(flow) * course.stagger)
        .collect();
    let mut flows: Vec<Option<Flow>> = vec![None; starts.len()];
    loop {
        let next = |(flow, start): (&Option<Flow>, &f64)| match flow {
            None => Some(*start),
            Some(flow) if !flow.is_done() => Some(flow.next()),
            Some(_) => None,
        };
        let events = flows.iter().zip(&starts).map(next).enumerate();
        let events = events.filter_map(|(index, at)| at.map(|at| (at, index)));
        let Some((at, index)) = events.min_by(|a, b| a.0.total_cmp(&b.0)) else {
            break;
        };
        match &mut flows[index] {
            Some(flow) => flow.step(&mut path),
            none => {
                let dice = Dice::new(seed, index as u32, 0);
                *none = Some(Flow::begin(&setup, dice, at, &mut path));
            }
        }
    }
    let mut sum = FlowCounts::default();
    let flows: Vec<Flow> = flows.into_iter().flatten().collect();
    for tally in flows.iter().map(Flow::tally) {
        sum.events += tally.events;
        sum.recoveries += tally.recoveries;
        sum.probes += tally.probes;
        sum.timeouts += tally.timeouts;
        sum.random += tally.random;
        sum.overflow += tally.overflow;
    }
    let times = flows
        .iter()
        .zip(&starts)
        .map(|(flow, start)| flow.end() - start);
    (times.collect(), sum)
}
