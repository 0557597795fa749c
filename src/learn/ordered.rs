//! Ordered dropout: local training in which each step trains a narrower network, made of the first
//! units of every layer, whose width is drawn anew (Horváth et al., FjORD, NeurIPS 2021, section
//! 3).

use super::objective::{like, train_on, Batch, Scores};
use super::soft::divergence;
use super::{Gradients, LearnError, Precision, Tape, TrainJob, Trained};
use crate::model::{Layout, Model};
use crate::sim::rng::{below, stream, Purpose};
use std::sync::Arc;
use tch::{TchError, Tensor};

/// Self-distillation: the widest network teaches the drawn one (FjORD, section 3.3). A step follows
/// the gradient of `CE(teacher) + (1 − α) · CE(student) + α · KL(teacher ‖ student)`, where the
/// teacher in the last term is treated as a constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelfDistillation {
    /// The weight α, from 0 to 1.
    pub alpha: f64,
    /// The temperature: the scores of both networks are divided by it in the last term.
    pub temperature: f64,
}

/// Trains `job`. In each step the network is one of `widths`, drawn with equal probability from the
/// method's random stream of the client and round. Every one of them consists of the first units of
/// the job's own network.
///
/// # Errors
/// The errors of [`super::train`], and an error if a network is not a narrower one of the job's.
pub fn train_ordered(
    job: &TrainJob,
    widths: &[Arc<Model>],
    teacher: Option<SelfDistillation>,
) -> Result<Trained, LearnError> {
    let (device, precision) = (job.data.device(), job.local.precision);
    let narrow = widths.iter().map(|model| {
        let gradients = Gradients::new(Arc::clone(model.layout()), device)?;
        Ok(Narrow {
            model: Arc::clone(model),
            precision,
            gradients,
        })
    });
    let mut narrow = narrow.collect::<Result<Vec<Narrow>, LearnError>>()?;
    let mut draws = stream(job.seed, job.client, Purpose::Method, job.round);
    train_on(job, |mut batch, gradients| {
        let drawn = below(&mut draws, narrow.len() as u64) as usize;
        let Some(drawn) = narrow.get_mut(drawn) else {
            return Err(LearnError::NoWidths);
        };
        let Some(teaching) = teacher else {
            let loss = drawn.pass(&mut batch, None)?;
            gradients.flat_mut().clear()?;
            drawn.add_to(gradients)?;
            return Ok(loss);
        };
        let tape = Tape::forward(&job.model, batch.params, batch.x, batch.masks, precision)?;
        let scores = Scores::of(tape.scores())?;
        let (loss, of_scores) = scores.cross_entropy(batch.labels, 1.0);
        let of_scores = like(tape.scores(), &of_scores)?;
        tape.backward(of_scores, gradients)?;
        let student = drawn.pass(&mut batch, Some((teaching, &scores)))?;
        drawn.add_to(gradients)?;
        Ok(loss + student)
    })
}

/// A network made of the first units of another.
struct Narrow {
    model: Arc<Model>,
    precision: Precision,
    gradients: Gradients,
}

impl Narrow {
    /// Computes the gradients of this network's parameters and returns the sum of its losses.
    fn pass(
        &mut self,
        batch: &mut Batch,
        teacher: Option<(SelfDistillation, &Scores)>,
    ) -> Result<f64, LearnError> {
        let params = first_units(batch.params, self.model.layout())?;
        let tape = Tape::forward(&self.model, &params, batch.x, batch.masks, self.precision)?;
        let scores = Scores::of(tape.scores())?;
        let alpha = teacher.map_or(0.0, |(teaching, _)| teaching.alpha);
        let (loss, mut gradient) = scores.cross_entropy(batch.labels, 1.0 - alpha);
        let mut objective = (1.0 - alpha) * loss;
        if let Some((teaching, from)) = teacher {
            let apart = divergence(
                &scores.values,
                &from.values,
                scores.classes,
                teaching.temperature,
                alpha,
                &mut gradient,
            );
            objective += alpha * apart;
        }
        let of_scores = like(tape.scores(), &gradient)?;
        tape.backward(of_scores, &mut self.gradients)?;
        Ok(objective)
    }

    /// Adds the gradients of this network to those of the network that it is a part of.
    fn add_to(&self, gradients: &mut Gradients) -> Result<(), LearnError> {
        let parts = first_units(gradients.views_mut(), self.model.layout())?;
        for (mut part, own) in parts.into_iter().zip(self.gradients.views()) {
            let _ = part.f_add_(own)?;
        }
        Ok(())
    }
}

/// The parts of the tensors `whole` that a network of the first units has: views of the first rows
/// and columns of each tensor.
fn first_units(whole: &[Tensor], layout: &Layout) -> Result<Vec<Tensor>, TchError> {
    let entries = layout.entries().iter().zip(whole);
    let parts = entries.map(|(entry, whole)| {
        let mut part = whole.shallow_clone();
        for (dimension, &size) in (0i64..).zip(&entry.shape) {
            part = part.f_narrow(dimension, 0, size as i64)?;
        }
        Ok(part)
    });
    parts.collect()
}
