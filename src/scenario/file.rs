//! The scenario as typed: what may stand in the file, with its defaults, before any rule that spans
//! fields is checked.
//!
//! One struct or enum per bracket of the file. Names that a preset can have are read as text here
//! and looked up when the scenario is resolved.

mod adversary;
mod availability;
mod data;
mod faults;
mod group;
mod hierarchy;
mod links;
mod preset_or;
mod size;
mod topology;
mod traits;
mod waiting;
mod who;

pub use adversary::{AdversaryFile, RoundsFile};
pub use availability::{AvailabilityFile, LeavingFile};
pub use data::{PartitionFile, RuleFile};
pub use faults::{CutFile, FaultFile, KindFile, WhenFile};
pub use group::{BudgetFile, DeviceFields, GroupFile, ServerFile, TrainingFile};
pub use hierarchy::TierFile;
pub use links::{
    CongestionFile, ConnectionFile, HandshakeFile, LinkFields, LossFile, SharingFile, TransportFile,
};
pub use preset_or::PresetOr;
pub use size::{PublicFile, SizeFile};
pub use topology::{GossipFile, GraphFile, TopologyFile};
pub use traits::{CorrelationFile, DeviceTierFile, TraceFile};
pub use waiting::{FedAsyncFile, FedBuffFile, WaitingFile};
pub use who::WhoFile;

use crate::compress::Compression;
use crate::data::Source;
use crate::defend::DefenceSpec;
use crate::federation::Keep;
use crate::method::MethodSpec;
use crate::model::{Initializer, LayerSpec};
use crate::privacy::secagg::SecureAggregation;
use crate::privacy::Privacy;
use crate::select::SelectionSpec;
use crate::text::fields::{Duration, PositiveFraction};
use serde::de::{self, Deserializer, EnumAccess, SeqAccess, VariantAccess, Visitor};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// A whole scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Scenario")]
pub struct ScenarioFile {
    /// What the run is called; the file's name without its ending when not given.
    #[serde(default)]
    pub name: Option<String>,
    /// Names every random stream.
    #[serde(default = "one")]
    pub seed: u64,
    /// Where the samples come from.
    pub data: Source,
    /// Who gets which.
    #[serde(default)]
    pub partition: PartitionFile,
    /// A preset's name, or a list of layers.
    pub model: ModelFile,
    /// How its weights begin.
    #[serde(default)]
    pub init: InitFile,
    /// Layers or tensors that nobody trains.
    #[serde(default)]
    pub freeze: Vec<String>,
    /// Share of the width of every hidden layer.
    #[serde(default = "all")]
    pub width: PositiveFraction,
    /// What the server holds of the training samples.
    #[serde(default)]
    pub public: Option<PublicFile>,
    /// How clients train, unless their group says otherwise.
    #[serde(default)]
    pub training: TrainingFile,
    /// Who takes part.
    pub population: Vec<GroupFile>,
    /// The server.
    #[serde(default)]
    pub server: ServerFile,
    /// Servers between it and the clients, from the top down.
    #[serde(default)]
    pub hierarchy: Vec<TierFile>,
    /// The method.
    #[serde(default)]
    pub method: MethodSpec,
    /// Who is asked.
    #[serde(default)]
    pub selection: SelectionSpec,
    /// How the server aggregates what may be adversaries'.
    #[serde(default)]
    pub defence: Option<DefenceSpec>,
    /// Who attacks.
    #[serde(default)]
    pub adversaries: Vec<AdversaryFile>,
    /// How reports are compressed.
    #[serde(default)]
    pub compression: Option<Compression>,
    /// What differential privacy reports have.
    #[serde(default)]
    pub privacy: Option<Privacy>,
    /// How reports are added up in secret.
    #[serde(default)]
    pub secure_aggregation: Option<SecureAggregation>,
    /// Who talks to whom; all with the server, when not given.
    #[serde(default)]
    pub topology: Option<TopologyFile>,
    /// When rounds are held.
    #[serde(default)]
    pub schedule: ScheduleFile,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<FaultFile>,
    /// What is measured.
    #[serde(default)]
    pub evaluation: EvaluationFile,
    /// Which clients really train.
    #[serde(default)]
    pub compute: ComputeFile,
    /// What is kept.
    #[serde(default)]
    pub record: RecordFile,
    /// When the whole state is kept, to go on from; never, when not given.
    #[serde(default)]
    pub checkpoint: Option<CheckpointFile>,
}

const fn one() -> u64 {
    1
}

fn all() -> PositiveFraction {
    PositiveFraction(crate::quantity::Probability::ONE)
}

/// How weights begin: a rule to draw them by, or a file that has them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename = "Initializer")]
pub enum InitFile {
    /// [`Initializer::PyTorch`].
    #[default]
    PyTorch,
    /// [`Initializer::GlorotUniform`].
    GlorotUniform,
    /// [`Initializer::GlorotNormal`].
    GlorotNormal,
    /// [`Initializer::HeUniform`].
    HeUniform,
    /// [`Initializer::HeNormal`].
    HeNormal,
    /// As in a safetensors file, relative to the scenario's folder.
    File {
        /// The file.
        file: PathBuf,
        /// Layers or tensors that are drawn whatever the file has.
        #[serde(default)]
        draw: Vec<String>,
        /// The rule that those are drawn by.
        #[serde(default)]
        by: Initializer,
    },
}

/// A model by name, or by its layers.
#[derive(Debug, Clone)]
pub enum ModelFile {
    /// The name of a preset.
    Preset(String),
    /// Layers, first to last.
    Layers(Vec<LayerSpec>),
    /// A module of the user's.
    TorchScript(TorchScriptFile),
}

/// A TorchScript module, and what nobody can read off it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "TorchScript")]
pub struct TorchScriptFile {
    /// The file, relative to the scenario's folder.
    pub file: PathBuf,
    /// Operations of a forward pass over one sample; a multiply-add is two.
    pub flops: f64,
    /// Values that training keeps for one sample; as many as the module has parameters when not given.
    #[serde(default)]
    pub activations: Option<f64>,
}

impl<'de> Deserialize<'de> for ModelFile {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ModelFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "the name of a model such as \"mlp\", a list of layers such as [Dense(10)], or \
                     TorchScript(file: \"net.pt\", flops: 1e6)",
                )
            }

            fn visit_enum<A: EnumAccess<'de>>(self, named: A) -> Result<ModelFile, A::Error> {
                #[derive(Deserialize)]
                enum Named {
                    TorchScript,
                }
                let (Named::TorchScript, module) = named.variant()?;
                module.newtype_variant().map(ModelFile::TorchScript)
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<ModelFile, E> {
                Ok(ModelFile::Preset(name.to_string()))
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<ModelFile, E> {
                Ok(ModelFile::Layers(Vec::new()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, layers: A) -> Result<ModelFile, A::Error> {
                let layers = de::value::SeqAccessDeserializer::new(layers);
                Vec::deserialize(layers).map(ModelFile::Layers)
            }
        }
        from.deserialize_any(Either)
    }
}

/// When rounds are held.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Schedule", default)]
pub struct ScheduleFile {
    /// At most so many.
    pub rounds: u32,
    /// A whole number of clients, or a share of the population such as 0.1.
    pub cohort: Option<CohortFile>,
    /// Clients asked per report wanted.
    pub over_selection: f64,
    /// When a round ends with what it has.
    pub deadline: Option<Duration>,
    /// What becomes of a client that would not be done by then.
    pub on_deadline: OnDeadlineFile,
    /// With fewer reports a round is abandoned.
    pub least_reports: u32,
    /// Stop at this central accuracy.
    pub stop_at_accuracy: Option<PositiveFraction>,
    /// Stop at this virtual time.
    pub stop_at_time: Option<Duration>,
    /// How a server waits that holds no rounds.
    pub waiting: Option<WaitingFile>,
}

impl Default for ScheduleFile {
    fn default() -> Self {
        Self {
            rounds: 100,
            cohort: None,
            over_selection: 1.0,
            deadline: None,
            on_deadline: OnDeadlineFile::default(),
            least_reports: 1,
            stop_at_accuracy: None,
            stop_at_time: None,
            waiting: None,
        }
    }
}

/// `Drop`, `ReportPartial` or `ReportPartial(reserve: "200 ms")`.
#[derive(Debug, Clone, Default, Deserialize)]
pub enum OnDeadlineFile {
    /// It trains to the end, and its report is late.
    #[default]
    Drop,
    /// It stops early, and reports what it has.
    ReportPartial {
        /// Time left for the report, beside what it takes on idle links.
        #[serde(default)]
        reserve: Option<Duration>,
    },
}

/// The size of a cohort: a whole number counts clients, any other number is a share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CohortFile {
    /// So many clients.
    Count(u64),
    /// This share of the population.
    Ratio(f64),
}

impl<'de> Deserialize<'de> for CohortFile {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = CohortFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a number of clients such as 20, or a share of the population such as 0.1",
                )
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<CohortFile, E> {
                Ok(CohortFile::Count(count))
            }

            fn visit_f64<E: de::Error>(self, ratio: f64) -> Result<CohortFile, E> {
                Ok(CohortFile::Ratio(ratio))
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<CohortFile, E> {
                Ok(CohortFile::Count(1))
            }
        }
        from.deserialize_any(Either)
    }
}

/// What is measured.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Evaluation", default)]
pub struct EvaluationFile {
    /// Every so many rounds, and after the last.
    pub every: u32,
    /// On the central test data.
    pub central: bool,
    /// On each client's held-out samples.
    pub per_client: bool,
    /// At every width that clients have.
    pub by_size: bool,
    /// On the samples of so many clients, before that, the statistics of batch normalisations.
    pub statistics_clients: Option<u32>,
}

impl Default for EvaluationFile {
    fn default() -> Self {
        Self {
            every: 1,
            central: true,
            per_client: false,
            by_size: true,
            statistics_clients: None,
        }
    }
}

/// `Real`, `Modelled` or `Sampled(0.05)`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename = "Compute")]
pub enum ComputeFile {
    /// All of them.
    #[default]
    Real,
    /// None: rounds take their time and nothing is learned.
    Modelled,
    /// This share.
    Sampled(PositiveFraction),
}

/// When the whole state is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Checkpoint")]
pub struct CheckpointFile {
    /// After every so many rounds.
    pub every: u32,
    /// The last so many checkpoints.
    #[serde(default = "two")]
    pub keep: u32,
}

const fn two() -> u32 {
    2
}

/// What is kept of a run, beside the rounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Record", default)]
pub struct RecordFile {
    /// A line a client and round in `clients.csv`.
    pub clients: bool,
    /// HdrHistograms of latency, round duration, client compute and queue wait.
    pub histograms: bool,
    /// What `shoal verify` compares with: the digest of every delivered event.
    pub trace: bool,
    /// Delivered events in `events.jsonl`.
    pub events: Option<EventsFile>,
    /// The report.
    pub report: bool,
    /// Models in the folder `models`.
    pub model: Option<Keep>,
}

impl Default for RecordFile {
    fn default() -> Self {
        Self {
            clients: true,
            histograms: true,
            trace: true,
            events: None,
            report: true,
            model: None,
        }
    }
}

/// Which events are kept; all, where nothing is said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename = "Events", default)]
pub struct EventsFile {
    /// Only these kinds: message kinds, `start`, `timer`, `work`.
    pub kinds: Option<Vec<String>>,
    /// Only from or to these nodes; 0 is the server, client i is i + 1.
    pub nodes: Option<Vec<u32>>,
}
