//! Fine-tuning of the global model on the public set after each aggregation: what FedConv's server
//! does beside its filters, as an option of other methods, so that a comparison can tell the two
//! apart.

use super::{MethodError, Payload, Phase, PublicData, Received, ServerHalf, ServerJob, Setup};
use crate::learn::{train, Amount, Cost, LocalTraining, TrainJob};
use crate::model::{Model, ParamSet};
use crate::quantity::Flops;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How the global model is fine-tuned: Adam, a fresh state each round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublicTuning {
    /// Passes over the public set after each round.
    pub epochs: u32,
    /// Adam's rate.
    pub lr: f64,
    /// Samples a step.
    pub batch: usize,
}

impl Default for PublicTuning {
    fn default() -> Self {
        Self {
            epochs: 10,
            lr: 1e-4,
            batch: 32,
        }
    }
}

impl PublicTuning {
    /// What is wrong with it, each with its field.
    pub(super) fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.epochs == 0 || self.batch == 0 {
            problems.push((
                "fine_tune",
                "expected epochs and batch of 1 or more, found 0".to_string(),
            ));
        }
        if !(self.lr.is_finite() && self.lr > 0.0) {
            let lr = self.lr;
            problems.push(("fine_tune", format!("expected a rate above 0, found {lr}")));
        }
        problems
    }

    /// The job that does it, from `start`; `round` from 1.
    fn job(&self, on: &Ground, start: ParamSet, round: u32) -> ServerJob {
        let job = TrainJob {
            model: Arc::clone(&on.model),
            start,
            data: Arc::clone(&on.public.data),
            samples: on.public.train.clone(),
            local: LocalTraining {
                amount: Amount::Epochs(self.epochs),
                batch: self.batch,
                ..LocalTraining::adam(self.lr)
            },
            round: u64::from(round - 1),
            seed: on.seed,
            // No client has this number: the server's streams are its own.
            client: u64::MAX,
            correction: Default::default(),
        };
        ServerJob {
            flops: Cost::training(&job.model, &job.local, job.samples.len(), 0).flops,
            work: Arc::new(move |scratch| {
                let trained = train(&job, scratch)?;
                Ok(Payload::Model(trained.params.to_device(tch::Device::Cpu)?))
            }),
        }
    }
}

/// What a server needs to train by itself.
struct Ground {
    model: Arc<Model>,
    public: PublicData,
    seed: u64,
}

impl Ground {
    fn of(setup: &Setup) -> Result<Self, MethodError> {
        Ok(Self {
            model: Arc::clone(&setup.model),
            public: setup.public.clone().ok_or(MethodError::NoPublicData)?,
            seed: setup.seed,
        })
    }
}

/// A server whose global model others may replace.
pub(super) trait SetGlobal: ServerHalf {
    /// Puts `global` in place of the global model.
    fn set_global(&mut self, global: ParamSet);
}

/// `inner`, fine-tuned after each round if `tuning` says so.
///
/// # Errors
/// When it is to be tuned and there is no public set.
pub(super) fn tuned<S: SetGlobal + 'static>(
    inner: S,
    tuning: Option<&PublicTuning>,
    setup: &Setup,
) -> Result<Box<dyn ServerHalf>, MethodError> {
    Ok(match tuning {
        None => Box::new(inner),
        Some(tuning) => Box::new(Tuned {
            inner,
            tuning: tuning.clone(),
            ground: Ground::of(setup)?,
            under_way: false,
        }),
    })
}

struct Tuned<S> {
    inner: S,
    tuning: PublicTuning,
    ground: Ground,
    /// Whether the tuning of this round has been asked for.
    under_way: bool,
}

impl<S: SetGlobal> ServerHalf for Tuned<S> {
    fn needs_clients(&self) -> bool {
        self.inner.needs_clients()
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        self.inner.task(client, round)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        self.inner.receive(report)
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        let Phase::AfterRound(round) = phase else {
            return self.inner.step(phase, outputs);
        };
        if std::mem::take(&mut self.under_way) {
            if let Some(tuned) = outputs.first() {
                self.inner.set_global(tuned.as_model()?.clone());
            }
            return Ok(Vec::new());
        }
        let jobs = self.inner.step(phase, outputs)?;
        if !jobs.is_empty() {
            return Ok(jobs);
        }
        let Some(global) = self.inner.global().cloned() else {
            return Ok(Vec::new());
        };
        self.under_way = true;
        Ok(vec![self.tuning.job(&self.ground, global, round)])
    }

    fn abandon(&mut self) {
        self.under_way = false;
        self.inner.abandon();
    }

    fn receive_flops(&self) -> Flops {
        self.inner.receive_flops()
    }

    fn round_flops(&self) -> Flops {
        self.inner.round_flops()
    }

    fn global(&self) -> Option<&ParamSet> {
        self.inner.global()
    }

    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        self.inner.at_level(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Scratch;
    use crate::method::fedavg::FedAvg;
    use crate::method::heterofl::HeteroFl;
    use crate::method::public_only::PublicOnly;
    use crate::method::testing::{local, narrow, Toy};
    use crate::method::Method;

    /// The public set of the toy, trained on by hand.
    fn by_hand(toy: &Toy, start: ParamSet, tuning: &PublicTuning, round: u32) -> ParamSet {
        let input = toy.input(0, Payload::Nothing);
        let ground = Ground {
            model: Arc::clone(&input.model),
            public: input.public.clone().unwrap(),
            seed: input.seed,
        };
        let job = tuning.job(&ground, start, round);
        let output = (job.work)(&mut Scratch::new()).unwrap();
        output.as_model().unwrap().clone()
    }

    fn tuning() -> PublicTuning {
        PublicTuning {
            epochs: 2,
            lr: 0.01,
            batch: 3,
        }
    }

    #[test]
    fn the_global_model_is_tuned_after_each_aggregation() {
        let plain = FedAvg::default();
        let tuned = FedAvg {
            fine_tune: Some(tuning()),
            ..FedAvg::default()
        };
        let (mut a, mut b) = (Toy::new(&plain, &local()), Toy::new(&tuned, &local()));
        a.round(&[0, 1, 2]);
        b.round(&[0, 1, 2]);
        let expected = by_hand(&a, a.model(), &tuning(), 1);
        assert_eq!(b.model().digest().unwrap(), expected.digest().unwrap());
        assert_ne!(a.model().digest().unwrap(), expected.digest().unwrap());
        // The next round starts from it.
        b.open();
        let sent = b.server.task(1, 2).unwrap();
        assert!(sent.as_model().unwrap().same(&b.model()));
    }

    #[test]
    fn sub_models_are_cut_from_the_tuned_model() {
        let tuned = HeteroFl {
            fine_tune: Some(tuning()),
            ..HeteroFl::default()
        };
        let mut toy = narrow::toy(&tuned, &local(), [1.0, 0.5, 0.5]);
        toy.round(&[0, 1, 2]);
        toy.open();
        let sent = toy.server.task(1, 2).unwrap();
        let global = toy.model();
        let whole = global.as_slice().unwrap();
        let expected: Vec<f32> = narrow::places(&[0, 1]).iter().map(|&p| whole[p]).collect();
        assert_eq!(sent.as_model().unwrap().as_slice().unwrap(), expected);
    }

    #[test]
    fn the_public_set_alone_trains_the_same_way_without_clients() {
        let alone = PublicOnly(tuning());
        let mut toy = Toy::new(&alone, &local());
        let start = toy.model();
        toy.round(&[0, 1, 2]);
        let once = by_hand(&toy, start, &tuning(), 1);
        assert_eq!(toy.model().digest().unwrap(), once.digest().unwrap());
        toy.round(&[]);
        let twice = by_hand(&toy, once, &tuning(), 2);
        assert_eq!(toy.model().digest().unwrap(), twice.digest().unwrap());
        assert!(!toy.server.needs_clients());
    }

    #[test]
    fn settings_that_train_nothing_are_refused() {
        for wrong in [
            PublicTuning {
                epochs: 0,
                ..tuning()
            },
            PublicTuning {
                lr: 0.0,
                ..tuning()
            },
            PublicTuning {
                lr: f64::NAN,
                ..tuning()
            },
            PublicTuning {
                batch: 0,
                ..tuning()
            },
        ] {
            let method = FedAvg {
                fine_tune: Some(wrong.clone()),
                ..FedAvg::default()
            };
            assert_eq!(method.check(&local()).len(), 1, "{wrong:?}");
        }
        assert!(FedAvg {
            fine_tune: Some(tuning()),
            ..FedAvg::default()
        }
        .check(&local())
        .is_empty());
    }
}
