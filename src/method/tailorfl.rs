//! TailorFL (Deng et al., "TailorFL: Dual-Personalized Federated Learning under System and Data
//! Heterogeneity", SenSys 2022). Every client's sub-model has the size that its device can bear and
//! the units that are important for its own data. The server averages the values that sub-models
//! share, with parameters scaled by the width of the sub-model. It also tunes the choice of units,
//! so that clients with similar data share more of them.
//!
//! The abstract of the paper describes these three parts; the formulas here are those of a public
//! implementation in FLGo. The first hidden layers keep the units of largest norm, which are the
//! same for all clients of a width. The last hidden layers (`personal_layers`) keep the units with
//! the largest factors, which are learned on the client's data with a penalty on their squares
//! ([`crate::learn::importance`]). The similarity of two clients is the correlation of the factors
//! of their last hidden layers.
//!
//! In FLGo, all clients learn their factors in a round of its own. Here, a client learns them when
//! it is first asked, with the whole model as its task, and trains its sub-model in that round,
//! too. Tuning is for the clients that reported in the round instead of for all.

mod tuning;
mod units;

use super::average::Weighting;
use super::client::train_locally;
use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Leaves, Method, MethodError, Metrics,
    Payload, Phase, Prospect, Received, ReportKind, ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{
    importance, Amount, Correction, Cost, LocalTraining, Scratch, TrainJob, Trained,
};
use crate::model::{Level, Model, ParamError, ParamSet, PartialSum, Selection, Sizes};
use crate::quantity::bounds::{at_most, MOST_PASSES};
use crate::quantity::Flops;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tuning::{correlation, exchanges, tuned};
use units::{choose, flags, hidden, largest, magnitudes, units, UnitLists};

/// TailorFL, with its settings. The defaults are those of the implementation in FLGo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TailorFl {
    /// The number T₁ of batches from which a client learns the importance of units.
    pub importance_steps: u32,
    /// The weight λ of the mean square of the factors.
    pub sparsity: f64,
    /// The share L_p of the hidden layers, counted from the last, whose units are chosen by
    /// importance.
    pub personal_layers: f64,
    /// The share α of a layer's units that tuning may exchange after a round. It is a share of the
    /// units kept or of those left out, whichever are fewer. At least one unit is exchanged, but
    /// none if α is 0.
    pub tuning: f64,
    /// Whether parameters are divided by the width of a sub-model when they are cut out, and
    /// multiplied by it when they come back. Reports are then also weighted by the inverse of their
    /// width.
    pub scaling: bool,
    /// The weight of a report otherwise.
    pub weighting: Weighting,
}

impl Default for TailorFl {
    fn default() -> Self {
        Self {
            importance_steps: 10,
            sparsity: 0.5,
            personal_layers: 0.5,
            tuning: 0.05,
            scaling: true,
            weighting: Weighting::Samples,
        }
    }
}

impl TailorFl {
    /// The number by which the parameters of a sub-model of `level` are divided.
    fn scale(&self, level: &Level) -> f64 {
        match self.scaling {
            true => level.ratio,
            false => 1.0,
        }
    }

    /// The part of the full model that the units `units` make up, as a client of `level` gets it.
    fn cut(
        &self,
        full: &Model,
        level: &Level,
        units: &UnitLists,
        global: &ParamSet,
    ) -> Result<ParamSet, ParamError> {
        let selection = Selection::of(units.clone());
        let part = selection.gather(full, &level.model, global)?;
        scaled(part, 1.0 / self.scale(level))
    }

    /// The sets of hidden units that are chosen by importance.
    fn personal(&self, full: &Model) -> Vec<usize> {
        let hidden = hidden(full);
        let shared = libm::floor(hidden.len() as f64 * (1.0 - self.personal_layers) + 1e-9);
        hidden.into_iter().skip(shared as usize).collect()
    }
}

impl Method for TailorFl {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut check = |name, value: f64, most: f64, allowed: &str| {
            if !(0.0..=most).contains(&value) {
                found.push((name, format!("expected a number in {allowed}, got {value}")));
            }
        };
        check("sparsity", self.sparsity, 1e6, "[0, 1e6]");
        check("personal_layers", self.personal_layers, 1.0, "[0, 1]");
        check("tuning", self.tuning, 1.0, "[0, 1]");
        found.extend(at_most(
            "importance_steps",
            self.importance_steps,
            MOST_PASSES,
        ));
        found
    }

    fn sizes(&self) -> bool {
        true
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Parts
    }

    fn modelled(&self) -> Result<(), &'static str> {
        Err("which units a client trains depends on what is learned")
    }

    fn leaves(&self) -> Leaves {
        Leaves {
            global: true,
            own: true,
        }
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Err("its sub-models scale them and choose among their units")
    }

    fn reads_layers(&self) -> Option<&'static str> {
        Some("its sub-models keep some of the units of every layer")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Err("they learn which units matter to them before they train, and that has to be done whole")
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            sum: PartialSum::new(Arc::clone(&setup.model)),
            personal: self.personal(&setup.model),
            full: setup.model,
            global: setup.initial,
            sizes: setup.sizes,
            settings: self.clone(),
            tailored: BTreeMap::new(),
            reported: BTreeMap::new(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client {
            settings: self.clone(),
        })
    }
}

/// The parameters `set` times `factor`, except for statistics, which are measured.
fn scaled(set: ParamSet, factor: f64) -> Result<ParamSet, ParamError> {
    if factor == 1.0 {
        return Ok(set);
    }
    let layout = Arc::clone(set.layout());
    let mut buffer = set.into_buffer()?;
    let values = buffer.as_mut_slice()?;
    let learned = layout.entries().iter();
    for entry in learned.filter(|entry| !entry.role.part.is_statistic()) {
        let own = &mut values[entry.offset..][..entry.len];
        own.iter_mut().for_each(|value| *value *= factor as f32);
    }
    Ok(buffer.freeze())
}

/// The facts that the server knows about a client.
#[derive(Debug, Clone)]
struct Tailored {
    units: UnitLists,
    /// The factors of the client's last hidden layer.
    importance: Arc<[f64]>,
}

snapshot_struct!(Tailored { units, importance });

struct Server {
    full: Arc<Model>,
    global: ParamSet,
    sizes: Sizes,
    settings: TailorFl,
    /// The sets of units that are chosen by importance.
    personal: Vec<usize>,
    sum: PartialSum,
    /// The clients that have reported before, in a round that was completed.
    tailored: BTreeMap<u32, Tailored>,
    /// The clients that have reported in this round.
    reported: BTreeMap<u32, Tailored>,
}

impl Server {
    /// Exchanges units of the clients `reported`, comparing them with what all clients had before.
    fn tune(&mut self, reported: &[u32]) {
        let mut changes = Vec::new();
        for &client in reported {
            let Some(me) = self.tailored.get(&client) else {
                continue;
            };
            let others = self.tailored.iter().filter(|(other, _)| **other != client);
            let others: Vec<(f64, &UnitLists)> = others
                .map(|(_, other)| (correlation(&me.importance, &other.importance), &other.units))
                .collect();
            for &set in &self.personal {
                let size = self.full.units().sets()[set].size;
                let theirs: Vec<(f64, &[u32])> = others
                    .iter()
                    .map(|(similar, units)| (*similar, units[set].as_slice()))
                    .collect();
                let units = tuned(&me.units[set], &theirs, size, self.settings.tuning);
                changes.push((client, set, units));
            }
        }
        for (client, set, units) in changes {
            if let Some(me) = self.tailored.get_mut(&client) {
                me.units[set] = units;
            }
        }
    }

    /// The operations of [`Server::tune`] after this round: a correlation with each other client,
    /// at six operations for each factor, and for each exchange two operations for each of the
    /// client's units.
    fn tuning_flops(&self) -> u64 {
        let new = self
            .reported
            .keys()
            .filter(|k| !self.tailored.contains_key(k));
        let others = (self.tailored.len() + new.count()).saturating_sub(1) as u64;
        let sets = self.full.units().sets();
        let last = hidden(&self.full).last().map_or(0, |&set| sets[set].size);
        let each = self.reported.values().map(|me| {
            let exchanges = self.personal.iter().map(|&set| {
                let (kept, size) = (me.units[set].len(), sets[set].size);
                2 * (exchanges(kept, size, self.settings.tuning) * kept) as u64
            });
            others * (6 * last as u64 + exchanges.sum::<u64>())
        });
        each.sum()
    }

    /// Chooses the units of largest norm in the shared layers, for all clients of each width.
    fn share(&mut self) -> Result<(), ParamError> {
        let worth = magnitudes(&self.full, &self.global)?;
        let shared: Vec<usize> = hidden(&self.full)
            .into_iter()
            .filter(|set| !self.personal.contains(set))
            .collect();
        for (&client, me) in &mut self.tailored {
            let sub = self.sizes.of(client).model.units();
            for &set in &shared {
                me.units[set] = largest(&worth[set], sub.sets()[set].size);
            }
        }
        Ok(())
    }
}

impl ServerHalf for Server {
    /// The client's sub-model and its units; in a client's first round, the whole model.
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        let Some(me) = self.tailored.get(&client) else {
            return Ok(Payload::Model(self.global.clone()));
        };
        let level = self.sizes.of(client);
        let part = self
            .settings
            .cut(&self.full, level, &me.units, &self.global)?;
        Ok(Payload::bundle([
            Payload::Model(part),
            flags(&self.full, &me.units),
        ]))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let level = self.sizes.of(report.client);
        let (model, me) = match self.tailored.get(&report.client) {
            Some(me) => (report.payload.as_model()?, me.clone()),
            None => {
                let [model, flags, factors] = report.payload.as_parts()?;
                let Payload::Scalars(importance) = factors else {
                    return Err(MethodError::payload("scalars", factors));
                };
                let last = hidden(&self.full).last().copied();
                let wanted = last.map_or(0, |set| self.full.units().sets()[set].size);
                if importance.len() != wanted {
                    let found = importance.len();
                    return Err(MethodError::count("list of numbers", wanted, found));
                }
                let me = Tailored {
                    units: units(&self.full, &level.model, flags)?,
                    importance: Arc::clone(importance),
                };
                (model.as_model()?, me)
            }
        };
        let scale = self.settings.scale(level);
        let weight = self.settings.weighting.of(report.samples) / scale;
        let selection = Selection::of(me.units.clone());
        let trained = scaled(model.clone(), scale)?;
        self.sum
            .add(&selection, &level.model, &trained, weight, None)?;
        self.reported.insert(report.client, me);
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            let clients: Vec<u32> = self.reported.keys().copied().collect();
            self.tailored.append(&mut self.reported);
            if let Some(mean) = self.sum.take_mean(&self.global)? {
                self.global = mean;
                self.share()?;
                self.tune(&clients);
            }
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.sum.clear();
        self.reported.clear();
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
        self.tailored.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        self.tailored = Snapshot::load(from)?;
        Ok(())
    }

    /// The scaling, and two multiplications and additions for each value: one pair for the sum, one
    /// for its weight.
    fn receive_flops(&self) -> Flops {
        Flops(5 * self.global.len() as u64)
    }

    /// The mean, the norms of all units, and the tuning.
    fn round_flops(&self) -> Flops {
        Flops(4 * self.global.len() as u64 + self.tuning_flops())
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    fn personal(&self) -> bool {
        true
    }

    /// The parameters of the global model at the client's units, as the client would be sent them.
    fn own(&self, client: u32) -> Result<Option<ParamSet>, MethodError> {
        let Some(me) = self.tailored.get(&client) else {
            return Ok(None);
        };
        let level = self.sizes.of(client);
        let part = self
            .settings
            .cut(&self.full, level, &me.units, &self.global)?;
        Ok(Some(part))
    }

    /// The units of largest norm in every layer.
    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        let Some(level) = self.sizes.levels().get(level) else {
            return Ok(None);
        };
        let worth = magnitudes(&self.full, &self.global)?;
        let units = choose(&self.full, &level.model, &worth);
        let part = self.settings.cut(&self.full, level, &units, &self.global)?;
        Ok(Some(part))
    }
}

struct Client {
    settings: TailorFl,
}

/// The name of the start of this round's training, with units and factors if the client has just
/// learned them; it is not kept after the round.
const START: &str = "start";
const FOUND: &str = "found";

/// This bit keeps the streams of learning importance apart from those of training, which are
/// numbered by the client.
const IMPORTANCE: u64 = 1 << 32;

impl Client {
    /// The settings with which importance is learned.
    fn learning(&self, local: &LocalTraining) -> LocalTraining {
        LocalTraining {
            amount: Amount::Steps(self.settings.importance_steps),
            ..local.clone()
        }
    }

    /// The cost of learning importance.
    fn learning_cost(&self, full: &Model, local: &LocalTraining, samples: usize) -> Cost {
        // The scaled parameters are kept beside the unscaled ones.
        Cost::training(full, &self.learning(local), samples, 1)
    }

    /// The work before training: the state with the start of training.
    fn prepare(&self, input: &ClientInput) -> Result<ClientState, MethodError> {
        let state = ClientState::default();
        if !matches!(input.task, Payload::Model(_)) {
            let [part, _] = input.task.as_parts()?;
            part.as_model()?;
            return Ok(state.with(START, part.clone()));
        }
        let (full, level) = (full(input), input.sizes.of(input.client));
        let global = input.task.as_model()?;
        global.has_layout(full.layout())?;
        let job = TrainJob {
            model: Arc::clone(full),
            start: global.clone(),
            data: Arc::clone(&input.data),
            samples: input.train.clone(),
            local: self.learning(&input.local),
            round: u64::from(input.round - 1),
            seed: input.seed,
            client: IMPORTANCE + u64::from(input.client),
            correction: Correction::default(),
        };
        let factors = importance(&job, self.settings.sparsity)?;
        let mut worth = magnitudes(full, global)?;
        for set in self.settings.personal(full) {
            worth[set].clone_from(&factors[set]);
        }
        let units = choose(full, &level.model, &worth);
        let start = self.settings.cut(full, level, &units, global)?;
        let last = hidden(full).last().copied();
        let last = last.map_or(Vec::new(), |set| factors[set].clone());
        let found = Payload::bundle([flags(full, &units), Payload::scalars(last)]);
        Ok(state.with(START, Payload::Model(start)).with(FOUND, found))
    }
}

/// The full network.
fn full(input: &ClientInput) -> &Arc<Model> {
    &input.sizes.levels()[0].model
}

impl ClientHalf for Client {
    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        if !matches!(input.task, Payload::Model(_)) {
            return Ok(Cost::default());
        }
        let samples = input.train.len();
        Ok(self.learning_cost(full(input), &input.local, samples))
    }

    /// Importance is learned for the units of the whole network.
    fn usually_beside(&self, prospect: &Prospect) -> Cost {
        let &Prospect {
            full,
            local,
            samples,
            ..
        } = prospect;
        Cost {
            memory: self.learning_cost(full, local, samples).memory,
            ..Cost::default()
        }
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        let start = input.state.get(START).unwrap_or(&Payload::Nothing);
        Ok(Training {
            start: start.as_model()?.clone(),
            correction: Correction::default(),
        })
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let metrics = Metrics::of(&trained);
        let model = Payload::Model(trained.params);
        let report = match input.state.get(FOUND) {
            Some(found) => {
                let [flags, factors] = found.as_parts()?;
                Payload::bundle([model, flags.clone(), factors.clone()])
            }
            None => model,
        };
        Ok(ClientWork {
            report,
            metrics,
            state: ClientState::default(),
        })
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let prepared = ClientInput {
            state: self.prepare(input)?,
            ..input.clone()
        };
        let trained = train_locally(self, &prepared, scratch)?;
        self.report(&prepared, trained)
    }
}

#[cfg(test)]
mod tests;
