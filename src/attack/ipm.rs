//! Inner product manipulation (Xie, Koyejo and Gupta, "Fall of Empires: Breaking Byzantine-tolerant
//! SGD by Inner Product Manipulation", UAI 2019, section 4).

use super::{positive, Attack, Craft, Knowledge, Known, Line};
use serde::{Deserialize, Serialize};

/// All adversaries send `−ε · mean` of the known updates. With a small ε the update is close to the
/// honest ones and passes defences that measure distances. With ε above (n − m) / m, for n reports
/// and m adversaries, it reverses the plain mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ipm {
    /// The factor ε.
    pub epsilon: f64,
    /// How much the adversaries know.
    pub knowledge: Knowledge,
}

impl Default for Ipm {
    fn default() -> Self {
        Self {
            epsilon: 0.5,
            knowledge: Knowledge::Own,
        }
    }
}

impl Attack for Ipm {
    fn check(&self) -> Vec<(&'static str, String)> {
        positive("epsilon", self.epsilon).into_iter().collect()
    }

    fn craft(&self) -> Option<&dyn Craft> {
        Some(self)
    }
}

impl Craft for Ipm {
    fn knowledge(&self) -> Knowledge {
        self.knowledge
    }

    fn line(&self, known: &Known<'_>) -> Line {
        let mean = known.mean();
        Line {
            from: vec![0.0; mean.len()],
            along: mean.iter().map(|value| -value).collect(),
            scale: self.epsilon,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{known, updates};
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_inner_product_with_the_honest_mean_is_negative(
            updates in updates(2..9), epsilon in 0.01f64..10.0,
        ) {
            let attack = Ipm { epsilon, ..Ipm::default() };
            let line = known(&updates, 2, |known| attack.line(known));
            let crafted = line.at(line.scale);
            let n = updates.len() as f64;
            let mean: Vec<f64> = (0..crafted.len())
                .map(|i| updates.iter().map(|u| f64::from(u[i])).sum::<f64>() / n).collect();
            let length: f64 = mean.iter().map(|v| v * v).sum();
            prop_assume!(length > 1e-6);
            let product: f64 = mean.iter().zip(&crafted).map(|(a, b)| a * f64::from(*b)).sum();
            prop_assert!((product + epsilon * length).abs() < 1e-4 * (1.0 + epsilon * length));
            prop_assert!(product < 0.0);
        }
    }
}
