//! Differential privacy and secure aggregation: layers around methods whose clients report one model
//! or update.
//!
//! - [`CentralDp`]: updates are clipped, the server adds noise to their sum (DP-FedAvg)
//! - [`LocalDp`]: every client adds noise to its own
//! - [`secagg`]: the server learns the sum of updates only
//! - `rdp`: what either guarantees
//! - `clip`: bounding and noise; `adaptive`: a bound that follows the updates
//!
//! Noise is drawn from the run's named streams, in floating point: a simulation of the mechanisms,
//! not a protection of anybody.

mod adaptive;
mod central;
mod clip;
mod local;
mod rdp;
pub mod secagg;
#[cfg(test)]
mod testing;

pub use adaptive::Adaptive;
pub use central::{CentralDp, NoisyMean};
pub use clip::Clipper;
pub use local::{LocalDp, Participations};
pub use rdp::Accountant;

use crate::quantity::bounds;
use serde::{Deserialize, Serialize};

/// What errors call these layers.
const NAME: &str = "privacy";

/// A form of differential privacy by its name in a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Privacy {
    /// At a server that is trusted.
    CentralDp(CentralDp),
    /// At every client.
    LocalDp(LocalDp),
}

impl Privacy {
    /// Every form: its name, what it is, and its source.
    pub const ALL: &'static [(&'static str, &'static str)] = &[
        (
            "CentralDp",
            "Clipped updates, noise on their sum (McMahan et al. 2018; adaptive: Andrew et al. 2021)",
        ),
        ("LocalDp", "Clipped updates, noise at every client"),
    ];

    /// The name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::CentralDp(_) => "CentralDp",
            Self::LocalDp(_) => "LocalDp",
        }
    }

    /// What is wrong with the parameters, each with its field, in rounds of `cohort` clients.
    pub fn check(&self, cohort: u32) -> Vec<(&'static str, String)> {
        match self {
            Self::CentralDp(central) => central.check(cohort),
            Self::LocalDp(local) => local.check(),
        }
    }
}

/// Complaints about what all forms have.
fn check(clip: f64, noise: f64, delta: f64) -> Vec<(&'static str, String)> {
    let mut problems = Vec::new();
    problems.extend(bounds::above_zero("clip", clip, bounds::MOST));
    // Without noise updates are clipped and nothing is promised: the ablation of clipping alone.
    problems.extend(bounds::zero_or_more("noise", noise, bounds::MOST));
    if !(delta > 0.0 && delta < 1.0) {
        let message = format!("expected a probability in (0, 1) such as 1e-5, found {delta}");
        problems.push(("delta", message));
    }
    problems
}
