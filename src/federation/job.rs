//! Jobs: real work for device workers.

use super::evaluation::{EvaluationJob, Marks};
use super::gossip::{Consensus, ConsensusJob, MixJob};
use super::query::StatisticsJob;
use crate::learn::{prepare_worker_thread, Admission, Scratch};
use crate::method::{
    run_together, ClientHalf, ClientInput, ClientWork, MethodError, Payload, ServerJob,
};
use crate::model::{ParamSet, Statistics};
use crate::quantity::Bytes;
use crate::sim::{mix_words, Digest, Executor, Outcome};
use crate::snapshot::snapshot_enum;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// Real work for a device worker. The output of a job depends on the job's content alone.
pub enum Job {
    /// The work of a client in a round.
    Client(Box<ClientJob>),
    /// The method's own work at the server.
    Server(ServerJob),
    /// A piece of an evaluation.
    Evaluation(Box<EvaluationJob>),
    /// A piece of a query of statistics.
    Statistics(Box<StatisticsJob>),
    /// The mixing of models by a client without a server.
    Mix(Box<MixJob>),
    /// The mean of all clients' models, which the observer of a federation without a server wants.
    Consensus(Box<ConsensusJob>),
}

/// The work of a client in a round.
pub struct ClientJob {
    /// The method's client half, with its layers, which does the work.
    pub half: Arc<dyn ClientHalf>,
    /// Everything that the work depends on.
    pub input: ClientInput,
}

/// The error of a job whose output is of another kind than its node asked for.
pub(super) const UNASKED: &str =
    "a device worker answered with something that it was not asked for";

/// The output of a [`Job`].
#[derive(Debug)]
pub enum Output {
    /// The output of a client's work.
    Client(Result<ClientWork, MethodError>),
    /// The output of the method's own work at the server.
    Server(Result<Payload, MethodError>),
    /// The output of a piece of an evaluation.
    Evaluation(Result<Marks, MethodError>),
    /// The output of a piece of a query of statistics.
    Statistics(Result<Statistics, MethodError>),
    /// The job has no output, because its worker panicked twice.
    Failed(String),
    /// The mixed model.
    Mix(Result<ParamSet, MethodError>),
    /// The mean of all clients' models.
    Consensus(Result<Consensus, MethodError>),
}

snapshot_enum!(Output {
    0 => Client(outcome),
    1 => Server(outcome),
    2 => Evaluation(outcome),
    3 => Failed(reason),
    4 => Mix(outcome),
    5 => Consensus(outcome),
    6 => Statistics(outcome),
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
            Self::Statistics(Ok(sums)) => mix_words(&[8, sums.digest()]),
            Self::Mix(Ok(model)) => mix_words(&[6, model.digest().unwrap_or(0)]),
            Self::Consensus(Ok(found)) => mix_words(&[
                7,
                found.mean.digest().unwrap_or(0),
                found.distance.to_bits(),
            ]),
            Self::Client(Err(error))
            | Self::Server(Err(error))
            | Self::Evaluation(Err(error))
            | Self::Statistics(Err(error))
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
    /// An estimate of the host memory that the job takes while it runs.
    fn memory(&self) -> Bytes {
        let training = self.input.memory(self.half.corrections());
        // A job whose task cannot be read ends before it takes any memory.
        let beside = self.half.beside(&self.input).unwrap_or_default();
        training.max(on_host(beside.memory))
    }

    /// Whether nothing is gained by training the job together with others, so that its unit is a loop.
    fn runs_alone(&self) -> bool {
        self.input.data.device() == tch::Device::Cpu || !self.half.only_trains()
    }
}

/// The host memory of work that needs so much by itself: autograd and convolutions keep about as much
/// again.
const fn on_host(needed: Bytes) -> Bytes {
    Bytes(needed.0.saturating_mul(2))
}

/// The memory of a host device, which its workers share.
#[derive(Debug)]
pub struct DeviceMemory {
    admission: Admission,
    /// Whether a batch that takes more than the whole memory is cut before it runs.
    strict: bool,
}

impl DeviceMemory {
    /// The memory of all workers together. With a `limit`, a batch that is estimated to need more is cut into
    /// pieces before it runs. Without one the memory is `available`, and a batch is cut only after it really
    /// did not fit.
    pub fn new(limit: Option<Bytes>, available: Bytes) -> Self {
        Self {
            admission: Admission::new(limit.unwrap_or(available)),
            strict: limit.is_some(),
        }
    }
}

/// A device worker: one thread, on which libtorch uses one thread, and buffers that are reused from job to
/// job.
#[derive(Debug)]
pub struct DeviceWorker {
    scratch: Scratch,
    memory: Option<Arc<DeviceMemory>>,
}

impl DeviceWorker {
    /// A worker. Call this on the thread that will run the worker.
    pub fn new() -> Self {
        prepare_worker_thread();
        Self {
            scratch: Scratch::default(),
            memory: None,
        }
    }

    /// A worker that shares the memory of its device with others. Call this on the thread that will run the
    /// worker.
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

    /// Runs `work` once `need` bytes of memory are free for it.
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
            Job::Statistics(job) => {
                Output::Statistics(self.admitted(on_host(job.memory()), |_| job.run()))
            }
            // Mixing and means take the host memory of one model, for which they do not wait.
            Job::Mix(job) => Output::Mix(job.run()),
            Job::Consensus(job) => Output::Consensus(job.run()),
        };
        // Parameter sets remember their digest. A digest that is computed here costs the shards no time.
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
