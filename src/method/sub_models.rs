//! What methods with narrower sub-models share: a server that cuts each client's sub-model out of the
//! global model and puts the trained ones back where they belong.

use super::average::Weighting;
use super::{MethodError, Payload, Phase, Received, ServerHalf, ServerJob, Setup};
use crate::model::{Model, Pace, ParamSet, PartialSum, Selection, Sizes};
use crate::quantity::Flops;
use crate::sim::rng::{stream, Purpose};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which units a sub-model keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The first ones, always.
    Prefix,
    /// A window that moves on from round to round, around the end.
    Rolling(Pace),
    /// Drawn anew for every client and round.
    Random,
}

/// A server whose clients train sub-models.
pub(super) struct SubModelServer {
    full: Arc<Model>,
    global: ParamSet,
    sizes: Sizes,
    choice: Choice,
    /// For each set of units, the rounds that a rolling window rests.
    rests: Vec<u64>,
    weighting: Weighting,
    seed: u64,
    sum: PartialSum,
    /// What clients of a level are sent this round, where all are sent the same.
    cut: BTreeMap<usize, ParamSet>,
}

impl SubModelServer {
    pub fn new(setup: Setup, choice: Choice, weighting: Weighting) -> Self {
        let rests = match choice {
            Choice::Rolling(pace) => pace.rests(setup.model.units()),
            Choice::Prefix | Choice::Random => Vec::new(),
        };
        Self {
            rests,
            sum: PartialSum::new(Arc::clone(&setup.model)),
            full: setup.model,
            global: setup.initial,
            sizes: setup.sizes,
            seed: setup.seed,
            choice,
            weighting,
            cut: BTreeMap::new(),
        }
    }

    /// The units that a client's sub-model keeps in a round: a function of its arguments, so that a
    /// report needs not say what it is a part of.
    pub fn selection(&self, client: u32, round: u32) -> Selection {
        let sub = &self.sizes.of(client).model;
        let (full, sub) = (self.full.units(), sub.units());
        match self.choice {
            Choice::Prefix => Selection::prefix(full, sub),
            Choice::Rolling(_) => {
                let passed = u64::from(round.saturating_sub(1));
                Selection::rolling_at(full, sub, passed, &self.rests)
            }
            Choice::Random => {
                let node = u64::from(client) + 1;
                let mut rng = stream(self.seed, node, Purpose::Method, u64::from(round));
                Selection::random(full, sub, &mut rng)
            }
        }
    }

    /// Puts another in its place.
    pub fn replace(&mut self, global: ParamSet) {
        self.global = global;
        self.cut.clear();
    }

    /// A client's sub-model as of now.
    pub fn cut(&mut self, client: u32, round: u32) -> Result<ParamSet, MethodError> {
        let level = self.sizes.level_of(client);
        if level == 0 {
            return Ok(self.global.clone());
        }
        let shared = self.choice != Choice::Random;
        if let Some(set) = self.cut.get(&level).filter(|_| shared) {
            return Ok(set.clone());
        }
        let selection = self.selection(client, round);
        let sub = &self.sizes.of(client).model;
        let set = selection.gather(&self.full, sub, &self.global)?;
        if shared {
            self.cut.insert(level, set.clone());
        }
        Ok(set)
    }

    /// Takes in a trained sub-model; of the layer that gives the scores only the rows of `classes`,
    /// where they are given.
    pub fn add(
        &mut self,
        report: &Received,
        trained: &ParamSet,
        classes: Option<&[bool]>,
    ) -> Result<(), MethodError> {
        let selection = self.selection(report.client, report.round);
        let sub = Arc::clone(&self.sizes.of(report.client).model);
        let weight = self.weighting.of(report.samples);
        Ok(self.sum.add(&selection, &sub, trained, weight, classes)?)
    }
}

impl ServerHalf for SubModelServer {
    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        Ok(Payload::Model(self.cut(client, round)?))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        self.add(report, report.payload.as_model()?, None)
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            if let Some(mean) = self.sum.take_mean(&self.global)? {
                self.replace(mean);
            }
            // The next round's window is another.
            self.cut.clear();
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.sum.clear();
        self.cut.clear();
    }

    fn adopt(&mut self, global: ParamSet) -> Result<(), MethodError> {
        global.has_layout(self.global.layout())?;
        self.replace(global);
        Ok(())
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        Ok(())
    }

    /// Two multiply-adds a value of the widest sub-model: one for the sum, one for its weight.
    fn receive_flops(&self) -> Flops {
        Flops(4 * self.global.len() as u64)
    }

    fn round_flops(&self) -> Flops {
        Flops(2 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    /// The first units: what a nested sub-model is, what a window is in the first round, and a draw
    /// as good as any other.
    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        let Some(sub) = self.sizes.levels().get(level) else {
            return Ok(None);
        };
        let prefix = Selection::prefix(self.full.units(), sub.model.units());
        Ok(Some(prefix.gather(&self.full, &sub.model, &self.global)?))
    }
}
