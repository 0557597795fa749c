//! The list of policies: what a scenario can name.

use super::Selection;
use serde::{Deserialize, Serialize};

macro_rules! policies {
    ($($(#[doc = $about:literal])+ $name:ident: $path:ty,)+) => {
        /// A policy by its name in a scenario, with its parameters.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum SelectionSpec {
            $($(#[doc = $about])+ $name($path),)+
        }

        impl SelectionSpec {
            /// Every policy: its name, what it is, and its source.
            pub const ALL: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($about),+)),)+];

            /// The policy behind the name.
            pub fn selection(&self) -> &dyn Selection {
                match self {
                    $(Self::$name(selection) => selection,)+
                }
            }

            /// The name.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)+
                }
            }
        }
    };
}

policies! {
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
        Self::Uniform(super::uniform::Uniform::default())
    }
}
