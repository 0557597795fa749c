//! LotteryFL (Li et al., "LotteryFL: Empower Edge Intelligence with Personalized and
//! Communication-Efficient Federated Learning", SEC 2021, algorithm 1; arXiv:2008.03371). Every
//! client searches for its own winning ticket. It is sent the global model under its mask. If the
//! accuracy of that model on the client's validation samples is high enough, the client prunes the
//! smallest weights and starts again from the initial ones. Only the trained values under the mask
//! are sent back.
//!
//! As in the authors' program, the mean of a value is over the clients that hold it, a value that
//! no client holds stays, every layer loses an equal share of its weights, and biases are never
//! pruned. Here the parameters of normalisations are not pruned either. The authors validate on
//! test data; here a client uses samples of its own.

use super::average::Weighting;
use super::client::train_locally;
use super::pruning::{smallest, validate, validation_cost, Pace, Validated};
use super::value_mask::MaskedSum;
use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Leaves, Masked, Method, MethodError, Metrics,
    Payload, Phase, Received, ServerHalf, ServerJob, Setup, Training, ValueMask,
};
use crate::learn::{Correction, Cost, LocalTraining, Scratch, Trained};
use crate::model::{Model, ParamError, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// LotteryFL, with its settings. The defaults are those of the authors' command for MNIST as
/// of 2022-11-16; the command before had an `acc_threshold` of 0.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LotteryFl {
    /// The share of the remaining weights that is pruned in one step, layer by layer (r_p in the
    /// paper).
    pub prune_rate: f64,
    /// The share of a layer's weights that is pruned in the end (r_target in the paper); a step
    /// that would go beyond it is shortened.
    pub target: f64,
    /// The accuracy on its validation samples from which on a client prunes.
    pub acc_threshold: f64,
    /// The weight of a report.
    pub weighting: Weighting,
}

impl Default for LotteryFl {
    fn default() -> Self {
        Self {
            prune_rate: 0.2,
            target: 0.9,
            acc_threshold: 0.2,
            weighting: Weighting::Uniform,
        }
    }
}

impl LotteryFl {
    const fn pace(&self) -> Pace {
        Pace {
            rate: self.prune_rate,
            target: self.target,
            threshold: self.acc_threshold,
        }
    }
}

impl Method for LotteryFl {
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
        Err("its masks prune them, and rewind them to where they began")
    }

    fn reads_layers(&self) -> Option<&'static str> {
        Some("it prunes every layer by a share of its weights")
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        Ok(Box::new(Server {
            sum: MaskedSum::new(Arc::clone(setup.initial.layout())),
            global: setup.initial.clone(),
            initial: setup.initial,
            weighting: self.weighting,
            masks: BTreeMap::new(),
            reported: BTreeMap::new(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client { pace: self.pace() })
    }
}

struct Server {
    initial: ParamSet,
    global: ParamSet,
    sum: MaskedSum,
    weighting: Weighting,
    /// The mask of each client, as reported in a round that was completed.
    masks: BTreeMap<u32, ValueMask>,
    /// The mask of each client that has reported in this round.
    reported: BTreeMap<u32, ValueMask>,
}

impl ServerHalf for Server {
    /// The global model under the client's mask. In a client's first round it is sent the whole
    /// model, and also the initial model to return to, if the global model has changed since.
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        let global = self.global.clone();
        if let Some(mask) = self.masks.get(&client) {
            return Ok(Payload::Masked(Masked::new(global, mask.clone())?));
        }
        let initial = match self.global.same(&self.initial) {
            true => Payload::Nothing,
            false => Payload::Model(self.initial.clone()),
        };
        Ok(Payload::bundle([Payload::Model(global), initial]))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let masked = report.payload.as_masked(self.global.layout())?;
        let before = self.masks.get(&report.client);
        if before.is_some_and(|before| !masked.mask().within(before)) {
            return Err(MethodError::Payload {
                expected: "a mask within the client's last",
                found: "one that goes beyond it",
            });
        }
        self.sum.add(masked, self.weighting.of(report.samples))?;
        self.reported.insert(report.client, masked.mask().clone());
        Ok(())
    }

    fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        if let Phase::AfterRound(_) = phase {
            if let Some((mean, _)) = self.sum.take_mean(&self.global)? {
                self.global = mean;
            }
            self.masks.append(&mut self.reported);
        }
        Ok(Vec::new())
    }

    fn abandon(&mut self) {
        self.sum.clear();
        self.reported.clear();
    }

    fn save(&self, to: &mut Writer) {
        self.initial.save(to);
        self.global.save(to);
        self.masks.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.initial = Snapshot::load(from)?;
        self.global = Snapshot::load(from)?;
        self.masks = Snapshot::load(from)?;
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

    /// The global model under the client's mask, as the client would be sent it.
    fn own(&self, client: u32) -> Result<Option<ParamSet>, MethodError> {
        let Some(mask) = self.masks.get(&client) else {
            return Ok(None);
        };
        let own = Masked::new(self.global.clone(), mask.clone())?;
        Ok(Some(own.values().clone()))
    }
}

/// The name of the initial weights in a client's state, which all clients share.
const INITIAL: &str = "initial";
/// The name of the client's mask in its state.
const MASK: &str = "mask";
/// The name of the start of this round's training, which is not kept after the round.
const START: &str = "start";

struct Client {
    pace: Pace,
}

impl Client {
    /// The work before training: the state with the start of training, and with a smaller mask if
    /// the client prunes.
    fn prepare(&self, input: &ClientInput) -> Result<(ClientState, Validated), MethodError> {
        let layout = input.model.layout();
        let all = ValueMask::all(layout.total());
        let (received, sent) = match &input.task {
            Payload::Masked(_) => (input.task.as_masked(layout)?.values(), None),
            bundle => {
                let [global, initial] = bundle.as_parts()?;
                let global = global.as_model()?;
                let initial = match initial {
                    Payload::Nothing => global,
                    other => other.as_model()?,
                };
                (global, Some(initial))
            }
        };
        received.has_layout(layout)?;
        // The client's own state comes before what is sent again, for example after a lost report.
        let initial = match (input.state.get(INITIAL), sent) {
            (Some(kept), _) => kept.as_model()?,
            (None, Some(sent)) => sent,
            (None, None) => {
                return Err(MethodError::payload("the initial weights", &input.task));
            }
        };
        initial.has_layout(layout)?;
        let mask = match input.state.get(MASK) {
            Some(kept) => ValueMask::of_values(Arc::clone(kept.as_mask(layout.total())?)),
            None => all,
        };
        let own = Masked::new(received.clone(), mask)?;
        let found = validate(input, own.values())?;
        let smaller = match self.pace.allows(found.accuracy) {
            true => prune(&input.model, &own, self.pace)?,
            false => None,
        };
        let start = match smaller {
            Some(mask) => Masked::new(initial.clone(), mask)?,
            None => own,
        };
        let state = ClientState::default()
            .with(INITIAL, Payload::Model(initial.clone()))
            .with(MASK, Payload::Mask(Arc::clone(start.mask().kept())))
            .with(START, Payload::Masked(start));
        Ok((state, found))
    }
}

/// The mask without the smallest weights of each layer of `own`; `None` if the target is reached.
fn prune(model: &Model, own: &Masked, pace: Pace) -> Result<Option<ValueMask>, ParamError> {
    let values = own.values().as_slice()?;
    let mut kept = own.mask().kept().to_vec();
    let mut pruned = false;
    let entries = model.layout().entries().iter().zip(model.units().entries());
    for (entry, _) in entries.filter(|(_, units)| units.columns.is_some()) {
        let places = (entry.offset..entry.offset + entry.len).filter(|&place| kept[place]);
        let left = places.map(|place| (f64::from(values[place].abs()), place));
        let left: Vec<(f64, usize)> = left.collect();
        let step = pace.step(entry.len, left.len());
        for place in smallest(left, step) {
            kept[place] = false;
            pruned = true;
        }
    }
    Ok(pruned.then(|| ValueMask::of_values(kept)))
}

/// The start of this round's training.
fn start(input: &ClientInput) -> Result<&Masked, MethodError> {
    let start = input.state.get(START).unwrap_or(&Payload::Nothing);
    start.as_masked(input.model.layout())
}

impl ClientHalf for Client {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        match name {
            INITIAL => matches!(payload, Payload::Model(_)),
            MASK => matches!(payload, Payload::Mask(_)),
            _ => true,
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
        let kept = [INITIAL, MASK].into_iter();
        let kept = kept.filter_map(|name| Some((name, input.state.get(name)?.clone())));
        Ok(ClientWork {
            report: Payload::Masked(Masked::new(trained.params, mask)?),
            metrics,
            state: kept.fold(ClientState::default(), |state, (name, payload)| {
                state.with(name, payload)
            }),
        })
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let (state, found) = self.prepare(input)?;
        let prepared = ClientInput {
            state,
            ..input.clone()
        };
        let trained = train_locally(self, &prepared, scratch)?;
        Ok(found.was_received(self.report(&prepared, trained)?))
    }
}

#[cfg(test)]
mod tests;
