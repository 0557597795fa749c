//! Device workers: threads that run jobs while virtual time stands.
//!
//! A job is a pure function of its content, so which worker runs it, and when, cannot be seen in a
//! result. The conductor hands out batches in an order fixed by virtual time.

use super::crash::guarded;
use super::event::Key;
use super::node::Outcome;
use crossbeam::channel::{unbounded, Receiver, RecvTimeoutError, Sender};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs jobs of one kind on one worker; keeps what is worth reusing between jobs.
pub trait Executor<J, O> {
    /// Runs one job. A panic is caught: the job is run once more on a fresh executor.
    fn run(&mut self, job: &J) -> O;
}

impl<J, O, F: FnMut(&J) -> O> Executor<J, O> for F {
    fn run(&mut self, job: &J) -> O {
        self(job)
    }
}

/// The device workers of a run.
pub struct Workers<J, O> {
    jobs: Option<Sender<(Key, J)>>,
    /// The workers' end of the queue, to empty it when the run ends early.
    queued: Receiver<(Key, J)>,
    outputs: Receiver<(Key, O)>,
    threads: Vec<JoinHandle<()>>,
}

impl<J: Send + 'static, O: Outcome> Workers<J, O> {
    /// Starts `count` workers (at least one); `make` builds each one's executor, on its own thread.
    ///
    /// # Errors
    /// When the host refuses a thread.
    pub fn start<E, F>(count: usize, make: F) -> std::io::Result<Self>
    where
        E: Executor<J, O>,
        F: Fn() -> E + Send + Sync + 'static,
    {
        let (jobs, inbox) = unbounded::<(Key, J)>();
        let (outbox, outputs) = unbounded();
        let make = Arc::new(make);
        let mut threads = Vec::new();
        for index in 0..count.max(1) {
            let (inbox, outbox, make) = (inbox.clone(), outbox.clone(), Arc::clone(&make));
            let body = move || {
                let mut executor = None;
                for (due, job) in inbox {
                    let output = run_twice(&mut executor, make.as_ref(), &job);
                    if outbox.send((due, output)).is_err() {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("worker-{index}"));
            threads.push(thread.spawn(body)?);
        }
        Ok(Self {
            jobs: Some(jobs),
            queued: inbox,
            outputs,
            threads,
        })
    }

    /// Queues a job behind those already queued.
    pub(crate) fn submit(&self, due: Key, job: J) {
        if let Some(jobs) = &self.jobs {
            // The receivers live as long as the threads, and those as long as this sender.
            let _ = jobs.send((due, job));
        }
    }

    /// The next finished job, whichever it is; `None` after `patience`.
    pub(crate) fn finished(&self, patience: Duration) -> Result<Option<(Key, O)>, WorkersGone> {
        match self.outputs.recv_timeout(patience) {
            Ok(output) => Ok(Some(output)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(WorkersGone),
        }
    }
}

/// Every worker thread has ended.
#[derive(Debug)]
pub(crate) struct WorkersGone;

fn run_twice<J, O: Outcome, E: Executor<J, O>>(
    executor: &mut Option<E>,
    make: &(impl Fn() -> E + ?Sized),
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
        self.jobs = None;
        // Queued jobs that nobody will take are not worth waiting for; running ones must be.
        while self.queued.try_recv().is_ok() {}
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::NodeId;
    use super::*;
    use crate::quantity::VirtualTime;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn queued_jobs_are_dropped_when_a_run_ends_early() {
        let ran = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&ran);
        let workers = Workers::<u32, ()>::start(1, move || {
            let counter = Arc::clone(&counter);
            move |_: &u32| {
                counter.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(30));
            }
        })
        .unwrap();
        for sequence in 0..50 {
            let due = Key {
                time: VirtualTime::ZERO,
                source: NodeId(0),
                sequence,
            };
            workers.submit(due, 7);
        }
        // The first is under way by then.
        workers.finished(Duration::from_secs(5)).unwrap();
        drop(workers);
        assert!(ran.load(Ordering::Relaxed) < 10, "{ran:?}");
    }
}
