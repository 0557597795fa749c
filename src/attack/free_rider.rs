//! Free-riders: clients that want the model and do not train (Fraboni, Vidal and Lorenzi,
//! "Free-rider Attacks on Model Aggregation in Federated Learning", AISTATS 2021).

use super::noise::normal;
use super::{positive, Attack, Forge, Forging};
use crate::quantity::bounds::zero_or_more;
use serde::{Deserialize, Serialize};

/// Plain free-riding: the client reports the model that it received (section 3.1 of the paper). It
/// costs its device nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FreeRider {}

/// Disguised free-riding with additive noise: the client reports the model that it received plus
/// noise from N(0, (σ t^−γ)²) in round t, which fades as updates do (section 3.2 of the paper).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DisguisedFreeRider {
    /// The standard deviation σ of the noise on each value in the first round.
    pub sigma: f64,
    /// The exponent γ: how fast the noise fades.
    pub gamma: f64,
}

impl Default for DisguisedFreeRider {
    fn default() -> Self {
        Self {
            sigma: 0.01,
            gamma: 1.0,
        }
    }
}

impl Attack for FreeRider {
    fn forge(&self) -> Option<&dyn Forge> {
        Some(self)
    }
}

impl Forge for FreeRider {
    fn trains(&self) -> bool {
        false
    }

    fn forge(&self, values: &mut [f32], _: &mut Forging) {
        values.fill(0.0);
    }
}

impl Attack for DisguisedFreeRider {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems: Vec<_> = positive("sigma", self.sigma).into_iter().collect();
        problems.extend(zero_or_more("gamma", self.gamma, 1e3));
        problems
    }

    fn forge(&self) -> Option<&dyn Forge> {
        Some(self)
    }
}

impl Forge for DisguisedFreeRider {
    fn trains(&self) -> bool {
        false
    }

    fn forge(&self, values: &mut [f32], forging: &mut Forging) {
        let round = f64::from(forging.round.max(1));
        let noise = normal(self.sigma * libm::pow(round, -self.gamma));
        for value in values {
            *value = noise.sample(&mut forging.draws) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::forged;
    use super::*;

    #[test]
    fn a_plain_free_rider_sends_back_what_it_got() {
        assert!(!FreeRider {}.trains());
        assert_eq!(forged(&FreeRider {}, &[0.0; 3], 5), [0.0; 3]);
    }

    #[test]
    fn the_disguise_fades_with_the_rounds_as_stated() {
        let attack = DisguisedFreeRider {
            sigma: 0.4,
            gamma: 0.5,
        };
        for (round, expected) in [(1, 0.4), (4, 0.2), (16, 0.1)] {
            let noise = forged(&attack, &vec![0.0; 20_000], round);
            let squares: f64 = noise.iter().map(|v| f64::from(*v).powi(2)).sum();
            let std = (squares / 20_000.0).sqrt();
            assert!((std / expected - 1.0).abs() < 0.03, "round {round}: {std}");
        }
    }
}
