//! The statistics of batch normalisations under given weights: the mean and the mean square of what
//! each normalisation is given.
//!
//! The passes normalise by the batch, as training does, so what a later normalisation is given depends
//! on which samples are in a batch together. Means and mean squares are those of all values of all
//! batches pooled: a batch counts by its samples, and the variance (mean square minus square of the
//! mean) is that of the pooled values. PyTorch's cumulative statistics (`momentum=None`, with which
//! HeteroFL's authors measure) are another mean: of the batches' means, and of their variances divided
//! by n − 1, with equal weight for each batch. The pooled form does not depend on how samples with
//! equal inputs are split into batches, and it can be added up in parts.

use super::course::go_on;
use super::train::fits;
use super::{DeviceData, LearnError};
use crate::model::{Mode, Model, ParamSet, Statistics, Viewed};
use tch::Tensor;

/// The sums over some batches of samples under the parameters `params`.
///
/// # Errors
/// When the parts do not fit each other, a sample does not exist, or the host device fails.
pub fn statistics<'a>(
    model: &Model,
    params: &ParamSet,
    data: &DeviceData,
    batches: impl IntoIterator<Item = &'a [u32]>,
) -> Result<Statistics, LearnError> {
    fits(model, params, data)?;
    let _guard = tch::no_grad_guard();
    let params = params.to_device(data.device())?;
    let views = params.views()?;
    sums_of(model, &views, data, batches)
}

/// As [`statistics`], for one view of each tensor, on the device of the data.
pub(super) fn sums_of<'a>(
    model: &Model,
    views: &[Tensor],
    data: &DeviceData,
    batches: impl IntoIterator<Item = &'a [u32]>,
) -> Result<Statistics, LearnError> {
    let mut sums = Statistics::new();
    for batch in batches {
        go_on()?;
        let x = data.batch(batch, model.starts_with_images())?;
        let mode = Mode::Statistics { sums: &mut sums };
        let _scores = model.forward(views, &x, mode)?;
    }
    Ok(sums)
}

/// The parameters `params` with these statistics. Those of a normalisation that is frozen, or of which
/// nothing was measured, stay as they are.
///
/// # Errors
/// When the parameters are not those of the model, or what torch says.
pub fn with_statistics(
    model: &Model,
    params: &ParamSet,
    statistics: &Statistics,
) -> Result<ParamSet, LearnError> {
    params.has_layout(model.layout())?;
    let _guard = tch::no_grad_guard();
    let mut all = Viewed::new(crate::model::Buffer::copy_of(params)?)?;
    statistics.write(all.views_mut())?;
    all.flat_mut().put_back(model.frozen(), params)?;
    Ok(all.into_flat().freeze())
}
