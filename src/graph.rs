//! Graphs for federations without a server: which nodes exchange models, and with which weights they
//! mix them.
//!
//! A [`GraphSpec`] is the graph as a scenario describes it; a [`Graph`] is that graph for a number of
//! nodes, with its edges drawn where it is random. Graphs that follow a rule (ring, torus, complete,
//! exponential) are computed node by node and take no memory. Random graphs and given ones keep their
//! edges.
//!
//! For example, in a `Ring` of 5 nodes node 0 has the neighbours 1 and 4, and with Metropolis weights
//! each of the three models counts a third.
//!
//! - `adjacency`: graphs as lists of neighbours
//! - `draw`: random regular and small-world graphs
//! - `mixing`: the weights that a node gives its neighbours
//! - `spectrum`: how fast mixing alone brings all models together

mod adjacency;
mod draw;
mod mixing;
mod spectrum;
#[cfg(test)]
mod tests;

pub use mixing::{Links, Weights};

use crate::quantity::Probability;
use adjacency::Adjacency;
use serde::Serialize;
use std::fmt;

/// The description of a graph, for any number of nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum GraphSpec {
    /// Each node has the node before and the node after it as neighbours.
    Ring,
    /// A grid whose opposite ends meet, as square as the number of nodes allows: four neighbours each.
    Torus,
    /// Each node has all others as neighbours.
    Complete,
    /// A graph in which all nodes have `degree` neighbours, drawn uniformly.
    RandomRegular {
        /// The number of neighbours.
        degree: u32,
    },
    /// A ring on which each node has its nearest `degree` neighbours, with some of the edges moved to
    /// random nodes (Watts and Strogatz, 1998).
    SmallWorld {
        /// The mean number of neighbours; even.
        degree: u32,
        /// The probability with which an edge is moved.
        rewire: Probability,
    },
    /// The one-peer exponential graph: in round r node i sends only to node i + 2^(r−1 mod ⌈log₂ n⌉)
    /// (Ying et al., 2021). This is the only graph whose edges have a direction.
    Exponential,
    /// Exactly these edges, as pairs of node numbers.
    Edges(Vec<(u32, u32)>),
}

/// A graph of a given number of nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    nodes: u32,
    shape: GraphKind,
}

#[derive(Debug, Clone, PartialEq)]
enum GraphKind {
    Ring,
    Torus { columns: u32 },
    Complete,
    Exponential,
    Sparse(Adjacency),
}

impl GraphSpec {
    /// The name of the graph in a scenario.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ring => "Ring",
            Self::Torus => "Torus",
            Self::Complete => "Complete",
            Self::RandomRegular { .. } => "RandomRegular",
            Self::SmallWorld { .. } => "SmallWorld",
            Self::Exponential => "Exponential",
            Self::Edges(_) => "Edges",
        }
    }

    /// The names of all graphs, each with a description.
    pub const ALL: &'static [(&'static str, &'static str)] = &[
        ("Ring", "everybody has two neighbours"),
        ("Torus", "a grid whose ends meet: four neighbours each"),
        ("Complete", "everybody has everybody"),
        (
            "RandomRegular",
            "drawn, all with the same number of neighbours",
        ),
        (
            "SmallWorld",
            "a ring of near neighbours, some edges of which lead elsewhere",
        ),
        (
            "Exponential",
            "one peer a round, 1, 2, 4, ... places ahead in turn",
        ),
        ("Edges", "exactly the edges that are given"),
    ];

    /// Whether the graph is random, so that it can be drawn anew.
    pub const fn is_drawn(&self) -> bool {
        matches!(self, Self::RandomRegular { .. } | Self::SmallWorld { .. })
    }

    /// Everything that is wrong with the graph for a number of nodes: the name of the field at fault
    /// (empty for the graph as a whole), and the problem in words.
    pub fn check(&self, nodes: u32) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        match self {
            Self::Torus if torus(nodes).is_none() => {
                problems.push((
                    "",
                    format!(
                    "{nodes} clients make no torus: expected a number that is the product of two \
                     numbers of 3 or more, such as {}",
                    (nodes..=u32::MAX).find(|n| torus(*n).is_some()).unwrap_or(9)
                ),
                ))
            }
            Self::RandomRegular { degree } => {
                if *degree < 3 || *degree >= nodes {
                    problems.push((
                        "degree",
                        format!(
                            "{degree} is outside [3, {}]: with fewer than 3 neighbours each a drawn \
                             graph falls apart (two are a Ring), and no client has more than all others",
                            nodes.saturating_sub(1)
                        ),
                    ));
                } else if !(u64::from(*degree) * u64::from(nodes)).is_multiple_of(2) {
                    problems.push((
                        "degree",
                        format!(
                            "{nodes} clients cannot have {degree} neighbours each: one of the two \
                             numbers must be even"
                        ),
                    ));
                }
            }
            Self::SmallWorld { degree, .. }
                if *degree < 4 || *degree >= nodes || !degree.is_multiple_of(2) =>
            {
                problems.push((
                    "degree",
                    format!(
                        "expected an even number from 4 to {}, found {degree}: half of the \
                         neighbours are on each side of the ring",
                        nodes.saturating_sub(1)
                    ),
                ));
            }
            Self::Edges(edges) => {
                if let Some(message) = wrong_edge(edges, nodes) {
                    problems.push(("", message));
                } else if (edges.len() as u64) + 1 < u64::from(nodes)
                    || !Adjacency::of(nodes, edges.iter().copied()).is_connected()
                {
                    problems.push((
                        "",
                        "the graph is not connected: what some clients learn would never reach the \
                         others"
                            .into(),
                    ));
                }
            }
            _ => {}
        }
        problems
    }

    /// The number of messages that a round on this graph takes among `nodes` nodes, and the number of
    /// random draws that it takes to make the graph. Both are known before anything is drawn.
    pub fn size(&self, nodes: u32) -> (u64, u64) {
        let n = u64::from(nodes);
        let of_degree = |degree: u32| n.saturating_mul(u64::from(degree));
        match self {
            Self::Ring => (2 * n, 0),
            Self::Torus => (4 * n, 0),
            Self::Complete => (n.saturating_mul(n.saturating_sub(1)), 0),
            Self::Exponential => (n, 0),
            Self::Edges(edges) => (2 * edges.len() as u64, 0),
            Self::RandomRegular { degree } => (of_degree(*degree), of_degree(*degree)),
            Self::SmallWorld { degree, .. } => {
                // An edge is moved again until it leads to a node that is not a neighbour yet.
                let others = n.saturating_sub(u64::from(*degree)).max(1);
                let tries = n.div_ceil(others);
                (of_degree(*degree), of_degree(*degree).saturating_mul(tries))
            }
        }
    }

    /// The graph for `nodes` nodes; for a graph that is drawn again and again, the `number`-th.
    ///
    /// # Errors
    /// Returns an error in words when none of many draws gives a connected graph.
    pub fn graph(&self, nodes: u32, seed: u64, number: u32) -> Result<Graph, String> {
        let shape = match self {
            Self::Ring => GraphKind::Ring,
            Self::Torus => {
                let columns = torus(nodes).ok_or("so many nodes make no torus")?;
                GraphKind::Torus { columns }
            }
            Self::Complete => GraphKind::Complete,
            Self::Exponential => GraphKind::Exponential,
            Self::RandomRegular { degree } => {
                GraphKind::Sparse(draw::connected(seed, number, |rng| {
                    draw::random_regular(nodes, *degree, rng)
                })?)
            }
            Self::SmallWorld { degree, rewire } => {
                GraphKind::Sparse(draw::connected(seed, number, |rng| {
                    Some(draw::small_world(nodes, *degree, rewire.get(), rng))
                })?)
            }
            Self::Edges(edges) => GraphKind::Sparse(Adjacency::of(nodes, edges.iter().copied())),
        };
        Ok(Graph { nodes, shape })
    }
}

/// The first edge that is not allowed, described in words.
fn wrong_edge(edges: &[(u32, u32)], nodes: u32) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    edges.iter().find_map(|&(a, b)| {
        if a >= nodes || b >= nodes {
            let who = if a >= nodes { a } else { b };
            return Some(format!(
                "edge ({a}, {b}) names client {who}, and there are clients 0 to {}",
                nodes.saturating_sub(1)
            ));
        }
        if a == b {
            return Some(format!(
                "edge ({a}, {b}) leads back: a client's own weight needs no edge"
            ));
        }
        (!seen.insert((a.min(b), a.max(b))))
            .then(|| format!("edge ({a}, {b}) is given twice; it holds in both directions"))
    })
}

/// The number of columns of the most nearly square torus of `nodes` nodes, with at least 3 rows and
/// columns.
fn torus(nodes: u32) -> Option<u32> {
    let root = libm::sqrt(f64::from(nodes)) as u32 + 1;
    let rows = (3..=root)
        .rev()
        .find(|rows| nodes.is_multiple_of(*rows) && nodes / rows >= 3 && *rows <= nodes / rows)?;
    Some(nodes / rows)
}

/// The number of rounds after which a one-peer exponential graph repeats.
fn exponents(nodes: u32) -> u32 {
    nodes
        .saturating_sub(1)
        .checked_ilog2()
        .map_or(1, |log| log + 1)
}

impl Graph {
    /// The number of nodes.
    pub const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// The distance from a node to its one peer of a round.
    fn hop(&self, round: u32) -> u32 {
        1 << (round.saturating_sub(1) % exponents(self.nodes))
    }

    /// The number of nodes that send to `node` in a round.
    pub fn degree(&self, node: u32) -> u32 {
        match &self.shape {
            GraphKind::Ring => 2.min(self.nodes.saturating_sub(1)),
            GraphKind::Torus { .. } => 4,
            GraphKind::Complete => self.nodes.saturating_sub(1),
            GraphKind::Exponential => 1,
            GraphKind::Sparse(lists) => lists.neighbours(node).len() as u32,
        }
    }

    /// Whether all nodes have one number of neighbours.
    pub fn is_regular(&self) -> bool {
        let GraphKind::Sparse(_) = self.shape else {
            return true;
        };
        let first = self.degree(0);
        (1..self.nodes).all(|node| self.degree(node) == first)
    }

    /// The number of messages that all nodes together send in a round.
    pub fn messages(&self) -> u64 {
        match &self.shape {
            GraphKind::Sparse(lists) => lists.entries(),
            _ => u64::from(self.nodes) * u64::from(self.degree(0)),
        }
    }

    /// Calls `visit` with each node to which `node` sends in a round, in ascending order.
    pub fn each_target(&self, node: u32, round: u32, visit: impl FnMut(u32)) {
        match &self.shape {
            GraphKind::Exponential => {
                let n = u64::from(self.nodes.max(1));
                let ahead = u64::from(node) + u64::from(self.hop(round));
                std::iter::once((ahead % n) as u32).for_each(visit);
            }
            _ => self.each_source(node, round, visit),
        }
    }

    /// Calls `visit` with each node that sends to `node` in a round, in ascending order.
    pub fn each_source(&self, node: u32, round: u32, mut visit: impl FnMut(u32)) {
        let n = self.nodes;
        match &self.shape {
            GraphKind::Ring => sorted([before(node, 1, n), after(node, 1, n)], node, visit),
            GraphKind::Torus { columns } => {
                let (row, column) = (node / columns, node % columns);
                let rows = n / columns;
                let around = [
                    before(row, 1, rows) * columns + column,
                    after(row, 1, rows) * columns + column,
                    row * columns + before(column, 1, *columns),
                    row * columns + after(column, 1, *columns),
                ];
                sorted(around, node, visit);
            }
            GraphKind::Complete => (0..n).filter(|other| *other != node).for_each(visit),
            GraphKind::Exponential => visit(before(node, self.hop(round), n)),
            GraphKind::Sparse(lists) => lists.neighbours(node).iter().copied().for_each(visit),
        }
    }
}

const fn before(place: u32, by: u32, of: u32) -> u32 {
    if by <= place {
        place - by
    } else {
        place + (of - by)
    }
}

const fn after(place: u32, by: u32, of: u32) -> u32 {
    before(place, of - by, of)
}

/// Visits a few nodes in ascending order, each once.
fn sorted<const N: usize>(mut nodes: [u32; N], but: u32, visit: impl FnMut(u32)) {
    nodes.sort_unstable();
    let mut last = None;
    let each = nodes
        .into_iter()
        .filter(|node| *node != but && last.replace(*node) != Some(*node));
    each.for_each(visit);
}

impl fmt::Display for GraphSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RandomRegular { degree } => write!(f, "RandomRegular of degree {degree}"),
            Self::SmallWorld { degree, rewire } => {
                write!(
                    f,
                    "SmallWorld of degree {degree}, rewired with {}",
                    rewire.get()
                )
            }
            Self::Edges(edges) => write!(f, "{} given edges", edges.len()),
            other => f.write_str(other.name()),
        }
    }
}
