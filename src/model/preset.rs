//! The networks that have a name.

use super::LayerSpec;
use crate::quantity::nearest;
use thiserror::Error;

/// A network with a name.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// What scenarios call it.
    pub name: &'static str,
    /// What it is, in one line.
    pub about: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    layers: fn(usize) -> Vec<LayerSpec>,
}

impl Preset {
    /// Its layers, ending in `classes` scores.
    pub fn layers(&self, classes: usize) -> Vec<LayerSpec> {
        (self.layers)(classes)
    }
}

/// A model name that no preset has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no model is called {name:?}{hint}; `shoal list models` shows all")]
pub struct UnknownModel {
    name: String,
    hint: String,
}

const PRESETS: &[Preset] = &[
    Preset {
        name: "logistic",
        about: "multinomial logistic regression",
        source: "the convex model of Li et al. 2020 (FedProx)",
        layers: |classes| vec![LayerSpec::Flatten, LayerSpec::dense(classes)],
    },
    Preset {
        name: "mlp",
        about: "two hidden layers of 200, ReLU (\"2NN\")",
        source: "McMahan et al. 2017",
        layers: |classes| {
            vec![
                LayerSpec::Flatten,
                LayerSpec::dense(200),
                LayerSpec::Relu,
                LayerSpec::dense(200),
                LayerSpec::Relu,
                LayerSpec::dense(classes),
            ]
        },
    },
    Preset {
        name: "mlp-64",
        about: "one hidden layer of 64, ReLU",
        source: "a small network for large populations",
        layers: |classes| {
            vec![
                LayerSpec::Flatten,
                LayerSpec::dense(64),
                LayerSpec::Relu,
                LayerSpec::dense(classes),
            ]
        },
    },
    Preset {
        name: "lenet5",
        about: "5×5 convolutions of 6 and 16, average pooling, dense 120 and 84, tanh",
        source: "LeCun et al. 1998, every map joined to every map",
        layers: lenet5,
    },
    Preset {
        name: "mcmahan-cnn",
        about: "5×5 convolutions of 32 and 64, each with 2×2 max pooling, dense 512",
        source: "McMahan et al. 2017, the MNIST CNN of 1,663,370 parameters",
        layers: |classes| {
            vec![
                LayerSpec::conv(32, 5, 2),
                LayerSpec::Relu,
                LayerSpec::max_pool(2),
                LayerSpec::conv(64, 5, 2),
                LayerSpec::Relu,
                LayerSpec::max_pool(2),
                LayerSpec::Flatten,
                LayerSpec::dense(512),
                LayerSpec::Relu,
                LayerSpec::dense(classes),
            ]
        },
    },
    Preset {
        name: "pfl-cifar10",
        about: "3×3 convolutions of 32 and 64, max pooling, dense 128, dropout",
        source: "pfl-research's CIFAR-10 benchmark (Granqvist et al. 2024), 1,626,442 parameters",
        layers: |classes| {
            vec![
                LayerSpec::conv(32, 3, 0),
                LayerSpec::Relu,
                LayerSpec::conv(64, 3, 0),
                LayerSpec::Relu,
                LayerSpec::max_pool(2),
                LayerSpec::Flatten,
                LayerSpec::Dropout { rate: 0.25 },
                LayerSpec::dense(128),
                LayerSpec::Relu,
                LayerSpec::Dropout { rate: 0.5 },
                LayerSpec::dense(classes),
            ]
        },
    },
    Preset {
        name: "resnet18-gn",
        about: "ResNet-18 with a 3×3 stem and group normalisation (2 groups)",
        source: "He et al. 2016; group normalisation in place of batch's as in Hsieh et al. 2020",
        layers: resnet18,
    },
    Preset {
        name: "heterofl-cnn",
        about: "3×3 convolutions of 64, 128, 256 and 512, each with batch normalisation and ReLU, 2×2 max pooling between",
        source: "the MNIST network of HeteroFL (Diao et al. 2021), 1,556,874 trained parameters",
        layers: |classes| {
            let mut layers = Vec::new();
            for (block, width) in [64, 128, 256, 512].into_iter().enumerate() {
                if block > 0 {
                    layers.push(LayerSpec::max_pool(2));
                }
                layers.extend([
                    LayerSpec::conv(width, 3, 1),
                    LayerSpec::BatchNorm,
                    LayerSpec::Relu,
                ]);
            }
            layers.extend([LayerSpec::GlobalAvgPool, LayerSpec::dense(classes)]);
            layers
        },
    },
    Preset {
        name: "fedconv-mnist",
        about: "3×3 convolutions of 16 and 32, each with 2×2 max pooling",
        source: "the MNIST network of FedConv (Shen et al. 2024), 20,490 parameters",
        layers: |classes| {
            vec![
                LayerSpec::conv(16, 3, 1),
                LayerSpec::Relu,
                LayerSpec::max_pool(2),
                LayerSpec::conv(32, 3, 1),
                LayerSpec::Relu,
                LayerSpec::max_pool(2),
                LayerSpec::Flatten,
                LayerSpec::dense(classes),
            ]
        },
    },
];

/// Every preset, in the order they are listed.
pub fn presets() -> &'static [Preset] {
    PRESETS
}

/// The preset called `name`.
///
/// # Errors
/// When there is none; names the nearest.
pub fn preset(name: &str) -> Result<&'static Preset, UnknownModel> {
    PRESETS
        .iter()
        .find(|p| p.name == name)
        .ok_or_else(|| UnknownModel {
            name: name.to_owned(),
            hint: nearest(name, PRESETS.iter().map(|p| p.name))
                .map(|near| format!("; did you mean {near:?}?"))
                .unwrap_or_default(),
        })
}

fn lenet5(classes: usize) -> Vec<LayerSpec> {
    let pool = LayerSpec::AvgPool {
        size: 2,
        stride: None,
    };
    vec![
        LayerSpec::conv(6, 5, 2),
        LayerSpec::Tanh,
        pool.clone(),
        LayerSpec::conv(16, 5, 0),
        LayerSpec::Tanh,
        pool,
        LayerSpec::Flatten,
        LayerSpec::dense(120),
        LayerSpec::Tanh,
        LayerSpec::dense(84),
        LayerSpec::Tanh,
        LayerSpec::dense(classes),
    ]
}

fn resnet18(classes: usize) -> Vec<LayerSpec> {
    let conv = |out, kernel, stride| LayerSpec::Conv {
        out,
        kernel,
        stride,
        padding: kernel / 2,
        bias: false,
    };
    let norm = || LayerSpec::GroupNorm { groups: 2 };
    let mut layers = vec![conv(64, 3, 1), norm(), LayerSpec::Relu];
    for (stage, width) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let body = vec![
                conv(width, 3, stride),
                norm(),
                LayerSpec::Relu,
                conv(width, 3, 1),
                norm(),
            ];
            let shortcut = if stride == 2 {
                vec![conv(width, 1, 2), norm()]
            } else {
                vec![]
            };
            layers.push(LayerSpec::Residual { body, shortcut });
            layers.push(LayerSpec::Relu);
        }
    }
    layers.push(LayerSpec::GlobalAvgPool);
    layers.push(LayerSpec::dense(classes));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    fn build(name: &str, input: &[usize], classes: usize) -> Model {
        Model::build(&preset(name).unwrap().layers(classes), input, classes).unwrap()
    }

    #[test]
    fn parameter_counts_are_the_published_ones() {
        let (mnist, cifar) = (&[1, 28, 28], &[3, 32, 32]);
        assert_eq!(build("logistic", mnist, 10).parameters(), 7_850);
        assert_eq!(build("mlp", mnist, 10).parameters(), 199_210);
        assert_eq!(build("mlp-64", mnist, 10).parameters(), 50_890);
        assert_eq!(build("lenet5", mnist, 10).parameters(), 61_706);
        assert_eq!(build("mcmahan-cnn", mnist, 10).parameters(), 1_663_370);
        assert_eq!(build("pfl-cifar10", cifar, 10).parameters(), 1_626_442);
        assert_eq!(build("fedconv-mnist", mnist, 10).parameters(), 20_490);
        // 640 + 73,856 + 295,168 + 1,180,160 and 5,130, 1,920 of the norms; 1,920 statistics.
        assert_eq!(
            build("heterofl-cnn", mnist, 10).parameters(),
            1_556_874 + 1_920
        );
        // ResNet-18 for CIFAR-10 has this many with batch normalisation too: one scale and one
        // shift a channel in both.
        assert_eq!(build("resnet18-gn", cifar, 10).parameters(), 11_173_962);
    }

    #[test]
    fn a_client_update_of_the_pfl_benchmark_takes_5_06_gflop() {
        let model = build("pfl-cifar10", &[3, 32, 32], 10);
        let update = 50 * model.training_flops().0;
        assert_eq!(crate::quantity::Flops(update).to_string(), "5.06 GFLOP");
    }

    #[test]
    fn every_preset_takes_images() {
        for preset in presets() {
            for input in [&[1, 28, 28], &[3, 32, 32]] {
                assert!(
                    Model::build(&preset.layers(10), input, 10).is_ok(),
                    "{}",
                    preset.name
                );
            }
        }
    }

    #[test]
    fn a_misspelt_name_is_told_the_nearest() {
        assert_eq!(
            preset("mcmahan_cnn").unwrap_err().to_string(),
            "no model is called \"mcmahan_cnn\"; did you mean \"mcmahan-cnn\"?; `shoal list models` shows all"
        );
    }
}
