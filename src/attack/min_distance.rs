//! Min-Max and Min-Sum: the update goes as far as it can without being further from the honest
//! updates than they are from each other (Shejwalkar and Houmansadr, "Manipulating the Byzantine",
//! NDSS 2021, section IV.C).
//!
//! The paper finds the largest factor γ by halving an interval. The conditions are quadratic in γ,
//! so here it is computed directly.

use super::{Attack, Craft, Knowledge, Known, Line};
use serde::{Deserialize, Serialize};

/// All adversaries send `mean + γ p` with the largest γ at which the update is no further from any
/// honest update than two honest updates are from each other.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinMax {
    /// The direction p.
    pub direction: Direction,
    /// How much the adversaries know.
    pub knowledge: Knowledge,
}

/// All adversaries send `mean + γ p` with the largest γ at which the sum of squared distances from
/// the update to the honest ones is no larger than the largest such sum of one honest update.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinSum {
    /// The direction p.
    pub direction: Direction,
    /// How much the adversaries know.
    pub knowledge: Knowledge,
}

/// The directions p in which the paper perturbs the mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// Against the mean: −mean / ‖mean‖.
    UnitMean,
    /// Against the standard deviation of each value: −deviation.
    #[default]
    Std,
    /// Against the sign of each value of the mean: −sign(mean).
    Sign,
}

impl Direction {
    fn of(self, known: &Known<'_>, mean: &[f64]) -> Vec<f64> {
        match self {
            Self::UnitMean => {
                let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
                let part = if length > 0.0 { -1.0 / length } else { 0.0 };
                mean.iter().map(|v| v * part).collect()
            }
            Self::Std => known.deviation(mean).iter().map(|v| -v).collect(),
            // Rust's `signum` of a zero is 1, but the sign of zero is 0.
            Self::Sign => mean
                .iter()
                .map(|v| if *v == 0.0 { 0.0 } else { -v.signum() })
                .collect(),
        }
    }
}

/// The largest γ ≥ 0 with `a γ² + 2 b γ + c ≤ 0`; 0 if there is none.
fn largest(a: f64, b: f64, c: f64) -> f64 {
    let inside = b * b - a * c;
    if a > 0.0 && inside >= 0.0 {
        ((inside.sqrt() - b) / a).max(0.0)
    } else {
        0.0
    }
}

/// The squared distance ‖x − y‖² of every pair of known updates.
fn squared(known: &Known<'_>) -> Vec<Vec<f64>> {
    let apart = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum()
    };
    let row = |a: &&[f32]| known.updates.iter().map(|b| apart(a, b)).collect();
    known.updates.iter().map(row).collect()
}

/// The terms of the quadratic conditions: the line, the product `p·p`, and for each known update x
/// the values `p·(mean − x)` and `‖mean − x‖²`.
fn terms(known: &Known<'_>, direction: Direction) -> (Line, f64, Vec<(f64, f64)>) {
    let from = known.mean();
    let along = direction.of(known, &from);
    let of = |update: &&[f32]| {
        let (mut along_it, mut apart) = (0.0, 0.0);
        for ((mean, p), x) in from.iter().zip(&along).zip(*update) {
            let difference = mean - f64::from(*x);
            along_it += p * difference;
            apart += difference * difference;
        }
        (along_it, apart)
    };
    let each = known.updates.iter().map(of).collect();
    let square = along.iter().map(|p| p * p).sum();
    let line = Line {
        from,
        along,
        scale: 0.0,
    };
    (line, square, each)
}

macro_rules! crafting {
    ($attack:ident) => {
        impl Attack for $attack {
            fn craft(&self) -> Option<&dyn Craft> {
                Some(self)
            }
        }
    };
}

crafting!(MinMax);
crafting!(MinSum);

impl Craft for MinMax {
    fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    fn line(&self, known: &Known<'_>) -> Line {
        let (line, square, each) = terms(known, self.direction);
        let pairs = squared(known);
        let most = pairs.iter().flatten().copied().fold(0.0, f64::max);
        let scales = each.iter().map(|(b, c)| largest(square, *b, c - most));
        let scale = scales.fold(f64::INFINITY, f64::min);
        Line {
            scale: if scale.is_finite() { scale } else { 0.0 },
            ..line
        }
    }
}

impl Craft for MinSum {
    fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    fn line(&self, known: &Known<'_>) -> Line {
        let (line, square, each) = terms(known, self.direction);
        let sums = squared(known).into_iter().map(|row| row.iter().sum());
        let most = sums.fold(0.0, f64::max);
        let n = each.len() as f64;
        let (b, c) = each
            .iter()
            .fold((0.0, 0.0), |(b, c), each| (b + each.0, c + each.1));
        Line {
            scale: largest(n * square, b, c - most),
            ..line
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{known, updates};
    use super::*;
    use proptest::prelude::*;

    fn apart(a: &[f32], b: &[f32]) -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
            .sum()
    }

    fn directions() -> impl Strategy<Value = Direction> {
        prop_oneof![
            Just(Direction::UnitMean),
            Just(Direction::Std),
            Just(Direction::Sign)
        ]
    }

    proptest! {
        #[test]
        fn min_max_goes_as_far_as_two_honest_updates_are_apart_and_no_further(
            updates in updates(3..9), direction in directions(),
        ) {
            let attack = MinMax { direction, ..MinMax::default() };
            let line = known(&updates, 2, |known| attack.line(known));
            prop_assume!(line.along.iter().map(|p| p * p).sum::<f64>() > 1e-3);
            let allowed = updates.iter().flat_map(|a| updates.iter().map(|b| apart(a, b)))
                .fold(0.0, f64::max);
            let most = |scale: f64| {
                let crafted = line.at(scale);
                updates.iter().map(|u| apart(&crafted, u)).fold(0.0, f64::max)
            };
            prop_assert!(most(line.scale) <= allowed * (1.0 + 1e-4) + 1e-4);
            prop_assert!(most(line.scale * 1.01 + 0.05) > allowed, "it could go further");
        }

        #[test]
        fn min_sum_goes_as_far_as_the_loneliest_honest_update_and_no_further(
            updates in updates(3..9), direction in directions(),
        ) {
            let attack = MinSum { direction, ..MinSum::default() };
            let line = known(&updates, 2, |known| attack.line(known));
            prop_assume!(line.along.iter().map(|p| p * p).sum::<f64>() > 1e-3);
            let sum = |point: &[f32]| updates.iter().map(|u| apart(point, u)).sum::<f64>();
            let allowed = updates.iter().map(|u| sum(u)).fold(0.0, f64::max);
            prop_assert!(sum(&line.at(line.scale)) <= allowed * (1.0 + 1e-4) + 1e-4);
            prop_assert!(sum(&line.at(line.scale * 1.01 + 0.05)) > allowed, "it could go further");
        }
    }

    #[test]
    fn of_one_known_update_nothing_can_be_told_and_it_is_sent() {
        let one = vec![vec![1.0, -2.0]];
        for line in [
            known(&one, 1, |known| MinMax::default().line(known)),
            known(&one, 1, |known| MinSum::default().line(known)),
        ] {
            assert_eq!(line.at(line.scale), [1.0, -2.0]);
        }
    }
}
