//! A parameter set as the bytes of a safetensors file.

use super::names::{torch_name, variance};
use crate::model::{Layout, ParamError, ParamSet, Part};
use safetensors::tensor::{Dtype, SafeTensorError, View};
use std::borrow::Cow;
use std::collections::HashMap;
use thiserror::Error;

/// The one entry of a file's own notes: what the run says of the model, as JSON.
const NOTES: &str = "shoal";

/// Why a parameter set cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The values cannot be read.
    #[error(transparent)]
    Params(#[from] ParamError),
    /// They do not make a file.
    #[error("{0}")]
    Format(#[from] SafeTensorError),
}

/// One tensor of the file: single precision, little-endian.
struct Values {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Values {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// The bytes of a safetensors file with the values of `set` under PyTorch's names ([`torch_name`]) and
/// `notes`, any JSON, in its metadata. Equal sets and notes give equal bytes.
///
/// # Errors
/// When the values are not on the CPU.
pub fn to_bytes(set: &ParamSet, notes: &serde_json::Value) -> Result<Vec<u8>, WriteError> {
    let values = set.as_slice()?;
    let layout: &Layout = set.layout();
    let of = |index: usize| {
        let entry = layout.entries().get(index);
        entry.map_or(&[][..], |e| &values[e.offset..e.offset + e.len])
    };
    let tensors = layout.entries().iter().enumerate().map(|(index, entry)| {
        let bytes: Vec<u8> = match entry.role.part {
            // The mean of the same layer comes before it.
            Part::Square => {
                let means = of(index.saturating_sub(1)).iter();
                let both = means.zip(of(index));
                let variances = both.map(|(&mean, &square)| variance(mean, square));
                variances.flat_map(f32::to_le_bytes).collect()
            }
            _ => of(index).iter().flat_map(|v| v.to_le_bytes()).collect(),
        };
        let shape = entry.shape.clone();
        (torch_name(entry), Values { shape, bytes })
    });
    // A single entry: a map of several would be written in any order.
    let metadata = HashMap::from([(NOTES.to_string(), notes.to_string())]);
    Ok(safetensors::serialize(tensors, Some(metadata))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LayerSpec, Model};
    use safetensors::SafeTensors;
    use serde_json::json;
    use tch::Tensor;

    fn set() -> ParamSet {
        let layers = [
            LayerSpec::conv(2, 3, 1),
            LayerSpec::BatchNorm,
            LayerSpec::Flatten,
            LayerSpec::dense(3),
        ];
        let model = Model::build(&layers, &[1, 4, 4], 3).unwrap();
        let values: Vec<f32> = (0..model.parameters())
            .map(|i| (i as f32 * 0.731).sin())
            .collect();
        ParamSet::from_slice(model.layout(), &values).unwrap()
    }

    /// Torch's own reader of the format is another program than the one that wrote it.
    #[test]
    fn torch_reads_the_bits_that_were_written() {
        let set = set();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        std::fs::write(&path, to_bytes(&set, &json!({})).unwrap()).unwrap();
        let read = Tensor::read_safetensors(&path).unwrap();
        assert_eq!(read.len(), set.layout().entries().len());
        let values = set.as_slice().unwrap();
        for entry in set.layout().entries() {
            let name = torch_name(entry);
            let (_, tensor) = read.iter().find(|(found, _)| *found == name).unwrap();
            assert_eq!(tensor.size(), entry.dims(), "{name}");
            let mut found = vec![0f32; entry.len];
            tensor.copy_data(&mut found, entry.len);
            if entry.role.part == Part::Square {
                continue;
            }
            let expected = &values[entry.offset..entry.offset + entry.len];
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(expected), "{name}");
        }
    }

    #[test]
    fn equal_sets_give_equal_bytes_and_the_notes_are_in_them() {
        let notes = json!({"round": 3, "size": 1.0, "b": "x"});
        let bytes = to_bytes(&set(), &notes).unwrap();
        assert_eq!(to_bytes(&set(), &notes).unwrap(), bytes);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let said = metadata.metadata().as_ref().unwrap();
        let said: serde_json::Value = serde_json::from_str(&said[NOTES]).unwrap();
        assert_eq!(said, notes);
    }
}
