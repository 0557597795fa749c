//! Mutable parameters: unique while they are written, frozen without a copy when they are done.

use super::layout::Layouts;
use super::params::{check, of_length};
use super::views::{read, write_apart};
use super::wide::wide;
use super::{Layout, ParamError, ParamSet, ViewError};
use crate::snapshot::{load_floats, Damaged, Reader, Snapshot, Writer};
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::sync::Arc;
use tch::{Device, Kind, TchError, Tensor};

/// How many vectors a sum reads side by side: what another core has written comes in slowly, and
/// several streams at once hide it.
const SIDE_BY_SIDE: usize = 4;

wide! {
    /// Adds up to [`SIDE_BY_SIDE`] weighted terms to a sum, in their order.
    fn add_side_by_side(sum: &mut [f32], terms: &[(f32, &[f32])]) {
        match *terms {
            [a, b, c, d] => add(sum, [a, b, c, d]),
            _ => {
                for term in terms {
                    add(sum, [*term]);
                }
            }
        }
    }
}

#[inline(always)]
fn add<const N: usize>(sum: &mut [f32], terms: [(f32, &[f32]); N]) {
    let n = sum.len();
    let mut of_length = terms;
    for (_, values) in &mut of_length {
        *values = &values[..n];
    }
    for i in 0..n {
        for (weight, values) in &of_length {
            sum[i] += weight * values[i];
        }
    }
}

/// A flat parameter vector under construction. It cannot be cloned: whoever holds it may write.
///
/// That holds for its memory, too: `flat` is the only handle to it that outlives a borrow of the
/// buffer. Those that torch's operations make on the way (`flat_mut`, the views of a `Viewed`) are
/// dropped by the function that made them.
#[derive(Debug)]
pub struct Buffer {
    layout: Arc<Layout>,
    flat: Tensor,
}

impl Buffer {
    /// Gives the values at `ranges` one value.
    ///
    /// # Errors
    /// What torch says.
    pub fn fill_at(&mut self, ranges: &[Range<usize>], value: f32) -> Result<(), ParamError> {
        if self.device() == Device::Cpu {
            let values = self.as_mut_slice()?;
            for range in ranges {
                values[range.clone()].fill(value);
            }
            return Ok(());
        }
        let _guard = tch::no_grad_guard();
        for range in ranges {
            let mut part = part(&self.flat, range)?;
            let _ = part.f_fill_(f64::from(value))?;
        }
        Ok(())
    }

    /// Takes the values at `ranges` from `from`, a set on the same device.
    ///
    /// # Errors
    /// When the layouts differ, or what torch says.
    pub fn put_back(&mut self, ranges: &[Range<usize>], from: &ParamSet) -> Result<(), ParamError> {
        check(&self.layout, from.layout())?;
        if self.device() == Device::Cpu {
            let (values, wanted) = (self.as_mut_slice()?, from.as_slice()?);
            for range in ranges {
                values[range.clone()].copy_from_slice(&wanted[range.clone()]);
            }
            return Ok(());
        }
        let _guard = tch::no_grad_guard();
        for range in ranges {
            let mut target = part(&self.flat, range)?;
            target.f_copy_(&part(from.flat(), range)?)?;
        }
        Ok(())
    }
}

/// A view of some consecutive values of a flat tensor.
fn part(flat: &Tensor, range: &Range<usize>) -> Result<Tensor, TchError> {
    flat.f_narrow(0, range.start as i64, range.len() as i64)
}

/// One view per entry of a layout into a vector that is borrowed for as long.
#[derive(Debug)]
pub(crate) struct Views<'a> {
    tensors: Vec<Tensor>,
    of: PhantomData<&'a Tensor>,
}

impl<'a> Views<'a> {
    pub(super) fn of(layout: &Layout, flat: &'a Tensor) -> Result<Self, ParamError> {
        Ok(Self {
            tensors: views(layout, flat)?,
            of: PhantomData,
        })
    }
}

impl Deref for Views<'_> {
    type Target = [Tensor];

    fn deref(&self) -> &[Tensor] {
        &self.tensors
    }
}

/// A buffer with one view per entry of its layout, made once for many steps: it lends either the
/// vector or the views, never both to be written.
#[derive(Debug)]
pub(crate) struct Viewed {
    views: Vec<Tensor>,
    flat: Buffer,
}

impl Viewed {
    /// # Errors
    /// What torch says.
    pub fn new(flat: Buffer) -> Result<Self, ParamError> {
        Ok(Self {
            views: views(&flat.layout, &flat.flat)?,
            flat,
        })
    }

    /// The vector.
    pub const fn flat(&self) -> &Buffer {
        &self.flat
    }

    /// The vector, to write.
    pub fn flat_mut(&mut self) -> &mut Buffer {
        &mut self.flat
    }

    /// One tensor per entry, to read.
    pub fn views(&self) -> &[Tensor] {
        &self.views
    }

    /// One tensor per entry, to write.
    pub fn views_mut(&mut self) -> &mut [Tensor] {
        &mut self.views
    }

    /// The vector alone: its views are gone.
    pub fn into_flat(self) -> Buffer {
        self.flat
    }
}

/// One view per entry of `layout` into `flat`.
fn views(layout: &Layout, flat: &Tensor) -> Result<Vec<Tensor>, ParamError> {
    layout
        .entries()
        .iter()
        .map(|e| {
            let part = flat.f_narrow(0, e.offset as i64, e.len as i64)?;
            Ok(part.f_view(e.dims().as_slice())?)
        })
        .collect()
}

/// As a [`ParamSet`] of these values.
impl Snapshot for Buffer {
    fn save(&self, to: &mut Writer) {
        Layouts::save(&self.layout, to);
        match self.as_slice() {
            Ok(values) => f32::save_all(values, to),
            Err(error) => to.fail(error.to_string()),
        }
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let layout = Layouts::load(from)?;
        if layout.bytes().0 > from.left() {
            return Err(Damaged::new("it ends too early"));
        }
        let refused = |error: ParamError| Damaged::new(error.to_string());
        let mut buffer = Self::unwritten(layout, Device::Cpu).map_err(refused)?;
        load_floats(buffer.as_mut_slice().map_err(refused)?, from)?;
        Ok(buffer)
    }
}

impl Buffer {
    /// All zeros.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn zeros(layout: Arc<Layout>, device: Device) -> Result<Self, ParamError> {
        let flat = Tensor::f_zeros([layout.total() as i64], (Kind::Float, device))?;
        Ok(Self { layout, flat })
    }

    /// Whatever the memory holds, for a caller that writes every value before it reads any.
    pub(crate) fn unwritten(layout: Arc<Layout>, device: Device) -> Result<Self, ParamError> {
        let flat = Tensor::f_empty([layout.total() as i64], (Kind::Float, device))?;
        Ok(Self { layout, flat })
    }

    /// All zeros, with the layout and on the device of `set`.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn zeros_like(set: &ParamSet) -> Result<Self, ParamError> {
        Self::zeros(set.layout().clone(), set.device())
    }

    /// A mutable copy of `set`, in one pass.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn copy_of(set: &ParamSet) -> Result<Self, ParamError> {
        let mut flat = Tensor::f_empty([set.len() as i64], (Kind::Float, set.device()))?;
        flat.f_copy_(set.flat())?;
        Ok(Self {
            layout: set.layout().clone(),
            flat,
        })
    }

    /// Takes over a flat, contiguous float tensor of `layout.total()` elements that nobody else holds.
    pub(super) fn from_parts(layout: Arc<Layout>, flat: Tensor) -> Self {
        Self { layout, flat }
    }

    /// Gives up the right to write; nothing is copied.
    pub fn freeze(self) -> ParamSet {
        ParamSet::from_parts(self.layout, self.flat)
    }

    /// Where each tensor lies.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The host device that holds the values.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// The flat vector itself, for torch's operations; no handle to it may be kept.
    pub(crate) fn flat_mut(&mut self) -> &mut Tensor {
        &mut self.flat
    }

    /// The values, in the order of the layout.
    ///
    /// # Errors
    /// When they are not on the CPU.
    pub fn as_slice(&self) -> Result<&[f32], ParamError> {
        // SAFETY: the buffer is borrowed, and whoever writes to its memory borrows it to write.
        of_length(unsafe { read(&self.flat) }?, self.layout.total())
    }

    /// The values to write, in the order of the layout.
    ///
    /// # Errors
    /// When they are not on the CPU.
    pub fn as_mut_slice(&mut self) -> Result<&mut [f32], ParamError> {
        let expected = self.layout.total();
        // SAFETY: the buffer is borrowed to write, and nobody reaches its memory without borrowing
        // it: its handle is the only one (see `Buffer`), which no `ParamSet` shares.
        let (values, []) = unsafe { write_apart(&mut self.flat, []) }?;
        match values.len() {
            found if found == expected => Ok(values),
            found => Err(ViewError::Length { expected, found }.into()),
        }
    }

    /// Takes the values of `set`.
    ///
    /// # Errors
    /// When the layouts differ.
    pub fn copy_from(&mut self, set: &ParamSet) -> Result<(), ParamError> {
        check(&self.layout, set.layout())?;
        self.flat.f_copy_(set.flat())?;
        Ok(())
    }

    /// All zeros again.
    ///
    /// # Errors
    /// What torch says.
    pub fn clear(&mut self) -> Result<(), ParamError> {
        let _ = self.flat.f_zero_()?;
        Ok(())
    }

    /// Adds `weight · set`: one step of a streaming weighted sum.
    ///
    /// # Errors
    /// When the layouts or devices differ.
    pub fn add_scaled(&mut self, weight: f32, set: &ParamSet) -> Result<(), ParamError> {
        if self.device() == Device::Cpu {
            return Self::elementwise([self], [set], |[a], [x]| [a + weight * x]);
        }
        check(&self.layout, set.layout())?;
        let scaled = set.flat().f_mul_scalar(f64::from(weight))?;
        let _ = self.flat.f_add_(&scaled)?;
        Ok(())
    }

    /// Adds `weight · set` for each, in their order: the bits of as many calls of
    /// [`Self::add_scaled`], in one pass over these values.
    ///
    /// # Errors
    /// When a layout or a device differs; nothing is added then.
    pub fn add_all(&mut self, terms: &[(f32, ParamSet)]) -> Result<(), ParamError> {
        if self.device() != Device::Cpu {
            return terms
                .iter()
                .try_for_each(|(weight, set)| self.add_scaled(*weight, set));
        }
        let mut slices = Vec::with_capacity(terms.len());
        for (weight, set) in terms {
            check(&self.layout, set.layout())?;
            slices.push((*weight, set.as_slice()?));
        }
        let sum = self.as_mut_slice()?;
        for terms in slices.chunks(SIDE_BY_SIDE) {
            add_side_by_side(sum, terms);
        }
        Ok(())
    }

    /// Subtracts `set`.
    ///
    /// # Errors
    /// When the layouts or devices differ.
    pub fn sub(&mut self, set: &ParamSet) -> Result<(), ParamError> {
        if self.device() == Device::Cpu {
            return Self::elementwise([self], [set], |[a], [x]| [a - x]);
        }
        check(&self.layout, set.layout())?;
        let _ = self.flat.f_sub_(set.flat())?;
        Ok(())
    }

    /// Multiplies every value by `factor`.
    ///
    /// # Errors
    /// What torch says.
    pub fn scale(&mut self, factor: f32) -> Result<(), ParamError> {
        if self.device() == Device::Cpu {
            return Self::elementwise([self], [], |[a], []| [a * factor]);
        }
        let _ = self.flat.f_mul_scalar_(f64::from(factor))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LayerSpec, Model};

    fn layout(outputs: usize) -> Arc<Layout> {
        Model::build(&[LayerSpec::dense(outputs)], &[2], outputs)
            .unwrap()
            .layout()
            .clone()
    }

    fn set(values: &[f32]) -> ParamSet {
        ParamSet::from_slice(&layout(2), values).unwrap()
    }

    #[test]
    fn freezing_copies_nothing() {
        let buffer = Buffer::zeros(layout(2), Device::Cpu).unwrap();
        let before = buffer.as_slice().unwrap().as_ptr();
        assert_eq!(buffer.freeze().as_slice().unwrap().as_ptr(), before);
    }

    #[test]
    fn a_copy_does_not_share_with_its_source() {
        let source = set(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut copy = Buffer::copy_of(&source).unwrap();
        copy.scale(0.0).unwrap();
        assert_eq!(source.as_slice().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(copy.as_slice().unwrap(), [0.0; 6]);
    }

    #[test]
    fn a_weighted_sum_is_the_sum_of_its_weighted_terms() {
        let (a, b) = (
            set(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            set(&[-2.0, 0.0, 8.0, 0.5, 1.0, 1.0]),
        );
        let mut sum = Buffer::zeros_like(&a).unwrap();
        sum.add_scaled(0.25, &a).unwrap();
        sum.add_scaled(0.75, &b).unwrap();
        assert_eq!(
            sum.as_slice().unwrap(),
            [-1.25, 0.5, 6.75, 1.375, 2.0, 2.25]
        );
        sum.sub(&a).unwrap();
        assert_eq!(
            sum.as_slice().unwrap(),
            [-2.25, -1.5, 3.75, -2.625, -3.0, -3.75]
        );
        sum.copy_from(&b).unwrap();
        assert_eq!(sum.as_slice().unwrap(), b.as_slice().unwrap());
        sum.clear().unwrap();
        assert_eq!(sum.as_slice().unwrap(), [0.0; 6]);
    }

    #[test]
    fn many_terms_added_at_once_give_the_bits_of_one_after_the_other() {
        let model = Model::build(&[LayerSpec::dense(50)], &[100], 50).unwrap();
        let layout = model.layout();
        let set = |salt: usize| {
            let values = (0..layout.total()).map(|i| ((i * 37 + salt * 91) % 997) as f32 / 99.7);
            ParamSet::from_slice(layout, &values.collect::<Vec<_>>()).unwrap()
        };
        let terms: Vec<_> = (1..=5).map(|k| (0.1 * k as f32, set(k))).collect();
        let mut one = Buffer::copy_of(&set(9)).unwrap();
        let mut all = Buffer::copy_of(&set(9)).unwrap();
        for (weight, set) in &terms {
            one.add_scaled(*weight, set).unwrap();
        }
        all.add_all(&terms).unwrap();
        assert_eq!(one.as_slice().unwrap(), all.as_slice().unwrap());
    }

    #[test]
    fn parameters_of_another_network_are_refused() {
        let other = ParamSet::from_slice(&layout(3), &[0.0; 9]).unwrap();
        let mut buffer = Buffer::zeros(layout(2), Device::Cpu).unwrap();
        let message = "parameters of different layouts: expected 2 tensors with 6 values, got 2 tensors with 9 values; \
                       both must come from the same model";
        assert_eq!(
            buffer.add_scaled(1.0, &other).unwrap_err().to_string(),
            message
        );
        let terms = [(1.0, set(&[1.0; 6])), (1.0, other.clone())];
        assert_eq!(buffer.add_all(&terms).unwrap_err().to_string(), message);
        assert_eq!(buffer.as_slice().unwrap(), [0.0; 6]);
        assert_eq!(buffer.sub(&other).unwrap_err().to_string(), message);
        assert_eq!(buffer.copy_from(&other).unwrap_err().to_string(), message);
    }
}
