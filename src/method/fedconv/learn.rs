//! Learning of filter banks and of aggregation weights on the public set.

use super::bank::Filters;
use super::fit::Fit;
use super::Activation;
use crate::learn::LearnError;
use crate::method::{MethodError, Payload, PublicData};
use crate::model::{Model, ParamSet};
use std::sync::Arc;
use tch::{Device, Kind, TchError, Tensor};

/// Learns a bank on the public set. Returns `[learned numbers, parameters of the resulting
/// network]`.
pub(super) fn learn_bank(
    filters: &Filters,
    learned: &[f32],
    from: &ParamSet,
    to: &Arc<Model>,
    public: &PublicData,
    fit: Fit,
    activation: Activation,
) -> Result<Payload, MethodError> {
    let device = public.data.device();
    let from = from.to_device(device)?;
    let source = from.views()?;
    let leaves = filters.tensors(learned, device).map_err(LearnError::from)?;
    let fitted = fit.run(to, public, leaves, |leaves| {
        filters.apply(&source, leaves, activation)
    })?;
    let mut numbers = Vec::with_capacity(learned.len());
    for leaf in &fitted.leaves {
        let flat = leaf
            .f_to_device(Device::Cpu)
            .and_then(|t| t.f_flatten(0, -1));
        let flat = flat.map_err(LearnError::from)?;
        let values = Vec::<f32>::try_from(&flat).map_err(LearnError::from)?;
        numbers.extend(values.into_iter().map(f64::from));
    }
    Ok(Payload::bundle([
        Payload::scalars(numbers),
        Payload::Model(fitted.params),
    ]))
}

/// Learns the weights of the aggregation on the public set. Returns `[aggregated model, weights of
/// each client...]`.
pub(super) fn learn_weights(
    model: &Arc<Model>,
    dilated: &[ParamSet],
    weights: &[ParamSet],
    shares: &[f32],
    public: &PublicData,
    fit: Fit,
) -> Result<Payload, MethodError> {
    let device = public.data.device();
    let prepare = || -> Result<(Tensor, Tensor), TchError> {
        let flat = |sets: &[ParamSet]| -> Result<Tensor, TchError> {
            let rows: Vec<Tensor> = sets.iter().map(|set| set.flat().shallow_clone()).collect();
            Tensor::f_stack(&rows, 0)?.f_to_device(device)
        };
        let shares = Tensor::f_from_slice(shares)?
            .f_to_device(device)?
            .f_unsqueeze(1)?;
        Ok((flat(dilated)?.f_mul(&shares)?, flat(weights)?))
    };
    let (scaled, leaves) = prepare().map_err(LearnError::from)?;
    let layout = Arc::clone(model.layout());
    let fitted = fit.run(model, public, vec![leaves], |leaves| {
        let weights = leaves
            .first()
            .ok_or_else(|| TchError::Shape("no weights".into()))?;
        let mean =
            weights
                .f_mul(&scaled)?
                .f_sum_dim_intlist([0i64].as_slice(), false, Kind::Float)?;
        let parts = layout.entries().iter().map(|entry| {
            let part = mean.f_narrow(0, entry.offset as i64, entry.len as i64)?;
            part.f_view(entry.dims().as_slice())
        });
        parts.collect()
    })?;
    let mut parts = vec![Payload::Model(fitted.params)];
    for leaf in &fitted.leaves {
        for row in 0..weights.len() {
            let own = leaf
                .f_get(row as i64)
                .and_then(|t| t.f_to_device(Device::Cpu));
            let own = own.map_err(LearnError::from)?;
            let values = Vec::<f32>::try_from(&own).map_err(LearnError::from)?;
            parts.push(Payload::Model(ParamSet::from_slice(
                model.layout(),
                &values,
            )?));
        }
    }
    Ok(Payload::bundle(parts))
}

/// The learned numbers and the parameters in the output of a job that learns a bank.
pub(super) fn bank_of(output: &Payload) -> Result<(Arc<[f32]>, ParamSet), MethodError> {
    let [numbers, model] = output.as_parts()?;
    let Payload::Scalars(numbers) = numbers else {
        return Err(MethodError::payload("scalars", numbers));
    };
    let numbers = numbers.iter().map(|&number| number as f32);
    Ok((numbers.collect(), model.as_model()?.clone()))
}
