//! The forward pass of several networks of one architecture, each on a batch of its own.
//!
//! Images are `[batch, networks · channels, height, width]`, so that a convolution with as many
//! groups as networks computes all of them. Rows are `[networks, batch, features]`, so that a dense
//! layer is a batched matrix product. No value of one network reaches another.

use crate::learn::Precision;
use crate::model::{parameter, Fresh, MaskSource, Op, NORM_EPS};
use tch::{Device, TchError, Tensor};

/// Several networks that are computed at once.
pub(super) struct Networks<'a> {
    /// One tensor for each entry of the layout, `[networks, shape…]`.
    pub params: &'a [Tensor],
    /// The precision of matrix products and convolutions.
    pub precision: Precision,
    /// The source of dropout masks of each network.
    pub masks: &'a mut [MaskSource],
    /// The number of samples in each network's batch that are its own; the others are padding.
    pub batches: &'a [usize],
    /// The number of samples in every batch, with padding.
    pub batch: usize,
}

/// A value between two layers.
enum Value {
    /// Images, `[batch, networks · channels, height, width]`.
    Images(Tensor),
    /// Rows, `[networks, batch, features]`.
    Rows(Tensor),
}

impl Networks<'_> {
    /// The scores `[networks, batch, classes]` for the input `x`, which is `[networks · batch,
    /// shape…]`.
    pub fn forward(&mut self, ops: &[Op], x: &Tensor) -> Result<Tensor, TchError> {
        let value = match *x.size() {
            [_, channels, height, width] => {
                let x = x.f_reshape([self.count(), self.batch(), channels, height, width])?;
                Value::Images(self.beside(&x)?)
            }
            _ => Value::Rows(x.f_reshape([self.count(), self.batch(), -1])?),
        };
        match self.list(ops, value)? {
            Value::Rows(scores) => Ok(scores),
            Value::Images(images) => Err(TchError::Shape(format!(
                "a network ended in images of shape {:?}",
                images.size()
            ))),
        }
    }

    fn count(&self) -> i64 {
        self.batches.len() as i64
    }

    const fn batch(&self) -> i64 {
        self.batch as i64
    }

    /// Turns `[networks, batch, channels, height, width]` into images of this stack.
    fn beside(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match *x.size() {
            [networks, batch, channels, height, width] => {
                x.f_transpose(0, 1)?
                    .f_reshape([batch, networks * channels, height, width])
            }
            _ => Err(TchError::Shape(format!("no images: {:?}", x.size()))),
        }
    }

    /// Turns `[batch, networks · features]` into rows of this stack.
    fn apart(&self, x: &Tensor) -> Result<Tensor, TchError> {
        x.f_reshape([self.batch(), self.count(), -1])?
            .f_transpose(0, 1)
    }

    /// A parameter whose first two dimensions, networks and channels, are merged into one.
    fn side_by_side(&self, index: usize) -> Result<Tensor, TchError> {
        parameter(self.params, index)?.f_flatten(0, 1)
    }

    fn list(&mut self, ops: &[Op], mut value: Value) -> Result<Value, TchError> {
        for op in ops {
            value = self.step(op, value)?;
        }
        Ok(value)
    }

    fn step(&mut self, op: &Op, value: Value) -> Result<Value, TchError> {
        use Value::{Images, Rows};
        Ok(match (op, value) {
            (Op::Dense { weight, bias }, Rows(x)) => {
                let precision = self.precision;
                let weight = precision.factor(parameter(self.params, *weight)?)?;
                let (x, weight) = (precision.factor(&x)?, weight.f_transpose(1, 2)?);
                let y = match bias {
                    Some(bias) => {
                        let bias = precision.addend(parameter(self.params, *bias)?)?;
                        bias.f_unsqueeze(1)?.f_baddbmm(&x, &weight, 1.0, 1.0)?
                    }
                    None => x.f_bmm(&weight)?,
                };
                Rows(precision.result(y)?)
            }
            (
                Op::Conv {
                    weight,
                    bias,
                    stride,
                    padding,
                },
                Images(x),
            ) => {
                let precision = self.precision;
                let bias = bias.map(|bias| precision.addend(&self.side_by_side(bias)?));
                let y = precision.factor(&x)?.f_conv2d(
                    &precision.factor(&self.side_by_side(*weight)?)?,
                    bias.transpose()?.as_ref(),
                    [*stride; 2],
                    [*padding; 2],
                    [1, 1],
                    self.count(),
                )?;
                Images(precision.result(y)?)
            }
            (
                Op::GroupNorm {
                    groups,
                    weight,
                    bias,
                },
                value,
            ) => {
                // A group never spans two networks, since each has a whole number of groups.
                let norm = |x: &Tensor| {
                    let (weight, bias) = (self.side_by_side(*weight)?, self.side_by_side(*bias)?);
                    let groups = groups * self.count();
                    x.f_group_norm(groups, Some(weight), Some(bias), NORM_EPS, false)
                };
                match value {
                    Images(x) => Images(norm(&x)?),
                    Rows(x) => Rows(self.apart(&norm(&x.f_transpose(0, 1)?.f_flatten(1, 2)?)?)?),
                }
            }
            (Op::MaxPool { size, stride }, Images(x)) => {
                Images(x.f_max_pool2d([*size; 2], [*stride; 2], [0, 0], [1, 1], false)?)
            }
            (Op::AvgPool { size, stride }, Images(x)) => {
                Images(x.f_avg_pool2d([*size; 2], [*stride; 2], [0, 0], false, true, None)?)
            }
            (Op::GlobalAvgPool, Images(x)) => {
                Rows(self.apart(&x.f_mean_dim([2i64, 3].as_slice(), false, None)?)?)
            }
            (Op::Flatten, Images(x)) => Rows(self.apart(&x.f_flatten(1, -1)?)?),
            (Op::Flatten, Rows(x)) => Rows(x),
            (Op::Relu, value) => value.each(Tensor::f_relu)?,
            (Op::Tanh, value) => value.each(Tensor::f_tanh)?,
            (Op::Sigmoid, value) => value.each(Tensor::f_sigmoid)?,
            (Op::Scaler { factor }, value) => value.each(|x| x.f_mul_scalar(*factor))?,
            (Op::Dropout { threshold }, Images(x)) => {
                let (_, all, height, width) = x.size4()?;
                let shape = [all / self.count().max(1), height, width];
                let mask = self.mask(&shape, *threshold, x.device())?;
                Images(x.f_mul(&self.beside(&mask)?)?)
            }
            (Op::Dropout { threshold }, Rows(x)) => {
                let (_, _, features) = x.size3()?;
                let mask = self.mask(&[features], *threshold, x.device())?;
                Rows(x.f_mul(&mask)?)
            }
            (Op::Residual { body, shortcut }, value) => {
                let around = value.share();
                let through = self.list(body, value)?;
                match (through, self.list(shortcut, around)?) {
                    (Images(a), Images(b)) => Images(a.f_add(&b)?),
                    (Rows(a), Rows(b)) => Rows(a.f_add(&b)?),
                    _ => {
                        return Err(TchError::Shape(
                            "the branches of a residual block differ in shape".into(),
                        ))
                    }
                }
            }
            (op, Rows(x) | Images(x)) => {
                return Err(TchError::Shape(format!(
                    "{op:?} does not take what is stacked as {:?}",
                    x.size()
                )))
            }
        })
    }

    /// Dropout masks `[networks, batch, shape…]`. Each network draws those of its own samples from
    /// its own stream, in the order in which it would draw them alone.
    fn mask(&mut self, shape: &[i64], threshold: u16, device: Device) -> Result<Tensor, TchError> {
        let mut dims = vec![self.count(), self.batch()];
        dims.extend(shape);
        let mut mask = Fresh::ones(&dims)?;
        let sample: i64 = shape.iter().product();
        let row = self.batch * sample as usize;
        let rows = mask.values()?.chunks_exact_mut(row.max(1));
        for ((row, source), own) in rows.zip(self.masks.iter_mut()).zip(self.batches) {
            source.fill(&mut row[..own * sample as usize], threshold);
        }
        mask.into_tensor().f_to_device(device)
    }
}

impl Value {
    fn each(self, f: impl Fn(&Tensor) -> Result<Tensor, TchError>) -> Result<Self, TchError> {
        Ok(match self {
            Self::Images(x) => Self::Images(f(&x)?),
            Self::Rows(x) => Self::Rows(f(&x)?),
        })
    }

    fn share(&self) -> Self {
        match self {
            Self::Images(x) => Self::Images(x.shallow_clone()),
            Self::Rows(x) => Self::Rows(x.shallow_clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(batches: &[usize], batch: usize, shape: &[i64]) -> Tensor {
        let mut sources: Vec<MaskSource> =
            (0..2).map(|client| MaskSource::new(1, client, 3)).collect();
        let mut networks = Networks {
            params: &[],
            precision: Precision::Single,
            masks: &mut sources,
            batches,
            batch,
        };
        networks.mask(shape, 32768, Device::Cpu).unwrap()
    }

    #[test]
    fn a_stacked_mask_without_values_is_empty() {
        assert_eq!(masks(&[0, 0], 0, &[5]).size(), [2, 0, 5]);
        assert_eq!(masks(&[3, 2], 3, &[0, 4]).size(), [2, 3, 0, 4]);
        assert_eq!(masks(&[], 3, &[5]).size(), [0, 3, 5]);
    }

    #[test]
    fn what_only_fills_the_stack_is_masked_by_ones() {
        let mask = masks(&[3, 2], 3, &[50]);
        let filling = mask.get(1).get(2);
        assert_eq!(filling, Fresh::ones(&[50]).unwrap().into_tensor());
        let own = mask.get(1).narrow(0, 0, 2);
        let mut alone = MaskSource::new(1, 1, 3);
        assert_eq!(own, alone.mask(&[2, 50], 32768, Device::Cpu).unwrap());
    }
}
