//! What an audit sees of clients without a server.

use crate::graph::Links;
use crate::method::Payload;

/// What a client without a server is about to mix.
#[derive(Debug)]
pub struct Mixing<'a> {
    /// The client's number, from 0.
    pub client: u32,
    /// The round, from 1.
    pub round: u32,
    /// The clients whose models the graph says that it mixes in this round, with their weights.
    pub links: &'a Links,
    /// The clients whose models it does mix, with their weights and models, itself among them.
    pub terms: &'a [(u32, f64, Payload)],
    /// A model and what training made of it, where the algorithm adds the difference to the mixture.
    pub step: Option<(&'a Payload, &'a Payload)>,
}

/// Watches clients without a server, for an audit. Several shards call it at the same time; it changes
/// nothing.
pub trait PeerWatcher: Send + Sync {
    /// Called when a client sends a model to its neighbours of a round.
    fn sends(&self, client: u32, round: u32, model: &Payload);
    /// Called when a client begins to mix.
    fn mixes(&self, mixing: &Mixing<'_>);
    /// Called when a client has mixed, with the mixed model.
    fn mixed(&self, client: u32, round: u32, model: &Payload);
    /// Called when a client ends a round, with its model.
    fn ends(&self, client: u32, round: u32, model: &Payload);
}
