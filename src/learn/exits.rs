//! Training of a network with several classifiers (exits) that teach each other.

use super::objective::{like, train_on, Scores};
use super::soft::divergence;
use super::{LearnError, Tape, TrainJob, Trained};

/// Trains `job` by mutual self-distillation (Kim et al., DepthFL, ICLR 2023, section 3.2). The n
/// classifiers of the network give the class probabilities p₁ ... pₙ, and the loss is `Σᵢ [CEᵢ +
/// consistency / (n − 1) · Σⱼ≠ᵢ KL(pⱼ ‖ pᵢ)]`, in which pⱼ is treated as a constant.
///
/// # Errors
/// The errors of [`super::train`].
pub fn train_exits(job: &TrainJob, consistency: f64) -> Result<Trained, LearnError> {
    train_on(job, |batch, gradients| {
        let tape = Tape::forward(
            &job.model,
            batch.params,
            batch.x,
            batch.masks,
            job.local.precision,
        )?;
        let all = tape.classifiers().iter().map(Scores::of);
        let all = all.collect::<Result<Vec<Scores>, LearnError>>()?;
        let weight = consistency / (all.len() - 1).max(1) as f64;
        let mut total = 0.0;
        let mut of_each = Vec::with_capacity(all.len());
        for (number, (own, scores)) in all.iter().zip(tape.classifiers()).enumerate() {
            let (loss, mut gradient) = own.cross_entropy(batch.labels, 1.0);
            total += loss;
            let others = all.iter().enumerate().filter(|(other, _)| *other != number);
            for (_, other) in others.filter(|_| weight != 0.0) {
                let apart = divergence(
                    &own.values,
                    &other.values,
                    own.classes,
                    1.0,
                    weight,
                    &mut gradient,
                );
                total += weight * apart;
            }
            of_each.push(like(scores, &gradient)?);
        }
        tape.backward_each(of_each, gradients)?;
        Ok(total)
    })
}
