//! Properties of partitions whose clients share samples.

use super::tests::round_robin;
use super::*;
use crate::quantity::Probability;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn shared(samples: usize, clients: usize, per_client: usize, seed: u64) -> Partition {
    let rule = Partitioner::Shared {
        per_client,
        by_label: false,
    };
    let data = round_robin(samples, 10);
    rule.partition(&data, clients, 1, seed).unwrap()
}

proptest! {
    #[test]
    fn each_client_has_its_number_each_sample_once_and_the_split_is_its_own(
        n in 1usize..60,
        clients in 1usize..200,
        share in 0.0f64..1.0,
        held in 0.0f64..1.0,
        seed in any::<u64>(),
    ) {
        let each = 1 + (share * (n - 1) as f64) as usize;
        let partition = shared(n, clients, each, seed);
        prop_assert!(partition.is_shared());
        prop_assert_eq!((partition.clients(), partition.len()), (clients, n));
        let mut all = partition.indices()[..n].to_vec();
        all.sort_unstable();
        prop_assert_eq!(all, (0..n as u32).collect::<Vec<_>>());
        let (train, holdout) = partition.holdout(Probability::new(held).unwrap(), seed);
        prop_assert_eq!(train.clients(), clients);
        for client in 0..clients {
            let own = partition.client(client);
            prop_assert_eq!((own.len(), partition.size(client)), (each, each));
            let once: BTreeSet<u32> = own.iter().copied().collect();
            prop_assert_eq!(once.len(), each);
            prop_assert!(!train.client(client).is_empty());
            let both = [train.client(client), holdout.client(client)].concat();
            prop_assert_eq!(both.as_slice(), own);
        }
        prop_assert!(partition.client(clients).is_empty());
        prop_assert_eq!(train.size(clients), 0);
    }
}

#[test]
fn places_are_uniform_and_differ_from_client_to_client() {
    let partition = shared(20, 40_000, 5, 3);
    let mut times = [0u32; 20];
    for client in 0..40_000 {
        let own = partition.client(client);
        own.iter().for_each(|&sample| times[sample as usize] += 1);
    }
    // Binomial(40 000, 1/4): mean 10 000, deviation 87; five of them.
    assert!(
        times.iter().all(|n| (9_565..10_435).contains(n)),
        "{times:?}"
    );
}

#[test]
fn a_partition_of_ten_million_clients_takes_the_memory_of_its_samples() {
    let partition = shared(1_000, 10_000_000, 50, 1);
    assert_eq!(partition.indices().len(), 1_049);
    assert_eq!(partition.client(9_999_999).len(), 50);
    assert_eq!(partition.words(), [10_000_000, 50, 0, 1_000]);
}

#[test]
fn reserved_samples_are_nobodys_and_impossible_numbers_are_errors() {
    let data = round_robin(40, 10);
    let reserved: Vec<u32> = (0..10).collect();
    let rule = Partitioner::Shared {
        per_client: 8,
        by_label: false,
    };
    let partition = rule.partition_without(&data, &reserved, 500, 1, 2).unwrap();
    let mine = (0..500).flat_map(|client| partition.client(client).to_vec());
    assert!(mine.into_iter().all(|sample| sample >= 10));
    for (per_client, minimum) in [(0, 0), (3, 4), (41, 1)] {
        let rule = Partitioner::Shared {
            per_client,
            by_label: false,
        };
        let error = rule.partition(&data, 5, minimum, 2).unwrap_err();
        assert!(matches!(error, PartitionError::OutOfRange(_)), "{error}");
    }
}

/// The numbers come from a second implementation, in Python, of streams, shuffle and positions.
#[test]
fn shared_places_are_pinned() {
    let partition = shared(30, 1_000_000, 4, 1);
    let of = |client| partition.client(client).to_vec();
    let pinned = [[4, 18, 5, 9], [23, 26, 15, 20], [25, 23, 26, 15]];
    assert_eq!([of(0), of(1), of(999_999)], pinned.map(|own| own.to_vec()));
}

#[test]
fn by_label_a_client_has_samples_of_one_class_or_of_its_neighbour() {
    let data = round_robin(1_000, 10);
    let rule = Partitioner::Shared {
        per_client: 20,
        by_label: true,
    };
    let partition = rule.partition(&data, 5_000, 1, 3).unwrap();
    let mut of_one = 0;
    for client in 0..5_000 {
        let own = partition.client(client).iter();
        let classes: BTreeSet<u32> = own.map(|&sample| sample % 10).collect();
        assert!(classes.len() <= 2, "{classes:?}");
        of_one += usize::from(classes.len() == 1);
    }
    // A class has 100 places, from 81 of which all twenty are of it: binomial, deviation 28.
    assert!((3_910..4_190).contains(&of_one), "{of_one}");
}
