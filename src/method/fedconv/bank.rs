//! Filter banks: convolutions over the rows and columns of a tensor that make the tensor smaller
//! (compression) or larger (dilation). Their parameters are learned.

use super::Activation;
use crate::model::Model;
use crate::quantity::unit;
use crate::sim::rng::Stream;
use serde::{Deserialize, Serialize};
use tch::{Device, TchError, Tensor};

/// The initial kernels of a bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum FilterInit {
    /// One at the first place and zero elsewhere, with projections that change nothing. Compression
    /// then takes the first rows and columns, as HeteroFL does, and dilation pads with zeros.
    #[default]
    Delta,
    /// The initialisation of PyTorch's convolutions, which is the authors' choice: uniform in
    /// ±1/√(size of the kernel).
    Random,
}

/// Whether a bank makes tensors smaller or larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the full network to a sub-model.
    Compress,
    /// From a sub-model to the full network.
    Dilate,
}

/// The filter of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Filter {
    /// The shape of the tensor at full width.
    full: Vec<i64>,
    /// The shape of the tensor in the sub-model.
    sub: Vec<i64>,
    /// The number of positions in a convolution's window, each of which has a filter of its own; 1
    /// for all other tensors.
    positions: i64,
    /// The size of the kernel along rows and columns, `full − sub + 1`; a vector is an image with
    /// one row.
    kernel: [i64; 2],
    /// Whether the projection is added to the tensor or replaces it.
    residual: bool,
}

/// The number of learned tensors of a filter. They are the direction
/// `[positions, 1, rows, columns]` and the length `[positions, 1, 1, 1]` of the weight-normalised
/// kernel, and the scale and the shift of the projection, both `[1, positions, 1, 1]`.
const TENSORS: usize = 4;

/// A bank: one filter for each entry of a network's layout, without the learned numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filters {
    way: Way,
    filters: Vec<Filter>,
}

impl Filter {
    /// The shapes of the learned tensors.
    fn shapes(&self) -> [Vec<i64>; TENSORS] {
        let [rows, columns] = self.kernel;
        let each = vec![1, self.positions, 1, 1];
        [
            vec![self.positions, 1, rows, columns],
            vec![self.positions, 1, 1, 1],
            each.clone(),
            each,
        ]
    }

    /// The multiplications and additions of the convolution.
    fn flops(&self) -> u64 {
        let [rows, columns] = self.kernel;
        let small: i64 = self.sub.iter().product();
        2 * (small * rows * columns) as u64
    }

    /// A tensor as one image for each position: `[1, positions, rows, columns]`.
    fn image(&self, x: &Tensor) -> Result<Tensor, TchError> {
        match x.size().as_slice() {
            [n] => x.f_reshape([1, 1, 1, *n]),
            [rows, columns, _, _] => {
                x.f_permute([2, 3, 0, 1])?
                    .f_reshape([1, self.positions, *rows, *columns])
            }
            // A matrix; of tensors with more dimensions, all values of a unit are its row.
            [rows, ..] => x.f_reshape([1, 1, *rows, -1]),
            [] => Err(TchError::Shape("a scalar is no image".into())),
        }
    }

    /// Whether the kernel is one long row, which is computed faster in phases.
    fn is_long(&self) -> bool {
        self.positions == 1 && self.kernel[0] == 1 && self.kernel[1] >= 2 * PHASES
    }

    /// The image of a tensor with one position, as a matrix `[rows, columns]`.
    fn row(&self, image: &Tensor) -> Result<Tensor, TchError> {
        image.f_squeeze_dim(0)?.f_squeeze_dim(0)
    }

    /// The inverse of [`Filter::image`], for a tensor of the shape `target`.
    fn tensor(&self, image: &Tensor, target: &[i64]) -> Result<Tensor, TchError> {
        match target {
            [rows, columns, height, width] => image
                .f_reshape([*height, *width, *rows, *columns])?
                .f_permute([2, 3, 0, 1])?
                .f_contiguous(),
            _ => image.f_reshape(target),
        }
    }

    fn apply(
        &self,
        way: Way,
        x: &Tensor,
        learned: &[Tensor],
        activation: Activation,
    ) -> Result<Tensor, TchError> {
        let [direction, length, scale, shift] = learned else {
            return Err(TchError::Shape("a filter has four tensors".into()));
        };
        let x = self.image(x)?;
        let projected = x.f_mul(scale)?.f_add(shift)?;
        let input = match self.residual {
            true => x.f_add(&projected)?,
            false => projected,
        };
        let norm = direction.f_norm_scalaropt_dim(2.0, [1i64, 2, 3].as_slice(), true)?;
        let kernel = direction.f_mul(length)?.f_div(&norm)?;
        let none = None::<&Tensor>;
        let (output, target) = match way {
            Way::Compress if self.is_long() => (
                correlate(&self.row(&input)?, &self.row(&kernel)?)?,
                &self.sub,
            ),
            Way::Dilate if self.is_long() => {
                (spread(&self.row(&input)?, &self.row(&kernel)?)?, &self.full)
            }
            Way::Compress => {
                let y = input.f_conv2d(&kernel, none, [1, 1], [0, 0], [1, 1], self.positions)?;
                (y, &self.sub)
            }
            Way::Dilate => {
                let groups = self.positions;
                let y = input.f_conv_transpose2d(
                    &kernel,
                    none,
                    [1, 1],
                    [0, 0],
                    [0, 0],
                    groups,
                    [1, 1],
                )?;
                (y, &self.full)
            }
        };
        // The activation is applied once inside the bank and once outside, as in the authors'
        // program.
        self.tensor(&activation.twice(output)?, target)
    }
}

/// The number of consecutive values that pass through a long kernel together.
const PHASES: i64 = 48;

/// Correlates each row of `x` `[rows, n]` with `kernel` `[1, k]`; the result is
/// `[rows, n − k + 1]`.
///
/// Convolution routines are slowest for one channel and hundreds of taps. The sums can also be
/// computed by a convolution of [`PHASES`] channels with a short kernel: channel s of place q is
/// the value q·PHASES + s, and the weight from channel s to channel r at tap m is the kernel's
/// value m·PHASES + s − r.
pub(super) fn correlate(x: &Tensor, kernel: &Tensor) -> Result<Tensor, TchError> {
    let (&[rows, n], &[_, k]) = (&*x.size(), &*kernel.size()) else {
        return Err(TchError::Shape(
            "expected rows and a kernel of one row".into(),
        ));
    };
    let out = n - k + 1;
    let taps = (k + PHASES - 2) / PHASES + 1;
    let places = (out + PHASES - 1) / PHASES;
    // Values past the end meet only zeros of the kernel, or results that are cut off.
    let values = (places - 1 + taps) * PHASES;
    let x = match n < values {
        true => x.f_constant_pad_nd([0, values - n])?,
        false => x.f_narrow(1, 0, values)?,
    };
    let x = x
        .f_reshape([rows, places - 1 + taps, PHASES])?
        .f_transpose(1, 2)?;
    let padded = kernel
        .f_reshape([k])?
        .f_constant_pad_nd([PHASES - 1, taps * PHASES - k])?;
    // The kernel is reversed in r, so that all strides are positive.
    let weights = padded.f_as_strided([PHASES, PHASES, taps], [1, 1, PHASES], 0)?;
    let y = x.f_conv1d(&weights, None::<&Tensor>, [1], [0], [1], 1)?;
    let y = y.f_flip([1])?.f_transpose(1, 2)?;
    y.f_reshape([rows, places * PHASES])?.f_narrow(1, 0, out)
}

/// The transpose of [`correlate`]: `[rows, n]` becomes `[rows, n + k − 1]`.
pub(super) fn spread(x: &Tensor, kernel: &Tensor) -> Result<Tensor, TchError> {
    let k = kernel.numel() as i64;
    correlate(&x.f_constant_pad_nd([k - 1, k - 1])?, &kernel.f_flip([1])?)
}

impl Filters {
    /// The filters between the networks `full` and `sub`, which have one architecture. The kind of
    /// each tensor follows from its two shapes: a dimension that does not change (image channels,
    /// class scores) is kept.
    pub fn new(way: Way, full: &Model, sub: &Model) -> Self {
        let entries = full.layout().entries().iter().zip(sub.layout().entries());
        let filters = entries.map(|(full, sub)| {
            let dims = |shape: &[usize]| shape.iter().map(|&n| n as i64).collect::<Vec<i64>>();
            let (full, sub) = (dims(&full.shape), dims(&sub.shape));
            let along = |d: usize| full[d] - sub[d] + 1;
            Filter {
                positions: match full.len() {
                    4 => full[2] * full[3],
                    _ => 1,
                },
                kernel: match full.len() {
                    1 => [1, along(0)],
                    2 | 4 => [along(0), along(1)],
                    // The values of a unit are not filtered among each other.
                    _ => [along(0), 1],
                },
                residual: full.len() == 4,
                full,
                sub,
            }
        });
        Self {
            way,
            filters: filters.collect(),
        }
    }

    /// The number of learned numbers.
    pub fn parameters(&self) -> usize {
        let sizes = self.filters.iter().flat_map(Filter::shapes);
        sizes
            .map(|shape| shape.iter().product::<i64>() as usize)
            .sum()
    }

    /// The size of the kernel of each tensor.
    #[cfg(test)]
    pub fn kernels(&self) -> Vec<[i64; 2]> {
        self.filters.iter().map(|filter| filter.kernel).collect()
    }

    /// The operations of one application and its reverse pass.
    pub fn flops(&self) -> u64 {
        3 * self.filters.iter().map(Filter::flops).sum::<u64>()
    }

    /// The initial learned numbers.
    pub fn begin(&self, init: FilterInit, rng: &mut Stream) -> Vec<f32> {
        let mut all = Vec::with_capacity(self.parameters());
        for filter in &self.filters {
            let positions = filter.positions as usize;
            let size = (filter.kernel[0] * filter.kernel[1]) as usize;
            match init {
                FilterInit::Delta => {
                    for _ in 0..positions {
                        all.push(1.0);
                        all.extend(std::iter::repeat_n(0.0, size - 1));
                    }
                    all.extend(std::iter::repeat_n(1.0, positions));
                    let scale = if filter.residual { 0.0 } else { 1.0 };
                    all.extend(std::iter::repeat_n(scale, positions));
                    all.extend(std::iter::repeat_n(0.0, positions));
                }
                FilterInit::Random => {
                    let mut uniform = |bound: f64| ((2.0 * unit(rng) - 1.0) * bound) as f32;
                    let bound = 1.0 / (size as f64).sqrt();
                    for _ in 0..positions {
                        let at = all.len();
                        all.extend((0..size).map(|_| uniform(bound)));
                        let squares = all[at..].iter().map(|v| f64::from(*v).powi(2));
                        let norm = squares.sum::<f64>().sqrt();
                        // A kernel of zeros has no direction.
                        if norm == 0.0 {
                            all[at] = f32::MIN_POSITIVE;
                        }
                    }
                    // With weight normalisation, the initial kernel is the one that was drawn.
                    let kernels = all.len() - positions * size;
                    for position in 0..positions {
                        let at = kernels + position * size;
                        let squares = all[at..at + size].iter().map(|v| f64::from(*v).powi(2));
                        let norm = squares.sum::<f64>().sqrt();
                        all.push(norm as f32);
                    }
                    // The projections are 1×1, so their bound is 1.
                    all.extend((0..2 * positions).map(|_| uniform(1.0)));
                }
            }
        }
        all
    }

    /// The learned numbers as tensors.
    ///
    /// # Errors
    /// When there are fewer or more numbers than the bank has.
    pub fn tensors(&self, learned: &[f32], device: Device) -> Result<Vec<Tensor>, TchError> {
        let mut rest = learned;
        let mut all = Vec::new();
        for shape in self.filters.iter().flat_map(Filter::shapes) {
            let n = shape.iter().product::<i64>() as usize;
            let Some((own, after)) = rest.split_at_checked(n) else {
                return Err(TchError::Shape(format!(
                    "a bank of {} numbers was given {}",
                    self.parameters(),
                    learned.len()
                )));
            };
            rest = after;
            let tensor = Tensor::f_from_slice(own)?.f_to_device(device)?;
            all.push(tensor.f_view(shape.as_slice())?);
        }
        Ok(all)
    }

    /// The parameters of the network on the other side of the bank: those of the sub-model from the
    /// full ones, or the full ones from those of the sub-model.
    ///
    /// # Errors
    /// When `params` do not belong to the side that this bank reads.
    pub fn apply(
        &self,
        params: &[Tensor],
        learned: &[Tensor],
        activation: Activation,
    ) -> Result<Vec<Tensor>, TchError> {
        let filters = self.filters.iter().zip(params).zip(learned.chunks(TENSORS));
        filters
            .map(|((filter, x), own)| filter.apply(self.way, x, own, activation))
            .collect()
    }
}
