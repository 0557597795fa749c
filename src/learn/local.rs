//! Local training of a client: optimiser, schedule of the learning rate, amount, batches and
//! clipping.

use super::Precision;
use crate::quantity::bounds;
use crate::snapshot::snapshot_enum;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The settings of local training, as a scenario describes them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalTraining {
    /// The optimiser; its state starts anew in every job.
    pub optimizer: Optimizer,
    /// The change of the learning rate from round to round.
    #[serde(default)]
    pub schedule: Schedule,
    /// The amount of training in a job.
    #[serde(default)]
    pub amount: Amount,
    /// The number of samples in a batch; the last batch of an epoch may be smaller. With 0, a batch
    /// is the whole local data set.
    #[serde(default = "ten")]
    pub batch: usize,
    /// The largest Euclidean norm of a gradient; a longer gradient is scaled down to it.
    #[serde(default)]
    pub clip: Option<f64>,
    /// The precision of matrix products and convolutions.
    #[serde(default)]
    pub precision: Precision,
}

/// The rule by which parameters follow gradients. Weight decay is added to the gradient (L2), as in
/// PyTorch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub enum Optimizer {
    /// Stochastic gradient descent, with (Nesterov) momentum in the form of PyTorch.
    Sgd {
        /// The learning rate.
        lr: f64,
        /// The momentum, in [0, 1).
        #[serde(default)]
        momentum: f64,
        /// Whether the momentum is Nesterov's (Sutskever et al., 2013).
        #[serde(default)]
        nesterov: bool,
        /// The factor of weight decay.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Adam (Kingma and Ba, 2015, algorithm 1).
    Adam {
        /// The learning rate.
        lr: f64,
        /// The decay of the first moment.
        #[serde(default = "beta1")]
        beta1: f64,
        /// The decay of the second moment.
        #[serde(default = "beta2")]
        beta2: f64,
        /// The number ε that is added to the square root of the second moment.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// The factor of weight decay.
        #[serde(default)]
        weight_decay: f64,
    },
}

/// The learning rate of a round, as a function of the base rate.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub enum Schedule {
    /// Every round has the base rate.
    #[default]
    Constant,
    /// The rate is multiplied by `factor` after every `every` rounds.
    Step {
        /// The number of rounds between two changes.
        every: u64,
        /// The factor on the rate.
        factor: f64,
    },
    /// The rate is multiplied by `factor` after every round.
    Exponential {
        /// The factor on the rate.
        factor: f64,
    },
    /// The rate falls along half a cosine from the base rate to `min` over `rounds` rounds, and
    /// stays at `min` (Loshchilov and Hutter, 2017, without restarts).
    Cosine {
        /// The number of rounds until the least rate.
        rounds: u64,
        /// The least rate.
        #[serde(default)]
        min: f64,
    },
}

/// The amount of training in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Amount {
    /// This many passes over the local samples, each in a new order.
    Epochs(u32),
    /// This many batches; passes follow one another until there were enough.
    Steps(u32),
}

snapshot_enum!(Amount {
    0 => Epochs(count),
    1 => Steps(count),
});

/// A setting that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The name of the field, such as `optimizer.momentum`.
    pub path: &'static str,
    /// The value that was expected and the one that was found.
    pub message: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Default for Amount {
    fn default() -> Self {
        Self::Epochs(1)
    }
}

const fn ten() -> usize {
    10
}

const fn beta1() -> f64 {
    0.9
}

const fn beta2() -> f64 {
    0.999
}

const fn epsilon() -> f64 {
    1e-8
}

impl Optimizer {
    /// Whether the optimiser keeps a first and a second moment of the gradients.
    pub(super) const fn moments(&self) -> [bool; 2] {
        match self {
            Self::Sgd { momentum, .. } => [*momentum != 0.0, false],
            Self::Adam { .. } => [true, true],
        }
    }

    /// The base learning rate.
    pub const fn lr(&self) -> f64 {
        match self {
            Self::Sgd { lr, .. } | Self::Adam { lr, .. } => *lr,
        }
    }
}

impl Schedule {
    /// The learning rate of `round`, counted from 0, for the base rate `lr`.
    pub fn rate(&self, lr: f64, round: u64) -> f64 {
        match *self {
            Self::Constant => lr,
            Self::Step { every, factor } => lr * libm::pow(factor, (round / every.max(1)) as f64),
            Self::Exponential { factor } => lr * libm::pow(factor, round as f64),
            Self::Cosine { rounds, min } => {
                let done = round.min(rounds) as f64 / rounds.max(1) as f64;
                min + (lr - min) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * done))
            }
        }
    }
}

impl LocalTraining {
    /// One epoch of plain SGD on batches of ten.
    pub const fn sgd(lr: f64) -> Self {
        Self {
            optimizer: Optimizer::Sgd {
                lr,
                momentum: 0.0,
                nesterov: false,
                weight_decay: 0.0,
            },
            schedule: Schedule::Constant,
            amount: Amount::Epochs(1),
            batch: ten(),
            clip: None,
            precision: Precision::Single,
        }
    }

    /// One epoch of Adam with its usual constants on batches of ten.
    pub const fn adam(lr: f64) -> Self {
        Self {
            optimizer: Optimizer::Adam {
                lr,
                beta1: beta1(),
                beta2: beta2(),
                epsilon: epsilon(),
                weight_decay: 0.0,
            },
            ..Self::sgd(lr)
        }
    }

    /// The learning rate of `round`, counted from 0.
    pub fn rate(&self, round: u64) -> f64 {
        self.schedule.rate(self.optimizer.lr(), round)
    }

    /// The number of samples in a full batch of a client with `samples` samples.
    pub fn batch_of(&self, samples: usize) -> usize {
        if self.batch == 0 {
            samples
        } else {
            self.batch.min(samples)
        }
    }

    /// The number of steps in a job of a client with `samples` samples.
    pub fn steps(&self, samples: usize) -> u64 {
        if samples == 0 {
            return 0;
        }
        let an_epoch = samples.div_ceil(self.batch_of(samples)) as u64;
        match self.amount {
            Amount::Epochs(epochs) => an_epoch.saturating_mul(u64::from(epochs)),
            Amount::Steps(steps) => u64::from(steps),
        }
    }

    /// The number of samples that a job of a client with `samples` samples goes through, counted
    /// with repetitions.
    pub fn samples_seen(&self, samples: usize) -> u64 {
        if samples == 0 {
            return 0;
        }
        let (n, batch) = (samples as u64, self.batch_of(samples) as u64);
        let an_epoch = n.div_ceil(batch);
        match self.amount {
            Amount::Epochs(epochs) => n.saturating_mul(u64::from(epochs)),
            Amount::Steps(steps) => {
                let steps = u64::from(steps);
                // Only the last batch of an epoch is short, and the steps that are left over never
                // reach it.
                (steps / an_epoch)
                    .saturating_mul(n)
                    .saturating_add((steps % an_epoch) * batch)
            }
        }
    }

    /// The problems of all settings.
    pub fn problems(&self) -> Vec<SettingProblem> {
        let mut found = Vec::new();
        let mut check = |path, value: f64, ok: bool, allowed: &str| {
            if !ok {
                found.push(SettingProblem {
                    path,
                    message: format!(
                        "expected a number in {allowed}, got {}",
                        bounds::plain(value)
                    ),
                });
            }
        };
        let positive = |x: f64| x > 0.0 && x <= MAX;
        let fraction = |x: f64| (0.0..1.0).contains(&x);
        let amount = |x: f64| (0.0..=MAX).contains(&x);
        match self.optimizer {
            Optimizer::Sgd {
                lr,
                momentum,
                weight_decay,
                nesterov,
            } => {
                check("optimizer.lr", lr, amount(lr), "[0, 1e6]");
                if nesterov && momentum == 0.0 {
                    check(
                        "optimizer.momentum",
                        momentum,
                        false,
                        "(0, 1) with nesterov",
                    );
                } else {
                    check("optimizer.momentum", momentum, fraction(momentum), "[0, 1)");
                }
                check(
                    "optimizer.weight_decay",
                    weight_decay,
                    amount(weight_decay),
                    "[0, 1e6]",
                );
            }
            Optimizer::Adam {
                lr,
                beta1,
                beta2,
                epsilon,
                weight_decay,
            } => {
                check("optimizer.lr", lr, amount(lr), "[0, 1e6]");
                check("optimizer.beta1", beta1, fraction(beta1), "[0, 1)");
                check("optimizer.beta2", beta2, fraction(beta2), "[0, 1)");
                // A smaller value would be zero in single precision.
                check(
                    "optimizer.epsilon",
                    epsilon,
                    (1e-30..=MAX).contains(&epsilon),
                    "[1e-30, 1e6]",
                );
                check(
                    "optimizer.weight_decay",
                    weight_decay,
                    amount(weight_decay),
                    "[0, 1e6]",
                );
            }
        }
        match self.schedule {
            Schedule::Constant => {}
            Schedule::Step { every, factor } => {
                check("schedule.every", every as f64, every > 0, "[1, ∞)");
                check("schedule.factor", factor, positive(factor), "(0, 1e6]");
            }
            Schedule::Exponential { factor } => {
                check("schedule.factor", factor, positive(factor), "(0, 1e6]");
            }
            Schedule::Cosine { rounds, min } => {
                check("schedule.rounds", rounds as f64, rounds > 0, "[1, ∞)");
                check("schedule.min", min, amount(min), "[0, 1e6]");
            }
        }
        if let Some(clip) = self.clip {
            check("clip", clip, positive(clip), "(0, 1e6]");
        }
        found
    }
}

/// The largest rate or factor; a larger one is a typing error.
const MAX: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn schedules_give_the_rates_of_their_formulas() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{a} against {b}");
        close(Schedule::Constant.rate(0.1, 99), 0.1);
        let step = Schedule::Step {
            every: 10,
            factor: 0.5,
        };
        close(step.rate(0.8, 9), 0.8);
        close(step.rate(0.8, 30), 0.1);
        close(Schedule::Exponential { factor: 0.9 }.rate(1.0, 2), 0.81);
        let cosine = Schedule::Cosine {
            rounds: 100,
            min: 0.2,
        };
        close(cosine.rate(1.0, 0), 1.0);
        close(cosine.rate(1.0, 50), 0.6);
        close(cosine.rate(1.0, 1000), 0.2);
    }

    #[test]
    fn the_smallest_text_gets_sensible_defaults() {
        let local: LocalTraining = ron::from_str("(optimizer: Sgd(lr: 0.1))").unwrap();
        assert_eq!(local, LocalTraining::sgd(0.1));
        let local: LocalTraining =
            ron::from_str("(optimizer: Adam(lr: 0.001), amount: Steps(3))").unwrap();
        assert_eq!(local.amount, Amount::Steps(3));
        assert!(local.problems().is_empty());
    }

    #[test]
    fn every_bad_setting_is_reported() {
        let bad = LocalTraining {
            optimizer: Optimizer::Sgd {
                lr: f64::NAN,
                momentum: 0.0,
                nesterov: true,
                weight_decay: -1.0,
            },
            schedule: Schedule::Step {
                every: 0,
                factor: 0.0,
            },
            clip: Some(0.0),
            ..LocalTraining::sgd(0.0)
        };
        let found: Vec<String> = bad.problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "optimizer.lr: expected a number in [0, 1e6], got NaN",
                "optimizer.momentum: expected a number in (0, 1) with nesterov, got 0",
                "optimizer.weight_decay: expected a number in [0, 1e6], got -1",
                "schedule.every: expected a number in [1, ∞), got 0",
                "schedule.factor: expected a number in (0, 1e6], got 0",
                "clip: expected a number in (0, 1e6], got 0",
            ]
        );
    }

    proptest! {
        #[test]
        fn steps_and_samples_are_what_a_walk_over_the_batches_counts(
            samples in 0usize..40, batch in 0usize..50, count in 0u32..9, epochs in any::<bool>()
        ) {
            let amount = if epochs { Amount::Epochs(count) } else { Amount::Steps(count) };
            let local = LocalTraining { amount, batch, ..LocalTraining::sgd(0.1) };
            let all = vec![(); samples];
            let size = if batch == 0 { samples.max(1) } else { batch };
            let an_epoch: Vec<u64> = all.chunks(size).map(|chunk| chunk.len() as u64).collect();
            let passes = if epochs { count as usize } else { 99 };
            let most = if epochs { usize::MAX } else { count as usize };
            let walked: Vec<u64> = std::iter::repeat_n(an_epoch, passes).flatten().take(most).collect();
            let (steps, seen) = (walked.len() as u64, walked.iter().sum::<u64>());
            prop_assert_eq!(local.steps(samples), steps);
            prop_assert_eq!(local.samples_seen(samples), seen);
        }
    }
}
