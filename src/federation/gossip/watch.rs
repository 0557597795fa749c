//! What an audit sees of clients without a server.

use crate::graph::Links;
use crate::method::Payload;

/// What a client is about to mix.
#[derive(Debug)]
pub struct Mixing<'a> {
    /// From 0.
    pub client: u32,
    /// From 1.
    pub round: u32,
    /// Whose models the graph has it mix in this round, and how much each counts.
    pub links: &'a Links,
    /// Whose models it does mix, with their weights, its own among them.
    pub terms: &'a [(u32, f64, Payload)],
    /// A model and what training made of it, where that difference comes on top.
    pub step: Option<(&'a Payload, &'a Payload)>,
}

/// Watches clients without a server; several shards call it at the same time. It changes nothing.
pub trait Overhear: Send + Sync {
    /// A client sends a model to its neighbours of a round.
    fn sends(&self, client: u32, round: u32, model: &Payload);
    /// A client begins to mix.
    fn mixes(&self, mixing: &Mixing<'_>);
    /// This is what came of it.
    fn mixed(&self, client: u32, round: u32, model: &Payload);
    /// A client is through with a round, and this is its model.
    fn ends(&self, client: u32, round: u32, model: &Payload);
}
