//! Sign flipping, an attack on robust aggregation that is used since Li et al., "RSA", AAAI 2019.

use super::backdoor::boost;
use super::{positive, Attack, Forge, Forging};
use serde::{Deserialize, Serialize};

/// The reversed update: the adversary reports −scale · Δ in place of its update Δ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SignFlip {
    /// The norm of the reversed update, as a multiple of the norm of the honest one.
    pub scale: f64,
}

impl Default for SignFlip {
    fn default() -> Self {
        Self { scale: 1.0 }
    }
}

impl Attack for SignFlip {
    fn check(&self) -> Vec<(&'static str, String)> {
        positive("scale", self.scale).into_iter().collect()
    }

    fn forge(&self) -> Option<&dyn Forge> {
        Some(self)
    }
}

impl Forge for SignFlip {
    fn forge(&self, values: &mut [f32], _: &mut Forging) {
        boost(values, -self.scale);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::forged;
    use super::*;

    #[test]
    fn the_update_is_reversed_and_scaled() {
        let flipped = forged(&SignFlip { scale: 2.0 }, &[1.0, -0.5, 0.0], 1);
        assert_eq!(flipped, [-2.0, 1.0, 0.0]);
    }
}
