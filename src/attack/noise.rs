//! Updates without information: noise added to the honest update, noise alone, zeros, and random
//! values. Attacks with Gaussian noise are in Blanchard et al., NeurIPS 2017, section 4, and in
//! Fang et al., USENIX Security 2020.

use super::{positive, Attack, Forge, Forging};
use crate::quantity::Distribution;
use serde::{Deserialize, Serialize};

/// The honest update plus noise from N(0, std²) on every value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Gaussian {
    /// The standard deviation of the noise on each value.
    pub std: f64,
}

/// Gaussian noise in place of the update, about `scale` times as long as the honest update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScaledNoise {
    /// The norm of the noise, as a multiple of the norm of the honest update.
    pub scale: f64,
}

/// An update of zeros: the adversary reports the model that it was sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Zero {}

/// Every value of the update is drawn uniformly from [−range, range).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Random {
    /// The largest absolute value.
    pub range: f64,
}

impl Default for Gaussian {
    fn default() -> Self {
        Self { std: 0.1 }
    }
}

impl Default for ScaledNoise {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

impl Default for Random {
    fn default() -> Self {
        Self { range: 0.1 }
    }
}

/// The normal distribution N(0, std²).
pub(super) const fn normal(std: f64) -> Distribution {
    Distribution::Normal { mean: 0.0, std }
}

macro_rules! forging {
    ($attack:ident $(, $field:ident)?) => {
        impl Attack for $attack {
            $(fn check(&self) -> Vec<(&'static str, String)> {
                positive(stringify!($field), self.$field).into_iter().collect()
            })?

            fn forge(&self) -> Option<&dyn Forge> {
                Some(self)
            }
        }
    };
}

forging!(Gaussian, std);
forging!(ScaledNoise, scale);
forging!(Zero);
forging!(Random, range);

impl Forge for Gaussian {
    fn forge(&self, values: &mut [f32], forging: &mut Forging) {
        let noise = normal(self.std);
        for value in values {
            *value += noise.sample(&mut forging.draws) as f32;
        }
    }
}

impl Forge for ScaledNoise {
    fn forge(&self, values: &mut [f32], forging: &mut Forging) {
        let squares = values.iter().map(|v| f64::from(*v) * f64::from(*v));
        let each = (squares.sum::<f64>() / values.len().max(1) as f64).sqrt();
        let noise = normal(self.scale * each);
        for value in values {
            *value = noise.sample(&mut forging.draws) as f32;
        }
    }
}

impl Forge for Zero {
    fn forge(&self, values: &mut [f32], _: &mut Forging) {
        values.fill(0.0);
    }
}

impl Forge for Random {
    fn forge(&self, values: &mut [f32], forging: &mut Forging) {
        let even = Distribution::Uniform {
            low: -self.range,
            high: self.range,
        };
        for value in values {
            *value = even.sample(&mut forging.draws) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::forged;
    use super::*;

    fn deviation(values: &[f64]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares = values.iter().map(|v| (v - mean).powi(2));
        (mean, (squares.sum::<f64>() / n).sqrt())
    }

    #[test]
    fn noise_has_the_stated_deviation_around_the_update_and_is_new_each_round() {
        let honest = vec![0.7f32; 20_000];
        let noisy = forged(&Gaussian { std: 0.2 }, &honest, 1);
        let wide: Vec<f64> = noisy.iter().map(|v| f64::from(*v)).collect();
        let (mean, std) = deviation(&wide);
        // Four standard errors of each.
        assert!((mean - 0.7).abs() < 4.0 * 0.2 / 20_000f64.sqrt(), "{mean}");
        assert!((std - 0.2).abs() < 4.0 * 0.2 / 40_000f64.sqrt(), "{std}");
        assert_eq!(noisy, forged(&Gaussian { std: 0.2 }, &honest, 1));
        assert_ne!(noisy, forged(&Gaussian { std: 0.2 }, &honest, 2));
    }

    #[test]
    fn scaled_noise_is_as_long_as_said_and_has_nothing_of_the_update() {
        let honest: Vec<f32> = (0..20_000)
            .map(|i| if i % 2 == 0 { 0.3 } else { -0.1 })
            .collect();
        let noise = forged(&ScaledNoise { scale: 3.0 }, &honest, 1);
        let length = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!((length(&noise) / length(&honest) - 3.0).abs() < 0.1);
        let product: f64 = noise
            .iter()
            .zip(&honest)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum();
        assert!((product / (length(&noise) * length(&honest))).abs() < 0.03);
    }

    #[test]
    fn zeros_and_even_draws_are_what_they_say() {
        assert_eq!(forged(&Zero {}, &[1.0, 2.0], 1), [0.0, 0.0]);
        let drawn = forged(&Random { range: 0.5 }, &vec![9.0; 5000], 1);
        assert!(drawn.iter().all(|v| (-0.5..=0.5).contains(v)));
        let wide: Vec<f64> = drawn.iter().map(|v| f64::from(*v)).collect();
        let (mean, std) = deviation(&wide);
        assert!(
            mean.abs() < 0.02 && (std - 1.0 / 12f64.sqrt()).abs() < 0.01,
            "{mean} {std}"
        );
    }
}
