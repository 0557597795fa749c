//! Poisoned class scores, for methods that exchange those on public samples (the untargeted attack on
//! knowledge-distillation-based federated learning).

use super::{Attack, Forge, Forging};
use serde::{Deserialize, Serialize};

/// What is told of the public samples, changed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogitPoisoning {
    /// How.
    pub mode: Lie,
}

/// How scores are changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lie {
    /// Their sign: what is likely becomes unlikely.
    #[default]
    Negate,
    /// Their class: each sample's scores move on by one, so that the best class is always wrong.
    Permute,
}

impl Attack for LogitPoisoning {
    fn forge(&self) -> Option<&dyn Forge> {
        Some(self)
    }
}

impl Forge for LogitPoisoning {
    fn scores(&self) -> bool {
        true
    }

    fn forge(&self, values: &mut [f32], forging: &mut Forging) {
        match self.mode {
            Lie::Negate => values.iter_mut().for_each(|value| *value = -*value),
            Lie::Permute => {
                for scores in values.chunks_exact_mut(forging.classes.max(1)) {
                    scores.rotate_right(1);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::forged;
    use super::*;

    #[test]
    fn scores_are_negated_or_moved_to_the_next_class() {
        // Three classes, two samples.
        let scores = [5.0, 1.0, 0.0, -1.0, 2.0, 7.0];
        let negated = forged(&LogitPoisoning { mode: Lie::Negate }, &scores, 1);
        assert_eq!(negated, [-5.0, -1.0, 0.0, 1.0, -2.0, -7.0]);
        let moved = forged(&LogitPoisoning { mode: Lie::Permute }, &scores, 1);
        assert_eq!(moved, [0.0, 5.0, 1.0, 7.0, -1.0, 2.0]);
    }
}
