//! Differential privacy and secure aggregation: layers around methods whose clients report one
//! model or one update.
//!
//! - [`CentralDp`]: updates are clipped, and the server adds noise to their sum (DP-FedAvg)
//! - [`LocalDp`]: every client adds noise to its own update
//! - [`secagg`]: the server learns only the sum of the updates
//! - `rdp`: the accountant, which computes the ε that a run guarantees
//! - `pld`: a tighter accountant, for the end of a run
//! - `clip`: clipping and noise
//! - `adaptive`: a clipping bound that follows the norms of the updates
//!
//! Noise is drawn from the run's named random streams, in floating point. These layers simulate the
//! mechanisms; they do not protect anybody's data.

mod adaptive;
mod central;
mod clip;
mod local;
mod pld;
mod rdp;
pub mod secagg;
#[cfg(test)]
mod testing;

pub use adaptive::Adaptive;
pub use central::{CentralDp, NoisyMean};
pub use clip::Clipper;
pub use local::{LocalDp, Participations};
pub use pld::{Accounting, Bound};
pub use rdp::Accountant;

use crate::quantity::bounds;
use serde::{Deserialize, Serialize};

/// The name of these layers in error messages.
const NAME: &str = "privacy";

/// A form of differential privacy by its name in a scenario, with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Privacy {
    /// The server adds the noise and has to be trusted.
    CentralDp(CentralDp),
    /// Every client adds noise, and nobody has to be trusted.
    LocalDp(LocalDp),
}

impl Privacy {
    /// All forms: the name, and a description with its source, as `shoal list` shows them.
    pub const ALL: &'static [(&'static str, &'static str)] = &[
        (
            "CentralDp",
            "Clipped updates, with noise that the server adds to their sum (McMahan et al. 2018; adaptive \
             clipping: Andrew et al. 2021)",
        ),
        (
            "LocalDp",
            "Clipped updates, with noise that every client adds to its own (Dwork and Roth 2014)",
        ),
    ];

    /// The name of the form, as a scenario writes it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CentralDp(_) => "CentralDp",
            Self::LocalDp(_) => "LocalDp",
        }
    }

    /// The problems with the settings in rounds of `cohort` clients: for each, the name of the
    /// field and a message.
    pub fn check(&self, cohort: u32) -> Vec<(&'static str, String)> {
        match self {
            Self::CentralDp(central) => central.check(cohort),
            Self::LocalDp(local) => local.check(),
        }
    }
}

/// The problems with the settings that all forms have.
fn check(clip: f64, noise: f64, delta: f64) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    problems.extend(bounds::above_zero("clip", clip, bounds::MOST));
    // A noise of 0 is allowed: updates are then clipped but nothing is guaranteed, which shows the
    // effect of clipping alone.
    problems.extend(bounds::zero_or_more("noise", noise, bounds::MOST));
    if !(delta > 0.0 && delta < 1.0) {
        let message = format!("expected a probability in (0, 1) such as 1e-5, found {delta}");
        problems.push(("delta", message));
    }
    problems
}
