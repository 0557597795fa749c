//! Who talks to whom where there is no server, and how much each counts: graphs and mixing weights.
//!
//! A [`GraphSpec`] is what a scenario says; a [`Graph`] is one of so many nodes, drawn where there is
//! something to draw. Graphs with a rule (ring, torus, complete, exponential) are worked out node by
//! node and take no memory; drawn and given ones take their edges.
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

/// What a graph is, whoever is in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum GraphSpec {
    /// Everybody has the one before and the one after.
    Ring,
    /// A grid whose ends meet, as square as the number of nodes allows: four neighbours each.
    Torus,
    /// Everybody has everybody.
    Complete,
    /// A uniformly drawn graph in which all have the same number of neighbours.
    RandomRegular {
        /// How many.
        degree: u32,
    },
    /// A ring on which each has its nearest `degree` neighbours, some of whose edges lead elsewhere
    /// (Watts and Strogatz, 1998).
    SmallWorld {
        /// Mean number of neighbours, even.
        degree: u32,
        /// Each edge leads elsewhere with this probability.
        rewire: Probability,
    },
    /// One-peer exponential: in round r node i sends to i + 2^(r−1 mod ⌈log₂ n⌉) only (Ying et al.,
    /// 2021). The one graph whose edges have a direction.
    Exponential,
    /// Exactly these edges.
    Edges(Vec<(u32, u32)>),
}

/// A graph of so many nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    nodes: u32,
    shape: Shape,
}

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Ring,
    Torus { columns: u32 },
    Complete,
    Exponential,
    Sparse(Adjacency),
}

impl GraphSpec {
    /// Its name in a scenario.
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

    /// All graphs, with what they are.
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

    /// Whether there is something to draw, so that it can be drawn anew.
    pub const fn is_drawn(&self) -> bool {
        matches!(self, Self::RandomRegular { .. } | Self::SmallWorld { .. })
    }

    /// What is wrong with it for so many nodes: each with the name of the field at fault (empty: the
    /// graph as a whole).
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

    /// How many messages a round on it has among so many nodes, and how many draws it takes to make it: told
    /// before anything is drawn.
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
                // An edge that leads elsewhere is drawn until it meets somebody who is no neighbour yet.
                let others = n.saturating_sub(u64::from(*degree)).max(1);
                let tries = n.div_ceil(others);
                (of_degree(*degree), of_degree(*degree).saturating_mul(tries))
            }
        }
    }

    /// The graph of so many nodes; the `number`-th, where one is drawn again and again.
    ///
    /// # Errors
    /// When no connected graph comes of many draws.
    pub fn graph(&self, nodes: u32, seed: u64, number: u32) -> Result<Graph, String> {
        let shape = match self {
            Self::Ring => Shape::Ring,
            Self::Torus => {
                let columns = torus(nodes).ok_or("so many nodes make no torus")?;
                Shape::Torus { columns }
            }
            Self::Complete => Shape::Complete,
            Self::Exponential => Shape::Exponential,
            Self::RandomRegular { degree } => {
                Shape::Sparse(draw::connected(seed, number, |rng| {
                    draw::random_regular(nodes, *degree, rng)
                })?)
            }
            Self::SmallWorld { degree, rewire } => {
                Shape::Sparse(draw::connected(seed, number, |rng| {
                    Some(draw::small_world(nodes, *degree, rewire.get(), rng))
                })?)
            }
            Self::Edges(edges) => Shape::Sparse(Adjacency::of(nodes, edges.iter().copied())),
        };
        Ok(Graph { nodes, shape })
    }
}

/// The first edge that cannot be one.
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

/// The columns of the most nearly square torus of so many nodes: rows and columns of 3 or more.
fn torus(nodes: u32) -> Option<u32> {
    let root = libm::sqrt(f64::from(nodes)) as u32 + 1;
    let rows = (3..=root)
        .rev()
        .find(|rows| nodes.is_multiple_of(*rows) && nodes / rows >= 3 && *rows <= nodes / rows)?;
    Some(nodes / rows)
}

/// Rounds after which a one-peer exponential graph begins again.
fn exponents(nodes: u32) -> u32 {
    nodes
        .saturating_sub(1)
        .checked_ilog2()
        .map_or(1, |log| log + 1)
}

impl Graph {
    /// How many nodes it has.
    pub const fn nodes(&self) -> u32 {
        self.nodes
    }

    /// How far ahead the one peer of a round is.
    fn hop(&self, round: u32) -> u32 {
        1 << (round.saturating_sub(1) % exponents(self.nodes))
    }

    /// How many send to `node` in a round.
    pub fn degree(&self, node: u32) -> u32 {
        match &self.shape {
            Shape::Ring => 2.min(self.nodes.saturating_sub(1)),
            Shape::Torus { .. } => 4,
            Shape::Complete => self.nodes.saturating_sub(1),
            Shape::Exponential => 1,
            Shape::Sparse(lists) => lists.neighbours(node).len() as u32,
        }
    }

    /// Whether all have the same number of neighbours.
    pub fn is_regular(&self) -> bool {
        let Shape::Sparse(_) = self.shape else {
            return true;
        };
        let first = self.degree(0);
        (1..self.nodes).all(|node| self.degree(node) == first)
    }

    /// How many messages all of them send in a round.
    pub fn messages(&self) -> u64 {
        match &self.shape {
            Shape::Sparse(lists) => lists.entries(),
            _ => u64::from(self.nodes) * u64::from(self.degree(0)),
        }
    }

    /// Calls `visit` with everybody that `node` sends to in a round, in ascending order.
    pub fn each_target(&self, node: u32, round: u32, visit: impl FnMut(u32)) {
        match &self.shape {
            Shape::Exponential => {
                let n = u64::from(self.nodes.max(1));
                let ahead = u64::from(node) + u64::from(self.hop(round));
                std::iter::once((ahead % n) as u32).for_each(visit);
            }
            _ => self.each_source(node, round, visit),
        }
    }

    /// Calls `visit` with everybody that sends to `node` in a round, in ascending order.
    pub fn each_source(&self, node: u32, round: u32, mut visit: impl FnMut(u32)) {
        let n = self.nodes;
        match &self.shape {
            Shape::Ring => sorted([before(node, 1, n), after(node, 1, n)], node, visit),
            Shape::Torus { columns } => {
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
            Shape::Complete => (0..n).filter(|other| *other != node).for_each(visit),
            Shape::Exponential => visit(before(node, self.hop(round), n)),
            Shape::Sparse(lists) => lists.neighbours(node).iter().copied().for_each(visit),
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
