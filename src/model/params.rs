//! Frozen parameters: shared by reference, never copied, never written again.

use super::digest::xxh3;
use super::layout::Layouts;
use super::spill::Region;
use super::views::read;
use super::wide::wide;
use super::{Buffer, Layout, ParamError, ViewError, Views};
use crate::quantity::Bytes;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::{Arc, OnceLock};
use tch::{Device, Kind, Tensor};

/// All parameters of one network at one moment: a flat vector of single-precision floats.
///
/// A clone is a reference: a broadcast to any number of clients holds one vector.
#[derive(Clone)]
pub struct ParamSet(Arc<Inner>);

struct Inner {
    layout: Arc<Layout>,
    flat: Tensor,
    digest: OnceLock<u64>,
    largest: OnceLock<f32>,
    /// What `flat` points into, where that is not memory of torch's own; dropped after it.
    region: Option<Region>,
}

// SAFETY: a tensor may move between threads (torch's reference counts are atomic); what makes it
// unfit to share is that anyone could write to it. `flat` is reached only through `ParamSet`, which
// was given the sole handle by `Buffer::freeze` (or a tensor of its own), never writes to it, and
// lends it as `&[f32]` or as views that this crate only reads and drops before it lets go of the
// set. Concurrent reads are sound, and the last holder may take the tensor back to write.
unsafe impl Sync for Inner {}

impl std::fmt::Debug for ParamSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "ParamSet({} on {:?})",
            self.0.layout.describe(),
            self.device()
        )
    }
}

impl ParamSet {
    /// Takes over a flat, contiguous float tensor of `layout.total()` elements that nobody else holds.
    pub(super) fn from_parts(layout: Arc<Layout>, flat: Tensor) -> Self {
        Self(Arc::new(Inner {
            layout,
            flat,
            digest: OnceLock::new(),
            largest: OnceLock::new(),
            region: None,
        }))
    }

    /// These values where `region` has a copy of them.
    pub(super) fn mapped_at(&self, region: Region) -> Result<Self, ParamError> {
        let (expected, found) = (self.len(), region.bytes().len() / size_of::<f32>());
        if expected != found {
            return Err(ViewError::Length { expected, found }.into());
        }
        let (first, shape) = (region.bytes().as_ptr(), [expected as i64]);
        // SAFETY: the region holds as many floats, begins at a page and is dropped after the tensor,
        // which nothing writes to: a frozen set never is, and `into_buffer` copies a mapped one.
        let flat = unsafe { Tensor::f_from_blob(first, &shape, &[1], Kind::Float, Device::Cpu) }?;
        Ok(Self(Arc::new(Inner {
            layout: Arc::clone(&self.0.layout),
            flat,
            digest: self.0.digest.clone(),
            largest: self.0.largest.clone(),
            region: Some(region),
        })))
    }

    /// Whether the values lie in a mapped file.
    pub(super) fn is_mapped(&self) -> bool {
        self.0.region.is_some()
    }

    /// Whether the values lie in host memory.
    pub(super) fn is_on_host(&self) -> bool {
        self.device() == Device::Cpu
    }

    /// Parameters with the given values, in the order of the layout.
    ///
    /// # Errors
    /// When there are not `layout.total()` values, or no memory for them.
    pub fn from_slice(layout: &Arc<Layout>, values: &[f32]) -> Result<Self, ParamError> {
        let mut buffer = Buffer::zeros(layout.clone(), Device::Cpu)?;
        let target = buffer.as_mut_slice()?;
        if target.len() != values.len() {
            return Err(ParamError::Length {
                expected: target.len(),
                found: values.len(),
            });
        }
        target.copy_from_slice(values);
        Ok(buffer.freeze())
    }

    /// These values, to write: the same memory if nobody else holds them, a copy otherwise.
    ///
    /// # Errors
    /// When the memory for a copy cannot be had.
    pub fn into_buffer(self) -> Result<Buffer, ParamError> {
        match Arc::try_unwrap(self.0) {
            Ok(inner) if inner.region.is_some() => Buffer::copy_of(&Self(Arc::new(inner))),
            Ok(inner) => Ok(Buffer::from_parts(inner.layout, inner.flat)),
            Err(shared) => Buffer::copy_of(&Self(shared)),
        }
    }

    /// Where each tensor lies.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.0.layout
    }

    /// Whether these are parameters of `layout`.
    ///
    /// # Errors
    /// When they are not: what was expected and what they are.
    pub fn has_layout(&self, layout: &Arc<Layout>) -> Result<(), ParamError> {
        check(layout, &self.0.layout)
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.0.layout.total()
    }

    /// Whether the network has no parameters.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the values take in memory: four bytes each.
    pub fn bytes(&self) -> Bytes {
        self.0.layout.bytes()
    }

    /// What the values take on the wire, uncompressed: four bytes each. Statistics that are queried do
    /// not travel ([`Layout::queried`]).
    pub fn wire_bytes(&self) -> Bytes {
        self.0.layout.wire_bytes()
    }

    /// The host device that holds the values.
    pub fn device(&self) -> Device {
        self.0.flat.device()
    }

    /// Whether two handles share one vector.
    pub fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The values, in the order of the layout.
    ///
    /// # Errors
    /// When they are not on the CPU.
    pub fn as_slice(&self) -> Result<&[f32], ParamError> {
        // SAFETY: nobody writes to a set once it is frozen (see `Sync` above), and a region that the
        // values lie in is held by `self`.
        of_length(unsafe { read(&self.0.flat) }?, self.len())
    }

    /// One view per layout entry, sharing the values; for reading only.
    ///
    /// # Errors
    /// What torch says.
    pub(crate) fn views(&self) -> Result<Views<'_>, ParamError> {
        Views::of(&self.0.layout, &self.0.flat)
    }

    /// The flat vector itself; for reading only.
    pub(crate) fn flat(&self) -> &Tensor {
        &self.0.flat
    }

    /// These values on `device`; the same vector if they are there already.
    ///
    /// # Errors
    /// What torch says, e.g. that the device is out of memory.
    pub fn to_device(&self, device: Device) -> Result<Self, ParamError> {
        if device == self.device() {
            return Ok(self.clone());
        }
        let flat = self.0.flat.f_to_device(device)?;
        Ok(Self::from_parts(self.0.layout.clone(), flat))
    }

    /// XXH3 of the values' bytes (little-endian), computed once.
    ///
    /// # Errors
    /// When values on another device cannot be brought to the CPU.
    pub fn digest(&self) -> Result<u64, ParamError> {
        if let Some(&digest) = self.0.digest.get() {
            return Ok(digest);
        }
        let here = self.to_device(Device::Cpu)?;
        let digest = digest(here.as_slice()?);
        Ok(*self.0.digest.get_or_init(|| digest))
    }

    /// Whether every value is finite.
    ///
    /// # Errors
    /// What torch says, for values on another device.
    pub fn is_finite(&self) -> Result<bool, ParamError> {
        Ok(self.largest()?.is_finite())
    }

    /// The largest magnitude, NaN if a value is; found out once.
    ///
    /// # Errors
    /// What torch says, for values on another device.
    pub fn largest(&self) -> Result<f32, ParamError> {
        if let Some(&largest) = self.0.largest.get() {
            return Ok(largest);
        }
        let largest = if self.device() == Device::Cpu {
            let values = self.as_slice()?;
            largest(values)
        } else if self.is_empty() {
            0.0
        } else {
            // Torch's maximum is NaN where a value is.
            self.0.flat.f_abs()?.f_max()?.f_double_value(&[])? as f32
        };
        Ok(*self.0.largest.get_or_init(|| largest))
    }

    /// The first `values` of them, as a set that belongs to no network.
    ///
    /// # Errors
    /// When the values are not on the CPU, or memory ran out.
    pub fn cut(&self, values: usize) -> Result<Self, ParamError> {
        let kept = self.as_slice()?;
        let kept = kept.get(..values).unwrap_or(kept);
        Self::from_slice(&Arc::new(Layout::flat(kept.len())), kept)
    }

    /// Sum of squares, in double precision.
    ///
    /// # Errors
    /// When the values are not on the CPU.
    pub fn norm_squared(&self) -> Result<f64, ParamError> {
        let values = self.as_slice()?;
        Ok(super::elementwise::sum(values, values, |a, b| {
            f64::from(a) * f64::from(b)
        }))
    }

    /// Scalar product, in double precision.
    ///
    /// # Errors
    /// When the layouts differ or the values are not on the CPU.
    pub fn dot(&self, other: &Self) -> Result<f64, ParamError> {
        check(&self.0.layout, &other.0.layout)?;
        let (a, b) = (self.as_slice()?, other.as_slice()?);
        Ok(super::elementwise::sum(a, b, |a, b| {
            f64::from(a) * f64::from(b)
        }))
    }

    /// Squared Euclidean distance, in double precision.
    ///
    /// # Errors
    /// When the layouts differ or the values are not on the CPU.
    pub fn distance_squared(&self, other: &Self) -> Result<f64, ParamError> {
        check(&self.0.layout, &other.0.layout)?;
        let (a, b) = (self.as_slice()?, other.as_slice()?);
        Ok(super::elementwise::sum(a, b, |a, b| {
            let d = f64::from(a) - f64::from(b);
            d * d
        }))
    }
}

/// Written once however many hold it; what lies in a mapped file is its one holder's.
impl Snapshot for ParamSet {
    fn save(&self, to: &mut Writer) {
        to.tag(u8::from(self.is_mapped()));
        match self.is_mapped() {
            true => self.save_values(to),
            false => to.shared(&self.0, |to| self.save_values(to)),
        }
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        match bool::load(from)? {
            true => load_values(from),
            false => from.shared(load_values),
        }
    }
}

impl ParamSet {
    fn save_values(&self, to: &mut Writer) {
        Layouts::save(&self.0.layout, to);
        let here = self.to_device(Device::Cpu);
        let saved = here.and_then(|here| {
            f32::save_all(here.as_slice()?, to);
            Ok(())
        });
        if let Err(error) = saved {
            to.fail(error.to_string());
        }
    }
}

fn load_values(from: &mut Reader) -> Result<ParamSet, Damaged> {
    Ok(Buffer::load(from)?.freeze())
}

/// Whether two layouts are the same.
pub(super) fn check(expected: &Arc<Layout>, found: &Arc<Layout>) -> Result<(), ParamError> {
    if Arc::ptr_eq(expected, found) || expected == found {
        return Ok(());
    }
    Err(ParamError::Layout {
        expected: expected.describe(),
        found: found.describe(),
    })
}

wide! {
    /// The largest magnitude, NaN if a value is, without a branch per value.
    pub(crate) fn largest(values: &[f32]) -> f32 {
        // Without its sign, a float is the larger the larger its bits are, and NaN is above all.
        const MAGNITUDE: u32 = !(1 << 31);
        let chunks = values.chunks_exact(16);
        let mut tail = 0;
        for value in chunks.remainder() {
            tail = u32::max(tail, value.to_bits() & MAGNITUDE);
        }
        let mut lanes = [0u32; 16];
        for chunk in chunks {
            for (lane, value) in lanes.iter_mut().zip(chunk) {
                *lane = u32::max(*lane, value.to_bits() & MAGNITUDE);
            }
        }
        for lane in &lanes {
            tail = u32::max(tail, *lane);
        }
        f32::from_bits(tail)
    }
}

/// A slice of as many values as there must be.
pub(super) fn of_length(values: &[f32], expected: usize) -> Result<&[f32], ParamError> {
    match values.len() {
        found if found == expected => Ok(values),
        found => Err(ViewError::Length { expected, found }.into()),
    }
}

/// Floats as the bytes that they are in memory.
pub(super) fn bytes(values: &[f32]) -> &[u8] {
    // SAFETY: any float is four readable bytes, u8 needs no alignment, and the values are borrowed for
    // as long; a slice without values has an address, too.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), std::mem::size_of_val(values)) }
}

#[cfg(target_endian = "little")]
fn digest(values: &[f32]) -> u64 {
    xxh3(bytes(values))
}

#[cfg(target_endian = "big")]
fn digest(values: &[f32]) -> u64 {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    xxh3(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LayerSpec, Model};
    use proptest::prelude::*;

    fn layout() -> Arc<Layout> {
        Model::build(&[LayerSpec::dense(3)], &[4], 3)
            .unwrap()
            .layout()
            .clone()
    }

    #[test]
    fn a_clone_is_the_same_vector_and_its_wire_size_is_computed() {
        let set = ParamSet::from_slice(&layout(), &[0.5; 15]).unwrap();
        let clone = set.clone();
        assert!(set.same(&clone));
        assert_eq!(
            set.as_slice().unwrap().as_ptr(),
            clone.as_slice().unwrap().as_ptr()
        );
        assert_eq!(set.wire_bytes(), Bytes(60));
        assert_eq!(set.len(), 15);
    }

    #[test]
    fn the_last_holder_writes_in_place_and_others_are_never_written_under() {
        let set = ParamSet::from_slice(&layout(), &[0.5; 15]).unwrap();
        let (clone, place) = (set.clone(), set.as_slice().unwrap().as_ptr());
        let mut copy = set.into_buffer().unwrap();
        copy.scale(2.0).unwrap();
        assert_eq!(clone.as_slice().unwrap(), [0.5; 15]);
        assert_eq!(copy.as_slice().unwrap(), [1.0; 15]);
        let old = clone.digest().unwrap();
        let mut sole = clone.into_buffer().unwrap();
        assert_eq!(sole.as_slice().unwrap().as_ptr(), place);
        sole.scale(2.0).unwrap();
        assert_ne!(sole.freeze().digest().unwrap(), old);
    }

    #[test]
    fn views_have_the_shapes_of_the_layout_and_share_its_memory() {
        let values: Vec<f32> = (0..15).map(|i| i as f32).collect();
        let set = ParamSet::from_slice(&layout(), &values).unwrap();
        let views = set.views().unwrap();
        assert_eq!(views[0].size(), [3, 4]);
        assert_eq!(views[1].size(), [3]);
        assert_eq!(
            views[0].data_ptr().cast_const().cast(),
            set.as_slice().unwrap().as_ptr()
        );
        assert_eq!(views[1].double_value(&[2]), 14.0);
    }

    #[test]
    fn a_wrong_number_of_values_says_both_numbers() {
        let error = ParamSet::from_slice(&layout(), &[0.0; 14]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected 15 values for this layout, got 14"
        );
    }

    #[test]
    fn the_digest_is_that_of_the_little_endian_bytes() {
        let values: Vec<f32> = (0..15).map(|i| i as f32 * 0.37 - 2.0).collect();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let set = ParamSet::from_slice(&layout(), &values).unwrap();
        assert_eq!(set.digest().unwrap(), xxhash_rust::xxh3::xxh3_64(&bytes));
        assert_eq!(
            set.clone().digest().unwrap(),
            xxhash_rust::xxh3::xxh3_64(&bytes)
        );
    }

    #[test]
    fn parameter_sets_cross_threads() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<ParamSet>();
    }

    proptest! {
        #[test]
        fn one_value_that_is_not_finite_is_found_wherever_it_is(
            at in 0usize..15, bad in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)]
        ) {
            let mut values = [f32::MAX; 15];
            prop_assert!(ParamSet::from_slice(&layout(), &values).unwrap().is_finite().unwrap());
            values[at] = bad;
            prop_assert!(!ParamSet::from_slice(&layout(), &values).unwrap().is_finite().unwrap());
            let mut long = vec![1.0f32; 100];
            long[at * 6] = bad;
            prop_assert!(!largest(&long).is_finite());
        }

        #[test]
        fn the_largest_magnitude_is_that_of_double_precision(
            values in prop::collection::vec(-1e30f32..1e30, 0..80)
        ) {
            let expected = values.iter().map(|v| f64::from(*v).abs()).fold(0.0, f64::max);
            prop_assert_eq!(f64::from(largest(&values)), expected);
        }

        #[test]
        fn products_and_distances_are_those_of_double_precision(
            a in prop::collection::vec(-1e3f32..1e3, 15), b in prop::collection::vec(-1e3f32..1e3, 15)
        ) {
            let (x, y) = (ParamSet::from_slice(&layout(), &a).unwrap(), ParamSet::from_slice(&layout(), &b).unwrap());
            let dot: f64 = a.iter().zip(&b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            let distance: f64 = a.iter().zip(&b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
            prop_assert!((x.dot(&y).unwrap() - dot).abs() <= 1e-9 * 1e7);
            prop_assert!((x.distance_squared(&y).unwrap() - distance).abs() <= 1e-9 * 1e7);
            prop_assert!((x.norm_squared().unwrap() - x.dot(&x).unwrap()).abs() == 0.0);
        }
    }
}
