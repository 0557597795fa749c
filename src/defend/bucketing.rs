//! Bucketing (Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via
//! Bucketing", ICLR 2022, algorithm 1): another defence over means of a few reports each.

use super::registry::DefenceSpec;
use super::{aggregate, settle, Access, Cohort, Defence, Keeping, Memory};
use crate::sim::rng::shuffle;
use serde::{Deserialize, Serialize};

/// The reports are shuffled and cut into ⌈n / s⌉ buckets of s; the defence inside sees each bucket's
/// mean. Makes reports of clients with different data more alike. Keeps the cohort; samples do not
/// weigh within a bucket, and a bucket has the sum of its reports' samples. An adversary spoils a whole
/// bucket: what is inside must stand with f of ⌈n / s⌉.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bucketing {
    /// Reports in a bucket, s; the last may have fewer.
    pub size: u32,
    /// What is made of the buckets.
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

/// Means of a cohort's buckets, with their samples.
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
        // The fewest reports that make as many buckets as the inner one needs.
        let full = self.inner.defence().least().max(1) - 1;
        full.saturating_mul(self.size).saturating_add(1)
    }

    /// An adversary spoils the bucket that it falls into.
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
        // Defences that look at clients are not let in here: the aggregate alone can matter.
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
