//! Mixing weights: how much a node's own model and those of its neighbours count when the node mixes
//! them.

use super::Graph;
use serde::{Deserialize, Serialize};

/// The rule for the weights W_ij. By either rule W is symmetric on an undirected graph, and its rows
/// sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Weights {
    /// Metropolis weights, 1 / (1 + max(d_i, d_j)) for nodes with d_i and d_j neighbours (Xiao, Boyd
    /// and Lall, 2006). They suit any graph.
    #[default]
    Metropolis,
    /// 1 / (1 + d) for each neighbour and for the node itself, where all nodes have d neighbours.
    Uniform,
}

/// The nodes whose models a node mixes in a round, with their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    /// The other nodes in ascending order, each with the weight of its model.
    pub sources: Vec<(u32, f64)>,
    /// The weight of the node's own model.
    pub own: f64,
}

impl Graph {
    /// The row of W for a node in a round.
    pub fn links(&self, node: u32, round: u32, weights: Weights) -> Links {
        let degree = self.degree(node);
        let alike = 1.0 / (1.0 + f64::from(degree));
        let mut links = Links {
            sources: Vec::with_capacity(degree as usize),
            own: alike,
        };
        let (mut given, mut uneven) = (0.0, false);
        self.each_source(node, round, |other| {
            let weight = match weights {
                Weights::Metropolis => 1.0 / (1.0 + f64::from(degree.max(self.degree(other)))),
                Weights::Uniform => alike,
            };
            given += weight;
            uneven |= weight != alike;
            links.sources.push((other, weight));
        });
        if uneven {
            // The weight of each neighbour is at most 1/(1 + d), so at least that much is left.
            links.own = 1.0 - given;
        }
        links
    }
}

impl std::fmt::Display for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Metropolis => "Metropolis weights",
            Self::Uniform => "uniform weights",
        })
    }
}
