//! The kernel, run on a federation: by threads of this process and the workers of other ranks.

use super::ranks::Head;
use super::{Options, RunError};
use crate::federation::{DeviceMemory, DeviceWorker, Federation};
use crate::observe::record::Rank;
use crate::sim::{Recorder, RemoteWorkers, Simulation, Workers};
use crate::snapshot::Reader;
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// What runs jobs: threads of this process, and the workers of other ranks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Executors<'a> {
    pub workers: usize,
    pub ranks: Option<&'a Head>,
}

impl From<usize> for Executors<'_> {
    fn from(workers: usize) -> Self {
        Self {
            workers,
            ranks: None,
        }
    }
}

impl<'a> Executors<'a> {
    pub(crate) fn of(options: &'a Options) -> Self {
        Self {
            workers: options.workers,
            ranks: options.ranks.as_deref(),
        }
    }

    /// The ranks, for the record; none where there is but one process.
    pub fn record(self) -> Vec<Rank> {
        let record = |head: &Head| head.record(self.workers);
        self.ranks.map(record).unwrap_or_default()
    }
}

/// Lets the kernel run a federation, or go on with one `from` a checkpoint.
pub(crate) fn simulate<'a>(
    federation: Federation,
    from: Option<Reader>,
    seed: u64,
    executors: impl Into<Executors<'a>>,
    memory: DeviceMemory,
    recorder: &mut dyn Recorder<Federation>,
    stop: &AtomicBool,
) -> Result<crate::sim::Summary, RunError> {
    // Few nodes are done sooner on one shard than two shards are told.
    let nodes = federation.plan().population() as usize;
    let executors = executors.into();
    let shards = if nodes < 20_000 { 1 } else { executors.workers };
    simulate_on(
        federation,
        from,
        seed,
        (executors, shards),
        memory,
        recorder,
        stop,
    )
}

/// Lets the kernel run a federation on so many workers and shards, from its start or `from` a checkpoint.
pub(crate) fn simulate_on<'a>(
    federation: Federation,
    from: Option<Reader>,
    seed: u64,
    (executors, shards): (impl Into<Executors<'a>>, usize),
    memory: DeviceMemory,
    recorder: &mut dyn Recorder<Federation>,
    stop: &AtomicBool,
) -> Result<crate::sim::Summary, RunError> {
    let memory = Arc::new(memory);
    let worker = move || DeviceWorker::sharing(Arc::clone(&memory));
    let Executors { workers, ranks } = executors.into();
    let elsewhere = match ranks {
        Some(head) => head.elsewhere(&federation).map_err(RunError::Threads)?,
        None => RemoteWorkers::none(),
    };
    let pool = Workers::start_with(workers, worker, elsewhere).map_err(RunError::Threads)?;
    let simulation = Simulation {
        world: Arc::new(federation),
        seed,
        shards,
    };
    let ended = match from {
        Some(from) => simulation.resume(from, &pool, recorder, stop),
        None => simulation.run(&pool, recorder, stop),
    };
    if ranks.is_some_and(|head| head.lost().is_some()) {
        // Little time may be left, and nobody will use what still runs.
        pool.abandon();
    }
    Ok(ended?)
}
