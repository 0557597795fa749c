//! How much a node's own model and those of its neighbours count when it mixes them.

use super::Graph;
use serde::{Deserialize, Serialize};

/// The rule of the weights W_ij. Either is symmetric on an undirected graph, and its rows sum to 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Weights {
    /// Metropolis: 1 / (1 + max(d_i, d_j)) (Xiao, Boyd and Lall, 2006). For any graph.
    #[default]
    Metropolis,
    /// 1 / (1 + d) for a neighbour and for oneself, where all have d neighbours.
    Uniform,
}

/// Whose models a node mixes in a round, with their weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Links {
    /// Ascending.
    pub sources: Vec<(u32, f64)>,
    /// The weight of its own model.
    pub own: f64,
}

impl Graph {
    /// The row of W of a node in a round.
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
            // No neighbour has more than 1/(1 + d): what is left is that at least.
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
