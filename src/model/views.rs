//! The values of a tensor as a slice: the one place where memory of torch's is lent as Rust's.
//!
//! A tensor is a handle. `shallow_clone`, `detach`, `narrow` and `view` make others to the same memory,
//! of which no borrow of the one at hand knows, and torch writes through any of them. So there are two
//! ways in. [`Fresh`] is safe: a tensor that is made here and whose only handle stays here until it is
//! written. [`read`] and [`write_apart`] are not: who calls them promises that nobody else writes
//! meanwhile. All of them look at what the tensor is first; one without values, whose address torch
//! says is null, is an empty slice.

use std::ptr::NonNull;
use tch::{Device, Kind, TchError, Tensor};
use thiserror::Error;

/// Why the values of a tensor cannot be lent as a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ViewError {
    /// It has no values, or not of single precision.
    #[error("expected a tensor of single-precision numbers, got {}", kind(.0))]
    Kind(
        /// What they are; nothing where the tensor is undefined.
        Option<Kind>,
    ),
    /// The values lie on another device.
    #[error("expected a tensor on the CPU, got one on {0:?}; move it there first (`to_device`)")]
    Device(
        /// Where they are.
        Device,
    ),
    /// The values do not lie one behind the other.
    #[error("expected a tensor whose values lie one behind the other, got one with gaps or another order; copy it first (`contiguous`)")]
    Scattered,
    /// The values are at an address where no such value may be.
    #[error("expected values at a multiple of four, got an address that is none")]
    Address,
    /// There are more or fewer values than there must be.
    #[error("expected {expected} values, got {found}")]
    Length {
        /// Values there must be.
        expected: usize,
        /// Values there are.
        found: usize,
    },
    /// What is written is also what is read.
    #[error(
        "expected a result with memory of its own, got one that lies in what it is computed from"
    )]
    Overlap,
}

fn kind(kind: &Option<Kind>) -> String {
    kind.map_or_else(|| "an undefined one".into(), |kind| format!("{kind:?}"))
}

impl From<ViewError> for TchError {
    fn from(error: ViewError) -> Self {
        Self::Shape(error.to_string())
    }
}

/// Where the values of a contiguous float tensor on the CPU lie, and how many there are.
fn place(tensor: &Tensor) -> Result<(NonNull<f32>, usize), ViewError> {
    // Asked first: an undefined tensor has no device, and torch panics where it is asked for one.
    match tensor.f_kind() {
        Ok(Kind::Float) => {}
        other => return Err(ViewError::Kind(other.ok())),
    }
    let device = tensor.device();
    if device != Device::Cpu {
        return Err(ViewError::Device(device));
    }
    if !tensor.is_contiguous() {
        return Err(ViewError::Scattered);
    }
    let len = tensor.numel();
    if len == 0 {
        return Ok((NonNull::dangling(), 0));
    }
    match NonNull::new(tensor.data_ptr().cast::<f32>()) {
        Some(first) if first.is_aligned() => Ok((first, len)),
        _ => Err(ViewError::Address),
    }
}

/// The values of a tensor, to read.
///
/// # Errors
/// When it is not a contiguous float tensor on the CPU.
///
/// # Safety
/// While the slice lives nobody writes to these values, through whichever handle and on whichever
/// thread, and the memory stays if it is not torch's own.
pub(crate) unsafe fn read(tensor: &Tensor) -> Result<&[f32], ViewError> {
    let (first, len) = place(tensor)?;
    // SAFETY: `len` floats of one allocation begin at `first`, or there are none and it is dangling;
    // the tensor is borrowed for as long as the slice and keeps its memory; that nobody writes is the
    // caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(first.as_ptr(), len) })
}

/// The values of `target`, to write, and those of `sources`, to read; no source may lie in the target.
///
/// # Errors
/// When one of them is not a contiguous float tensor on the CPU, or the target overlaps a source.
///
/// # Safety
/// While the slices live nobody else writes to any of these values or reads those of the target,
/// through whichever handle and on whichever thread, and the memory stays if it is not torch's own.
pub(crate) unsafe fn write_apart<'a, const N: usize>(
    target: &'a mut Tensor,
    sources: [&'a Tensor; N],
) -> Result<(&'a mut [f32], [&'a [f32]; N]), ViewError> {
    let (first, len) = place(target)?;
    let end = |first: NonNull<f32>, len: usize| first.addr().get() + len * size_of::<f32>();
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, source) in slices.iter_mut().zip(sources) {
        let (from, count) = place(source)?;
        if len > 0
            && count > 0
            && from.addr().get() < end(first, len)
            && first.addr().get() < end(from, count)
        {
            return Err(ViewError::Overlap);
        }
        // SAFETY: as for `read`; the values written are others.
        *slice = unsafe { std::slice::from_raw_parts(from.as_ptr(), count) };
    }
    // SAFETY: as for `read`, and no other slice has any of these values.
    let written = unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), len) };
    Ok((written, slices))
}

/// A contiguous float tensor on the CPU that was just made: its only handle is in here.
#[derive(Debug)]
pub(crate) struct Fresh(Tensor);

impl Fresh {
    /// Whatever the memory holds, for a caller that writes every value before it reads any.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn unwritten(shape: &[i64]) -> Result<Self, TchError> {
        Tensor::f_empty(shape, (Kind::Float, Device::Cpu)).map(Self)
    }

    /// All ones.
    ///
    /// # Errors
    /// When the memory cannot be had.
    pub fn ones(shape: &[i64]) -> Result<Self, TchError> {
        Tensor::f_ones(shape, (Kind::Float, Device::Cpu)).map(Self)
    }

    /// The values, in row-major order.
    ///
    /// # Errors
    /// None that torch is known to cause.
    pub fn values(&mut self) -> Result<&mut [f32], ViewError> {
        let (first, len) = place(&self.0)?;
        // SAFETY: `len` floats of one allocation begin at `first`, or there are none and it is
        // dangling. The memory is torch's and was made for this tensor, whose only handle is borrowed
        // for as long as the slice: nobody else can reach it. It comes from the C++ allocator, of
        // which the compiler knows nothing: whatever it holds is some float.
        Ok(unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), len) })
    }

    /// The tensor, for all to see.
    pub fn into_tensor(self) -> Tensor {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a tensor that nobody else has.
    fn values(tensor: &Tensor) -> Result<Vec<f32>, ViewError> {
        // SAFETY: the tests' tensors are written by nobody while they are read.
        unsafe { read(tensor) }.map(<[f32]>::to_vec)
    }

    #[test]
    fn a_tensor_without_values_is_an_empty_slice_and_not_one_at_address_zero() {
        for shape in [&[0i64][..], &[0, 3], &[4, 0, 2]] {
            let empty = Tensor::zeros(shape, (Kind::Float, Device::Cpu));
            // SAFETY: nobody has this tensor but this test.
            let slice = unsafe { read(&empty) }.unwrap();
            assert!(empty.data_ptr().is_null(), "as torch has it");
            assert!(slice.is_empty() && slice.as_ptr().addr() != 0);
            let mut fresh = Fresh::unwritten(shape).unwrap();
            let slice = fresh.values().unwrap();
            assert!(slice.is_empty() && slice.as_ptr().addr() != 0);
            slice.fill(1.0);
            assert_eq!(fresh.into_tensor().size(), shape);
        }
    }

    #[test]
    fn what_is_written_into_a_fresh_tensor_is_what_torch_reads() {
        let mut fresh = Fresh::unwritten(&[2, 3]).unwrap();
        let target = fresh.values().unwrap();
        target.copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let tensor = fresh.into_tensor();
        assert_eq!(tensor.double_value(&[1, 0]), 4.0);
        assert_eq!(values(&tensor.get(1)).unwrap(), [4.0, 5.0, 6.0]);
        assert_eq!(Fresh::ones(&[2]).unwrap().values().unwrap(), [1.0, 1.0]);
    }

    #[test]
    fn a_tensor_that_is_no_slice_of_floats_on_the_cpu_is_refused_and_says_why() {
        let two = Tensor::from_slice2(&[[1.0f32, 2.0], [3.0, 4.0]]);
        let refused = |tensor: &Tensor| values(tensor).unwrap_err();
        assert_eq!(refused(&Tensor::new()), ViewError::Kind(None));
        let doubles = two.to_kind(Kind::Double);
        assert_eq!(refused(&doubles), ViewError::Kind(Some(Kind::Double)));
        assert_eq!(refused(&two.tr()), ViewError::Scattered);
        assert_eq!(refused(&two.narrow(1, 0, 1)), ViewError::Scattered);
        assert_eq!(
            refused(&doubles).to_string(),
            "expected a tensor of single-precision numbers, got Double"
        );
    }

    #[test]
    fn values_at_an_address_that_no_float_may_have_are_refused() {
        let bytes = [0u64; 4];
        let odd = bytes.as_ptr().cast::<u8>().wrapping_add(1);
        // SAFETY: eight bytes from the second on are within the array, which outlives the tensor.
        let tensor = unsafe { Tensor::from_blob(odd, &[2], &[1], Kind::Float, Device::Cpu) };
        assert_eq!(values(&tensor), Err(ViewError::Address));
    }

    #[test]
    fn a_result_that_lies_in_what_it_is_computed_from_is_refused() {
        let mut whole = Tensor::zeros([6], (Kind::Float, Device::Cpu));
        let (mut left, right) = (whole.narrow(0, 0, 3), whole.narrow(0, 3, 3));
        let across = whole.narrow(0, 2, 2);
        // SAFETY: the slices are gone before anything else touches the tensors.
        let (target, [source]) = unsafe { write_apart(&mut left, [&right]) }.unwrap();
        target.fill(7.0);
        assert_eq!(source, [0.0; 3]);
        // SAFETY: as above.
        let refused = unsafe { write_apart(&mut left, [&right, &across]) };
        assert_eq!(refused.unwrap_err(), ViewError::Overlap);
        // SAFETY: as above.
        let refused = unsafe { write_apart(&mut whole, [&right]) };
        assert_eq!(refused.unwrap_err(), ViewError::Overlap);
        let none = whole.narrow(0, 4, 0);
        // SAFETY: as above.
        assert!(unsafe { write_apart(&mut whole, [&none]) }.is_ok());
    }
}
