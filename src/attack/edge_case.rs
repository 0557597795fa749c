//! The edge-case backdoor: unlikely samples, unchanged, shall be taken for another class (Wang et
//! al., "Attack of the Tails: Yes, You Really Can Backdoor Federated Learning", NeurIPS 2020,
//! section 3).

use super::backdoor::{boost, some};
use super::{class, positive, share, Attack, Forge, Forging, Poison, Sample};
use crate::data::{DataSummary, Dataset, Values};
use crate::sim::rng::{below, Stream};
use serde::{Deserialize, Serialize};

/// The edge cases are the share `tail` of the samples of class `source` that lie furthest from the
/// mean of the class. The share `share` of an adversary's samples is replaced by edge cases of the
/// training data, labelled `target`. Success is measured on test samples of the class that are at
/// least as far from the mean.
///
/// It differs from the paper, which takes its edge cases from another data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeCase {
    /// The class that the edge cases belong to.
    pub source: u32,
    /// The class that the edge cases shall be taken for.
    pub target: u32,
    /// The share of the class that counts as edge cases.
    pub tail: f64,
    /// The share of an adversary's samples that is replaced by edge cases.
    pub share: f64,
    /// The factor by which the adversary multiplies its update; 1 sends the update unchanged.
    pub boost: f64,
}

impl Default for EdgeCase {
    fn default() -> Self {
        Self {
            source: 1,
            target: 7,
            tail: 0.1,
            share: 0.5,
            boost: 1.0,
        }
    }
}

/// The values of sample number `of`, in double precision.
fn sample(data: &Dataset, of: u32) -> Vec<f64> {
    let width = data.sample_len();
    let range = of as usize * width..(of as usize + 1) * width;
    match &data.values {
        Values::U8(values) => values[range].iter().map(|v| f64::from(*v)).collect(),
        Values::F32(values) => values[range].iter().map(|v| f64::from(*v)).collect(),
    }
}

fn of_class(data: &Dataset, wanted: u32) -> Vec<u32> {
    let all = (0u32..).zip(&data.labels);
    all.filter(|(_, label)| **label == wanted)
        .map(|(of, _)| of)
        .collect()
}

impl EdgeCase {
    /// The mean of the samples of class `source`.
    fn centre(&self, data: &Dataset) -> Vec<f64> {
        let members = of_class(data, self.source);
        let mut mean = vec![0.0; data.sample_len()];
        for &of in &members {
            let values = sample(data, of);
            mean.iter_mut()
                .zip(values)
                .for_each(|(m, v)| *m += v / members.len() as f64);
        }
        mean
    }

    /// The samples of class `source` with their squared distances from `centre`, furthest first.
    fn by_distance(&self, data: &Dataset, centre: &[f64]) -> Vec<(u32, f64)> {
        let far = |of: u32| {
            let values = sample(data, of);
            let apart: f64 = values
                .iter()
                .zip(centre)
                .map(|(v, c)| (v - c).powi(2))
                .sum();
            (of, apart)
        };
        let mut members: Vec<(u32, f64)> =
            of_class(data, self.source).into_iter().map(far).collect();
        members.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        members
    }

    /// The number of edge cases in a class of `members` samples.
    fn count(&self, members: usize) -> usize {
        let count = libm::ceil(self.tail * members as f64) as usize;
        count.min(members)
    }

    /// The edge cases of the training data with their squared distances from the mean, furthest
    /// first.
    fn tail(&self, data: &Dataset) -> Vec<(u32, f64)> {
        let mut members = self.by_distance(data, &self.centre(data));
        members.truncate(self.count(members.len()));
        members
    }
}

impl Attack for EdgeCase {
    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems: Vec<_> = [
            share("tail", self.tail),
            share("share", self.share),
            positive("boost", self.boost),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.source == self.target {
            let message = format!(
                "expected another class than the source, found {}",
                self.target
            );
            problems.push(("target, source", message));
        }
        problems
    }

    fn classes(&self) -> Vec<(&'static str, u32)> {
        vec![("source", self.source), ("target", self.target)]
    }

    fn poison(&self) -> Option<&dyn Poison> {
        Some(self)
    }

    fn forge(&self) -> Option<&dyn Forge> {
        (self.boost != 1.0).then_some(self)
    }
}

impl Forge for EdgeCase {
    fn forge(&self, values: &mut [f32], _: &mut Forging) {
        boost(values, self.boost);
    }
}

impl Poison for EdgeCase {
    fn fits(&self, samples: &DataSummary) -> Vec<(&'static str, String)> {
        let fields = [("source", self.source), ("target", self.target)];
        let problems = fields.map(|(field, value)| class(field, value, samples));
        problems.into_iter().flatten().collect()
    }

    fn poison(&self, data: &Dataset, own: &[u32], draws: &mut Stream) -> Vec<Sample> {
        let tail = self.tail(data);
        if tail.is_empty() {
            return own.iter().map(|of| Sample::AsItIs(*of)).collect();
        }
        // The stream first draws where in the list of edge cases the replacements begin, then which
        // samples are replaced.
        let first = below(draws, tail.len() as u64) as usize;
        let mut edge = tail.iter().cycle().skip(first);
        some(own, self.share, draws, |of| Sample::Copy {
            of: edge.next().map_or(of, |(case, _)| *case),
            label: self.target,
            trigger: None,
        })
    }

    fn targets(&self, data: &Dataset, test: &Dataset) -> Vec<Sample> {
        let least = self.tail(data).last().map_or(0.0, |(_, apart)| *apart);
        let members = self.by_distance(test, &self.centre(data));
        let edge = members
            .iter()
            .take_while(|(_, apart)| *apart >= least)
            .count();
        // There is at least one sample, so that success can be measured.
        let edge = members.iter().take(edge.max(1));
        let targets = edge.map(|(of, _)| Sample::Copy {
            of: *of,
            label: self.target,
            trigger: None,
        });
        targets.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::pictures;
    use super::*;
    use crate::sim::rng::{stream, Purpose};

    /// Ten samples of class 0 that are alike, but for two.
    fn data() -> Dataset {
        let mut data = pictures(10);
        data.labels = vec![0; 10];
        let mut values = vec![10u8; 160];
        values[16 * 4..16 * 5].fill(90);
        values[16 * 7..16 * 8].fill(200);
        data.values = Values::U8(values);
        data
    }

    #[test]
    fn edge_cases_are_the_samples_furthest_from_their_class() {
        let attack = EdgeCase {
            source: 0,
            target: 2,
            tail: 0.2,
            ..EdgeCase::default()
        };
        let tail: Vec<u32> = attack.tail(&data()).iter().map(|(of, _)| *of).collect();
        assert_eq!(tail, [7, 4]);
        let targets = attack.targets(&data(), &data());
        let expected = [7, 4].map(|of| Sample::Copy {
            of,
            label: 2,
            trigger: None,
        });
        assert_eq!(targets, expected);
    }

    #[test]
    fn adversaries_train_on_edge_cases_in_place_of_their_share() {
        let attack = EdgeCase {
            source: 0,
            target: 2,
            tail: 0.2,
            share: 0.5,
            boost: 1.0,
        };
        let own = [0, 1, 2, 3];
        let samples = Poison::poison(
            &attack,
            &data(),
            &own,
            &mut stream(1, 2, Purpose::Attack, 0),
        );
        let mut cases: Vec<u32> = samples
            .iter()
            .filter_map(|s| match s {
                Sample::Copy {
                    of,
                    label: 2,
                    trigger: None,
                } => Some(*of),
                _ => None,
            })
            .collect();
        cases.sort_unstable();
        assert_eq!(cases, [4, 7]);
        assert_eq!(samples.len(), 4);
    }
}
