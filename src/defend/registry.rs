//! The list of defences: what a scenario can name.

use super::Defence;
use crate::registry::{kind, Spec};

/// A defence by its name in a scenario, with its settings.
pub type DefenceSpec = Spec<dyn Defence>;

impl DefenceSpec {
    /// What is behind the name.
    pub fn defence(&self) -> &dyn Defence {
        self.get()
    }
}

kind! {
    dyn Defence, "a defence";
    /// Long updates scaled down to a bound (Sun et al. 2019)
    NormClipping: super::clipping::NormClipping,
    /// Coordinate-wise median (Yin et al. 2018)
    Median: super::median::Median,
    /// Coordinate-wise mean without the extremes (Yin et al. 2018)
    TrimmedMean: super::median::TrimmedMean,
    /// Least sum of distances, by smoothed Weiszfeld steps (Pillutla et al. 2022)
    GeometricMedian: super::geometric_median::GeometricMedian,
    /// The update nearest to its neighbours (Blanchard et al. 2017)
    Krum: super::krum::Krum,
    /// The mean of the best by Krum's score (Blanchard et al. 2017)
    MultiKrum: super::krum::MultiKrum,
    /// Repeated Krum, then a trimmed mean (El Mhamdi et al. 2018)
    Bulyan: super::bulyan::Bulyan,
    /// Trust in what points the way of the server's own update (Cao et al. 2021)
    FLTrust: super::fltrust::FlTrust,
    /// Clipping around the last aggregate (Karimireddy et al. 2021)
    CentredClipping: super::centred_clipping::CentredClipping,
    /// Outliers along the first singular vector left out (Shejwalkar and Houmansadr 2021)
    DnC: super::dnc::Dnc,
    /// Clients that always agree count for little (Fung et al. 2020)
    FoolsGold: super::foolsgold::FoolsGold,
    /// Another defence over means of random buckets (Karimireddy et al. 2022)
    Bucketing: super::bucketing::Bucketing,
    /// Norm clipping and a little noise (Sun et al. 2019)
    WeakDp: super::weak_dp::WeakDp,
    /// One vote a client on every value's sign (Bernstein et al. 2019)
    SignMajority: super::sign_majority::SignMajority,
}
