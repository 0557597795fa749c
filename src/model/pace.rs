//! How fast the windows of rolling sub-models move.

use super::{UnitSet, Units};
use serde::{Deserialize, Serialize};

/// How the windows of a network's unit sets move from round to round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Pace {
    /// Every window by one unit a round. Over as many rounds as a set has units, each of its units is
    /// held equally often. The weight between two hidden sets that roll side by side is not: row `i`
    /// and column `j` are held together as often as two windows at equal shifts both reach them.
    #[default]
    Together,
    /// Windows that meet in a tensor move like the wheels of a counter: one by one unit a round, the
    /// next when the first has come around. Over a cycle each parameter between two sets is held
    /// equally often; the cycle is as long as the product of the wheels' lengths.
    InTurn,
}

impl Pace {
    /// For each set, how many rounds its window rests before it moves on by one unit.
    pub fn rests(self, units: &Units) -> Vec<u64> {
        match self {
            Self::Together => vec![1; units.sets().len()],
            Self::InTurn => in_turn(units),
        }
    }
}

/// Gives each set the first wheel that no earlier set next to it has. Two sets on one wheel never
/// meet, so only sets of different wheels need to pass through every pair of positions; a wheel has
/// come around when all its sets have.
fn in_turn(units: &Units) -> Vec<u64> {
    let sets = units.sets();
    let mut wheels: Vec<usize> = Vec::with_capacity(sets.len());
    for set in 0..sets.len() {
        let beside = units.entries().iter().filter_map(|entry| {
            let columns = entry.columns?.set;
            match (entry.rows == set, columns == set) {
                (true, false) => Some(columns),
                (false, true) => Some(entry.rows),
                _ => None,
            }
        });
        let taken: Vec<usize> = beside
            .filter(|&other| !sets[other].fixed)
            .filter_map(|other| wheels.get(other).copied())
            .collect();
        let free = (0..).find(|wheel| !taken.contains(wheel));
        wheels.push(free.unwrap_or(0));
    }
    let wheel_count = wheels.iter().max().map_or(0, |&last| last + 1);
    let mut rest_of_wheel = vec![1u64; wheel_count];
    let mut rest = 1u64;
    for (wheel, start) in rest_of_wheel.iter_mut().enumerate() {
        *start = rest;
        let on_it = sets.iter().zip(&wheels);
        let sizes = on_it.filter(|(set, of)| **of == wheel && !set.fixed);
        let around = sizes.fold(1u64, |all, (set, _)| least_common(all, set.size as u64));
        rest = rest.saturating_mul(around);
    }
    let rest = |(set, &wheel): (&UnitSet, &usize)| match set.fixed {
        true => 1,
        false => rest_of_wheel[wheel],
    };
    sets.iter().zip(&wheels).map(rest).collect()
}

/// The least common multiple, at most the largest number there is.
fn least_common(a: u64, b: u64) -> u64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{preset, LayerSpec, Model, ParamSet, Selection};

    /// How often each parameter of the full network is held over a cycle of `pace`.
    fn held(full: &Model, ratio: f64, pace: Pace) -> (u64, Vec<u32>) {
        let sub = full.narrowed(ratio).unwrap();
        let rests = pace.rests(full.units());
        let moving = full.units().sets().iter().zip(&rests);
        let cycle = moving
            .filter(|(set, _)| !set.fixed)
            .fold(1, |all, (set, rest)| {
                least_common(all, set.size as u64 * rest)
            });
        let places: Vec<f32> = (0..full.parameters()).map(|i| i as f32).collect();
        let places = ParamSet::from_slice(full.layout(), &places).unwrap();
        let mut held = vec![0; full.parameters()];
        for round in 0..cycle {
            let window = Selection::rolling_at(full.units(), sub.units(), round, &rests);
            let taken = window.gather(full, &sub, &places).unwrap();
            for &place in taken.as_slice().unwrap() {
                held[place as usize] += 1;
            }
        }
        (cycle, held)
    }

    fn every_parameter_equally_often(full: &Model, ratio: f64, cycle: u64) {
        let (rounds, held) = held(full, ratio, Pace::InTurn);
        assert_eq!(rounds, cycle);
        for entry in full.layout().entries() {
            let held = &held[entry.offset..entry.offset + entry.len];
            assert!(
                held.iter().all(|&n| n == held[0] && n > 0),
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn in_turn_every_parameter_of_a_convolutional_network_is_held_equally_often() {
        let layers = preset("fedconv-mnist").unwrap().layers(10);
        let full = Model::build(&layers, &[1, 28, 28], 10).unwrap();
        every_parameter_equally_often(&full, 0.5625, 16 * 32);
    }

    #[test]
    fn sets_on_one_wheel_come_around_together() {
        let dense = LayerSpec::dense;
        let full = Model::build(&[dense(4), dense(6), dense(10), dense(3)], &[2], 3).unwrap();
        // The first and the third hidden set share a wheel of lcm(4, 10) rounds, the second has one.
        assert_eq!(Pace::InTurn.rests(full.units()), [1, 1, 20, 1, 1]);
        every_parameter_equally_often(&full, 0.5, 20 * 6);
    }

    #[test]
    fn three_sets_that_all_meet_have_three_wheels() {
        let conv = |out| LayerSpec::conv(out, 1, 0);
        // The block's input, its inside and its output.
        let layers = [
            conv(2),
            LayerSpec::Residual {
                body: vec![conv(3), conv(4)],
                shortcut: vec![conv(4)],
            },
            LayerSpec::GlobalAvgPool,
            LayerSpec::dense(2),
        ];
        let full = Model::build(&layers, &[1, 2, 2], 2).unwrap();
        assert_eq!(Pace::InTurn.rests(full.units()), [1, 1, 2, 6, 1]);
        every_parameter_equally_often(&full, 0.5, 2 * 3 * 4);
    }

    #[test]
    fn together_units_are_held_equally_often_and_pairs_of_units_are_not() {
        let layers = [
            LayerSpec::dense(4),
            LayerSpec::dense(4),
            LayerSpec::dense(2),
        ];
        let full = Model::build(&layers, &[1], 2).unwrap();
        let (cycle, held) = held(&full, 0.5, Pace::Together);
        assert_eq!(cycle, 4);
        assert_eq!(held[..8], [2; 8], "first layer: four weights, four biases");
        // Rows by columns: both windows at one shift reach the same unit twice, neighbours once,
        // opposite ones never.
        let pairs = [[2, 1, 0, 1], [1, 2, 1, 0], [0, 1, 2, 1], [1, 0, 1, 2]];
        assert_eq!(held[8..24], pairs.concat());
    }
}
