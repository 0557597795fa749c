//! The books add up: every invitation has one outcome, the same in every table, and what was spent is
//! counted where it was spent.

use super::tiny::Ran;
use shoal::observe::record::{MessageCount, Status};
use shoal::observe::rows::{ClientOutcome, CostRow, InvitationRow, Outcome, RoundRow};
use shoal::scenario::Scenario;
use std::collections::BTreeMap;

/// What is not wasted of a row's figures: for comparison where waste is judged by rounds.
fn spent(row: &InvitationRow) -> InvitationRow {
    InvitationRow {
        wasted_bytes_down: 0,
        wasted_bytes_up: 0,
        wasted_flops: 0,
        wasted_compute: Default::default(),
        wasted_energy_j: 0.0,
        ..row.clone()
    }
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

/// All that `docs/outputs.md` says of sums, for a run that came to its end.
pub fn add_up(ran: &Ran, scenario: &Scenario, name: &str) {
    let (rounds, clients, record) = (ran.rounds(), ran.clients(), ran.record());
    let written: BTreeMap<u32, InvitationRow> = ran
        .invitations()
        .into_iter()
        .map(|row| (row.round, row))
        .collect();

    // Line by line: outcomes add up to invitations, and both tables say the same of them.
    let mut counted: BTreeMap<u32, InvitationRow> = BTreeMap::new();
    for row in &clients {
        let sums = counted.entry(row.round);
        sums.or_insert_with(|| InvitationRow::of(row.round))
            .count(row);
    }
    assert_eq!(counted.len(), written.len(), "{name}");
    for (row, by_lines) in written.values().zip(counted.values()) {
        assert_eq!(spent(row), spent(by_lines), "{name}");
        let outcomes: u32 = row.outcomes().iter().map(|(_, count)| count).sum();
        assert_eq!(outcomes, row.invited, "{name}: {row:?}");
        // At the least what was not reported, at the most all.
        assert!(row.wasted_flops >= by_lines.wasted_flops, "{name}: {row:?}");
        assert!(
            row.wasted_bytes_up >= by_lines.wasted_bytes_up,
            "{name}: {row:?}"
        );
        assert!(row.wasted_flops <= row.flops, "{name}: {row:?}");
        assert!(row.wasted_bytes_up <= row.bytes_up, "{name}: {row:?}");
        assert!(row.wasted_bytes_down <= row.bytes_down, "{name}: {row:?}");
        assert!(row.wasted_compute <= row.compute, "{name}: {row:?}");
        assert!(
            row.wasted_energy_j <= row.energy_j * (1.0 + 1e-9),
            "{name}: {row:?}"
        );
    }
    let mut total = InvitationRow::default();
    written.values().for_each(|row| total.add(row));
    // Decimals in JSON are read to the last bit but one.
    let recorded = record.invitations.clone().unwrap();
    assert!(near(recorded.energy_j, total.energy_j), "{name}");
    let waste = (recorded.wasted_energy_j, total.wasted_energy_j);
    assert!(near(waste.0, waste.1), "{name}: {waste:?}");
    let without = |row: &InvitationRow| InvitationRow {
        energy_j: 0.0,
        wasted_energy_j: 0.0,
        ..row.clone()
    };
    assert_eq!(without(&recorded), without(&total), "{name}");

    costs_add_up(&ran.costs(), &clients, &total, name);
    if scenario.holds_rounds_with_clients() {
        for round in &rounds {
            round_adds_up(round, written.get(&round.round), name);
        }
    }
    let flat = scenario.hierarchy.is_empty() && scenario.gossip().is_none();
    let of = |kind: &str| record.messages.get(kind).copied().unwrap_or_default();
    let sum = |pick: fn(&RoundRow) -> u64| rounds.iter().map(pick).sum::<u64>();
    let (down, up) = (sum(|row| row.bytes_down), sum(|row| row.bytes_up));
    assert!(
        record.messages.values().all(MessageCount::balances),
        "{name}"
    );
    if flat {
        // Every byte once, in four places.
        let invited: u32 = rounds.iter().map(|row| row.invited).sum();
        assert_eq!(total.invited, invited, "{name}");
        assert_eq!(total.bytes_down, down, "{name}");
        assert_eq!(total.bytes_down, of("task").bytes, "{name}");
        assert_eq!(u64::from(total.invited), of("task").sent, "{name}");
        let (report, refusal) = (of("report"), of("refusal"));
        assert_eq!(total.bytes_up, report.bytes + refusal.bytes, "{name}");
        let beside: u64 = clients.iter().map(|row| row.overhead_bytes).sum();
        let kinds = [of("task"), report, refusal];
        let carried = kinds.iter().map(|kind| kind.bytes_setup + kind.bytes_acks);
        assert_eq!(beside, carried.sum::<u64>(), "{name}");
        let delivered = report.bytes_delivered + refusal.bytes_delivered;
        let unheard = record.totals.unwrap().bytes_unheard;
        assert_eq!(up + unheard, delivered, "{name}");
    } else if scenario.gossip().is_some() {
        let model = of("model");
        let unheard = record.totals.unwrap().bytes_unheard;
        assert_eq!(total.bytes_up, model.bytes, "{name}");
        assert_eq!(total.bytes_down + unheard, model.bytes_delivered, "{name}");
        for round in &rounds {
            assert_eq!(written[&round.round].invited, round.invited, "{name}");
        }
    } else {
        let servers = ran.servers();
        assert!(!servers.is_empty(), "{name}");
        for row in &servers {
            let answered = row.reported + row.refused + row.rejected + row.unanswered;
            assert_eq!(answered, row.invited, "{name}: {row:?}");
        }
        if scenario.hierarchy.len() == 1 {
            assert_eq!(total.bytes_down + down, of("task").bytes, "{name}");
            // Of rounds that are open when the run ends servers between have no line.
            let closed: u32 = servers.iter().map(|row| row.invited).sum();
            assert!(closed <= total.invited, "{name}");
            let reported: u32 = servers.iter().map(|row| row.reported).sum();
            assert!(reported <= total.reported, "{name}");
        }
        let (report, refusal) = (of("report"), of("refusal"));
        assert!(
            total.bytes_up + up <= report.bytes + refusal.bytes,
            "{name}"
        );
    }
}

/// A round that one server held with its clients.
fn round_adds_up(round: &RoundRow, of_it: Option<&InvitationRow>, name: &str) {
    let answered = round.reported + round.refused + round.rejected + round.unanswered;
    assert_eq!(answered, round.invited, "{name}: {round:?}");
    let none = InvitationRow::of(round.round);
    let all = of_it.unwrap_or(&none);
    assert_eq!(all.invited, round.invited, "{name}: {round:?} {all:?}");
    assert_eq!(all.reported, round.reported, "{name}: {round:?} {all:?}");
    assert!(all.rejected >= round.rejected, "{name}: {round:?} {all:?}");
    assert_eq!(
        all.bytes_down, round.bytes_down,
        "{name}: {round:?} {all:?}"
    );
    assert!(all.refused >= round.refused, "{name}: {round:?} {all:?}");
    if round.outcome != Outcome::Completed {
        assert_eq!(all.wasted_flops, all.flops, "{name}: {round:?} {all:?}");
    }
}

fn costs_add_up(
    costs: &[CostRow],
    clients: &[shoal::observe::rows::ClientRow],
    total: &InvitationRow,
    name: &str,
) {
    for cost in costs {
        let mut counted = CostRow {
            size: cost.size,
            clients: cost.clients,
            parameters: cost.parameters,
            model_bytes: cost.model_bytes,
            step_flops: cost.step_flops,
            ..CostRow::default()
        };
        let of_width = clients.iter().filter(|row| row.size == cost.size);
        of_width.for_each(|row| counted.count(row));
        let figures = |cost: &CostRow| {
            let counts = [cost.invited, cost.reported, cost.trained];
            let bytes = [cost.bytes_down, cost.bytes_up, cost.memory_bytes];
            (counts, bytes, cost.flops, cost.compute, cost.energy_j)
        };
        assert_eq!(
            figures(cost),
            figures(&counted),
            "{name}: width {}",
            cost.size
        );
    }
    let sum = |pick: fn(&CostRow) -> u64| costs.iter().map(pick).sum::<u64>();
    assert_eq!(sum(|cost| cost.invited), u64::from(total.invited), "{name}");
    assert_eq!(
        sum(|cost| cost.reported),
        u64::from(total.reported),
        "{name}"
    );
    assert_eq!(sum(|cost| cost.flops), total.flops, "{name}");
    assert_eq!(sum(|cost| cost.wasted_flops), total.wasted_flops, "{name}");
    assert_eq!(sum(|cost| cost.bytes_down), total.bytes_down, "{name}");
    assert_eq!(
        sum(|cost| cost.wasted_bytes_down),
        total.wasted_bytes_down,
        "{name}"
    );
    assert_eq!(sum(|cost| cost.bytes_up), total.bytes_up, "{name}");
    assert_eq!(
        sum(|cost| cost.wasted_bytes_up),
        total.wasted_bytes_up,
        "{name}"
    );
    let compute = sum(|cost| cost.compute.nanos());
    assert_eq!(compute, total.compute.nanos(), "{name}");
    let wasted = sum(|cost| cost.wasted_compute.nanos());
    assert_eq!(wasted, total.wasted_compute.nanos(), "{name}");
    let energy: f64 = costs.iter().map(|cost| cost.energy_j).sum();
    assert!(
        near(energy, total.energy_j),
        "{name}: {energy} {}",
        total.energy_j
    );
    let wasted: f64 = costs.iter().map(|cost| cost.wasted_energy_j).sum();
    assert!(near(wasted, total.wasted_energy_j), "{name}: {wasted}");
}

/// Three sound clients and three that are `other`.
fn with(other: &str, schedule: &str) -> String {
    format!(
        "Scenario(
            seed: 5,
            data: Digits,
            model: [Flatten, Dense(10)],
            training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
            population: [
                (name: \"sound\", count: 3, device: \"laptop\", link: \"lan\"),
                (name: \"other\", count: 3, {other}),
            ],
            schedule: ({schedule}),
        )"
    )
}

fn outcomes(ran: &Ran) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for row in ran.clients() {
        *counts.entry(row.outcome.to_string()).or_default() += 1;
    }
    counts
}

#[test]
fn a_client_that_is_too_slow_has_spent_energy_and_it_is_wasted() {
    // Training takes half a second to start and a few more to do; the deadline is one second.
    let slow = "device: (preset: \"laptop\", speed: \"1 MFLOP/s\"), link: \"lan\"";
    let text = with(slow, "rounds: 3, cohort: 6, deadline: \"1 s\"");
    let ran = Ran::of(&text);
    add_up(
        &ran,
        &Scenario::parse(&text, "s.ron".as_ref(), &[]).unwrap(),
        "slow",
    );
    let slow: Vec<_> = ran
        .clients()
        .into_iter()
        .filter(|row| &*row.group == "other")
        .collect();
    assert_eq!(slow.len(), 9);
    assert!(slow
        .iter()
        .all(|row| row.outcome != ClientOutcome::Reported));
    assert!(
        slow.iter().all(|row| row.energy_j > 0.0 && row.flops > 0),
        "{slow:?}"
    );
    let all = ran.record().invitations.unwrap();
    let wasted: f64 = slow.iter().map(|row| row.energy_j).sum();
    assert!(near(all.wasted_energy_j, wasted), "{all:?}");
    assert!(all.energy_j > all.wasted_energy_j);
    // None of them is lost: nothing got lost.
    assert_eq!((all.lost, all.crashed), (0, 0), "{:?}", outcomes(&ran));
}

#[test]
fn what_is_lost_on_links_is_lost_in_the_tables_and_nothing_else_is() {
    let lossy =
        "device: \"laptop\", link: (preset: \"lan\", loss: Independent(1), transport: Datagram)";
    let text = with(lossy, "rounds: 2, cohort: 6, deadline: \"5 s\"");
    // Nor does the server send anything again.
    let server = "server: (link: (preset: \"lan\", transport: Datagram)), data: Digits,";
    let text = text.replace("data: Digits,", server);
    let ran = Ran::of(&text);
    add_up(
        &ran,
        &Scenario::parse(&text, "s.ron".as_ref(), &[]).unwrap(),
        "lossy",
    );
    let counts = outcomes(&ran);
    assert_eq!(
        counts,
        BTreeMap::from([("lost".into(), 6), ("reported".into(), 6)])
    );
    let lost: u64 = ran.record().messages.values().map(|count| count.lost).sum();
    assert_eq!(lost, 6);
}

#[test]
fn what_links_carry_beside_messages_is_counted_once_in_every_table() {
    let other = "device: \"laptop\", link: (preset: \"4g\", transport: Tcp(), acks: true, \
                 connection: PerMessage(handshake: Tcp))";
    let ran = Ran::of(&with(other, "rounds: 2, cohort: 6"));
    let scenario = Scenario::parse(&with(other, "rounds: 2, cohort: 6"), "s.ron".as_ref(), &[]);
    add_up(&ran, &scenario.unwrap(), "beside");
    let messages = ran.record().messages;
    // Six reports of the three: each set its connection up, 172 bytes; 2,600 bytes of parameters are two
    // packets and one acknowledgement of 52 bytes.
    let (task, report) = (messages["task"], messages["report"]);
    assert_eq!((task.bytes_setup, task.bytes_acks), (0, 0));
    assert_eq!((report.bytes_setup, report.bytes_acks), (6 * 172, 6 * 52));
    let costs: u64 = ran.costs().iter().map(|cost| cost.overhead_bytes).sum();
    assert_eq!(costs, 6 * (172 + 52));
}

#[test]
fn work_at_servers_between_that_the_run_ends_over_has_its_lines() {
    let text = "Scenario(
        seed: 5,
        data: Digits,
        model: [Flatten, Dense(10)],
        training: (epochs: 1, batch: 32, optimizer: Sgd(lr: 0.1)),
        population: [
            (name: \"a\", count: 4, device: \"laptop\", link: \"lan\"),
            (name: \"slow\", count: 4, device: (preset: \"laptop\", speed: \"10 kFLOP/s\"), link: \"lan\"),
        ],
        hierarchy: [(name: \"edge\", count: 2, link: \"lan\")],
        schedule: (rounds: 2, cohort: 8, deadline: \"3 s\"),
    )";
    let ran = Ran::of(text);
    add_up(
        &ran,
        &Scenario::parse(text, "s.ron".as_ref(), &[]).unwrap(),
        "edges",
    );
    let asked = ran.record().messages["task"].sent - 4;
    assert_eq!(
        ran.clients().len() as u64,
        asked,
        "the top asks two edges twice"
    );
    let counts = outcomes(&ran);
    assert!(counts["unfinished"] > 0, "{counts:?}");
}

#[test]
fn a_run_in_which_no_round_is_completed_does_not_end_as_completed() {
    let slow = "device: (preset: \"laptop\", speed: \"100 FLOP/s\"), link: \"lan\"";
    let schedule = "rounds: 3, cohort: 6, deadline: \"5 s\", least_reports: 4";
    let ran = Ran::of(&with(slow, schedule));
    let finished = ran.result.as_ref().unwrap();
    assert_eq!(finished.status, Status::NoRoundCompleted);
    let record = ran.record();
    assert_eq!(record.status, Status::NoRoundCompleted);
    let reason = "no round of 3 was completed (3 abandoned for want of reports); the most reports \
                  that one had are 3";
    assert_eq!(record.error.as_deref(), Some(reason));
    assert_eq!(finished.reason.as_deref(), Some(reason));
    let totals = record.totals.unwrap();
    assert_eq!(
        (totals.scheduled, totals.rounds, totals.completed),
        (3, 3, 0)
    );
    // Reports came in time, and moved nothing.
    let all = record.invitations.unwrap();
    assert_eq!((all.reported, all.wasted_flops), (9, all.flops));
    assert!(
        finished.table.contains("0 of 3 completed, 3 held"),
        "{}",
        finished.table
    );
}
