//! Same world, same seed, same trace, however it is hosted.

use super::gossip::{Gossip, Mischief, Wire};
use proptest::prelude::*;
use shoal::quantity::Span;

#[test]
fn the_hash_is_the_same_on_any_number_of_shards_and_workers() {
    let reference = Gossip::small(Mischief::default()).run(5, 1, 1);
    let expected = reference.0.unwrap();
    assert!(expected.delivered > 1_000, "{}", expected.delivered);
    for (shards, workers) in [(1, 1), (2, 1), (3, 4), (7, 2), (23, 3), (64, 1)] {
        let (summary, witness) = Gossip::small(Mischief::default()).run(5, shards, workers);
        let summary = summary.unwrap();
        assert_eq!(
            summary.hash, expected.hash,
            "{shards} shards, {workers} workers"
        );
        assert_eq!(summary.accounting, expected.accounting);
        assert_eq!(witness.records, reference.1.records);
        assert_eq!(witness.deliveries, reference.1.deliveries);
    }
}

#[test]
fn another_seed_is_another_trace() {
    let hash = |seed| {
        Gossip::small(Mischief::default())
            .run(seed, 2, 1)
            .0
            .unwrap()
            .hash
    };
    assert_ne!(hash(5), hash(6));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Deliveries are in key order, messages are accounted for, and the number of shards does not
    /// show; at zero lookahead too, where a window is one timestamp.
    #[test]
    fn order_and_books_hold_in_random_worlds(
        seed in any::<u64>(),
        nodes in 1u32..40,
        floor in prop::sample::select(vec![0u64, 1, 37, 1_000, 50_000]),
        loss_percent in 0u64..60,
        panics in prop::option::of(2u32..5),
        rests in any::<bool>(),
        shards in 2usize..6,
    ) {
        let world = || Gossip {
            nodes,
            wire: Wire { floor: Span::from_nanos(floor), loss_percent },
            // A zero-latency world makes events without end at one timestamp; lose enough to end.
            // Where latency is long against a node's own work, each event makes two within a latency:
            // a longer horizon would be millions of them.
            horizon: Span::from_nanos(if floor > 1_000 { 14 } else { 30 } * floor.max(1)),
            mischief: Mischief { panics, rests, ..Mischief::default() },
        };
        prop_assume!(floor > 1 || loss_percent > 30);
        let (one, witness) = world().run(seed, 1, 1);
        let (many, _) = world().run(seed, shards, 2);
        let one = one.unwrap();
        prop_assert_eq!(one.hash, many.unwrap().hash);
        prop_assert!(one.accounting.unbalanced().is_empty());
        if floor > 0 {
            prop_assert!(witness.deliveries.windows(2).all(|w| w[0].key < w[1].key));
        }
    }
}
