//! The decision which jobs run together, and how many.
//!
//! It is a fixed rule about the cost of a job, and does not depend on how long anything took.

use super::{Amount, LocalTraining, Optimizer};
use crate::model::{Model, Op};
use crate::sim::{mix_words, Stack};
use tch::Device;

/// The operations in a unit on the CPU, where jobs run one after the other in any case. With so
/// many operations (about half a millisecond), the time to hand out the unit and to report its end
/// is a small part of the whole.
const CPU_UNIT_FLOPS: u64 = 1 << 25;
/// The number of units below which cores would have no work.
const CPU_UNITS: usize = 4;
/// The operations in one step of a stack on a GPU: enough to fill the GPU, and to make the launch
/// of each operation cheap in comparison.
const GPU_STEP_FLOPS: u64 = 50_000_000_000;
/// The largest number of jobs in a unit.
const WIDEST: u64 = 256;

/// Whether some operation can run only one network at a time. Networks with several classifiers
/// average these; TorchScript modules and layers from the registry have no stacked form.
fn alone(ops: &[Op]) -> bool {
    ops.iter().any(|op| match op {
        Op::Exit { .. } | Op::Script { .. } | Op::Other { .. } => true,
        Op::Residual { body, shortcut } => alone(body) || alone(shortcut),
        _ => false,
    })
}

/// How a job of local training may run together with others; `None` if it must run alone.
pub fn stack(
    model: &Model,
    local: &LocalTraining,
    samples: usize,
    device: Device,
) -> Option<Stack> {
    // The statistics of normalisations are measured for one network at a time.
    if (alone(model.ops()) || model.has_statistics()) && device != Device::Cpu {
        return None;
    }
    let per_sample = model.training_flops().0.max(1);
    let (budget, one, units) = match device {
        Device::Cpu => (CPU_UNIT_FLOPS, local.samples_seen(samples), CPU_UNITS),
        _ => (GPU_STEP_FLOPS, local.batch_of(samples) as u64, 1),
    };
    let width = budget / per_sample.saturating_mul(one.max(1)).max(1);
    (width > 1).then(|| Stack {
        key: key(model, local),
        width: width.min(WIDEST) as usize,
        units,
    })
}

/// A key that is equal for jobs with one network and one way of training. Equal keys do not prove
/// that jobs are alike; the code that stacks them compares the jobs themselves.
fn key(model: &Model, local: &LocalTraining) -> u64 {
    let amount = match local.amount {
        Amount::Epochs(n) => [0, u64::from(n)],
        Amount::Steps(n) => [1, u64::from(n)],
    };
    let optimizer = match local.optimizer {
        Optimizer::Sgd { momentum, .. } => [0, momentum.to_bits()],
        Optimizer::Adam { .. } => [1, 0],
    };
    mix_words(&[
        model.parameters() as u64,
        model.forward_flops().0,
        model.activations(),
        local.optimizer.lr().to_bits(),
        local.batch as u64,
        amount[0],
        amount[1],
        optimizer[0],
        optimizer[1],
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{preset, LayerSpec};

    fn model(layers: &[LayerSpec], input: &[usize]) -> Model {
        Model::build(layers, input, 10).unwrap()
    }

    fn mlp(hidden: usize) -> Model {
        let layers = [
            LayerSpec::dense(hidden),
            LayerSpec::Relu,
            LayerSpec::dense(10),
        ];
        model(&layers, &[784])
    }

    #[test]
    fn small_networks_are_gathered_and_large_ones_run_alone() {
        let local = LocalTraining::sgd(0.1);
        let pfl = model(&preset("pfl-cifar10").unwrap().layers(10), &[3, 32, 32]);
        let width = |model: &Model, samples, device| {
            stack(model, &local, samples, device).map(|stack| stack.width)
        };
        // 20 samples at 3 · 101,706 operations are a fifth of the budget.
        assert_eq!(width(&mlp(64), 20, Device::Cpu), Some(5));
        assert_eq!(width(&mlp(64), 500, Device::Cpu), None);
        assert_eq!(width(&pfl, 50, Device::Cpu), None);
        // On a GPU a step counts: 10 samples at 3 · 33.7 million.
        assert_eq!(width(&pfl, 50, Device::Cuda(0)), Some(49));
        assert_eq!(width(&mlp(64), 20, Device::Cuda(0)), Some(256));
    }

    #[test]
    fn jobs_that_train_otherwise_are_not_alike() {
        let local = LocalTraining::sgd(0.1);
        let keys = [
            key(&mlp(64), &local),
            key(&mlp(63), &local),
            key(&mlp(64), &LocalTraining::sgd(0.2)),
            key(&mlp(64), &LocalTraining::adam(0.1)),
            key(
                &mlp(64),
                &LocalTraining {
                    batch: 20,
                    ..local.clone()
                },
            ),
            key(
                &mlp(64),
                &LocalTraining {
                    amount: Amount::Steps(1),
                    ..local.clone()
                },
            ),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(a), "{i}");
        }
        assert_eq!(key(&mlp(64), &local), keys[0]);
    }
}
