//! Training without any fast path: the whole network under torch's autograd.

use super::super::{Gradients, LearnError};
use crate::model::{MaskSource, Mode, Model};
use tch::{TchError, Tensor};

/// The loss of a batch by torch's autograd through the whole network, with its gradients in
/// `gradients`; `loss` gives the sum of the losses and the gradient of their mean with respect to the
/// scores. This is the slow path that [`super::super::tape::Tape`] is measured against.
///
/// # Errors
/// When a parameter is missing, a shape does not fit, or there is too little memory.
pub(super) fn by_autograd(
    model: &Model,
    params: &[Tensor],
    x: &Tensor,
    masks: &mut MaskSource,
    loss: impl FnOnce(&Tensor) -> Result<(f64, Tensor), LearnError>,
    gradients: &mut Gradients,
) -> Result<f64, LearnError> {
    let leaf = |param: &Tensor| param.f_detach()?.f_set_requires_grad(true);
    let leaves = params
        .iter()
        .map(leaf)
        .collect::<Result<Vec<_>, TchError>>()?;
    let dropout = masks;
    let scores = tch::with_grad(|| model.forward(&leaves, x, Mode::Train { dropout }))?;
    let (loss, gradient) = loss(&scores.f_detach()?)?;
    if !loss.is_finite() {
        return Ok(loss);
    }
    let found = tch::with_grad(|| {
        let root = scores.f_mul(&gradient)?.f_sum(None)?;
        Tensor::f_run_backward(&[root], &leaves.iter().collect::<Vec<_>>(), false, false)
    })?;
    for (target, gradient) in gradients.views_mut().iter_mut().zip(found) {
        match gradient.defined() {
            true => target.f_copy_(&gradient)?,
            false => drop(target.f_zero_()?),
        }
    }
    Ok(loss)
}
