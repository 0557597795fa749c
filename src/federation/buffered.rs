//! The server half of a method whose clients are asked one by one: FedBuff, FedAsync and FedAT.
//!
//! It remembers what each client in flight was sent, makes one report of those that came since its
//! last step, and hands that to the method: the method's own step (mean, momentum, Adam, …) goes on
//! from there. With FedAvg inside, the model that is handed in is the next one, bit for bit.

use super::waiting::{Rule, Waiting};
use super::world::Bug;
use crate::method::{
    difference, forward_to_inner, MethodError, Payload, Phase, Received, ServerHalf, ServerJob,
    WeightedSum,
};
use crate::model::{Buffer, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;

/// A method's server half that makes a step of every few reports, however old they are.
pub(super) struct Buffered {
    inner: Box<dyn ServerHalf>,
    waiting: Waiting,
    /// Server steps made.
    version: u32,
    /// What each client in flight was sent: shared vectors, one a version.
    sent: BTreeMap<u32, Sent>,
    /// `Σ s(τ) n Δ` of the updates in the buffer.
    sum: WeightedSum,
    /// `Σ n` of them.
    total: f64,
    /// The model to be mixed in.
    newest: Option<Newest>,
    /// Whom the method's one report will come from: the first that was taken in.
    first: Option<u32>,
    /// What each that has reported said last, where that is kept.
    latest: BTreeMap<u32, Latest>,
    /// A defect put in on purpose.
    bug: Option<Bug>,
}

struct Latest {
    reports: u32,
    model: ParamSet,
}

struct Sent {
    version: u32,
    model: ParamSet,
}

struct Newest {
    model: ParamSet,
    /// α s(τ)
    share: f64,
}

snapshot_struct!(Sent { version, model });
snapshot_struct!(Newest { model, share });
snapshot_struct!(Latest { reports, model });

impl Buffered {
    /// `inner`, whose clients report one model, and parameters like `initial`.
    pub fn new(inner: Box<dyn ServerHalf>, waiting: Waiting, initial: &ParamSet) -> Self {
        Self {
            inner,
            waiting,
            version: 0,
            sent: BTreeMap::new(),
            sum: WeightedSum::like(initial),
            total: 0.0,
            newest: None,
            first: None,
            latest: BTreeMap::new(),
            bug: None,
        }
    }

    /// The same, with a defect.
    pub fn planted(self, bug: Option<Bug>) -> Self {
        Self { bug, ..self }
    }

    /// Σ (T_{M+1−m} / T) x_m over those that have reported: the models from the first to the last, each
    /// with the reports of its counterpart from the other end.
    fn across(&self, like: &ParamSet) -> Result<Option<ParamSet>, MethodError> {
        let mut sum = WeightedSum::like(like);
        let counterparts = self.latest.values().rev();
        for (latest, other) in self.latest.values().zip(counterparts) {
            sum.add(&latest.model, f64::from(other.reports))?;
        }
        Ok(sum.take_mean()?.map(Buffer::freeze))
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.sum.clear();
        self.total = 0.0;
        self.newest = None;
        self.first = None;
        self.latest.clear();
    }

    /// Where the reports since the last step lead from the model there is.
    fn moved(&mut self) -> Result<Option<ParamSet>, MethodError> {
        let Some(global) = self.inner.global() else {
            return Ok(None);
        };
        let total = std::mem::take(&mut self.total);
        let step = match self.waiting.rule {
            Rule::FedBuff { server_lr, .. } => self.sum.take()?.map(|(mut step, _)| {
                let part = (server_lr / total) as f32;
                Buffer::elementwise([&mut step], [global], |[step], [x]| [x + part * step])?;
                Ok(step.freeze())
            }),
            Rule::FedAsync { .. } => self.newest.take().map(|newest| {
                let share = newest.share;
                let mut mixed = Buffer::copy_of(&newest.model)?;
                Buffer::elementwise([&mut mixed], [global], |[new], [x]| {
                    [((1.0 - share) * f64::from(x) + share * f64::from(new)) as f32]
                })?;
                Ok(mixed.freeze())
            }),
            Rule::FedAT => return self.across(global),
        };
        step.transpose()
    }

    /// Hands the method one report for all since the last step.
    fn hand_in(&mut self, round: u32) -> Result<(), MethodError> {
        self.version = self.version.saturating_add(1);
        // Nobody's, where learning is modelled.
        let Some(client) = self.first.take() else {
            return Ok(());
        };
        let Some(model) = self.moved()? else {
            return Ok(());
        };
        self.inner.receive(&Received {
            client,
            round,
            // Whatever the method weighs by, a mean of one is that one.
            samples: 1,
            payload: Payload::Model(model),
        })
    }

    /// Values of the model.
    fn values(&self) -> u64 {
        self.inner.global().map_or(0, |global| global.len() as u64)
    }
}

impl ServerHalf for Buffered {
    forward_to_inner!(
        needs_clients,
        cohort,
        short,
        epsilon,
        lost_rounds,
        least_reports,
        close,
        global,
        personal,
        own,
        at_level
    );

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        let task = self.inner.task(client, round)?;
        let sent = Sent {
            version: self.version,
            model: task.as_model()?.clone(),
        };
        self.sent.insert(client, sent);
        Ok(task)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let nobody = || MethodError::payload("a model that was asked for", &Payload::Nothing);
        let sent = self.sent.get(&report.client).ok_or_else(nobody)?;
        let model = report.payload.as_model()?;
        let update = difference(model, &sent.model)?;
        if !update.is_finite()? {
            return Err(MethodError::Number {
                what: "each value of a report",
                expected: "finite",
                found: f64::NAN,
            });
        }
        let staleness = self.version.saturating_sub(sent.version);
        let weight = match self.bug {
            Some(Bug::AlwaysFresh) => 1.0,
            _ => self.waiting.staleness.weight(staleness),
        };
        match self.waiting.rule {
            Rule::FedBuff { weighting, .. } => {
                let n = weighting.of(report.samples);
                self.sum.add(&update, weight * n)?;
                self.total += n;
            }
            Rule::FedAsync { alpha } => {
                self.newest = Some(Newest {
                    model: model.clone(),
                    share: alpha * weight,
                });
            }
            Rule::FedAT => {
                let before = self.latest.get(&report.client);
                let reports = before.map_or(0, |latest| latest.reports).saturating_add(1);
                let model = model.clone();
                self.latest.insert(report.client, Latest { reports, model });
            }
        }
        self.first.get_or_insert(report.client);
        Ok(())
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        // With no outputs the phase begins.
        if let (Phase::AfterRound(round), true) = (phase, outputs.is_empty()) {
            self.hand_in(round)?;
        }
        self.inner.step(phase, outputs)
    }

    fn abandon(&mut self) {
        self.forget();
        self.inner.abandon();
    }

    fn gone(&mut self, client: u32) {
        self.sent.remove(&client);
    }

    fn staleness(&self, client: u32) -> Option<u32> {
        let sent = self.sent.get(&client)?;
        Some(self.version.saturating_sub(sent.version))
    }

    /// A report is made an update, which is added.
    fn receive_flops(&self) -> Flops {
        Flops(3 * self.values())
    }

    fn round_flops(&self) -> Flops {
        let inner = self.inner.receive_flops().0 + self.inner.round_flops().0;
        Flops(inner.saturating_add(3 * self.values()))
    }

    /// With what is in the buffer: clients are in flight at any time, so there is none when it is
    /// sure to be empty.
    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
        self.version.save(to);
        self.sent.save(to);
        self.sum.save(to);
        self.total.save(to);
        self.newest.save(to);
        self.first.save(to);
        self.latest.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)?;
        self.version = Snapshot::load(from)?;
        self.sent = Snapshot::load(from)?;
        self.sum.restore(from)?;
        self.total = Snapshot::load(from)?;
        self.newest = Snapshot::load(from)?;
        self.first = Snapshot::load(from)?;
        self.latest = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
