//! Hermes (Li et al., "Hermes: An Efficient Federated Learning Framework for Heterogeneous Mobile
//! Clients", MobiCom 2021). Every client finds a small network of its own by structured pruning.
//! The server averages what the networks of a round have in common; the rest stays each client's
//! own.
//!
//! The order of work, the threshold and the norm are those of the public implementation in Plato.
//! There, a pruned row leaves its bias and the weights that read it, and rows of the last layer are
//! pruned, too. Here, a unit is pruned with all that belongs to it, so that a smaller network for
//! all classes is left. A unit is a channel or a feature. Pruning ranks the units of a layer by the
//! norm of the weights that feed them.

use super::average::Weighting;
use super::client::train_locally;
use super::pruning::{smallest, validate, validation_cost, Pace, Validated};
use super::value_mask::MaskedSum;
use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Leaves, Masked, Method, MethodError, Metrics,
    Payload, Phase, Received, ServerHalf, ServerJob, Setup, Training, UnitFlags, ValueMask,
};
use crate::learn::{Correction, Cost, LocalTraining, Scratch, Trained};
use crate::model::{Model, ParamError, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Hermes, with its settings. The defaults are those of the implementation in Plato.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hermes {
    /// The share of the remaining units of every hidden layer that is pruned in one step.
    pub prune_rate: f64,
    /// The share of the units of every hidden layer that is pruned in the end; a step that would go
    /// beyond it is shortened.
    pub target: f64,
    /// The accuracy on its validation samples from which on a client prunes.
    pub acc_threshold: f64,
    /// The norm that ranks units.
    pub norm: Norm,
    /// Which values count as common to the networks of a round.
    pub overlap: Overlap,
    /// The weight of a report.
    pub weighting: Weighting,
}

/// A norm of the weights that feed a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Norm {
    /// The sum of absolute values.
    #[default]
    L1,
    /// The square root of the sum of squares.
    L2,
}

/// Which values count as common to the networks of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Overlap {
    /// The values that all reports of the round contain.
    #[default]
    All,
    /// The values that any report of the round contains; each becomes the mean over its holders.
    Any,
}

impl Default for Hermes {
    fn default() -> Self {
        Self {
            prune_rate: 0.2,
            target: 0.5,
            acc_threshold: 0.6,
            norm: Norm::L1,
            overlap: Overlap::All,
            weighting: Weighting::Samples,
        }
    }
}

impl Hermes {
    const fn pace(&self) -> Pace {
        Pace {
            rate: self.prune_rate,
            target: self.target,
            threshold: self.acc_threshold,
        }
    }
}

impl Method for Hermes {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        self.pace().problems()
    }

    fn modelled(&self) -> Result<(), &'static str> {
        Err("what is pruned, and so what travels, depends on what is learned")
    }

    fn leaves(&self) -> Leaves {
        Leaves {
            global: true,
            own: true,
        }
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Err("its masks prune them")
    }

    fn reads_layers(&self) -> Option<&'static str> {
        Some("it prunes units of every layer")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            sum: MaskedSum::new(Arc::clone(setup.initial.layout())),
            model: setup.model,
            global: setup.initial,
            overlap: self.overlap,
            weighting: self.weighting,
            shared: None,
            common: None,
            units: BTreeMap::new(),
            reported: BTreeMap::new(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client {
            pace: self.pace(),
            norm: self.norm,
        })
    }
}

struct Server {
    model: Arc<Model>,
    /// Each value as the last mean over the clients that held it.
    global: ParamSet,
    sum: MaskedSum,
    overlap: Overlap,
    weighting: Weighting,
    /// The values that were common in the last round.
    shared: Option<ValueMask>,
    /// The units that all reports of this round have.
    common: Option<UnitFlags>,
    /// The units of each client, as reported in a round that was completed.
    units: BTreeMap<u32, UnitFlags>,
    /// The units of each client that has reported in this round.
    reported: BTreeMap<u32, UnitFlags>,
}

/// The units that are in both `a` and `b`.
fn meet(a: &UnitFlags, b: &UnitFlags) -> UnitFlags {
    let sets = a.iter().zip(b);
    sets.map(|(a, b)| a.iter().zip(b).map(|(a, b)| *a && *b).collect())
        .collect()
}

fn within(inner: &UnitFlags, outer: &UnitFlags) -> bool {
    meet(inner, outer) == *inner
}

impl ServerHalf for Server {
    /// The values that were common in the last round, as far as the client has them; in a client's
    /// first round, the whole model.
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        let global = self.global.clone();
        let Some(units) = self.units.get(&client) else {
            return Ok(Payload::Model(global));
        };
        let mask = match &self.shared {
            Some(shared) => match shared.units() {
                Some(common) => ValueMask::of_units(&self.model, meet(common, units)),
                None => shared.and(&ValueMask::of_units(&self.model, units.clone())),
            },
            None => ValueMask::of_values(vec![false; global.len()]),
        };
        Ok(Payload::Masked(Masked::new(global, mask)?))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let masked = report.payload.as_masked(self.global.layout())?;
        let Some(units) = masked.mask().units() else {
            return Err(MethodError::Payload {
                expected: "a mask of units",
                found: "one of single values",
            });
        };
        let before = self.units.get(&report.client);
        if before.is_some_and(|before| !within(units, before)) {
            return Err(MethodError::Payload {
                expected: "units of the client's last network",
                found: "others",
            });
        }
        self.sum.add(masked, self.weighting.of(report.samples))?;
        self.common = Some(match &self.common {
            Some(common) => meet(common, units),
            None => units.clone(),
        });
        self.reported.insert(report.client, units.clone());
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            if let Some((mean, held)) = self.sum.take_mean(&self.global)? {
                self.global = mean;
                let common = self.common.take();
                self.shared = match self.overlap {
                    Overlap::All => common.map(|units| ValueMask::of_units(&self.model, units)),
                    Overlap::Any => Some(held),
                };
            }
            self.units.append(&mut self.reported);
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.sum.clear();
        self.common = None;
        self.reported.clear();
    }

    fn save(&self, to: &mut Writer) {
        self.global.save(to);
        self.shared.save(to);
        self.units.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.global = Snapshot::load(from)?;
        self.shared = Snapshot::load(from)?;
        self.units = Snapshot::load(from)?;
        Ok(())
    }

    /// Two multiplications and two additions for each value: one pair for the sum, one for its
    /// weight.
    fn receive_flops(&self) -> Flops {
        Flops(4 * self.global.len() as u64)
    }

    fn round_flops(&self) -> Flops {
        Flops(2 * self.global.len() as u64)
    }

    fn global(&self) -> Option<&ParamSet> {
        Some(&self.global)
    }

    fn personal(&self) -> bool {
        true
    }
}

/// The name of the client's own network in its state.
const OWN: &str = "own";

struct Client {
    pace: Pace,
    norm: Norm,
}

impl Client {
    /// The network at the start of training: the client's own one with the common values put in,
    /// pruned if its accuracy is high enough.
    fn prepare(&self, input: &ClientInput) -> Result<(Masked, Validated), MethodError> {
        let layout = input.model.layout();
        let own = input.state.get(OWN).map(|own| own.as_masked(layout));
        let own = match (own.transpose()?, &input.task) {
            (None, first) => {
                let whole = first.as_model()?.clone();
                whole.has_layout(layout)?;
                let sets = input.model.units().sets().iter();
                let units = sets.map(|set| vec![true; set.size]).collect();
                Masked::new(whole, ValueMask::of_units(&input.model, units))?
            }
            // The whole model was sent again after a lost report; the client's own network is kept.
            (Some(own), Payload::Model(whole)) => {
                whole.has_layout(layout)?;
                own.clone()
            }
            (Some(own), task) => put_in(own, task.as_masked(layout)?)?,
        };
        let found = validate(input, own.values())?;
        if !self.pace.allows(found.accuracy) {
            return Ok((own, found));
        }
        let Some(units) = own.mask().units() else {
            return Ok((own, found));
        };
        let units = prune(&input.model, own.values(), units, self.pace, self.norm)?;
        let mask = ValueMask::of_units(&input.model, units);
        Ok((Masked::new(own.values().clone(), mask)?, found))
    }
}

/// The network `own` with the values of `shared` where both have them.
fn put_in(own: &Masked, shared: &Masked) -> Result<Masked, ParamError> {
    let mut values = own.values().as_slice()?.to_vec();
    let flags = own.mask().kept().iter().zip(&**shared.mask().kept());
    let news = shared.values().as_slice()?;
    for ((value, &new), (mine, common)) in values.iter_mut().zip(news).zip(flags) {
        if *mine && *common {
            *value = new;
        }
    }
    let values = ParamSet::from_slice(own.values().layout(), &values)?;
    Masked::new(values, own.mask().clone())
}

/// The units that remain when those of the smallest norm are pruned, layer by layer; every layer
/// keeps at least one.
fn prune(
    model: &Model,
    values: &ParamSet,
    units: &UnitFlags,
    pace: Pace,
    norm: Norm,
) -> Result<UnitFlags, ParamError> {
    let values = values.as_slice()?;
    let mut left = units.clone();
    for (set, (size, flags)) in model.units().sets().iter().zip(&mut left).enumerate() {
        if size.fixed {
            continue;
        }
        let mut sums = vec![0.0f64; size.size];
        let entries = model.layout().entries().iter().zip(model.units().entries());
        for (entry, _) in entries.filter(|(_, of)| of.rows == set && of.columns.is_some()) {
            let row: usize = entry.shape.iter().skip(1).product();
            let rows = values[entry.offset..entry.offset + entry.len].chunks(row.max(1));
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += row
                    .iter()
                    .map(|&w| match norm {
                        Norm::L1 => f64::from(w.abs()),
                        Norm::L2 => f64::from(w) * f64::from(w),
                    })
                    .sum::<f64>();
            }
        }
        let alive = sums.into_iter().zip(0..).filter(|(_, unit)| flags[*unit]);
        let alive: Vec<(f64, usize)> = alive.collect();
        let step = pace.step(size.size, alive.len());
        let step = step.min(alive.len().saturating_sub(1));
        for unit in smallest(alive, step) {
            flags[unit] = false;
        }
    }
    Ok(left)
}

/// The network at the start of this round's training.
fn start(input: &ClientInput) -> Result<&Masked, MethodError> {
    let start = input.state.get(OWN).unwrap_or(&Payload::Nothing);
    start.as_masked(input.model.layout())
}

impl ClientHalf for Client {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        match name {
            OWN => matches!(payload, Payload::Masked(_)),
            _ => true,
        }
    }

    fn own<'a>(&self, state: &'a ClientState) -> Option<&'a ParamSet> {
        match state.get(OWN)? {
            Payload::Masked(own) => Some(own.values()),
            _ => None,
        }
    }

    /// The mask is one vector.
    fn corrections(&self) -> u64 {
        1
    }

    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        Ok(validation_cost(input))
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        let start = start(input)?;
        Ok(Training {
            start: start.values().clone(),
            correction: Correction {
                mask: Some(start.mask().factors(input.model.layout())?),
                ..Correction::default()
            },
        })
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let mask = start(input)?.mask().clone();
        let metrics = Metrics::of(&trained);
        let own = Payload::Masked(Masked::new(trained.params, mask)?);
        Ok(ClientWork {
            report: own.clone(),
            metrics,
            state: ClientState::default().with(OWN, own),
        })
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let (own, found) = self.prepare(input)?;
        let prepared = ClientInput {
            state: input.state.clone().with(OWN, Payload::Masked(own)),
            ..input.clone()
        };
        let trained = train_locally(self, &prepared, scratch)?;
        Ok(found.was_received(self.report(&prepared, trained)?))
    }
}

#[cfg(test)]
mod tests;
