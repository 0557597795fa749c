//! The architecture.

use super::Resolver;
use crate::data::DataSummary;
use crate::model::{preset, presets, Initializer, Model, Rounding};
use crate::quantity::Probability;
use crate::scenario::file::ModelFile;
use crate::scenario::Architecture;

impl Resolver<'_> {
    /// The network, checked against the samples; `None` where it does not fit them, or where they
    /// are not known.
    pub(super) fn model(
        &mut self,
        typed: ModelFile,
        width: Probability,
        samples: Option<&DataSummary>,
    ) -> Option<Architecture> {
        let (name, layers) = match typed {
            ModelFile::TorchScript(module) => {
                return self.module(module, width, samples?);
            }
            ModelFile::Layers(layers) => (None, Some(layers)),
            ModelFile::Preset(name) => match preset(&name) {
                Ok(preset) => {
                    let layers = samples.map(|samples| preset.layers(samples.classes));
                    (Some(name), layers)
                }
                Err(_) => {
                    self.reading(&[], |r| {
                        r.unknown("model", "a model", &name, presets().iter().map(|p| p.name));
                    });
                    return None;
                }
            },
        };
        let (mut layers, samples) = (layers?, samples?);
        if width < Probability::ONE {
            if let Ok(full) = Model::build(&layers, &samples.shape, samples.classes) {
                layers = full.narrowed_layers(width.get(), Rounding::Down);
            }
        }
        match Model::build(&layers, &samples.shape, samples.classes) {
            Ok(model) => Some(Architecture {
                preset: name,
                init: Initializer::default(),
                script: None,
                weights: None,
                freeze: Vec::new(),
                parameters: model.parameters(),
                bytes: model.layout().bytes(),
                forward_flops: model.forward_flops(),
                training_flops: model.training_flops(),
                layers,
            }),
            Err(error) => {
                for problem in &error.problems {
                    // A preset's layers are not in the file: the name is what can be changed.
                    let path = match (&name, problem.path.strip_prefix("layers")) {
                        (None, Some(rest)) => format!("model{rest}"),
                        _ => "model".to_string(),
                    };
                    self.complain(&path, problem.message.clone());
                }
                None
            }
        }
    }
}
