//! Defences: robust aggregation that any averaging method can wear.
//!
//! A [`Defence`] sees the updates of a round and makes one of them; [`Defended`] puts that in front
//! of a method's server half, which gets it as if one client had reported, and goes on unchanged.
//! Defences have no state of their own: what one keeps between rounds is a [`Memory`], so that it can
//! be counted or written down without knowing the defence.
//!
//! Two shapes: a [`Streaming`] defence takes report by report into one [`Sum`]; a [`Keeping`] one
//! needs the whole cohort, 4 bytes a parameter and report.
//!
//! A new defence is one file here, one line in [`registry`].

mod bucketing;
mod bulyan;
mod centred_clipping;
pub(crate) mod clipping;
mod cohort;
mod distances;
mod dnc;
mod fltrust;
mod foolsgold;
mod geometric_median;
mod krum;
mod median;
pub mod registry;
mod server;
mod sign_majority;
#[cfg(test)]
mod testing;
mod weak_dp;

pub use cohort::{Cohort, Memory, Sum, Update};
pub use registry::DefenceSpec;
pub use server::Defended;

use crate::quantity::bounds;
use crate::sim::rng::Stream;
use std::fmt::Debug;

/// The most memory that a defence may keep of reports or of clients, in bytes.
pub const MOST_KEPT: u64 = 8 << 30;

/// A robust aggregation rule, with its parameters.
pub trait Defence: Debug + Send + Sync {
    /// What is wrong with the parameters: each with the name of the field at fault.
    /// Fields that it was held against are named after it, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// With fewer reports than this the rule is not defined, or promises nothing: a round is
    /// abandoned then.
    fn least(&self) -> u32 {
        1
    }

    /// Where [`Self::least`] comes from, in the symbols of the source, such as `n ≥ 2f + 3`.
    fn least_because(&self) -> &'static str {
        "n ≥ 1"
    }

    /// How many of `n` reports may be adversaries' for the promise of its source to hold; `None` where
    /// the source gives no number.
    fn bears(&self, n: u32) -> Option<u32> {
        let _ = n;
        None
    }

    /// Whether it compares reports with an update that the server trains on the public set.
    fn needs_public(&self) -> bool {
        false
    }

    /// The defence that it prepares reports for, if it is one around another.
    fn around(&self) -> Option<&DefenceSpec> {
        None
    }

    /// Whether it keeps a vector a client between rounds.
    fn keeps_clients(&self) -> bool {
        false
    }

    /// Whether it works report by report or on the whole cohort.
    fn access(&self) -> Access<'_>;

    /// Operations on the virtual server for `n` reports of `d` values, all of them together.
    fn flops(&self, n: u64, d: u64) -> u64;
}

/// How a defence takes reports in.
#[derive(Clone, Copy)]
pub enum Access<'a> {
    /// One after the other; memory does not grow with the cohort.
    Streaming(&'a dyn Streaming),
    /// All at once: the cohort's updates are kept until the round closes.
    Keeping(&'a dyn Keeping),
}

/// A defence that takes one report after the other.
pub trait Streaming {
    /// Takes `report` into `sum`.
    fn add(&self, sum: &mut Sum, update: &Update<'_>);

    /// The aggregate of what was taken in. `draws` is the defence's stream of the round.
    fn finish(&self, sum: &Sum, draws: &mut Stream) -> Vec<f32>;
}

/// A defence that works on all reports of a round.
pub trait Keeping {
    /// The aggregate of a cohort that has at least [`Defence::least`] reports: pure. Of a smaller one
    /// whatever is closest to it, without a panic.
    fn aggregate(&self, cohort: &Cohort<'_>, memory: &Memory) -> Vec<f32>;

    /// What is to be remembered once `aggregate` has been made of `cohort`.
    fn settle(&self, cohort: &Cohort<'_>, aggregate: &[f32], memory: &mut Memory) {
        let _ = (cohort, aggregate, memory);
    }
}

/// The aggregate of a cohort, whatever the defence's shape.
pub fn aggregate(defence: &dyn Defence, cohort: &Cohort<'_>, memory: &Memory) -> Vec<f32> {
    match defence.access() {
        Access::Keeping(keeping) => keeping.aggregate(cohort, memory),
        Access::Streaming(streaming) => {
            let mut sum = Sum::of(cohort.values());
            for update in cohort.each() {
                streaming.add(&mut sum, &update);
            }
            streaming.finish(&sum, &mut cohort.draws())
        }
    }
}

/// What is to be remembered of a round, whatever the defence's shape.
pub fn settle(defence: &dyn Defence, cohort: &Cohort<'_>, aggregate: &[f32], memory: &mut Memory) {
    if let Access::Keeping(keeping) = defence.access() {
        keeping.settle(cohort, aggregate, memory);
    }
}

/// A problem with a field unless the number is above 0 and one that single precision can work with.
fn positive(field: &'static str, value: f64) -> Option<(&'static str, String)> {
    bounds::above_zero(field, value, bounds::MOST)
}

/// A problem with a field unless it is 1 or more.
fn at_least_1(field: &'static str, value: u32) -> Option<(&'static str, String)> {
    bounds::at_least_1(field, value, u32::MAX)
}

/// A problem with a field unless it is a number of iterations that a round can wait for.
fn iterations(field: &'static str, value: u32) -> Option<(&'static str, String)> {
    bounds::at_least_1(field, value, bounds::MOST_PASSES)
}
