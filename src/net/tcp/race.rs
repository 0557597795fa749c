//! Several messages at once through one bottleneck: what a study or a test compares with
//! measurements.

use super::bottleneck::Bottleneck;
use super::flow::{Flow, Setup, Tally};
use super::gaps::Dice;
use super::Congestion;
use crate::net::Loss;

/// A path, and the messages that set out on it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// What the senders use.
    pub congestion: Congestion,
    /// Bits a second.
    pub rate: f64,
    /// The round trip without waiting, seconds.
    pub rtt: f64,
    /// What is lost at random.
    pub loss: Loss,
    /// Bytes that may wait.
    pub buffer: f64,
    /// Messages.
    pub flows: u32,
    /// Seconds from one message's start to the next one's.
    pub stagger: f64,
    /// Packets of each, and the bytes of one on the wire.
    pub packets: u64,
    /// See `packets`.
    pub packet: f64,
}

/// When each message has arrived, seconds from its start, and what happened to all of them together.
pub fn race(course: &Course, seed: u64) -> (Vec<f64>, Tally) {
    let packet = course.packet * 8.0 / course.rate;
    let mut path = Bottleneck {
        packet,
        buffer: course.buffer * 8.0 / course.rate,
        free: 0.0,
    };
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
    let mut sum = Tally::default();
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
