//! The units of a sub-model: which are chosen, and how a message describes them.

use super::super::{MethodError, Payload};
use crate::model::{Entry, Model, ParamError, ParamSet, Part, Place};

/// For each set of units of a network, the units that a sub-model keeps, in ascending order.
pub(super) type UnitLists = Vec<Vec<u32>>;

/// The sets of units of which a sub-model may have fewer.
pub(super) fn hidden(full: &Model) -> Vec<usize> {
    let sets = full.units().sets().iter().enumerate();
    sets.filter(|(_, set)| !set.fixed)
        .map(|(number, _)| number)
        .collect()
}

/// The places of the `n` largest values, in ascending order; of equal values, the first are taken.
pub(super) fn largest(values: &[f64], n: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    order.sort_by(|&a, &b| values[b as usize].total_cmp(&values[a as usize]));
    order.truncate(n);
    order.sort_unstable();
    order
}

/// Whether the tensor contains weights and biases that produce units, as opposed to those of a
/// normalisation.
fn makes_units(entry: &Entry) -> bool {
    entry.role.place != Place::Norm && entry.role.part != Part::Own
}

/// The sum of squares of the weights and biases that produce each unit.
pub(super) fn magnitudes(full: &Model, params: &ParamSet) -> Result<Vec<Vec<f64>>, ParamError> {
    let values = params.as_slice()?;
    let sets = full.units().sets().iter();
    let mut sums: Vec<Vec<f64>> = sets.map(|set| vec![0.0; set.size]).collect();
    let entries = full.layout().entries().iter().zip(full.units().entries());
    for (entry, of) in entries.filter(|(entry, _)| makes_units(entry)) {
        let row: usize = entry.shape.iter().skip(1).product();
        let rows = values[entry.offset..entry.offset + entry.len].chunks(row.max(1));
        for (sum, row) in sums[of.rows].iter_mut().zip(rows) {
            *sum += row
                .iter()
                .map(|&w| f64::from(w) * f64::from(w))
                .sum::<f64>();
        }
    }
    Ok(sums)
}

/// The units of a sub-model: in each set, those with the largest values of `worth`.
pub(super) fn choose(full: &Model, sub: &Model, worth: &[Vec<f64>]) -> UnitLists {
    let sets = full.units().sets().iter().zip(sub.units().sets());
    sets.zip(worth)
        .map(|((full, sub), worth)| match full.fixed {
            true => (0..full.size as u32).collect(),
            false => largest(worth, sub.size),
        })
        .collect()
}

/// One flag for each hidden unit.
pub(super) fn flags(full: &Model, units: &UnitLists) -> Payload {
    let mut flags = Vec::new();
    for set in hidden(full) {
        let mut of_set = vec![false; full.units().sets()[set].size];
        for &unit in &units[set] {
            of_set[unit as usize] = true;
        }
        flags.extend(of_set);
    }
    Payload::Mask(flags.into())
}

/// The units that [`flags`] describes, if they make up the sub-model `sub`.
pub(super) fn units(full: &Model, sub: &Model, flags: &Payload) -> Result<UnitLists, MethodError> {
    let sets = full.units().sets();
    let all: usize = hidden(full).into_iter().map(|set| sets[set].size).sum();
    let mut rest: &[bool] = flags.as_mask(all)?;
    let mut lists = Vec::with_capacity(sets.len());
    for (set, part) in sets.iter().zip(sub.units().sets()) {
        if set.fixed {
            lists.push((0..set.size as u32).collect());
            continue;
        }
        let (here, after) = rest.split_at(set.size.min(rest.len()));
        rest = after;
        let kept = (0u32..).zip(here).filter(|(_, kept)| **kept);
        let kept: Vec<u32> = kept.map(|(unit, _)| unit).collect();
        if kept.len() != part.size {
            return Err(MethodError::count(
                "units of a layer",
                part.size,
                kept.len(),
            ));
        }
        lists.push(kept);
    }
    Ok(lists)
}
