//! The server half of methods with narrower sub-models: it cuts each client's sub-model out of the
//! global model and puts the trained values back at their places.

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
    /// Always the first ones.
    Prefix,
    /// A window that moves on from round to round and continues at the first unit after the last.
    Rolling(Pace),
    /// Units drawn anew for every client and round.
    Random,
}

/// A server half whose clients train sub-models.
pub(super) struct SubModelServer {
    full: Arc<Model>,
    global: ParamSet,
    sizes: Sizes,
    choice: Choice,
    /// For each set of units, the number of rounds for which a rolling window stays in its place.
    rests: Vec<u64>,
    weighting: Weighting,
    seed: u64,
    sum: PartialSum,
    /// The parameters that clients of each level are sent in this round, if all clients of a level
    /// are sent the same.
    cut: BTreeMap<usize, ParamSet>,
}

impl SubModelServer {
    /// A server half with the parameters of `setup`.
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

    /// The units that a client's sub-model keeps in a round. They are a function of the arguments,
    /// so a report need not contain them.
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

    /// Replaces the global model.
    pub fn replace(&mut self, global: ParamSet) {
        self.global = global;
        self.cut.clear();
    }

    /// The client's sub-model, cut out of the present global model.
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

    /// Takes in a trained sub-model. If `classes` is given, only the rows of these classes of the
    /// last layer are taken.
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
            // The window of the next round is another one.
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

    /// Two multiplications and two additions for each value of the widest sub-model: one pair for
    /// the sum, one for its weight.
    fn receive_flops(&self) -> Flops {
        Flops(4 * self.global.len() as u64)
    }

    fn round_flops(&self) -> Flops {
        Flops(2 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    /// The first units: they are a nested sub-model, the window of the first round, and as good as
    /// any random draw.
    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        let Some(sub) = self.sizes.levels().get(level) else {
            return Ok(None);
        };
        let prefix = Selection::prefix(self.full.units(), sub.model.units());
        Ok(Some(prefix.gather(&self.full, &sub.model, &self.global)?))
    }
}
