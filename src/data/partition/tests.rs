//! Properties of every partitioner, and what is characteristic of each.

use super::*;
use crate::data::dataset::{Scaling, Values};
use crate::quantity::Probability;
use proptest::prelude::*;

fn data(labels: Vec<u32>, users: Option<Vec<u32>>) -> Dataset {
    Dataset {
        name: "t".into(),
        shape: vec![1],
        values: Values::U8(vec![0; labels.len()]),
        scaling: Scaling::identity(),
        classes: labels.iter().max().map_or(1, |top| *top as usize + 1),
        labels,
        users,
    }
}

/// `n` samples of `classes` classes in turn.
pub(super) fn round_robin(n: usize, classes: u32) -> Dataset {
    data((0..n as u32).map(|i| i % classes).collect(), None)
}

/// Counts of each class for a client.
fn histogram(data: &Dataset, samples: &[u32]) -> Vec<usize> {
    let mut counts = vec![0; data.classes];
    samples
        .iter()
        .for_each(|i| counts[data.labels[*i as usize] as usize] += 1);
    counts
}

fn classes_held(data: &Dataset, samples: &[u32]) -> usize {
    histogram(data, samples).iter().filter(|n| **n > 0).count()
}

/// Checks that every sample is given once, that indices are ascending within a client, and that the
/// minimum is met.
fn check_laws(
    partition: &Partition,
    samples: usize,
    clients: usize,
    minimum: usize,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(partition.clients(), clients);
    prop_assert_eq!(partition.sizes().len(), clients);
    let mut seen = partition.indices().to_vec();
    seen.sort_unstable();
    prop_assert_eq!(seen, (0..samples as u32).collect::<Vec<_>>());
    for client in 0..clients {
        prop_assert!(partition.client(client).is_sorted());
        prop_assert!(
            partition.client(client).len() >= minimum,
            "client {}",
            client
        );
    }
    Ok(())
}

fn rules() -> impl Strategy<Value = Partitioner> {
    let alpha = prop_oneof![Just(1e-9), Just(0.01), Just(0.3), Just(100.0), Just(1e300)];
    let exponent = prop_oneof![Just(0.0), Just(1.2), Just(50.0), Just(1e300)];
    prop_oneof![
        Just(Partitioner::Iid {
            samples_per_client: None
        }),
        alpha
            .clone()
            .prop_map(|alpha| Partitioner::Dirichlet { alpha }),
        (1..4usize).prop_map(|per_client| Partitioner::Shards { per_client }),
        exponent
            .clone()
            .prop_map(|exponent| Partitioner::QuantitySkew { exponent }),
        (alpha, exponent)
            .prop_map(|(alpha, exponent)| Partitioner::LabelAndQuantity { alpha, exponent }),
        (1..4usize).prop_map(|per_client| Partitioner::Labels { per_client }),
    ]
}

proptest! {
    #[test]
    fn no_sample_is_lost_or_doubled_and_each_client_has_its_minimum(
        rule in rules(),
        labels in prop::collection::vec(0u32..6, 1..300),
        clients in 1usize..80,
        minimum in 0usize..5,
        seed in any::<u64>(),
    ) {
        let n = labels.len();
        let data = data(labels, None);
        match rule.partition(&data, clients, minimum, seed) {
            Ok(partition) => {
                check_laws(&partition, n, clients, minimum)?;
                prop_assert_eq!(rule.partition(&data, clients, minimum, seed), Ok(partition));
            }
            Err(PartitionError::TooFewSamples { .. }) => prop_assert!(clients * minimum > n),
            Err(PartitionError::TooManyParts { per_client, .. }) => prop_assert!(clients * per_client > n),
            Err(PartitionError::Classes { classes, per_client, .. }) => {
                prop_assert!(per_client > classes || clients * per_client < classes);
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn as_many_clients_as_samples_get_one_each(rule in rules(), n in 1usize..60, seed in any::<u64>()) {
        let data = round_robin(n, 3);
        if let Ok(partition) = rule.partition(&data, n, 1, seed) {
            check_laws(&partition, n, n, 1)?;
            prop_assert!(partition.sizes().all(|size| size == 1));
        } else {
            // Only rules that give each client several parts can fail here.
            let several = matches!(rule, Partitioner::Shards { .. } | Partitioner::Labels { .. });
            prop_assert!(several);
        }
    }

    #[test]
    fn natural_users_stay_whole(
        users in prop::collection::vec(0u32..12, 1..200),
        clients in 1usize..12,
        seed in any::<u64>(),
    ) {
        let n = users.len();
        let data = data(vec![0; n], Some(users.clone()));
        let distinct = users.iter().collect::<std::collections::BTreeSet<_>>().len();
        match Partitioner::Natural.partition(&data, clients, 0, seed) {
            Ok(partition) => {
                check_laws(&partition, n, clients, 1)?;
                let mut owner = [None; 12];
                for client in 0..clients {
                    for sample in partition.client(client) {
                        let user = users[*sample as usize] as usize;
                        prop_assert_eq!(*owner[user].get_or_insert(client), client);
                    }
                }
            }
            Err(_) => prop_assert!(clients > distinct),
        }
    }

    #[test]
    fn a_holdout_divides_each_client_and_leaves_it_something(
        labels in prop::collection::vec(0u32..6, 1..200),
        clients in 1usize..40,
        fraction in 0.0..=1.0f64,
        seed in any::<u64>(),
    ) {
        let data = data(labels, None);
        let whole = Partitioner::Dirichlet { alpha: 0.5 }.partition(&data, clients, 0, seed).unwrap();
        let (train, held) = whole.holdout(Probability::new(fraction).unwrap(), seed);
        for client in 0..clients {
            let n = whole.client(client).len();
            let (kept, out) = (train.client(client), held.client(client));
            let mut both = [kept, out].concat();
            both.sort_unstable();
            prop_assert_eq!(&both, whole.client(client));
            prop_assert!(kept.is_sorted() && out.is_sorted());
            prop_assert!(n == 0 || !kept.is_empty());
            let due = ((fraction * n as f64).round() as usize).min(n.saturating_sub(1));
            prop_assert_eq!(out.len(), due);
        }
    }
}

#[test]
fn iid_parts_differ_by_one_sample_at_most() {
    let data = round_robin(103, 10);
    let rule = Partitioner::Iid {
        samples_per_client: None,
    };
    let partition = rule.partition(&data, 10, 1, 1).unwrap();
    assert!(partition.sizes().all(|size| size == 10 || size == 11));
}

#[test]
fn a_fixed_number_for_each_client_leaves_the_rest_unused() {
    let data = round_robin(50_100, 10);
    let rule = Partitioner::Iid {
        samples_per_client: Some(50),
    };
    let partition = rule.partition(&data, 1000, 1, 1).unwrap();
    assert!(partition.sizes().all(|size| size == 50));
    let mut all = partition.indices().to_vec();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 50_000);
    assert_eq!(
        rule.partition(&data, 1003, 1, 1).unwrap_err().to_string(),
        "1003 clients with 50 samples each need 50150, but there are 50100; \
         ask for fewer clients or fewer samples each"
    );
    let error = rule.partition(&data, 10, 60, 1).unwrap_err().to_string();
    assert_eq!(
        error,
        "samples per client 50 is outside [minimum per client, infinity)"
    );
}

#[test]
fn small_alpha_gives_few_classes_and_large_alpha_gives_all() {
    let data = round_robin(20_000, 10);
    let held = |alpha: f64| {
        let partition = Partitioner::Dirichlet { alpha }
            .partition(&data, 50, 1, 2)
            .unwrap();
        // Classes that make up a twentieth of a client or more.
        let counted = |client| {
            let counts = histogram(&data, partition.client(client));
            let n: usize = counts.iter().sum();
            counts.iter().filter(|c| **c * 20 >= n).count()
        };
        (0..50).map(counted).sum::<usize>() as f64 / 50.0
    };
    let (few, some, all) = (held(0.01), held(0.3), held(1000.0));
    assert!(few < 2.5, "{few}");
    assert!(few < some && some < all, "{few} {some} {all}");
    assert_eq!(all, 10.0);
}

#[test]
fn a_shard_partition_gives_two_shards_of_sorted_labels() {
    // McMahan et al.: 100 clients with 2 of 200 shards; 60,000 samples make shards of 300.
    let data = round_robin(60_000, 10);
    let partition = Partitioner::Shards { per_client: 2 }
        .partition(&data, 100, 1, 3)
        .unwrap();
    assert!(partition.sizes().all(|size| size == 600));
    assert!((0..100).all(|client| classes_held(&data, partition.client(client)) <= 2));
}

#[test]
fn power_law_sizes_fall_with_rank() {
    let data = round_robin(100_000, 10);
    let partition = Partitioner::QuantitySkew { exponent: 1.0 }
        .partition(&data, 100, 0, 4)
        .unwrap();
    let mut sizes: Vec<usize> = partition.sizes().collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    // The harmonic number of 100 is 5.18738.
    for rank in [1usize, 2, 10, 100] {
        let due = 100_000.0 / 5.187_38 / rank as f64;
        assert!(
            (sizes[rank - 1] as f64 - due).abs() <= 1.5,
            "rank {rank}: {} of {due}",
            sizes[rank - 1]
        );
    }
}

#[test]
fn label_and_quantity_skew_skews_both() {
    let data = round_robin(50_000, 10);
    let rule = Partitioner::LabelAndQuantity {
        alpha: 0.2,
        exponent: 1.0,
    };
    let partition = rule.partition(&data, 50, 1, 5).unwrap();
    let sizes: Vec<usize> = partition.sizes().collect();
    let largest = (0..50).max_by_key(|client| sizes[*client]).unwrap();
    // Rank 1 has expectation 50,000 / 4.499; every class splits anew, so it varies widely.
    assert!(
        (4_000..25_000).contains(&sizes[largest]),
        "{}",
        sizes[largest]
    );
    let few = (0..50)
        .filter(|client| classes_held(&data, partition.client(*client)) < 8)
        .count();
    assert!(few > 20, "{few}");
}

#[test]
fn each_client_has_the_asked_number_of_classes_and_classes_are_had_alike() {
    let data = round_robin(10_000, 10);
    for (clients, per_client) in [(100, 3), (7, 3), (5, 2), (1, 10), (33, 7)] {
        let rule = Partitioner::Labels { per_client };
        let partition = rule.partition(&data, clients, 1, 6).unwrap();
        let mut had = [0usize; 10];
        for client in 0..clients {
            let counts = histogram(&data, partition.client(client));
            assert_eq!(
                counts.iter().filter(|n| **n > 0).count(),
                per_client,
                "{clients} {per_client}"
            );
            (0..10).for_each(|class| had[class] += usize::from(counts[class] > 0));
        }
        let spread = had.iter().max().unwrap() - had.iter().min().unwrap();
        assert!(spread <= 1, "{had:?}");
    }
    let error = Partitioner::Labels { per_client: 11 }
        .partition(&data, 20, 1, 1)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "20 clients with 11 classes each: each can have 1 to 10 classes, \
         and together they must have all 10 that occur"
    );
    assert!(Partitioner::Labels { per_client: 2 }
        .partition(&data, 4, 1, 1)
        .is_err());
}

#[test]
fn repair_takes_from_whoever_has_most() {
    // Nearly everything goes to few clients, and all must have 3 of 400.
    let data = round_robin(400, 4);
    let rule = Partitioner::Dirichlet { alpha: 1e-6 };
    let before = rule.partition(&data, 100, 0, 7).unwrap();
    assert!(before.sizes().filter(|size| *size > 0).count() <= 4);
    let after = rule.partition(&data, 100, 3, 7).unwrap();
    assert!(after.sizes().all(|size| size >= 3));
    let poorest_giver = (0..100)
        .filter(|client| before.client(*client).len() > 3)
        .map(|client| after.client(client).len())
        .min()
        .unwrap();
    // 96 clients get 3 each; what is left, 112, is shared by the four that gave.
    assert!(poorest_giver >= 20, "{poorest_giver}");
}

#[test]
fn a_minimum_that_a_natural_user_does_not_meet_is_an_error() {
    let data = data(vec![0; 6], Some(vec![0, 1, 1, 1, 0, 1]));
    let error = Partitioner::Natural
        .partition(&data, 2, 3, 1)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "client 0 of the natural partition has 2 samples, fewer than the 3 each must have; \
         lower the minimum or ask for fewer clients"
    );
    let error = Partitioner::Natural.partition(&data, 2, 0, 1).unwrap();
    assert_eq!(
        (error.client(0), error.client(1)),
        (&[0, 4][..], &[1, 2, 3, 5][..])
    );
    let error = Partitioner::Natural
        .partition(&round_robin(4, 2), 2, 0, 1)
        .unwrap_err();
    assert!(matches!(error, PartitionError::NoUsers(_)));
}

#[test]
fn impossible_requests_are_errors_with_their_numbers() {
    let data = round_robin(10, 2);
    let iid = Partitioner::Iid {
        samples_per_client: None,
    };
    assert_eq!(
        iid.partition(&data, 0, 1, 1).unwrap_err().to_string(),
        "number of clients 0 is outside [1, 2^27]"
    );
    assert!(iid.partition(&data, usize::MAX, 0, 1).is_err());
    assert_eq!(
        iid.partition(&data, 4, 3, 1).unwrap_err().to_string(),
        "4 clients with 3 samples each need 12, but there are 10; \
         ask for fewer clients or fewer samples each"
    );
    for alpha in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(Partitioner::Dirichlet { alpha }
            .partition(&data, 2, 1, 1)
            .is_err());
    }
    for exponent in [-1.0, f64::NAN, f64::INFINITY] {
        assert!(Partitioner::QuantitySkew { exponent }
            .partition(&data, 2, 1, 1)
            .is_err());
    }
    assert!(Partitioner::Shards { per_client: 0 }
        .partition(&data, 2, 1, 1)
        .is_err());
    assert!(Partitioner::Shards { per_client: 6 }
        .partition(&data, 2, 1, 1)
        .is_err());
    assert!(Partitioner::Shards {
        per_client: usize::MAX
    }
    .partition(&data, 2, 1, 1)
    .is_err());
}

#[test]
fn a_data_set_that_breaks_its_own_rules_is_an_error() {
    let mut wild = round_robin(10, 2);
    wild.labels[3] = u32::MAX;
    let rule = Partitioner::Shards { per_client: 1 };
    let error = rule.partition(&wild, 2, 1, 1).unwrap_err().to_string();
    assert!(error.contains("found 4294967295 at sample 3"), "{error}");
    wild.labels.pop();
    assert!(rule.partition(&wild, 2, 1, 1).is_err());
}

#[test]
fn a_million_clients_do_not_take_samples_times_clients() {
    let data = round_robin(2_000_000, 10);
    for rule in [
        Partitioner::Iid {
            samples_per_client: None,
        },
        Partitioner::Dirichlet { alpha: 0.3 },
        Partitioner::Shards { per_client: 2 },
        Partitioner::QuantitySkew { exponent: 1.0 },
        Partitioner::Labels { per_client: 2 },
    ] {
        let partition = rule.partition(&data, 1_000_000, 1, 8).unwrap();
        assert_eq!(partition.len(), 2_000_000);
        assert!(partition.sizes().all(|size| size >= 1));
    }
}

#[test]
fn partitions_are_pinned() {
    let data = round_robin(40, 4);
    let rule = Partitioner::Dirichlet { alpha: 0.5 };
    let partition = rule.partition(&data, 4, 1, 1).unwrap();
    let sizes: Vec<usize> = partition.sizes().collect();
    let (pinned_sizes, pinned_first) = PINNED;
    assert_eq!(sizes, pinned_sizes, "every recorded run would change");
    assert_eq!(partition.client(0), pinned_first);
}

const PINNED: ([usize; 4], &[u32]) = ([6, 12, 12, 10], &[5, 13, 15, 23, 24, 36]);
