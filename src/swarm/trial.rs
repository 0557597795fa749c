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
//! - the run ends, with all its rounds held, unless its schedule ends it before;
//! - rounds that begin after the last fault are completed.
//!
//! Where clients are asked one by one, [`super::StepAudit`] looks at tasks instead of rounds; where
//! there is no server, [`super::PeerAudit`] at what clients mix. A round that is abandoned because its
//! clients were away, or had spent their budget, is no fault of the federation's.

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
use crate::scenario::run::{assemble, simulate_on};
use crate::scenario::Scenario;
use crate::sim::{
    Delivery, Ending, Key, Network, Observe, Recorder, RecorderError, TraceHash, World,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A run that takes longer than this does not end; large ones take a minute where others compete
/// for the cores.
const PATIENCE: Duration = Duration::from_secs(300);

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
    /// How long anybody waits for what was lost: the deadlines of all servers on the way, or the time
    /// that a client has where there are no rounds.
    pub deadline: Span,
    /// Its rounds.
    pub rounds: u32,
    /// Its clients.
    pub clients: u32,
    /// Most clients of a round that were lost to it, where there is no server.
    pub lost: u32,
    /// Whether there is no server.
    pub peers: bool,
    /// Which kinds of fault the scenario may have.
    pub kinds: Kinds,
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
    /// Whether the schedule's time was over, or its accuracy reached, before its last round.
    pub stopped: bool,
    /// Those that were abandoned, for whatever reason.
    pub abandoned: u32,
    /// Those that were not completed, for no reason that the scenario gives: number and start.
    pub not_completed: Vec<(u32, VirtualTime)>,
    /// Where there is no server: of each round its number, its start and how many were lost to it.
    pub lost: Vec<(u32, VirtualTime, u32)>,
    /// Whether the plan has clients that are gone for good.
    pub some_gone: bool,
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

fn most_gone(clients: u32) -> u32 {
    ((GONE * f64::from(clients)) as u32).max(1)
}

/// Listens to a run.
#[derive(Default)]
struct Ears {
    rounds: Vec<RoundRow>,
    /// Where it may matter who was there: whom each round has lost.
    lost: Option<BTreeMap<u32, Vec<u32>>>,
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

/// Whether clients may have reasons of the scenario's not to answer: they are away, or decline.
fn has_excuses(scenario: &Scenario) -> bool {
    let mut groups = scenario.population.iter().map(|member| &member.group);
    scenario.someone_may_be_away() || groups.any(|group| group.budget.is_some())
}

impl Ears {
    /// The rounds that were not completed although enough clients were there for all of them.
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

/// Runs a scenario on so many shards.
///
/// # Errors
/// What must hold in any run and does not.
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
    // The kernel tells when its last window began.
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
    let mut ears = Ears {
        lost: has_excuses(scenario).then(BTreeMap::new),
        ..Ears::default()
    };
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
        rounds: ears.rounds.len() as u32,
        stopped: out_of_time || ears.rounds.iter().any(reached),
        abandoned: {
            let rounds = ears.rounds.iter();
            rounds
                .filter(|row| row.outcome == RoundOutcome::Abandoned)
                .count() as u32
        },
        not_completed: ears.stuck(scenario, &presence),
        lost: match scenario.gossip() {
            Some(_) => {
                let rounds = ears.rounds.iter();
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

/// What went wrong in a round when nothing was wrong any more, in words.
fn late_failure(outcome: &Outcome, reference: &Reference) -> Option<String> {
    // The first round after the last fault may still wait for what was lost in it; and some faults
    // are those of a round, whenever that is.
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
        // Their neighbours wait for them in every round, fall behind and pass over rounds.
        return None;
    }
    // Without a server: whoever was behind is through with an old round a deadline later, with the one
    // that it went on to another, and hears of the latest then.
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
