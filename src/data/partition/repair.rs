//! The minimum per client, for rules that do not see to it themselves.

use super::csr::Partition;
use crate::sim::rng::{below, stream, Purpose};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const REPAIR: u64 = 2;

/// Moves samples until each client has `minimum` of them: the neediest are the lowest numbers, the
/// giver is whoever has most (the lowest number of equals), the sample is drawn from the giver's.
///
/// There must be `minimum` samples for each client; then whoever has most always has more than that
/// while someone has less, and nobody is made poor by giving.
pub(super) fn at_least(partition: Partition, minimum: usize, seed: u64) -> Partition {
    if partition.sizes().all(|size| size >= minimum) {
        return partition;
    }
    let mut pool = partition.indices().to_vec();
    let mut sizes: Vec<usize> = partition.sizes().collect();
    let mut richest: BinaryHeap<(usize, Reverse<usize>)> = sizes
        .iter()
        .enumerate()
        .filter(|(_, size)| **size > minimum)
        .map(|(client, size)| (*size, Reverse(client)))
        .collect();
    let mut rng = stream(seed, 0, Purpose::Partition, REPAIR);
    let mut given = Vec::with_capacity(sizes.len() + 1);
    given.push(0);
    let mut gifts = Vec::new();
    for client in 0..sizes.len() {
        for _ in sizes[client]..minimum {
            let Some((size, Reverse(giver))) = richest.pop() else {
                break;
            };
            // What the giver still has are the first `size` of its row.
            let start = partition.range(giver).start;
            let at = start + below(&mut rng, size as u64) as usize;
            pool.swap(at, start + size - 1);
            gifts.push(pool[start + size - 1]);
            sizes[giver] -= 1;
            if sizes[giver] > minimum {
                richest.push((sizes[giver], Reverse(giver)));
            }
        }
        given.push(gifts.len());
    }
    let row = |client: usize| {
        let start = partition.range(client).start;
        let kept = start..start + sizes[client];
        [&pool[kept], &gifts[given[client]..given[client + 1]]]
    };
    Partition::gather((0..sizes.len()).map(row)).sorted()
}
