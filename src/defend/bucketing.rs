//! Bucketing: another defence, applied to the means of small random groups of reports (Karimireddy,
//! He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing", ICLR 2022,
//! algorithm 1).

use super::registry::DefenceSpec;
use super::{aggregate, settle, Access, Cohort, Defence, Keeping, Memory};
use crate::sim::rng::shuffle;
use serde::{Deserialize, Serialize};

/// The n reports are shuffled and cut into ⌈n / s⌉ buckets of s reports; the inner defence gets the
/// mean of each bucket. This makes the vectors of clients with different data more alike.
///
/// The updates of the cohort are kept. Within a bucket all reports have the same weight; the
/// samples of a bucket are the sum of those of its reports. One adversary spoils the mean of its
/// whole bucket, so the inner defence must withstand f adversaries among ⌈n / s⌉ buckets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bucketing {
    /// The number s of reports in a bucket; the last bucket may have fewer.
    pub size: u32,
    /// The defence that gets the means of the buckets.
    pub inner: Box<DefenceSpec>,
}

impl Default for Bucketing {
    fn default() -> Self {
        Self {
            size: 2,
            inner: Box::new(super::median::Median {}.into()),
        }
    }
}

/// The means of the buckets of a cohort, and the samples behind each.
struct Buckets {
    numbers: Vec<u32>,
    samples: Vec<u32>,
    means: Vec<Vec<f32>>,
}

impl Buckets {
    fn of(cohort: &Cohort<'_>, size: u32) -> Self {
        let mut order: Vec<usize> = (0..cohort.len()).collect();
        shuffle(&mut cohort.draws(), &mut order);
        let buckets = order.chunks(size.max(1) as usize);
        let samples = |bucket: &[usize]| {
            let each = bucket.iter().filter_map(|&at| cohort.samples.get(at));
            each.fold(0, |sum: u32, n| sum.saturating_add(*n))
        };
        Self {
            numbers: (0..buckets.len() as u32).collect(),
            samples: buckets.clone().map(samples).collect(),
            means: buckets.map(|bucket| cohort.mean_of(bucket)).collect(),
        }
    }

    fn look<T>(&self, cohort: &Cohort<'_>, f: impl FnOnce(&Cohort<'_>) -> T) -> T {
        let updates: Vec<&[f32]> = self.means.iter().map(Vec::as_slice).collect();
        f(&Cohort {
            clients: &self.numbers,
            samples: &self.samples,
            updates: &updates,
            ..*cohort
        })
    }
}

impl Defence for Bucketing {
    fn around(&self) -> Option<&DefenceSpec> {
        Some(&self.inner)
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems: Vec<_> = super::at_least_1("size", self.size).into_iter().collect();
        let inner = self.inner.defence();
        match inner.around() {
            Some(_) => {
                problems.push((
                    "inner",
                    "a bucketing inside a bucketing: expected another defence".into(),
                ));
            }
            _ if inner.keeps_clients() => {
                let name = self.inner.name();
                let message = format!(
                    "{name} looks at single clients, which buckets hide: expected another defence"
                );
                problems.push(("inner", message));
            }
            _ => {
                let each = inner.check().into_iter();
                problems
                    .extend(each.map(|(field, message)| ("inner", format!("{field}: {message}"))));
            }
        }
        problems
    }

    fn least(&self) -> u32 {
        // The smallest number of reports that makes as many buckets as the inner defence needs.
        let full = self.inner.defence().least().max(1) - 1;
        full.saturating_mul(self.size).saturating_add(1)
    }

    /// In the worst case each adversary is in a bucket of its own and spoils it.
    fn bears(&self, n: u32) -> Option<u32> {
        self.inner.defence().bears(n.div_ceil(self.size.max(1)))
    }

    fn least_because(&self) -> &'static str {
        "what is inside needs so many buckets"
    }

    fn needs_public(&self) -> bool {
        self.inner.defence().needs_public()
    }

    fn access(&self) -> Access<'_> {
        Access::Keeping(self)
    }

    fn flops(&self, n: u64, d: u64) -> u64 {
        let buckets = n.div_ceil(u64::from(self.size.max(1)));
        let means = n.saturating_mul(d).saturating_mul(2);
        means.saturating_add(self.inner.defence().flops(buckets, d))
    }
}

impl Keeping for Bucketing {
    fn aggregate(&self, cohort: &Cohort<'_>, memory: &Memory) -> Vec<f32> {
        let buckets = Buckets::of(cohort, self.size);
        buckets.look(cohort, |inside| {
            aggregate(self.inner.defence(), inside, memory)
        })
    }

    fn settle(&self, cohort: &Cohort<'_>, aggregate: &[f32], memory: &mut Memory) {
        // The inner defence sees buckets, not clients, so all that it can remember is the
        // aggregate.
        settle(self.inner.defence(), cohort, aggregate, memory);
    }
}

#[cfg(test)]
mod tests {
    use super::super::krum::Krum;
    use super::super::median::{Median, TrimmedMean};
    use super::super::testing::*;
    use super::*;
    use proptest::prelude::*;

    fn over(size: u32, inner: DefenceSpec) -> Bucketing {
        Bucketing {
            size,
            inner: Box::new(inner),
        }
    }

    proptest! {
        /// With equal buckets and a plain mean inside, nothing changes; buckets of one change nothing
        /// for any rule without an order.
        #[test]
        fn every_report_is_in_exactly_one_bucket(cohort in cohorts(6..7), size in 1u32..4) {
            let mean = TrimmedMean { trim: 0.0 }.into();
            let got = cohort.aggregate(&over(size, mean));
            prop_assert!(apart(&got, &cohort.mean()) < 1e-4);
            let alone = cohort.aggregate(&over(1, Median {}.into()));
            prop_assert_eq!(alone, cohort.aggregate(&Median {}));
        }
    }

    /// Each bucket of two holds the same two clients as the seed's shuffle says, by hand.
    #[test]
    fn buckets_are_those_of_the_seeds_shuffle() {
        let updates: Vec<Vec<f32>> = (0..5).map(|i| vec![f32::powi(10.0, i)]).collect();
        let cohort = Fixed::of(updates);
        let means = cohort.look(|c| Buckets::of(c, 2).means);
        let mut order: Vec<i32> = (0..5).collect();
        shuffle(&mut super::super::cohort::draws(3, 1), &mut order);
        let expected: Vec<Vec<f32>> = order
            .chunks(2)
            .map(|b| vec![b.iter().map(|i| f32::powi(10.0, *i)).sum::<f32>() / b.len() as f32])
            .collect();
        for (got, expected) in means.iter().zip(&expected) {
            assert!((got[0] / expected[0] - 1.0).abs() < 1e-6);
        }
        assert_eq!(means.len(), 3);
    }

    #[test]
    fn it_stands_with_as_many_as_the_inner_defence_does_and_asks_for_that_many_buckets() {
        let defence = over(2, Krum { byzantine: 2 }.into());
        assert_eq!(defence.least(), 13);
        let honest = Fixed::around(&[1.0, -2.0], 0.2, 14);
        let attacked = |f| honest.clone().with(f, |_| vec![50.0, 50.0]);
        assert!(apart(&attacked(2).aggregate(&defence), &[1.0, -2.0]) < 0.5);
        assert!(norm(&attacked(12).aggregate(&defence)) > 20.0);
    }

    #[test]
    fn what_makes_no_sense_inside_is_refused() {
        let nested = over(2, Bucketing::default().into());
        let sybils = over(2, super::super::foolsgold::FoolsGold::default().into());
        let wrong = over(0, TrimmedMean { trim: 0.7 }.into());
        assert_eq!(nested.check().len(), 1);
        assert_eq!(sybils.check().len(), 1);
        assert_eq!(wrong.check().len(), 2);
        assert!(Bucketing::default().check().is_empty());
    }
}
