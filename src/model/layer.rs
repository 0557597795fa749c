//! One layer, as a scenario writes it.
//!
//! - `open`: what a layer of its own file is, here or in another crate; `registry`: their list
//! - `reading`: the variants of [`LayerSpec`] and that list under one set of names
//! - one file for each layer of the list

mod gelu;
mod layer_norm;
mod open;
mod prelu;
mod reading;
mod registry;

pub use gelu::Gelu;
pub use layer_norm::LayerNorm;
pub use open::{Layer, Start, Tensors};
pub use prelu::PRelu;

use crate::registry::Spec;
use serde::{Deserialize, Serialize};

/// One layer of a network. Spatial sizes are square; images are `[channels, height, width]`.
///
/// In a scenario: `[Conv(out: 32, kernel: 5, padding: 2), Relu, MaxPool(size: 2), Flatten,
/// Dense(512), Relu, Dense(10)]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
#[non_exhaustive]
pub enum LayerSpec {
    /// Two-dimensional convolution (cross-correlation).
    Conv {
        /// Output channels.
        out: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// Step between positions.
        #[serde(default = "one")]
        stride: usize,
        /// Zeros added on every side.
        #[serde(default)]
        padding: usize,
        /// Whether there is a bias per channel.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Fully connected layer: number of outputs, and whether there is a bias (there is by default).
    Dense(usize, #[serde(default = "yes")] bool),
    /// max(0, x).
    Relu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Largest value of each window.
    MaxPool {
        /// Height and width of the window.
        size: usize,
        /// Step between windows; the window's size unless given.
        #[serde(default)]
        stride: Option<usize>,
    },
    /// Mean of each window.
    AvgPool {
        /// Height and width of the window.
        size: usize,
        /// Step between windows; the window's size unless given.
        #[serde(default)]
        stride: Option<usize>,
    },
    /// Mean over all positions: `[channels, height, width]` becomes `[channels]`.
    GlobalAvgPool,
    /// Any shape to one dimension.
    Flatten,
    /// In training, zeroes each value with probability `rate` and scales the rest by 1/(1 − rate).
    Dropout {
        /// Share of values dropped, in [0, 1); kept to 1/65536.
        rate: f64,
    },
    /// In training, divides by `rate`; does nothing in evaluation. Keeps the activations of a
    /// sub-model of width `rate` at the scale that the full network has (HeteroFL's scaler, Diao et
    /// al. 2021).
    Scaler {
        /// What is divided by, in (0, 1].
        rate: f64,
    },
    /// Group normalisation (Wu and He, 2018) with a learned scale and shift per channel.
    GroupNorm {
        /// Number of groups; must divide the channels.
        groups: usize,
    },
    /// Batch normalisation with a learned scale and shift per channel. Training normalises by the
    /// batch and keeps no running average; evaluation normalises by a mean and a mean square of each
    /// channel that are measured. When local training is done, one more pass over the client's samples
    /// measures them, and they travel with the model and are averaged like it. Where a method merges
    /// sub-models of different sizes, they are measured on the aggregated model instead, before it is
    /// evaluated (static batch normalisation, Diao et al. 2021, section 3).
    BatchNorm,
    /// `body(x) + shortcut(x)`; an empty shortcut is the identity.
    Residual {
        /// The learned branch.
        body: Vec<LayerSpec>,
        /// The other branch.
        #[serde(default)]
        shortcut: Vec<LayerSpec>,
    },
    /// A classifier on the way (an early exit): passes its input on as it is, and `head` gives class
    /// scores from it. A network's scores are the mean of those of all its exits and of its last
    /// layer.
    Exit {
        /// From the value here to one score a class.
        head: Vec<LayerSpec>,
    },
    /// A layer of the registry: `PRelu(slope: 0.25)`, or one that another crate has added.
    #[serde(skip)]
    Other(Spec<dyn Layer>),
}

const fn one() -> usize {
    1
}

const fn yes() -> bool {
    true
}

impl LayerSpec {
    /// The variants: each with its name, and what it is.
    pub const ALL: &'static [(&'static str, &'static str)] = &[
        ("Conv", "Two-dimensional convolution"),
        ("Dense", "Fully connected layer"),
        ("Relu", "max(0, x)"),
        ("Tanh", "Hyperbolic tangent"),
        ("Sigmoid", "Logistic function"),
        ("MaxPool", "Largest value of each window"),
        ("AvgPool", "Mean of each window"),
        ("GlobalAvgPool", "Mean over all positions of a channel"),
        ("Flatten", "Any shape to one dimension"),
        (
            "Dropout",
            "Values dropped at random in training (Srivastava et al. 2014)",
        ),
        (
            "Scaler",
            "Division by a rate in training (Diao et al. 2021, HeteroFL)",
        ),
        (
            "GroupNorm",
            "Normalisation over groups of channels (Wu and He 2018)",
        ),
        (
            "BatchNorm",
            "Normalisation by the batch; evaluation by measured statistics",
        ),
        ("Residual", "A branch added to its input (He et al. 2016)"),
        ("Exit", "A classifier on the way"),
    ];

    /// A convolution of stride 1, with bias.
    pub const fn conv(out: usize, kernel: usize, padding: usize) -> Self {
        Self::Conv {
            out,
            kernel,
            stride: 1,
            padding,
            bias: true,
        }
    }

    /// A layer of this crate that is in the registry.
    pub fn other(layer: impl Into<Spec<dyn Layer>>) -> Self {
        Self::Other(layer.into())
    }

    /// A fully connected layer with bias.
    pub const fn dense(out: usize) -> Self {
        Self::Dense(out, true)
    }

    /// Max pooling over disjoint windows.
    pub const fn max_pool(size: usize) -> Self {
        Self::MaxPool { size, stride: None }
    }

    /// The variant's name, as a scenario writes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Conv { .. } => "Conv",
            Self::Dense(..) => "Dense",
            Self::Relu => "Relu",
            Self::Tanh => "Tanh",
            Self::Sigmoid => "Sigmoid",
            Self::MaxPool { .. } => "MaxPool",
            Self::AvgPool { .. } => "AvgPool",
            Self::GlobalAvgPool => "GlobalAvgPool",
            Self::Flatten => "Flatten",
            Self::Dropout { .. } => "Dropout",
            Self::Scaler { .. } => "Scaler",
            Self::GroupNorm { .. } => "GroupNorm",
            Self::BatchNorm => "BatchNorm",
            Self::Residual { .. } => "Residual",
            Self::Exit { .. } => "Exit",
            Self::Other(spec) => spec.name(),
        }
    }
}

#[cfg(test)]
mod tests;
