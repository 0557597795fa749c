//! The list of policies of selection that a scenario can name.

use super::Selection;
use crate::registry::{kind, Spec};

/// A policy of selection by its name in a scenario, with its settings.
pub type SelectionSpec = Spec<dyn Selection>;

impl SelectionSpec {
    /// The policy behind the name, with its settings.
    pub fn selection(&self) -> &dyn Selection {
        self.get()
    }
}

kind! {
    dyn Selection, "a policy of selection";
    /// A uniform sample: every client that is present has the same probability
    Uniform: super::uniform::Uniform,
    /// Clients with many samples more often, in proportion to their number (as Li et al. 2020)
    ByData: super::by_data::ByData,
    /// Clients one after the other, by number
    RoundRobin: super::round_robin::RoundRobin,
    /// From each group as many clients as its share of the population
    Stratified: super::stratified::Stratified,
    /// Blocks of the population take turns (Eichner et al. 2019)
    Cyclic: super::cyclic::Cyclic,
    /// Of some candidates, the clients with the largest loss (Cho, Wang and Joshi 2022)
    PowerOfChoice: super::power_of_choice::PowerOfChoice,
    /// Active federated learning: clients with a larger loss are more likely (Goetz et al. 2019)
    ByLoss: super::by_loss::ByLoss,
    /// Oort: clients with large loss and high speed, with exploration of unknown ones (Lai et al.
    /// 2021)
    Oort: super::oort::Oort,
    /// Tiers of equally fast clients take turns at random (Chai et al. 2020)
    TiFL: super::tifl::TiFL,
    /// As many clients as can report before the deadline of the round (Nishio and Yonetani 2019)
    FedCS: super::fedcs::FedCs,
}

impl Default for SelectionSpec {
    fn default() -> Self {
        super::uniform::Uniform::default().into()
    }
}
