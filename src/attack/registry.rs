//! The list of attacks: what a scenario can name.

use super::Attack;
use crate::registry::{kind, Spec};

/// An attack by its name in a scenario, with its settings.
pub type AttackSpec = Spec<dyn Attack>;

impl AttackSpec {
    /// What is behind the name.
    pub fn attack(&self) -> &dyn Attack {
        self.get()
    }
}

kind! {
    dyn Attack, "an attack";
    /// Labels changed: all, or one class to another (Tolpegin et al. 2020)
    LabelFlip: super::label_flip::LabelFlip,
    /// A pixel trigger that stands for a class (Gu et al. 2019)
    Backdoor: super::backdoor::Backdoor,
    /// Unlikely samples taken for another class (Wang et al. 2020)
    EdgeCase: super::edge_case::EdgeCase,
    /// A backdoored model, boosted to survive the average (Bagdasaryan et al. 2020)
    ModelReplacement: super::model_replacement::ModelReplacement,
    /// The update reversed (Li et al. 2019)
    SignFlip: super::sign_flip::SignFlip,
    /// Gaussian noise on the update (Blanchard et al. 2017)
    Gaussian: super::noise::Gaussian,
    /// Gaussian noise as long as the update, in its place
    ScaledNoise: super::noise::ScaledNoise,
    /// No change at all
    Zero: super::noise::Zero,
    /// Random values
    Random: super::noise::Random,
    /// The model as it was received (Fraboni et al. 2021)
    FreeRider: super::free_rider::FreeRider,
    /// The model as it was received, with noise that fades (Fraboni et al. 2021)
    DisguisedFreeRider: super::free_rider::DisguisedFreeRider,
    /// One adversary under many names (Fung et al. 2020)
    Sybils: super::sybils::Sybils,
    /// A few deviations from the mean, in every value (Baruch et al. 2019)
    Alie: super::alie::Alie,
    /// Against the mean's direction (Xie et al. 2020)
    Ipm: super::ipm::Ipm,
    /// As far as two honest updates are apart (Shejwalkar and Houmansadr 2021)
    MinMax: super::min_distance::MinMax,
    /// As far, in sum, as the loneliest honest update (Shejwalkar and Houmansadr 2021)
    MinSum: super::min_distance::MinSum,
    /// Class scores negated or permuted
    LogitPoisoning: super::logit_poisoning::LogitPoisoning,
}
