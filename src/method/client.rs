//! The client half of a method.

use super::{MethodError, Payload, PublicData};
use crate::learn::{
    evaluate, Correction, Cost, DeviceData, LocalTraining, Samples, Scratch, Tally, TrainJob,
    Trained,
};
use crate::model::{Initializer, Model, ParamSet, Sizes};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything a client's work depends on.
#[derive(Debug, Clone)]
pub struct ClientInput {
    /// Which client, from 0.
    pub client: u32,
    /// Which round, from 1.
    pub round: u32,
    /// The seed of the run; streams are named by it, the client and the round.
    pub seed: u64,
    /// The client's own network: of its width, where the method has sub-models.
    pub model: Arc<Model>,
    /// The widths that clients have, its own among them.
    pub sizes: Sizes,
    /// How weights begin that the client draws itself.
    pub init: Initializer,
    /// The public set, where the scenario has one.
    pub public: Option<PublicData>,
    /// The training data of all clients, on the host device.
    pub data: Arc<DeviceData>,
    /// Which samples this client trains on.
    pub train: Samples,
    /// Which samples it keeps for its own evaluation.
    pub holdout: Samples,
    /// How it trains, after [`ClientHalf::local`].
    pub local: Arc<LocalTraining>,
    /// What the server sent.
    pub task: Payload,
    /// What the client kept from its last round.
    pub state: ClientState,
}

/// What a client keeps between rounds: named payloads, so that any method's state can be counted,
/// spilled or written to a checkpoint without knowing the method.
#[derive(Debug, Clone, Default)]
pub struct ClientState(BTreeMap<&'static str, Payload>);

impl ClientState {
    /// What was kept under `name`.
    pub fn get(&self, name: &'static str) -> Option<&Payload> {
        self.0.get(name)
    }

    /// This state with `payload` kept under `name`.
    pub fn with(mut self, name: &'static str, payload: Payload) -> Self {
        self.0.insert(name, payload);
        self
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// 64 bits of the content.
    pub fn digest(&self) -> u64 {
        let words: Vec<u64> = self.0.values().map(Payload::digest).collect();
        crate::sim::mix_words(&words)
    }
}

/// The standard part of a client's work: local training from `start`.
#[derive(Debug, Clone)]
pub struct Training {
    /// The parameters to start from.
    pub start: ParamSet,
    /// What the method adds to each gradient.
    pub correction: Correction,
}

/// What a client did.
#[derive(Debug, Clone)]
pub struct ClientWork {
    /// What it reports.
    pub report: Payload,
    /// What it keeps.
    pub state: ClientState,
    /// What is to be known about it.
    pub metrics: Metrics,
}

/// Figures of a client's round; observation, never on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// Optimiser steps taken.
    pub steps: u32,
    /// Mean training loss over the steps.
    pub loss: Option<f64>,
    /// Accuracy of the client's own model on its held-out samples, where the method has one.
    pub personal: Option<Tally>,
}

/// What a client does with a task. Pure: state comes in with the input and goes out with the work.
///
/// Most methods train locally and report something about the outcome: they give
/// [`ClientHalf::training`] and [`ClientHalf::report`], and the engine is free to train several
/// clients at once. A method that works otherwise overrides [`ClientHalf::run`].
pub trait ClientHalf: Send + Sync {
    /// Local training as this method wants it, from what the scenario says.
    fn local(&self, scenario: &LocalTraining) -> LocalTraining {
        scenario.clone()
    }

    /// How many vectors of the model's size correct the gradients; they take device memory.
    fn corrections(&self) -> u64 {
        0
    }

    /// What this round costs the client's device beside local training: operations come on top, and
    /// memory counts where it is more.
    ///
    /// # Errors
    /// When the task is not what this method sends.
    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        let _ = input;
        Ok(Cost::default())
    }

    /// Where local training starts, and what corrects its gradients.
    ///
    /// # Errors
    /// When the task is not what this method sends.
    fn training(&self, input: &ClientInput) -> Result<Training, MethodError>;

    /// What is reported and kept after local training.
    ///
    /// # Errors
    /// When parameter sets do not fit together.
    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError>;

    /// Does the whole work on a device worker.
    ///
    /// # Errors
    /// [`MethodError`]; the client then declines the round with the reason.
    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let trained = train_locally(self, input, scratch)?;
        self.report(input, trained)
    }
}

/// Local training as `half` wants it.
pub(super) fn train_locally<C: ClientHalf + ?Sized>(
    half: &C,
    input: &ClientInput,
    scratch: &mut Scratch,
) -> Result<Trained, MethodError> {
    let Training { start, correction } = half.training(input)?;
    let job = TrainJob {
        model: Arc::clone(&input.model),
        start,
        data: Arc::clone(&input.data),
        samples: input.train.clone(),
        local: LocalTraining::clone(&input.local),
        round: u64::from(input.round - 1),
        seed: input.seed,
        client: u64::from(input.client),
        correction,
    };
    let mut trained = crate::learn::train(&job, scratch)?;
    // What travels lies in host memory, where methods do their arithmetic; on the CPU it is there.
    trained.params = trained.params.to_device(tch::Device::Cpu)?;
    Ok(trained)
}

/// How the client's own model `params` does on the samples it keeps for its own evaluation; `None`
/// where there are none.
pub(super) fn measure_own(
    input: &ClientInput,
    params: &ParamSet,
) -> Result<Option<Tally>, MethodError> {
    if input.holdout.is_empty() {
        return Ok(None);
    }
    let samples = input.holdout.as_slice();
    let tally = evaluate(&input.model, params, &input.data, samples, 64, None)?;
    Ok(Some(tally))
}

impl ClientWork {
    /// Work that keeps nothing new: `report`, and the metrics of `trained`.
    pub fn stateless(report: Payload, trained: &Trained) -> Self {
        Self {
            report,
            state: ClientState::default(),
            metrics: Metrics::of(trained),
        }
    }
}

impl Metrics {
    /// The figures of local training.
    pub fn of(trained: &Trained) -> Self {
        Self {
            steps: u32::try_from(trained.steps).unwrap_or(u32::MAX),
            loss: Some(trained.mean_loss),
            personal: None,
        }
    }
}
