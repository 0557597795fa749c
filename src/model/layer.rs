//! One layer, as a scenario writes it.

use serde::{Deserialize, Serialize};

/// One layer of a network. Spatial sizes are square; images are `[channels, height, width]`.
///
/// In a scenario: `[Conv(out: 32, kernel: 5, padding: 2), Relu, MaxPool(size: 2), Flatten,
/// Dense(512), Relu, Dense(10)]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Batch normalisation with a learned scale and shift per channel and **static** statistics
    /// (HeteroFL, Diao et al. 2021, section 3): training normalises by the batch and keeps no running
    /// average; when local training is done, one more pass over the client's samples measures mean
    /// and mean square of each channel, which travel with the model and are averaged like it.
    /// Evaluation normalises by them.
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
}

const fn one() -> usize {
    1
}

const fn yes() -> bool {
    true
}

impl LayerSpec {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_list_reads_as_scenarios_write_it() {
        let text =
            "[Conv(out: 32, kernel: 5, padding: 2), Relu, MaxPool(size: 2), Flatten, Dense(512), \
                    Dense(10, false), Residual(body: [Tanh])]";
        let layers: Vec<LayerSpec> = ron::from_str(text).unwrap();
        assert_eq!(
            layers,
            [
                LayerSpec::conv(32, 5, 2),
                LayerSpec::Relu,
                LayerSpec::max_pool(2),
                LayerSpec::Flatten,
                LayerSpec::dense(512),
                LayerSpec::Dense(10, false),
                LayerSpec::Residual {
                    body: vec![LayerSpec::Tanh],
                    shortcut: vec![]
                },
            ]
        );
    }

    #[test]
    fn what_is_written_reads_back_in_another_format() {
        let layers = vec![
            LayerSpec::conv(3, 3, 1),
            LayerSpec::Dropout { rate: 0.25 },
            LayerSpec::dense(4),
        ];
        let text = serde_json::to_string(&layers).unwrap();
        assert_eq!(
            serde_json::from_str::<Vec<LayerSpec>>(&text).unwrap(),
            layers
        );
    }

    #[test]
    fn a_field_that_does_not_exist_is_refused() {
        let error = ron::from_str::<Vec<LayerSpec>>("[Conv(out: 3, kernal: 3)]").unwrap_err();
        assert!(error.to_string().contains("kernal"), "{error}");
    }
}
