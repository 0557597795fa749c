//! The list of compression schemes: what a scenario can name.

use super::Scheme;
use crate::registry::{kind, Spec};

/// A compression scheme by its name in a scenario, with its settings.
pub type Compression = Spec<dyn Scheme>;

impl Compression {
    /// What is behind the name.
    pub fn scheme(&self) -> &dyn Scheme {
        self.get()
    }
}

kind! {
    dyn Scheme, "a compression scheme";
    /// The values of largest magnitude, with error feedback (Aji and Heafield 2017, Stich et al. 2018)
    TopK: super::top_k::TopK,
    /// Values at random places, scaled to be unbiased (Stich et al. 2018)
    RandomK: super::random_k::RandomK,
    /// Random levels between zero and the norm, unbiased (Alistarh et al. 2017)
    Qsgd: super::qsgd::Qsgd,
    /// Minus one, zero, one times the greatest, unbiased (Wen et al. 2017)
    Ternary: super::ternary::Ternary,
    /// Signs and a mean magnitude, with error feedback (Karimireddy et al. 2019)
    Sign: super::sign::Sign,
    /// A byte a value between the ends of its block, unbiased (Suresh et al. 2017)
    Int8: super::int8::Int8,
}
