//! A server half that checks another one: which reports reach the model, and what becomes of them.

use crate::method::{MethodError, Payload, Phase, Received, ServerHalf, ServerJob, Weighting};
use crate::model::ParamSet;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The problems that an audit found, shared with the caller, who reads them after the run.
pub type Findings = Arc<Mutex<Vec<String>>>;

/// A server half behind which the audited one works.
pub struct Audit {
    inner: Box<dyn ServerHalf>,
    findings: Findings,
    /// The weighting of reports, if the new model shall be their mean.
    averages: Option<Weighting>,
    round: u32,
    asked: BTreeSet<u32>,
    taken: BTreeSet<u32>,
    /// The sums `Σ n_k w_k` and `Σ n_k` of the round, in double precision.
    sum: Option<(Vec<f64>, f64)>,
}

/// The number of findings that are kept of a run; further ones would say nothing new.
const ENOUGH: usize = 16;

/// Adds a finding, if there is still room for one.
pub(super) fn note(findings: &Findings, what: String) {
    let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
    if findings.len() < ENOUGH {
        findings.push(what);
    }
}

impl Audit {
    /// Checks the server half `inner`. With `averages`, the new model of a round shall be the mean
    /// of its reports with that weighting.
    pub fn new(
        inner: Box<dyn ServerHalf>,
        findings: Findings,
        averages: Option<Weighting>,
    ) -> Self {
        Self {
            inner,
            findings,
            averages,
            round: 0,
            asked: BTreeSet::new(),
            taken: BTreeSet::new(),
            sum: None,
        }
    }

    fn find(&self, what: String) {
        note(&self.findings, format!("round {}: {what}", self.round));
    }

    /// Adds a report to the reference mean.
    fn add(&mut self, report: &Received, weighting: Weighting) {
        let Payload::Model(set) = &report.payload else {
            return;
        };
        let Ok(values) = set.as_slice() else {
            return;
        };
        let weight = weighting.of(report.samples);
        let (sum, total) = self
            .sum
            .get_or_insert_with(|| (vec![0.0; values.len()], 0.0));
        for (sum, value) in sum.iter_mut().zip(values) {
            *sum += weight * f64::from(*value);
        }
        *total += weight;
    }

    /// Checks that the new model is the mean of the reports, so that the weights summed to one.
    fn check_mean(&mut self) {
        let Some((sum, total)) = self.sum.take() else {
            return;
        };
        let Some(Ok(global)) = self.inner.global().map(ParamSet::as_slice) else {
            return;
        };
        let far = sum.iter().zip(global).find(|(sum, value)| {
            let mean = *sum / total;
            (mean - f64::from(**value)).abs() > 1e-4 * (1.0 + mean.abs())
        });
        if let Some((sum, value)) = far {
            let mean = sum / total;
            self.find(format!("the weights do not sum to one: the mean of the reports is {mean}, the model has {value}"));
        }
    }
}

impl ServerHalf for Audit {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        if round != self.round {
            self.find(format!("client {client} is asked in round {round}"));
        }
        if !self.asked.insert(client) {
            self.find(format!("client {client} is asked twice"));
        }
        self.inner.task(client, round)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let client = report.client;
        if report.round != self.round {
            self.find(format!(
                "an update of round {} from client {client} is used",
                report.round
            ));
        }
        if !self.asked.contains(&client) {
            self.find(format!(
                "an update from client {client} is used, who was not asked"
            ));
        }
        if !report.payload.largest().is_finite() {
            self.find(format!(
                "an update from client {client} that is not finite is used"
            ));
        }
        self.inner.receive(report)?;
        if !self.taken.insert(client) {
            self.find(format!("an update of client {client} is counted twice"));
        }
        if let Some(weighting) = self.averages {
            self.add(report, weighting);
        }
        Ok(())
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let (Phase::BeforeRound(round), true) = (phase, outputs.is_empty()) {
            self.round = round;
            self.asked.clear();
            self.taken.clear();
            self.sum = None;
        }
        let jobs = self.inner.step(phase, outputs)?;
        if matches!(phase, Phase::AfterRound(_)) && jobs.is_empty() {
            self.check_mean();
            let largest = self.inner.global().map(ParamSet::largest);
            if let Some(Ok(largest)) = largest {
                if !largest.is_finite() {
                    self.find("the model is not finite".into());
                }
            }
        }
        Ok(jobs)
    }

    fn abandon(&mut self) {
        self.sum = None;
        self.inner.abandon();
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
        self.round.save(to);
        self.asked.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)?;
        self.round = Snapshot::load(from)?;
        self.asked = Snapshot::load(from)?;
        Ok(())
    }
}
