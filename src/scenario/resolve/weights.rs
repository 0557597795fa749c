//! How the weights begin, and which of them stay as they begin.

use super::Resolver;
use crate::data::DataSummary;
use crate::federation::Gossip;
use crate::method::MethodSpec;
use crate::model::weights::{unknown_paths, Drawn, WeightsFile};
use crate::model::{Initializer, Model};
use crate::scenario::file::InitFile;
use crate::scenario::{Architecture, Pretrained, Topology};

const INIT: &str = "init";
const FREEZE: &str = "freeze";

impl Resolver<'_> {
    /// The network with what is said of its weights. A file of weights is looked at as far as its header.
    pub(super) fn weights(
        &mut self,
        init: InitFile,
        freeze: Vec<String>,
        model: Option<Architecture>,
        samples: Option<&DataSummary>,
    ) -> Option<Architecture> {
        let (model, samples) = (model?, samples?);
        // It was built before.
        let built = model.built(samples).ok()?;
        let (init, weights) = match init {
            InitFile::PyTorch => (Initializer::PyTorch, None),
            InitFile::GlorotUniform => (Initializer::GlorotUniform, None),
            InitFile::GlorotNormal => (Initializer::GlorotNormal, None),
            InitFile::HeUniform => (Initializer::HeUniform, None),
            InitFile::HeNormal => (Initializer::HeNormal, None),
            InitFile::File { file, draw, by } => (by, Some(Pretrained { file, draw })),
        };
        if let Some(weights) = &weights {
            self.file_of_weights(weights, &built);
        }
        for (index, message) in unknown_paths(&freeze, built.layout()) {
            self.complain(&format!("{FREEZE}[{index}]"), message);
        }
        let built = built.freezing(&freeze);
        let frozen: usize = built.frozen().iter().map(|range| range.len()).sum();
        if frozen > 0 && frozen == built.parameters() {
            self.complain(
                FREEZE,
                "all of the network is frozen: expected a layer that clients can train",
            );
        }
        Some(Architecture {
            init,
            weights,
            freeze,
            ..model
        })
    }

    fn file_of_weights(&mut self, weights: &Pretrained, model: &Model) {
        for (index, message) in unknown_paths(&weights.draw, model.layout()) {
            self.complain(&format!("{INIT}.draw[{index}]"), message);
        }
        match WeightsFile::open(&self.base.join(&weights.file)) {
            Ok(file) => {
                for problem in file.problems(model.layout(), Drawn(&weights.draw)) {
                    self.complain(INIT, problem);
                }
            }
            Err(error) => self.complain_reading(&[], INIT, error.to_string()),
        }
    }

    /// Complains of methods and topologies that cannot keep what they should.
    pub(super) fn beginnings(
        &mut self,
        model: Option<&Architecture>,
        method: &MethodSpec,
        topology: Option<&Topology>,
    ) {
        let Some(model) = model else {
            return;
        };
        let name = method.name();
        if model.weights.is_some() && !method.method().begins_with_one() {
            self.complain_reading(
                &["method"],
                INIT,
                format!(
                    "the clients of {name} draw networks of their own: expected a rule to draw them by, such \
                     as PyTorch, or a method that begins with one model"
                ),
            );
        }
        if model.freeze.is_empty() {
            return;
        }
        if let Err(why) = method.method().freezes() {
            self.complain_reading(
                &["method"],
                FREEZE,
                format!("{name} cannot keep layers as they are: {why}; expected no freeze, or a method that \
                         averages models, such as FedAvg"),
            );
        }
        if let Some(Topology::Gossip(Gossip { .. })) = topology {
            self.complain_reading(
                &["topology?"],
                FREEZE,
                "without a server nothing keeps frozen layers from being mixed and rounded: expected no \
                 freeze, or no topology",
            );
        }
    }
}
