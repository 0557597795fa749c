//! Federations without a server: every client has a model of its own, and mixes it with the models of its
//! neighbours on a graph.
//!
//! In a round a client trains from its model, sends a model to its neighbours of that round over the
//! simulated links, waits for their models, and mixes ([`Algorithm`] says in which order). Node 0, which
//! is otherwise the server, is no part of the simulated world: it **observes**. Clients report their rounds
//! to the observer past the network; the observer keeps the records of rounds and measures models.
//!
//! - `peer`: a client;
//! - `inbox`: models that wait for their round;
//! - `notice`: what a client reports to the observer;
//! - `observer`: node 0;
//! - `round_record`: what the observer knows of a round;
//! - `mix`: the arithmetic, as jobs;
//! - `watch`: what an audit sees.

mod inbox;
mod mix;
mod notice;
mod observer;
mod peer;
mod round_record;
#[cfg(test)]
mod tests;
mod watch;

pub use watch::{Mixing, PeerWatcher};

pub(super) use mix::{Consensus, ConsensusJob, MixJob};
pub(super) use notice::Notice;
pub(super) use observer::Observer;
pub(super) use peer::Peer;

use crate::graph::{Graph, GraphSpec, Links, Weights};
use crate::model::ParamSet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// How many drawn graphs are kept. Clients can be in different rounds at the same time, each with a graph of
/// its own.
const KEPT: usize = 8;

/// The most clients for which a graph is drawn only to say how fast mixing contracts.
const MOST_DRAWN: u32 = 100_000;

/// A federation without a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gossip {
    /// Which clients are neighbours.
    pub graph: GraphSpec,
    /// The number of rounds after which the graph is drawn anew; never, where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redraw_every: Option<u32>,
    /// The mixing weights of neighbours.
    pub weights: Weights,
    /// The order in which a client trains, sends and mixes.
    pub algorithm: Algorithm,
}

/// The order in which a client trains, sends and mixes in a round. x_i is the client's model, g_i(x) the
/// step that training makes from a model x, and W the mixing weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// x_i ← Σ_j W_ij x_j + g_i(x_i): clients train while their models are on the way (Lian et al., 2017,
    /// algorithm 1).
    #[default]
    DPsgd,
    /// x_i ← Σ_j W_ij (x_j + g_j(x_j)): a client trains, sends and mixes.
    AdaptThenCombine,
    /// x_i ← z + g_i(z) with z = Σ_j W_ij x_j: a client sends, mixes and trains.
    CombineThenAdapt,
}

impl Algorithm {
    /// Whether a client sends its model at the beginning of a round, before it trains.
    const fn sends_first(self) -> bool {
        matches!(self, Self::DPsgd | Self::CombineThenAdapt)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DPsgd => "D-PSGD",
            Self::AdaptThenCombine => "adapt-then-combine",
            Self::CombineThenAdapt => "combine-then-adapt",
        })
    }
}

impl Gossip {
    /// How fast mixing alone brings the models together, in words; `None` where that takes too long to find
    /// or cannot be found.
    pub fn contraction_in_words(&self, clients: u32, seed: u64) -> Option<String> {
        if self.graph.is_drawn() && clients > MOST_DRAWN {
            return None;
        }
        let graph = self.graph.graph(clients, seed, 0).ok()?;
        let rho = graph.contraction(self.weights)?;
        let first = match self.redraw_every {
            Some(_) => "on the first graph ",
            None => "",
        };
        Some(format!(
            "{first}mixing alone leaves {rho:.4} of a distance to the mean, or less, each round \
             (spectral gap {:.4})",
            1.0 - rho
        ))
    }

    /// The number of a round's graph, from 0.
    fn number(&self, round: u32) -> u32 {
        let every = self.redraw_every.unwrap_or(u32::MAX).max(1);
        round.saturating_sub(1) / every
    }
}

impl fmt::Display for Gossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on a graph {}", self.algorithm, self.graph)?;
        match self.redraw_every {
            Some(1) => write!(f, ", drawn anew each round")?,
            Some(every) => write!(f, ", drawn anew every {every} rounds")?,
            None => {}
        }
        write!(f, ", {}", self.weights)
    }
}

/// What the nodes of a federation without a server share.
#[derive(Debug)]
pub struct Common {
    /// The graph, the weights and the algorithm.
    pub gossip: Gossip,
    /// The model that all clients begin with.
    pub initial: ParamSet,
    clients: u32,
    seed: u64,
    /// The latest graphs, by number. A graph follows from the seed and its number, so it makes no
    /// difference which node asks for it first.
    drawn: Mutex<BTreeMap<u32, Arc<Graph>>>,
    /// The models that clients begin to train from, the trained models and the models at the end of rounds, by
    /// round and client.
    #[cfg(test)]
    pub watched: Mutex<BTreeMap<(tests::What, u32, u32), ParamSet>>,
}

impl Common {
    /// Shares `gossip` and the initial model among so many clients.
    pub fn new(gossip: Gossip, initial: ParamSet, clients: u32, seed: u64) -> Self {
        Self {
            gossip,
            initial,
            clients,
            seed,
            drawn: Mutex::default(),
            #[cfg(test)]
            watched: Mutex::default(),
        }
    }

    /// Keeps a model for a test to look at.
    #[cfg(test)]
    fn watch(&self, what: tests::What, round: u32, client: u32, model: &crate::method::Payload) {
        if let Ok(model) = model.as_model() {
            let mut watched = self.watched.lock().unwrap();
            watched.insert((what, round, client), model.clone());
        }
    }

    /// The graph of a round.
    ///
    /// # Errors
    /// When no connected graph can be drawn.
    pub fn graph(&self, round: u32) -> Result<Arc<Graph>, String> {
        let number = self.gossip.number(round);
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = drawn.get(&number) {
            return Ok(Arc::clone(graph));
        }
        let graph = self.gossip.graph.graph(self.clients, self.seed, number)?;
        let graph = Arc::new(graph);
        drawn.insert(number, Arc::clone(&graph));
        if drawn.len() > KEPT {
            drawn.pop_first();
        }
        Ok(graph)
    }

    /// The clients whose models a client mixes in a round, with their weights.
    ///
    /// # Errors
    /// As [`Common::graph`].
    pub fn links(&self, client: u32, round: u32) -> Result<Links, String> {
        let graph = self.graph(round)?;
        Ok(graph.links(client, round, self.gossip.weights))
    }
}
