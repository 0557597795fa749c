//! The list of compression schemes: what a scenario can name.

use super::Scheme;
use serde::{Deserialize, Serialize};

macro_rules! schemes {
    ($($(#[doc = $about:literal])+ $name:ident: $path:ty,)+) => {
        /// A scheme by its name in a scenario, with its parameters.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Compression {
            $($(#[doc = $about])+ $name($path),)+
        }

        impl Compression {
            /// Every scheme: its name, what it is, and its source.
            pub const ALL: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($about),+)),)+];

            /// The scheme behind the name.
            pub fn scheme(&self) -> &dyn Scheme {
                match self {
                    $(Self::$name(scheme) => scheme,)+
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

schemes! {
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
