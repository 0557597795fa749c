//! The scenario that a swarm tests.

use super::draw::{Bounds, Kinds};
use super::trial::{self, Outcome, Reference, Violation};
use crate::federation::Bug;
use crate::scenario::Scenario;
use crate::sim::Ending;
use crate::text::{Diagnostics, Document};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The largest number of rounds of a run, unless the scenario is run in full.
const ROUNDS: u32 = 10;

/// A scenario, and the overrides that all runs of the swarm have.
#[derive(Debug, Clone)]
pub struct Subject {
    text: String,
    path: PathBuf,
    overrides: Vec<String>,
}

/// Why a swarm cannot test a scenario.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// The scenario is wrong.
    #[error("{0:#}")]
    Wrong(#[from] Diagnostics),
    /// The scenario has faults of its own.
    #[error("the scenario has faults of its own, and a swarm draws them: take them out with --set 'faults=[]', or try `shoal run`")]
    Faults,
    /// The scenario has no deadline, so that one lost report would stop a round for ever.
    #[error("the scenario has no schedule.deadline: a round whose messages are lost would never end; set one, such as --set 'schedule.deadline=\"5 s\"'")]
    NoDeadline,
    /// The scenario has no timeout, so that a client whose report is lost would never be asked
    /// again.
    #[error("the scenario has no schedule.waiting.timeout: the server would wait for ever for a client whose report is lost; set one, such as --set 'schedule.waiting.timeout=\"10 s\"'")]
    NoTimeout,
    /// The scenario does not run to its end even without faults.
    #[error("without any fault the scenario does not hold: {0}")]
    Unsound(Violation),
}

impl Subject {
    /// Prepares a scenario. Unless `full` is set, training is reduced to a step of a small model,
    /// in a few rounds.
    ///
    /// # Errors
    /// When the scenario is wrong, or a swarm cannot test it.
    pub fn new(
        text: String,
        path: &Path,
        overrides: Vec<String>,
        full: bool,
    ) -> Result<Self, SubjectError> {
        let mut subject = Self {
            text,
            path: path.to_path_buf(),
            overrides,
        };
        let scenario = subject.scenario(&[], None)?;
        if !scenario.faults.is_empty() {
            return Err(SubjectError::Faults);
        }
        match &scenario.schedule.waiting {
            Some(waiting) if waiting.timeout.is_none() => return Err(SubjectError::NoTimeout),
            None if scenario.schedule.deadline.is_none() => return Err(SubjectError::NoDeadline),
            _ => {}
        }
        if !full {
            let rounds = scenario.schedule.rounds.min(ROUNDS);
            subject.overrides.push(format!("schedule.rounds={rounds}"));
            subject.make_small(scenario.samples.classes);
        }
        subject
            .overrides
            .push("record=(clients: false, histograms: false, trace: false, report: false)".into());
        subject.scenario(&[], None)?;
        Ok(subject)
    }

    /// Reduces training to a step of a small model and switches evaluation off, as far as the
    /// scenario allows.
    fn make_small(&mut self, classes: usize) {
        let end = format!("Dense({classes})");
        let models = [
            format!("model=[Flatten, {end}]"),
            // Methods that cut networks by depth need a model with several levels.
            format!(
                "model=[Flatten, Dense(8), Relu, Exit(head: [{end}]), Dense(8), Relu, \
                 Exit(head: [{end}]), Dense(8), Relu, {end}]"
            ),
        ];
        let training = "training=(steps: 1, batch: 8, optimizer: Sgd(lr: 0.05))".to_string();
        let evaluation = [
            "evaluation=(every: 1000, central: false)".to_string(),
            "evaluation=(every: 1000)".to_string(),
        ];
        for alternatives in [&[training][..], &models, &evaluation] {
            for one in alternatives {
                self.overrides.push(one.clone());
                if self.scenario(&[], None).is_ok() {
                    break;
                }
                self.overrides.pop();
            }
        }
    }

    fn all_overrides(&self, plan: &[String], seed: Option<u64>) -> Vec<String> {
        let mut all = self.overrides.clone();
        if !plan.is_empty() {
            all.push(format!("faults=[{}]", plan.join(", ")));
        }
        all.extend(seed.map(|seed| format!("seed={seed}")));
        all
    }

    /// The scenario with the faults of `plan`.
    ///
    /// # Errors
    /// When the resulting scenario is wrong.
    pub fn scenario(&self, plan: &[String], seed: Option<u64>) -> Result<Scenario, Diagnostics> {
        Scenario::parse(&self.text, &self.path, &self.all_overrides(plan, seed))
    }

    /// The text of the scenario with the faults of `plan`, to be kept as a file.
    ///
    /// # Errors
    /// When the resulting scenario is wrong.
    pub fn to_ron(&self, plan: &[String], seed: u64) -> Result<String, Diagnostics> {
        let mut document = Document::parse(&self.text, &self.path)?;
        for assignment in self.all_overrides(plan, Some(seed)) {
            document.set(&assignment)?;
        }
        Ok(document.to_ron())
    }

    /// Runs the scenario without faults, to learn how long it takes and that it completes all
    /// rounds.
    ///
    /// # Errors
    /// When an invariant is broken even without faults.
    pub fn reference(&self) -> Result<Reference, SubjectError> {
        let scenario = self.scenario(&[], None)?;
        let outcome = trial::run(&scenario, 1, None).map_err(SubjectError::Unsound)?;
        debug_assert_eq!(outcome.ending, Ending::Finished);
        if let Some(round) = outcome.not_completed.first() {
            let what = format!("round {} is abandoned", round.0);
            return Err(SubjectError::Unsound(Violation::new("liveness", what)));
        }
        let schedule = &scenario.schedule;
        let waits = schedule.waiting.as_ref().map(|waiting| waiting.timeout);
        let deadline = waits.unwrap_or(schedule.deadline).unwrap_or_default();
        let between = scenario
            .hierarchy
            .iter()
            .filter_map(|between| between.tier.deadline);
        let mut reference = Reference {
            end: outcome.end,
            deadline: between.fold(deadline, |sum, span| sum + span),
            rounds: outcome.rounds,
            clients: scenario.clients(),
            lost: outcome.lost.iter().map(|round| round.2).max().unwrap_or(0),
            peers: scenario.gossip().is_some(),
            kinds: Kinds::ALL,
        };
        let accepts = |fault: &str| self.scenario(&[fault.to_string()], None).is_ok();
        reference.kinds = Kinds::accepted(&self.bounds(&reference), accepts);
        Ok(reference)
    }

    /// The range for fault plans: the first half of a run without faults.
    pub fn bounds(&self, reference: &Reference) -> Bounds {
        Bounds {
            horizon: reference.horizon().seconds(),
            rounds: reference.last_round_with_faults(),
            clients: reference.clients,
            kinds: reference.kinds,
            peers: reference.peers,
        }
    }

    /// Runs the scenario with the faults of `plan` and checks all invariants.
    ///
    /// # Errors
    /// The first invariant that is broken.
    pub fn trial(
        &self,
        plan: &[String],
        seed: u64,
        reference: Option<&Reference>,
        bug: Option<Bug>,
    ) -> Result<Outcome, Violation> {
        let scenario = self
            .scenario(plan, Some(seed))
            .map_err(|problems| Violation::new("plan", problems.to_string()))?;
        trial::trial(&scenario, reference, bug)
    }
}
