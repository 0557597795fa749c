//! Device workers: threads that run jobs while virtual time stands still.
//!
//! A job is a pure function of its content, so which worker runs a job, and when, cannot be seen in any
//! result. The conductor hands out units of jobs in an order that virtual time determines.
//!
//! No job is lost. A job that panics is run once more on a fresh executor. If a unit of several jobs
//! panics, its jobs are run one by one. If a worker's thread ends, for whatever reason, a new worker
//! takes its place and its unit.
//!
//! When the pool is dropped, no result of a running job is wanted any more. A job that takes long calls
//! [`given_up`] now and then, and ends early if the answer is true.
//!
//! Workers can also be outside this process ([`RemoteWorker`]): one thread here stands for each of
//! them, hands it a unit and waits for the outputs. A remote worker that is lost ends the run with an
//! error.

use super::crash::guarded;
use super::event::Key;
use super::node::Outcome;
use super::stack::Unit;
use crossbeam::channel::{select, unbounded, Receiver, RecvTimeoutError, Sender};
use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs jobs of type `J`, with outputs of type `O`, on one worker; it may keep state that is worth
/// reusing between jobs.
pub trait Executor<J, O> {
    /// Runs one job. If it panics, the panic is caught and the job is run once more on a fresh
    /// executor.
    fn run(&mut self, job: &J) -> O;

    /// Runs the jobs of a unit and returns one output for each, in order. After a panic, the jobs are
    /// run one by one.
    fn run_stack(&mut self, jobs: &[J]) -> Vec<O> {
        jobs.iter().map(|job| self.run(job)).collect()
    }
}

impl<J, O, F: FnMut(&J) -> O> Executor<J, O> for F {
    fn run(&mut self, job: &J) -> O {
        self(job)
    }
}

/// A device worker that is not a thread of this process.
pub trait RemoteWorker<J, O>: Send + Sync {
    /// Runs the jobs of a unit there and returns one output for each, in order. The remote worker
    /// handles a job that panics, as an executor's thread does here.
    ///
    /// # Errors
    /// Returns in words why the remote worker is lost.
    fn run(&self, jobs: &[J]) -> Result<Vec<O>, String>;

    /// Called when the outputs are not wanted any more: [`RemoteWorker::run`] should return soon, with
    /// an error.
    fn give_up(&self);
}

/// The device workers outside this process.
pub struct RemoteWorkers<J, O> {
    /// The workers outside this process, each with a thread here that stands for it.
    pub workers: Vec<Arc<dyn RemoteWorker<J, O>>>,
    /// Whether a job can be sent to a remote worker.
    pub accepts: Box<dyn Fn(&J) -> bool + Send + Sync>,
}

impl<J, O> RemoteWorkers<J, O> {
    /// An empty list of remote workers, which accepts no job.
    pub fn none() -> Self {
        Self {
            workers: Vec::new(),
            accepts: Box::new(|_| false),
        }
    }
}

thread_local! {
    /// Set on the threads of workers: becomes true when their pool is dropped.
    static OVER: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Whether the job that this thread runs is not wanted any more, because its run has ended. No result
/// can depend on the answer: it is true only after all results have been taken.
pub fn given_up() -> bool {
    OVER.with_borrow(|over| {
        let over = over.as_ref();
        over.is_some_and(|over| over.load(Ordering::Relaxed))
    })
}

/// The number of ended worker threads after which a job counts as failed.
const MAX_LOST_THREADS: u32 = 2;

/// The outputs of a unit, each with the key of the moment at which it is due.
type Outputs<O> = Vec<(Key, O)>;

/// The unit that a worker runs. The worker's thread holds the lock while it runs the unit; if the
/// thread ends, the unit is still there.
type Claim<J> = Arc<Mutex<Option<Unit<J>>>>;

/// Starts the worker of a given number, which leaves the unit that it runs in its claim.
type StartThread<J> = Box<dyn Fn(usize, Claim<J>) -> io::Result<JoinHandle<()>> + Send + Sync>;

struct WorkerThread<J> {
    thread: JoinHandle<()>,
    claim: Claim<J>,
}

/// One end of the two queues of units.
struct Queues<E> {
    /// Units that any worker may take.
    common: E,
    /// Units that only a worker of this process may take.
    local: E,
}

impl<J> Queues<Receiver<Unit<J>>> {
    /// The next unit for a worker of this process; `None` when the run is over.
    fn next(&self) -> Option<Unit<J>> {
        // Units for workers of this process come first: remote workers can take the others meanwhile.
        if let Ok(unit) = self.local.try_recv() {
            return Some(unit);
        }
        select! {
            recv(self.local) -> unit => unit.ok(),
            recv(self.common) -> unit => unit.ok(),
        }
    }
}

/// The device workers of a run.
pub struct Workers<J, O> {
    start_thread: StartThread<J>,
    threads: Mutex<Vec<WorkerThread<J>>>,
    units: Option<Queues<Sender<Unit<J>>>>,
    /// The receiving end of the queues, to empty them when the run ends early.
    queued: Queues<Receiver<Unit<J>>>,
    outputs: Receiver<Result<Outputs<O>, String>>,
    remote: RemoteWorkers<J, O>,
    /// Set when the pool should not wait for jobs that still run.
    abandoned: AtomicBool,
    /// Set when the outputs of jobs that still run are not wanted.
    over: Arc<AtomicBool>,
}

impl<J: Send + 'static, O: Outcome> Workers<J, O> {
    /// Starts `count` workers (at least one); `make` builds the executor of each, on the worker's own
    /// thread.
    ///
    /// # Errors
    /// Returns an error if the operating system refuses a thread.
    pub fn start<E, F>(count: usize, make: F) -> io::Result<Self>
    where
        E: Executor<J, O>,
        F: Fn() -> E + Send + Sync + 'static,
    {
        Self::start_with(count, make, RemoteWorkers::none())
    }

    /// Starts `count` workers (at least one) as [`Workers::start`] does, and a thread for each of the
    /// workers of `remote`.
    ///
    /// # Errors
    /// Returns an error if the operating system refuses a thread.
    pub fn start_with<E, F>(count: usize, make: F, remote: RemoteWorkers<J, O>) -> io::Result<Self>
    where
        E: Executor<J, O>,
        F: Fn() -> E + Send + Sync + 'static,
    {
        let ((common, others_queue), (local, own_queue)) = (unbounded(), unbounded());
        let units = Queues { common, local };
        let queued = Queues {
            common: others_queue,
            local: own_queue,
        };
        let (outbox, outputs) = unbounded();
        let (make, count) = (Arc::new(make), count.max(1));
        let (common, local) = (queued.common.clone(), queued.local.clone());
        let away = remote.workers.clone();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let start_thread: StartThread<J> = Box::new(move |index, claim| {
            let (common, local) = (common.clone(), local.clone());
            let outbox = outbox.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            match index.checked_sub(count).and_then(|index| away.get(index)) {
                None => {
                    let (inbox, make) = (Queues { common, local }, Arc::clone(&make));
                    let over = Arc::clone(&is_over);
                    thread.spawn(move || {
                        OVER.set(Some(over));
                        serve(&inbox, &outbox, &claim, make.as_ref());
                    })
                }
                Some(away) => {
                    let away = Arc::clone(away);
                    thread.spawn(move || serve_remote(away.as_ref(), &common, &outbox, &claim))
                }
            }
        });
        let mut threads = Vec::new();
        for index in 0..count + remote.workers.len() {
            threads.push(WorkerThread::start(&start_thread, index)?);
        }
        Ok(Self {
            start_thread,
            threads: Mutex::new(threads),
            units: Some(units),
            queued,
            outputs,
            remote,
            abandoned: AtomicBool::new(false),
            over,
        })
    }

    /// Queues a unit behind those already queued.
    pub(crate) fn submit(&self, unit: Unit<J>) {
        let Some(units) = &self.units else { return };
        let alone = self.remote.workers.is_empty();
        let queue = match alone || unit.jobs.iter().all(&self.remote.accepts) {
            true => &units.common,
            false => &units.local,
        };
        // This struct holds a receiver itself, so sending cannot fail.
        let _ = queue.send(unit);
    }

    /// Returns the outputs of the next finished unit, whichever it is; `None` after `patience`.
    ///
    /// # Errors
    /// Returns in words that a remote worker is lost, or that a worker's thread has ended and the
    /// operating system refuses another.
    pub(crate) fn finished(&self, patience: Duration) -> Result<Option<Outputs<O>>, String> {
        match self.outputs.recv_timeout(patience) {
            Ok(Ok(outputs)) => Ok(Some(outputs)),
            Ok(Err(lost)) => {
                self.abandon();
                Err(lost)
            }
            // While outputs come, it is too early to look for lost workers.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self
                .replace_lost()
                .map_err(|error| format!("cannot replace a lost device worker: {error}")),
        }
    }

    /// Called when the process is about to end: the pool will not wait for jobs that still run.
    pub(crate) fn abandon(&self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }

    /// Puts a fresh worker in the place of each one whose thread has ended, and its unit back into the
    /// queue. Returns outputs only for jobs that have failed for good.
    fn replace_lost(&self) -> io::Result<Option<Outputs<O>>> {
        let mut given_up = Vec::new();
        for (index, worker) in lock(&self.threads).iter_mut().enumerate() {
            if !worker.thread.is_finished() {
                continue;
            }
            let lost = lock(&worker.claim).take();
            *worker = WorkerThread::start(&self.start_thread, index)?;
            let Some(mut unit) = lost else { continue };
            unit.lost += 1;
            tracing::warn!(
                worker = index,
                jobs = unit.jobs.len(),
                "a device worker's thread ended: its jobs run again on a fresh one"
            );
            if unit.lost < MAX_LOST_THREADS {
                self.submit(unit);
            } else if unit.jobs.len() > 1 {
                // One job of the unit ended the thread; the other jobs should not fail with it.
                unit.lost -= 1;
                unit.apart().for_each(|alone| self.submit(alone));
            } else {
                let reason =
                    || O::failed(format!("{MAX_LOST_THREADS} device workers ended over it"));
                given_up.extend(unit.dues.into_iter().map(|due| (due, reason())));
            }
        }
        Ok((!given_up.is_empty()).then_some(given_up))
    }
}

impl<J> WorkerThread<J> {
    fn start(start_thread: &StartThread<J>, index: usize) -> io::Result<Self> {
        let claim = Claim::default();
        let thread = start_thread(index, Arc::clone(&claim))?;
        Ok(Self { thread, claim })
    }
}

/// The value behind a lock, even if the last holder panicked while it held the lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loop of a worker's thread: takes units and runs them until the run is over.
fn serve<J, O: Outcome, E: Executor<J, O>>(
    inbox: &Queues<Receiver<Unit<J>>>,
    outbox: &Sender<Result<Outputs<O>, String>>,
    claim: &Claim<J>,
    make: &impl Fn() -> E,
) {
    let mut executor = None;
    while let Some(unit) = inbox.next() {
        let run = |unit: &Unit<J>| Ok(run_unit(&mut executor, make, &unit.jobs));
        if !answer(unit, outbox, claim, run) {
            return;
        }
    }
}

/// The loop of a thread that stands for a remote worker.
fn serve_remote<J, O>(
    away: &dyn RemoteWorker<J, O>,
    inbox: &Receiver<Unit<J>>,
    outbox: &Sender<Result<Outputs<O>, String>>,
    claim: &Claim<J>,
) {
    for unit in inbox {
        if !answer(unit, outbox, claim, |unit| away.run(&unit.jobs)) {
            return;
        }
    }
}

/// Runs a unit and sends the outputs; returns whether the worker can go on with another unit.
fn answer<J, O>(
    unit: Unit<J>,
    outbox: &Sender<Result<Outputs<O>, String>>,
    claim: &Claim<J>,
    run: impl FnOnce(&Unit<J>) -> Result<Vec<O>, String>,
) -> bool {
    let mut claim = lock(claim);
    let unit = claim.insert(unit);
    let outputs = run(unit).map(|outputs| unit.dues.iter().copied().zip(outputs).collect());
    let lost = outputs.is_err();
    let gone = outbox.send(outputs).is_err();
    // The unit is answered: it must not be run again, even if dropping it panics.
    let done = claim.take();
    drop(claim);
    drop(done);
    !(lost || gone)
}

fn run_unit<J, O: Outcome, E: Executor<J, O>>(
    executor: &mut Option<E>,
    make: &impl Fn() -> E,
    jobs: &[J],
) -> Vec<O> {
    if jobs.len() > 1 {
        match guarded(|| executor.get_or_insert_with(make).run_stack(jobs)) {
            Ok(outputs) if outputs.len() == jobs.len() => return outputs,
            Ok(outputs) => tracing::warn!(
                jobs = jobs.len(),
                outputs = outputs.len(),
                "a unit of jobs gave another number of outputs: running them apart"
            ),
            Err(reason) => {
                *executor = None;
                tracing::warn!(
                    reason,
                    "a unit of jobs panicked on a device worker: running them apart"
                );
            }
        }
    }
    let each = jobs.iter().map(|job| run_twice(executor, make, job));
    each.collect()
}

fn run_twice<J, O: Outcome, E: Executor<J, O>>(
    executor: &mut Option<E>,
    make: &impl Fn() -> E,
    job: &J,
) -> O {
    let mut attempt = || {
        guarded(|| executor.get_or_insert_with(make).run(job)).inspect_err(|_| {
            // A panic may leave the executor half changed, so the executor is dropped.
            *executor = None;
        })
    };
    attempt()
        .or_else(|reason| {
            tracing::warn!(
                reason,
                "job panicked on a device worker: running it once more"
            );
            attempt()
        })
        .unwrap_or_else(O::failed)
}

impl<J, O> Drop for Workers<J, O> {
    fn drop(&mut self) {
        self.units = None;
        self.over.store(true, Ordering::Relaxed);
        // Queued jobs that no worker has taken are dropped; jobs that run on this machine are waited
        // for.
        while self.queued.common.try_recv().is_ok() {}
        while self.queued.local.try_recv().is_ok() {}
        for away in &self.remote.workers {
            away.give_up();
        }
        for worker in lock(&self.threads).drain(..) {
            if !self.abandoned.load(Ordering::Relaxed) {
                let _ = worker.thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;
