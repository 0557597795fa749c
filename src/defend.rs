//! Defences: rules of robust aggregation, which can stand in front of any method whose clients
//! report one model or update.
//!
//! A [`Defence`] makes one aggregate of the updates of a round. [`Defended`] is a server half
//! around the method's own: it collects the reports, applies the defence, and hands the aggregate
//! to the method as if one client had reported it. The method's own server step (a mean, momentum,
//! Adam and so on) is unchanged.
//!
//! A defence has no state of its own. The vectors that it keeps between rounds are in a [`Memory`],
//! so that they can be counted and written to a checkpoint without knowing the defence.
//!
//! There are two kinds of [`Access`] to the reports. A [`Streaming`] defence adds one update after
//! the other to a [`Sum`], and memory does not grow with the cohort. A [`Keeping`] defence needs
//! the updates of the whole cohort at once, which takes 4 bytes for each parameter of each report.
//!
//! A new defence is one file in this folder and one line in [`registry`].

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

/// The most memory, in bytes, that a defence may use for the updates of a cohort or for vectors of
/// clients. A scenario that would need more is refused.
pub const MOST_KEPT: u64 = 8 << 30;

/// A rule of robust aggregation, with its settings.
pub trait Defence: Debug + Send + Sync {
    /// The problems with the settings: for each, the name of the field and a message. Where a field
    /// contradicts others, their names follow its own, as in `"weights, tiers"`.
    fn check(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The fewest reports for which the rule is defined and keeps the promise of its source. A
    /// round with fewer reports is abandoned.
    fn least(&self) -> u32 {
        1
    }

    /// The inequality that [`Self::least`] comes from, in the symbols of the source, such as `n ≥
    /// 2f + 3`.
    fn least_because(&self) -> &'static str {
        "n ≥ 1"
    }

    /// The largest number of adversaries among `n` reports for which the source promises a good
    /// aggregate; `None` where the source gives no number.
    fn bears(&self, n: u32) -> Option<u32> {
        let _ = n;
        None
    }

    /// Whether the defence compares reports with an update that the server itself trains on the
    /// public set.
    fn needs_public(&self) -> bool {
        false
    }

    /// The defence inside this one, if this one only prepares reports for another, as
    /// [`Bucketing`](registry) does.
    fn around(&self) -> Option<&DefenceSpec> {
        None
    }

    /// Whether the defence keeps a vector for every client between rounds.
    fn keeps_clients(&self) -> bool {
        false
    }

    /// Whether the defence takes reports one by one or the whole cohort at once, and the
    /// implementation of that.
    fn access(&self) -> Access<'_>;

    /// The floating-point operations of the virtual server for `n` reports of `d` values each: all
    /// the work of a round together.
    fn flops(&self, n: u64, d: u64) -> u64;
}

/// How a defence gets at the reports of a round.
#[derive(Clone, Copy)]
pub enum Access<'a> {
    /// The defence takes one report after the other; memory does not grow with the cohort.
    Streaming(&'a dyn Streaming),
    /// The defence takes all reports at once: the updates of the cohort are kept until the round
    /// closes.
    Keeping(&'a dyn Keeping),
}

/// A defence that takes one report after the other.
pub trait Streaming {
    /// Adds one client's `update` to the running `sum` of the round.
    fn add(&self, sum: &mut Sum, update: &Update<'_>);

    /// The aggregate of the round: one value for each parameter. `draws` is the stream of random
    /// numbers that the defence has for this round.
    fn finish(&self, sum: &Sum, draws: &mut Stream) -> Vec<f32>;
}

/// A defence that works on all reports of a round at once.
pub trait Keeping {
    /// The aggregate of `cohort`, one value for each parameter. It depends on the arguments alone.
    /// With fewer reports than [`Defence::least`] it returns the nearest aggregate that is defined,
    /// and does not panic.
    fn aggregate(&self, cohort: &Cohort<'_>, memory: &Memory) -> Vec<f32>;

    /// Updates `memory` after the round in which `aggregate` was made of `cohort`.
    fn settle(&self, cohort: &Cohort<'_>, aggregate: &[f32], memory: &mut Memory) {
        let _ = (cohort, aggregate, memory);
    }
}

/// The aggregate of a cohort, for a streaming and for a keeping defence alike.
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

/// Updates `memory` after a round, if the defence keeps the cohort; a streaming defence has nothing
/// to remember.
pub fn settle(defence: &dyn Defence, cohort: &Cohort<'_>, aggregate: &[f32], memory: &mut Memory) {
    if let Access::Keeping(keeping) = defence.access() {
        keeping.settle(cohort, aggregate, memory);
    }
}

/// A problem with a field unless its number is above 0 and at most [`bounds::MOST`].
fn positive(field: &'static str, value: f64) -> Option<(&'static str, String)> {
    bounds::above_zero(field, value, bounds::MOST)
}

/// A problem with a field unless its number is 1 or more.
fn at_least_1(field: &'static str, value: u32) -> Option<(&'static str, String)> {
    bounds::at_least_1(field, value, u32::MAX)
}

/// A problem with a field unless its number of iterations is from 1 to [`bounds::MOST_PASSES`].
fn iterations(field: &'static str, value: u32) -> Option<(&'static str, String)> {
    bounds::at_least_1(field, value, bounds::MOST_PASSES)
}
