//! Swarm testing: many runs of one scenario, each amid its own random faults, and what must hold in
//! all of them.
//!
//! Each run first leaves some kinds of fault out altogether (Groce et al., "Swarm Testing", ISSTA
//! 2012), then draws a plan from the others. Until a time that the plan knows everything may go
//! wrong (safety); from then on nothing does, but for a minority of clients that is gone for good,
//! and the federation must finish its rounds (liveness). `trial` has the invariants; what watches a
//! server that holds rounds is `audit`, one that asks clients one by one `steps`, clients without a
//! server `peers`.
//!
//! A run is named by the swarm's seed and its number. One that breaks an invariant is shrunk to a
//! smallest set of faults that still does, and printed as a scenario.

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
    /// Which run.
    pub run: u32,
    /// The scenario's seed in it.
    pub seed: u64,
    /// Its faults, as RON.
    pub plan: Vec<String>,
    /// What it broke.
    pub violation: Violation,
}

/// What came of a swarm.
#[derive(Debug, Clone, Default)]
pub struct SwarmResult {
    /// Runs that ended.
    pub runs: u32,
    /// Faults in their plans.
    pub faults: u64,
    /// Rounds held.
    pub rounds: u64,
    /// Reports that the server did not use.
    pub rejected: u64,
    /// The failure of the run with the lowest number.
    pub failure: Option<Failure>,
}

/// How a swarm runs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Names the plans.
    pub seed: u64,
    /// How many runs.
    pub runs: u32,
    /// Runs at the same time.
    pub jobs: usize,
    /// No run begins after this.
    pub until: Option<Instant>,
    /// A defect put in on purpose.
    pub bug: Option<Bug>,
}

/// The plan and the seed of a run.
pub fn of_run(subject: &Subject, reference: &Reference, seed: u64, run: u32) -> (Vec<String>, u64) {
    draw::plan(seed, run, &subject.bounds(reference))
}

/// Runs the swarm; `each` hears of every run that ends. It stops at the first failure: of those
/// that ended by then the one with the lowest number is told.
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
        // The threads' senders are the only ones left: the loop ends with the last thread.
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
