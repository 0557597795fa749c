//! Device workers: threads that run jobs while virtual time stands.
//!
//! A job is a pure function of its content, so which worker runs it, and when, cannot be seen in a
//! result. The conductor hands out units of jobs in an order fixed by virtual time.
//!
//! No job is lost: one that panics is run once more on a fresh executor; when a unit of several
//! panics its jobs are run apart; and when a worker's thread ends, whatever the reason, a fresh one
//! takes its place and its unit.

use super::crash::guarded;
use super::event::Key;
use super::node::Outcome;
use super::stack::Unit;
use crossbeam::channel::{unbounded, Receiver, RecvTimeoutError, Sender};
use std::io;
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

/// The device workers of a run.
pub struct Workers<J, O> {
    hire: Hire<J>,
    posts: Mutex<Vec<Post<J>>>,
    units: Option<Sender<Unit<J>>>,
    /// The workers' end of the queue, to empty it when the run ends early.
    queued: Receiver<Unit<J>>,
    outputs: Receiver<Outputs<O>>,
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
        let (units, queued) = unbounded::<Unit<J>>();
        let (outbox, outputs) = unbounded();
        let make = Arc::new(make);
        let inbox = queued.clone();
        let hire: Hire<J> = Box::new(move |index, claim| {
            let (inbox, outbox, make) = (inbox.clone(), outbox.clone(), Arc::clone(&make));
            let body = move || serve(&inbox, &outbox, &claim, make.as_ref());
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            thread.spawn(body)
        });
        let mut posts = Vec::new();
        for index in 0..count.max(1) {
            posts.push(Post::fill(&hire, index)?);
        }
        Ok(Self {
            hire,
            posts: Mutex::new(posts),
            units: Some(units),
            queued,
            outputs,
        })
    }

    /// Queues a unit behind those already queued.
    pub(crate) fn submit(&self, unit: Unit<J>) {
        if let Some(units) = &self.units {
            // This struct holds a receiver: somebody always listens.
            let _ = units.send(unit);
        }
    }

    /// The outputs of the next finished unit, whichever it is; `None` after `patience`.
    ///
    /// # Errors
    /// When a worker's thread has ended and the host refuses another.
    pub(crate) fn finished(&self, patience: Duration) -> io::Result<Option<Outputs<O>>> {
        match self.outputs.recv_timeout(patience) {
            Ok(outputs) => Ok(Some(outputs)),
            // While outputs come nobody is missed.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.replace_lost(),
        }
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
    inbox: &Receiver<Unit<J>>,
    outbox: &Sender<Outputs<O>>,
    claim: &Claim<J>,
    make: &impl Fn() -> E,
) {
    let mut executor = None;
    for unit in inbox {
        let mut claim = lock(claim);
        let unit = claim.insert(unit);
        let outputs = run_unit(&mut executor, make, &unit.jobs);
        let outputs = unit.dues.iter().copied().zip(outputs).collect();
        let gone = outbox.send(outputs).is_err();
        // Answered: nobody is to run it again, even if it cannot be dropped in peace.
        let done = claim.take();
        drop(claim);
        drop(done);
        if gone {
            return;
        }
    }
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
        // Queued jobs that nobody will take are not worth waiting for; running ones must be.
        while self.queued.try_recv().is_ok() {}
        for post in lock(&self.posts).drain(..) {
            let _ = post.thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
