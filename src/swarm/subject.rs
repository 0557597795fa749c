//! The scenario that a swarm tries.

use super::draw::Bounds;
use super::trial::{self, Outcome, Reference, Violation};
use crate::federation::Bug;
use crate::scenario::text::{Diagnostics, Document};
use crate::scenario::Scenario;
use crate::sim::Ending;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Rounds that a swarm holds at most, where training is tiny.
const ROUNDS: u32 = 10;

/// A scenario and what is changed in it for every run.
#[derive(Debug, Clone)]
pub struct Subject {
    text: String,
    path: PathBuf,
    overrides: Vec<String>,
}

/// Why a scenario cannot be tried.
#[derive(Debug, Error)]
pub enum SubjectError {
    /// It is wrong.
    #[error("{0:#}")]
    Wrong(#[from] Diagnostics),
    /// It says itself what goes wrong.
    #[error("the scenario has faults of its own, and a swarm draws them: take them out, or try `shoal run`")]
    Faults,
    /// Without a deadline a lost report holds a round for ever.
    #[error("the scenario has no schedule.deadline: a round whose reports are lost would never end; set one, such as --set 'schedule.deadline=\"5 s\"'")]
    NoDeadline,
    /// What a swarm watches is a server.
    #[error(
        "the scenario has no server, and a swarm looks for mistakes of one: take topology out"
    )]
    NoServer,
    /// It does not come to its end without faults.
    #[error("without any fault the scenario does not hold: {0}")]
    Unsound(Violation),
}

impl Subject {
    /// A scenario whose training is a step of a small model, in a few rounds; as it is, if `full`.
    ///
    /// # Errors
    /// When it is wrong, or cannot be tried.
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
        if scenario.topology.is_some() {
            return Err(SubjectError::NoServer);
        }
        if scenario.schedule.deadline.is_none() {
            return Err(SubjectError::NoDeadline);
        }
        if !full {
            let rounds = scenario.schedule.rounds.min(ROUNDS);
            let classes = scenario.samples.classes;
            subject.overrides.extend([
                format!("model=[Flatten, Dense({classes})]"),
                "training=(steps: 1, batch: 8, optimizer: Sgd(lr: 0.05))".into(),
                format!("schedule.rounds={rounds}"),
                "evaluation=(every: 1000, central: false)".into(),
            ]);
        }
        subject
            .overrides
            .push("record=(clients: false, histograms: false, trace: false, report: false)".into());
        subject.scenario(&[], None)?;
        Ok(subject)
    }

    fn all_overrides(&self, plan: &[String], seed: Option<u64>) -> Vec<String> {
        let mut all = self.overrides.clone();
        if !plan.is_empty() {
            all.push(format!("faults=[{}]", plan.join(", ")));
        }
        all.extend(seed.map(|seed| format!("seed={seed}")));
        all
    }

    /// The scenario amid a plan.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn scenario(&self, plan: &[String], seed: Option<u64>) -> Result<Scenario, Diagnostics> {
        Scenario::parse(&self.text, &self.path, &self.all_overrides(plan, seed))
    }

    /// The same as a file to keep.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn to_ron(&self, plan: &[String], seed: u64) -> Result<String, Diagnostics> {
        let mut document = Document::parse(&self.text, &self.path)?;
        for assignment in self.all_overrides(plan, Some(seed)) {
            document.set(&assignment)?;
        }
        Ok(document.to_ron())
    }

    /// Runs it without faults: how long it takes, and that all rounds are completed then.
    ///
    /// # Errors
    /// When it does not hold by itself.
    pub fn reference(&self) -> Result<Reference, SubjectError> {
        let scenario = self.scenario(&[], None)?;
        let outcome = trial::run(&scenario, 1, None).map_err(SubjectError::Unsound)?;
        debug_assert_eq!(outcome.ending, Ending::Finished);
        if let Some(round) = outcome.not_completed.first() {
            let what = format!("round {} is abandoned", round.0);
            return Err(SubjectError::Unsound(Violation::new("liveness", what)));
        }
        Ok(Reference {
            end: outcome.end,
            deadline: scenario.schedule.deadline.unwrap_or_default(),
            rounds: scenario.schedule.rounds,
            clients: scenario.clients(),
            servers_between: !scenario.hierarchy.is_empty(),
        })
    }

    /// What plans may reach: the first half of a run without faults.
    pub fn bounds(&self, reference: &Reference) -> Bounds {
        Bounds {
            horizon: reference.horizon().seconds(),
            rounds: reference.last_round_with_faults(),
            clients: reference.clients,
            server_down: !reference.servers_between,
        }
    }

    /// Runs it amid a plan and looks at everything that must hold.
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
