//! Training towards given scores instead of labels: the student's half of knowledge distillation.

use super::tape::KIND;
use super::train::{fits, read};
use super::update::{self, Moments, Terms};
use super::{DeviceData, Gradients, LearnError, LocalTraining, Samples, Tape, Trained};
use crate::model::{Buffer, MaskSource, Mode, Model, ParamSet};
use crate::sim::rng::{shuffle, stream, Purpose};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tch::{Device, Tensor};

/// How far scores are from those they should become.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ScoreLoss {
    /// Mean over the classes of |s − t|, on the scores themselves.
    #[default]
    MeanAbsolute,
    /// T² times the cross entropy between softmax(t / T) and softmax(s / T) (Hinton et al. 2015).
    SoftCrossEntropy {
        /// T, above 0.
        #[serde(default = "one")]
        temperature: f64,
    },
}

const fn one() -> f64 {
    1.0
}

/// Training of one network towards target scores.
#[derive(Debug, Clone)]
pub struct DistillJob {
    /// The network.
    pub model: Arc<Model>,
    /// Where training starts.
    pub start: ParamSet,
    /// The data set.
    pub data: Arc<DeviceData>,
    /// The samples of it whose scores are given.
    pub samples: Samples,
    /// Their scores, sample after sample.
    pub targets: Arc<[f32]>,
    /// How far off is measured.
    pub loss: ScoreLoss,
    /// Optimiser, amount, batches.
    pub local: LocalTraining,
    /// The round, from 0: sets the learning rate and names the random streams.
    pub round: u64,
    /// The run's seed.
    pub seed: u64,
    /// The number that names the random streams, as a client's does in local training.
    pub client: u64,
}

/// Trains towards the job's targets. Equal jobs give equal bits, as with [`super::train`].
///
/// # Errors
/// When the parts of the job do not fit each other, training diverges, or the host device cannot.
pub fn distill(job: &DistillJob) -> Result<Trained, LearnError> {
    fits(&job.model, &job.start, &job.data)?;
    let (samples, classes) = (job.samples.as_slice(), job.model.classes());
    if samples.is_empty() {
        return Err(LearnError::NoSamples);
    }
    if job.targets.len() != samples.len() * classes {
        return Err(LearnError::Targets {
            expected: samples.len() * classes,
            found: job.targets.len(),
        });
    }
    let _guard = tch::no_grad_guard();
    let device = job.data.device();
    let mut weights = Buffer::copy_of(&job.start.to_device(device)?)?;
    let mut gradients = Gradients::new(Arc::clone(job.model.layout()), device)?;
    let mut moments = Moments::new(&job.local.optimizer, gradients.flat())?;
    let mut order_stream = stream(job.seed, job.client, Purpose::Shuffle, job.round);
    let mut masks = MaskSource::new(job.seed, job.client, job.round);
    let lr = job.local.rate(job.round);
    let wanted = job.local.steps(samples.len());
    let batch = job.local.batch_of(samples.len());

    let mut order: Vec<usize> = (0..samples.len()).collect();
    let (mut chosen, mut targets, mut host) = (Vec::new(), Vec::new(), Vec::new());
    let (mut steps, mut seen, mut total, mut last) = (0u64, 0u64, 0.0f64, 0.0f64);
    let views = weights.views()?;
    while steps < wanted {
        shuffle(&mut order_stream, &mut order);
        for places in order.chunks(batch) {
            if steps == wanted {
                break;
            }
            chosen.clear();
            targets.clear();
            for &place in places {
                chosen.push(samples[place]);
                targets.extend_from_slice(&job.targets[place * classes..][..classes]);
            }
            let x = job.data.batch(&chosen, job.model.starts_with_images())?;
            let tape = Tape::forward(&job.model, &views, &x, &mut masks)?;
            read(tape.scores(), &mut host)?;
            let gradient = Tensor::f_empty(tape.scores().size(), (KIND, Device::Cpu))?;
            // SAFETY: a fresh contiguous float tensor on the CPU of exactly `numel` elements, not
            // yet known to anyone else.
            let out = unsafe {
                std::slice::from_raw_parts_mut(gradient.data_ptr().cast::<f32>(), gradient.numel())
            };
            let loss = score_loss(&host, &targets, classes, job.loss, out);
            last = loss / places.len() as f64;
            if !loss.is_finite() {
                return Err(LearnError::Diverged {
                    step: steps,
                    loss: last,
                });
            }
            tape.backward(gradient.f_to_device(device)?, &mut gradients)?;
            steps += 1;
            seen += places.len() as u64;
            total += loss;
            update::step(
                &mut weights,
                gradients.flat_mut(),
                &mut moments,
                Terms::default(),
                &job.local,
                lr,
                steps,
            )?;
        }
    }
    drop(views);
    let params = weights.freeze();
    if !params.is_finite()? {
        return Err(LearnError::Diverged {
            step: steps,
            loss: last,
        });
    }
    Ok(Trained {
        params,
        steps,
        samples_seen: seen,
        mean_loss: total / seen.max(1) as f64,
        last_loss: last,
    })
}

/// The class scores of `samples`, sample after sample, computed `batch` at a time.
///
/// # Errors
/// When the parts do not fit each other, a sample does not exist or the host device cannot.
pub fn class_scores(
    model: &Model,
    params: &ParamSet,
    data: &DeviceData,
    samples: &[u32],
    batch: usize,
) -> Result<Vec<f32>, LearnError> {
    fits(model, params, data)?;
    let _guard = tch::no_grad_guard();
    let params = params.to_device(data.device())?;
    let views = params.views()?;
    let (mut all, mut part) = (
        Vec::with_capacity(samples.len() * model.classes()),
        Vec::new(),
    );
    for chosen in samples.chunks(batch.max(1)) {
        let x = data.batch(chosen, model.starts_with_images())?;
        read(&model.forward(&views, &x, Mode::Evaluate)?, &mut part)?;
        all.extend_from_slice(&part);
    }
    Ok(all)
}

/// Sum over the batch of the distance between `scores` and `targets` (both row-major
/// `[batch, classes]`), and into `gradient` that of its **mean** with respect to the scores. Where a
/// score equals its target, the gradient of the absolute value is 0.
pub fn score_loss(
    scores: &[f32],
    targets: &[f32],
    classes: usize,
    loss: ScoreLoss,
    gradient: &mut [f32],
) -> f64 {
    let classes = classes.max(1);
    let rows = (scores.len() / classes).max(1) as f64;
    let each = scores
        .chunks_exact(classes)
        .zip(targets.chunks_exact(classes))
        .zip(gradient.chunks_exact_mut(classes));
    let mut total = 0.0;
    match loss {
        ScoreLoss::MeanAbsolute => {
            let share = (1.0 / (rows * classes as f64)) as f32;
            for ((scores, targets), out) in each {
                let mut sum = 0.0f64;
                for ((out, &s), &t) in out.iter_mut().zip(scores).zip(targets) {
                    let off = s - t;
                    sum += f64::from(off.abs());
                    *out = match off {
                        off if off > 0.0 => share,
                        off if off < 0.0 => -share,
                        _ => 0.0,
                    };
                }
                total += sum / classes as f64;
            }
        }
        ScoreLoss::SoftCrossEntropy { temperature } => {
            let mut soft = vec![0.0; classes];
            for ((scores, targets), out) in each {
                softmax(targets, temperature, &mut soft);
                let mut own = vec![0.0; classes];
                let normaliser = softmax(scores, temperature, &mut own);
                let mut entropy = 0.0;
                for (((out, p), &q), &s) in out.iter_mut().zip(&own).zip(&soft).zip(scores) {
                    entropy += q * (normaliser - f64::from(s) / temperature);
                    // T² from the definition, 1/T from the inner derivative.
                    *out = (temperature * (p - q) / rows) as f32;
                }
                total += temperature * temperature * entropy;
            }
        }
    }
    total
}

/// Writes softmax(scores / T) and gives the logarithm of its normaliser.
fn softmax(scores: &[f32], temperature: f64, out: &mut [f64]) -> f64 {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let top = f64::from(top) / temperature;
    let mut sum = 0.0;
    for (out, &score) in out.iter_mut().zip(scores) {
        *out = libm::exp(f64::from(score) / temperature - top);
        sum += *out;
    }
    out.iter_mut().for_each(|value| *value /= sum);
    libm::log(sum) + top
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Amount, Features, Normalisation};
    use crate::model::LayerSpec;

    const SCORES: [f32; 6] = [1.0, -2.0, 0.5, 3.0, 0.25, -100.0];
    const TARGETS: [f32; 6] = [0.5, -2.0, 1.5, -1.0, 2.0, 100.0];

    #[test]
    fn the_mean_absolute_error_and_its_gradient_are_those_computed_by_hand() {
        let mut g = [9.0f32; 6];
        let loss = score_loss(&SCORES, &TARGETS, 3, ScoreLoss::MeanAbsolute, &mut g);
        assert!((loss - (1.5 + 205.75) / 3.0).abs() < 1e-12, "{loss}");
        let sixth = 1.0 / 6.0;
        for (got, expected) in g.iter().zip([sixth, 0.0, -sixth, sixth, -sixth, -sixth]) {
            assert!((f64::from(*got) - expected).abs() < 1e-7);
        }
    }

    /// The gradient is checked against central differences of the loss in double precision.
    #[test]
    fn the_soft_cross_entropy_and_its_gradient_are_those_of_double_precision() {
        let reference = |scores: &[f64], t: f64| -> f64 {
            let soft = |row: &[f64]| -> Vec<f64> {
                let top = row.iter().copied().fold(f64::MIN, f64::max);
                let exps: Vec<f64> = row.iter().map(|s| ((s - top) / t).exp()).collect();
                let sum: f64 = exps.iter().sum();
                exps.iter().map(|e| e / sum).collect()
            };
            let targets: Vec<f64> = TARGETS[..3].iter().map(|&v| f64::from(v)).collect();
            let (p, q) = (soft(scores), soft(&targets));
            -t * t * p.iter().zip(&q).map(|(p, q)| q * p.ln()).sum::<f64>()
        };
        let row: Vec<f64> = SCORES[..3].iter().map(|&v| f64::from(v)).collect();
        for temperature in [1.0, 3.0] {
            let mut g = [0.0f32; 3];
            let loss = ScoreLoss::SoftCrossEntropy { temperature };
            let got = score_loss(&SCORES[..3], &TARGETS[..3], 3, loss, &mut g);
            assert!((got - reference(&row, temperature)).abs() < 1e-9);
            for c in 0..3 {
                let shifted = |by: f64| {
                    let mut row = row.clone();
                    row[c] += by;
                    reference(&row, temperature)
                };
                let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                assert!((f64::from(g[c]) - slope).abs() < 1e-6, "{c}");
            }
        }
        // Far apart, and no overflow.
        let mut g = [0.0f32; 3];
        let soft = ScoreLoss::SoftCrossEntropy { temperature: 1.0 };
        assert!(score_loss(&SCORES[3..], &TARGETS[3..], 3, soft, &mut g).is_finite());
    }

    fn job(targets: Vec<f32>) -> DistillJob {
        let model = Arc::new(Model::build(&[LayerSpec::dense(2)], &[2], 2).unwrap());
        let plain = Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let features = vec![1.0, 0.0, 0.0, 2.0, -1.0, 1.0];
        let data = DeviceData::new(
            &[2],
            Features::F32(features),
            plain,
            vec![0, 1, 0],
            2,
            Device::Cpu,
        );
        DistillJob {
            start: ParamSet::from_slice(model.layout(), &[0.5, -0.25, 0.0, 1.0, 0.125, 0.0])
                .unwrap(),
            model,
            data: Arc::new(data.unwrap()),
            samples: vec![2, 0].into(),
            targets: targets.into(),
            loss: ScoreLoss::MeanAbsolute,
            local: LocalTraining {
                amount: Amount::Epochs(1),
                batch: 0,
                ..LocalTraining::sgd(0.5)
            },
            round: 0,
            seed: 3,
            client: 1,
        }
    }

    /// Scores of samples 2 and 0 are (−0.625, 1) and (0.625, 0); the targets are below, above, above
    /// and equal to them.
    #[test]
    fn a_step_is_the_one_computed_by_hand_and_targets_stay_with_their_samples() {
        let trained = distill(&job(vec![-1.0, 2.0, 1.0, 0.0])).unwrap();
        // d: sample 2 (+¼, −¼), sample 0 (−¼, 0).
        let g = [-0.25 - 0.25, 0.25, 0.25, -0.25, 0.0, -0.25];
        let start = [0.5, -0.25, 0.0, 1.0, 0.125, 0.0];
        let got = trained.params.as_slice().unwrap();
        for i in 0..6 {
            let expected = start[i] - 0.5 * g[i];
            assert!((f64::from(got[i]) - expected).abs() < 1e-7, "{i}: {got:?}");
        }
        assert_eq!((trained.steps, trained.samples_seen), (1, 2));
        let loss = (0.375 + 1.0) / 2.0 + 0.375 / 2.0;
        assert!((trained.mean_loss - loss / 2.0).abs() < 1e-7);
    }

    #[test]
    fn the_networks_own_scores_as_targets_change_nothing() {
        let mut job = job(vec![0.0; 4]);
        let own = class_scores(&job.model, &job.start, &job.data, &[2, 0], 1).unwrap();
        assert_eq!(own, [-0.625, 1.0, 0.625, 0.0]);
        job.targets = own.into();
        let trained = distill(&job).unwrap();
        assert_eq!(
            trained.params.as_slice().unwrap(),
            job.start.as_slice().unwrap()
        );
    }

    #[test]
    fn targets_of_another_number_are_refused() {
        assert_eq!(
            distill(&job(vec![0.0; 5])).unwrap_err().to_string(),
            "expected 4 target scores, one for each sample and class, got 5"
        );
    }
}
