//! Policies of selection: which clients a server invites to a round.
//!
//! A [`Policy`] chooses among the clients that are present. It is asked once a round and learns
//! which reports were used; the state that later choices depend on is part of a checkpoint. Where a
//! policy allows it, a choice costs as much work as the cohort is large, not as the population is.
//!
//! A new policy is one file in this folder and one line in `registry`. The module `draw` has
//! functions that several policies need: uniform and weighted sampling without repetition.

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

/// The times that a client is expected to need for a round, on idle links without losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expected {
    /// The time that the model takes to arrive.
    pub download: Span,
    /// The time that training takes.
    pub compute: Span,
    /// The time that the report takes to arrive.
    pub upload: Span,
}

impl Expected {
    /// The sum of the three times.
    pub fn total(self) -> Span {
        self.download + self.compute + self.upload
    }
}

/// The clients among whom a policy chooses, and what it may know of them.
pub trait Population {
    /// The number of clients. They are numbered from 0.
    fn size(&self) -> u32;

    /// Whether a client is present in this round. Where presence is a matter of chance, `draw`, a
    /// random 64-bit number, decides it.
    fn is_there(&self, client: u32, draw: u64) -> bool;

    /// The number of samples that a client trains on.
    fn samples(&self, client: u32) -> u32;

    /// The times that a round is expected to take a client.
    fn expected(&self, client: u32) -> Expected;

    /// The numbers of the clients of each group, in the order of the scenario.
    fn groups(&self) -> Vec<Range<u32>>;

    /// The time after which the round closes with the reports that it has; `None` without a
    /// deadline.
    fn deadline(&self) -> Option<Span>;
}

/// A round for which a policy shall choose clients.
pub struct Ask<'a> {
    /// The seed of the run, from which the policy's random streams are named.
    pub seed: u64,
    /// The number of the round, from 1.
    pub round: u32,
    /// The number of clients that are wanted.
    pub wanted: u32,
    /// The clients to choose from.
    pub population: &'a dyn Population,
}

/// A report that the server used, reduced to what policies need.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UsedReport {
    /// The client that reported.
    pub client: u32,
    /// The round of the report.
    pub round: u32,
    /// The number of samples that the client trained on.
    pub samples: u32,
    /// The client's mean training loss; `None` if it took no training step.
    pub loss: Option<f64>,
    /// The time from the invitation to the arrival of the report.
    pub took: Span,
}

/// The accuracy of the model on the held-out samples of one client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// The client whose samples they are.
    pub client: u32,
    /// The number of samples that the model classifies correctly.
    pub correct: u64,
    /// The number of samples.
    pub count: u64,
}

/// A policy of selection as a scenario names it, with its settings.
pub trait Selection: fmt::Debug + Send + Sync {
    /// A policy at the start of a run, before its first choice.
    fn policy(&self) -> Box<dyn Policy>;

    /// The problems with the settings: for each, the name of the field and a message. Where a field
    /// contradicts others, their names follow its own, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Whether the policy needs the training losses of the clients.
    fn needs_losses(&self) -> bool {
        false
    }

    /// Whether the policy needs the accuracy of the model on the clients' held-out samples.
    fn needs_accuracies(&self) -> bool {
        false
    }

    /// Whether, in every round independently, each set of present clients of the wanted size is
    /// equally likely. The accountant of differential privacy relies on such uniform sampling.
    fn is_uniform(&self) -> bool {
        false
    }

    /// Whether the policy works only in rounds with a deadline.
    fn needs_deadline(&self) -> bool {
        false
    }
}

/// Chooses the clients of every round of one run.
pub trait Policy: Send {
    /// Chooses clients for a round: at most as many as are wanted, each once, in the order in which
    /// the server invites them.
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32>;

    /// Informs the policy that a report arrived and was used.
    fn reported(&mut self, report: &UsedReport) {
        let _ = report;
    }

    /// Informs the policy of the accuracies of the model on the clients' held-out samples.
    fn measured(&mut self, clients: &[Measured]) {
        let _ = clients;
    }

    /// Writes the state that later choices depend on, for a checkpoint.
    fn save(&self, to: &mut Writer) {
        let _ = to;
    }

    /// Reads the state that [`Policy::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are not the state of such a policy.
    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        let _ = from;
        Ok(())
    }
}
