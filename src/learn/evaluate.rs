//! Evaluation of a model on samples.

use super::course::go_on;
use super::train::{fits, read};
use super::{cross_entropy, DeviceData, LearnError};
use crate::model::{Mode, Model, ParamSet};
use crate::snapshot::snapshot_struct;
use serde::Serialize;

/// Sums over evaluated samples. The sums of parts, merged in a fixed order, are those of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct EvaluationSums {
    /// The number of samples.
    pub count: u64,
    /// The number of samples whose largest score is that of their label.
    pub correct: u64,
    /// The sum of their cross entropies.
    pub loss_sum: f64,
}

snapshot_struct!(EvaluationSums {
    count,
    correct,
    loss_sum
});

/// The accuracy of a client's model on the samples that the client holds out, before and after its
/// local training. It is only recorded; no method reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeldOut {
    /// The number of samples held out; at least one.
    pub count: u32,
    /// The number of samples that the received model classifies correctly, before local training.
    pub received: u32,
    /// The number of samples that the model classifies correctly after local training.
    pub trained: u32,
}

snapshot_struct!(HeldOut {
    count,
    received,
    trained
});

impl HeldOut {
    /// The comparison of two evaluations on one set of samples, before and after training; `None`
    /// without samples.
    pub fn of(received: Option<EvaluationSums>, trained: Option<EvaluationSums>) -> Option<Self> {
        let (received, trained) = received.zip(trained)?;
        (trained.count > 0).then_some(Self {
            count: trained.count as u32,
            received: received.correct as u32,
            trained: trained.correct as u32,
        })
    }

    /// The accuracy before local training, in [0, 1].
    pub fn received_accuracy(&self) -> f64 {
        f64::from(self.received) / f64::from(self.count.max(1))
    }

    /// The accuracy after local training, in [0, 1].
    pub fn trained_accuracy(&self) -> f64 {
        f64::from(self.trained) / f64::from(self.count.max(1))
    }
}

impl EvaluationSums {
    /// Adds the sums of another part.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.correct += other.correct;
        self.loss_sum += other.loss_sum;
    }

    /// The share of samples that are classified correctly; 0 without samples.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.count.max(1) as f64
    }

    /// The mean cross entropy; 0 without samples.
    pub fn mean_loss(&self) -> f64 {
        self.loss_sum / self.count.max(1) as f64
    }
}

/// Evaluates `model` with the parameters `params` on the given samples, `batch` samples at a time
/// (at least one).
///
/// If `hits` is given, one flag for each sample is appended, which says whether the sample was
/// classified correctly. A sample whose scores are not numbers counts as wrong; of equal scores,
/// that of the first class wins.
///
/// # Errors
/// When the parts do not fit each other, a sample does not exist, or the host device fails.
pub fn evaluate(
    model: &Model,
    params: &ParamSet,
    data: &DeviceData,
    samples: &[u32],
    batch: usize,
    mut hits: Option<&mut Vec<bool>>,
) -> Result<EvaluationSums, LearnError> {
    fits(model, params, data)?;
    let _guard = tch::no_grad_guard();
    let params = params.to_device(data.device())?;
    let views = params.views()?;
    let (mut scores, mut labels) = (Vec::new(), Vec::new());
    let classes = model.classes();
    let mut sums = EvaluationSums::default();
    for part in samples.chunks(batch.max(1)) {
        go_on()?;
        let x = data.batch(part, model.starts_with_images())?;
        data.labels_of(part, &mut labels)?;
        let out = model.forward(&views, &x, Mode::Evaluate)?;
        read(&out, &mut scores)?;
        sums.count += part.len() as u64;
        sums.loss_sum += cross_entropy(&scores, classes, &labels, None);
        for (row, &label) in scores.chunks_exact(classes).zip(&labels) {
            let hit = first_largest(row) == Some(label as usize);
            sums.correct += u64::from(hit);
            if let Some(hits) = hits.as_deref_mut() {
                hits.push(hit);
            }
        }
    }
    Ok(sums)
}

fn first_largest(row: &[f32]) -> Option<usize> {
    let mut best: Option<(usize, f32)> = None;
    for (class, &score) in row.iter().enumerate() {
        if score.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, top)| score > top) {
            best = Some((class, score));
        }
    }
    best.map(|(class, _)| class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Features, Normalisation};
    use crate::model::LayerSpec;
    use proptest::prelude::*;
    use tch::Device;

    /// Three samples of two features under the identity network: scores are the features.
    fn identity(features: Vec<f32>, labels: Vec<u32>) -> (Model, ParamSet, DeviceData) {
        let model = Model::build(&[LayerSpec::dense(2)], &[2], 2).unwrap();
        let params = ParamSet::from_slice(model.layout(), &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]).unwrap();
        let normal = Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        };
        let data = DeviceData::new(
            &[2],
            Features::F32(features),
            normal,
            labels,
            2,
            Device::Cpu,
        )
        .unwrap();
        (model, params, data)
    }

    #[test]
    fn correct_samples_and_losses_are_those_computed_by_hand() {
        let (model, params, data) = identity(vec![1.0, 0.0, 0.5, 2.0, 3.0, 3.0], vec![0, 0, 0]);
        let mut hits = Vec::new();
        let sums = evaluate(&model, &params, &data, &[0, 1, 2], 2, Some(&mut hits)).unwrap();
        assert_eq!(hits, [true, false, true]);
        assert_eq!((sums.count, sums.correct), (3, 2));
        let expected = (1.0 + (-1.0f64).exp()).ln() + (1.0 + 1.5f64.exp()).ln() + 2f64.ln();
        assert!((sums.loss_sum - expected).abs() < 1e-6);
        assert!((sums.accuracy() - 2.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn scores_that_are_not_numbers_are_wrong_and_nothing_is_nothing() {
        let (model, params, data) = identity(vec![f32::NAN, 0.0], vec![1]);
        let sums = evaluate(&model, &params, &data, &[0], 1, None).unwrap();
        assert_eq!(sums.correct, 0);
        assert!(sums.loss_sum.is_nan());
        let none = evaluate(&model, &params, &data, &[], 0, None).unwrap();
        assert_eq!(none, EvaluationSums::default());
        assert_eq!((none.accuracy(), none.mean_loss()), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn the_batch_size_and_the_split_do_not_change_what_is_counted(
            features in prop::collection::vec(-3f32..3.0, 20), split in 0usize..=10, batch in 1usize..12
        ) {
            let labels = (0..10).map(|i| i % 2).collect();
            let (model, params, data) = identity(features, labels);
            let all: Vec<u32> = (0..10).collect();
            let whole = evaluate(&model, &params, &data, &all, 10, None).unwrap();
            let mut parts = evaluate(&model, &params, &data, &all[..split], batch, None).unwrap();
            parts.merge(&evaluate(&model, &params, &data, &all[split..], batch, None).unwrap());
            prop_assert_eq!((parts.count, parts.correct), (whole.count, whole.correct));
            prop_assert!((parts.loss_sum - whole.loss_sum).abs() < 1e-4);
        }
    }
}
