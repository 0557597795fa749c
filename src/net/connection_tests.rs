//! Set-up of connections and acknowledgements through the real kernel, against sums done by hand.

use super::tcp::Congestion;
use super::testbed::{run, Bed, Log, Send};
use super::{Connection, Handshake, Latency, LinkModel, LinkTable, Sharing, Topology, Transport};
use crate::quantity::{Bandwidth, Bytes, Distribution, Span};
use crate::sim::{NodeId, Tally};

const TCP: Transport = Transport::Tcp {
    congestion: Congestion::Cubic,
    initial_window: 10,
    receive_window: Bytes(6 << 20),
};

/// 10 ms, rates in Mbit/s.
fn link(up: f64, down: f64, transport: Transport) -> LinkModel {
    let rate = |mbit: f64| Bandwidth::bits_per_second(mbit * 1e6);
    LinkModel {
        up: rate(up),
        down: rate(down),
        transport,
        ..LinkModel::new(Latency::new(Distribution::Constant(0.01), None).unwrap())
    }
}

/// A client of 8 Mbit/s up (1 kB/ms) and 16 down, a server of 80 both ways; 20 ms from one to the other.
fn ran(client: LinkModel, script: &[Send]) -> (Tally, Log) {
    let on = |shards| {
        let mut table = LinkTable::new();
        table.push(1, link(80.0, 80.0, client.transport)).unwrap();
        table.push(2, client.clone()).unwrap();
        let star = Topology::Star { centre: NodeId(0) };
        let bed = Bed::new(table, star, script, Span::from_secs(1_000));
        run(bed, 1, shards).unwrap()
    };
    let (alone, log) = on(1);
    assert_eq!(alone.hash, on(2).0.hash);
    (alone.accounting.total(), log)
}

fn send(bytes: u64, hops: u8) -> Send {
    Send {
        at: 0,
        from: 1,
        to: 0,
        bytes,
        hops,
    }
}

/// Round trips, then bytes there and back that pass before the data, then all bytes, both ways: each
/// packet with 40 of headers and 12 of options, SYNs with 20.
const EXPECTED: [(Handshake, u32, u64, u64, u64); 4] = [
    (Handshake::Tcp, 1, 60 + 52, 60, 172),
    // ClientHello 201, Finished 58; the server's flight of 342 and 3,000 of certificates in three
    // packets; a ticket of 227 afterwards.
    (
        Handshake::Tls13,
        2,
        60 + 52 + 253 + 110,
        60 + 3_342 + 3 * 52,
        475 + 3_558 + 279,
    ),
    // ClientHello 517, Finished 58; the server's 199; the ticket.
    (
        Handshake::Tls13Resumed,
        2,
        60 + 52 + 569 + 110,
        60 + 251,
        791 + 311 + 279,
    ),
    // A datagram of 1,200 bytes and no options; one back, and the client's Finished.
    (Handshake::Quic0Rtt, 0, 1_240, 0, 1_240 + 1_240 + 98),
];

#[test]
fn a_set_up_takes_its_round_trips_and_the_time_of_its_bytes() {
    for transport in [Transport::default(), TCP] {
        let plain = link(8.0, 16.0, transport);
        let (tally, log) = ran(plain.clone(), &[send(100_000, 0)]);
        assert_eq!((tally.bytes_setup, tally.bytes_acks), (0, 0));
        let without = log.took[0].seconds();
        for (handshake, round_trips, there, back, all) in EXPECTED {
            assert_eq!(handshake.round_trips(), round_trips);
            let connection = Connection::PerMessage { handshake };
            let client = LinkModel {
                connection,
                ..plain.clone()
            };
            let (tally, log) = ran(client, &[send(100_000, 0)]);
            // 8 Mbit/s, then 80; back 80, then 16.
            let bytes =
                there as f64 * (1.0 / 1e6 + 1.0 / 1e7) + back as f64 * (1.0 / 1e7 + 1.0 / 2e6);
            let grown = log.took[0].seconds() - without;
            let expected = f64::from(round_trips) * 0.04 + bytes;
            assert!(
                (grown - expected).abs() < 1e-7,
                "{handshake:?} over {transport:?}: {grown}, not {expected}"
            );
            assert_eq!(tally.bytes_setup, all, "{handshake:?}");
            assert_eq!(tally.delivered, 1);
        }
    }
}

#[test]
fn each_message_sets_up_its_own_connection_and_the_link_of_its_sender_decides() {
    let client = LinkModel {
        connection: Connection::PerMessage {
            handshake: Handshake::Tcp,
        },
        ..link(8.0, 16.0, Transport::default())
    };
    // Three messages; the server's two answers need no connection of their own.
    let (tally, _) = ran(client, &[send(100, 2), send(100, 1)]);
    assert_eq!((tally.sent, tally.delivered), (5, 5));
    assert_eq!(tally.bytes_setup, 3 * 172);
}

/// One for every two packets, 52 bytes each; 100 kB are 69 packets.
const ACKS: u64 = 35 * 52;

#[test]
fn acknowledgements_are_in_the_way_of_what_goes_back() {
    for sharing in [Sharing::Fair, Sharing::Fifo] {
        // The server's side is slower than the client's: a message is there when its last packet is, and
        // the answer sets out at once, behind the acknowledgements. On 80 Mbit/s they take 182 us.
        let took = |acks| {
            let client = LinkModel {
                acks,
                sharing,
                ..link(8.0, 80.0, TCP)
            };
            let mut table = LinkTable::new();
            table.push(1, link(80.0, 4.0, TCP)).unwrap();
            table.push(1, client).unwrap();
            let star = Topology::Star { centre: NodeId(0) };
            let bed = Bed::new(table, star, &[send(100_000, 1)], Span::from_secs(1_000));
            let (summary, log) = run(bed, 1, 1).unwrap();
            let tally = summary.accounting.total();
            // The server's link says nothing of acknowledgements.
            assert_eq!(tally.bytes_acks, if acks { ACKS } else { 0 });
            (log.took[0].seconds(), log.took[1].seconds())
        };
        let (plain, acked) = (took(false), took(true));
        assert!((plain.0 - acked.0).abs() < 1e-9, "{plain:?} {acked:?}");
        let grown = acked.1 - plain.1;
        let expected = ACKS as f64 * 8.0 / 80e6;
        assert!((grown - expected).abs() < 1e-7, "{grown}, not {expected}");
    }
}

#[test]
fn acknowledgements_are_in_the_way_of_what_comes() {
    let on = |acks, at: u64| {
        let mut table = LinkTable::new();
        // What the server sends at 8 Mbit/s comes whole to the client's side, which is as fast.
        table.push(1, link(8.0, 80.0, TCP)).unwrap();
        let client = LinkModel {
            acks,
            sharing: Sharing::Fifo,
            ..link(80.0, 8.0, TCP)
        };
        table.push(1, client).unwrap();
        let star = Topology::Star { centre: NodeId(0) };
        let down = Send {
            at,
            from: 0,
            to: 1,
            ..send(100, 0)
        };
        let script = [down, send(100_000, 0)];
        let bed = Bed::new(table, star, &script, Span::from_secs(1_000));
        run(bed, 1, 1).unwrap().1.at
    };
    // The last packet of the client's message leaves 20 ms before it is there. The server's message, 140 bytes at 8 Mbit/s and 20 ms,
    // comes to the client's side a microsecond later,
    // and has its 140 us there behind the acknowledgements.
    let left = on(false, 0)[&1] - 20_000_000;
    let at = left - 20_000_000 - 140_000 + 1_000;
    let (plain, acked) = (on(false, at), on(true, at));
    let grown = acked[&0] - plain[&0];
    let expected = ACKS * 1_000 - 1_000 + 140_000;
    assert!(grown.abs_diff(expected) < 1_000, "{grown}, not {expected}");
    assert_eq!(acked[&1], plain[&1]);
    // Long afterwards, the acknowledgements delay no other message.
    assert_eq!(on(true, 1_000_000_000)[&0], on(false, 1_000_000_000)[&0]);
}

#[test]
fn links_that_ask_for_what_their_transport_has_not_are_refused() {
    let mut link = link(8.0, 8.0, Transport::Datagram);
    link.acks = true;
    link.connection = Connection::PerMessage {
        handshake: Handshake::Tcp,
    };
    let problems = link.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("connection: a datagram has none"));
    assert!(problems[1].starts_with("acks: only TCP"));
}
