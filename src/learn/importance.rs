//! Learning how important the units of a network are for some samples, with fixed weights.

use super::course::{Course, Progress};
use super::objective::{like, Scores};
use super::train::check;
use super::{Gradients, LearnError, Tape, TrainJob};
use crate::model::{Buffer, Entry, MaskSource, Model, ParamSet, Part, Place};
use std::sync::Arc;
use tch::Device;

/// The rows of a tensor that belong to units with a factor: the set of the units, and the place of
/// the rows.
struct Rows {
    set: usize,
    offset: usize,
    /// The number of values in a row.
    each: usize,
}

/// Learns a factor for each unit, set by set as in [`Model::units`]. The factors of sets that every
/// sub-model keeps whole are 1.
///
/// A factor multiplies the output of its unit, after the normalisation if one follows. It starts at
/// 1 and is kept within [0, 1]. It follows the gradient of the cross entropy plus `sparsity` times
/// the mean square of all factors, over the batches of the job. The steps are plain SGD whatever
/// the job's optimiser is; weights do not change, and the job's corrections are ignored. All of
/// this is computed on the CPU, wherever the data is.
///
/// # Errors
/// When the parts of the job do not fit each other, or a factor is no longer a finite number.
pub fn importance(job: &TrainJob, sparsity: f64) -> Result<Vec<Vec<f64>>, LearnError> {
    check(job)?;
    let _guard = tch::no_grad_guard();
    let model = &*job.model;
    let params = job.start.to_device(Device::Cpu)?;
    let sets = model.units().sets();
    let rows = rows(model);
    let mut factors: Vec<Vec<f64>> = sets.iter().map(|set| vec![1.0; set.size]).collect();
    let hidden = sets.iter().filter(|set| !set.fixed);
    let units: usize = hidden.map(|set| set.size).sum();
    let pull = 2.0 * sparsity / units.max(1) as f64;
    let lr = job.local.rate(job.round);

    let mut gradients = Gradients::new(Arc::clone(model.layout()), Device::Cpu)?;
    let mut masks = MaskSource::new(job.seed, job.client, job.round);
    let mut labels = Vec::new();
    let mut course = Course::of(job);
    let mut progress = Progress::default();
    while let Some(samples) = course.next() {
        let scaled = scaled(&params, &rows, &factors)?;
        let views = scaled.views()?;
        let x = job.data.batch(samples, model.starts_with_images())?;
        job.data.labels_of(samples, &mut labels)?;
        let tape = Tape::forward(
            model,
            &views,
            &x.f_to_device(Device::Cpu)?,
            &mut masks,
            job.local.precision,
        )?;
        let (loss, gradient) = Scores::of(tape.scores())?.cross_entropy(&labels, 1.0);
        progress.count(loss, samples.len())?;
        let of_scores = like(tape.scores(), &gradient)?;
        tape.backward(of_scores, &mut gradients)?;
        descend(&mut factors, (&params, &gradients), &rows, (lr, pull))?;
    }
    Ok(factors)
}

/// The tensors whose rows have factors: scale and shift of normalisations, and weights and biases
/// of layers that no normalisation follows. (A batch normalisation would undo a factor before it.)
fn rows(model: &Model) -> Vec<Rows> {
    let entries = model.layout().entries();
    let units = model.units().entries();
    let normalised = |at: usize| {
        let mut later = entries.iter().zip(units).skip(at + 1);
        let next = later.find(|(entry, _)| entry.role.part == Part::Weight);
        next.is_some_and(|(entry, of)| is_norm(entry) && of.rows == units[at].rows)
    };
    let has_factors = |at: usize, entry: &Entry| {
        let free = !model.units().sets()[units[at].rows].fixed;
        // What a layer from the registry does with its tensors is not known, so it gets no factors.
        free && entry.role.part != Part::Own
            && !entry.role.part.is_statistic()
            && (is_norm(entry) || !normalised(at))
    };
    let each = entries.iter().enumerate();
    each.filter(|(at, entry)| has_factors(*at, entry))
        .map(|(at, entry)| Rows {
            set: units[at].rows,
            offset: entry.offset,
            each: entry.shape.iter().skip(1).product::<usize>().max(1),
        })
        .collect()
}

fn is_norm(entry: &Entry) -> bool {
    entry.role.place == Place::Norm
}

/// The parameters with the factors applied: to multiply the output of a unit is to multiply the
/// weights and the bias that produce it.
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

/// One step. By the chain rule, the gradient of a factor is the scalar product of the unit's
/// weights with the gradient of the scaled weights.
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
        // A set may have several tensors, but its factors take one step.
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
    use crate::learn::{Amount, DeviceData, Features, LocalTraining, Normalisation};
    use crate::model::LayerSpec;

    const X: [[f64; 2]; 3] = [[1.0, -0.5], [0.25, 2.0], [-1.5, 0.75]];
    const LABELS: [u32; 3] = [0, 1, 1];

    /// All three samples in each of `steps` steps.
    fn job(layers: &[LayerSpec], input: &[usize], values: &[f32], steps: u32) -> TrainJob {
        let model = Arc::new(Model::build(layers, input, 2).unwrap());
        let plain = Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let features = X.iter().flatten().map(|&v| v as f32).collect();
        let data = DeviceData::new(
            input,
            Features::F32(features),
            plain,
            LABELS.to_vec(),
            2,
            Device::Cpu,
        );
        TrainJob {
            start: ParamSet::from_slice(model.layout(), values).unwrap(),
            model,
            data: Arc::new(data.unwrap()),
            samples: vec![0, 1, 2].into(),
            local: LocalTraining {
                amount: Amount::Steps(steps),
                batch: 0,
                ..LocalTraining::sgd(0.5)
            },
            round: 0,
            seed: 1,
            client: 2,
            correction: Default::default(),
        }
    }

    fn dense(steps: u32) -> TrainJob {
        let layers = [LayerSpec::dense(3), LayerSpec::Tanh, LayerSpec::dense(2)];
        let values: Vec<f32> = (0..17).map(|i| (i * 7 % 11) as f32 / 8.0 - 0.5).collect();
        job(&layers, &[2], &values, steps)
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
            let job = dense(3);
            let w: Vec<f64> = job
                .start
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
            let got = importance(&job, sparsity).unwrap();
            for (got, expected) in got[1].iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-6, "{got} against {expected}");
            }
            assert!(expected.iter().any(|&f| f < 1.0));
            assert_eq!((&got[0], &got[2]), (&vec![1.0; 2], &vec![1.0; 2]));
        }
    }

    #[test]
    fn factors_stay_between_0_and_1() {
        let strong = importance(&dense(30), 100.0).unwrap();
        assert!(strong.iter().flatten().all(|f| (0.0..=1.0).contains(f)));
        let none = importance(&dense(0), 1.0).unwrap();
        assert!(none.iter().flatten().all(|&f| f == 1.0));
    }

    /// Three channels that all put out the first pixel, once it is normalised: the first speaks for
    /// the true classes, the second for the others, the third for none.
    #[test]
    fn a_batch_normalisation_does_not_hide_which_units_matter() {
        let layers = [
            LayerSpec::conv(3, 1, 0),
            LayerSpec::BatchNorm,
            LayerSpec::Flatten,
            LayerSpec::dense(2),
        ];
        let model = Model::build(&layers, &[1, 2, 1], 2).unwrap();
        let mut values = vec![0.0f32; model.parameters()];
        for entry in model.layout().entries() {
            let span = &mut values[entry.offset..][..entry.len];
            match (entry.role.place, entry.role.part) {
                (Place::First, Part::Weight) | (Place::Norm, Part::Weight) => span.fill(1.0),
                // Of each class: two pixels of each of three channels.
                (Place::Last, Part::Weight) => {
                    span.copy_from_slice(&[
                        1.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0,
                    ]);
                }
                _ => {}
            }
        }
        let job = job(&layers, &[1, 2, 1], &values, 2);
        let factors = importance(&job, 0.0).unwrap();
        assert_eq!(factors[1][0], 1.0);
        assert!(factors[1][1] < 0.9, "{:?}", factors[1]);
        assert_eq!(factors[1][2], 1.0);
    }
}
