//! Messages over TCP through the real kernel: the times of the model alone, sharing, faults.

use super::tcp::{race, Congestion, Course};
use super::testbed::{run, Bed, Send};
use super::{Latency, LinkModel, LinkTable, Loss, Topology, Transport};
use crate::fault::{Cut, Fault, FaultPlan, Filter, LinkFault, LinkFaults, Outage, What, When};
use crate::quantity::{Bandwidth, Bytes, Distribution, Probability, Span};
use crate::sim::NodeId;
use crate::who::Who;

const STAR: Topology = Topology::Star { centre: NodeId(0) };

fn tcp(congestion: Congestion) -> Transport {
    Transport::Tcp {
        congestion,
        initial_window: 10,
        receive_window: Bytes(6 << 20),
    }
}

/// Half of a path of 62 ms over a rate in Mbit/s.
fn link(up: Option<f64>, down: Option<f64>) -> LinkModel {
    let rate = |r: Option<f64>| r.map(|r| Bandwidth::bits_per_second(r * 1e6).unwrap());
    let latency = Latency::new(Distribution::Constant(0.0155), None).unwrap();
    LinkModel {
        up: rate(up),
        down: rate(down),
        transport: tcp(Congestion::Cubic),
        ..LinkModel::new(latency)
    }
}

fn table(server: LinkModel, clients: u32, client: LinkModel) -> LinkTable {
    let mut table = LinkTable::new();
    table.push(1, server).unwrap();
    table.push(clients, client).unwrap();
    table
}

fn send(from: u32, to: u32, bytes: u64) -> Send {
    Send {
        at: 0,
        from,
        to,
        bytes,
        hops: 0,
    }
}

/// Seconds that each message takes; the same on one, two and four shards.
fn times(table: &LinkTable, script: &[Send], faults: Option<&dyn Fn() -> LinkFaults>) -> Vec<f64> {
    let on = |shards| {
        let mut bed = Bed::new(table.clone(), STAR, script, Span::from_secs(5_000));
        if let Some(faults) = faults {
            bed = bed.amid(faults());
        }
        let (summary, log) = run(bed, 1, shards).unwrap();
        let times: Vec<f64> = (0..script.len() as u64)
            .filter_map(|id| log.at.get(&id).map(|nanos| *nanos as f64 / 1e9))
            .collect();
        (summary.hash, times)
    };
    let (hash, alone) = on(1);
    for shards in [2, 4] {
        assert_eq!(on(shards), (hash, alone.clone()));
    }
    alone
}

/// What the model says of a message of `bytes` alone.
fn alone(mbit: f64, bytes: u64) -> f64 {
    let packets = bytes.div_ceil(1_460);
    let course = Course {
        congestion: Congestion::Cubic,
        rate: mbit * 1e6,
        rtt: 0.062,
        loss: Loss::None,
        buffer: 1e9,
        flows: 1,
        stagger: 0.0,
        packets,
        packet: (bytes + packets * 40) as f64 / packets as f64,
    };
    race(&course, 1).0[0]
}

#[test]
fn a_message_takes_what_the_model_says_up_and_down() {
    let expected = alone(7.6, 153_152);
    let plain = 157_352.0 * 8.0 / 7.6e6 + 0.031;
    assert!(expected > 1.3 * plain, "{expected} for {plain}");
    // The sender's side is the slower one.
    let up = table(link(None, None), 1, link(Some(7.6), None));
    let found = times(&up, &[send(1, 0, 153_152)], None);
    assert!((found[0] - expected).abs() < 1e-6, "{found:?}, {expected}");
    // The receiver's is: it is passed once.
    let down = table(link(Some(1_000.0), None), 1, link(None, Some(7.6)));
    let found = times(&down, &[send(0, 1, 153_152)], None);
    assert!((found[0] - expected).abs() < 0.002, "{found:?}, {expected}");
}

#[test]
fn messages_from_one_node_share_its_side() {
    let table = table(link(Some(8.0), None), 4, link(None, None));
    let script: Vec<Send> = (1..5).map(|to| send(0, to, 250_000)).collect();
    let found = times(&table, &script, None);
    let bytes = 4.0 * (250_000.0 + 172.0 * 40.0);
    let last = found.iter().copied().fold(0.0, f64::max);
    assert!(
        last >= bytes / 1e6 + 0.031 && last < 1.2 * bytes / 1e6,
        "{found:?}"
    );
    let first = found.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(first > 0.5 * last, "{found:?}");
}

/// A server with 10 Gbit/s sends 153 kB to each of thirty clients with 7.6 Mbit/s: it is busy for 2 % of the
/// time, so each message takes what it would take alone. Once each waited for packets of others that were to
/// come later, took their delay for a queue, and ended slow start a round trip or two too early.
#[test]
fn messages_over_a_side_that_is_hardly_busy_do_not_hold_each_other_up() {
    let table = table(link(Some(10_000.0), None), 30, link(None, Some(7.6)));
    let script: Vec<Send> = (1..31).map(|to| send(0, to, 153_152)).collect();
    let found = times(&table, &script, None);
    let expected = alone(7.6, 153_152);
    assert_eq!(found.len(), 30);
    for each in &found {
        assert!(
            (each - expected).abs() < 0.01 * expected,
            "{each}, {expected}: {found:?}"
        );
    }
}

#[test]
fn a_small_buffer_costs_time() {
    let with = |buffer| {
        let client = LinkModel {
            buffer,
            ..link(Some(8.0), None)
        };
        times(
            &table(link(None, None), 1, client),
            &[send(1, 0, 3_000_000)],
            None,
        )[0]
    };
    let (little, much) = (with(Some(Bytes(6_000))), with(None));
    assert!(little > 1.1 * much, "{little} against {much}");
}

#[test]
fn a_server_that_is_slower_than_all_its_clients_together_is_shared() {
    let table = table(link(None, Some(20.0)), 8, link(Some(10.0), None));
    let script: Vec<Send> = (1..9).map(|from| send(from, 0, 500_000)).collect();
    let found = times(&table, &script, None);
    let last = found.iter().copied().fold(0.0, f64::max);
    assert!(last > 8.0 * 500_000.0 * 8.0 / 20e6, "{found:?}");
}

fn amid(fault: LinkFault, from: u64, lasts: u64) -> impl Fn() -> LinkFaults {
    move || {
        let when = When::Once {
            at: Span::from_millis(from),
            lasts: Some(Span::from_millis(lasts)),
        };
        let fault = Fault {
            what: What::Link(fault.clone()),
            who: Who::All,
            when,
            together: false,
            probability: Probability::ONE,
            filter: Filter::default(),
        };
        FaultPlan::new(&[fault], [("all", 1)].into_iter(), 1).links
    }
}

#[test]
fn faults_act_on_a_message_under_way() {
    let table = table(link(None, None), 1, link(Some(8.0), None));
    let script = [send(1, 0, 1_000_000)];
    let plain = times(&table, &script, None)[0];
    let with =
        |fault: LinkFault, from, lasts| times(&table, &script, Some(&amid(fault, from, lasts)))[0];
    let p = |p| Probability::new(p).unwrap();
    // Half the rate for half a second costs a quarter of one.
    let slow = with(LinkFault::Bandwidth(p(0.5)), 400, 500);
    assert!((slow - plain - 0.25).abs() < 0.1, "{slow} after {plain}");
    let lossy = with(LinkFault::Loss(p(0.05)), 200, 60_000);
    assert!(lossy > 1.3 * plain, "{lossy} after {plain}");
    let late = with(LinkFault::Delay(Distribution::Constant(0.2)), 200, 60_000);
    assert!(late > plain + 0.15, "{late} after {plain}");
    // Nothing gets through for a second and a half: timeouts, then slow start.
    let outage = |held| Outage {
        cut: Cut::All,
        held,
        heal: Span::ZERO,
    };
    let cut = with(LinkFault::Outage(outage(false)), 400, 1_500);
    assert!(
        cut > plain + 1.2 && cut < plain + 5.0,
        "{cut} after {plain}"
    );
    let held = with(LinkFault::Outage(outage(true)), 400, 1_500);
    assert!(
        held > plain + 1.0 && held < cut + 1.0,
        "{held} after {plain}"
    );
    // Smaller packets have more headers.
    let small = with(LinkFault::Mtu(Bytes(200)), 0, 60_000);
    assert!(small > 1.1 * plain, "{small} after {plain}");
}

#[test]
fn a_path_that_stays_cut_is_given_up() {
    let client = LinkModel {
        loss: Loss::Independent {
            p: Probability::ONE,
        },
        ..link(Some(8.0), None)
    };
    let found = times(
        &table(link(None, None), 1, client),
        &[send(1, 0, 5_000)],
        None,
    );
    assert!(found.is_empty());
}
