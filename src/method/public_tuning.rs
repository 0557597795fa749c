//! Fine-tuning of the global model on the public set after each aggregation. FedConv's server does
//! this beside its filters; as an option of other methods, it lets a comparison separate the two
//! effects.

use super::server_training::{OwnTraining, SetGlobal, TrainedAfter};
use super::{MethodError, ServerHalf, Setup};
use crate::learn::{Amount, LocalTraining};
use crate::quantity::bounds::MOST_PASSES;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The settings of the fine-tuning by Adam, whose state starts anew each round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublicTuning {
    /// The passes over the public set after each round.
    pub epochs: u32,
    /// Adam's learning rate.
    pub lr: f64,
    /// The number of samples in a step.
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
    /// The problems with the settings: for each, the name of the field and a message.
    pub(super) fn check(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        if self.epochs == 0 || self.batch == 0 {
            problems.push((
                "fine_tune",
                "expected epochs and batch of 1 or more, found 0".to_string(),
            ));
        }
        if self.epochs > MOST_PASSES {
            let found = self.epochs;
            let message = format!("epochs {found} is outside [1, {MOST_PASSES}]");
            problems.push(("fine_tune", message));
        }
        if !(self.lr > 0.0 && self.lr <= 1e6) {
            let lr = self.lr;
            let message = format!("expected a rate above 0 (and at most 1e6), found {lr}");
            problems.push(("fine_tune", message));
        }
        problems
    }

    /// The settings as a training of the server's own.
    fn training(&self, setup: &Setup) -> Result<OwnTraining, MethodError> {
        let public = setup.public.as_ref().ok_or(MethodError::NoPublicData)?;
        let local = LocalTraining {
            amount: Amount::Epochs(self.epochs),
            batch: self.batch,
            ..LocalTraining::adam(self.lr)
        };
        Ok(OwnTraining {
            model: Arc::clone(&setup.model),
            data: Arc::clone(&public.data),
            samples: public.train.clone(),
            local: Arc::new(local),
            seed: setup.seed,
        })
    }
}

/// The server half `inner`, with fine-tuning after each round if `tuning` is given.
///
/// # Errors
/// When the model shall be fine-tuned and there is no public set.
pub(super) fn tuned<S: SetGlobal + 'static>(
    inner: S,
    tuning: Option<&PublicTuning>,
    setup: &Setup,
) -> Result<Box<dyn ServerHalf>, MethodError> {
    Ok(match tuning {
        None => Box::new(inner),
        Some(tuning) => Box::new(TrainedAfter::new(inner, tuning.training(setup)?)),
    })
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
    use crate::model::ParamSet;

    /// The public set of the toy, trained on by hand.
    fn by_hand(toy: &Toy, start: ParamSet, tuning: &PublicTuning, round: u32) -> ParamSet {
        let job = tuning.training(toy.setup()).unwrap().job(start, round);
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
