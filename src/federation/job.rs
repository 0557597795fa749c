//! Real work, as device workers get it.

use super::evaluation::{EvaluationJob, Marks};
use crate::learn::{prepare_worker_thread, Scratch};
use crate::method::{ClientHalf, ClientInput, ClientWork, MethodError, Payload, ServerJob};
use crate::sim::{mix_words, Digest, Executor, Outcome};
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
}

/// A client's round.
pub struct ClientJob {
    /// What is done.
    pub half: Arc<dyn ClientHalf>,
    /// With what.
    pub input: ClientInput,
}

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
}

impl Digest for Output {
    fn digest(&self) -> u64 {
        match self {
            Self::Client(Ok(work)) => {
                let loss = work.metrics.loss.map_or(0, f64::to_bits);
                mix_words(&[1, work.report.digest(), work.state.digest(), loss])
            }
            Self::Server(Ok(payload)) => mix_words(&[2, payload.digest()]),
            Self::Evaluation(Ok(marks)) => mix_words(&[3, marks.digest()]),
            Self::Client(Err(error)) | Self::Server(Err(error)) | Self::Evaluation(Err(error)) => {
                mix_words(&[4, xxh3_64(error.to_string().as_bytes())])
            }
            Self::Failed(reason) => mix_words(&[5, xxh3_64(reason.as_bytes())]),
        }
    }
}

impl Outcome for Output {
    fn failed(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// A device worker: one thread, one intra-op thread of torch's, and buffers worth reusing.
#[derive(Debug)]
pub struct DeviceWorker {
    scratch: Scratch,
}

impl DeviceWorker {
    /// A worker; call it on the thread that will run it.
    pub fn new() -> Self {
        prepare_worker_thread();
        Self {
            scratch: Scratch::default(),
        }
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
            Job::Client(job) => Output::Client(job.half.run(&job.input, &mut self.scratch)),
            Job::Server(job) => Output::Server((job.work)(&mut self.scratch)),
            Job::Evaluation(job) => Output::Evaluation(job.run()),
        };
        // Parameter sets remember their digest; found out here, it costs the shards nothing.
        output.digest();
        output
    }
}
