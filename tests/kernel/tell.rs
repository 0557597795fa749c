//! What a node tells another past the network comes, whatever becomes of messages.

use super::gossip::{Gossip, Mischief, Wire};
use shoal::quantity::Span;
use std::collections::BTreeSet;

#[test]
fn what_is_told_comes_after_the_lookahead_and_is_never_lost() {
    let floor = Span::from_nanos(1_000);
    let run = |shards, workers| {
        let wire = Wire {
            floor,
            loss_percent: 100,
        };
        let mischief = Mischief {
            tells: true,
            panics: Some(5),
            ..Mischief::default()
        };
        let world = Gossip {
            nodes: 101,
            wire,
            ..Gossip::small(mischief)
        };
        let (summary, witness) = world.run(8, shards, workers);
        (summary.unwrap(), witness)
    };
    let (first, witness) = run(1, 1);
    let messages = witness.deliveries.iter().filter(|d| d.kind < 2);
    let messages: Vec<_> = messages.collect();
    assert!(messages.len() > 50, "{}", messages.len());
    for told in &messages {
        assert_eq!(told.target.0, 0);
        assert_eq!(told.key.time.since(told.sent), floor);
    }
    let who: BTreeSet<u32> = messages.iter().map(|told| told.key.source.0).collect();
    assert!(who.len() > 40, "{who:?}");
    let total = first.accounting.total();
    assert!(first.accounting.unbalanced().is_empty());
    // Every event that was not undone was told of once, and sent a message, all of which were lost.
    let events = witness.records.iter().filter(|(_, what)| what.2 == "event");
    let others = events.clone().filter(|(_, what)| what.0 != 0).count() as u64;
    assert_eq!(total.lost, events.count() as u64);
    assert_eq!(total.sent, total.lost + others);
    assert_eq!(total.delivered + total.in_flight, others);
    for (shards, workers) in [(2, 1), (3, 2), (5, 4)] {
        let (again, _) = run(shards, workers);
        assert_eq!(again.hash, first.hash, "{shards} shards");
        assert_eq!(again.accounting, first.accounting);
    }
}
