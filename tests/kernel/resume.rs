//! A simulation that goes on from a checkpoint is the one that was never stopped.

use super::gossip::{Gossip, Mischief, Wire};
use proptest::prelude::*;
use shoal::quantity::Span;
use shoal::sim::SimError;

/// A short storm: rumours multiply, and with them what a checkpoint has.
fn small(checkpoints: u64) -> Gossip {
    Gossip {
        horizon: Span::from_nanos(14_000),
        ..Gossip::small(Mischief {
            checkpoints,
            ..Mischief::default()
        })
    }
}

#[test]
fn checkpoints_change_nothing() {
    let (with, witness) = small(8).run(5, 1, 1);
    let (without, plain) = small(0).run(5, 1, 1);
    assert!(
        witness.checkpoints.len() > 2,
        "{}",
        witness.checkpoints.len()
    );
    let (with, without) = (with.unwrap(), without.unwrap());
    assert_eq!(with.hash, without.hash);
    assert_eq!(with.accounting, without.accounting);
    assert_eq!((with.windows, with.now), (without.windows, without.now));
    assert_eq!(witness.records, plain.records);
}

#[test]
fn a_checkpoint_that_is_cut_or_of_another_world_is_an_error() {
    let (_, witness) = small(8).run(5, 2, 1);
    let bytes = &witness.checkpoints[1].bytes;
    for length in (0..bytes.len() - 8).step_by(bytes.len() / 20) {
        let (summary, _) = small(8).run_from(Some(&bytes[..length]), 5, 1, 1);
        assert!(matches!(summary, Err(SimError::Damaged(_))), "{length}");
    }
    let fewer = Gossip {
        nodes: 3,
        ..small(8)
    };
    let error = fewer.run_from(Some(bytes), 5, 1, 1).0.unwrap_err();
    assert!(
        error.to_string().contains("where there are 3 nodes"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// From every checkpoint, on any number of shards and workers: what follows is what followed,
    /// event by event, crashed and dormant nodes, work under way and zero lookahead included.
    #[test]
    fn what_follows_a_checkpoint_is_what_followed(
        seed in any::<u64>(),
        nodes in 1u32..40,
        floor in prop::sample::select(vec![0u64, 1, 37, 1_000, 50_000]),
        loss_percent in 0u64..60,
        panics in prop::option::of(2u32..5),
        rests in any::<bool>(),
        shards in 1usize..6,
        again in 1usize..6,
    ) {
        prop_assume!(floor > 1 || loss_percent > 30);
        let world = || Gossip {
            nodes,
            wire: Wire { floor: Span::from_nanos(floor), loss_percent },
            horizon: Span::from_nanos(14 * floor.max(1)),
            mischief: Mischief { panics, rests, checkpoints: 15, ..Mischief::default() },
        };
        let (whole, witness) = world().run(seed, shards, 2);
        let whole = whole.unwrap();
        let few = witness.checkpoints.len().div_ceil(3).max(1);
        for checkpoint in witness.checkpoints.iter().step_by(few) {
            let from = Some(checkpoint.bytes.as_slice());
            let (summary, rest) = world().run_from(from, seed, again, 1);
            let summary = summary.unwrap();
            prop_assert_eq!(summary.hash, whole.hash);
            prop_assert_eq!(&summary.accounting, &whole.accounting);
            prop_assert_eq!(summary.delivered, whole.delivered);
            prop_assert_eq!((summary.windows, summary.now), (whole.windows, whole.now));
            prop_assert_eq!(rest.records.as_slice(), &witness.records[checkpoint.records..]);
            let told = &witness.deliveries[checkpoint.deliveries..];
            prop_assert_eq!(rest.deliveries.as_slice(), told);
        }
    }
}
