//! Training by the server itself on data that it has, after each aggregation or in place of it.

use super::{
    ClientHalf, ClientInput, ClientWork, MethodError, Payload, Phase, Received, ServerHalf,
    ServerJob, Training,
};
use crate::learn::{train, Cost, DeviceData, LocalTraining, Samples, TrainJob, Trained};
use crate::model::{Model, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

/// The data and the settings of the server's own training; the optimiser's state starts anew each
/// round.
pub(crate) struct OwnTraining {
    /// The network.
    pub model: Arc<Model>,
    /// The data set.
    pub data: Arc<DeviceData>,
    /// The samples of the data set that the server trains on.
    pub samples: Samples,
    /// The settings of the training.
    pub local: Arc<LocalTraining>,
    /// The seed of the run.
    pub seed: u64,
}

impl OwnTraining {
    /// The job of a round, counted from 1, that starts from the parameters `start`.
    pub fn job(&self, start: ParamSet, round: u32) -> ServerJob {
        let stand_in = Some(Payload::Model(start.clone()));
        let job = TrainJob {
            model: Arc::clone(&self.model),
            start,
            data: Arc::clone(&self.data),
            samples: self.samples.clone(),
            local: LocalTraining::clone(&self.local),
            round: u64::from(round - 1),
            seed: self.seed,
            // No client has this number, so the server's streams are its own.
            client: u64::MAX,
            correction: Default::default(),
        };
        ServerJob {
            cost: Cost::training(&job.model, &job.local, job.samples.len(), 0),
            work: Arc::new(move |scratch| {
                let trained = train(&job, scratch)?;
                Ok(Payload::Model(trained.params.to_device(tch::Device::Cpu)?))
            }),
            stand_in,
        }
    }
}

/// A server half whose global model can be replaced.
pub(super) trait SetGlobal: ServerHalf {
    /// Replaces the global model by `global`.
    fn set_global(&mut self, global: ParamSet);
}

/// A server half that trains its global model when the half `inner` has completed a round.
pub(super) struct TrainedAfter<S> {
    inner: S,
    training: OwnTraining,
    /// Whether this round's training has been started.
    under_way: bool,
}

impl<S: SetGlobal> TrainedAfter<S> {
    /// Adds the training `training` to the server half `inner`.
    pub const fn new(inner: S, training: OwnTraining) -> Self {
        Self {
            inner,
            training,
            under_way: false,
        }
    }
}

impl<S: SetGlobal> ServerHalf for TrainedAfter<S> {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut self.inner)
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        self.inner.task(client, round)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        self.inner.receive(report)
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        let Phase::AfterRound(round) = phase else {
            return self.inner.step(phase, outputs);
        };
        if std::mem::take(&mut self.under_way) {
            if let Some(trained) = outputs.first() {
                self.inner.set_global(trained.as_model()?.clone());
            }
            return Ok(Vec::new());
        }
        let jobs = self.inner.step(phase, outputs)?;
        if !jobs.is_empty() {
            return Ok(jobs);
        }
        let Some(global) = self.inner.global().cloned() else {
            return Ok(Vec::new());
        };
        self.under_way = true;
        Ok(vec![self.training.job(global, round)])
    }

    fn abandon(&mut self) {
        self.under_way = false;
        self.inner.abandon();
    }

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        self.inner.set_global(global);
        Ok(())
    }

    fn save(&self, to: &mut Writer) {
        self.under_way.save(to);
        self.inner.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.under_way = Snapshot::load(from)?;
        self.inner.restore(from)
    }
}

/// A server half that asks no client: only its own training changes the global model.
pub(super) struct Alone {
    /// The global model.
    pub global: ParamSet,
}

impl SetGlobal for Alone {
    fn set_global(&mut self, global: ParamSet) {
        self.global = global;
    }
}

impl ServerHalf for Alone {
    fn needs_clients(&self) -> bool {
        false
    }

    fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Nothing)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        Err(MethodError::payload("no report at all", &report.payload))
    }

    fn step(&mut self, _: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        Ok(Vec::new())
    }

    fn abandon(&mut self) {}

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        Flops(0)
    }

    fn round_flops(&self) -> Flops {
        Flops(0)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }
}

/// The client half of a method that asks no client.
pub(super) struct Nobody;

impl ClientHalf for Nobody {
    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        Err(MethodError::payload("no task at all", &input.task))
    }

    fn report(&self, _: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        Ok(ClientWork::stateless(Payload::Nothing, &trained))
    }
}
