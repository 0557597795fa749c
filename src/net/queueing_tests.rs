//! A server's link compared with queueing theory: mean times in the system under processor sharing and
//! under first come, first served; and a test that no side of a link lets more through than its rate.

use super::testbed::{run, Bed, Send};
use super::{Latency, LinkModel, LinkTable, Loss, Sharing, Topology, Transport};
use crate::quantity::{Bandwidth, Bytes, Distribution, Probability, Span};
use crate::sim::rng::{stream, Purpose};
use crate::sim::NodeId;
use proptest::prelude::*;

const STAR: Topology = Topology::Star { centre: NodeId(0) };
/// The time of one way from a client to the server, in seconds.
const WAY: f64 = 0.002;

fn rate(mbit: f64) -> Option<Bandwidth> {
    Bandwidth::bits_per_second(mbit * 1e6)
}

fn link() -> LinkModel {
    let latency = Latency::new(Distribution::Constant(WAY / 2.0), None).unwrap();
    LinkModel {
        header: Bytes(0),
        ..LinkModel::new(latency)
    }
}

/// Poisson arrivals at a server of 8 Mbit/s: nine of ten messages have 4 kB, the others 64 kB. Mean 10
/// kB, that is 10 ms; mean square 424 kB².
const SMALL: u64 = 4_000;
const LARGE: u64 = 64_000;
const MEAN: f64 = 0.010;
const MEAN_SQUARE: f64 = 424e-6;

/// A day of work: times in the system of all messages, by size, in seconds.
fn times(sharing: Sharing, load: f64) -> Vec<(u64, f64)> {
    let uniform = Distribution::Uniform {
        low: 0.0,
        high: 1.0,
    };
    let gaps = Distribution::Exponential {
        min: 0.0,
        mean: MEAN / load,
    };
    let (mut rng, mut at) = (stream(7, 0, Purpose::Node, 0), 0.0);
    let script: Vec<Send> = (0..40_000)
        .map(|_| {
            at += gaps.sample(&mut rng);
            let small = uniform.sample(&mut rng) < 0.9;
            Send {
                at: (at * 1e9) as u64,
                from: 1,
                to: 0,
                bytes: if small { SMALL } else { LARGE },
                hops: 0,
            }
        })
        .collect();
    let mut table = LinkTable::new();
    let server = LinkModel {
        down: rate(8.0),
        sharing,
        ..link()
    };
    table.push(1, server).unwrap();
    table.push(1, link()).unwrap();
    let bed = Bed::new(table, STAR, &script, Span::from_secs(100_000));
    let log = run(bed, 1, 1).unwrap().1;
    let took = |(id, line): (usize, &Send)| {
        let nanos = log.at[&(id as u64)] - line.at;
        (line.bytes, nanos as f64 / 1e9 - WAY)
    };
    // The queue fills at first.
    script.iter().enumerate().map(took).skip(2_000).collect()
}

/// The mean, and four standard errors of it by the means of batches, which depend on each other little.
fn mean(values: &[f64]) -> (f64, f64) {
    let of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let batches: Vec<f64> = values.chunks(values.len() / 30).take(30).map(of).collect();
    let all = of(&batches);
    let square: f64 = batches.iter().map(|batch| (batch - all).powi(2)).sum();
    (of(values), 4.0 * (square / 29.0 / 30.0).sqrt())
}

fn within(found: (f64, f64), expected: f64, what: &str) {
    let (mean, error) = found;
    assert!(error < 0.25 * expected, "{what}: {error} says little");
    assert!(
        (mean - expected).abs() < error,
        "{what}: {mean} ± {error}, not {expected}"
    );
}

#[test]
fn processor_sharing_has_the_mean_of_m_g_1_ps() {
    for load in [0.4, 0.7] {
        let times = times(Sharing::Fair, load);
        let of = |bytes: u64| -> Vec<f64> {
            let some = times.iter().filter(|(size, _)| *size == bytes);
            some.map(|(_, time)| *time).collect()
        };
        let all: Vec<f64> = times.iter().map(|(_, time)| *time).collect();
        within(mean(&all), MEAN / (1.0 - load), "all");
        // A message of work x takes x / (1 - load), whatever the others are (Kleinrock 1967).
        within(mean(&of(SMALL)), 0.004 / (1.0 - load), "small");
        within(mean(&of(LARGE)), 0.064 / (1.0 - load), "large");
    }
}

#[test]
fn first_come_first_served_has_the_mean_of_pollaczek_and_khinchine() {
    for load in [0.4, 0.7] {
        let times = times(Sharing::Fifo, load);
        let all: Vec<f64> = times.iter().map(|(_, time)| *time).collect();
        let wait = load / MEAN * MEAN_SQUARE / (2.0 * (1.0 - load));
        within(mean(&all), MEAN + wait, "all");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Messages over TCP from several senders to one receiver, and from one sender to several.
    #[test]
    fn no_side_lets_more_through_than_its_rate(
        sizes in prop::collection::vec((1_000u64..400_000, 0u64..400_000_000), 1..12),
        client in 1.0f64..40.0,
        server in 1.0f64..40.0,
        fair: bool,
        lossy: bool,
    ) {
        for up in [true, false] {
            let both = |mbit| LinkModel {
                up: rate(mbit),
                down: rate(mbit),
                sharing: if fair { Sharing::Fair } else { Sharing::Fifo },
                transport: Transport::TCP,
                loss: Loss::Independent {
                    p: Probability::new(if lossy { 0.01 } else { 0.0 }).unwrap(),
                },
                ..link()
            };
            let mut table = LinkTable::new();
            table.push(1, both(server)).unwrap();
            table.push(sizes.len() as u32, both(client)).unwrap();
            let script: Vec<Send> = sizes
                .iter()
                .enumerate()
                .map(|(index, (bytes, at))| {
                    let node = 1 + index as u32;
                    let (from, to) = if up { (node, 0) } else { (0, node) };
                    Send { at: *at, from, to, bytes: *bytes, hops: 0 }
                })
                .collect();
            let bed = Bed::new(table, STAR, &script, Span::from_secs(100_000));
            let (summary, log) = run(bed, 1, 1).unwrap();
            let total = summary.accounting.total();
            prop_assert_eq!(total.delivered as usize, script.len());
            prop_assert_eq!(total.bytes_delivered, total.bytes);
            let mut came: Vec<(u64, usize)> =
                log.at.iter().map(|(id, at)| (*at, *id as usize)).collect();
            came.sort_unstable();
            // From any moment on, what was sent after it and has come by another fits into the time.
            for (until, _) in &came {
                for line in &script {
                    let within = came.iter().filter(|(at, id)| at <= until && script[*id].at >= line.at);
                    let bytes: u64 = within.map(|(_, id)| script[*id].bytes).sum();
                    let span = (*until).saturating_sub(line.at) as f64 / 1e9;
                    let least = bytes as f64 * 8.0 / (server * 1e6);
                    prop_assert!(bytes == 0 || span - WAY > least - 1e-6, "{span} for {least}");
                }
            }
        }
    }
}
