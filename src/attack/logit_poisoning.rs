//! Poisoned class scores, for methods whose clients exchange scores on public samples (the
//! untargeted attack on federated learning by knowledge distillation).

use super::{Attack, Forge, Forging};
use serde::{Deserialize, Serialize};

/// The class scores of the public samples are changed before they are reported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogitPoisoning {
    /// How the scores are changed.
    pub mode: ScoreChange,
}

/// How class scores are changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScoreChange {
    /// The sign of every score is flipped, so that a likely class becomes unlikely.
    #[default]
    Negate,
    /// The scores of each sample move on by one class, so that the best class is always wrong.
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
            ScoreChange::Negate => values.iter_mut().for_each(|value| *value = -*value),
            ScoreChange::Permute => {
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
        let negated = forged(
            &LogitPoisoning {
                mode: ScoreChange::Negate,
            },
            &scores,
            1,
        );
        assert_eq!(negated, [-5.0, -1.0, 0.0, 1.0, -2.0, -7.0]);
        let moved = forged(
            &LogitPoisoning {
                mode: ScoreChange::Permute,
            },
            &scores,
            1,
        );
        assert_eq!(moved, [0.0, 5.0, 1.0, 7.0, -1.0, 2.0]);
    }
}
