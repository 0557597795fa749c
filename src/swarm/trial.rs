//! One run, and the invariants that must hold in it:
//!
//! - Every message is accounted for; the kernel itself checks that.
//! - No update is counted twice, is of another round, comes from a client that was not asked, or
//!   has values that are not finite ([`super::Audit`]).
//! - The weights of a round sum to one: where the method takes a mean, the new model is the mean of
//!   the reports, computed here in double precision.
//! - Where updates are masked, the sums of masked updates equal those of the plain ones, bit by
//!   bit.
//! - Every model is finite.
//! - One seed gives one trace hash, on one shard and on two.
//! - The run ends with all its rounds held, unless its schedule ends it before.
//! - Rounds that begin after the last fault are completed.
//!
//! For a server that asks clients one by one, [`super::StepAudit`] checks tasks instead of rounds.
//! Without a server, [`super::PeerAudit`] checks what clients mix. A round may be abandoned if its
//! clients were away or had spent their budget; that breaks no invariant.

use super::audit::{self, Audit, Findings};
use super::draw::{Kinds, GONE};
use super::peers::PeerAudit;
use super::steps::StepAudit;
use crate::availability::Presence;
use crate::fault::{ClientFault, What, When};
use crate::federation::{Bug, DeviceMemory, Federation, Message, Record};
use crate::learn::HostDevice;
use crate::observe::rows::{ClientOutcome, Outcome as RoundOutcome, RoundRow};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::run::{assemble, simulate_on};
use crate::scenario::Scenario;
use crate::sim::{
    Delivery, Ending, Key, Network, Observe, Recorder, RecorderError, TraceHash, World,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The real time after which a run counts as one that does not end. Large runs take a minute where
/// others compete for the cores.
const PATIENCE: Duration = Duration::from_secs(300);

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The name of the invariant.
    pub invariant: &'static str,
    /// What happened instead.
    pub what: String,
}

/// What is known from a run without faults.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reference {
    /// The virtual time at which the run ends.
    pub end: VirtualTime,
    /// The longest time that any node waits for a lost message: the sum of the deadlines of all
    /// servers on the way or, without rounds, the timeout of a client.
    pub deadline: Span,
    /// The number of rounds.
    pub rounds: u32,
    /// The number of clients.
    pub clients: u32,
    /// Without a server: the largest number of clients that a round did without.
    pub lost: u32,
    /// Whether the federation has no server.
    pub peers: bool,
    /// The kinds of fault that the scenario allows.
    pub kinds: Kinds,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The trace hash of the run.
    pub hash: TraceHash,
    /// How the run ended.
    pub ending: Ending,
    /// The virtual time at which it ended.
    pub end: VirtualTime,
    /// The number of rounds held.
    pub rounds: u32,
    /// Whether the schedule ended the run before its last round, because its time was over or its
    /// accuracy was reached.
    pub stopped: bool,
    /// The number of rounds that were abandoned, for whatever reason.
    pub abandoned: u32,
    /// The rounds that were not completed although the scenario gives no reason: number and start.
    pub not_completed: Vec<(u32, VirtualTime)>,
    /// Without a server: for each round its number, its start, and the number of clients that it
    /// did without.
    pub lost: Vec<(u32, VirtualTime, u32)>,
    /// Whether the plan has clients that are gone for good.
    pub some_gone: bool,
    /// The number of reports that a server refused.
    pub rejected: u64,
    /// The panics of handlers that are not part of the plan.
    pub crashes: Vec<String>,
}

impl Violation {
    /// The violation of the invariant `invariant`.
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
    /// The virtual time from which on nothing goes wrong. It is half of the time of a run without
    /// faults: with faults rounds take longer, so that some are left after it.
    pub fn horizon(&self) -> VirtualTime {
        VirtualTime::from_nanos(self.end.nanos() / 2)
    }

    /// The last round in which faults that follow rounds, not the clock, may be on.
    pub const fn last_round_with_faults(&self) -> u32 {
        self.rounds / 2
    }
}

fn most_gone(clients: u32) -> u32 {
    ((GONE * f64::from(clients)) as u32).max(1)
}

/// Records the rows of a run that the invariants need.
#[derive(Default)]
struct Collector {
    rounds: Vec<RoundRow>,
    /// For each round the clients that it lost. `None` where presence cannot matter.
    lost: Option<BTreeMap<u32, Vec<u32>>>,
    rejected: u64,
    crashes: Vec<String>,
    fatal: Option<String>,
}

impl Recorder<Federation> for Collector {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        match record {
            Record::Round(row) => self.rounds.push(*row),
            Record::Client(row) if row.outcome == ClientOutcome::Lost => {
                if let Some(lost) = &mut self.lost {
                    lost.entry(row.round).or_default().push(row.client);
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

/// Whether the scenario gives clients a reason not to answer: they may be away, or decline for lack
/// of budget.
fn has_excuses(scenario: &Scenario) -> bool {
    let mut groups = scenario.population.iter().map(|member| &member.group);
    scenario.someone_may_be_away() || groups.any(|group| group.budget.is_some())
}

impl Collector {
    /// The rounds that were not completed although enough of their clients were present all the
    /// time.
    fn stuck(&self, scenario: &Scenario, presence: &Presence) -> Vec<(u32, VirtualTime)> {
        let needed = match &scenario.schedule.waiting {
            Some(waiting) => waiting.buffer(),
            None => scenario.schedule.least_reports.max(1),
        };
        let enough = u64::from(needed) + u64::from(most_gone(scenario.clients()));
        let failed = self
            .rounds
            .iter()
            .filter(|row| matches!(row.outcome, RoundOutcome::Abandoned | RoundOutcome::Crashed));
        let unexcused = failed.filter(|row| {
            let Some(lost) = &self.lost else {
                return true;
            };
            let lost = lost.get(&row.round).map_or(&[][..], Vec::as_slice);
            let stayed = lost
                .iter()
                .filter(|client| presence.stays(**client, row.round, row.started, row.ended));
            u64::from(row.reported) + stayed.count() as u64 >= enough
        });
        unexcused.map(|row| (row.round, row.started)).collect()
    }
}

/// Runs a scenario on `shards` shards.
///
/// # Errors
/// The first invariant that does not hold.
pub fn run(scenario: &Scenario, shards: usize, bug: Option<Bug>) -> Result<Outcome, Violation> {
    let findings = Findings::default();
    let wrong = |error: String| Violation::new("assembly", error);
    let federation =
        assemble(scenario, HostDevice::Cpu).map_err(|error| wrong(error.to_string()))?;
    let means = scenario
        .takes_plain_means()
        .then(|| scenario.method.method().weighting());
    let (waiting, plain) = (scenario.schedule.waiting, scenario.takes_what_it_is_given());
    let presence = federation.plan().presence();
    // The kernel reports when its last window began, so the run may have gone on for one window.
    let window = Network::<Message>::lookahead(federation.network());
    let federation = federation
        .audited({
            let findings = Arc::clone(&findings);
            move |inner| {
                let findings = Arc::clone(&findings);
                match waiting {
                    Some(waiting) => Box::new(StepAudit::new(inner, findings, waiting, plain)),
                    None => Box::new(Audit::new(inner, findings, means)),
                }
            }
        })
        .witnessed({
            let findings = Arc::clone(&findings);
            move |wrong| audit::note(&findings, wrong)
        })
        .with_peer_watcher(Arc::new(PeerAudit::new(Arc::clone(&findings))))
        .planted(bug)
        .map_err(|error| wrong(error.to_string()))?;
    let mut collector = Collector {
        lost: has_excuses(scenario).then(BTreeMap::new),
        ..Collector::default()
    };
    let memory = DeviceMemory::new(None, Bytes(u64::MAX));
    let summary = watched(|stop| {
        simulate_on(
            federation,
            None,
            scenario.seed,
            (1, shards),
            memory,
            &mut collector,
            stop,
        )
    });
    if let Some(reason) = collector.fatal {
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
    if let Some(first) = collector.crashes.first() {
        return Err(Violation::new("no handler panics", first.clone()));
    }
    let schedule = &scenario.schedule;
    let reached = |row: &RoundRow| {
        let goal = schedule.stop_at_accuracy.zip(row.accuracy);
        goal.is_some_and(|(goal, accuracy)| accuracy >= goal.get())
    };
    let out_of_time = schedule
        .stop_at_time
        .is_some_and(|span| summary.now + window >= VirtualTime::ZERO + span);
    Ok(Outcome {
        hash: summary.hash,
        ending: summary.ending,
        end: summary.now,
        rounds: collector.rounds.len() as u32,
        stopped: out_of_time || collector.rounds.iter().any(reached),
        abandoned: {
            let rounds = collector.rounds.iter();
            rounds
                .filter(|row| row.outcome == RoundOutcome::Abandoned)
                .count() as u32
        },
        not_completed: collector.stuck(scenario, &presence),
        lost: match scenario.gossip() {
            Some(_) => {
                let rounds = collector.rounds.iter();
                rounds
                    .map(|row| (row.round, row.started, row.unanswered))
                    .collect()
            }
            None => Vec::new(),
        },
        some_gone: scenario.faults.iter().any(|fault| {
            let for_good = matches!(fault.when, When::Once { lasts: None, .. });
            for_good || matches!(fault.what, What::Client(ClientFault::Panic))
        }),
        rejected: collector.rejected,
        crashes: collector.crashes,
    })
}

/// Runs `body`, and raises its flag if it takes longer than [`PATIENCE`].
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

/// Runs a scenario twice, on one shard and on two, and checks all invariants.
pub(super) fn trial(
    scenario: &Scenario,
    reference: Option<&Reference>,
    bug: Option<Bug>,
) -> Result<Outcome, Violation> {
    let outcome = run(scenario, 1, bug)?;
    if outcome.rounds != scenario.schedule.rounds && !outcome.stopped {
        let what = format!(
            "{} of {} rounds were held",
            outcome.rounds, scenario.schedule.rounds
        );
        return Err(Violation::new("liveness", what));
    }
    if let Some(reference) = reference {
        if let Some(what) = late_failure(&outcome, reference) {
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

/// Describes a round that failed after the last fault, if there is one.
fn late_failure(outcome: &Outcome, reference: &Reference) -> Option<String> {
    // The first round after the last fault may still wait for messages that were lost before it,
    // and some faults follow rounds instead of the clock.
    let healed = reference.horizon() + reference.deadline;
    let last = reference.last_round_with_faults();
    let mut later = outcome.not_completed.iter();
    let stuck = later.find(|(round, started)| *started >= healed && *round > last);
    if let Some((round, started)) = stuck {
        return Some(format!(
            "round {round} began at {started}, after the last fault, and was abandoned"
        ));
    }
    if outcome.some_gone {
        // Neighbours of clients that are gone wait for them in every round, fall behind and skip
        // rounds.
        return None;
    }
    // Without a server, a client that is behind completes its old round after one deadline and the
    // round that it goes on to after another; then it learns of the latest round.
    let caught_up = reference.horizon() + reference.deadline.scaled(4.0);
    let most = reference.lost;
    let mut rounds = outcome.lost.iter();
    let missed = rounds
        .find(|(round, started, lost)| *started >= caught_up && *round > last && *lost > most);
    missed.map(|(round, started, lost)| {
        format!(
            "round {round} began at {started}, long after the last fault, and {lost} clients were \
             lost to it, where without faults at most {most} are"
        )
    })
}
