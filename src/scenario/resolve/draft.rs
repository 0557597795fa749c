//! A scenario on its way to be resolved: what is known of it, for rules that look at several parts.

use crate::attack::Adversary;
use crate::data::DataSummary;
use crate::defend::DefenceSpec;
use crate::fault::Fault;
use crate::federation::{Compute, Layers, Schedule};
use crate::method::MethodSpec;
use crate::scenario::{Architecture, Member};
use crate::select::SelectionSpec;

/// The parts of a scenario that rules hold against each other. Parts that are resolved later than a rule
/// that looks at others are absent there: no defence, no adversaries, no layers.
#[derive(Clone, Copy)]
pub(super) struct Draft<'a> {
    pub seed: u64,
    pub population: &'a [Member],
    /// The data; none where they cannot be had.
    pub samples: Option<&'a DataSummary>,
    /// The network; none where it cannot be built.
    pub model: Option<&'a Architecture>,
    pub method: &'a MethodSpec,
    pub schedule: &'a Schedule,
    pub selection: &'a SelectionSpec,
    /// Whether the server holds public samples.
    pub public: bool,
    pub layers: &'a Layers,
    pub defence: Option<&'a DefenceSpec>,
    pub adversaries: &'a [Adversary],
    pub faults: &'a [Fault],
    pub compute: Compute,
}

impl Draft<'_> {
    /// The number of reports that a round is to have.
    pub fn cohort(&self) -> u32 {
        self.schedule.cohort.of(self.clients())
    }

    /// The number of clients. A population that is too large, about which the population's own rule
    /// complains, counts as the largest number there is.
    pub fn clients(&self) -> u32 {
        let counts = self.population.iter().map(|member| member.group.count);
        counts.fold(0, u32::saturating_add)
    }
}
