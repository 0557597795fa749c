//! Model replacement: a model with a backdoor, boosted so that it survives the average (Bagdasaryan
//! et al., "How To Backdoor Federated Learning", AISTATS 2020, section 4.2).

use super::backdoor::{boost, Backdoor};
use super::{positive, Attack, Forge, Forging, Poison};
use serde::{Deserialize, Serialize};

/// The adversary trains a model X with the backdoor of [`Backdoor`] and reports `γ (X − G) + G`,
/// where G is the global model and `γ = n / η` (equation 3 of the paper, here with the server rate
/// η = 1). If all n reports have equal weight and the honest clients do not change the model, the
/// new global model is X. The attack is meant for one adversary a round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelReplacement {
    /// The factor γ; the size of the cohort if not given.
    pub boost: Option<f64>,
    /// The class that pictures with the trigger shall be taken for.
    pub target: u32,
    /// The share of the adversary's samples that carry the trigger.
    pub share: f64,
    /// The side of the trigger, in pixels.
    pub size: u32,
}

impl Default for ModelReplacement {
    fn default() -> Self {
        let Backdoor {
            target,
            share,
            size,
            ..
        } = Backdoor::default();
        Self {
            boost: None,
            target,
            share,
            size,
        }
    }
}

impl ModelReplacement {
    fn backdoor(&self) -> Backdoor {
        Backdoor {
            target: self.target,
            share: self.share,
            size: self.size,
            boost: 1.0,
        }
    }
}

impl Attack for ModelReplacement {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = self.backdoor().check();
        problems.extend(self.boost.and_then(|factor| positive("boost", factor)));
        problems
    }

    fn classes(&self) -> Vec<(&'static str, u32)> {
        vec![("target", self.target)]
    }

    fn poison(&self) -> Option<&dyn Poison> {
        Some(self)
    }

    fn forge(&self) -> Option<&dyn Forge> {
        Some(self)
    }
}

impl Forge for ModelReplacement {
    fn forge(&self, values: &mut [f32], forging: &mut Forging) {
        let factor = self.boost.unwrap_or(f64::from(forging.cohort));
        boost(values, factor);
    }
}

impl Poison for ModelReplacement {
    fn fits(&self, samples: &crate::data::DataSummary) -> Vec<(&'static str, String)> {
        self.backdoor().fits(samples)
    }

    fn poison(
        &self,
        data: &crate::data::Dataset,
        own: &[u32],
        draws: &mut crate::sim::rng::Stream,
    ) -> Vec<super::Sample> {
        Poison::poison(&self.backdoor(), data, own, draws)
    }

    fn targets(
        &self,
        data: &crate::data::Dataset,
        test: &crate::data::Dataset,
    ) -> Vec<super::Sample> {
        self.backdoor().targets(data, test)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{forged, COHORT};
    use super::*;

    /// The paper's equation 2 with L_i = G for all others: G + Σ (L − G) / n = X.
    #[test]
    fn where_others_stand_still_the_average_is_the_adversarys_model() {
        let (global, wanted) = ([1.0f32, -2.0, 0.5], [0.25f32, 3.0, 0.5]);
        let update: Vec<f32> = wanted.iter().zip(&global).map(|(x, g)| x - g).collect();
        let sent = forged(&ModelReplacement::default(), &update, 1);
        for ((sent, global), wanted) in sent.iter().zip(&global).zip(&wanted) {
            let average = global + sent / COHORT as f32;
            assert!(
                (average - wanted).abs() < 1e-6,
                "{average} against {wanted}"
            );
        }
    }
}
