//! One run, and what must hold in it:
//!
//! - every message is accounted for (the kernel's own check);
//! - no update is counted twice, none is of another round, none comes from a client that was not
//!   asked, none is not finite ([`super::Audit`]);
//! - the weights of a round sum to one: the new model is the mean of the reports, against double
//!   precision, where the method takes a mean;
//! - sums of masked updates are those of the plain ones, bit by bit, where there are any;
//! - every model is finite;
//! - the same seed gives the same trace hash, on one shard and on two;
//! - the run ends, with all its rounds held;
//! - rounds that begin after the last fault are completed.

use super::audit::{self, Audit, Findings};
use crate::federation::{Bug, DeviceMemory, Federation, Record};
use crate::learn::HostDevice;
use crate::observe::rows::Outcome as RoundOutcome;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::scenario::run::{assemble, simulate_on};
use crate::scenario::Scenario;
use crate::sim::{Delivery, Ending, Key, Observe, Recorder, RecorderError, TraceHash};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A run that takes longer than this does not end.
const PATIENCE: Duration = Duration::from_secs(60);

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: &'static str,
    /// What happened.
    pub what: String,
}

/// What a run without faults is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// When it ends.
    pub end: VirtualTime,
    /// The deadline of a round.
    pub deadline: Span,
    /// Its rounds.
    pub rounds: u32,
    /// Its clients.
    pub clients: u32,
    /// Whether there are servers between those and the server.
    pub servers_between: bool,
}

/// What a run was like.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Identifies it.
    pub hash: TraceHash,
    /// How it ended.
    pub ending: Ending,
    /// When.
    pub end: VirtualTime,
    /// Rounds held.
    pub rounds: u32,
    /// Those that were not completed: number and start.
    pub not_completed: Vec<(u32, VirtualTime)>,
    /// Reports that were not used.
    pub rejected: u64,
    /// The panics of handlers that no plan has.
    pub crashes: Vec<String>,
}

impl Violation {
    /// A broken invariant.
    pub fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}

impl Reference {
    /// Nothing goes wrong from here on. With faults rounds take longer, so that some are left.
    pub fn horizon(&self) -> VirtualTime {
        VirtualTime::from_nanos(self.end.nanos() / 2)
    }

    /// Faults that rounds begin and end are over with this one.
    pub const fn last_round_with_faults(&self) -> u32 {
        self.rounds / 2
    }
}

/// Listens to a run.
#[derive(Default)]
struct Ears {
    rounds: u32,
    not_completed: Vec<(u32, VirtualTime)>,
    rejected: u64,
    crashes: Vec<String>,
    fatal: Option<String>,
}

impl Recorder<Federation> for Ears {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        match record {
            Record::Round(row) => {
                self.rounds += 1;
                if row.outcome != RoundOutcome::Completed {
                    self.not_completed.push((row.round, row.started));
                }
            }
            Record::Rejection(_) => self.rejected += 1,
            Record::Crash { node, reason, .. } if !reason.contains("as planned") => {
                self.crashes.push(format!("{node}: {reason}"));
            }
            Record::Fatal(reason) => self.fatal = Some(reason),
            _ => {}
        }
        Ok(())
    }
}

/// Runs a scenario on so many shards.
///
/// # Errors
/// What must hold in any run and does not.
pub fn run(scenario: &Scenario, shards: usize, bug: Option<Bug>) -> Result<Outcome, Violation> {
    let findings = Findings::default();
    let averages = scenario.takes_plain_means();
    let federation = assemble(scenario, HostDevice::Cpu)
        .map_err(|error| Violation::new("assembly", error.to_string()))?
        .audited({
            let findings = Arc::clone(&findings);
            move |inner| Box::new(Audit::new(inner, Arc::clone(&findings), averages))
        })
        .witnessed({
            let findings = Arc::clone(&findings);
            move |wrong| audit::note(&findings, wrong)
        })
        .planted(bug);
    let mut ears = Ears::default();
    let memory = DeviceMemory::new(None, Bytes(u64::MAX));
    let summary = watched(|stop| {
        simulate_on(
            federation,
            None,
            scenario.seed,
            (1, shards),
            memory,
            &mut ears,
            stop,
        )
    });
    if let Some(reason) = ears.fatal {
        return Err(Violation::new("the run goes on", reason));
    }
    let summary = summary.map_err(|error| Violation::new("the run ends", error.to_string()))?;
    if summary.ending == Ending::Interrupted {
        let what = format!("not within {} s of real time", PATIENCE.as_secs());
        return Err(Violation::new("the run ends", what));
    }
    let found = findings.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(first) = found.first() {
        return Err(Violation::new("the model", first.clone()));
    }
    if let Some(first) = ears.crashes.first() {
        return Err(Violation::new("no handler panics", first.clone()));
    }
    Ok(Outcome {
        hash: summary.hash,
        ending: summary.ending,
        end: summary.now,
        rounds: ears.rounds,
        not_completed: ears.not_completed,
        rejected: ears.rejected,
        crashes: ears.crashes,
    })
}

/// Runs `body` and sets its flag when it takes too long.
fn watched<T>(body: impl FnOnce(&AtomicBool) -> T) -> T {
    let stop = AtomicBool::new(false);
    let (done, over) = crossbeam::channel::bounded::<()>(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if over.recv_timeout(PATIENCE) == Err(crossbeam::channel::RecvTimeoutError::Timeout) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        let result = body(&stop);
        drop(done);
        result
    })
}

/// Runs a scenario twice and looks at everything that must hold.
pub(super) fn trial(
    scenario: &Scenario,
    reference: Option<&Reference>,
    bug: Option<Bug>,
) -> Result<Outcome, Violation> {
    let outcome = run(scenario, 1, bug)?;
    if outcome.rounds != scenario.schedule.rounds {
        let what = format!(
            "{} of {} rounds were held",
            outcome.rounds, scenario.schedule.rounds
        );
        return Err(Violation::new("liveness", what));
    }
    if let Some(reference) = reference {
        // The first round after the last fault may still wait for what was lost in it; and some
        // faults are those of a round, whenever that is.
        let healed = reference.horizon() + reference.deadline;
        let mut later = outcome.not_completed.iter();
        let stuck = later.find(|(round, started)| {
            *started >= healed && *round > reference.last_round_with_faults()
        });
        if let Some((round, started)) = stuck {
            let what = format!(
                "round {round} began at {started}, after the last fault, and was abandoned"
            );
            return Err(Violation::new("liveness", what));
        }
    }
    let again = run(scenario, 2, bug)?;
    if again.hash != outcome.hash {
        let what = format!("{} on one shard, {} on two", outcome.hash, again.hash);
        return Err(Violation::new("same seed, same hash", what));
    }
    Ok(outcome)
}
