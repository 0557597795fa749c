//! Narrower networks of one architecture: which units they keep, their parameters taken out of the
//! full network's, and added back where they belong.

use super::{Buffer, Entry, LayerSpec, Model, ModelError, ParamError, ParamSet, Place, Units};
use crate::sim::rng::{below, Stream};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How a share of the units of a layer becomes a whole number of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Rounding {
    /// Down, but to one unit at least: half of 5 units are 2.
    #[default]
    Down,
    /// Up: half of 5 units are 3.
    Up,
}

impl Model {
    /// The same architecture with `ratio` of the units of every hidden layer, rounded down, at least
    /// one. Inputs and class scores stay, and so does whatever is added to them.
    ///
    /// # Errors
    /// When the narrower layers break a rule (group normalisation whose groups no longer divide the
    /// channels).
    pub fn narrowed(&self, ratio: f64) -> Result<Self, ModelError> {
        let layers = self.narrowed_layers(ratio, Rounding::Down);
        Self::build(&layers, self.input(), self.classes())
    }

    /// The layers of [`Model::narrowed`], with the numbers of units rounded as `rounding` says.
    pub fn narrowed_layers(&self, ratio: f64, rounding: Rounding) -> Vec<LayerSpec> {
        let sets = self.units().sets();
        // Hidden widths in the order in which the layers have them, one for each weight.
        let mut weights = self
            .layout()
            .entries()
            .iter()
            .zip(self.units().entries())
            .filter(|(_, units)| units.columns.is_some())
            .map(|(entry, units)| match sets[units.rows].fixed {
                true => entry.shape[0],
                false => width(entry.shape[0], ratio, rounding),
            });
        narrow(self.layers(), &mut weights)
    }
}

/// `ratio` of `full` units, at least one. A product that is whole but for rounding counts as whole.
fn width(full: usize, ratio: f64, rounding: Rounding) -> usize {
    let units = full as f64 * ratio;
    let whole = match rounding {
        Rounding::Down => libm::floor(units + 1e-9),
        Rounding::Up => libm::ceil(units - 1e-9),
    };
    (whole as usize).clamp(1, full)
}

fn narrow(layers: &[LayerSpec], widths: &mut impl Iterator<Item = usize>) -> Vec<LayerSpec> {
    let narrower = layers.iter().map(|layer| {
        let mut layer = layer.clone();
        match &mut layer {
            LayerSpec::Conv { out, .. } | LayerSpec::Dense(out, _) => {
                *out = widths.next().unwrap_or(*out);
            }
            LayerSpec::Residual { body, shortcut } => {
                *body = narrow(body, widths);
                *shortcut = narrow(shortcut, widths);
            }
            LayerSpec::Exit { head } => *head = narrow(head, widths),
            _ => {}
        }
        layer
    });
    narrower.collect()
}

/// `kept` consecutive units of `size`, from number `shift` on, around the end. All of them are in
/// their own order wherever the window stands: the whole network is sent as it is.
fn window(shift: u64, size: u32, kept: u32) -> Vec<u32> {
    let first = match kept == size {
        true => 0,
        false => (shift % u64::from(size.max(1))) as u32,
    };
    (0..kept).map(|unit| (first + unit) % size).collect()
}

/// Which units of the full network a sub-model keeps: for each set, their numbers in the order in
/// which the sub-model has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    kept: Vec<Vec<u32>>,
}

/// Consecutive values that are consecutive in both networks.
struct Run {
    full: usize,
    sub: usize,
    len: usize,
}

impl Selection {
    /// The first units of every set (HeteroFL).
    pub fn prefix(full: &Units, sub: &Units) -> Self {
        Self::each(full, sub, |_, _, kept| (0..kept).collect())
    }

    /// Consecutive units from number `shift` on, around the end of the set (FedRolex).
    pub fn rolling(full: &Units, sub: &Units, shift: u64) -> Self {
        Self::each(full, sub, |_, size, kept| window(shift, size, kept))
    }

    /// Windows that have moved for `round` rounds, each by one unit whenever it has rested for as many
    /// rounds as `rests` says for its set (one, where nothing is said): see [`super::Pace`].
    pub fn rolling_at(full: &Units, sub: &Units, round: u64, rests: &[u64]) -> Self {
        Self::each(full, sub, |set, size, kept| {
            let rest = rests.get(set).copied().unwrap_or(1).max(1);
            window(round / rest, size, kept)
        })
    }

    /// Units drawn without replacement, in ascending order (Federated Dropout).
    pub fn random(full: &Units, sub: &Units, rng: &mut Stream) -> Self {
        Self::each(full, sub, |_, size, kept| {
            let mut all: Vec<u32> = (0..size).collect();
            for place in 0..kept as usize {
                let other = place + below(rng, u64::from(size) - place as u64) as usize;
                all.swap(place, other);
            }
            all.truncate(kept as usize);
            all.sort_unstable();
            all
        })
    }

    /// These units: for each set, their numbers in the order in which the sub-model has them.
    pub const fn of(kept: Vec<Vec<u32>>) -> Self {
        Self { kept }
    }

    /// `choose` the units of each set that is not fixed, given its number, its size and how many are
    /// kept.
    fn each(
        full: &Units,
        sub: &Units,
        mut choose: impl FnMut(usize, u32, u32) -> Vec<u32>,
    ) -> Self {
        let sets = full.sets().iter().zip(sub.sets()).enumerate();
        let kept = sets.map(|(set, (full, sub))| {
            let (size, kept) = (full.size as u32, sub.size.min(full.size) as u32);
            match full.fixed {
                true => (0..size).collect(),
                false => choose(set, size, kept),
            }
        });
        Self {
            kept: kept.collect(),
        }
    }

    /// The units kept of each set.
    pub fn kept(&self) -> &[Vec<u32>] {
        &self.kept
    }

    /// The sub-model's parameters, from those of the full network.
    ///
    /// # Errors
    /// When the two networks are not of one architecture, the selection is not between them, or the
    /// parameters are not the full network's.
    pub fn gather(
        &self,
        full: &Model,
        sub: &Model,
        params: &ParamSet,
    ) -> Result<ParamSet, ParamError> {
        params.has_layout(full.layout())?;
        self.fits(full, sub)?;
        let mut buffer = Buffer::zeros(Arc::clone(sub.layout()), tch::Device::Cpu)?;
        let (source, target) = (params.as_slice()?, buffer.as_mut_slice()?);
        for entry in 0..sub.layout().entries().len() {
            self.runs(full, sub, entry, |_, run| {
                target[run.sub..run.sub + run.len]
                    .copy_from_slice(&source[run.full..run.full + run.len]);
            });
        }
        Ok(buffer.freeze())
    }

    /// Whether this selection leads from one network to the other.
    fn fits(&self, full: &Model, sub: &Model) -> Result<(), ParamError> {
        let (whole, part) = (full.units(), sub.units());
        let entries = whole.entries() == part.entries();
        let sets = whole.sets().len() == self.kept.len() && part.sets().len() == self.kept.len();
        let kept = self.kept.iter().zip(whole.sets().iter().zip(part.sets()));
        let sizes = kept.into_iter().all(|(kept, (full, sub))| {
            kept.len() == sub.size && kept.iter().all(|&unit| (unit as usize) < full.size)
        });
        let windows = full.layout().entries().iter().zip(sub.layout().entries());
        let windows = windows
            .into_iter()
            .all(|(a, b)| a.shape.get(2..) == b.shape.get(2..));
        if entries && sets && sizes && windows {
            return Ok(());
        }
        Err(ParamError::NotPart {
            full: full.layout().describe(),
            sub: sub.layout().describe(),
        })
    }

    /// Where the values of an entry of the sub-model lie in both flat vectors; `visit` gets the row
    /// of the sub-model as well. The networks fit.
    fn runs(&self, full: &Model, sub: &Model, entry: usize, mut visit: impl FnMut(usize, Run)) {
        let (whole, part) = (
            &full.layout().entries()[entry],
            &sub.layout().entries()[entry],
        );
        let units = sub.units().entries()[entry];
        let (columns, each) = match units.columns {
            Some(columns) => {
                let window: usize = part.shape.iter().skip(2).product();
                (self.kept[columns.set].as_slice(), columns.each * window)
            }
            // All values of a row belong to its unit.
            None => (
                [0].as_slice(),
                row(part, sub.units().sets()[units.rows].size),
            ),
        };
        // Within a row, once for all rows: neighbours that stay neighbours go together.
        let mut within: Vec<Run> = Vec::new();
        for (place, &unit) in columns.iter().enumerate() {
            let (from, to) = (unit as usize * each, place * each);
            match within.last_mut() {
                Some(run) if run.full + run.len == from => run.len += each,
                _ => within.push(Run {
                    full: from,
                    sub: to,
                    len: each,
                }),
            }
        }
        let set = units.rows;
        let wide = row(whole, full.units().sets()[set].size);
        let narrow = row(part, sub.units().sets()[set].size);
        for (row, &unit) in self.kept[units.rows].iter().enumerate() {
            for run in &within {
                let run = Run {
                    full: whole.offset + unit as usize * wide + run.full,
                    sub: part.offset + row * narrow + run.sub,
                    len: run.len,
                };
                visit(row, run);
            }
        }
    }
}

/// Values of one unit in a tensor whose first dimension has `units` of them, or several values of each.
fn row(entry: &Entry, units: usize) -> usize {
    entry.len / units.max(1)
}

/// A running weighted sum of sub-models, entry by entry of the full network: each is divided by the
/// weight of those who held it, and stays as it was where nobody did (Diao et al. 2021, HeteroFL,
/// equation 3; Alam et al. 2022, FedRolex, algorithm 1).
///
/// Holds two vectors of the full size, however many are added.
#[derive(Debug)]
pub struct PartialSum {
    full: Arc<Model>,
    sums: Option<(Buffer, Buffer)>,
}

impl PartialSum {
    /// An empty sum over sub-models of `full`.
    pub const fn new(full: Arc<Model>) -> Self {
        Self { full, sums: None }
    }

    /// Adds the sub-model's `params` with `weight`. Where `classes` is given, rows of the layer that
    /// gives the scores are added for those classes only.
    ///
    /// # Errors
    /// When they do not fit; nothing is added then.
    pub fn add(
        &mut self,
        selection: &Selection,
        sub: &Model,
        params: &ParamSet,
        weight: f64,
        classes: Option<&[bool]>,
    ) -> Result<(), ParamError> {
        params.has_layout(sub.layout())?;
        selection.fits(&self.full, sub)?;
        let values = params.as_slice()?;
        if self.sums.is_none() {
            let zeros = || Buffer::zeros(Arc::clone(self.full.layout()), tch::Device::Cpu);
            self.sums = Some((zeros()?, zeros()?));
        }
        let Some((sum, weights)) = &mut self.sums else {
            return Ok(());
        };
        let (sum, weights) = (sum.as_mut_slice()?, weights.as_mut_slice()?);
        let weight = weight as f32;
        for (index, entry) in sub.layout().entries().iter().enumerate() {
            let classes = classes.filter(|_| matches!(entry.role.place, Place::Last | Place::Only));
            selection.runs(&self.full, sub, index, |row, run| {
                if classes.is_some_and(|held| held.get(row) != Some(&true)) {
                    return;
                }
                let sum = &mut sum[run.full..run.full + run.len];
                let values = &values[run.sub..run.sub + run.len];
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum += weight * value;
                }
                for total in &mut weights[run.full..run.full + run.len] {
                    *total += weight;
                }
            });
        }
        Ok(())
    }

    /// The means, with the values of `previous` where there is none; the sum is empty then. `None`
    /// if nothing was added.
    ///
    /// # Errors
    /// When `previous` is not of the full network.
    pub fn take_mean(&mut self, previous: &ParamSet) -> Result<Option<ParamSet>, ParamError> {
        let Some((mut sum, weights)) = self.sums.take() else {
            return Ok(None);
        };
        let weights = weights.freeze();
        Buffer::elementwise(
            [&mut sum],
            [&weights, previous],
            |[sum], [weight, before]| [if weight > 0.0 { sum / weight } else { before }],
        )?;
        Ok(Some(sum.freeze()))
    }

    /// Forgets what was added.
    pub fn clear(&mut self) {
        self.sums = None;
    }
}

#[cfg(test)]
mod tests;
