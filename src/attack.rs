//! Attacks: what adversaries do among the clients of a federation.
//!
//! An [`Attack`] acts at one or more of three places:
//! - On the **data** ([`Poison`], module `adversaries`): when the federation is assembled, copies
//!   of the adversary's samples are changed, and the adversary trains on the copies.
//! - On the adversary's own **report** ([`Forge`], module `client`): the report is changed after
//!   training, before any layer compresses or encrypts it.
//! - At the **server** ([`Craft`], module `collusion`): the attack uses what other clients sent in
//!   the same round. The server holds back the honest reports of the adversaries. When the round
//!   closes, the adversaries agree on an update, which is handed in instead, before any defence
//!   sees the reports.
//!
//! The adversaries of one entry of a scenario collude; those of different entries do not.
//!
//! A new attack is one file in this folder and one line in [`registry`].

mod adversaries;
mod alie;
mod backdoor;
mod client;
mod collusion;
mod copies;
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
pub use collusion::Collusion;
pub use copies::{Picture, Sample, Trigger};
pub use known::{Knowledge, Known, Line};
pub use registry::AttackSpec;
pub use rounds::Rounds;

use crate::data::{DataSummary, Dataset};
use crate::quantity::{bounds, listed};
use crate::sim::rng::Stream;
use std::fmt::Debug;

/// An attack, with its settings.
pub trait Attack: Debug + Send + Sync {
    /// The problems with the settings: for each, the name of the field and a message. Where a field
    /// contradicts others, their names follow its own, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The fields that name a class, each with the class that it names.
    fn classes(&self) -> Vec<(&'static str, u32)> {
        Vec::new()
    }

    /// The change of the adversaries' training data, if the attack makes one.
    fn poison(&self) -> Option<&dyn Poison> {
        None
    }

    /// The change of an adversary's own report, if the attack makes one.
    fn forge(&self) -> Option<&dyn Forge> {
        None
    }

    /// The update that colluding adversaries agree on, if the attack crafts one.
    fn craft(&self) -> Option<&dyn Craft> {
        None
    }
}

/// An attack on training data.
pub trait Poison {
    /// The problems of the settings with the data set, for example a trigger that is larger than
    /// the pictures: for each, the name of the field and a message.
    fn fits(&self, samples: &DataSummary) -> Vec<(&'static str, String)> {
        let _ = samples;
        Vec::new()
    }

    /// The samples that an adversary trains on instead of its `own` samples of `data`. `draws` is
    /// the stream of random numbers of this adversary.
    fn poison(&self, data: &Dataset, own: &[u32], draws: &mut Stream) -> Vec<Sample>;

    /// The samples on which the success of the attack is measured: copies of samples of `test`,
    /// labelled with the class that the adversary wants to see predicted. Empty for an attack that
    /// has no such class.
    fn targets(&self, data: &Dataset, test: &Dataset) -> Vec<Sample> {
        let _ = (data, test);
        Vec::new()
    }
}

/// An attack on the adversary's own report.
pub trait Forge {
    /// Whether the attack changes class scores; otherwise it changes updates.
    fn scores(&self) -> bool {
        false
    }

    /// Whether the adversary trains. One that does not train costs its device nothing, and its
    /// update is zero before it is forged.
    fn trains(&self) -> bool {
        true
    }

    /// Whether all adversaries of an entry train like the first of them, on its data, and report
    /// the result.
    fn shared(&self) -> bool {
        false
    }

    /// Changes the report in place. `values` are the update, with one value for each parameter, or
    /// the class scores of the public samples, sample after sample.
    fn forge(&self, values: &mut [f32], forging: &mut Forging);
}

/// An attack that is made at the server, from what other clients have sent in the round.
pub trait Craft {
    /// How much the adversaries know when they craft their update.
    fn knowledge(&self) -> Knowledge;

    /// The line on which the adversaries' common update lies, and how far along it the attack goes.
    fn line(&self, known: &Known<'_>) -> Line;
}

/// A problem with a field unless its number is above 0 and at most [`bounds::MOST`], so that the
/// changed update still fits single precision.
fn positive(field: &'static str, value: f64) -> Option<(&'static str, String)> {
    bounds::above_zero(field, value, bounds::MOST)
}

/// A problem with a field unless its number is a share in (0, 1].
fn share(field: &'static str, value: f64) -> Option<(&'static str, String)> {
    let wrong = !(value > 0.0 && value <= 1.0);
    wrong.then(|| (field, format!("{value} is outside (0, 1]")))
}

/// A problem with a field unless its number is one of the classes of the data.
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
