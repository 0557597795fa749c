use super::*;
use crate::sim::rng::below;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn sources(graph: &Graph, node: u32, round: u32) -> Vec<u32> {
    let mut all = Vec::new();
    graph.each_source(node, round, |other| all.push(other));
    all
}

fn targets(graph: &Graph, node: u32, round: u32) -> Vec<u32> {
    let mut all = Vec::new();
    graph.each_target(node, round, |other| all.push(other));
    all
}

fn matrix(graph: &Graph, round: u32, weights: Weights) -> Vec<Vec<f64>> {
    let n = graph.nodes();
    let row = |node| {
        let mut row = vec![0.0; n as usize];
        let links = graph.links(node, round, weights);
        row[node as usize] = links.own;
        for (other, weight) in links.sources {
            assert_eq!(row[other as usize], 0.0, "nobody counts twice");
            row[other as usize] = weight;
        }
        row
    };
    (0..n).map(row).collect()
}

/// Whether all is reached from node 0 by edges of round 1 and the `rounds` after it.
fn reaches_all(graph: &Graph, rounds: u32) -> bool {
    let mut seen = BTreeSet::from([0]);
    for _ in 0..graph.nodes() {
        for round in 1..=rounds {
            let next: Vec<u32> = seen
                .iter()
                .flat_map(|n| targets(graph, *n, round))
                .collect();
            seen.extend(next);
        }
    }
    seen.len() == graph.nodes() as usize
}

fn drawn(spec: &GraphSpec, nodes: u32, seed: u64) -> Graph {
    assert_eq!(spec.check(nodes), [], "{spec:?} of {nodes}");
    spec.graph(nodes, seed, 0).unwrap()
}

/// Any graph of up to 40 nodes that a scenario may have.
fn any_graph() -> impl Strategy<Value = (GraphSpec, u32)> {
    let tree = |nodes: u32, seed: u64| {
        // A random tree, and some edges more.
        let mut rng = crate::sim::rng::stream(seed, 0, crate::sim::rng::Purpose::Node, 0);
        let mut edges = BTreeSet::new();
        for node in 1..nodes {
            edges.insert((below(&mut rng, u64::from(node)) as u32, node));
        }
        for _ in 0..nodes / 2 {
            let (a, b) = (
                below(&mut rng, u64::from(nodes)) as u32,
                below(&mut rng, u64::from(nodes)) as u32,
            );
            if a != b {
                edges.insert((a.min(b), a.max(b)));
            }
        }
        GraphSpec::Edges(edges.into_iter().collect())
    };
    prop_oneof![
        (2u32..40).prop_map(|n| (GraphSpec::Ring, n)),
        (3u32..7, 3u32..7).prop_map(|(a, b)| (GraphSpec::Torus, a * b)),
        (2u32..40).prop_map(|n| (GraphSpec::Complete, n)),
        (2u32..40).prop_map(|n| (GraphSpec::Exponential, n)),
        (3u32..12, 13u32..40).prop_map(|(degree, n)| {
            let n = n + (degree & n & 1);
            (GraphSpec::RandomRegular { degree }, n)
        }),
        (2u32..6, 13u32..40, 0u32..=10).prop_map(|(half, n, tenths)| {
            let rewire = Probability::new(f64::from(tenths) / 10.0).unwrap();
            let degree = 2 * half;
            (GraphSpec::SmallWorld { degree, rewire }, n)
        }),
        (2u32..40, any::<u64>()).prop_map(move |(n, seed)| (tree(n, seed), n)),
    ]
}

proptest! {
    #[test]
    fn weights_are_doubly_stochastic_and_symmetric_where_edges_are(
        (spec, nodes) in any_graph(), seed in 0u64..1000, round in 1u32..9,
    ) {
        let graph = drawn(&spec, nodes, seed);
        let directed = spec == GraphSpec::Exponential;
        for weights in [Weights::Metropolis, Weights::Uniform] {
            if weights == Weights::Uniform && !graph.is_regular() {
                continue;
            }
            let w = matrix(&graph, round, weights);
            for i in 0..nodes as usize {
                prop_assert!(w[i].iter().all(|weight| *weight >= 0.0));
                prop_assert!(w[i][i] > 0.0, "nobody forgets itself");
                let row: f64 = w[i].iter().sum();
                let column: f64 = w.iter().map(|row| row[i]).sum();
                prop_assert!((row - 1.0).abs() < 1e-12, "row {row}");
                prop_assert!((column - 1.0).abs() < 1e-12, "column {column}");
                for (j, row) in w.iter().enumerate() {
                    prop_assert!(directed || w[i][j] == row[i]);
                }
            }
        }
    }

    #[test]
    fn neighbours_are_mutual_in_order_and_everybody_is_reached(
        (spec, nodes) in any_graph(), seed in 0u64..1000, round in 1u32..9,
    ) {
        let graph = drawn(&spec, nodes, seed);
        let mut messages = 0;
        for node in 0..nodes {
            let (from, to) = (sources(&graph, node, round), targets(&graph, node, round));
            prop_assert!(from.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(!from.contains(&node) && from.iter().all(|other| *other < nodes));
            prop_assert_eq!(from.len() as u32, graph.degree(node));
            for other in &to {
                prop_assert!(sources(&graph, *other, round).contains(&node));
            }
            if spec != GraphSpec::Exponential {
                prop_assert_eq!(&from, &to);
            }
            messages += to.len() as u64;
        }
        prop_assert_eq!(messages, graph.messages());
        prop_assert!(reaches_all(&graph, 6));
    }

    #[test]
    fn regular_graphs_have_the_degree_they_say(
        (half, nodes, seed) in (2u32..=9, 20u32..60, any::<u64>()),
    ) {
        for degree in [2 * half, nodes - 2 * half - 1] {
            let spec = GraphSpec::RandomRegular { degree };
            if spec.check(nodes).is_empty() {
                let graph = drawn(&spec, nodes, seed);
                prop_assert!((0..nodes).all(|node| graph.degree(node) == degree));
            }
        }
    }
}

#[test]
fn a_drawn_graph_follows_from_seed_and_number() {
    for spec in [
        GraphSpec::RandomRegular { degree: 4 },
        GraphSpec::SmallWorld {
            degree: 4,
            rewire: Probability::new(0.3).unwrap(),
        },
    ] {
        let graph = |seed, number| spec.graph(50, seed, number).unwrap();
        assert_eq!(graph(1, 0), graph(1, 0));
        assert_ne!(graph(1, 0), graph(1, 1));
        assert_ne!(graph(1, 0), graph(2, 0));
    }
}

#[test]
fn every_edge_of_a_random_regular_graph_is_as_likely() {
    // 2,000 draws of 8 nodes with 3 neighbours each: an edge is there with probability 3/7.
    let (mut counts, draws) = (std::collections::BTreeMap::new(), 2_000u32);
    for number in 0..draws {
        let graph = GraphSpec::RandomRegular { degree: 3 }
            .graph(8, 5, number)
            .unwrap();
        for node in 0..8 {
            for other in sources(&graph, node, 1) {
                *counts.entry((node, other)).or_insert(0u32) += 1;
            }
        }
    }
    assert_eq!(counts.len(), 56);
    // Deviation 22; five of them.
    let expected = f64::from(draws) * 3.0 / 7.0;
    assert!(
        counts
            .values()
            .all(|n| (f64::from(*n) - expected).abs() < 111.0),
        "{counts:?}"
    );
}

#[test]
fn rewiring_moves_the_share_of_edges_that_it_says() {
    let spec = |rewire| GraphSpec::SmallWorld {
        degree: 6,
        rewire: Probability::new(rewire).unwrap(),
    };
    let lattice = spec(0.0).graph(1_000, 3, 0).unwrap();
    assert_eq!(sources(&lattice, 0, 1), [1, 2, 3, 997, 998, 999]);
    let rewired = spec(0.2).graph(1_000, 3, 0).unwrap();
    assert_eq!(rewired.messages(), 6_000, "edges are moved, not made");
    let kept: usize = (0..1_000)
        .map(|node| {
            let old = sources(&lattice, node, 1);
            let new = sources(&rewired, node, 1);
            new.iter().filter(|other| old.contains(other)).count()
        })
        .sum();
    // 3,000 edges, each kept with 0.8: 2,400, deviation 22; five of them, and some led back by chance.
    assert!((kept as f64 / 2.0 - 2_400.0).abs() < 125.0, "{kept}");
}

#[test]
fn the_one_peer_is_1_2_4_places_ahead_in_turn_and_n_a_power_of_2_averages_exactly() {
    let graph = GraphSpec::Exponential.graph(8, 1, 0).unwrap();
    let ahead: Vec<u32> = (1..=7).map(|round| targets(&graph, 6, round)[0]).collect();
    assert_eq!(ahead, [7, 0, 2, 7, 0, 2, 7]);
    assert_eq!(sources(&graph, 1, 2), [7]);
    let mut x: Vec<f64> = (0..8).map(f64::from).collect();
    for round in 1..=3 {
        let w = matrix(&graph, round, Weights::Metropolis);
        x = w
            .iter()
            .map(|row| row.iter().zip(&x).map(|(w, x)| w * x).sum())
            .collect();
    }
    assert_eq!(x, [3.5; 8]);
    // Five nodes take three rounds to go round.
    let graph = GraphSpec::Exponential.graph(5, 1, 0).unwrap();
    let ahead: Vec<u32> = (1..=4).map(|round| targets(&graph, 0, round)[0]).collect();
    assert_eq!(ahead, [1, 2, 4, 1]);
}

/// The second largest magnitude among the eigenvalues of a symmetric matrix, by Jacobi's rotations.
fn second_eigenvalue(mut a: Vec<Vec<f64>>) -> f64 {
    let n = a.len();
    for _ in 0..60 {
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q].abs() < 1e-15 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in a.iter_mut() {
                    let (x, y) = (row[p], row[q]);
                    row[p] = c * x - s * y;
                    row[q] = s * x + c * y;
                }
                let (above, below) = (a[p].clone(), a[q].clone());
                let both = || above.iter().zip(&below);
                a[p] = both().map(|(x, y)| c * x - s * y).collect();
                a[q] = both().map(|(x, y)| s * x + c * y).collect();
            }
        }
    }
    let mut values: Vec<f64> = (0..n).map(|i| a[i][i].abs()).collect();
    values.sort_by(f64::total_cmp);
    assert!((values[n - 1] - 1.0).abs() < 1e-9);
    values[n - 2]
}

#[test]
fn the_contraction_is_the_second_eigenvalue() {
    let given = vec![(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2), (4, 5)];
    for (spec, nodes) in [
        (GraphSpec::Ring, 3),
        (GraphSpec::Ring, 9),
        (GraphSpec::Ring, 10),
        (GraphSpec::Torus, 12),
        (GraphSpec::Torus, 20),
        (GraphSpec::Complete, 7),
        (GraphSpec::RandomRegular { degree: 4 }, 15),
        (
            GraphSpec::SmallWorld {
                degree: 4,
                rewire: Probability::new(0.2).unwrap(),
            },
            20,
        ),
        (GraphSpec::Edges(given), 6),
    ] {
        let graph = drawn(&spec, nodes, 4);
        let found = graph.contraction(Weights::Metropolis).unwrap();
        let expected = second_eigenvalue(matrix(&graph, 1, Weights::Metropolis));
        assert!(
            (found - expected).abs() < 1e-4,
            "{spec:?}: {found}, {expected}"
        );
    }
}

#[test]
fn what_cannot_be_a_graph_is_reported() {
    let message = |spec: GraphSpec, nodes| {
        let problems = spec.check(nodes);
        problems
            .first()
            .map_or(String::new(), |(_, text)| text.clone())
    };
    let edges = |edges: &[(u32, u32)]| GraphSpec::Edges(edges.to_vec());
    for (spec, nodes, part) in [
        (GraphSpec::Torus, 14, "such as 15"),
        (GraphSpec::RandomRegular { degree: 2 }, 9, "outside [3, 8]"),
        (GraphSpec::RandomRegular { degree: 9 }, 9, "outside [3, 8]"),
        (GraphSpec::RandomRegular { degree: 3 }, 9, "must be even"),
        (edges(&[(0, 1), (1, 4)]), 4, "names client 4"),
        (edges(&[(0, 1), (2, 2)]), 4, "leads back"),
        (edges(&[(0, 1), (1, 0)]), 4, "given twice"),
        (edges(&[(0, 1), (2, 3)]), 4, "not connected"),
        (
            GraphSpec::SmallWorld {
                degree: 5,
                rewire: Probability::ONE,
            },
            9,
            "even number from 4 to 8",
        ),
    ] {
        let found = message(spec.clone(), nodes);
        assert!(found.contains(part), "{spec:?}: {found:?}");
    }
    assert_eq!(message(edges(&[(0, 1), (1, 2), (2, 3)]), 4), "");
}
