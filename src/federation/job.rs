//! Real work, as device workers get it.

use super::evaluation::{EvaluationJob, Marks};
use super::gossip::{Consensus, ConsensusJob, MixJob};
use crate::learn::{prepare_worker_thread, Admission, Scratch};
use crate::method::{
    run_together, ClientHalf, ClientInput, ClientWork, MethodError, Payload, ServerJob,
};
use crate::model::ParamSet;
use crate::quantity::Bytes;
use crate::sim::{mix_words, Digest, Executor, Outcome};
use crate::snapshot::snapshot_enum;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A pure function of its content.
pub enum Job {
    /// A client's round.
    Client(Box<ClientJob>),
    /// A method's work at the server.
    Server(ServerJob),
    /// A piece of an evaluation.
    Evaluation(Box<EvaluationJob>),
    /// A client's mixing, where there is no server.
    Mix(Box<MixJob>),
    /// The mean of all clients' models, where there is no server.
    Consensus(Box<ConsensusJob>),
}

/// A client's round.
pub struct ClientJob {
    /// What is done.
    pub half: Arc<dyn ClientHalf>,
    /// With what.
    pub input: ClientInput,
}

/// Why a job failed whose output is of another kind than was asked for.
pub(super) const UNASKED: &str =
    "a device worker answered with something that it was not asked for";

/// What comes of a [`Job`].
#[derive(Debug)]
pub enum Output {
    /// Of a client's round.
    Client(Result<ClientWork, MethodError>),
    /// Of a method's work at the server.
    Server(Result<Payload, MethodError>),
    /// Of a piece of an evaluation.
    Evaluation(Result<Marks, MethodError>),
    /// The worker panicked, twice.
    Failed(String),
    /// Of a client's mixing.
    Mix(Result<ParamSet, MethodError>),
    /// Of the mean of all models.
    Consensus(Result<Consensus, MethodError>),
}

snapshot_enum!(Output {
    0 => Client(outcome),
    1 => Server(outcome),
    2 => Evaluation(outcome),
    3 => Failed(reason),
    4 => Mix(outcome),
    5 => Consensus(outcome),
});

impl Digest for Output {
    fn digest(&self) -> u64 {
        match self {
            Self::Client(Ok(work)) => {
                let loss = work.metrics.loss.map_or(0, f64::to_bits);
                mix_words(&[1, work.report.digest(), work.state.digest(), loss])
            }
            Self::Server(Ok(payload)) => mix_words(&[2, payload.digest()]),
            Self::Evaluation(Ok(marks)) => mix_words(&[3, marks.digest()]),
            Self::Mix(Ok(model)) => mix_words(&[6, model.digest().unwrap_or(0)]),
            Self::Consensus(Ok(found)) => mix_words(&[
                7,
                found.mean.digest().unwrap_or(0),
                found.distance.to_bits(),
            ]),
            Self::Client(Err(error))
            | Self::Server(Err(error))
            | Self::Evaluation(Err(error))
            | Self::Mix(Err(error))
            | Self::Consensus(Err(error)) => mix_words(&[4, xxh3_64(error.to_string().as_bytes())]),
            Self::Failed(reason) => mix_words(&[5, xxh3_64(reason.as_bytes())]),
        }
    }
}

impl Outcome for Output {
    fn failed(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl ClientJob {
    /// Host memory it takes while it runs, by estimate.
    fn memory(&self) -> Bytes {
        let training = self.input.memory(self.half.corrections());
        // A task that cannot be read ends before it takes any.
        let beside = self.half.beside(&self.input).unwrap_or_default();
        training.max(on_host(beside.memory))
    }

    /// Whether nothing is gained by training it with others at once: its unit is a loop.
    fn runs_alone(&self) -> bool {
        self.input.data.device() == tch::Device::Cpu || !self.half.only_trains()
    }
}

/// Host memory of work that needs so much: autograd and convolutions keep about as much again.
const fn on_host(needed: Bytes) -> Bytes {
    Bytes(needed.0.saturating_mul(2))
}

/// The memory of a host device, as its workers see it.
#[derive(Debug)]
pub struct DeviceMemory {
    admission: Admission,
    /// Whether a batch that takes more than all of it is cut beforehand.
    strict: bool,
}

impl DeviceMemory {
    /// `limit` for all workers, batches that take more than that cut into pieces; or what the device
    /// is thought to have, and only what really does not fit is cut.
    pub fn new(limit: Option<Bytes>, available: Bytes) -> Self {
        Self {
            admission: Admission::new(limit.unwrap_or(available)),
            strict: limit.is_some(),
        }
    }
}

/// A device worker: one thread, one intra-op thread of torch's, and buffers worth reusing.
#[derive(Debug)]
pub struct DeviceWorker {
    scratch: Scratch,
    memory: Option<Arc<DeviceMemory>>,
}

impl DeviceWorker {
    /// A worker; call it on the thread that will run it.
    pub fn new() -> Self {
        prepare_worker_thread();
        Self {
            scratch: Scratch::default(),
            memory: None,
        }
    }

    /// A worker that shares its device with others, likewise.
    pub fn sharing(memory: Arc<DeviceMemory>) -> Self {
        prepare_worker_thread();
        let scratch = if memory.strict {
            Scratch::within(memory.admission.budget())
        } else {
            Scratch::default()
        };
        Self {
            scratch,
            memory: Some(memory),
        }
    }

    /// Runs `work` once there is `need` for it.
    fn admitted<T>(&mut self, need: Bytes, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let memory = self.memory.clone();
        let _permit = memory.as_ref().map(|memory| memory.admission.admit(need));
        work(&mut self.scratch)
    }
}

impl Default for DeviceWorker {
    fn default() -> Self {
        Self::new()
    }
}

impl Executor<Job, Output> for DeviceWorker {
    fn run(&mut self, job: &Job) -> Output {
        let output = match job {
            Job::Client(job) => Output::Client(
                self.admitted(job.memory(), |scratch| job.half.run(&job.input, scratch)),
            ),
            Job::Server(job) => Output::Server(
                self.admitted(on_host(job.cost.memory), |scratch| (job.work)(scratch)),
            ),
            Job::Evaluation(job) => {
                Output::Evaluation(self.admitted(on_host(job.memory()), |_| job.run()))
            }
            // In host memory, of which they take one model.
            Job::Mix(job) => Output::Mix(job.run()),
            Job::Consensus(job) => Output::Consensus(job.run()),
        };
        // Parameter sets remember their digest; found out here, it costs the shards nothing.
        output.digest();
        output
    }

    fn run_stack(&mut self, jobs: &[Job]) -> Vec<Output> {
        let clients = jobs.iter().map(|job| match job {
            Job::Client(job) => Some(job),
            _ => None,
        });
        let Some(clients) = clients.collect::<Option<Vec<_>>>() else {
            return jobs.iter().map(|job| self.run(job)).collect();
        };
        if clients.iter().any(|job| job.runs_alone()) {
            return jobs.iter().map(|job| self.run(job)).collect();
        }
        let need = clients.iter().map(|job| job.memory().0);
        let need = Bytes(need.fold(0, u64::saturating_add));
        let clients: Vec<(&dyn ClientHalf, &ClientInput)> = clients
            .iter()
            .map(|job| (job.half.as_ref(), &job.input))
            .collect();
        let works = self.admitted(need, |scratch| run_together(&clients, scratch));
        let outputs = works.into_iter().map(Output::Client);
        outputs
            .inspect(|output| {
                output.digest();
            })
            .collect()
    }
}
