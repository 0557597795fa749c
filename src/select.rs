//! Who is asked in a round.
//!
//! A policy chooses among the clients that are there. It is asked once a round and hears what comes of
//! it; what it remembers is part of a checkpoint. Where the policy allows, a choice costs as much as
//! the cohort, not as the population.
//!
//! One file a policy, one line in `registry`. `draw` has what several of them need: samples without
//! repetition, uniform or weighted.

mod by_data;
mod by_loss;
mod cyclic;
mod draw;
mod fedcs;
mod oort;
mod power_of_choice;
mod registry;
mod round_robin;
mod stratified;
#[cfg(test)]
mod testing;
mod tifl;
mod uniform;

pub(crate) use draw::one_of_the_rest;
pub use registry::SelectionSpec;

use crate::quantity::Span;
use crate::snapshot::{Damaged, Reader, Writer};
use std::fmt;
use std::ops::Range;

/// What a client is expected to take for a round on idle links without losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// For the model to come.
    pub download: Span,
    /// For training.
    pub compute: Span,
    /// For the report to go.
    pub upload: Span,
}

impl Expected {
    /// All of it.
    pub fn total(self) -> Span {
        self.download + self.compute + self.upload
    }
}

/// What a policy may know of the clients.
pub trait Population {
    /// How many there are.
    fn size(&self) -> u32;

    /// Whether a client is there in this round; `draw` decides where that is a matter of chance.
    fn is_there(&self, client: u32, draw: u64) -> bool;

    /// On how many samples it trains.
    fn samples(&self, client: u32) -> u32;

    /// What a round is expected to take it.
    fn expected(&self, client: u32) -> Expected;

    /// The clients of each group, in order.
    fn groups(&self) -> Vec<Range<u32>>;

    /// When the round ends with what it has.
    fn deadline(&self) -> Option<Span>;
}

/// A round that wants clients.
pub struct Ask<'a> {
    /// Names the draws.
    pub seed: u64,
    /// The round, from 1.
    pub round: u32,
    /// How many are wanted.
    pub wanted: u32,
    /// Whom there is to choose from.
    pub population: &'a dyn Population,
}

/// A report that was used, as far as policies want to know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsedReport {
    /// Who.
    pub client: u32,
    /// In which round.
    pub round: u32,
    /// On how many samples it trained.
    pub samples: u32,
    /// Its mean training loss, if it took a step.
    pub loss: Option<f64>,
    /// From being asked to being report.
    pub took: Span,
}

/// How good the model is on a client's held-out samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Whose samples.
    pub client: u32,
    /// Those classified right.
    pub correct: u64,
    /// All of them.
    pub count: u64,
}

/// How clients are chosen, as a scenario says it.
pub trait Selection: fmt::Debug + Send + Sync {
    /// A policy that has not chosen yet.
    fn policy(&self) -> Box<dyn Policy>;

    /// What is wrong with the settings, each with its field.
    /// Fields that it was held against are named after it, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Whether it goes by what clients have learned.
    fn needs_losses(&self) -> bool {
        false
    }

    /// Whether it goes by how good the model is on clients' held-out samples.
    fn needs_accuracies(&self) -> bool {
        false
    }

    /// Whether every set of as many clients of those who are there is equally likely, in each round anew:
    /// the accountant of differential privacy counts on nothing less.
    fn is_uniform(&self) -> bool {
        false
    }

    /// Whether rounds need a deadline for it.
    fn needs_deadline(&self) -> bool {
        false
    }
}

/// Chooses in one run.
pub trait Policy: Send {
    /// Up to as many clients as are wanted, each once, in the order in which they are asked.
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32>;

    /// A report came and was used.
    fn reported(&mut self, report: &UsedReport) {
        let _ = report;
    }

    /// The model was measured on clients' held-out samples.
    fn measured(&mut self, clients: &[Measured]) {
        let _ = clients;
    }

    /// Writes what later choices depend on.
    fn save(&self, to: &mut Writer) {
        let _ = to;
    }

    /// Takes what [`Policy::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are not those of such a policy.
    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        let _ = from;
        Ok(())
    }
}
