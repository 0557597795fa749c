//! The client half of a method.

use super::{MethodError, Payload, PublicData};
use crate::learn::{
    evaluate, Correction, Cost, DeviceData, EvaluationSums, HeldOut, LearnError, LocalTraining,
    Samples, Scratch, TrainJob, Trained,
};
use crate::model::{Initializer, Level, Model, ParamSet, Sizes};
use crate::quantity::Bytes;
use crate::sim::Stack;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::borrow::Cow;
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
    /// Whether its model is measured on those before and after local training, for whoever watches.
    pub watched: bool,
    /// How it trains, after [`ClientHalf::local`].
    pub local: Arc<LocalTraining>,
    /// What the server sent.
    pub task: Payload,
    /// What the client kept from its last round.
    pub state: ClientState,
}

impl ClientInput {
    /// How this client's training may run with that of others.
    pub fn stack(&self) -> Option<Stack> {
        let device = self.data.device();
        crate::learn::stack(&self.model, &self.local, self.train.len(), device)
    }

    /// Host memory that training takes, by estimate, with some vectors of the model's size that
    /// correct its gradients. Autograd and convolutions keep about as much again as they must.
    pub fn memory(&self, corrections: u64) -> Bytes {
        let cost = Cost::training(&self.model, &self.local, self.train.len(), corrections);
        Bytes(cost.memory.0.saturating_mul(2))
    }
}

/// What a client keeps between rounds: named payloads, so that any method's state can be counted,
/// spilled or written to a checkpoint without knowing the method.
#[derive(Debug, Clone, Default)]
pub struct ClientState(BTreeMap<Cow<'static, str>, Payload>);

impl Snapshot for ClientState {
    fn save(&self, to: &mut Writer) {
        to.number(self.0.len() as u64);
        for (name, payload) in &self.0 {
            to.list(name.as_bytes());
            payload.save(to);
        }
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let named: BTreeMap<String, Payload> = Snapshot::load(from)?;
        let named = named.into_iter();
        Ok(Self(
            named
                .map(|(name, payload)| (name.into(), payload))
                .collect(),
        ))
    }
}

snapshot_struct!(Metrics {
    steps,
    loss,
    held_out
});
snapshot_struct!(ClientWork {
    report,
    state,
    metrics
});

impl ClientState {
    /// All that was kept, with its names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Payload)> {
        let each = self.0.iter();
        each.map(|(name, payload)| (name.as_ref(), payload))
    }

    /// What was kept under `name`.
    pub fn get(&self, name: &'static str) -> Option<&Payload> {
        self.0.get(name)
    }

    /// This state with `payload` kept under `name`.
    pub fn with(mut self, name: &'static str, payload: Payload) -> Self {
        self.0.insert(Cow::Borrowed(name), payload);
        self
    }

    /// Takes out what was kept under `name`.
    pub fn take(&mut self, name: &'static str) -> Option<Payload> {
        self.0.remove(name)
    }

    /// The same state with every parameter set replaced by what `f` makes of it.
    pub(crate) fn map_sets(self, mut f: impl FnMut(ParamSet) -> ParamSet) -> Self {
        let each = self.0.into_iter();
        Self(
            each.map(|(name, payload)| (name, payload.map_sets(&mut f)))
                .collect(),
        )
    }

    /// Calls `f` with every parameter set.
    pub(crate) fn each_set(&self, mut f: impl FnMut(&ParamSet)) {
        self.clone().map_sets(|set| {
            f(&set);
            set
        });
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
    /// How the client's model did on its held-out samples before and after local training; `None` where
    /// it holds out none, or nobody asks ([`ClientInput::watched`]).
    pub held_out: Option<HeldOut>,
}

/// What is known of a client before a width has been chosen for it.
#[derive(Debug, Clone, Copy)]
pub struct Prospect<'a> {
    /// The full network.
    pub full: &'a Model,
    /// That of the width in question.
    pub own: &'a Model,
    /// How it trains.
    pub local: &'a LocalTraining,
    /// Its training samples.
    pub samples: usize,
    /// Public samples to learn from.
    pub public: usize,
}

/// What a client does with a task. Pure: state comes in with the input and goes out with the work.
///
/// Most methods train locally and report something about the outcome: they give
/// [`ClientHalf::training`] and [`ClientHalf::report`], and the engine is free to train several
/// clients at once, if they say [`ClientHalf::only_trains`]. A method that works otherwise overrides
/// [`ClientHalf::run`].
pub trait ClientHalf: Send + Sync {
    /// Whether local training between [`ClientHalf::training`] and [`ClientHalf::report`] is all
    /// there is to this half: [`ClientHalf::run`] is as it stands here. Only then is a client
    /// trained together with others on devices where that makes a difference.
    fn only_trains(&self) -> bool {
        false
    }

    /// Local training as this method wants it, from what the scenario says.
    fn local(&self, scenario: &LocalTraining) -> LocalTraining {
        scenario.clone()
    }

    /// Whether what is called `name` in a client's state can be `payload`: asked of what comes out of a
    /// checkpoint. Names of others are theirs to judge.
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        let _ = (name, payload);
        true
    }

    /// The model of its own in what a client has kept; `None` where it has none, or where the server
    /// knows it ([`super::ServerHalf::own`]).
    fn own<'a>(&self, state: &'a ClientState) -> Option<&'a ParamSet> {
        let _ = state;
        None
    }

    /// How many vectors of the model's size correct the gradients; they take device memory.
    fn corrections(&self) -> u64 {
        0
    }

    /// What a round costs the device of a client of level `own` with `samples` training samples, where
    /// other clients have the levels `narrower`. Local training, unless a method does something else.
    fn cost(&self, own: &Level, narrower: &[Level], local: &LocalTraining, samples: usize) -> Cost {
        let _ = narrower;
        Cost::training(&own.model, local, samples, self.corrections())
    }

    /// What this round costs beside that: operations come on top, and memory counts where it is more.
    ///
    /// # Errors
    /// When the task is not what this method sends.
    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        let _ = input;
        Ok(Cost::default())
    }

    /// What [`ClientHalf::beside`] will come to, told before there is a task, so that a width can be
    /// chosen by it: the operations of a round that is not the client's first, the most memory of any.
    fn usually_beside(&self, prospect: &Prospect) -> Cost {
        let _ = prospect;
        Cost::default()
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
    let job = job_of(half, input)?;
    let trained = crate::learn::train(&job, scratch)?;
    Ok(watched(input, &job.start, on_host(trained)?))
}

/// `trained` with how the model did on the client's held-out samples: as it was when the client's own
/// training began (`received`), and now. For client halves that train in a way of their own; all that
/// [train locally](train_locally) have it from there. Nothing but tables depends on it: a model that
/// cannot be measured is trained and reported like any other.
pub(super) fn watched(input: &ClientInput, received: &ParamSet, mut trained: Trained) -> Trained {
    if input.watched {
        let before = measure_own(input, received);
        let after = measure_own(input, &trained.params);
        match (before, after) {
            (Ok(before), Ok(after)) => trained.held_out = HeldOut::of(before, after),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(client = input.client, round = input.round, %error,
                    "held-out samples could not be measured");
            }
        }
    }
    trained
}

/// The training that `half` wants of a client.
pub(super) fn job_of<C: ClientHalf + ?Sized>(
    half: &C,
    input: &ClientInput,
) -> Result<TrainJob, MethodError> {
    let Training { start, correction } = half.training(input)?;
    Ok(TrainJob {
        model: Arc::clone(&input.model),
        start,
        data: Arc::clone(&input.data),
        samples: input.train.clone(),
        local: LocalTraining::clone(&input.local),
        round: u64::from(input.round - 1),
        seed: input.seed,
        client: u64::from(input.client),
        correction,
    })
}

/// What travels lies in host memory, where methods do their arithmetic; on the CPU it is there.
pub(super) fn on_host(mut trained: Trained) -> Result<Trained, MethodError> {
    trained.params = trained.params.to_device(tch::Device::Cpu)?;
    Ok(trained)
}

/// The whole work of several clients that all [only train](ClientHalf::only_trains), trained together
/// where that is sooner. One result each, in order.
pub fn run_together(
    clients: &[(&dyn ClientHalf, &ClientInput)],
    scratch: &mut Scratch,
) -> Vec<Result<ClientWork, MethodError>> {
    // A client whose task cannot be read does not train; the others do.
    let (mut jobs, mut refused) = (Vec::new(), Vec::new());
    for (half, input) in clients {
        refused.push(match job_of(*half, input) {
            Ok(job) => {
                jobs.push(job);
                None
            }
            Err(error) => Some(error),
        });
    }
    let starts: Vec<ParamSet> = jobs.iter().map(|job| job.start.clone()).collect();
    let mut trained = crate::learn::train_all(&jobs, scratch)
        .into_iter()
        .zip(starts);
    let each = clients.iter().zip(refused);
    each.map(|((half, input), refused)| match refused {
        Some(error) => Err(error),
        None => {
            let (trained, start) = trained.next().ok_or(LearnError::NoSamples)?;
            half.report(input, watched(input, &start, on_host(trained?)?))
        }
    })
    .collect()
}

/// How the client's own model `params` does on the samples it keeps for its own evaluation; `None`
/// where there are none.
pub(super) fn measure_own(
    input: &ClientInput,
    params: &ParamSet,
) -> Result<Option<EvaluationSums>, MethodError> {
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
            held_out: trained.held_out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::fedprox::FedProx;
    use crate::method::testing::{local, Toy};
    use crate::method::Method;

    #[test]
    fn the_model_is_measured_as_received_and_as_trained_and_only_where_somebody_watches() {
        let method = FedProx::default();
        let mut toy = Toy::new(&method, &local());
        toy.open();
        let task = toy.server.task(1, 1).unwrap();
        let input = toy.input(1, task);
        let (half, mut scratch) = (method.client(), Scratch::new());
        let work = half.run(&input, &mut scratch).unwrap();
        let of = |payload: &Payload| measure_own(&input, payload.as_model().unwrap()).unwrap();
        let expected = HeldOut::of(of(&input.task), of(&work.report)).unwrap();
        assert_eq!(work.metrics.held_out, Some(expected));
        assert_eq!(expected.count, 6);
        // Who watches changes nothing else.
        let input = ClientInput {
            watched: false,
            ..input
        };
        let alone = half.run(&input, &mut scratch).unwrap();
        assert_eq!(alone.metrics.held_out, None);
        assert_eq!(alone.report.digest(), work.report.digest());
    }

    #[test]
    fn clients_that_train_together_report_what_each_would_alone_and_a_bad_task_is_its_own() {
        let method = FedProx::default();
        let mut toy = Toy::new(&method, &local());
        toy.open();
        let half = method.client();
        assert!(half.only_trains());
        let mut inputs: Vec<ClientInput> = Vec::new();
        for client in 0..3 {
            let task = toy.server.task(client, 1).unwrap();
            inputs.push(toy.input(client, task));
        }
        inputs[1].task = Payload::Nothing;
        let clients: Vec<_> = inputs.iter().map(|input| (half.as_ref(), input)).collect();
        let mut scratch = Scratch::new();
        let together = run_together(&clients, &mut scratch);
        assert_eq!(together.len(), 3);
        for (input, together) in inputs.iter().zip(together) {
            match half.run(input, &mut scratch) {
                Ok(alone) => {
                    let together = together.unwrap();
                    assert_eq!(alone.report.digest(), together.report.digest());
                    assert_eq!(alone.metrics, together.metrics);
                }
                Err(alone) => {
                    assert_eq!(input.client, 1);
                    assert_eq!(alone.to_string(), together.unwrap_err().to_string());
                }
            }
        }
    }
}
