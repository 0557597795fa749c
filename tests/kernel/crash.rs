//! A panic in a handler is that node's crash, never the simulation's.

use super::gossip::{Gossip, Mischief};
use std::collections::BTreeSet;

#[test]
fn a_panicking_node_crashes_alone_and_its_last_effects_are_undone() {
    let mischief = Mischief {
        panics: Some(4),
        ..Mischief::default()
    };
    let (summary, witness) = Gossip::small(mischief).run(5, 2, 2);
    let summary = summary.unwrap();
    let crashes: BTreeSet<u32> = witness
        .records
        .iter()
        .filter(|(_, memory)| memory.2 == "crashed")
        .map(|(_, memory)| memory.0)
        .collect();
    assert_eq!(crashes, BTreeSet::from([1, 5, 9, 13, 17, 21]));
    for node in crashes {
        let records = witness.records.iter().filter(|(_, m)| m.0 == node);
        let kinds: Vec<&str> = records.map(|(_, m)| m.2).collect();
        // The record of the third event was made before the panic.
        assert_eq!(kinds, ["event", "event", "crashed"], "node {node}");
    }
    let total = summary.accounting.total();
    assert!(
        total.dropped > 0,
        "messages to the crashed are dropped: {total:?}"
    );
    assert!(total.balances());
}
