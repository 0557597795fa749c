//! The server half for clients that are asked one by one: FedBuff, FedAsync and FedAT.
//!
//! It remembers which model each client that trains was sent, makes one report of the reports that arrived
//! since its last step, and hands that report to the method, whose own step (mean, momentum, Adam, …) goes
//! on from there. With FedAvg inside, the model that is handed in is the next global model, bit for bit.

use super::waiting::{Rule, Waiting};
use super::world::Bug;
use crate::method::{
    difference, MethodError, Payload, Phase, Received, ServerHalf, ServerJob, WeightedSum,
};
use crate::model::{Buffer, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;

/// A layer around a method's server half that makes a step of every few reports, whatever their staleness.
pub(super) struct Buffered {
    inner: Box<dyn ServerHalf>,
    waiting: Waiting,
    /// How many server steps were made.
    version: u32,
    /// The model that each client which trains was sent. Clients share one vector for each version.
    sent: BTreeMap<u32, Sent>,
    /// `Σ s(τ) n Δ` over the updates in the buffer.
    sum: WeightedSum,
    /// `Σ n` over the updates in the buffer.
    total: f64,
    /// The model that FedAsync mixes in next.
    newest: Option<Newest>,
    /// The client that the method's one report names: the first whose report was used since the last step.
    first: Option<u32>,
    /// The last model of each member that has reported, for FedAT.
    latest: BTreeMap<u32, Latest>,
    /// The planted defect, if there is one.
    bug: Option<Bug>,
}

/// The last model of a member, and the number of its reports.
struct Latest {
    reports: u32,
    model: ParamSet,
}

/// The model that a client was sent, and the number of server steps before it.
struct Sent {
    version: u32,
    model: ParamSet,
}

/// A model to be mixed in.
struct Newest {
    model: ParamSet,
    /// α s(τ)
    share: f64,
}

snapshot_struct!(Sent { version, model });
snapshot_struct!(Newest { model, share });
snapshot_struct!(Latest { reports, model });

impl Buffered {
    /// A buffer around `inner`, whose clients report one model each, with parameters like `initial`.
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

    /// Returns the half with a planted defect.
    pub fn planted(self, bug: Option<Bug>) -> Self {
        Self { bug, ..self }
    }

    /// Σ (T_{M+1−m} / T) x_m over the members that have reported. The first model has the weight of the last
    /// member's reports, the second that of the last but one, and so on.
    fn across(&self, like: &ParamSet) -> Result<Option<ParamSet>, MethodError> {
        let mut sum = WeightedSum::like(like);
        let counterparts = self.latest.values().rev();
        for (latest, other) in self.latest.values().zip(counterparts) {
            sum.add(&latest.model, f64::from(other.reports))?;
        }
        Ok(sum.take_mean()?.map(Buffer::freeze))
    }

    /// Forgets all reports and all clients that train.
    fn forget(&mut self) {
        self.sent.clear();
        self.sum.clear();
        self.total = 0.0;
        self.newest = None;
        self.first = None;
        self.latest.clear();
    }

    /// The model to which the reports since the last step lead, from the present global model.
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

    /// Hands the method one report for all reports since the last step.
    fn hand_in(&mut self, round: u32) -> Result<(), MethodError> {
        self.version = self.version.saturating_add(1);
        // Where learning is modelled, no report is ever received.
        let Some(client) = self.first.take() else {
            return Ok(());
        };
        let Some(model) = self.moved()? else {
            return Ok(());
        };
        self.inner.receive(&Received {
            client,
            round,
            // With one report, the method's mean is that report, whatever the weights.
            samples: 1,
            payload: Payload::Model(model),
        })
    }

    /// How many values the model has.
    fn values(&self) -> u64 {
        self.inner.global().map_or(0, |global| global.len() as u64)
    }
}

impl ServerHalf for Buffered {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

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
        // A phase begins without outputs.
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

    /// The difference to the model that was sent is computed, weighed and added.
    fn receive_flops(&self) -> Flops {
        Flops(3 * self.values())
    }

    fn round_flops(&self) -> Flops {
        let inner = self.inner.receive_flops().0 + self.inner.round_flops().0;
        Flops(inner.saturating_add(3 * self.values()))
    }

    /// Writes the half with the reports in its buffer, since there is no time at which the buffer is sure to
    /// be empty.
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
