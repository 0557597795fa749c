//! The models of neighbours, and the mixing of them.

use super::super::mix::MixJob;
use super::super::watch::Mixing;
use super::super::Algorithm;
use super::{Cx, Peer, Step, Work};
use crate::federation::device_time;
use crate::federation::job::Job;
use crate::federation::message::{unsound, PeerModel};
use crate::federation::record::Record;
use crate::federation::world::{Bug, Federation};
use crate::learn::Cost;
use crate::method::{MethodError, Payload};
use crate::model::ParamSet;
use crate::observe::ledger::{self, What};
use crate::observe::rows::{Rejection, RejectionRow};
use crate::quantity::Flops;
use crate::sim::NodeId;

/// Where there is a deadline, models of rounds that are further ahead than this are not kept.
const AHEAD: u32 = 8;

impl Peer {
    /// Takes in a neighbour's model, or counts it as late.
    pub(super) fn receive(
        &mut self,
        from: NodeId,
        model: PeerModel,
        cx: &mut Cx<'_>,
    ) -> Result<(), String> {
        let Some(client) = Federation::client_of(from) else {
            return Ok(());
        };
        let (mut round, bytes) = (model.round, model.wire_bytes().0);
        if matches!(self.step, Step::Finished) {
            self.record(What::Unheard { bytes }, cx);
            return Ok(());
        }
        if self.shared.bug == Some(Bug::IgnoreRound) {
            round = round.max(self.round);
        }
        self.notice.received += bytes;
        self.record(What::Got { bytes }, cx);
        self.heard = self.heard.max(round);
        let over = round < self.round || round == self.round && self.mixed;
        let deadline = self.shared.plan.schedule.deadline.is_some();
        if over || deadline && round > self.round + AHEAD {
            self.notice.late += 1;
            return Ok(());
        }
        let unusable = self.unusable(&model.payload);
        if let Some(reason) = unusable {
            let row = RejectionRow {
                round: self.round,
                client,
                time: cx.now(),
                said: round,
                reason,
            };
            cx.record(Record::Rejection(Box::new(row)));
        }
        let usable = unusable.is_none().then_some(model.payload);
        self.inbox.take_in(round, client, usable);
        self.mix_if_complete(cx)
    }

    /// Why a neighbour's model is not mixed, if it is not.
    fn unusable(&self, payload: &Payload) -> Option<Rejection> {
        if !self.shared.plan.compute.is_real() {
            return None;
        }
        let fits = payload.as_model().ok();
        let fits = fits.filter(|set| set.has_layout(self.common.initial.layout()).is_ok());
        match fits {
            Some(_) => unsound(payload),
            None => Some(Rejection::Misfit),
        }
    }

    /// Waits for the neighbours' models, and mixes at once where all are here.
    pub(super) fn wait(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        self.step = Step::Waiting;
        self.waiting_since = cx.now();
        self.mix_if_complete(cx)
    }

    /// Mixes if the client waits and all models have arrived, or the deadline is over.
    pub(super) fn mix_if_complete(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        if !matches!(self.step, Step::Waiting) {
            return Ok(());
        }
        let awaited = self.common.graph(self.round)?.degree(self.number);
        if self.overdue || self.inbox.count(self.round) >= awaited as usize {
            return self.mix(cx);
        }
        Ok(())
    }

    /// Begins to mix the models that have arrived.
    fn mix(&mut self, cx: &mut Cx<'_>) -> Result<(), String> {
        let waited = cx.now().since(self.waiting_since);
        self.notice.waited = self.notice.waited + waited;
        self.mixed = true;
        let links = self.common.links(self.number, self.round)?;
        let expected = self.shared.peer_watcher.is_some().then(|| links.clone());
        let mut came = self.inbox.open(self.round);
        let own = match self.common.gossip.algorithm {
            Algorithm::AdaptThenCombine => self.trained.take(),
            Algorithm::DPsgd | Algorithm::CombineThenAdapt => None,
        };
        let own = own.unwrap_or_else(|| self.model.clone());
        let (mut terms, mut weight) = (Vec::new(), links.own);
        for (client, share) in links.sources {
            match came.remove(&client) {
                Some(model) => terms.push((client, share, model)),
                None if self.shared.bug == Some(Bug::LoseWeight) => {}
                // The weight of a missing model goes to the client's own.
                None => weight += share,
            }
        }
        let place = terms.partition_point(|(client, ..)| *client < self.number);
        terms.insert(place, (self.number, weight, own));
        if let (Some(audit), Some(links)) = (&self.shared.peer_watcher, &expected) {
            audit.mixes(&Mixing {
                client: self.number,
                round: self.round,
                links,
                terms: &terms,
                step: self.trained.as_ref().map(|trained| (&self.model, trained)),
            });
        }
        let values = self.shared.plan.model.layout().total() as u64;
        let flops = Flops(2 * terms.len() as u64 * values);
        let speed = self.shared.plan.client(self.number).device.speed;
        let mixing = Cost {
            flops,
            ..Cost::default()
        };
        let alone = speed.time_for(flops);
        let (time, spent) =
            device_time::of_work(&self.shared, self.number, alone, mixing, cx.now());
        let spent = ledger::Work {
            trains: false,
            ..spent
        };
        let Some(span) = self.occupy(time, spent, cx) else {
            self.step = Step::Mixing(Work::default());
            return Ok(());
        };
        let cost = &mut self.notice.cost;
        cost.flops = Flops(cost.flops.0.saturating_add(flops.0));
        let mut work = Work::default();
        if self.shared.plan.compute.is_real() {
            let job = self.mixture(&terms).map_err(|error| error.to_string())?;
            let job = Job::Mix(Box::new(job));
            work.job = Some(cx.work(job, span));
        } else {
            self.trained = None;
            let token = self.token();
            cx.timer(span, token);
            work.timer = Some(token);
        }
        self.step = Step::Mixing(work);
        Ok(())
    }

    /// The job of mixing: models with their weights and, where the algorithm adds it, the step that
    /// training made.
    fn mixture(&mut self, terms: &[(u32, f64, Payload)]) -> Result<MixJob, MethodError> {
        let terms = terms.iter();
        let terms = terms.map(|(_, weight, set)| Ok((*weight, set.as_model()?.clone())));
        let terms = terms.collect::<Result<Vec<(f64, ParamSet)>, MethodError>>()?;
        let step = match self.trained.take() {
            Some(trained) => Some((self.model.as_model()?.clone(), trained.as_model()?.clone())),
            None => None,
        };
        Ok(MixJob { terms, step })
    }

    /// Goes on with the model that mixing has made.
    pub(super) fn combined(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        if let Some(audit) = &self.shared.peer_watcher {
            audit.mixed(self.number, self.round, &model);
        }
        match self.common.gossip.algorithm {
            Algorithm::CombineThenAdapt => self.train(model, cx),
            Algorithm::DPsgd | Algorithm::AdaptThenCombine => self.end(model, cx),
        }
    }
}
