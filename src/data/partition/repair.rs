//! The minimum number of samples for each client, for rules that do not guarantee it themselves.

use super::csr::Partition;
use crate::sim::rng::{below, stream, Purpose};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const REPAIR: u64 = 2;

/// Moves samples until each client has at least `minimum`. Clients that need samples are served in the
/// order of their numbers. The giver is the client that has most (the lowest number of equals), and the
/// sample is drawn from the giver's.
///
/// There must be `minimum` samples for each client. Then the client that has most always has more than
/// the minimum while another has fewer, so giving makes no client fall below the minimum.
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
            // The samples that the giver still has are the first `size` of its range.
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
