//! The cost of a job on the simulated device that runs it.

use super::LocalTraining;
use crate::model::Model;
use crate::quantity::{Bytes, Flops};
use crate::snapshot::snapshot_struct;
use serde::Serialize;

/// The operations and the memory of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Cost {
    /// The number of operations, counted from the model.
    pub flops: Flops,
    /// The largest amount of memory in use at once.
    pub memory: Bytes,
}

snapshot_struct!(Cost { flops, memory });

impl Cost {
    /// The cost of local training over `samples` samples. `corrections` is the number of
    /// parameter-sized terms that a method adds to each gradient; it is 1 for FedProx and for
    /// SCAFFOLD.
    pub fn training(
        model: &Model,
        local: &LocalTraining,
        samples: usize,
        corrections: u64,
    ) -> Self {
        let state: u64 = local.optimizer.moments().map(u64::from).iter().sum();
        let batch = local.batch_of(samples) as u64;
        let seen = local.samples_seen(samples);
        let training = model.training_flops().0.saturating_mul(seen);
        // The statistics of batch normalisation are measured in one more forward pass, unless they are
        // queried later.
        let measuring = match model.measures_statistics() {
            true => model.forward_flops().0.saturating_mul(samples as u64),
            false => 0,
        };
        Self {
            flops: Flops(training.saturating_add(measuring)),
            memory: model.training_memory(batch, state.saturating_add(corrections)),
        }
    }

    /// The cost of this job and then the job `next`: operations add up, and the larger memory
    /// counts.
    pub fn then(self, next: Self) -> Self {
        Self {
            flops: Flops(self.flops.0.saturating_add(next.flops.0)),
            memory: Bytes(self.memory.0.max(next.memory.0)),
        }
    }

    /// The cost of a forward pass over `samples` samples, `batch` at a time. Only two activations
    /// are alive at once, but all of them are counted, as an upper bound.
    pub fn evaluation(model: &Model, samples: usize, batch: usize) -> Self {
        let held = batch.min(samples) as u64;
        let activations = model.activations().saturating_mul(4).saturating_mul(held);
        Self {
            flops: Flops(model.forward_flops().0.saturating_mul(samples as u64)),
            memory: Bytes(model.layout().bytes().0.saturating_add(activations)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{device_preset, Amount};
    use crate::model::preset;

    #[test]
    fn an_update_of_the_pfl_benchmark_is_costed_by_hand() {
        let model =
            Model::build(&preset("pfl-cifar10").unwrap().layers(10), &[3, 32, 32], 10).unwrap();
        let local = LocalTraining {
            amount: Amount::Epochs(1),
            batch: 10,
            ..LocalTraining::sgd(0.1)
        };
        let cost = Cost::training(&model, &local, 50, 0);
        assert_eq!(cost.flops.0, 50 * 3 * 33_749_514);
        // Values a sample: input 3072; convolutions 28,800 and 50,176, each twice for its ReLU;
        // pool, dropout and its mask 12,544 each; dense, ReLU, dropout and mask 128 each; scores 10.
        let activations = 3072 + 2 * (28_800 + 50_176) + 3 * 12_544 + 4 * 128 + 10;
        assert_eq!(cost.memory.0, 4 * (2 * 1_626_442 + 10 * activations));
        let seconds = device_preset("phone-mid")
            .unwrap()
            .duration(cost.flops)
            .seconds();
        assert!(
            (seconds - (1.5 + 5.062_427_1 / 15.0)).abs() < 1e-6,
            "{seconds}"
        );
    }

    #[test]
    fn optimiser_state_and_corrections_take_memory() {
        let model = Model::build(&preset("logistic").unwrap().layers(10), &[64], 10).unwrap();
        let memory = |local: &LocalTraining, corrections| {
            Cost::training(&model, local, 20, corrections).memory.0
        };
        let plain = memory(&LocalTraining::sgd(0.1), 0);
        assert_eq!(memory(&LocalTraining::sgd(0.1), 1), plain + 4 * 650);
        assert_eq!(memory(&LocalTraining::adam(0.1), 0), plain + 8 * 650);
        let evaluation = Cost::evaluation(&model, 30, 16);
        assert_eq!(evaluation.flops.0, 30 * 10 * 129);
        assert_eq!(evaluation.memory.0, 4 * (650 + 16 * (64 + 10)));
    }
}
