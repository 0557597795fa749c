//! A backdoor with a pixel trigger: BadNets (Gu et al., IEEE Access 2019) at some clients of a
//! federation, trained on clean and poisoned samples together, as in Bagdasaryan et al. ("How To
//! Backdoor Federated Learning", AISTATS 2020, section 4).

use super::{class, positive, share, Attack, Forge, Forging, Picture, Poison, Sample, Trigger};
use crate::data::{DataSummary, Dataset};
use crate::sim::rng::{shuffle, Stream};
use serde::{Deserialize, Serialize};

/// The share `share` of an adversary's samples carries a trigger, a bright square in the corner of
/// the picture, and is labelled `target`. Success is measured on test samples of other classes that
/// carry the trigger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Backdoor {
    /// The class that pictures with the trigger shall be taken for.
    pub target: u32,
    /// The share of an adversary's samples that carry the trigger.
    pub share: f64,
    /// The side of the trigger, in pixels.
    pub size: u32,
    /// The factor by which the adversary multiplies its update; 1 sends the update unchanged.
    pub boost: f64,
}

impl Default for Backdoor {
    fn default() -> Self {
        Self {
            target: 0,
            share: 0.5,
            size: 2,
            boost: 1.0,
        }
    }
}

/// The samples `own` with a share of them changed: the first `share · own` samples of a random
/// order become what `change` makes of them, and the others stay unchanged.
pub(super) fn some(
    own: &[u32],
    share: f64,
    draws: &mut Stream,
    mut change: impl FnMut(u32) -> Sample,
) -> Vec<Sample> {
    let mut order = own.to_vec();
    shuffle(draws, &mut order);
    let changed = libm::ceil(share * order.len() as f64) as usize;
    let (first, rest) = order.split_at(changed.min(order.len()));
    let mut samples: Vec<Sample> = first.iter().map(|of| change(*of)).collect();
    samples.extend(rest.iter().map(|of| Sample::AsItIs(*of)));
    samples
}

/// Multiplies an update by `factor`.
pub(super) fn boost(values: &mut [f32], factor: f64) {
    values.iter_mut().for_each(|value| *value *= factor as f32);
}

impl Attack for Backdoor {
    fn check(&self) -> Vec<(&'static str, String)> {
        let problems = [share("share", self.share), positive("boost", self.boost)];
        problems.into_iter().flatten().collect()
    }

    fn classes(&self) -> Vec<(&'static str, u32)> {
        vec![("target", self.target)]
    }

    fn poison(&self) -> Option<&dyn Poison> {
        Some(self)
    }

    fn forge(&self) -> Option<&dyn Forge> {
        (self.boost != 1.0).then_some(self)
    }
}

impl Forge for Backdoor {
    fn forge(&self, values: &mut [f32], _: &mut Forging) {
        boost(values, self.boost);
    }
}

impl Poison for Backdoor {
    fn fits(&self, samples: &DataSummary) -> Vec<(&'static str, String)> {
        let mut problems: Vec<_> = class("target", self.target, samples).into_iter().collect();
        match Picture::of(&samples.shape) {
            None => {
                let message = format!(
                    "a trigger needs pictures, found samples of shape {:?}",
                    samples.shape
                );
                problems.push(("size", message));
            }
            Some(picture) if !(1..=picture.largest_trigger()).contains(&self.size) => {
                let (most, found) = (picture.largest_trigger(), self.size);
                problems.push((
                    "size",
                    format!("expected a side from 1 to {most} pixels, found {found}"),
                ));
            }
            Some(_) => {}
        }
        problems
    }

    fn poison(&self, _: &Dataset, own: &[u32], draws: &mut Stream) -> Vec<Sample> {
        let trigger = Some(Trigger { size: self.size });
        some(own, self.share, draws, |of| Sample::Copy {
            of,
            label: self.target,
            trigger,
        })
    }

    fn targets(&self, _: &Dataset, test: &Dataset) -> Vec<Sample> {
        let others = (0u32..)
            .zip(&test.labels)
            .filter(|(_, label)| **label != self.target);
        let triggered = others.map(|(of, _)| Sample::Copy {
            of,
            label: self.target,
            trigger: Some(Trigger { size: self.size }),
        });
        triggered.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::pictures;
    use super::*;
    use crate::sim::rng::{stream, Purpose};

    #[test]
    fn the_stated_share_is_triggered_and_labelled_and_each_sample_is_there_once() {
        let data = pictures(9);
        let own: Vec<u32> = (0..9).collect();
        let attack = Backdoor {
            target: 1,
            share: 0.4,
            ..Backdoor::default()
        };
        let samples = Poison::poison(&attack, &data, &own, &mut stream(1, 2, Purpose::Attack, 0));
        let triggered = samples.iter().filter(|s| {
            matches!(
                s,
                Sample::Copy {
                    label: 1,
                    trigger: Some(_),
                    ..
                }
            )
        });
        assert_eq!(triggered.count(), 4);
        let mut of: Vec<u32> = samples
            .iter()
            .map(|s| match s {
                Sample::AsItIs(of) | Sample::Copy { of, .. } => *of,
            })
            .collect();
        of.sort_unstable();
        assert_eq!(of, own);
    }

    #[test]
    fn success_is_asked_of_all_test_samples_of_other_classes() {
        let test = pictures(9);
        let attack = Backdoor {
            target: 1,
            ..Backdoor::default()
        };
        let targets = attack.targets(&test, &test);
        assert_eq!(targets.len(), 6);
        let wanted = targets.iter().all(|s| match s {
            Sample::Copy { of, label, trigger } => {
                test.labels[*of as usize] != 1 && *label == 1 && trigger.is_some()
            }
            Sample::AsItIs(_) => false,
        });
        assert!(wanted);
    }
}
