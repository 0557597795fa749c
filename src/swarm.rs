//! Swarm testing: many runs of one scenario, each with its own random faults, and a set of
//! invariants that must hold in all of them.
//!
//! Each run first leaves out some kinds of fault altogether (Groce et al., "Swarm Testing", ISSTA
//! 2012) and then draws a plan from the others. Until a time that is known from the plan, anything
//! may go wrong; no invariant may break all the same (safety). After that time nothing goes wrong,
//! except that a minority of clients is gone for good, and the federation must complete its rounds
//! (liveness).
//!
//! - `subject`: the scenario under test, made small
//! - `draw`: random fault plans
//! - `trial`: one run, and the invariants
//! - `audit`: the check of a server that holds rounds
//! - `steps`: the check of a server that asks clients one by one
//! - `peers`: the check of clients without a server
//! - `shrink`: the reduction of a failing plan
//!
//! A run is named by the seed of the swarm and its number. The plan of a run that breaks an
//! invariant is reduced to a smallest set of faults that still breaks one, and is printed as a
//! scenario.

mod audit;
mod draw;
mod peers;
mod shrink;
mod steps;
mod subject;
mod trial;

pub use audit::Audit;
pub use draw::{plan, Bounds, Kinds};
pub use peers::PeerAudit;
pub use shrink::shrink;
pub use steps::StepAudit;
pub use subject::{Subject, SubjectError};
pub use trial::{run, Outcome, Reference, Violation};

use crate::federation::Bug;
use crossbeam::channel::bounded;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

/// A run that broke an invariant.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The number of the run.
    pub run: u32,
    /// The seed of the run's scenario.
    pub seed: u64,
    /// The faults of the run, each as RON.
    pub plan: Vec<String>,
    /// The invariant that was broken.
    pub violation: Violation,
}

/// The result of a swarm, or of the part that has run so far.
#[derive(Debug, Clone, Default)]
pub struct SwarmResult {
    /// The number of runs that ended.
    pub runs: u32,
    /// The number of faults in their plans.
    pub faults: u64,
    /// The number of rounds held.
    pub rounds: u64,
    /// The number of reports that a server refused.
    pub rejected: u64,
    /// The failure of the run with the lowest number, if any failed.
    pub failure: Option<Failure>,
}

/// How a swarm runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The seed from which all plans follow.
    pub seed: u64,
    /// The number of runs.
    pub runs: u32,
    /// The number of runs at the same time.
    pub jobs: usize,
    /// No run begins after this moment.
    pub until: Option<Instant>,
    /// A defect that is put into the engine on purpose, to test the swarm itself.
    pub bug: Option<Bug>,
}

/// The faults of run number `run`, as RON, and the seed of its scenario.
pub fn of_run(subject: &Subject, reference: &Reference, seed: u64, run: u32) -> (Vec<String>, u64) {
    draw::plan(seed, run, &subject.bounds(reference))
}

/// Runs the swarm and calls `each` after every run that ends. The swarm stops at the first failure;
/// of the failures until all threads have stopped, the result has the one with the lowest run
/// number.
pub fn swarm(
    subject: &Subject,
    reference: &Reference,
    settings: Settings,
    stop: &AtomicBool,
    mut each: impl FnMut(&SwarmResult),
) -> SwarmResult {
    let next = AtomicU32::new(0);
    let failed = AtomicBool::new(false);
    let jobs = settings.jobs.max(1);
    let (sender, ended) = bounded(jobs);
    let over = || {
        stop.load(Ordering::Relaxed)
            || failed.load(Ordering::Relaxed)
            || settings.until.is_some_and(|until| Instant::now() >= until)
    };
    let mut result = SwarmResult::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let (next, failed, over) = (&next, &failed, &over);
            scope.spawn(move || {
                while !over() {
                    let run = next.fetch_add(1, Ordering::Relaxed);
                    if run >= settings.runs {
                        break;
                    }
                    let (plan, seed) = of_run(subject, reference, settings.seed, run);
                    let outcome = subject.trial(&plan, seed, Some(reference), settings.bug);
                    failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    if sender.send((run, seed, plan, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        // Only the threads hold senders now, so the loop ends when the last thread does.
        drop(sender);
        for (run, seed, plan, outcome) in &ended {
            result.runs += 1;
            result.faults += plan.len() as u64;
            match outcome {
                Ok(outcome) => {
                    result.rounds += u64::from(outcome.rounds);
                    result.rejected += outcome.rejected;
                }
                Err(violation) if result.failure.as_ref().is_none_or(|first| run < first.run) => {
                    result.failure = Some(Failure {
                        run,
                        seed,
                        plan,
                        violation,
                    });
                }
                Err(_) => {}
            }
            each(&result);
        }
    });
    result
}
