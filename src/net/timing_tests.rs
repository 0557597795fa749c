//! Arrival times through the real kernel, against cases computed by hand.

use super::testbed::{run, Bed, Send};
use super::{Latency, LinkModel, LinkTable, Loss, Rates, Sharing, Topology, Transport};
use crate::quantity::{Bandwidth, Bytes, Distribution, Probability, Span};
use crate::sim::rng::{stream, Purpose};
use crate::sim::NodeId;

const MS: u64 = 1_000_000;
const STAR: Topology = Topology::Star { centre: NodeId(0) };

/// A link with a fixed latency in milliseconds, rates in kB/ms and no headers.
fn link(latency_ms: u64, up: Option<f64>, down: Option<f64>) -> LinkModel {
    let seconds = latency_ms as f64 / 1e3;
    let latency = Latency::new(Distribution::Constant(seconds), None).unwrap();
    let rate = |r: Option<f64>| r.map(|r| Bandwidth::bits_per_second(r * 8e6).unwrap());
    LinkModel {
        up: rate(up),
        down: rate(down),
        header: Bytes(0),
        ..LinkModel::new(latency)
    }
}

fn table(server: LinkModel, clients: u32, client: LinkModel) -> LinkTable {
    let mut table = LinkTable::new();
    table.push(1, server).unwrap();
    table.push(clients, client).unwrap();
    table
}

fn send(at_ms: u64, from: u32, to: u32, bytes: u64) -> Send {
    Send {
        at: at_ms * MS,
        from,
        to,
        bytes,
        hops: 0,
    }
}

/// When each message arrives, in milliseconds, by place in the script; on 1 and on 2 shards.
fn arrivals(table: &LinkTable, script: &[Send]) -> Vec<Option<f64>> {
    let on = |shards| {
        let bed = Bed::new(table.clone(), STAR, script, Span::from_secs(1_000));
        let (_, log) = run(bed, 1, shards).unwrap();
        (0..script.len() as u64)
            .map(|id| log.at.get(&id).map(|nanos| *nanos as f64 / MS as f64))
            .collect::<Vec<_>>()
    };
    let alone = on(1);
    assert_eq!(alone, on(2));
    alone
}

fn some(times: &[f64]) -> Vec<Option<f64>> {
    times.iter().copied().map(Some).collect()
}

#[test]
fn uploads_share_the_servers_down_link() {
    // Each reaches the server's 8 Mbit/s (1 kB/ms) side 5 ms after it was sent: A 3 kB at 5, B 3 kB
    // at 6, C 1 kB at 7. Fair: C at 10, A at 11, B at 12 (worked out beside the queue). One by one:
    // A 8, B 11, C 12.
    let script = [
        send(0, 1, 0, 3_000),
        send(1, 2, 0, 3_000),
        send(2, 3, 0, 1_000),
    ];
    let client = link(4, None, None);
    let mut server = link(1, None, Some(1.0));
    let fair = arrivals(&table(server.clone(), 3, client.clone()), &script);
    assert_eq!(fair, some(&[11.0, 12.0, 10.0]));
    server.sharing = Sharing::Fifo;
    let fifo = arrivals(&table(server, 3, client), &script);
    assert_eq!(fifo, some(&[8.0, 11.0, 12.0]));
}

#[test]
fn a_broadcast_shares_the_servers_up_link() {
    let script: Vec<Send> = (1..=10).map(|to| send(0, 0, to, 1_000)).collect();
    let client = link(4, None, None);
    let mut server = link(1, Some(1.0), None);
    let fair = arrivals(&table(server.clone(), 10, client.clone()), &script);
    assert_eq!(fair, some(&[15.0; 10]));
    server.sharing = Sharing::Fifo;
    let fifo = arrivals(&table(server, 10, client), &script);
    let one_by_one: Vec<f64> = (1..=10).map(|i| f64::from(i) + 5.0).collect();
    assert_eq!(fifo, some(&one_by_one));
}

#[test]
fn a_message_is_stored_whole_between_the_two_sides() {
    // 2 kB: 4 ms up at 0.5 kB/ms, 5 ms on the way, 1 ms down at 2 kB/ms.
    let server = link(1, None, Some(2.0));
    let found = arrivals(
        &table(server, 1, link(4, Some(0.5), None)),
        &[send(0, 1, 0, 2_000)],
    );
    assert_eq!(found, some(&[10.0]));
    // The other way round, the receiver is the slower: 1 ms up, 5 ms on the way, 4 ms down; a second
    // message 1 ms later finds 1.5 kB of the first there: both at half the rate, until the first is
    // through at 6 + 1 + 6 = 13 (1.5 kB at 0.25 kB/ms), the second 14 (the last 0.5 kB alone).
    let server = link(1, Some(2.0), None);
    let found = arrivals(
        &table(server, 1, link(4, None, Some(0.5))),
        &[send(0, 0, 1, 2_000), send(1, 0, 1, 2_000)],
    );
    assert_eq!(found, some(&[13.0, 14.0]));
}

#[test]
fn headers_take_their_time_on_both_sides() {
    // 10 packets of 100 bytes with 60 of headers: 1.6 kB on the wire, 1.6 ms a side.
    let mut client = link(4, Some(1.0), None);
    client.mtu = Bytes(100);
    client.header = Bytes(60);
    let found = arrivals(
        &table(link(1, None, Some(1.0)), 1, client),
        &[send(0, 1, 0, 1_000)],
    );
    assert_eq!(found, some(&[1.6 + 5.0 + 1.6]));
}

#[test]
fn a_node_may_have_a_rate_of_its_own() {
    let rate = |kb_ms: f64| Bandwidth::bits_per_second(kb_ms * 8e6).unwrap();
    let mut table = LinkTable::new();
    table.push(1, link(1, None, None)).unwrap();
    let rates = Rates {
        up: vec![rate(1.0), rate(0.25)],
        down: vec![],
    };
    table.push_with(2, link(4, Some(7.0), None), rates).unwrap();
    let found = arrivals(&table, &[send(0, 1, 0, 1_000), send(0, 2, 0, 1_000)]);
    assert_eq!(found, some(&[6.0, 9.0]));
}

#[test]
fn what_a_node_tells_itself_never_leaves_it() {
    let slow = link(4, Some(1.0), Some(1.0));
    let found = arrivals(&table(slow.clone(), 1, slow), &[send(3, 1, 1, 1 << 40)]);
    assert_eq!(found, some(&[3.0]));
}

#[test]
fn a_message_between_clients_of_a_star_takes_the_lookahead_at_least() {
    let server = link(9, None, None);
    let found = arrivals(&table(server, 2, link(1, None, None)), &[send(0, 1, 2, 8)]);
    assert_eq!(found, some(&[10.0]));
}

#[test]
fn a_message_that_never_gets_through_is_given_up_after_its_retries() {
    let mut client = link(4, Some(1.0), None);
    client.loss = Loss::Independent {
        p: Probability::ONE,
    };
    client.transport = Transport::Reliable {
        timeout: Span::from_millis(100),
        backoff: 2.0,
        retries: 3,
    };
    // 1 ms on the wire each time, then 100, 200 and 400 ms of waiting: given up at 704 ms,
    // in the window from 700 to 705.
    for (horizon, lost) in [(699, 0), (701, 1)] {
        let bed = Bed::new(
            table(link(1, None, None), 1, client.clone()),
            STAR,
            &[send(0, 1, 0, 1_000)],
            Span::from_millis(horizon),
        );
        let total = run(bed, 1, 1).unwrap().0.accounting.total();
        assert_eq!(
            (total.sent, total.lost, total.in_flight),
            (1, lost, 1 - lost)
        );
    }
}

#[test]
fn lost_packets_are_sent_again_after_the_timeout_and_only_they() {
    // Ten packets of 100 bytes, half of which get lost on the first attempt on average. What is lost
    // is drawn from the message's stream, so the test draws it too and works out the time.
    let p = 0.5;
    let mut client = link(4, Some(1.0), None);
    client.mtu = Bytes(100);
    client.loss = Loss::Independent {
        p: Probability::new(p).unwrap(),
    };
    client.transport = Transport::Reliable {
        timeout: Span::from_millis(50),
        backoff: 3.0,
        retries: 20,
    };
    let seed = 1;
    let mut packets = 10;
    let mut expected = 0.0;
    let mut attempts = 0;
    // The node's only timer is its number 0; the message is its number 1.
    let sequence = 1u64;
    while packets > 0 {
        expected += packets as f64 * 0.1;
        let counter = sequence + (attempts << 48);
        let mut rng = stream(seed, 1, Purpose::Link, counter);
        packets = client.loss.lost(packets, &mut None, &mut rng);
        if packets > 0 {
            expected += 50.0 * 3f64.powi(attempts as i32);
        }
        attempts += 1;
    }
    assert!(attempts > 1, "the seed must lose something");
    let found = arrivals(
        &table(link(1, None, None), 1, client),
        &[send(0, 1, 0, 1_000)],
    );
    let found = found[0].unwrap();
    assert!((found - expected - 5.0).abs() < 1e-5, "{found} {expected}");
}

#[test]
fn nothing_is_sent_again_before_a_round_trip_is_over() {
    let mut client = link(4, None, None);
    client.loss = Loss::Independent {
        p: Probability::new(0.5).unwrap(),
    };
    client.transport = Transport::Reliable {
        timeout: Span::from_millis(7),
        backoff: 1.0,
        retries: 100,
    };
    // 4 ms to the server's side and 5 across it: a round trip is 18 ms.
    let script: Vec<Send> = (0..20).map(|at| send(at * 1_000, 1, 0, 10)).collect();
    let found = arrivals(&table(link(5, None, None), 1, client), &script);
    let waits: Vec<f64> = found
        .iter()
        .zip(&script)
        .map(|(at, line)| at.unwrap() - (line.at / MS) as f64 - 9.0)
        .collect();
    assert!(waits.iter().all(|wait| wait % 18.0 == 0.0), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait > 0.0), "{waits:?}");
}
