//! The client half of a method.

use super::{MethodError, Payload, PublicData};
use crate::learn::{
    evaluate, statistics, with_statistics, Correction, Cost, DeviceData, EvaluationSums, HeldOut,
    LearnError, LocalTraining, Samples, Scratch, TrainJob, Trained,
};
use crate::model::{Initializer, Level, Model, ParamSet, Sizes};
use crate::quantity::Bytes;
use crate::sim::Stack;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All that the work of a client depends on.
#[derive(Debug, Clone)]
pub struct ClientInput {
    /// The number of the client, from 0.
    pub client: u32,
    /// The number of the round, from 1.
    pub round: u32,
    /// The seed of the run. With the client and the round, it names the random streams.
    pub seed: u64,
    /// The client's own network, of the client's width if the method has sub-models.
    pub model: Arc<Model>,
    /// The widths that clients have, including the client's own.
    pub sizes: Sizes,
    /// The distribution of initial weights, for clients that draw them themselves.
    pub init: Initializer,
    /// The public set, if the scenario has one.
    pub public: Option<PublicData>,
    /// The training data of all clients, on the host device.
    pub data: Arc<DeviceData>,
    /// The samples that this client trains on.
    pub train: Samples,
    /// The samples that this client holds out for its own evaluation.
    pub holdout: Samples,
    /// Whether the model is evaluated on the held-out samples before and after local training, to
    /// be recorded.
    pub watched: bool,
    /// The settings of local training, after [`ClientHalf::local`].
    pub local: Arc<LocalTraining>,
    /// The task that the server sent.
    pub task: Payload,
    /// The state that the client kept from its last round.
    pub state: ClientState,
}

impl ClientInput {
    /// How the client's training may run together with that of others; `None` if it must run alone.
    pub fn stack(&self) -> Option<Stack> {
        let device = self.data.device();
        crate::learn::stack(&self.model, &self.local, self.train.len(), device)
    }

    /// An estimate of the host memory that training takes, with `corrections` vectors of the
    /// model's size that correct its gradients. Autograd and convolutions keep about as much again
    /// as they need.
    pub fn memory(&self, corrections: u64) -> Bytes {
        let cost = Cost::training(&self.model, &self.local, self.train.len(), corrections);
        Bytes(cost.memory.0.saturating_mul(2))
    }
}

/// The state that a client keeps between rounds: named payloads. So the state of any method can be
/// counted, moved to disk or written to a checkpoint without knowing the method.
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
    /// All payloads with their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Payload)> {
        let each = self.0.iter();
        each.map(|(name, payload)| (name.as_ref(), payload))
    }

    /// The payload under `name`, if there is one.
    pub fn get(&self, name: &'static str) -> Option<&Payload> {
        self.0.get(name)
    }

    /// This state with `payload` under `name`.
    pub fn with(mut self, name: &'static str, payload: Payload) -> Self {
        self.0.insert(Cow::Borrowed(name), payload);
        self
    }

    /// Removes the payload under `name` and returns it.
    pub fn take(&mut self, name: &'static str) -> Option<Payload> {
        self.0.remove(name)
    }

    /// This state with every parameter set replaced by the result of `f`.
    pub(crate) fn map_sets(self, mut f: impl FnMut(ParamSet) -> ParamSet) -> Self {
        let each = self.0.into_iter();
        Self(
            each.map(|(name, payload)| (name, payload.map_sets(&mut f)))
                .collect(),
        )
    }

    /// Calls `f` for every parameter set.
    pub(crate) fn each_set(&self, mut f: impl FnMut(&ParamSet)) {
        self.clone().map_sets(|set| {
            f(&set);
            set
        });
    }

    /// Whether the state is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A digest of 64 bits of the contents.
    pub fn digest(&self) -> u64 {
        let words: Vec<u64> = self.0.values().map(Payload::digest).collect();
        crate::sim::mix_words(&words)
    }
}

/// The usual part of a client's work: local training.
#[derive(Debug, Clone)]
pub struct Training {
    /// The parameters at the start of training.
    pub start: ParamSet,
    /// The terms that the method adds to each gradient.
    pub correction: Correction,
}

/// The result of a client's work.
#[derive(Debug, Clone)]
pub struct ClientWork {
    /// The report to the server.
    pub report: Payload,
    /// The state to keep for the next round.
    pub state: ClientState,
    /// Figures about the work, to be recorded.
    pub metrics: Metrics,
}

/// Figures of a client's round. They are recorded and never sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Metrics {
    /// The number of optimiser steps.
    pub steps: u32,
    /// The mean training loss over the steps.
    pub loss: Option<f64>,
    /// The accuracy of the client's model on its held-out samples before and after local training.
    /// `None` if the client holds out none, or if it is not recorded ([`ClientInput::watched`]).
    pub held_out: Option<HeldOut>,
}

/// The facts about a client that are known before a width is chosen for it.
#[derive(Debug, Clone, Copy)]
pub struct Prospect<'a> {
    /// The full network.
    pub full: &'a Model,
    /// The network of the width in question.
    pub own: &'a Model,
    /// The settings of local training.
    pub local: &'a LocalTraining,
    /// The number of training samples of the client.
    pub samples: usize,
    /// The number of public samples to learn from.
    pub public: usize,
}

/// The work of a client with a task. It is a pure function: the state comes in with the input and
/// goes out with the work.
///
/// Most methods train locally and report something about the outcome. They implement
/// [`ClientHalf::training`] and [`ClientHalf::report`]; if [`ClientHalf::only_trains`] is true, the
/// engine may train several clients together. A method that works in another way overrides
/// [`ClientHalf::run`].
pub trait ClientHalf: Send + Sync {
    /// Whether this half does nothing but local training between [`ClientHalf::training`] and
    /// [`ClientHalf::report`], so that [`ClientHalf::run`] is the default one. Only then may a
    /// client be trained together with others, on devices where that is faster.
    fn only_trains(&self) -> bool {
        false
    }

    /// The settings of local training for this method, made from those of the scenario.
    fn local(&self, scenario: &LocalTraining) -> LocalTraining {
        scenario.clone()
    }

    /// Whether `payload` can be the part of a client's state called `name`. Used to check the
    /// contents of a checkpoint; names that belong to others must be accepted.
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        let _ = (name, payload);
        true
    }

    /// The client's own model in its state. `None` if clients have none, or if the server knows it
    /// ([`super::ServerHalf::own`]).
    fn own<'a>(&self, state: &'a ClientState) -> Option<&'a ParamSet> {
        let _ = state;
        None
    }

    /// The number of vectors of the model's size that correct the gradients. They take memory on
    /// the device.
    fn corrections(&self) -> u64 {
        0
    }

    /// The cost of a round on the device of a client of level `own` with `samples` training
    /// samples, where other clients have the levels `narrower`. It is the cost of local training,
    /// unless the method does something else.
    fn cost(&self, own: &Level, narrower: &[Level], local: &LocalTraining, samples: usize) -> Cost {
        let _ = narrower;
        Cost::training(&own.model, local, samples, self.corrections())
    }

    /// The cost of this round beside [`ClientHalf::cost`]: operations are added, and memory counts
    /// where it is larger.
    ///
    /// # Errors
    /// When the task is not one that this method sends.
    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        let _ = input;
        Ok(Cost::default())
    }

    /// The usual result of [`ClientHalf::beside`], before there is a task, so that a width can be
    /// chosen by it: the operations of a round that is not the client's first, and the largest
    /// memory of any round.
    fn usually_beside(&self, prospect: &Prospect) -> Cost {
        let _ = prospect;
        Cost::default()
    }

    /// The start of local training, and the corrections of its gradients.
    ///
    /// # Errors
    /// When the task is not one that this method sends.
    fn training(&self, input: &ClientInput) -> Result<Training, MethodError>;

    /// The report and the state after local training.
    ///
    /// # Errors
    /// When parameter sets do not fit together.
    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError>;

    /// Does the whole work of the client, on a device worker.
    ///
    /// # Errors
    /// [`MethodError`]; the client then declines the round and gives the reason.
    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let trained = train_locally(self, input, scratch)?;
        self.report(input, trained)
    }
}

/// Performs the local training that `half` asks for.
pub(super) fn train_locally<C: ClientHalf + ?Sized>(
    half: &C,
    input: &ClientInput,
    scratch: &mut Scratch,
) -> Result<Trained, MethodError> {
    let job = job_of(half, input)?;
    let trained = crate::learn::train(&job, scratch)?;
    Ok(watched(input, &job.start, on_host(trained)?))
}

/// Adds to `trained` the accuracy on the client's held-out samples, with the model `received` at
/// the start of the client's own training and with the model now. This is for client halves that
/// train in their own way; [`train_locally`] does it for all others. Only tables depend on it, so a
/// model that cannot be evaluated is reported like any other.
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

/// The training job that `half` asks for.
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

/// Copies the parameters to host memory, where methods do their arithmetic; on the CPU they are
/// there already.
pub(super) fn on_host(mut trained: Trained) -> Result<Trained, MethodError> {
    trained.params = trained.params.to_device(tch::Device::Cpu)?;
    Ok(trained)
}

/// The whole work of several clients that all [only train](ClientHalf::only_trains), trained
/// together where that is faster. There is one result for each client, in order.
pub fn run_together(
    clients: &[(&dyn ClientHalf, &ClientInput)],
    scratch: &mut Scratch,
) -> Vec<Result<ClientWork, MethodError>> {
    // A client whose task cannot be read does not train, but the others do.
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

/// The accuracy of the client's model `params` on the samples that it holds out; `None` if it holds
/// out none. Statistics that the model does not carry ([`Model::queries_statistics`]) are measured on
/// the samples that the client trains on.
pub(super) fn measure_own(
    input: &ClientInput,
    params: &ParamSet,
) -> Result<Option<EvaluationSums>, MethodError> {
    if input.holdout.is_empty() {
        return Ok(None);
    }
    let own;
    let params = match input.model.queries_statistics() {
        true => {
            let train = input.train.as_slice();
            let batches = train.chunks(input.local.batch_of(train.len()));
            let found = statistics(&input.model, params, &input.data, batches)?;
            own = with_statistics(&input.model, params, &found)?;
            &own
        }
        false => params,
    };
    let samples = input.holdout.as_slice();
    let sums = evaluate(&input.model, params, &input.data, samples, 64, None)?;
    Ok(Some(sums))
}

impl ClientWork {
    /// Work that leaves no state: `report`, and the metrics of `trained`.
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
