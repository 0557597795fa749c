//! The list of compression schemes that a scenario can name.

use super::Scheme;
use crate::registry::{kind, Spec};

/// A compression scheme by its name in a scenario, with its settings.
pub type Compression = Spec<dyn Scheme>;

impl Compression {
    /// The scheme behind the name, with its settings.
    pub fn scheme(&self) -> &dyn Scheme {
        self.get()
    }
}

kind! {
    dyn Scheme, "a compression scheme";
    /// The values of largest magnitude, with error feedback (Aji and Heafield 2017, Stich et al.
    /// 2018)
    TopK: super::top_k::TopK,
    /// The values at random places, scaled to be unbiased (Stich et al. 2018)
    RandomK: super::random_k::RandomK,
    /// QSGD: values rounded to random levels between zero and the norm, unbiased (Alistarh et al.
    /// 2017)
    Qsgd: super::qsgd::Qsgd,
    /// TernGrad: −1, 0 or 1 times the largest magnitude, unbiased (Wen et al. 2017)
    Ternary: super::ternary::Ternary,
    /// The sign of each value and one mean magnitude, with error feedback (Karimireddy et al. 2019)
    Sign: super::sign::Sign,
    /// One byte for each value, between the ends of its block, unbiased (Suresh et al. 2017)
    Int8: super::int8::Int8,
}
