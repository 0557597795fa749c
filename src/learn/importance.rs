//! Learning how much the units of a network matter on some samples, while its weights stay.

use super::tape::KIND;
use super::train::{fits, read};
use super::{cross_entropy, DeviceData, Gradients, LearnError, LocalTraining, Samples, Tape};
use crate::model::{Buffer, MaskSource, Model, ParamSet, Place};
use crate::sim::rng::{shuffle, stream, Purpose};
use std::sync::Arc;
use tch::{Device, Tensor};

/// Learning a factor for each unit.
///
/// The factor multiplies what the unit's convolution or dense layer puts out, before any
/// normalisation or activation. It begins at 1, follows the gradient of cross entropy plus `sparsity`
/// times the mean square of all factors, and is kept within [0, 1].
#[derive(Debug, Clone)]
pub struct ImportanceJob {
    /// The network.
    pub model: Arc<Model>,
    /// Its parameters.
    pub params: ParamSet,
    /// The data set.
    pub data: Arc<DeviceData>,
    /// Which samples of it count.
    pub samples: Samples,
    /// Learning rate and batches; the step is plain SGD whatever the optimiser.
    pub local: LocalTraining,
    /// Batches to learn from.
    pub steps: u32,
    /// Weight of the mean square of the factors.
    pub sparsity: f64,
    /// The round, from 0.
    pub round: u64,
    /// The run's seed.
    pub seed: u64,
    /// The client's number.
    pub client: u64,
}

/// Rows of a weight or bias tensor that belong to units with a factor: their set, and where they lie.
struct Rows {
    set: usize,
    offset: usize,
    /// Values in a row.
    each: usize,
}

/// The factors of all units, set by set as in [`Model::units`]; those of sets that every sub-model
/// keeps are 1. Computed on the CPU, wherever the data lies.
///
/// # Errors
/// When the parts of the job do not fit each other, or what is learnt is no number.
pub fn importance(job: &ImportanceJob) -> Result<Vec<Vec<f64>>, LearnError> {
    fits(&job.model, &job.params, &job.data)?;
    if job.samples.is_empty() {
        return Err(LearnError::NoSamples);
    }
    let _guard = tch::no_grad_guard();
    let (model, classes) = (&*job.model, job.model.classes());
    let params = job.params.to_device(Device::Cpu)?;
    let sets = model.units().sets();
    let rows = rows(model);
    let mut factors: Vec<Vec<f64>> = sets.iter().map(|set| vec![1.0; set.size]).collect();
    let hidden = sets.iter().filter(|set| !set.fixed);
    let units: usize = hidden.map(|set| set.size).sum();
    let pull = 2.0 * job.sparsity / units.max(1) as f64;

    let mut gradients = Gradients::new(Arc::clone(model.layout()), Device::Cpu)?;
    let mut masks = MaskSource::new(job.seed, job.client, job.round);
    let mut rng = stream(job.seed, job.client + 1, Purpose::Method, job.round);
    let mut order = job.samples.as_slice().to_vec();
    let (batch, lr) = (job.local.batch_of(order.len()), job.local.rate(job.round));
    let (mut labels, mut host, mut at) = (Vec::new(), Vec::new(), order.len());
    for step in 0..job.steps {
        if at >= order.len() {
            shuffle(&mut rng, &mut order);
            at = 0;
        }
        let end = order.len().min(at + batch);
        let chosen = &order[at..end];
        at = end;

        let scaled = scaled(&params, &rows, &factors)?;
        let views = scaled.views()?;
        let x = job.data.batch(chosen, model.starts_with_images())?;
        job.data.labels_of(chosen, &mut labels)?;
        let tape = Tape::forward(model, &views, &x.f_to_device(Device::Cpu)?, &mut masks)?;
        read(tape.scores(), &mut host)?;
        let gradient = Tensor::f_empty(tape.scores().size(), (KIND, Device::Cpu))?;
        // SAFETY: a fresh contiguous float tensor on the CPU of exactly `numel` elements, not yet
        // known to anyone else.
        let out = unsafe {
            std::slice::from_raw_parts_mut(gradient.data_ptr().cast::<f32>(), gradient.numel())
        };
        let loss = cross_entropy(&host, classes, &labels, Some(out));
        if !loss.is_finite() {
            return Err(LearnError::Diverged {
                step: u64::from(step),
                loss: loss / chosen.len() as f64,
            });
        }
        tape.backward(gradient, &mut gradients)?;
        descend(&mut factors, (&params, &gradients), &rows, (lr, pull))?;
    }
    Ok(factors)
}

/// The tensors whose rows have factors.
fn rows(model: &Model) -> Vec<Rows> {
    let entries = model.layout().entries().iter();
    let entries = entries.zip(model.units().entries());
    entries
        .filter(|(entry, of)| {
            entry.role.place != Place::Norm && !model.units().sets()[of.rows].fixed
        })
        .map(|(entry, of)| Rows {
            set: of.rows,
            offset: entry.offset,
            each: entry.shape.iter().skip(1).product::<usize>().max(1),
        })
        .collect()
}

/// Multiplying what a unit puts out is multiplying the weights and the bias that make it.
fn scaled(params: &ParamSet, rows: &[Rows], factors: &[Vec<f64>]) -> Result<ParamSet, LearnError> {
    let mut buffer = Buffer::copy_of(params)?;
    let values = buffer.as_mut_slice()?;
    for tensor in rows {
        let factors = &factors[tensor.set];
        let span = &mut values[tensor.offset..][..factors.len() * tensor.each];
        for (row, &factor) in span.chunks_mut(tensor.each).zip(factors) {
            row.iter_mut().for_each(|value| *value *= factor as f32);
        }
    }
    Ok(buffer.freeze())
}

/// One step: by the chain rule, a factor's gradient is the scalar product of a unit's weights with the
/// gradient of the scaled ones.
fn descend(
    factors: &mut [Vec<f64>],
    (params, gradients): (&ParamSet, &Gradients),
    rows: &[Rows],
    (lr, pull): (f64, f64),
) -> Result<(), LearnError> {
    let (w, g) = (params.as_slice()?, gradients.flat().as_slice()?);
    let mut slopes: Vec<Vec<f64>> = factors.iter().map(|set| vec![0.0; set.len()]).collect();
    for tensor in rows {
        let slopes = &mut slopes[tensor.set];
        let span = tensor.offset..tensor.offset + slopes.len() * tensor.each;
        let pairs = w[span.clone()].chunks(tensor.each);
        for ((w, g), slope) in pairs.zip(g[span].chunks(tensor.each)).zip(slopes) {
            let products = w.iter().zip(g).map(|(&w, &g)| f64::from(w) * f64::from(g));
            *slope += products.sum::<f64>();
        }
    }
    for tensor in rows {
        // A set may have several tensors; its step is taken once.
        let slopes = std::mem::take(&mut slopes[tensor.set]);
        for (factor, slope) in factors[tensor.set].iter_mut().zip(slopes) {
            *factor = (*factor - lr * (slope + pull * *factor)).clamp(0.0, 1.0);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Features, Normalisation};
    use crate::model::LayerSpec;

    const X: [[f64; 2]; 3] = [[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]];
    const LABELS: [u32; 3] = [0, 1, 1];

    fn job(steps: u32, sparsity: f64) -> ImportanceJob {
        let layers = [LayerSpec::dense(3), LayerSpec::Tanh, LayerSpec::dense(2)];
        let model = Arc::new(Model::build(&layers, &[2], 2).unwrap());
        let values: Vec<f32> = (0..model.parameters())
            .map(|i| (i * 7 % 11) as f32 / 8.0 - 0.5)
            .collect();
        let plain = Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let features = X.iter().flatten().map(|&v| v as f32).collect();
        let data = DeviceData::new(
            &[2],
            Features::F32(features),
            plain,
            LABELS.to_vec(),
            2,
            Device::Cpu,
        );
        ImportanceJob {
            params: ParamSet::from_slice(model.layout(), &values).unwrap(),
            model,
            data: Arc::new(data.unwrap()),
            samples: vec![0, 1, 2].into(),
            local: LocalTraining {
                batch: 0,
                ..LocalTraining::sgd(0.5)
            },
            steps,
            sparsity,
            round: 0,
            seed: 1,
            client: 2,
        }
    }

    /// Mean cross entropy and penalty, with factors on what the hidden layer puts out.
    fn objective(w: &[f64], factors: &[f64], sparsity: f64) -> f64 {
        let mut loss = 0.0;
        for (x, &label) in X.iter().zip(&LABELS) {
            let h: Vec<f64> = (0..3)
                .map(|u| (factors[u] * (w[u * 2] * x[0] + w[u * 2 + 1] * x[1] + w[6 + u])).tanh())
                .collect();
            let score = |c: usize| (0..3).map(|u| w[9 + c * 3 + u] * h[u]).sum::<f64>() + w[15 + c];
            let scores = [score(0), score(1)];
            let total: f64 = scores.iter().map(|s| s.exp()).sum();
            loss += total.ln() - scores[label as usize];
        }
        let square = factors.iter().map(|f| f * f).sum::<f64>() / 3.0;
        loss / 3.0 + sparsity * square
    }

    #[test]
    fn factors_follow_the_gradient_of_a_float64_reference_by_differences() {
        for sparsity in [0.0, 0.5] {
            let job = job(3, sparsity);
            let w: Vec<f64> = job
                .params
                .as_slice()
                .unwrap()
                .iter()
                .map(|&v| f64::from(v))
                .collect();
            let mut expected = vec![1.0; 3];
            for _ in 0..3 {
                let slope = |u: usize| {
                    let at = |by: f64| {
                        let mut moved = expected.clone();
                        moved[u] += by;
                        objective(&w, &moved, sparsity)
                    };
                    (at(1e-5) - at(-1e-5)) / 2e-5
                };
                let slopes: Vec<f64> = (0..3).map(slope).collect();
                for (factor, slope) in expected.iter_mut().zip(slopes) {
                    *factor = (*factor - 0.5 * slope).clamp(0.0, 1.0);
                }
            }
            let got = importance(&job).unwrap();
            for (got, expected) in got[1].iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-6, "{got} against {expected}");
            }
            assert!(expected.iter().any(|&f| f < 1.0));
            assert_eq!((&got[0], &got[2]), (&vec![1.0; 2], &vec![1.0; 2]));
        }
    }

    #[test]
    fn factors_stay_between_0_and_1() {
        let strong = importance(&job(30, 100.0)).unwrap();
        assert!(strong.iter().flatten().all(|f| (0.0..=1.0).contains(f)));
        let none = importance(&job(0, 1.0)).unwrap();
        assert!(none.iter().flatten().all(|&f| f == 1.0));
    }
}
