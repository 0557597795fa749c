//! Samples in the form that training reads: stored raw, and normalised batch by batch.

use super::LearnError;
use crate::model::{wide, Fresh, ParamError};
use crate::quantity::Bytes;
use tch::{Device, Kind, Tensor};
use xxhash_rust::xxh3::Xxh3;

/// The raw features of all samples, sample after sample, each in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Features {
    /// Features as bytes, as in image files.
    U8(Vec<u8>),
    /// Features as numbers in single precision.
    F32(Vec<f32>),
}

/// The rule that makes a model's input of a raw feature: `x = (raw · scale − mean[c]) / std[c]`.
/// Here c is the index in the first dimension of a sample: the channel of an image, or the feature
/// of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalisation {
    /// The factor on raw values.
    pub scale: f32,
    /// One mean for each channel, or a single one for all.
    pub mean: Vec<f32>,
    /// The standard deviations, above zero, as many as means.
    pub std: Vec<f32>,
}

/// A data set on a host device, shared by all jobs that read it.
///
/// It takes ownership of the values. On the CPU they stay in their type, bytes as bytes, and a
/// batch is normalised while it is gathered, which costs no more than a copy.
#[derive(Debug)]
pub struct DeviceData {
    shape: Vec<usize>,
    store: Store,
    channels: Channels,
    labels: Vec<u32>,
    classes: usize,
    device: Device,
}

#[derive(Debug)]
enum Store {
    U8(Vec<u8>),
    F32(Vec<f32>),
    /// The values as `[samples, features]` on another device, with means and deviations that
    /// broadcast against a batch.
    Away(Away),
}

#[derive(Debug)]
struct Away {
    raw: Tensor,
    mean: Tensor,
    std: Tensor,
}

// SAFETY: tensors may move between threads; these are private, never written after construction and
// only read from (index_select and arithmetic that allocates its result), which torch allows from
// many threads at once.
unsafe impl Sync for Away {}

impl Away {
    fn new(
        features: &Features,
        normal: &Normalisation,
        len: usize,
        shape: &[usize],
        device: Device,
    ) -> Result<Self, LearnError> {
        let raw = match features {
            Features::U8(values) => Tensor::f_from_slice(values)?,
            Features::F32(values) => Tensor::f_from_slice(values)?,
        };
        let raw = raw.f_reshape([len as i64, shape.iter().product::<usize>() as i64])?;
        let mut spread = vec![1i64; shape.len() + 1];
        spread[1] = normal.mean.len() as i64;
        let constant = |values: &[f32]| {
            Tensor::f_from_slice(values)?
                .f_reshape(spread.as_slice())?
                .f_to_device(device)
        };
        Ok(Self {
            raw: raw.f_to_device(device)?,
            mean: constant(&normal.mean)?,
            std: constant(&normal.std)?,
        })
    }

    fn batch(&self, samples: &[u32], dims: &[i64], scale: f32) -> Result<Tensor, LearnError> {
        let indices: Vec<i64> = samples.iter().map(|&i| i64::from(i)).collect();
        let indices = Tensor::f_from_slice(&indices)?.f_to_device(self.raw.device())?;
        let raw = self
            .raw
            .f_index_select(0, &indices)?
            .f_to_kind(Kind::Float)?;
        let scaled = raw.f_reshape(dims)?.f_mul_scalar(f64::from(scale))?;
        Ok(scaled.f_sub(&self.mean)?.f_div(&self.std)?)
    }
}

/// The size of a sample's first dimension and of the rest, with the constants of each channel.
#[derive(Debug)]
struct Channels {
    count: usize,
    plane: usize,
    normal: Normalisation,
    /// For bytes with few channels: the normalised value of each of the 256 bytes, for each
    /// channel.
    table: Vec<[f32; 256]>,
}

wide! {
    /// Normalises the values of one channel, stored as bytes.
    fn standardise(raw: &[u8], out: &mut [f32], scale: f32, mean: f32, std: f32) {
        for (out, &value) in out.iter_mut().zip(raw) {
            *out = (value as f32 * scale - mean) / std;
        }
    }
}

/// The number of channels above which the tables would cost more memory than they save time.
const MAX_TABLES: usize = 64;

impl Channels {
    fn constants(&self, channel: usize) -> (f32, f32) {
        let pick = |v: &[f32]| v.get(channel).or(v.first()).copied();
        (
            pick(&self.normal.mean).unwrap_or(0.0),
            pick(&self.normal.std).unwrap_or(1.0),
        )
    }

    /// Writes one normalised sample, in row-major order or with the channel as the fastest
    /// dimension.
    fn write<T: Copy>(
        &self,
        raw: &[T],
        out: &mut [f32],
        channels_last: bool,
        convert: impl Fn(usize, T) -> f32,
    ) {
        if channels_last && self.count > 1 {
            for (channel, plane) in raw.chunks_exact(self.plane).enumerate() {
                let targets = out.iter_mut().skip(channel).step_by(self.count);
                for (target, &value) in targets.zip(plane) {
                    *target = convert(channel, value);
                }
            }
        } else {
            let planes = raw
                .chunks_exact(self.plane)
                .zip(out.chunks_exact_mut(self.plane));
            for (channel, (plane, targets)) in planes.enumerate() {
                for (target, &value) in targets.iter_mut().zip(plane) {
                    *target = convert(channel, value);
                }
            }
        }
    }

    fn write_u8(&self, raw: &[u8], out: &mut [f32], channels_last: bool) {
        let scale = self.normal.scale;
        if !channels_last || self.count == 1 {
            // Computing eight values at once is faster than looking them up, and gives the same
            // bits.
            let planes = raw.chunks_exact(self.plane);
            for (channel, (raw, out)) in planes.zip(out.chunks_mut(self.plane)).enumerate() {
                let (mean, std) = self.constants(channel);
                standardise(raw, out, scale, mean, std);
            }
            return;
        }
        match self.table.as_slice() {
            [] => self.write(raw, out, channels_last, |channel, value| {
                let (mean, std) = self.constants(channel);
                (f32::from(value) * scale - mean) / std
            }),
            [all] => self.write(raw, out, channels_last, |_, value| all[usize::from(value)]),
            tables => self.write(raw, out, channels_last, |channel, value| {
                tables[channel][usize::from(value)]
            }),
        }
    }

    fn write_f32(&self, raw: &[f32], out: &mut [f32], channels_last: bool) {
        let scale = self.normal.scale;
        self.write(raw, out, channels_last, |channel, value| {
            let (mean, std) = self.constants(channel);
            (value * scale - mean) / std
        });
    }
}

impl DeviceData {
    /// A data set of samples of the given `shape` on `device`, with one label for each sample.
    ///
    /// # Errors
    /// When the parts do not fit each other, or the device has too little memory.
    pub fn new(
        shape: &[usize],
        features: Features,
        normal: Normalisation,
        labels: Vec<u32>,
        classes: usize,
        device: Device,
    ) -> Result<Self, LearnError> {
        let wrong = |expected: String, found: String| Err(LearnError::Data { expected, found });
        let size = shape
            .iter()
            .try_fold(1usize, |product, &n| product.checked_mul(n))
            .filter(|&size| size > 0 && !shape.is_empty());
        let Some(size) = size else {
            return wrong("a shape with sizes from 1".into(), format!("{shape:?}"));
        };
        let found = match &features {
            Features::U8(values) => values.len(),
            Features::F32(values) => values.len(),
        };
        if labels.len().checked_mul(size) != Some(found) {
            return wrong(
                format!("{} samples of {shape:?}", labels.len()),
                format!("{found} values"),
            );
        }
        if let Some(label) = labels.iter().find(|&&label| label as usize >= classes) {
            return wrong(format!("labels below {classes}"), format!("label {label}"));
        }
        let count = shape[0];
        let constants = normal.mean.len();
        if constants != normal.std.len() || (constants != 1 && constants != count) {
            return wrong(
                format!("1 or {count} means and as many deviations"),
                format!("{constants} and {}", normal.std.len()),
            );
        }
        let finite = normal.scale.is_finite() && normal.mean.iter().all(|m| m.is_finite());
        if !finite || !normal.std.iter().all(|&s| s.is_finite() && s > 0.0) {
            return wrong(
                "finite scaling with deviations above 0".into(),
                format!("{normal:?}"),
            );
        }
        let mut channels = Channels {
            count,
            plane: size / count,
            normal,
            table: Vec::new(),
        };
        let store = match (features, device) {
            (Features::U8(values), Device::Cpu) => {
                if constants <= MAX_TABLES {
                    channels.table = (0..constants)
                        .map(|channel| {
                            let (mean, std) = channels.constants(channel);
                            std::array::from_fn(|v| (v as f32 * channels.normal.scale - mean) / std)
                        })
                        .collect();
                }
                Store::U8(values)
            }
            (Features::F32(values), Device::Cpu) => Store::F32(values),
            (features, _) => Store::Away(Away::new(
                &features,
                &channels.normal,
                labels.len(),
                shape,
                device,
            )?),
        };
        Ok(Self {
            shape: shape.to_vec(),
            store,
            channels,
            labels,
            classes,
            device,
        })
    }

    /// A digest of 64 bits of the labels and the raw features, or of the labels alone if the
    /// features are on another device.
    pub fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        self.labels
            .iter()
            .for_each(|l| hash.update(&l.to_le_bytes()));
        match &self.store {
            Store::U8(values) => hash.update(values),
            Store::F32(values) => {
                for value in values {
                    hash.update(&value.to_bits().to_le_bytes());
                }
            }
            Store::Away(_) => {}
        }
        hash.digest()
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The rule by which stored values are normalised.
    pub const fn normalisation(&self) -> &Normalisation {
        &self.channels.normal
    }

    /// The shape of one sample.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of classes.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// The device that holds the samples.
    pub const fn device(&self) -> Device {
        self.device
    }

    /// The label of each sample.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Writes the labels of the given samples to `out`, which is cleared first.
    ///
    /// # Errors
    /// When a sample does not exist.
    pub fn labels_of(&self, samples: &[u32], out: &mut Vec<u32>) -> Result<(), LearnError> {
        out.clear();
        for &index in samples {
            let label = self.labels.get(index as usize);
            out.push(*label.ok_or_else(|| self.no_such(index))?);
        }
        Ok(())
    }

    /// The given samples, normalised: floats of shape `[samples, shape...]` on the device of this
    /// data set. With `channels_last`, images on the CPU are stored with the channel as the fastest
    /// dimension, which convolutions and pooling prefer; shape and values do not change.
    ///
    /// # Errors
    /// When a sample does not exist, or the device has too little memory.
    pub fn batch(&self, samples: &[u32], channels_last: bool) -> Result<Tensor, LearnError> {
        self.exist(samples)?;
        let mut dims = vec![samples.len() as i64];
        dims.extend(self.shape.iter().map(|&n| n as i64));
        if let Store::Away(away) = &self.store {
            return away.batch(samples, &dims, self.channels.normal.scale);
        }
        let channels_last = channels_last && self.shape.len() == 3;
        if channels_last {
            dims = vec![dims[0], dims[2], dims[3], dims[1]];
        }
        let mut batch = Fresh::unwritten(&dims)?;
        let out = batch.values().map_err(ParamError::from)?;
        self.write(samples, out, channels_last);
        let batch = batch.into_tensor();
        if channels_last {
            return Ok(batch.f_permute([0, 3, 1, 2])?);
        }
        Ok(batch)
    }

    /// Writes the given samples, normalised and in row-major order, to `out`, which must have their
    /// size. Only for data on the CPU.
    ///
    /// # Errors
    /// When a sample does not exist, or the data is on another device.
    pub(super) fn gather(&self, samples: &[u32], out: &mut [f32]) -> Result<(), LearnError> {
        self.exist(samples)?;
        let size = samples.len() * self.channels.count * self.channels.plane;
        if self.device != Device::Cpu || out.len() != size {
            return Err(LearnError::Data {
                expected: format!("{size} values on the CPU"),
                found: format!("{} on {:?}", out.len(), self.device),
            });
        }
        self.write(samples, out, false);
        Ok(())
    }

    /// Writes samples, which must exist and be on the CPU.
    fn write(&self, samples: &[u32], out: &mut [f32], channels_last: bool) {
        let size = self.channels.count * self.channels.plane;
        // Samples are scattered in memory, so all are requested before the first is needed.
        for &index in samples {
            self.fetch(index as usize * size, size);
        }
        for (&index, out) in samples.iter().zip(out.chunks_exact_mut(size)) {
            let at = index as usize * size;
            match &self.store {
                Store::U8(values) => {
                    self.channels
                        .write_u8(&values[at..at + size], out, channels_last)
                }
                Store::F32(values) => {
                    self.channels
                        .write_f32(&values[at..at + size], out, channels_last)
                }
                Store::Away(_) => {}
            }
        }
    }

    /// Requests `size` values from place `at` on for the cache, but not more than a small sample.
    fn fetch(&self, at: usize, size: usize) {
        const LINE: usize = 64;
        const MOST: usize = 4096;
        let bytes = match &self.store {
            Store::U8(values) => values.get(at..at + size).map(|v| (v.as_ptr(), v.len())),
            Store::F32(values) => values
                .get(at..at + size)
                .map(|v| (v.as_ptr().cast(), std::mem::size_of_val(v))),
            Store::Away(_) => None,
        };
        #[cfg(target_arch = "x86_64")]
        if let Some((first, len)) = bytes {
            for byte in (0..len.min(MOST)).step_by(LINE) {
                use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
                // SAFETY: within the slice, and a hint reads nothing; every x86-64 has it.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(first.add(byte).cast()) };
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = bytes;
    }

    fn exist(&self, samples: &[u32]) -> Result<(), LearnError> {
        let missing = samples.iter().find(|&&index| index as usize >= self.len());
        missing.map_or(Ok(()), |&index| Err(self.no_such(index)))
    }

    /// The bytes of `samples` samples on the wire: their values as they are stored (one byte for
    /// byte images, four for numbers), and a label of one, two or four bytes, as the number of
    /// classes requires.
    pub fn wire_bytes(&self, samples: usize) -> Bytes {
        let each = match &self.store {
            Store::U8(_) => 1,
            Store::F32(_) => 4,
            Store::Away(away) => away.raw.kind().elt_size_in_bytes() as u64,
        };
        let label = match self.classes {
            0..=256 => 1,
            257..=65_536 => 2,
            _ => 4,
        };
        let values = (self.channels.count * self.channels.plane) as u64;
        Bytes(samples as u64 * (values * each + label))
    }

    fn no_such(&self, index: u32) -> LearnError {
        LearnError::NoSuchSample {
            index,
            len: self.len(),
        }
    }
}

#[cfg(test)]
mod tests;
