//! The list of policies: what a scenario can name.

use super::Selection;
use crate::registry::{kind, Spec};

/// A policy of selection by its name in a scenario, with its settings.
pub type SelectionSpec = Spec<dyn Selection>;

impl SelectionSpec {
    /// What is behind the name.
    pub fn selection(&self) -> &dyn Selection {
        self.get()
    }
}

kind! {
    dyn Selection, "a policy of selection";
    /// Everybody with the same probability
    Uniform: super::uniform::Uniform,
    /// By the number of samples
    ByData: super::by_data::ByData,
    /// One after the other
    RoundRobin: super::round_robin::RoundRobin,
    /// From each group its share
    Stratified: super::stratified::Stratified,
    /// Blocks of the population take turns (Eichner et al. 2019)
    Cyclic: super::cyclic::Cyclic,
    /// Of some candidates those with the largest loss (Cho, Wang and Joshi 2022)
    PowerOfChoice: super::power_of_choice::PowerOfChoice,
    /// By loss, softly (active federated learning, Goetz et al. 2019)
    ByLoss: super::by_loss::ByLoss,
    /// By loss and speed, with exploration (Lai et al. 2021)
    Oort: super::oort::Oort,
    /// Tiers of equally fast clients take turns (Chai et al. 2020)
    TiFL: super::tifl::TiFL,
    /// As many as the deadline allows (Nishio and Yonetani 2019)
    FedCS: super::fedcs::FedCs,
}

impl Default for SelectionSpec {
    fn default() -> Self {
        super::uniform::Uniform::default().into()
    }
}
