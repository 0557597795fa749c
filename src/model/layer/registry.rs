//! The list of layers that are behind a trait: what a scenario can name beside
//! [`LayerSpec`](super::LayerSpec)'s own variants.

use super::Layer;
use crate::registry::kind;

kind! {
    dyn Layer, "a layer";
    /// max(0, x) + slope · min(0, x), a learned slope for each channel (He et al. 2015)
    PRelu: super::prelu::PRelu,
    /// x · Φ(x), the Gaussian error linear unit (Hendrycks and Gimpel 2016)
    Gelu: super::gelu::Gelu,
    /// Normalisation over all values of a sample (Ba, Kiros and Hinton 2016)
    LayerNorm: super::layer_norm::LayerNorm,
}
