//! Dormant nodes cost a record, and going dormant changes nothing.

use super::gossip::{Gossip, Mischief};

#[test]
fn a_node_that_rests_goes_on_where_it_was() {
    let awake = Gossip::small(Mischief::default()).run(5, 2, 1);
    let resting = Gossip::small(Mischief {
        rests: true,
        ..Mischief::default()
    })
    .run(5, 2, 1);
    assert_eq!(awake.1.records, resting.1.records);
    assert_eq!(awake.0.unwrap().hash, resting.0.unwrap().hash);
}
