//! `check --links` tells the times that a run has.

use crate::tiny::Ran;
use shoal::net::Trip;
use shoal::quantity::Span;
use shoal::run::assemble;
use shoal::scenario::plausible::about;
use shoal::scenario::Scenario;

/// Six clients who are all asked in one round, over links on which nothing is drawn.
fn text(transport: &str) -> String {
    format!(
        "Scenario(
            seed: 3,
            data: Digits,
            model: [Flatten, Dense(100), Relu, Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            server: (link: (latency: \"5 ms\", up: \"50 Mbit/s\", down: \"30 Mbit/s\", {transport})),
            population: [
                (name: \"near\", count: 4, device: \"laptop\", link: (latency: \"20 ms\",
                    up: \"40 Mbit/s\", down: \"60 Mbit/s\", {transport})),
                (name: \"far\", count: 2, device: \"laptop\", link: (latency: \"100 ms\",
                    up: \"4 Mbit/s\", down: \"16 Mbit/s\", {transport},
                    connection: PerMessage(handshake: Tls13))),
            ],
            schedule: (rounds: 1, cohort: 6),
        )"
    )
}

/// The nodes that were sent a task, in that order, as the trace has it: 33 bytes an event after a head of
/// 16.
fn asked(ran: &Ran) -> Vec<u32> {
    let trace = ran.bytes("trace.bin");
    let events = trace[16..].chunks_exact(33);
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0u64, |all, byte| all << 8 | u64::from(*byte))
    };
    let tasks = events.filter(|event| event[32] == 0);
    let mut sent: Vec<(u64, u32)> = tasks
        .map(|event| (number(&event[8..16]), number(&event[28..32]) as u32))
        .collect();
    sent.sort_unstable();
    sent.into_iter().map(|(_, node)| node).collect()
}

#[test]
fn messages_are_tried_out_as_a_run_sends_them() {
    for transport in ["transport: Reliable()", "transport: Tcp(), acks: true"] {
        let text = text(transport);
        let scenario = Scenario::parse(&text, "s.ron".as_ref(), &[]).unwrap();
        let federation = assemble(&scenario, Default::default()).unwrap();
        let ran = Ran::of(&text);
        let rows = ran.clients();
        assert_eq!(rows.len(), 6);

        // In the run all models go down at once, and each report goes up when its client is done.
        let mut trips = Vec::new();
        for row in &rows {
            let letters = federation.round_messages(row.client);
            assert_eq!(
                (letters.model.0, letters.report.0),
                (row.bytes_down, row.bytes_up)
            );
            trips.push(Trip {
                at: row.invited,
                from: letters.server,
                to: letters.client,
                bytes: letters.model,
            });
        }
        // A server sends in the order of asking, which the rows do not have; over TCP it shows.
        let order = asked(&ran);
        trips.sort_by_key(|trip| order.iter().position(|node| *node == trip.to.0));
        for row in &rows {
            let letters = federation.round_messages(row.client);
            trips.push(Trip {
                at: row.trained.unwrap(),
                from: letters.client,
                to: letters.server,
                bytes: letters.report,
            });
        }
        let took = federation.links().try_out(&trips, scenario.seed).unwrap();
        for row in &rows {
            let down = row.received.unwrap().since(row.invited);
            let up = row.reported.unwrap().since(row.trained.unwrap());
            let node = federation.round_messages(row.client).client;
            let of = |upwards: bool| {
                let mut both = trips.iter().zip(&took);
                let found = both.find(|(trip, _)| match upwards {
                    true => trip.from == node,
                    false => trip.to == node,
                });
                found.unwrap().1.unwrap()
            };
            assert_eq!(of(false), down, "{transport}, client {}", row.client);
            assert_eq!(of(true), up, "{transport}, client {}", row.client);
        }

        // What is printed of it, where the order of asking does not show.
        if transport.contains("Tcp") {
            continue;
        }
        let lines = scenario.on_links(&federation).unwrap();
        for (group, members) in [("near", 4), ("far", 2)] {
            let mut times: Vec<Span> = rows
                .iter()
                .filter(|row| &*row.group == group)
                .map(|row| row.received.unwrap().since(row.invited))
                .collect();
            times.sort();
            assert_eq!(times.len(), members);
            let line = lines.iter().find(|line| line.starts_with(group)).unwrap();
            let most = about(times[(0.9 * (members - 1) as f64).round() as usize]);
            assert!(line.contains(&most), "no {most} in {line}");
        }
    }
}

#[test]
fn a_lone_client_has_the_time_that_is_told_for_a_message_alone() {
    let text = text("transport: Tcp()").replace("count: 4", "count: 1");
    let text = text.replace("cohort: 6", "cohort: 1");
    let scenario = Scenario::parse(&text, "s.ron".as_ref(), &[]).unwrap();
    let federation = assemble(&scenario, Default::default()).unwrap();
    let row = Ran::of(&text).clients().remove(0);
    let down = about(row.received.unwrap().since(row.invited));
    let up = about(row.reported.unwrap().since(row.trained.unwrap()));
    let lines = scenario.on_links(&federation).unwrap();
    let line = lines
        .iter()
        .find(|line| line.starts_with(&*row.group))
        .unwrap();
    // Alone and at once are the same where one is asked.
    for time in [&down, &up] {
        assert_eq!(line.matches(time.as_str()).count(), 2, "{time} in {line}");
    }
}

#[test]
fn without_one_server_messages_are_tried_alone() {
    let text =
        "(data: Digits, model: [Flatten, Dense(10)], population: [(name: \"all\", count: 6)], \
                topology: Gossip(graph: Ring))";
    let scenario = Scenario::parse(text, "s.ron".as_ref(), &[]).unwrap();
    let federation = assemble(&scenario, Default::default()).unwrap();
    let lines = scenario.on_links(&federation).unwrap();
    assert!(
        lines.iter().all(|line| !line.contains("at once")),
        "{lines:?}"
    );
    assert!(
        lines.iter().any(|line| line.starts_with("all")),
        "{lines:?}"
    );
}
