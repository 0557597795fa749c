//! Training towards given class scores instead of labels: the student's half of knowledge
//! distillation.

use super::course::go_on;
use super::objective::{like, train_on, Batch, Scores};
use super::soft::divergence;
use super::train::{fits, read};
use super::{DeviceData, LearnError, Tape, TrainJob, Trained};
use crate::model::{Mode, Model, ParamSet};
use serde::{Deserialize, Serialize};

/// The distance between scores and their targets that training reduces.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ScoreLoss {
    /// The mean over the classes of |s − t|, for scores s and targets t.
    #[default]
    MeanAbsolute,
    /// The [`divergence`] of softmax(s / T) from softmax(t / T), times T² (Hinton et al. 2015).
    Divergence {
        /// The temperature T, above 0.
        #[serde(default = "one")]
        temperature: f64,
    },
}

const fn one() -> f64 {
    1.0
}

/// Trains a job towards `targets`, which contain, for each of the job's samples in order, the
/// scores of all classes. Corrections of the job are ignored. Equal jobs give equal bits, as with
/// [`super::train`].
///
/// # Errors
/// The errors of [`super::train`], and an error if the number of targets is not samples times
/// classes.
pub fn distill(job: &TrainJob, targets: &[f32], loss: ScoreLoss) -> Result<Trained, LearnError> {
    let (samples, classes) = (job.samples.as_slice(), job.model.classes());
    let expected = samples.len() * classes;
    if targets.len() != expected {
        return Err(LearnError::Targets {
            expected,
            found: targets.len(),
        });
    }
    let targets = Targets::new(samples, targets, classes);
    let mut wanted = Vec::new();
    train_on(job, |batch, gradients| {
        let Batch {
            params,
            samples,
            x,
            masks,
            ..
        } = batch;
        targets.of(samples, &mut wanted);
        let tape = Tape::forward(&job.model, params, x, masks, job.local.precision)?;
        let scores = Scores::of(tape.scores())?;
        let mut gradient = vec![0.0; scores.values.len()];
        let total = score_loss(&scores.values, &wanted, classes, loss, &mut gradient);
        let of_scores = like(tape.scores(), &gradient)?;
        tape.backward(of_scores, gradients)?;
        Ok(total)
    })
}

/// The target scores of samples, found by the samples' numbers.
struct Targets<'a> {
    /// The samples with their targets, in ascending order of the samples' numbers.
    each: Vec<(u32, &'a [f32])>,
}

impl<'a> Targets<'a> {
    fn new(samples: &[u32], scores: &'a [f32], classes: usize) -> Self {
        let rows = scores.chunks_exact(classes.max(1));
        let mut each: Vec<(u32, &[f32])> = samples.iter().copied().zip(rows).collect();
        each.sort_by_key(|(sample, _)| *sample);
        Self { each }
    }

    /// Writes the targets of `samples` to `rows`, one row after the other.
    fn of(&self, samples: &[u32], rows: &mut Vec<f32>) {
        rows.clear();
        for &sample in samples {
            if let Ok(place) = self
                .each
                .binary_search_by_key(&sample, |(sample, _)| *sample)
            {
                rows.extend_from_slice(self.each[place].1);
            }
        }
    }
}

/// The class scores of `samples`, sample after sample, computed `batch` samples at a time.
///
/// # Errors
/// When the parts do not fit each other, a sample does not exist, or the host device fails.
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
    let mut part = Vec::new();
    let mut all = Vec::with_capacity(samples.len() * model.classes());
    for chosen in samples.chunks(batch.max(1)) {
        go_on()?;
        let x = data.batch(chosen, model.starts_with_images())?;
        read(&model.forward(&views, &x, Mode::Evaluate)?, &mut part)?;
        all.extend_from_slice(&part);
    }
    Ok(all)
}

/// The sum over the batch of the distance between `scores` and `targets`, both row-major `[batch,
/// classes]`. Writes the gradient of the **mean** distance with respect to the scores to
/// `gradient`, which must be zero. Where a score equals its target, the gradient of the absolute
/// value is 0.
fn score_loss(
    scores: &[f32],
    targets: &[f32],
    classes: usize,
    loss: ScoreLoss,
    gradient: &mut [f32],
) -> f64 {
    match loss {
        ScoreLoss::Divergence { temperature } => {
            divergence(scores, targets, classes, temperature, 1.0, gradient)
        }
        ScoreLoss::MeanAbsolute => {
            let share = (1.0 / scores.len().max(1) as f64) as f32;
            let mut sum = 0.0f64;
            for ((out, &s), &t) in gradient.iter_mut().zip(scores).zip(targets) {
                let off = s - t;
                sum += f64::from(off.abs());
                *out = match off {
                    off if off > 0.0 => share,
                    off if off < 0.0 => -share,
                    _ => 0.0,
                };
            }
            sum / classes.max(1) as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{train, Amount, Features, LocalTraining, Normalisation, Scratch};
    use crate::model::{Initializer, LayerSpec};
    use std::sync::Arc;
    use tch::Device;

    #[test]
    fn the_mean_absolute_error_and_its_gradient_are_those_computed_by_hand() {
        let scores = [1.0, -2.0, 0.5, 3.0, 0.25, -100.0];
        let targets = [0.5, -2.0, 1.5, -1.0, 2.0, 100.0];
        let mut g = [0.0f32; 6];
        let loss = score_loss(&scores, &targets, 3, ScoreLoss::MeanAbsolute, &mut g);
        assert!((loss - (1.5 + 205.75) / 3.0).abs() < 1e-12, "{loss}");
        let sixth = 1.0 / 6.0;
        for (got, expected) in g.iter().zip([sixth, 0.0, -sixth, sixth, -sixth, -sixth]) {
            assert!((f64::from(*got) - expected).abs() < 1e-7);
        }
    }

    const START: [f32; 6] = [0.5, -0.25, 0.0, 1.0, 0.125, 0.0];
    /// The scores of samples 2 and 0 there.
    const SCORES: [f32; 4] = [-0.625, 1.0, 0.625, 0.0];

    /// One step at a rate of a half on samples 2 and 0, (−1, 1) and (1, 0).
    fn job() -> TrainJob {
        let model = Arc::new(Model::build(&[LayerSpec::dense(2)], &[2], 2).unwrap());
        let features = vec![1.0, 0.0, 0.0, 2.0, -1.0, 1.0];
        TrainJob {
            start: ParamSet::from_slice(model.layout(), &START).unwrap(),
            data: data(&[2], features),
            model,
            samples: vec![2, 0].into(),
            local: LocalTraining {
                amount: Amount::Epochs(1),
                batch: 0,
                ..LocalTraining::sgd(0.5)
            },
            round: 0,
            seed: 3,
            client: 1,
            correction: Default::default(),
        }
    }

    fn data(shape: &[usize], features: Vec<f32>) -> Arc<DeviceData> {
        let plain = Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let labels = vec![0, 1, 0];
        let data = DeviceData::new(
            shape,
            Features::F32(features),
            plain,
            labels,
            2,
            Device::Cpu,
        );
        Arc::new(data.unwrap())
    }

    /// START less half of the gradient that `d` per score, sample 2 then sample 0, comes to.
    fn stepped(d: [f64; 4]) -> [f64; 6] {
        let g = [
            d[2] - d[0],
            d[0],
            d[3] - d[1],
            d[1],
            d[0] + d[2],
            d[1] + d[3],
        ];
        std::array::from_fn(|i| f64::from(START[i]) - 0.5 * g[i])
    }

    fn close(trained: &Trained, expected: [f64; 6]) {
        let got = trained.params.as_slice().unwrap();
        for i in 0..6 {
            let off = (f64::from(got[i]) - expected[i]).abs();
            assert!(off < 1e-7, "{i}: {got:?} against {expected:?}");
        }
    }

    /// Below, above, above and equal.
    #[test]
    fn a_step_is_the_one_computed_by_hand_and_targets_stay_with_their_samples() {
        let targets = [-1.0, 2.0, 1.0, 0.0];
        let trained = distill(&job(), &targets, ScoreLoss::MeanAbsolute).unwrap();
        close(&trained, stepped([0.25, -0.25, -0.25, 0.0]));
        assert_eq!((trained.steps, trained.samples_seen), (1, 2));
        let loss = (0.375 + 1.0) / 2.0 + 0.375 / 2.0;
        assert!((trained.mean_loss - loss / 2.0).abs() < 1e-7);
    }

    #[test]
    fn so_is_one_towards_soft_labels() {
        let targets = [-1.0, 2.0, 1.0, 0.0];
        let temperature = 3.0;
        let loss = ScoreLoss::Divergence { temperature };
        let trained = distill(&job(), &targets, loss).unwrap();
        // Of two classes the first has a chance of 1 / (1 + exp(second − first)).
        let chance = |s: &[f32]| 1.0 / (1.0 + (f64::from(s[1] - s[0]) / temperature).exp());
        let off = |at: usize| chance(&SCORES[at..]) - chance(&targets[at..]);
        // T² from the definition, 1/T from the inner derivative, over a batch of two.
        let d = |at: usize| temperature * off(at) / 2.0;
        close(&trained, stepped([d(0), -d(0), d(2), -d(2)]));
    }

    #[test]
    fn the_networks_own_scores_as_targets_change_nothing() {
        let job = job();
        let own = class_scores(&job.model, &job.start, &job.data, &[2, 0], 1).unwrap();
        assert_eq!(own, SCORES);
        let trained = distill(&job, &own, ScoreLoss::MeanAbsolute).unwrap();
        assert_eq!(trained.params.as_slice().unwrap(), START);
    }

    /// Without a step, so that both measure the same network.
    #[test]
    fn static_batch_normalisation_is_measured_as_after_local_training() {
        let layers = [
            LayerSpec::conv(2, 1, 0),
            LayerSpec::BatchNorm,
            LayerSpec::Flatten,
            LayerSpec::dense(2),
        ];
        let model = Arc::new(Model::build(&layers, &[1, 2, 1], 2).unwrap());
        let job = TrainJob {
            start: model.init(1, Initializer::PyTorch).unwrap(),
            data: data(&[1, 2, 1], vec![1.0, 0.5, 0.0, 2.0, -1.0, 1.0]),
            model,
            local: LocalTraining {
                amount: Amount::Steps(0),
                ..LocalTraining::sgd(0.5)
            },
            ..job()
        };
        let distilled = distill(&job, &[0.0; 4], ScoreLoss::MeanAbsolute).unwrap();
        let trained = train(&job, &mut Scratch::new()).unwrap();
        let values = |set: &ParamSet| set.as_slice().unwrap().to_vec();
        assert_eq!(values(&distilled.params), values(&trained.params));
        assert_ne!(values(&distilled.params), values(&job.start));
    }

    #[test]
    fn targets_of_another_number_are_refused() {
        let error = distill(&job(), &[0.0; 5], ScoreLoss::MeanAbsolute).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected 4 target scores, one for each sample and class, got 5"
        );
    }
}
