//! `docs/outputs.md` has every column and field that a run writes, and no other.

use super::tiny::{Ran, TINY};
use shoal::observe::folder::EventLine;
use shoal::observe::participation::Participation;
use shoal::observe::record::{Clipped, Declined, Host, Rank, Rejections, RunRecord, Totals};
use shoal::observe::rows::{
    ClientAccuracyRow, ClientRow, CostRow, InvitationRow, PartitionRow, Rejection, RejectionRow,
    RoundRow, Row, ServerRow, SizeRow,
};
use shoal::observe::staleness::Staleness;
use shoal::quantity::VirtualTime;
use shoal::scale::Measurement;
use shoal::sweep::{figures, SUMMARY_COLUMNS, TABLE_COLUMNS};
use std::collections::BTreeSet;

/// The names in the first column of the tables under `## title`.
fn documented(title: &str) -> BTreeSet<String> {
    let page = std::fs::read_to_string("docs/outputs.md").unwrap();
    let section = page
        .split("\n## ")
        .find(|section| section.lines().next() == Some(title));
    let section = section.unwrap_or_else(|| panic!("docs/outputs.md has no section {title}"));
    let cells = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let mut names = BTreeSet::new();
    for (name, _) in cells {
        assert!(
            names.insert(name.to_string()),
            "{title}: {name} stands there twice"
        );
    }
    names
}

fn same(title: &str, columns: &[&str]) {
    let found: BTreeSet<String> = columns.iter().map(ToString::to_string).collect();
    let page = documented(title);
    let missing: Vec<_> = found.difference(&page).collect();
    let unknown: Vec<_> = page.difference(&found).collect();
    assert!(
        missing.is_empty(),
        "docs/outputs.md, {title}: {missing:?} are missing"
    );
    assert!(
        unknown.is_empty(),
        "docs/outputs.md, {title}: there are no {unknown:?}"
    );
}

#[test]
fn every_column_of_every_table_is_in_the_data_dictionary_and_no_other() {
    same("rounds.csv", RoundRow::COLUMNS);
    same("invitations.csv", InvitationRow::COLUMNS);
    same("clients.csv", ClientRow::COLUMNS);
    same("costs.csv", CostRow::COLUMNS);
    same("sizes.csv", SizeRow::COLUMNS);
    same("accuracy.csv", ClientAccuracyRow::COLUMNS);
    same("partition.csv", PartitionRow::COLUMNS);
    same("servers.csv", ServerRow::COLUMNS);
    same("rejections.csv", RejectionRow::COLUMNS);
    same("scale.csv", Measurement::COLUMNS);
    let sweep: Vec<&str> = std::iter::once("cell").chain(TABLE_COLUMNS).collect();
    same("sweep.csv", &sweep);
    same("summary.csv", &SUMMARY_COLUMNS);
    let page = std::fs::read_to_string("docs/outputs.md").unwrap();
    let (_, section) = page.split_once("## summary.csv").unwrap();
    let (said, _) = section.split_once("| column |").unwrap();
    for figure in figures() {
        assert!(
            said.contains(&format!("`{figure}`")),
            "summary.csv lacks {figure}"
        );
    }
}

/// The names of all fields, with those of objects below them; of lists and maps those of their items.
fn fields(value: &serde_json::Value, below: &str, names: &mut BTreeSet<String>) {
    // The scenario is described elsewhere; sums have the names of their table.
    const WHOLE: [&str; 9] = [
        "scenario",
        "rejections",
        "declined",
        "staleness",
        "invitations",
        "clipped",
        "overrides",
        "resumed_on",
        "variables",
    ];
    let serde_json::Value::Object(map) = value else {
        return;
    };
    for (key, value) in map {
        let name = format!("{below}{key}");
        let below = format!("{name}.");
        match (key.as_str(), value) {
            (key, _) if WHOLE.contains(&key) => {}
            ("messages", serde_json::Value::Object(kinds)) => {
                kinds.values().for_each(|kind| fields(kind, &below, names));
            }
            (_, serde_json::Value::Array(items)) => {
                items.iter().for_each(|item| fields(item, &below, names));
            }
            (_, value) => fields(value, &below, names),
        }
        names.insert(name);
    }
}

#[test]
fn every_field_of_a_runs_record_is_in_the_data_dictionary_and_no_other() {
    let record = Ran::of(TINY).record();
    let totals = record.totals.clone().unwrap();
    let host = Host {
        libtorch_build: Some("a".into()),
        libc: Some("glibc 2".into()),
        features: ["avx2".to_string()].into(),
        variables: [("OMP_NUM_THREADS".to_string(), "1".to_string())].into(),
        ..record.host.clone()
    };
    // With all that a run may leave out.
    let record = RunRecord {
        ranks: vec![Rank {
            rank: 1,
            host: "b".into(),
            workers: 2,
            units: Some(3),
            bytes_sent: Some(4),
            bytes_received: Some(5),
        }],
        memory: Some(1),
        compute: Some("modelled".into()),
        host: host.clone(),
        resumed_on: vec![host],
        resumed: 1,
        identity: Some("a".into()),
        totals: Some(Totals {
            attack_success: Some(0.5),
            epsilon: Some(1.0),
            epsilon_pld: Some(0.9),
            partial: Some(1),
            diverged: 1,
            not_a_number_since: Some(1),
            ..totals
        }),
        rejections: Rejections::from([(Rejection::Again, 1)]),
        declined: Declined::from([("data plan spent".into(), 1)]),
        participation: Some(Participation {
            asked: 1,
            never: 1,
            gini: 0.5,
        }),
        staleness: Staleness([(0, 1)].into()),
        clipped: Clipped::from([("round duration".into(), 1)]),
        ..record
    };
    let mut names = BTreeSet::new();
    fields(&serde_json::to_value(&record).unwrap(), "", &mut names);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    same("run.json", &names);
}

#[test]
fn every_field_of_an_event_is_in_the_data_dictionary() {
    let line = EventLine {
        time: VirtualTime::ZERO,
        node: 0,
        event: "delivered",
        kind: "task",
        from: Some(1),
        bytes: Some(1),
        sent: Some(VirtualTime::ZERO),
        round: Some(1),
        detail: Some("more"),
    };
    let mut names = BTreeSet::new();
    fields(&serde_json::to_value(&line).unwrap(), "", &mut names);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    same("events.jsonl", &names);
}
