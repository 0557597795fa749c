//! Label flipping. For a pair of classes: Tolpegin et al., "Data Poisoning Attacks Against
//! Federated Learning Systems", ESORICS 2020. For all classes: Fang et al., "Local Model Poisoning
//! Attacks to Byzantine-Robust Federated Learning", USENIX Security 2020, section 4.

use super::{class, Attack, Poison, Sample};
use crate::data::{DataSummary, Dataset};
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};

/// Samples of class `source` are labelled `target`. With neither given, every label l of L classes
/// becomes L − 1 − l.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LabelFlip {
    /// The class whose samples are relabelled; all classes if not given.
    pub source: Option<u32>,
    /// The label that these samples get.
    pub target: Option<u32>,
}

/// The attack that relabels the class `source` as `target`.
pub(super) fn pair(source: u32, target: u32) -> LabelFlip {
    LabelFlip {
        source: Some(source),
        target: Some(target),
    }
}

impl Attack for LabelFlip {
    fn check(&self) -> Vec<(&'static str, String)> {
        match (self.source, self.target) {
            (Some(source), Some(target)) if source == target => {
                vec![(
                    "target",
                    format!("expected another class than the source, found {target}"),
                )]
            }
            (Some(_), None) => vec![(
                "target",
                "expected a class beside the source, found none".into(),
            )],
            (None, Some(_)) => vec![(
                "source",
                "expected a class beside the target, found none".into(),
            )],
            _ => Vec::new(),
        }
    }

    fn classes(&self) -> Vec<(&'static str, u32)> {
        let fields = [("source", self.source), ("target", self.target)];
        let given = fields.into_iter();
        given
            .filter_map(|(field, class)| Some((field, class?)))
            .collect()
    }

    fn poison(&self) -> Option<&dyn Poison> {
        Some(self)
    }
}

impl Poison for LabelFlip {
    fn fits(&self, samples: &DataSummary) -> Vec<(&'static str, String)> {
        let fields = [("source", self.source), ("target", self.target)];
        let given = fields
            .into_iter()
            .filter_map(|(field, value)| Some((field, value?)));
        given
            .filter_map(|(field, value)| class(field, value, samples))
            .collect()
    }

    fn poison(&self, data: &Dataset, own: &[u32], _: &mut Stream) -> Vec<Sample> {
        let flip = |&of: &u32| {
            let label = data.labels.get(of as usize).copied().unwrap_or(0);
            let new = match (self.source, self.target) {
                (Some(source), Some(target)) if label == source => target,
                (Some(_), _) => label,
                _ => (data.classes as u32).saturating_sub(1 + label),
            };
            match new == label {
                true => Sample::AsItIs(of),
                false => Sample::Copy {
                    of,
                    label: new,
                    trigger: None,
                },
            }
        };
        own.iter().map(flip).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{pictures, poisoned};
    use super::*;

    #[test]
    fn all_labels_are_mirrored_or_one_class_becomes_another() {
        let data = pictures(6);
        let labels = |flip: &LabelFlip| poisoned(&data, flip, &[0, 1, 2, 3]);
        // Three classes: 0, 1, 2, 0.
        assert_eq!(labels(&LabelFlip::default()), [2, 1, 0, 2]);
        assert_eq!(labels(&pair(0, 1)), [1, 1, 2, 1]);
    }

    #[test]
    fn half_a_pair_or_a_class_that_is_not_there_is_refused() {
        let half = LabelFlip {
            source: Some(1),
            target: None,
        };
        assert_eq!(half.check()[0].0, "target");
        assert_eq!(pair(2, 2).check()[0].0, "target");
        assert!(pair(2, 1).check().is_empty());
    }
}
