//! Who talks to whom, as typed.

use crate::federation::Algorithm;
use crate::graph::Weights;
use serde::Deserialize;

/// `Gossip(graph: Ring, ...)`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Topology")]
pub enum TopologyFile {
    /// Clients with their neighbours on a graph, without a server.
    Gossip(GossipFile),
}

/// A federation without a server.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Gossip")]
pub struct GossipFile {
    /// Who talks to whom.
    pub graph: GraphFile,
    /// A drawn graph is drawn anew after so many rounds; never, when not given.
    #[serde(default)]
    pub redraw_every: Option<u32>,
    /// How much each counts.
    #[serde(default)]
    pub weights: Weights,
    /// What a client does in which order.
    #[serde(default)]
    pub algorithm: Algorithm,
}

/// `Ring`, `RandomRegular(degree: 4)`, `Edges([(0, 1), (1, 2)])` and others.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Graph")]
pub enum GraphFile {
    /// Two neighbours each.
    Ring,
    /// A grid whose ends meet.
    Torus,
    /// Everybody with everybody.
    Complete,
    /// Drawn, all with the same number of neighbours.
    RandomRegular {
        /// How many.
        #[serde(default = "four")]
        degree: u32,
    },
    /// A ring of near neighbours, some edges of which lead elsewhere.
    SmallWorld {
        /// Mean number of neighbours.
        #[serde(default = "four")]
        degree: u32,
        /// Each edge leads elsewhere with this probability.
        #[serde(default = "tenth")]
        rewire: f64,
    },
    /// One peer a round.
    Exponential,
    /// Exactly these.
    Edges(Vec<(u32, u32)>),
}

const fn four() -> u32 {
    4
}

const fn tenth() -> f64 {
    0.1
}
