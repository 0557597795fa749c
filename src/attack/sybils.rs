//! Sybils: one adversary behind many clients (Douceur 2002; in federated learning Fung, Yoon and
//! Beschastnikh, "The Limitations of Federated Learning in Sybil Settings", RAID 2020).

use super::label_flip::pair;
use super::noise::normal;
use super::{Attack, Forge, Forging, Poison, Sample};
use crate::data::{DataSummary, Dataset};
use crate::quantity::bounds::{zero_or_more, MOST};
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// All adversaries of an entry report one update, each with a little noise of its own. The update
/// comes from training on the data of the first adversary, in which samples of class `source` are
/// labelled `target`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sybils {
    /// The class whose samples are relabelled.
    pub source: u32,
    /// The label that these samples get.
    pub target: u32,
    /// The standard deviation of the noise on each value.
    pub noise: f64,
}

impl Default for Sybils {
    fn default() -> Self {
        Self {
            source: 1,
            target: 7,
            noise: 1e-4,
        }
    }
}

impl Attack for Sybils {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = pair(self.source, self.target).check();
        problems.extend(zero_or_more("noise", self.noise, MOST));
        problems
    }

    fn classes(&self) -> Vec<(&'static str, u32)> {
        vec![("source", self.source), ("target", self.target)]
    }

    fn poison(&self) -> Option<&dyn Poison> {
        Some(self)
    }

    fn forge(&self) -> Option<&dyn Forge> {
        Some(self)
    }
}

impl Poison for Sybils {
    fn fits(&self, samples: &DataSummary) -> Vec<(&'static str, String)> {
        pair(self.source, self.target).fits(samples)
    }

    fn poison(&self, data: &Dataset, own: &[u32], draws: &mut Stream) -> Vec<Sample> {
        Poison::poison(&pair(self.source, self.target), data, own, draws)
    }
}

impl Forge for Sybils {
    fn shared(&self) -> bool {
        true
    }

    fn forge(&self, values: &mut [f32], forging: &mut Forging) {
        let noise = normal(self.noise);
        for value in values {
            *value += noise.sample(&mut forging.draws) as f32;
        }
    }
}
