//! The layers of a network as JSON, with all that is needed to build it elsewhere.

use super::names::torch_name;
use crate::model::{Layer, LayerSpec, Layout, Model};
use crate::registry::Spec;
use serde::Serialize;
use serde_json::{json, Map, Value};

/// What `architecture.json` says of a network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Architecture {
    /// `shoal architecture`.
    pub format: &'static str,
    /// Of the form of this file.
    pub version: u32,
    /// Share of the hidden units that the full network has.
    pub size: f64,
    /// Shape of one sample.
    pub input: Vec<usize>,
    /// Number of scores.
    pub classes: usize,
    /// Number of values in all tensors.
    pub parameters: usize,
    /// What the network takes of a sample: `(value · scale − mean) / std`, channel by channel.
    #[serde(rename = "normalisation", skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// The layers, each with the numbers of its inputs and outputs.
    pub layers: Vec<Value>,
    /// The tensors in the order of the layers.
    pub tensors: Vec<Tensor>,
}

/// How samples as they are stored are normalised.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inputs {
    /// Factor on the stored value.
    pub scale: f32,
    /// One mean a channel, or a single one for all.
    pub mean: Vec<f32>,
    /// Standard deviations, as many.
    pub std: Vec<f32>,
}

/// A tensor of the network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tensor {
    /// Its name in PyTorch and in the file of weights.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Architecture {
    /// Of a network that has `size` of the hidden units of the full one.
    pub fn of(model: &Model, size: f64) -> Self {
        let layout = model.layout();
        Self {
            format: "shoal architecture",
            version: 1,
            size,
            input: model.input().to_vec(),
            classes: model.classes(),
            parameters: model.parameters(),
            inputs: None,
            layers: list(model.layers(), "layers", layout),
            tensors: layout
                .entries()
                .iter()
                .map(|entry| Tensor {
                    name: torch_name(entry),
                    shape: entry.shape.clone(),
                })
                .collect(),
        }
    }
}

fn list(layers: &[LayerSpec], path: &str, layout: &Layout) -> Vec<Value> {
    let each = layers.iter().enumerate();
    each.map(|(index, layer)| one(layer, &format!("{path}[{index}]"), layout))
        .collect()
}

/// A layer by its name in a scenario, its fields with their defaults filled in, and the channels or
/// features that it takes and gives, where it has weights.
fn one(layer: &LayerSpec, path: &str, layout: &Layout) -> Value {
    let weight = format!("{path}.weight");
    let entry = layout.entries().iter().find(|entry| entry.name == weight);
    let dim = |at: usize| entry.and_then(|entry| entry.shape.get(at)).copied();
    let (out, inputs) = (dim(0).unwrap_or(0), dim(1).unwrap_or(0));
    let fields = match layer {
        LayerSpec::Conv {
            kernel,
            stride,
            padding,
            bias,
            ..
        } => json!({
            "in": inputs, "out": out, "kernel": kernel, "stride": stride, "padding": padding, "bias": bias
        }),
        LayerSpec::Dense(_, bias) => json!({ "in": inputs, "out": out, "bias": bias }),
        LayerSpec::MaxPool { size, stride } | LayerSpec::AvgPool { size, stride } => {
            json!({ "size": size, "stride": stride.unwrap_or(*size) })
        }
        LayerSpec::Dropout { rate } | LayerSpec::Scaler { rate } => json!({ "rate": rate }),
        LayerSpec::GroupNorm { groups } => json!({ "groups": groups, "channels": out }),
        LayerSpec::BatchNorm => json!({ "channels": out }),
        LayerSpec::Residual { body, shortcut } => json!({
            "body": list(body, &format!("{path}.body"), layout),
            "shortcut": list(shortcut, &format!("{path}.shortcut"), layout),
        }),
        LayerSpec::Exit { head } => {
            json!({ "head": list(head, &format!("{path}.head"), layout) })
        }
        LayerSpec::Other(spec) => settings(spec, path, layout),
        LayerSpec::Relu
        | LayerSpec::Tanh
        | LayerSpec::Sigmoid
        | LayerSpec::GlobalAvgPool
        | LayerSpec::Flatten => Value::Object(Map::new()),
    };
    let mut said = Map::from_iter([("layer".to_string(), layer.name().into())]);
    if let Value::Object(fields) = fields {
        said.extend(fields);
    }
    Value::Object(said)
}

/// The settings of a layer of the registry, and the shapes of its tensors by their names. The settings are
/// written as `{"PRelu": {"slope": 0.25}}`.
fn settings(spec: &Spec<dyn Layer>, path: &str, layout: &Layout) -> Value {
    let written = serde_json::to_value(spec).unwrap_or_default();
    let mut fields = match written.get(spec.name()) {
        Some(Value::Object(fields)) => fields.clone(),
        _ => Map::new(),
    };
    let tensors = layout.entries().iter().filter_map(|entry| {
        let name = entry.name.strip_prefix(path)?.strip_prefix('.')?;
        Some((name.to_string(), json!(entry.shape)))
    });
    fields.insert("tensors".into(), Value::Object(tensors.collect()));
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gelu, PRelu};

    #[test]
    fn layers_say_what_they_take_and_give_however_deep_they_are() {
        let layers = [
            LayerSpec::conv(4, 3, 1),
            LayerSpec::GroupNorm { groups: 2 },
            LayerSpec::Residual {
                body: vec![LayerSpec::conv(6, 1, 0)],
                shortcut: vec![LayerSpec::Conv {
                    out: 6,
                    kernel: 1,
                    stride: 1,
                    padding: 0,
                    bias: false,
                }],
            },
            LayerSpec::max_pool(2),
            LayerSpec::other(PRelu { slope: 0.5 }),
            LayerSpec::other(Gelu {}),
            LayerSpec::Flatten,
            LayerSpec::dense(5),
        ];
        let model = Model::build(&layers, &[3, 4, 4], 5).unwrap();
        let said = serde_json::to_value(Architecture::of(&model, 0.5)).unwrap();
        assert_eq!(said["size"], 0.5);
        assert_eq!(said["input"], json!([3, 4, 4]));
        assert_eq!(
            said["layers"],
            json!([
                {"layer": "Conv", "in": 3, "out": 4, "kernel": 3, "stride": 1, "padding": 1, "bias": true},
                {"layer": "GroupNorm", "groups": 2, "channels": 4},
                {"layer": "Residual",
                 "body": [{"layer": "Conv", "in": 4, "out": 6, "kernel": 1, "stride": 1, "padding": 0, "bias": true}],
                 "shortcut": [{"layer": "Conv", "in": 4, "out": 6, "kernel": 1, "stride": 1, "padding": 0, "bias": false}]},
                {"layer": "MaxPool", "size": 2, "stride": 2},
                {"layer": "PRelu", "slope": 0.5, "tensors": {"weight": [6]}},
                {"layer": "Gelu", "tensors": {}},
                {"layer": "Flatten"},
                {"layer": "Dense", "in": 24, "out": 5, "bias": true},
            ])
        );
        let shapes = model.layout().entries().iter().map(|e| json!(e.shape));
        let told = said["tensors"].as_array().unwrap().iter();
        assert!(told.map(|tensor| tensor["shape"].clone()).eq(shapes));
    }
}
