//! Device workers: threads that run jobs while virtual time stands.
//!
//! A job is a pure function of its content, so which worker runs it, and when, cannot be seen in a
//! result. The conductor hands out units of jobs in an order fixed by virtual time.
//!
//! No job is lost: one that panics is run once more on a fresh executor; when a unit of several
//! panics its jobs are run apart; and when a worker's thread ends, whatever the reason, a fresh one
//! takes its place and its unit.
//!
//! When the pool goes, nobody waits for what still runs: jobs that take long ask [`given_up`] now and
//! then, and end.
//!
//! Workers can be elsewhere ([`Away`]): a thread here stands for each, hands it a unit and waits for
//! what comes of it. One that is lost ends the run.

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

/// Runs jobs of one kind on one worker; keeps what is worth reusing between jobs.
pub trait Executor<J, O> {
    /// Runs one job. A panic is caught: the job is run once more on a fresh executor.
    fn run(&mut self, job: &J) -> O;

    /// Runs the jobs of a unit; one output each, in order. After a panic they are run apart.
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
pub trait Away<J, O>: Send + Sync {
    /// Runs the jobs of a unit there; one output each, in order. A job that panics is its business,
    /// as it is an executor's here.
    ///
    /// # Errors
    /// When it is lost, in words.
    fn run(&self, jobs: &[J]) -> Result<Vec<O>, String>;

    /// Nobody waits for what it runs any more: [`Away::run`] is to come back soon, with an error.
    fn give_up(&self);
}

/// Device workers that are elsewhere.
pub struct Elsewhere<J, O> {
    /// Each of them.
    pub workers: Vec<Arc<dyn Away<J, O>>>,
    /// Whether a job can go there.
    pub travels: Box<dyn Fn(&J) -> bool + Send + Sync>,
}

impl<J, O> Elsewhere<J, O> {
    /// None at all.
    pub fn nobody() -> Self {
        Self {
            workers: Vec::new(),
            travels: Box::new(|_| false),
        }
    }
}

thread_local! {
    /// Set on the threads of workers: whether their pool is gone.
    static OVER: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// Whether the job that this thread runs is wanted by nobody any more, because its run has ended. No
/// result can depend on it: it is only ever true once all results have been taken.
pub fn given_up() -> bool {
    OVER.with_borrow(|over| {
        let over = over.as_ref();
        over.is_some_and(|over| over.load(Ordering::Relaxed))
    })
}

/// After how many ended worker threads a job is given up.
const PATIENCE: u32 = 2;

/// The outputs of a unit, each with its job's due.
type Outputs<O> = Vec<(Key, O)>;

/// The unit that a worker runs. Its thread holds the lock while it does; if the thread ends, the
/// unit is still there.
type Claim<J> = Arc<Mutex<Option<Unit<J>>>>;

/// Starts a worker of some number that leaves what it runs in its claim.
type Hire<J> = Box<dyn Fn(usize, Claim<J>) -> io::Result<JoinHandle<()>> + Send + Sync>;

struct Post<J> {
    thread: JoinHandle<()>,
    claim: Claim<J>,
}

/// One end of the two queues of units.
struct Queues<E> {
    /// What any worker may take.
    common: E,
    /// What only a worker of this process may.
    home: E,
}

impl<J> Queues<Receiver<Unit<J>>> {
    /// The next unit for a worker of this process; `None` when the run is over.
    fn next(&self) -> Option<Unit<J>> {
        // Others can do the rest meanwhile.
        if let Ok(unit) = self.home.try_recv() {
            return Some(unit);
        }
        select! {
            recv(self.home) -> unit => unit.ok(),
            recv(self.common) -> unit => unit.ok(),
        }
    }
}

/// The device workers of a run.
pub struct Workers<J, O> {
    hire: Hire<J>,
    posts: Mutex<Vec<Post<J>>>,
    units: Option<Queues<Sender<Unit<J>>>>,
    /// The workers' end of the queues, to empty them when the run ends early.
    queued: Queues<Receiver<Unit<J>>>,
    outputs: Receiver<Result<Outputs<O>, String>>,
    elsewhere: Elsewhere<J, O>,
    /// Nobody is to wait for what still runs.
    deserted: AtomicBool,
    /// Nobody takes what still runs.
    over: Arc<AtomicBool>,
}

impl<J: Send + 'static, O: Outcome> Workers<J, O> {
    /// Starts `count` workers (at least one); `make` builds each one's executor, on its own thread.
    ///
    /// # Errors
    /// When the host refuses a thread.
    pub fn start<E, F>(count: usize, make: F) -> io::Result<Self>
    where
        E: Executor<J, O>,
        F: Fn() -> E + Send + Sync + 'static,
    {
        Self::start_with(count, make, Elsewhere::nobody())
    }

    /// The same, and more of them `elsewhere`.
    ///
    /// # Errors
    /// When the host refuses a thread.
    pub fn start_with<E, F>(count: usize, make: F, elsewhere: Elsewhere<J, O>) -> io::Result<Self>
    where
        E: Executor<J, O>,
        F: Fn() -> E + Send + Sync + 'static,
    {
        let ((common, others_queue), (home, own_queue)) = (unbounded(), unbounded());
        let units = Queues { common, home };
        let queued = Queues {
            common: others_queue,
            home: own_queue,
        };
        let (outbox, outputs) = unbounded();
        let (make, count) = (Arc::new(make), count.max(1));
        let (common, home) = (queued.common.clone(), queued.home.clone());
        let away = elsewhere.workers.clone();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let hire: Hire<J> = Box::new(move |index, claim| {
            let (common, home) = (common.clone(), home.clone());
            let outbox = outbox.clone();
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            match index.checked_sub(count).and_then(|index| away.get(index)) {
                None => {
                    let (inbox, make) = (Queues { common, home }, Arc::clone(&make));
                    let over = Arc::clone(&is_over);
                    thread.spawn(move || {
                        OVER.set(Some(over));
                        serve(&inbox, &outbox, &claim, make.as_ref());
                    })
                }
                Some(away) => {
                    let away = Arc::clone(away);
                    thread.spawn(move || stand_for(away.as_ref(), &common, &outbox, &claim))
                }
            }
        });
        let mut posts = Vec::new();
        for index in 0..count + elsewhere.workers.len() {
            posts.push(Post::fill(&hire, index)?);
        }
        Ok(Self {
            hire,
            posts: Mutex::new(posts),
            units: Some(units),
            queued,
            outputs,
            elsewhere,
            deserted: AtomicBool::new(false),
            over,
        })
    }

    /// Queues a unit behind those already queued.
    pub(crate) fn submit(&self, unit: Unit<J>) {
        let Some(units) = &self.units else { return };
        let alone = self.elsewhere.workers.is_empty();
        let queue = match alone || unit.jobs.iter().all(&self.elsewhere.travels) {
            true => &units.common,
            false => &units.home,
        };
        // This struct holds a receiver: somebody always listens.
        let _ = queue.send(unit);
    }

    /// The outputs of the next finished unit, whichever it is; `None` after `patience`.
    ///
    /// # Errors
    /// When a worker elsewhere is lost, or a worker's thread has ended and the host refuses another;
    /// in words.
    pub(crate) fn finished(&self, patience: Duration) -> Result<Option<Outputs<O>>, String> {
        match self.outputs.recv_timeout(patience) {
            Ok(Ok(outputs)) => Ok(Some(outputs)),
            Ok(Err(lost)) => {
                self.desert();
                Err(lost)
            }
            // While outputs come nobody is missed.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self
                .replace_lost()
                .map_err(|error| format!("cannot replace a lost device worker: {error}")),
        }
    }

    /// From now on nobody waits for what still runs: the process is about to end.
    pub(crate) fn desert(&self) {
        self.deserted.store(true, Ordering::Relaxed);
    }

    /// Puts a fresh worker in the place of each whose thread has ended, and what that was running
    /// back into the queue; outputs only for jobs that are given up.
    fn replace_lost(&self) -> io::Result<Option<Outputs<O>>> {
        let mut given_up = Vec::new();
        for (index, post) in lock(&self.posts).iter_mut().enumerate() {
            if !post.thread.is_finished() {
                continue;
            }
            let lost = lock(&post.claim).take();
            *post = Post::fill(&self.hire, index)?;
            let Some(mut unit) = lost else { continue };
            unit.lost += 1;
            tracing::warn!(
                worker = index,
                jobs = unit.jobs.len(),
                "a device worker's thread ended: its jobs run again on a fresh one"
            );
            if unit.lost < PATIENCE {
                self.submit(unit);
            } else if unit.jobs.len() > 1 {
                // One of them is to blame; the others are not to suffer for it.
                unit.lost -= 1;
                unit.apart().for_each(|alone| self.submit(alone));
            } else {
                let reason = || O::failed(format!("{PATIENCE} device workers ended over it"));
                given_up.extend(unit.dues.into_iter().map(|due| (due, reason())));
            }
        }
        Ok((!given_up.is_empty()).then_some(given_up))
    }
}

impl<J> Post<J> {
    fn fill(hire: &Hire<J>, index: usize) -> io::Result<Self> {
        let claim = Claim::default();
        let thread = hire(index, Arc::clone(&claim))?;
        Ok(Self { thread, claim })
    }
}

/// What a lock protects, also after its last holder ended in the midst of things.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker's life.
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

/// The life of a thread that stands for a worker elsewhere.
fn stand_for<J, O>(
    away: &dyn Away<J, O>,
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

/// Runs a unit, and says what came of it; whether anybody listens and there can be another.
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
    // Answered: nobody is to run it again, even if it cannot be dropped in peace.
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
            // Whatever the panic left half done goes with the executor.
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
        // Queued jobs that nobody will take are not worth waiting for; running ones must be, here.
        while self.queued.common.try_recv().is_ok() {}
        while self.queued.home.try_recv().is_ok() {}
        for away in &self.elsewhere.workers {
            away.give_up();
        }
        for post in lock(&self.posts).drain(..) {
            if !self.deserted.load(Ordering::Relaxed) {
                let _ = post.thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;
