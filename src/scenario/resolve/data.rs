//! Data and its partition.

use super::population::MOST_CLIENTS;
use super::{Resolver, CLIENTS};
use crate::data::{
    describe, Arrays, CifarLabels, DataSummary, Element, EmnistSplit, Partitioner, SampleCounts,
    Shaping, Source, Test,
};
use crate::fault::{Fault, What};
use crate::quantity::Probability;
use crate::scenario::file::{
    ArraysFile, DataFile, EmnistFile, PartitionFile, RuleFile, SamplesFile,
};
use crate::scenario::{Partition, Public};
use crate::text::fields::Fraction;

/// The source that was named.
pub(super) fn source(typed: DataFile) -> Source {
    match typed {
        DataFile::Digits => Source::Digits,
        DataFile::Synthetic {
            alpha,
            beta,
            users,
            samples,
            iid,
            test,
        } => Source::Synthetic {
            alpha,
            beta,
            users,
            samples: match samples {
                SamplesFile::FedProx => SampleCounts::FEDPROX,
                SamplesFile::Constant(count) => SampleCounts::Constant(count),
                SamplesFile::LogNormal {
                    log_mean,
                    log_std,
                    least,
                } => SampleCounts::LogNormal {
                    log_mean,
                    log_std,
                    least,
                },
            },
            iid,
            test: test.0,
        },
        DataFile::Random {
            shape,
            classes,
            train,
            test,
            bytes,
        } => Source::Random {
            shape,
            classes,
            train,
            test,
            element: if bytes { Element::U8 } else { Element::F32 },
        },
        DataFile::Mnist { dir } => Source::Mnist { dir },
        DataFile::FashionMnist { dir } => Source::FashionMnist { dir },
        DataFile::Emnist { dir, split } => Source::Emnist {
            dir,
            split: match split {
                EmnistFile::ByClass => EmnistSplit::ByClass,
                EmnistFile::ByMerge => EmnistSplit::ByMerge,
                EmnistFile::Balanced => EmnistSplit::Balanced,
                EmnistFile::Letters => EmnistSplit::Letters,
                EmnistFile::Digits => EmnistSplit::Digits,
                EmnistFile::Mnist => EmnistSplit::Mnist,
            },
        },
        DataFile::Idx {
            train_images,
            train_labels,
            test_images,
            test_labels,
            shape,
            classes,
            standardise,
        } => Source::Idx {
            train_images,
            train_labels,
            test_images,
            test_labels,
            shaping: shaping(shape, classes, standardise),
        },
        DataFile::Cifar10 { dir } => Source::Cifar10 { dir },
        DataFile::Cifar100 { dir, coarse } => Source::Cifar100 {
            dir,
            labels: if coarse {
                CifarLabels::Coarse
            } else {
                CifarLabels::Fine
            },
        },
        DataFile::Npz {
            file,
            train,
            test,
            test_fraction,
            shape,
            classes,
            standardise,
        } => Source::Npz {
            file,
            train: arrays(train),
            test: given_or(test.map(arrays), test_fraction),
            shaping: shaping(shape, classes, standardise),
        },
        DataFile::Npy {
            train,
            test,
            test_fraction,
            shape,
            classes,
            standardise,
        } => Source::Npy {
            train: arrays(train),
            test: given_or(test.map(arrays), test_fraction),
            shaping: shaping(shape, classes, standardise),
        },
        DataFile::Csv {
            file,
            label,
            user,
            test,
            test_fraction,
            shape,
            classes,
            standardise,
        } => Source::Csv {
            file,
            test: given_or(test, test_fraction),
            label,
            user,
            shaping: shaping(shape, classes, standardise),
        },
        DataFile::Leaf {
            train,
            test,
            test_fraction,
            shape,
            classes,
            standardise,
        } => Source::Leaf {
            train,
            test: given_or(test, test_fraction),
            shaping: shaping(shape, classes, standardise),
        },
    }
}

fn arrays<T>(typed: ArraysFile<T>) -> Arrays<T> {
    Arrays {
        x: typed.x,
        y: typed.y,
        users: typed.users,
    }
}

fn given_or<T>(given: Option<T>, fraction: Fraction) -> Test<T> {
    given.map_or(Test::Fraction(fraction.0), Test::Given)
}

const fn shaping(shape: Option<Vec<usize>>, classes: Option<usize>, standardise: bool) -> Shaping {
    Shaping {
        shape,
        classes,
        standardise,
    }
}

/// Held out where per-client evaluation is asked for and no share is given.
const DEFAULT_HOLDOUT: f64 = 0.2;

impl Resolver<'_> {
    /// What the samples are like; `None` where they cannot be had.
    pub(super) fn samples(&mut self, source: &Source, seed: u64) -> Option<DataSummary> {
        match describe(source, seed, &self.base) {
            Ok(shape) => Some(shape),
            Err(error) => {
                let path = match error.field() {
                    "" => "data".to_string(),
                    field => format!("data.{field}"),
                };
                self.complain(&path, error.to_string());
                None
            }
        }
    }

    /// Who gets which samples.
    pub(super) fn partition(
        &mut self,
        typed: PartitionFile,
        samples: Option<&DataSummary>,
        public: Option<Public>,
        clients: u64,
        per_client: bool,
    ) -> Partition {
        let by = self.rule(typed.by, samples);
        if let Some(samples) = samples {
            let share = public.map_or(0.0, |public| public.share.get());
            let public = libm::round(samples.train as f64 * share) as usize;
            let private = samples.train.saturating_sub(public);
            let needed = clients.saturating_mul(typed.min_per_client as u64);
            // More clients than there can be have been complained about.
            let possible = clients <= MOST_CLIENTS;
            if let Partitioner::Shared { per_client, .. } = by {
                let least = typed.min_per_client;
                if per_client > 0 && !(least..=private).contains(&per_client) {
                    self.complain_reading(
                        &["data", "public", "partition.min_per_client"],
                        "partition.by.per_client",
                        format!(
                            "expected a number from {least} (partition.min_per_client) to {private} (the \
                             samples there are), found {per_client}"
                        ),
                    );
                }
            } else if needed > private as u64 && possible && by != Partitioner::Natural {
                let path = "partition.min_per_client";
                // The default is in no line of the file; the population is.
                let place = if self.document.has(path) {
                    path
                } else {
                    "population"
                };
                self.complain_reading(
                    &["data", "public", "partition.by", path, CLIENTS],
                    place,
                    format!(
                        "{clients} clients with at least {} each need {needed} samples, the data has {private}: \
                         take fewer clients, partition.min_per_client: 0, or a partition that clients share such as \
                         by: Shared(per_client: 20)",
                        typed.min_per_client
                    ),
                );
            }
        }
        let holdout = match typed.holdout {
            Some(share) if share.0.get() >= 1.0 => {
                self.complain(
                    "partition.holdout",
                    "1 is outside [0, 1): nothing would be left to train on",
                );
                Probability::ZERO
            }
            Some(share) => share.0,
            None if per_client => Probability::new(DEFAULT_HOLDOUT).unwrap_or(Probability::ZERO),
            None => Probability::ZERO,
        };
        Partition {
            by,
            min_per_client: typed.min_per_client,
            holdout,
        }
    }

    /// Complains of faults that spoil the samples of some clients, where others have them too.
    pub(super) fn spoils_shared(&mut self, faults: &[Fault]) {
        for (index, fault) in faults.iter().enumerate() {
            if let What::Data(_) = fault.what {
                let message = format!(
                    "{} spoils samples that clients share, and so others' too: expected a partition \
                     that deals each sample once, such as Iid",
                    fault.what.name()
                );
                self.complain(&format!("faults[{index}].fault"), message);
            }
        }
    }

    fn rule(&mut self, typed: RuleFile, samples: Option<&DataSummary>) -> Partitioner {
        let mut positive = |name: &str, value: f64, zero: bool| {
            let fine = value.is_finite() && (value > 0.0 || zero && value == 0.0);
            if !fine {
                let rule = if zero { "of 0 or more" } else { "above 0" };
                self.complain(
                    &format!("partition.by.{name}"),
                    format!("expected a number {rule}, found {value}"),
                );
            }
        };
        match typed {
            RuleFile::Iid { samples_per_client } => Partitioner::Iid { samples_per_client },
            RuleFile::Dirichlet { alpha } => {
                positive("alpha", alpha, false);
                Partitioner::Dirichlet { alpha }
            }
            RuleFile::QuantitySkew { exponent } => {
                positive("exponent", exponent, true);
                Partitioner::QuantitySkew { exponent }
            }
            RuleFile::LabelAndQuantity { alpha, exponent } => {
                positive("alpha", alpha, false);
                positive("exponent", exponent, true);
                Partitioner::LabelAndQuantity { alpha, exponent }
            }
            RuleFile::Shards { per_client } => {
                self.at_least_one("partition.by.per_client", per_client);
                Partitioner::Shards { per_client }
            }
            RuleFile::Labels { per_client } => {
                self.at_least_one("partition.by.per_client", per_client);
                if let Some(samples) = samples.filter(|s| per_client > s.classes) {
                    let message = format!(
                        "{per_client} classes each, the data has {}",
                        samples.classes
                    );
                    self.complain_reading(&["data"], "partition.by.per_client", message);
                }
                Partitioner::Labels { per_client }
            }
            RuleFile::Natural => {
                if samples.is_some_and(|samples| samples.users.is_none()) {
                    self.complain_reading(
                        &["data"],
                        "partition.by",
                        "this data has no natural users: choose another rule",
                    );
                }
                Partitioner::Natural
            }
            RuleFile::Shared {
                per_client,
                by_label,
            } => {
                self.at_least_one("partition.by.per_client", per_client);
                Partitioner::Shared {
                    per_client,
                    by_label,
                }
            }
        }
    }

    fn at_least_one(&mut self, path: &str, value: usize) {
        if value == 0 {
            self.complain(path, "expected a whole number of 1 or more, found 0");
        }
    }
}
