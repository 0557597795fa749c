//! Scenarios: from a RON file to a checked description of a whole run ([`crate::run`] runs it).
//!
//! Two stages, as in every careful reader of configuration: [`mod@file`] is what was typed, [`Scenario`]
//! is what it means, with every preset looked up, every default filled in and every rule checked.
//! All mistakes are reported at once, each with its place ([`crate::text`]).
//!
//! - [`mod@file`]: the fields a scenario may have
//! - `resolve`: from the one to the other
//! - [`plausible`]: what to expect of a round before it is run
//! - [`estimate`]: about what a run takes of this machine

mod classes;
pub mod estimate;
pub mod file;
mod hints;
pub mod plausible;
mod resolve;
mod sound;
mod warnings;

use crate::attack::Adversary;
use crate::data::{DataSummary, Partitioner, Source};
use crate::defend::DefenceSpec;
use crate::fault::Fault;
use crate::federation::{Compute, Evaluation, Gossip, Group, Keep, Layers, Schedule, Tier};
use crate::learn::VirtualDevice;
use crate::method::MethodSpec;
use crate::model::{Initializer, LayerSpec, Level, Model, Script};
use crate::net::LinkModel;
use crate::quantity::{Bytes, Distribution, Flops, Probability};
use crate::registry::Registry;
use crate::select::SelectionSpec;
use crate::text::{Diagnostic, Diagnostics, Document};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A scenario, checked and resolved: this says everything that can change a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scenario {
    /// What the run is called.
    pub name: String,
    /// Names every random stream.
    pub seed: u64,
    /// Where the samples come from.
    pub data: Source,
    /// What the samples are like.
    pub samples: DataSummary,
    /// Who gets which.
    pub partition: Partition,
    /// What the server holds of it.
    pub public: Option<Public>,
    /// The architecture.
    pub model: Architecture,
    /// The widths that clients may have, widest first.
    pub sizes: Vec<Width>,
    /// Who takes part.
    pub population: Vec<Member>,
    /// The server.
    pub server: Server,
    /// Servers between it and the clients, from the top down.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hierarchy: Vec<Between>,
    /// The method.
    pub method: MethodSpec,
    /// Who is asked.
    pub selection: SelectionSpec,
    /// How the server aggregates what may be adversaries'.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defence: Option<DefenceSpec>,
    /// Who attacks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub adversaries: Vec<Adversary>,
    /// The layers that it wears.
    pub layers: Layers,
    /// Who talks to whom; all with the server, where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topology: Option<Topology>,
    /// When rounds are held.
    pub schedule: Schedule,
    /// What goes wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What is measured.
    pub evaluation: Evaluation,
    /// Which clients really train.
    #[serde(skip_serializing_if = "Compute::is_real")]
    pub compute: Compute,
    /// What is kept.
    pub record: Record,
    /// When the whole state is kept, to go on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The folder that relative paths start from.
    #[serde(skip)]
    pub base: PathBuf,
    /// Where its fields stand, for what is found wrong when the run is set up.
    #[serde(skip)]
    pub(crate) places: Places,
}

/// Where the fields of a scenario stand. It is no part of what the scenario means.
#[derive(Clone)]
pub(crate) struct Places(Arc<Document>);

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Places")
    }
}

/// Who talks to whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Topology {
    /// Clients with their neighbours on a graph, without a server.
    Gossip(Gossip),
}

/// How samples are dealt to clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Partition {
    /// The rule.
    pub by: Partitioner,
    /// No client gets fewer.
    pub min_per_client: usize,
    /// Share of each client's samples that it keeps for its own evaluation.
    pub holdout: Probability,
}

/// The public set: training samples that belong to no client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Public {
    /// Share of the training samples.
    pub share: Probability,
    /// Share of the public samples that are kept for choosing.
    pub select: Probability,
}

/// A width of the model and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Width {
    /// Share of the hidden units.
    pub ratio: f64,
    /// Trainable values.
    pub parameters: usize,
    /// Size on the wire.
    pub bytes: Bytes,
    /// Operations of a training step, per sample.
    pub training_flops: Flops,
}

impl Architecture {
    /// The network, built.
    ///
    /// # Errors
    /// When layers do not fit; never for a scenario that was resolved.
    pub(crate) fn built(&self, samples: &DataSummary) -> Result<Model, crate::model::ModelError> {
        let (shape, classes) = (&samples.shape, samples.classes);
        match &self.script {
            Some(ScriptModel {
                module,
                flops,
                activations,
                ..
            }) => {
                let costs = (*flops, *activations);
                Ok(Model::of_script(module, shape, classes, costs))
            }
            None => Model::build(&self.layers, shape, classes),
        }
    }
}

/// A module of the user's, as TorchScript.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScriptModel {
    /// The file, relative to the scenario's folder.
    pub file: PathBuf,
    /// 64 bits of its content, hexadecimal.
    pub digest: String,
    /// Operations of a forward pass, per sample.
    pub flops: u64,
    /// Values that training keeps, per sample.
    pub activations: u64,
    /// The module.
    #[serde(skip)]
    pub(crate) module: Arc<Script>,
}

/// Weights in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pretrained {
    /// The file, relative to the scenario's folder.
    pub file: PathBuf,
    /// Layers and tensors that are drawn whatever the file has.
    pub draw: Vec<String>,
}

/// A network and what it costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Architecture {
    /// The preset it came from.
    pub preset: Option<String>,
    /// How its weights begin, or those of them that no file has.
    pub init: Initializer,
    /// The file that has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Pretrained>,
    /// Layers and tensors that keep the values they begin with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Its layers; none where it is a module of the user's.
    pub layers: Vec<LayerSpec>,
    /// The user's module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptModel>,
    /// Trainable values.
    pub parameters: usize,
    /// Size on the wire.
    pub bytes: Bytes,
    /// Operations of a forward pass, per sample.
    pub forward_flops: Flops,
    /// Operations of a training step, per sample.
    pub training_flops: Flops,
}

/// A group of clients and the link they have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// The clients.
    pub group: Group,
    /// Their link.
    pub link: Link,
    /// By tier of the group, where each has a link of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tier_links: Vec<Link>,
}

impl Member {
    /// Every link that some of them may have.
    pub fn links(&self) -> &[Link] {
        match self.tier_links.as_slice() {
            [] => std::slice::from_ref(&self.link),
            links => links,
        }
    }
}

/// A link, and rates that are drawn once a client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Link {
    /// What all of the group share.
    pub model: LinkModel,
    /// Rate from a client in bit/s, where it differs among them.
    pub up: Option<Distribution>,
    /// Rate to a client in bit/s, where it differs among them.
    pub down: Option<Distribution>,
}

/// Servers between the clients and the server, and the link that each has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Between {
    /// The servers.
    pub tier: Tier,
    /// Their link, shared by those above and below them.
    pub link: Link,
}

/// The server's device and link.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Server {
    /// Its capacity.
    pub device: VirtualDevice,
    /// Its link, shared by all who use it.
    pub link: Link,
    /// Rounds between two checkpoints of its own, from which it goes on after a crash.
    pub checkpoint_every: u32,
}

/// What is kept of a run, beside the rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// `clients.csv` and `accuracy.csv`.
    pub clients: bool,
    /// HdrHistogram logs.
    pub histograms: bool,
    /// `trace.bin`, what `shoal verify` compares with.
    pub trace: bool,
    /// `events.jsonl`.
    pub events: Option<EventFilter>,
    /// `report.html`.
    pub report: bool,
    /// The folder `models`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Keep>,
}

/// When the whole state of a run is kept. It never changes a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Checkpoint {
    /// After every so many rounds; at least 1.
    pub every: u32,
    /// The last so many checkpoints; at least 1.
    pub keep: u32,
}

/// Which events are kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventFilter {
    /// Only these kinds; all when not given.
    pub kinds: Option<Vec<String>>,
    /// Only from or to these nodes; all when not given.
    pub nodes: Option<Vec<u32>>,
}

impl Scenario {
    /// The architecture in a few words.
    pub fn model_in_words(&self) -> String {
        let name = self.model.preset.as_deref().unwrap_or("own layers");
        let size: Bytes = self.model.bytes;
        format!("{name}, {} parameters, {size}", self.model.parameters)
    }

    /// Reads, checks and resolves a file, with `overrides` such as `seed=3` applied in order.
    ///
    /// # Errors
    /// Every mistake that can be found without training, at once.
    pub fn open(path: &Path, overrides: &[String]) -> Result<Self, Diagnostics> {
        let document = Document::open(path)?;
        Self::from_document(document, path, overrides)
    }

    /// As [`Scenario::open`], with the names that `registry` has instead of those of the current registry.
    ///
    /// # Errors
    /// Every mistake that can be found without training, at once.
    pub fn open_with(
        registry: &Registry,
        path: &Path,
        overrides: &[String],
    ) -> Result<Self, Diagnostics> {
        registry.scope(|| Self::open(path, overrides))
    }

    /// As [`Scenario::open`], for text that is at hand; `path` is what errors call it and where
    /// relative paths start from.
    ///
    /// # Errors
    /// Every mistake that can be found without training, at once.
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, Diagnostics> {
        let document = Document::parse(text, path)?;
        Self::from_document(document, path, overrides)
    }

    fn from_document(
        mut document: Document,
        path: &Path,
        overrides: &[String],
    ) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::default();
        for assignment in overrides {
            if let Err(problems) = document.set(assignment) {
                diagnostics.extend(problems);
            }
        }
        document = document.with_hints(hints::hints);
        let read = document.read_mended::<file::ScenarioFile>();
        let resolved = read.value.map(|typed| {
            let sound = sound::Sound::new(&document, &read.spoilt);
            resolve::resolve(&document, sound, typed, path)
        });
        diagnostics.extend(read.mistakes);
        match resolved {
            Some(Ok(scenario)) => diagnostics.into_result(scenario),
            Some(Err(problems)) => {
                diagnostics.extend(problems);
                Err(diagnostics)
            }
            None => Err(diagnostics),
        }
    }

    /// Where relative paths of the scenario at `path` start: at its folder, and at the working directory
    /// for one from a pipe, which is in no folder of the user's.
    fn base_of(path: &Path) -> &Path {
        match Self::is_from_pipe(path) {
            true => Path::new(""),
            false => path.parent().unwrap_or(Path::new("")),
        }
    }

    pub(crate) fn is_from_pipe(path: &Path) -> bool {
        path.starts_with("/dev") || path.starts_with("/proc")
    }

    /// What is wrong with the field at `path`, or with its nearest ancestor that the file has, in
    /// `problem`'s words.
    pub(crate) fn blame(&self, path: &str, problem: impl std::fmt::Display) -> Diagnostics {
        self.complaint(path, problem).into()
    }

    /// One of several mistakes, at its place in the file.
    pub(crate) fn complaint(&self, path: &str, problem: impl std::fmt::Display) -> Diagnostic {
        self.places.0.error(path, problem.to_string())
    }

    /// Whether the file says anything at `path`.
    pub(crate) fn says(&self, path: &str) -> bool {
        self.places.0.has(path)
    }

    /// The network, built.
    ///
    /// # Errors
    /// Never for a scenario that was resolved.
    pub fn build_model(&self) -> Result<Arc<Model>, crate::model::ModelError> {
        let model = self.model.built(&self.samples)?;
        Ok(Arc::new(self.queried(model.freezing(&self.model.freeze))))
    }

    /// The network as the method has its statistics measured.
    fn queried(&self, model: Model) -> Model {
        match self.method.method().queries_statistics() {
            true => model.querying(),
            false => model,
        }
    }

    /// The networks of all widths that clients may have, widest first: `full` itself, then its
    /// sub-models as the method makes them.
    ///
    /// # Errors
    /// Never for a scenario that was resolved.
    pub fn build_levels(&self, full: &Arc<Model>) -> Result<Vec<Level>, crate::model::ModelError> {
        let ratios = self.sizes.iter().map(|width| width.ratio);
        let levels = ratios.map(|ratio| {
            let model = match ratio {
                1.0 => Arc::clone(full),
                narrower => {
                    let narrower = self.method.method().sub_model(full, narrower)?;
                    Arc::new(self.queried(narrower.freezing_as(full)))
                }
            };
            Ok(Level { ratio, model })
        });
        levels.collect()
    }

    /// The graph on which clients talk to each other, where there is no server.
    pub fn gossip(&self) -> Option<&Gossip> {
        match &self.topology {
            Some(Topology::Gossip(gossip)) => Some(gossip),
            None => None,
        }
    }

    /// Whether the new model is the mean of what clients trained, by their samples: a method that takes
    /// it, and no layer around it.
    pub fn takes_plain_means(&self) -> bool {
        self.schedule.waiting.is_none() && self.takes_what_it_is_given()
    }

    /// Whether the new model is what the server makes of the clients' models and nothing else: a mean
    /// or, where it does not wait for rounds, a step of [`crate::federation::Rule`].
    pub(crate) fn takes_what_it_is_given(&self) -> bool {
        self.method.method().is_plain_mean()
            && self.hierarchy.is_empty()
            && self.topology.is_none()
            && self.layers == Layers::default()
            && self.defence.is_none()
            && self.adversaries.is_empty()
    }

    /// Whether there is more to who is asked than equal chances: then it is told how evenly they were.
    pub fn asks_unevenly(&self) -> bool {
        !self.selection.selection().is_uniform() || self.someone_may_be_away()
    }

    /// Whether one server holds rounds with all clients: a report is used if its round is completed.
    pub fn holds_rounds_with_clients(&self) -> bool {
        self.gossip().is_none() && self.hierarchy.is_empty() && self.schedule.waiting.is_none()
    }

    /// Whether some group has an availability.
    pub fn someone_may_be_away(&self) -> bool {
        let mut groups = self.population.iter().map(|member| &member.group);
        groups.any(|group| !group.availability.is_always())
    }

    /// How many samples a client has; on average, where they are dealt.
    pub fn samples_each(&self) -> usize {
        if let Partitioner::Shared { per_client, .. } = self.partition.by {
            return per_client;
        }
        let public = self.public.map_or(0.0, |public| public.share.get());
        let private = self.samples.train as f64 * (1.0 - public);
        ((private / f64::from(self.clients().max(1))) as usize).max(1)
    }

    /// How many clients there are.
    pub fn clients(&self) -> u32 {
        self.population
            .iter()
            .map(|member| member.group.count)
            .sum()
    }
}
