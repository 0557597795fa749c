//! Federations without a server: every client has a model of its own, and mixes it with those of its
//! neighbours on a graph.
//!
//! In a round a client trains from its model, sends a model to its neighbours of that round over the
//! simulated links, waits for theirs, and mixes ([`Algorithm`] says in which order). Node 0, where the
//! server is otherwise, is no part of the simulated world: it **observes**. It is told of each
//! client's round past the network, writes the books and measures.
//!
//! - `peer`: a client
//! - `inbox`: models that wait for their round
//! - `notice`: what the observer is told
//! - `observer`: node 0; `books`: a round as it keeps it
//! - `mix`: the arithmetic, as jobs; `watch`: what an audit sees

mod books;
mod inbox;
mod mix;
mod notice;
mod observer;
mod peer;
#[cfg(test)]
mod tests;
mod watch;

pub use watch::{Mixing, Overhear};

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

/// Drawn graphs that are kept: rounds lie apart by as much as clients do.
const KEPT: usize = 8;

/// Graphs of more clients are not drawn to be looked at.
const MOST_DRAWN: u32 = 100_000;

/// A federation without a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gossip {
    /// Who talks to whom.
    pub graph: GraphSpec,
    /// The graph is drawn anew after so many rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redraw_every: Option<u32>,
    /// How much each counts.
    pub weights: Weights,
    /// What a client does in which order.
    pub algorithm: Algorithm,
}

/// What a client does in a round. x_i is its model, g_i what training makes of a model less that
/// model, W the mixing weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Algorithm {
    /// x_i ← Σ_j W_ij x_j + g_i(x_i): models are on their way while clients train (Lian et al., 2017,
    /// algorithm 1).
    #[default]
    DPsgd,
    /// x_i ← Σ_j W_ij (x_j + g_j(x_j)): trains, sends, mixes.
    AdaptThenCombine,
    /// x_i ← z + g_i(z) with z = Σ_j W_ij x_j: sends, mixes, trains.
    CombineThenAdapt,
}

impl Algorithm {
    /// Whether a client sends what it has at the beginning of a round.
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
    /// How fast mixing alone brings models together, in words; where that can be told at once.
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

    /// The number of the graph of a round, from 0.
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
    pub gossip: Gossip,
    /// The model that everybody begins with.
    pub initial: ParamSet,
    clients: u32,
    seed: u64,
    /// The graphs of late, by number: each follows from it, whoever asks first.
    drawn: Mutex<BTreeMap<u32, Arc<Graph>>>,
    /// What clients train from, what comes of it and what they end rounds with, by round and client.
    #[cfg(test)]
    pub watched: Mutex<BTreeMap<(tests::What, u32, u32), ParamSet>>,
}

impl Common {
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
    /// When none that is connected can be drawn.
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

    /// Whose models a client mixes in a round, with their weights.
    ///
    /// # Errors
    /// As [`Common::graph`].
    pub fn links(&self, client: u32, round: u32) -> Result<Links, String> {
        let graph = self.graph(round)?;
        Ok(graph.links(client, round, self.gossip.weights))
    }
}
