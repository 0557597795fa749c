//! The list of attacks that a scenario can name.

use super::Attack;
use crate::registry::{kind, Spec};

/// An attack by its name in a scenario, with its settings.
pub type AttackSpec = Spec<dyn Attack>;

impl AttackSpec {
    /// The attack behind the name, with its settings.
    pub fn attack(&self) -> &dyn Attack {
        self.get()
    }
}

kind! {
    dyn Attack, "an attack";
    /// Labels of training samples flipped: those of all classes, or of one class to another
    /// (Tolpegin et al. 2020)
    LabelFlip: super::label_flip::LabelFlip,
    /// Backdoor: pictures with a pixel trigger are labelled as one class (Gu et al. 2019)
    Backdoor: super::backdoor::Backdoor,
    /// Backdoor: unlikely, unchanged samples of one class are labelled as another (Wang et al.
    /// 2020)
    EdgeCase: super::edge_case::EdgeCase,
    /// A model with a backdoor, boosted so that it survives the average (Bagdasaryan et al. 2020)
    ModelReplacement: super::model_replacement::ModelReplacement,
    /// The update with its sign reversed (Li et al. 2019)
    SignFlip: super::sign_flip::SignFlip,
    /// The update plus Gaussian noise (Blanchard et al. 2017)
    Gaussian: super::noise::Gaussian,
    /// Gaussian noise in place of the update, about as long as it
    ScaledNoise: super::noise::ScaledNoise,
    /// An update of zeros
    Zero: super::noise::Zero,
    /// An update of uniformly drawn random values
    Random: super::noise::Random,
    /// No training: the model is reported as it was received (Fraboni et al. 2021)
    FreeRider: super::free_rider::FreeRider,
    /// No training: the model is reported as it was received, plus noise that fades (Fraboni et al.
    /// 2021)
    DisguisedFreeRider: super::free_rider::DisguisedFreeRider,
    /// One adversary behind many clients, which report nearly the same update (Fung et al. 2020)
    Sybils: super::sybils::Sybils,
    /// A Little Is Enough: a few deviations from the mean, in every value (Baruch et al. 2019)
    Alie: super::alie::Alie,
    /// Inner product manipulation: a multiple of the mean, reversed (Xie et al. 2020)
    Ipm: super::ipm::Ipm,
    /// Min-Max: as far from the mean as two honest updates are from each other (Shejwalkar and
    /// Houmansadr 2021)
    MinMax: super::min_distance::MinMax,
    /// Min-Sum: as far, in sum of distances, as the most distant honest update (Shejwalkar and
    /// Houmansadr 2021)
    MinSum: super::min_distance::MinSum,
    /// Reported class scores negated, or moved on by one class
    LogitPoisoning: super::logit_poisoning::LogitPoisoning,
}
