//! A run in which nothing can ever happen again is an error that says who waits for what.

use super::gossip::{Gossip, Mischief, Wire};
use shoal::quantity::Span;
use shoal::sim::SimError;

#[test]
fn a_wedged_run_names_who_waits_for_what() {
    let world = Gossip {
        nodes: 3,
        wire: Wire {
            floor: Span::from_nanos(1_000),
            loss_percent: 100,
        },
        horizon: Span::from_nanos(1),
        mischief: Mischief {
            never_finishes: true,
            ..Mischief::default()
        },
    };
    let (summary, _) = world.run(3, 2, 1);
    let error = summary.unwrap_err();
    let SimError::Wedged { waiting, .. } = &error else {
        panic!("{error}");
    };
    let nodes: Vec<u32> = waiting.iter().map(|(node, _)| node.0).collect();
    assert_eq!(nodes, [0, 1], "the third never had an event");
    assert!(
        error
            .to_string()
            .contains("node 0 waits for a rumour, after"),
        "{error}"
    );
}
