//! The list of defences that a scenario can name.

use super::Defence;
use crate::registry::{kind, Spec};

/// A defence by its name in a scenario, with its settings.
pub type DefenceSpec = Spec<dyn Defence>;

impl DefenceSpec {
    /// The defence behind the name, with its settings.
    pub fn defence(&self) -> &dyn Defence {
        self.get()
    }
}

kind! {
    dyn Defence, "a defence";
    /// Norm clipping: updates longer than a bound are scaled down to it, then averaged (Sun et al.
    /// 2019)
    NormClipping: super::clipping::NormClipping,
    /// Coordinate-wise median of the updates (Yin et al. 2018)
    Median: super::median::Median,
    /// Coordinate-wise mean without the largest and the smallest values (Yin et al. 2018)
    TrimmedMean: super::median::TrimmedMean,
    /// The point with the least sum of distances to the updates, by smoothed Weiszfeld steps
    /// (Pillutla et al. 2022)
    GeometricMedian: super::geometric_median::GeometricMedian,
    /// Krum: the one update that is nearest to its neighbours (Blanchard et al. 2017)
    Krum: super::krum::Krum,
    /// Multi-Krum: the mean of the updates with the best Krum scores (Blanchard et al. 2017)
    MultiKrum: super::krum::MultiKrum,
    /// Bulyan: updates chosen by repeated Krum, then a coordinate-wise trimmed mean (El Mhamdi et
    /// al. 2018)
    Bulyan: super::bulyan::Bulyan,
    /// FLTrust: updates weighted by how well they agree with the server's own update on a public
    /// set (Cao et al. 2021)
    FLTrust: super::fltrust::FlTrust,
    /// Updates clipped around the aggregate of the last round (Karimireddy et al. 2021)
    CentredClipping: super::centred_clipping::CentredClipping,
    /// Divide and conquer: outliers along the first singular vector are left out (Shejwalkar and
    /// Houmansadr 2021)
    DnC: super::dnc::Dnc,
    /// FoolsGold: clients whose updates always point in one common direction get little weight
    /// (Fung et al. 2020)
    FoolsGold: super::foolsgold::FoolsGold,
    /// Another defence, applied to the means of random buckets of reports (Karimireddy et al. 2022)
    Bucketing: super::bucketing::Bucketing,
    /// Weak differential privacy: norm clipping and a little Gaussian noise on the mean (Sun et al.
    /// 2019)
    WeakDp: super::weak_dp::WeakDp,
    /// Majority vote: every client has one vote on the sign of every value (Bernstein et al. 2019)
    SignMajority: super::sign_majority::SignMajority,
}
