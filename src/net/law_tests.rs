//! Properties that hold for any links: no message vanishes, none arrives too early, and the number of
//! shards does not affect the run.

use super::tcp::Congestion;
use super::testbed::{run, Bed, Send};
use super::{
    preset, presets, Connection, Handshake, Latency, LinkModel, LinkTable, Loss, Sharing, Topology,
    Transport,
};
use crate::quantity::{Bandwidth, Bytes, Distribution, Probability, Span};
use crate::sim::NodeId;
use proptest::prelude::*;

fn latencies() -> impl Strategy<Value = Latency> {
    let distribution = prop_oneof![
        (0.0..0.01).prop_map(Distribution::Constant),
        (0.0..0.01, 0.0..0.05).prop_map(|(low, more)| Distribution::Uniform {
            low,
            high: low + more
        }),
        (0.0..0.02, 0.0..0.02).prop_map(|(mean, std)| Distribution::Normal { mean, std }),
        (0.001..0.02, 0.0..2.0)
            .prop_map(|(median, sigma)| Distribution::LogNormal { median, sigma }),
        (0.0..0.01, 0.0..0.05).prop_map(|(min, more)| Distribution::Exponential {
            min,
            mean: min + more
        }),
        prop::collection::vec(0.0..0.05, 1..5).prop_map(|mut values| {
            values.sort_by(f64::total_cmp);
            Distribution::Quantiles(values)
        }),
    ];
    let bounded = (distribution, 100_000u64..5_000_000)
        .prop_map(|(d, bound)| Latency::new(d, Some(Span::from_nanos(bound))).unwrap());
    prop_oneof![9 => bounded, 1 => Just(Latency::ideal())]
}

fn losses() -> impl Strategy<Value = Loss> {
    let p = || {
        prop_oneof![
            Just(Probability::ZERO),
            Just(Probability::ONE),
            (0.0..1.0).prop_map(|p| Probability::new(p).unwrap())
        ]
    };
    prop_oneof![
        Just(Loss::None),
        p().prop_map(|p| Loss::Independent { p }),
        (0.01..1.0, p(), p(), p()).prop_map(|(enter, leave, good, bad)| Loss::GilbertElliott {
            p_good_to_bad: Probability::new(enter).unwrap(),
            p_bad_to_good: leave,
            loss_good: good,
            loss_bad: bad,
        }),
    ]
}

fn links() -> impl Strategy<Value = LinkModel> {
    let rate = || prop::option::of((1e4..1e8).prop_map(|r| Bandwidth::bits_per_second(r).unwrap()));
    let transport = prop_oneof![
        Just(Transport::Datagram),
        (1u64..50_000_000, 1.0..4.0, 0u32..6).prop_map(|(timeout, backoff, retries)| {
            Transport::Reliable {
                timeout: Span::from_nanos(timeout),
                backoff,
                retries,
            }
        }),
        (0usize..3, 1u32..20, 6_000u64..100_000).prop_map(|(kind, initial_window, window)| {
            Transport::Tcp {
                congestion: [Congestion::Cubic, Congestion::Reno, Congestion::Bbr][kind],
                initial_window,
                receive_window: Bytes(window),
            }
        }),
    ];
    let buffer = prop::option::of(4_000u64..60_000);
    let sharing = prop_oneof![Just(Sharing::Fair), Just(Sharing::Fifo)];
    (
        latencies(),
        rate(),
        rate(),
        sharing,
        losses(),
        1u64..3_000,
        0u64..60,
        (transport, buffer, (0usize..6, prop::bool::ANY)),
    )
        .prop_map(
            |(latency, up, down, sharing, loss, mtu, header, (transport, buffer, beside))| {
                LinkModel {
                    latency,
                    up,
                    down,
                    sharing,
                    loss,
                    mtu: Bytes(mtu),
                    header: Bytes(header),
                    transport,
                    // Only TCP has an effect on messages for which a buffer has no room.
                    buffer: buffer
                        .filter(|_| matches!(transport, Transport::Tcp { .. }))
                        .map(Bytes),
                    connection: match (transport, beside.0) {
                        (Transport::Datagram, _) | (_, 4..) => Connection::Persistent,
                        (_, kind) => Connection::PerMessage {
                            handshake: HANDSHAKES[kind],
                        },
                    },
                    acks: beside.1 && matches!(transport, Transport::Tcp { .. }),
                }
            },
        )
}

const HANDSHAKES: [Handshake; 4] = [
    Handshake::Tcp,
    Handshake::Tls13,
    Handshake::Tls13Resumed,
    Handshake::Quic0Rtt,
];

const NODES: u32 = 7;

fn worlds() -> impl Strategy<Value = (LinkTable, Topology, Vec<Send>, Span)> {
    let table = (links(), links(), links()).prop_map(|(server, few, many)| {
        let mut table = LinkTable::new();
        table.push(1, server).unwrap();
        table.push(2, few).unwrap();
        table.push(NODES - 3, many).unwrap();
        table
    });
    let line = (0u64..30_000_000, 0..NODES, 0..NODES, 0u64..20_000, 0u8..4);
    let script = prop::collection::vec(
        line.prop_map(|(at, from, to, bytes, hops)| Send {
            at,
            from,
            to,
            bytes,
            hops,
        }),
        0..40,
    );
    let topology = prop_oneof![
        Just(Topology::Mesh),
        Just(Topology::Star { centre: NodeId(0) })
    ];
    let horizon =
        prop_oneof![0u64..100_000_000, Just(20_000_000_000_000)].prop_map(Span::from_nanos);
    (table, topology, script, horizon)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The kernel counts the messages that wait in queues and interfaces, and ends a run in which the
    /// counts do not add up with an error. All nodes rest whenever they may.
    #[test]
    fn no_message_is_lost_without_a_trace_and_shards_do_not_show(
        (table, topology, script, horizon) in worlds(),
        seed: u64,
    ) {
        let mut outcomes = Vec::new();
        for shards in [1, 2, 3] {
            let bed = Bed::new(table.clone(), topology.clone(), &script, horizon);
            let (summary, log) = run(bed, seed, shards).unwrap();
            let total = summary.accounting.total();
            prop_assert_eq!(
                total.sent,
                total.delivered + total.lost + total.in_flight,
                "{:?}", total
            );
            if horizon > Span::from_secs(1) {
                // Long enough for everything: what is left is on its way for good.
                prop_assert_eq!(total.in_flight, 0);
            }
            outcomes.push((summary.hash, summary.accounting, log.took));
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
        prop_assert_eq!(&outcomes[0], &outcomes[2]);
    }

    /// What waits inside the interface of a node that crashes is dropped, and counted.
    #[test]
    fn a_crash_drops_what_waits_in_the_interface(
        (table, topology, script, horizon) in worlds(),
        fragile in 1..NODES,
    ) {
        let bed = Bed::new(table, topology, &script, horizon).with_fragile(fragile);
        // The run ends without an error only if the counts of messages add up.
        prop_assert!(run(bed, 3, 2).is_ok());
    }

    #[test]
    fn no_message_is_faster_than_the_bounds_of_both_ends(
        server in links(),
        client in links(),
        seed: u64,
    ) {
        let least = server.latency.bound() + client.latency.bound();
        let mut table = LinkTable::new();
        table.push(1, server).unwrap();
        table.push(1, client).unwrap();
        let script: Vec<Send> = (0..20)
            .map(|i| Send { at: i * 1_000, from: 1, to: 0, bytes: 100, hops: 3 })
            .collect();
        let star = Topology::Star { centre: NodeId(0) };
        let bed = Bed::new(table, star, &script, Span::from_secs(100));
        let (_, log) = run(bed, seed, 1).unwrap();
        prop_assert!(log.took.iter().all(|took| *took >= least));
    }
}

/// The lookahead of a network of links with these bounds in milliseconds.
fn lookahead(bounds: &[(u32, u64)], topology: Topology) -> Span {
    use crate::sim::Network;
    let mut table = LinkTable::new();
    for (count, bound) in bounds {
        let latency = Latency::new(Distribution::Constant(1.0), Some(Span::from_millis(*bound)));
        table
            .push(*count, LinkModel::new(latency.unwrap()))
            .unwrap();
    }
    let network = super::LinkNetwork::new(table, topology).unwrap();
    Network::<super::testbed::Mail>::lookahead(&network)
}

#[test]
fn the_lookahead_is_the_least_sum_of_bounds_of_nodes_that_talk() {
    let star = |node| Topology::Star {
        centre: NodeId(node),
    };
    let bounds = [(1, 9), (3, 4), (1, 2)];
    assert_eq!(lookahead(&bounds, Topology::Mesh), Span::from_millis(6));
    assert_eq!(lookahead(&bounds, star(0)), Span::from_millis(11));
    assert_eq!(lookahead(&bounds, star(4)), Span::from_millis(6));
    assert_eq!(lookahead(&bounds, star(2)), Span::from_millis(6));
    assert_eq!(lookahead(&[(2, 4)], star(0)), Span::from_millis(8));
    assert_eq!(lookahead(&[(5, 4)], Topology::Mesh), Span::from_millis(8));
    assert_eq!(lookahead(&[(1, 4)], Topology::Mesh), Span::from_millis(8));
}

#[test]
fn a_network_needs_nodes_and_a_star_its_centre() {
    use super::{LinkNetwork, NetError};
    let empty = LinkNetwork::new(LinkTable::new(), Topology::Mesh);
    assert_eq!(empty.err(), Some(NetError::Empty));
    let mut table = LinkTable::new();
    table.push(3, LinkModel::ideal()).unwrap();
    let centre = NodeId(3);
    let error = LinkNetwork::new(table, Topology::Star { centre })
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "the centre of the star, node 3, has no link: only nodes 0 to 2 do"
    );
}

/// `count` messages of one packet from each of 10 clients to the server.
fn uploads(client: LinkModel, count: u64, bytes: u64) -> crate::sim::Tally {
    let mut table = LinkTable::new();
    table
        .push(
            1,
            preset("datacentre")
                .map(|d| LinkModel {
                    loss: Loss::None,
                    ..d
                })
                .unwrap(),
        )
        .unwrap();
    table.push(10, client).unwrap();
    let script: Vec<Send> = (0..count * 10)
        .map(|i| Send {
            at: i * 1_000,
            from: 1 + (i % 10) as u32,
            to: 0,
            bytes,
            hops: 0,
        })
        .collect();
    let star = Topology::Star { centre: NodeId(0) };
    let bed = Bed::new(table, star, &script, Span::from_secs(100_000));
    run(bed, 5, 2).unwrap().0.accounting.total()
}

#[test]
fn datagrams_are_lost_as_often_as_any_of_their_packets() {
    let mut client = preset("5g").unwrap();
    client.transport = Transport::Datagram;
    client.loss = Loss::Independent {
        p: Probability::new(0.01).unwrap(),
    };
    // 30 packets: 1 - 0.99^30 = 0.2603.
    let total = uploads(client, 2_000, 30 * 1_460);
    let expected = 1.0 - 0.99f64.powi(30);
    let deviation = (expected * (1.0 - expected) / 20_000.0).sqrt();
    let found = total.lost as f64 / total.sent as f64;
    assert_eq!(total.sent, 20_000);
    assert!((found - expected).abs() < 5.0 * deviation, "{found}");
}

#[test]
fn a_reliable_transport_delivers_everything_at_moderate_loss() {
    for loss in [
        Loss::Independent {
            p: Probability::new(0.1).unwrap(),
        },
        preset("satellite-leo").unwrap().loss,
    ] {
        let mut client = preset("4g").unwrap();
        client.loss = loss;
        let total = uploads(client, 50, 200_000);
        assert_eq!((total.sent, total.delivered), (500, 500));
    }
}

#[test]
fn a_round_over_every_preset_runs() {
    let mut table = LinkTable::new();
    table.push(1, preset("datacentre").unwrap()).unwrap();
    for preset in presets() {
        table.push(3, preset.model).unwrap();
    }
    let nodes = table.nodes();
    let script: Vec<Send> = (1..nodes)
        .map(|to| Send {
            at: 0,
            from: 0,
            to,
            bytes: 6_500_000,
            hops: 1,
        })
        .collect();
    let star = Topology::Star { centre: NodeId(0) };
    let bed = Bed::new(table, star, &script, Span::from_secs(100_000));
    let total = run(bed, 5, 2).unwrap().0.accounting.total();
    assert_eq!(total.delivered, u64::from(nodes - 1) * 2);
}
