//! A module of the user's own, and what cannot be done with one.

use super::Resolver;
use crate::data::DataSummary;
use crate::learn::Precision;
use crate::method::MethodSpec;
use crate::model::{Initializer, Model, Script};
use crate::quantity::Probability;
use crate::scenario::file::TorchScriptFile;
use crate::scenario::{Architecture, Member, ScriptModel};

const MODEL: &str = "model";
/// Operations or values that no sample takes.
const MOST: f64 = 1e15;

impl Resolver<'_> {
    /// The network, loaded and tried; `None` where it cannot be.
    pub(super) fn module(
        &mut self,
        typed: TorchScriptFile,
        width: Probability,
        samples: &DataSummary,
    ) -> Option<Architecture> {
        if width < Probability::ONE {
            self.complain(
                "width",
                "nobody knows the layers of a TorchScript module, to make them narrower: expected 1, or a \
                 model by its layers",
            );
        }
        let counts = [
            ("flops", Some(typed.flops)),
            ("activations", typed.activations),
        ];
        for (field, count) in counts {
            if count.is_some_and(|count| !(1.0..=MOST).contains(&count)) {
                let found = count.unwrap_or_default();
                self.complain_reading(
                    &[],
                    &format!("{MODEL}.{field}"),
                    format!("expected a number from 1 to {MOST:e}, found {found}"),
                );
                return None;
            }
        }
        let path = self.base.join(&typed.file);
        let module = match Script::open(&path, &samples.shape, samples.classes) {
            Ok(module) => module,
            Err(error) => {
                let message = format!("{}: {error}", path.display());
                self.complain(&format!("{MODEL}.file"), message);
                return None;
            }
        };
        let parameters = module.initial().len();
        let (flops, activations) = (typed.flops, typed.activations);
        // In range, as was just seen.
        let (flops, activations) = (
            flops as u64,
            activations.map_or(parameters as u64, |count| count as u64),
        );
        let costs = (flops, activations);
        let model = Model::of_script(&module, &samples.shape, samples.classes, costs);
        Some(Architecture {
            preset: None,
            init: Initializer::default(),
            weights: None,
            freeze: Vec::new(),
            layers: Vec::new(),
            script: Some(ScriptModel {
                file: typed.file,
                digest: format!("{:016x}", module.digest()),
                flops,
                activations,
                module,
            }),
            parameters,
            bytes: model.layout().bytes(),
            forward_flops: model.forward_flops(),
            training_flops: model.training_flops(),
        })
    }

    /// Complains of what has to know the layers of a network, where nobody does.
    pub(super) fn module_in(
        &mut self,
        model: Option<&Architecture>,
        method: &MethodSpec,
        population: &[Member],
    ) {
        let Some(model) = model.filter(|model| model.script.is_some()) else {
            return;
        };
        let (name, method) = (method.name(), method.method());
        let why = match method.begins_with_one() {
            true => method.reads_layers(),
            false => Some("its clients draw networks of their own"),
        };
        if let Some(why) = why {
            self.complain_reading(
                &[MODEL],
                "method",
                format!(
                    "{name} has to know the layers of the network, and those of a TorchScript module are not \
                     known: {why}; expected a method that averages models, such as FedAvg, or a model by its \
                     layers"
                ),
            );
        }
        if self.document.has("init") && model.weights.is_none() {
            self.complain_reading(
                &[MODEL],
                "init",
                "a TorchScript module begins with the weights in its file: expected no rule to draw them by, \
                 or File(\"w.safetensors\")",
            );
        }
        for (index, member) in population.iter().enumerate() {
            let group = &member.group;
            if group.size.ratios().iter().any(|&ratio| ratio < 1.0) {
                self.complain_reading(
                    &[MODEL],
                    &format!("population[{index}].size"),
                    "nobody knows the units of a TorchScript module, to leave some out: expected 1, or a \
                     model by its layers",
                );
            }
            if group.training.precision != Precision::Single {
                let own = format!("population[{index}].training.precision");
                let path = match self.document.has(&own) {
                    true => own.as_str(),
                    false => "training.precision",
                };
                self.complain_reading(
                    &[MODEL, "training"],
                    path,
                    "a TorchScript module computes as its code says: expected Single",
                );
            }
        }
    }
}
