//! Attacks: what adversaries do among the clients of a federation.
//!
//! An [`Attack`] acts at one or more of three places:
//! - on the **data**: copies of the adversary's samples are changed when the federation is assembled,
//!   and it trains on those ([`Poison`], `adversaries`);
//! - on its own **report**, after training ([`Forge`], `client`): before anything else is done to it;
//! - at the server's **door** ([`Craft`], `door`): an attack that knows what others sent in the same
//!   round. Its content is decided when the round closes: the adversaries' honest reports are held
//!   back, and what they agree on is handed in instead, before any defence looks.
//!
//! The adversaries of one entry of a scenario collude; those of different entries do not.
//!
//! A new attack is one file here, one line in [`registry`].

mod adversaries;
mod alie;
mod backdoor;
mod client;
mod copies;
mod door;
mod edge_case;
mod free_rider;
mod ipm;
mod known;
mod label_flip;
mod logit_poisoning;
mod min_distance;
mod model_replacement;
mod noise;
pub mod registry;
mod rounds;
mod sign_flip;
mod sybils;
#[cfg(test)]
mod testing;

pub use adversaries::{Adversaries, Adversary};
pub use client::Forging;
pub(crate) use client::Poisoner;
pub use copies::{Picture, Sample, Trigger};
pub use door::Door;
pub use known::{Knowledge, Known, Line};
pub use registry::AttackSpec;
pub use rounds::Rounds;

use crate::data::{DataSummary, Dataset};
use crate::quantity::{bounds, listed};
use crate::sim::rng::Stream;
use std::fmt::Debug;

/// An attack, with its parameters.
pub trait Attack: Debug + Send + Sync {
    /// What is wrong with the parameters: each with the name of the field at fault.
    /// Fields that it was held against are named after it, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The fields that name a class, and the class each names.
    fn classes(&self) -> Vec<(&'static str, u32)> {
        Vec::new()
    }

    /// What it does to the adversaries' data.
    fn poison(&self) -> Option<&dyn Poison> {
        None
    }

    /// What it does to an adversary's own report.
    fn forge(&self) -> Option<&dyn Forge> {
        None
    }

    /// What it makes of the reports of a round.
    fn craft(&self) -> Option<&dyn Craft> {
        None
    }
}

/// An attack on training data.
pub trait Poison {
    /// What of the parameters does not fit the samples: each with its field.
    fn fits(&self, samples: &DataSummary) -> Vec<(&'static str, String)> {
        let _ = samples;
        Vec::new()
    }

    /// What an adversary trains on instead of its `own` samples of `data`.
    fn poison(&self, data: &Dataset, own: &[u32], draws: &mut Stream) -> Vec<Sample>;

    /// What the attack's success is measured on: copies of samples of `test`, labelled with what the
    /// adversary wants to be seen. None where it wants nothing in particular.
    fn targets(&self, data: &Dataset, test: &Dataset) -> Vec<Sample> {
        let _ = (data, test);
        Vec::new()
    }
}

/// An attack on the adversary's own report.
pub trait Forge {
    /// Whether it is class scores that are forged, or updates.
    fn scores(&self) -> bool {
        false
    }

    /// Whether the adversary trains at all. One that does not costs its device nothing and forges an
    /// update of zeros.
    fn trains(&self) -> bool {
        true
    }

    /// Whether all adversaries train as the first of them, on its data, and report that.
    fn shared(&self) -> bool {
        false
    }

    /// Changes what training made of the global model (the update, one value a parameter) or of the
    /// public samples (the scores, sample after sample).
    fn forge(&self, values: &mut [f32], forging: &mut Forging);
}

/// An attack that is made at the server's door, from what others have sent.
pub trait Craft {
    /// What the adversaries know.
    fn knowledge(&self) -> Knowledge;

    /// Where the update lies that all of them send, and how far along.
    fn line(&self, known: &Known<'_>) -> Line;
}

/// A problem with a field unless the number is above 0, and not so large that single precision has
/// no room for what it makes of an update.
fn positive(field: &'static str, value: f64) -> Option<(&'static str, String)> {
    bounds::above_zero(field, value, bounds::MOST)
}

/// A problem with a field unless the share is in (0, 1].
fn share(field: &'static str, value: f64) -> Option<(&'static str, String)> {
    let wrong = !(value > 0.0 && value <= 1.0);
    wrong.then(|| (field, format!("{value} is outside (0, 1]")))
}

/// A problem with a field unless it is a class.
fn class(field: &'static str, value: u32, samples: &DataSummary) -> Option<(&'static str, String)> {
    let last = samples.classes.saturating_sub(1);
    let wrong = value as usize > last;
    wrong.then(|| {
        (
            field,
            match samples.names.are_given() {
                false => format!("expected a class from 0 to {last}, found {value}"),
                true => {
                    let few: Vec<String> = (0u32..)
                        .take(samples.classes.min(20))
                        .map(|index| format!("{index} = {}", samples.names.of(index)))
                        .collect();
                    let all = listed(few.iter().map(String::as_str), samples.classes);
                    format!("expected a class from 0 to {last} ({all}), found {value}")
                }
            },
        )
    })
}
