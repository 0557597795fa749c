//! Random graphs: random regular ones and small worlds.

use super::adjacency::Adjacency;
use crate::sim::rng::{below, shuffle, stream, Purpose, Stream};
use rand::Rng;
use std::collections::BTreeMap;

/// The number of draws after which a graph counts as one that cannot be connected.
const TRIES: u64 = 1 << 10;

/// The first connected graph that `draw` gives, from streams named by seed, number and attempt.
///
/// # Errors
/// Returns an error in words when none of the draws gives a connected graph.
pub(super) fn connected(
    seed: u64,
    number: u32,
    mut draw: impl FnMut(&mut Stream) -> Option<Adjacency>,
) -> Result<Adjacency, String> {
    for attempt in 0..TRIES {
        // No client is node 0, so no client draws from these streams.
        let counter = u64::from(number) << 16 | attempt;
        let mut rng = stream(seed, 0, Purpose::Graph, counter);
        if let Some(graph) = draw(&mut rng).filter(Adjacency::is_connected) {
            return Ok(graph);
        }
    }
    Err(format!("{TRIES} drawn graphs in a row are not connected"))
}

/// A graph in which all nodes have `degree` neighbours; in the limit each such graph is equally likely
/// (Steger and Wormald, 1999). Ends of edges are paired at random, and pairs that would make a loop or
/// a second edge are paired again. `None` where the last ends cannot be paired.
pub(super) fn random_regular(nodes: u32, degree: u32, rng: &mut Stream) -> Option<Adjacency> {
    let others = nodes.saturating_sub(1);
    if degree > others / 2 {
        // The complement of a regular graph is regular, and here it has fewer edges to be paired.
        let left_out = pair(nodes, others - degree, rng)?;
        let kept = left_out.iter().zip(0..nodes).map(|(out, node)| {
            let others = (0..nodes).filter(|other| *other != node);
            others
                .filter(|other| out.binary_search(other).is_err())
                .collect()
        });
        return Some(Adjacency::from_lists(kept.collect()));
    }
    pair(nodes, degree, rng).map(Adjacency::from_lists)
}

fn pair(nodes: u32, degree: u32, rng: &mut Stream) -> Option<Vec<Vec<u32>>> {
    let mut lists = vec![Vec::with_capacity(degree as usize); nodes as usize];
    let ends = (0..nodes).flat_map(|node| std::iter::repeat_n(node, degree as usize));
    let mut ends: Vec<u32> = ends.collect();
    while !ends.is_empty() {
        shuffle(rng, &mut ends);
        let mut left: BTreeMap<u32, u32> = BTreeMap::new();
        for both in ends.chunks_exact(2) {
            let (a, b) = (both[0], both[1]);
            if a == b || !join(&mut lists, a, b) {
                *left.entry(a).or_default() += 1;
                *left.entry(b).or_default() += 1;
            }
        }
        let open: Vec<u32> = left.keys().copied().collect();
        let can = |a: u32, b: u32| lists[a as usize].binary_search(&b).is_err();
        let mut pairs = open
            .iter()
            .enumerate()
            .flat_map(|(i, &a)| open[i + 1..].iter().map(move |&b| (a, b)));
        if !open.is_empty() && !pairs.any(|(a, b)| can(a, b)) {
            return None;
        }
        let again = left.iter();
        ends = again
            .flat_map(|(&node, &times)| std::iter::repeat_n(node, times as usize))
            .collect();
    }
    Some(lists)
}

/// Adds an edge and keeps the lists sorted; returns whether the edge is new.
fn join(lists: &mut [Vec<u32>], a: u32, b: u32) -> bool {
    let Err(place) = lists[a as usize].binary_search(&b) else {
        return false;
    };
    lists[a as usize].insert(place, b);
    if let Err(place) = lists[b as usize].binary_search(&a) {
        lists[b as usize].insert(place, a);
    }
    true
}

fn part(lists: &mut [Vec<u32>], a: u32, b: u32) {
    for (from, to) in [(a, b), (b, a)] {
        if let Ok(place) = lists[from as usize].binary_search(&to) {
            lists[from as usize].remove(place);
        }
    }
}

/// The graph of Watts and Strogatz (1998): each node of a ring has its `degree` nearest neighbours. For
/// one neighbour distance after the other, around the ring, each edge is moved to another far end with
/// probability `rewire`.
pub(super) fn small_world(nodes: u32, degree: u32, rewire: f64, rng: &mut Stream) -> Adjacency {
    let mut lists = vec![Vec::with_capacity(degree as usize); nodes as usize];
    let ahead = |node: u32, by: u32| ((u64::from(node) + u64::from(by)) % u64::from(nodes)) as u32;
    for by in 1..=degree / 2 {
        for node in 0..nodes {
            join(&mut lists, node, ahead(node, by));
        }
    }
    for by in 1..=degree / 2 {
        for node in 0..nodes {
            let u = (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
            // The edges of a node that is joined to all others stay.
            if u >= rewire || lists[node as usize].len() as u32 >= nodes - 1 {
                continue;
            }
            let old = ahead(node, by);
            let new = loop {
                let other = below(rng, u64::from(nodes)) as u32;
                if other != node && lists[node as usize].binary_search(&other).is_err() {
                    break other;
                }
            };
            part(&mut lists, node, old);
            join(&mut lists, node, new);
        }
    }
    Adjacency::from_lists(lists)
}
