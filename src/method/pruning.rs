//! Common parts of methods with pruned personal networks: when a client prunes, and which weights
//! or units it prunes first.

use super::client::measure_own;
use super::{ClientInput, ClientWork, MethodError};
use crate::learn::{evaluate, Cost, EvaluationSums};
use crate::model::ParamSet;

/// The number of samples whose scores are computed at once.
const BATCH: usize = 64;

/// How often and how far a client prunes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// The share of what is left that is pruned in one step.
    pub rate: f64,
    /// The share of the whole that is pruned in the end.
    pub target: f64,
    /// The accuracy from which on a client prunes.
    pub threshold: f64,
}

impl Pace {
    /// The problems with the settings, under the names that the methods give them.
    pub fn problems(self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut check = |name, value: f64, ok: bool, allowed: &str| {
            if !ok {
                found.push((name, format!("expected a number in {allowed}, got {value}")));
            }
        };
        let below = |x: f64| (0.0..1.0).contains(&x);
        check(
            "prune_rate",
            self.rate,
            below(self.rate) && self.rate > 0.0,
            "(0, 1)",
        );
        check("target", self.target, below(self.target), "[0, 1)");
        let share = (0.0..=1.0).contains(&self.threshold);
        check("acc_threshold", self.threshold, share, "[0, 1]");
        found
    }

    /// The number of things to prune in the next step, where `left` of `all` are left: the share of
    /// those left, rounded down but at least one, and never beyond the target.
    pub fn step(self, all: usize, left: usize) -> usize {
        // A product that is a whole number except for rounding counts as that number.
        let share = |of: usize, ratio: f64| libm::floor(of as f64 * ratio + 1e-9) as usize;
        let allowed = share(all, self.target).saturating_sub(all - left.min(all));
        share(left, self.rate).max(1).min(allowed)
    }

    /// Whether `accuracy` is high enough to prune.
    pub fn allows(self, accuracy: f64) -> bool {
        accuracy >= self.threshold
    }
}

/// The accuracy of a network that a client received, before it is pruned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validated {
    /// The accuracy on the samples that the client holds out or, if it holds out none, on those it
    /// trains on.
    pub accuracy: f64,
    /// The sums over the held-out samples, if there are any.
    held_out: Option<EvaluationSums>,
}

/// Evaluates `params`.
pub(super) fn validate(input: &ClientInput, params: &ParamSet) -> Result<Validated, MethodError> {
    let held_out = measure_own(input, params)?;
    let sums = match held_out {
        Some(sums) => sums,
        None => {
            let samples = input.train.as_slice();
            evaluate(&input.model, params, &input.data, samples, BATCH, None)?
        }
    };
    Ok(Validated {
        accuracy: sums.accuracy(),
        held_out,
    })
}

impl Validated {
    /// Records in `work` that this network is the one that was received. A client that prunes
    /// starts its training from another one.
    pub fn was_received(self, mut work: ClientWork) -> ClientWork {
        if let Some((watched, sums)) = work.metrics.held_out.as_mut().zip(self.held_out) {
            watched.received = sums.correct as u32;
        }
        work
    }
}

/// The cost of [`validate`].
pub(super) fn validation_cost(input: &ClientInput) -> Cost {
    let samples = match input.holdout.len() {
        0 => input.train.len(),
        held_out => held_out,
    };
    Cost::evaluation(&input.model, samples, BATCH)
}

/// The places of the `n` smallest magnitudes; of equal ones, the first places are taken.
pub(super) fn smallest(mut magnitudes: Vec<(f64, usize)>, n: usize) -> Vec<usize> {
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if n == 0 {
        return Vec::new();
    }
    if n < magnitudes.len() {
        magnitudes.select_nth_unstable_by(n - 1, order);
        magnitudes.truncate(n);
    }
    magnitudes.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_take_a_share_of_what_is_left_until_the_target_and_never_beyond() {
        let pace = Pace {
            rate: 0.5,
            target: 0.8,
            threshold: 0.5,
        };
        let mut left = 10;
        let steps: Vec<usize> = std::iter::repeat_with(|| {
            let step = pace.step(10, left);
            left -= step;
            step
        })
        .take(5)
        .collect();
        assert_eq!(steps, [5, 2, 1, 0, 0]);
        // Small shares still make progress; a target of nothing prunes nothing.
        assert_eq!(Pace { rate: 0.01, ..pace }.step(10, 10), 1);
        let nothing = Pace {
            target: 0.0,
            ..pace
        };
        assert_eq!(nothing.step(10, 10), 0);
    }

    #[test]
    fn the_smallest_go_first_and_ties_go_by_place() {
        let magnitudes = [0.5, 0.25, 0.25, 0.0, 0.25];
        let places = |n| {
            let all = magnitudes.iter().copied().zip(0..).collect();
            let mut places = smallest(all, n);
            places.sort_unstable();
            places
        };
        assert!(places(0).is_empty());
        assert_eq!(places(3), [1, 2, 3]);
        assert_eq!(places(9), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        let bad = Pace {
            rate: 1.0,
            target: -0.5,
            threshold: f64::NAN,
        };
        let found = bad.problems();
        let names: Vec<&str> = found.iter().map(|problem| problem.0).collect();
        assert_eq!(names, ["prune_rate", "target", "acc_threshold"]);
        assert_eq!(found[0].1, "expected a number in (0, 1), got 1");
    }
}
