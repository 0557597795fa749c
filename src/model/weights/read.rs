//! A safetensors file as the parameters of a network: everything is checked before anything is believed.
//!
//! The header is read first, and only if the file is long enough to hold it and all that it speaks of.
//! Nothing is unpickled and nothing in the file is run: it is a list of names and numbers.

use super::names::{mean_square, torch_name};
use crate::disk;
use crate::model::{Buffer, Entry, Layout, ParamError, ParamSet, Part};
use crate::quantity::nearest;
use safetensors::tensor::{Dtype, Metadata};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes that say how long the header is.
const LENGTH: u64 = 8;
/// The longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;
/// Mismatches that are told one by one.
const MOST_TOLD: usize = 20;
/// The entry of a header that is no tensor.
const NOTES: &str = "__metadata__";
/// More dimensions than any tensor of ours has: a list of them weighs many times its text.
const MOST_DIMENSIONS: usize = 64;
/// What PyTorch counts in a batch normalisation, which is no parameter.
const COUNTER: &str = "num_batches_tracked";

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The system refuses.
    #[error("{}: cannot read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is no safetensors file, or a broken one.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The parameters cannot be made.
    #[error(transparent)]
    Params(#[from] ParamError),
}

/// A tensor of the file.
#[derive(Debug, Clone)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Where its bytes lie behind the header.
    bytes: Range<u64>,
}

/// A safetensors file whose header was read and found sound.
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    file: File,
    /// Where the bytes of the tensors begin.
    start: u64,
    tensors: BTreeMap<String, Stored>,
}

/// Which tensors of a network are not taken from a file but drawn: paths of layers (`layers.6`) or of
/// tensors (`layers.6.bias`).
#[derive(Debug, Clone, Copy)]
pub struct Drawn<'a>(pub &'a [String]);

impl Drawn<'_> {
    /// Whether the tensor is one of them.
    pub fn has(&self, tensor: &str) -> bool {
        self.0.iter().any(|path| is_below(tensor, path))
    }
}

/// Whether a tensor is at a path or below it.
pub fn is_below(tensor: &str, path: &str) -> bool {
    let rest = tensor.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A problem for each of `paths` that no tensor of the network is at or below, with the nearest that is
/// there: its place in the list, and what is wrong.
pub fn unknown_paths(paths: &[String], layout: &Layout) -> Vec<(usize, String)> {
    let names: Vec<String> = layout.entries().iter().map(torch_name).collect();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for name in &names {
        known.insert(name);
        known.extend(name.match_indices('.').skip(1).map(|(dot, _)| &name[..dot]));
    }
    let unknown = paths.iter().enumerate().filter(|(_, path)| {
        let any = names.iter().any(|name| is_below(name, path));
        !any
    });
    let told = unknown.map(|(index, path)| {
        let hint = nearest(path, known.iter().copied())
            .map_or(String::new(), |near| format!("; did you mean {near:?}?"));
        let message = format!(
            "expected a layer or a tensor of the network such as {:?}, found {path:?}{hint}",
            known.first().copied().unwrap_or("layers.0")
        );
        (index, message)
    });
    told.collect()
}

impl WeightsFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is no safetensors file, names a tensor twice, has tensors that overlap, leave
    /// gaps or go beyond its end.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let io = |source| ReadError::Io {
            path: path.to_path_buf(),
            source,
        };
        let broken = |problem: String| ReadError::Format {
            path: path.to_path_buf(),
            problem,
        };
        let mut file = disk::open(path).map_err(io)?;
        let length = file.metadata().map_err(io)?.len();
        if length < LENGTH {
            return Err(broken(format!(
                "expected a safetensors file, which begins with {LENGTH} bytes that say how long its header \
                 is, found {length} bytes"
            )));
        }
        let mut first = [0; LENGTH as usize];
        file.read_exact(&mut first).map_err(io)?;
        let header = u64::from_le_bytes(first);
        let most = (length - LENGTH).min(LONGEST_HEADER);
        if header > most {
            return Err(broken(format!(
                "byte 0: expected a header of at most {most} bytes, as many as there are, found one of \
                 {header}; a file of torch.save is a pickle: write it with safetensors.torch.save_file"
            )));
        }
        // No longer than the file is.
        let mut bytes = vec![0; header as usize];
        file.read_exact(&mut bytes).map_err(io)?;
        once_each(&bytes).map_err(broken)?;
        // This reader sees to it that shapes and places agree, and that no two tensors overlap.
        let metadata: Metadata = serde_json::from_slice(bytes.trim_ascii_end())
            .map_err(|error| broken(format!("the header: {}", short(&error.to_string()))))?;
        drop(bytes);
        let start = LENGTH + header;
        let mut end = 0;
        let mut tensors = BTreeMap::new();
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            end = end.max(to as u64);
            let stored = Stored {
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes: from as u64..to as u64,
            };
            tensors.insert(name, stored);
        }
        let found = length - start;
        if end != found {
            return Err(broken(format!(
                "byte {start}: the header speaks of {end} bytes of values, the file has {found}"
            )));
        }
        Ok(Self {
            path: path.to_path_buf(),
            file,
            start,
            tensors,
        })
    }

    /// What of the file does not fit a network whose tensors, but for `drawn`, are to come from it: tensors
    /// that are missing, are of another shape or kind, or are not the network's. All of it, as far as a
    /// person would read on.
    pub fn problems(&self, layout: &Layout, drawn: Drawn) -> Vec<String> {
        let mut problems = Vec::new();
        let mut wanted = BTreeSet::new();
        for entry in layout.entries() {
            let name = torch_name(entry);
            if drawn.has(&name) {
                continue;
            }
            problems.extend(self.misfit(&name, entry));
            wanted.insert(name);
        }
        for name in self.tensors.keys() {
            let counter = name
                .strip_suffix(COUNTER)
                .is_some_and(|layer| wanted.contains(&format!("{layer}running_mean")));
            if !wanted.contains(name) && !drawn.has(name) && !counter {
                let missing = |wanted: &&String| !self.tensors.contains_key(*wanted);
                let open = wanted.iter().filter(missing).map(String::as_str);
                let hint =
                    nearest(name, open).map_or(String::new(), |near| format!("; is it {near:?}?"));
                problems.push(format!("the network has no tensor {:?}{hint}", short(name)));
            }
        }
        let more = problems.len().saturating_sub(MOST_TOLD);
        problems.truncate(MOST_TOLD);
        let file = self.path.display();
        let mut told: Vec<String> = problems
            .into_iter()
            .map(|problem| format!("{file}: {problem}"))
            .collect();
        if more > 0 {
            told.push(format!("{file}: and {more} more that do not fit"));
        }
        told
    }

    /// What is wrong with one tensor that is to come from the file.
    fn misfit(&self, name: &str, entry: &Entry) -> Vec<String> {
        let Some(stored) = self.tensors.get(name) else {
            let shape = &entry.shape;
            return vec![format!(
                "{name:?} of shape {shape:?} is missing; a layer that the file lacks is drawn with draw: \
                 [{:?}]",
                layer_of(name)
            )];
        };
        let mut problems = Vec::new();
        if stored.shape != entry.shape {
            let (expected, found) = (&entry.shape, &stored.shape);
            problems.push(format!(
                "{name:?}: expected shape {expected:?}, found {found:?}; a layer of another shape is drawn \
                 anew with draw: [{:?}]",
                layer_of(name)
            ));
        }
        if stored.dtype != Dtype::F32 {
            problems.push(format!(
                "{name:?}: expected single precision (F32), found {:?}; convert it with .float()",
                stored.dtype
            ));
        }
        problems
    }

    /// `start` with the tensors that are not `drawn` taken from the file.
    ///
    /// # Errors
    /// When the file does not fit ([`WeightsFile::problems`]), cannot be read, or has a value that is no
    /// finite number or a variance below zero.
    pub fn load(&mut self, start: &ParamSet, drawn: Drawn) -> Result<ParamSet, ReadError> {
        let layout = start.layout().clone();
        if let Some(problem) = self.problems(&layout, drawn).into_iter().next() {
            return Err(self.broken(problem));
        }
        let mut buffer = Buffer::copy_of(start)?;
        let all = buffer.as_mut_slice()?;
        for entry in layout.entries() {
            let name = torch_name(entry);
            if drawn.has(&name) {
                continue;
            }
            let (before, tensor) = all.split_at_mut(entry.offset);
            let tensor = &mut tensor[..entry.len];
            self.values(&name, tensor)?;
            if entry.role.part == Part::Square {
                // The mean of the same layer lies right before it.
                let means = &before[entry.offset - entry.len..];
                for (place, (value, &mean)) in tensor.iter_mut().zip(means).enumerate() {
                    if *value < 0.0 {
                        return Err(self.broken(format!(
                            "{name:?}: value {place} is {value}; expected a variance of 0 or more"
                        )));
                    }
                    *value = mean_square(mean, *value);
                }
            }
        }
        Ok(buffer.freeze())
    }

    /// The values of one tensor of the file, which has as many and is of single precision.
    fn values(&mut self, name: &str, out: &mut [f32]) -> Result<(), ReadError> {
        let bytes = self.tensors.get(name).map(|stored| stored.bytes.clone());
        let io = |source| ReadError::Io {
            path: self.path.clone(),
            source,
        };
        let from = self.start + bytes.map_or(0, |bytes| bytes.start);
        self.file.seek(SeekFrom::Start(from)).map_err(io)?;
        let mut chunk = [0u8; 1 << 14];
        let mut place = 0;
        for part in out.chunks_mut(chunk.len() / size_of::<f32>()) {
            let raw = &mut chunk[..size_of_val(part)];
            self.file.read_exact(raw).map_err(io)?;
            for (value, raw) in part.iter_mut().zip(raw.chunks_exact(size_of::<f32>())) {
                *value = raw.try_into().map_or(0.0, f32::from_le_bytes);
                if !value.is_finite() {
                    return Err(self.broken(format!(
                        "{name:?}: value {place} is {value}; expected finite numbers"
                    )));
                }
                place += 1;
            }
        }
        Ok(())
    }

    fn broken(&self, problem: String) -> ReadError {
        ReadError::Format {
            path: self.path.clone(),
            problem,
        }
    }
}

/// As much of a text from a file as a person reads.
fn short(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

/// The path of the layer that a tensor belongs to.
fn layer_of(tensor: &str) -> &str {
    tensor.rfind('.').map_or(tensor, |dot| &tensor[..dot])
}

/// A tensor of a header, read for the number of its dimensions alone.
#[derive(serde::Deserialize)]
struct Dimensions {
    #[serde(rename = "shape")]
    _shape: Few,
}

/// A list of few items.
struct Few;

impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Few;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a shape of at most {MOST_DIMENSIONS} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Few, A::Error> {
                let mut count = 0;
                while let Some(IgnoredAny) = items.next_element()? {
                    count += 1;
                    if count > MOST_DIMENSIONS {
                        return Err(A::Error::invalid_length(count, &self));
                    }
                }
                Ok(Few)
            }
        }
        from.deserialize_seq(Each)
    }
}

/// Whether a JSON object has every name once, and tensors of few dimensions; what has not.
fn once_each(header: &[u8]) -> Result<(), String> {
    struct Names(Option<String>);
    impl<'de> Deserialize<'de> for Names {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Each;
            impl<'de> Visitor<'de> for Each {
                type Value = Names;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object with a tensor under each name")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                    let mut seen = BTreeSet::new();
                    let mut twice = None;
                    while let Some(name) = map.next_key::<String>()? {
                        if name == NOTES {
                            let IgnoredAny = map.next_value()?;
                        } else {
                            let Dimensions { .. } = map.next_value()?;
                        }
                        if twice.is_none() && seen.contains(&name) {
                            twice = Some(name);
                        } else {
                            seen.insert(name);
                        }
                    }
                    Ok(Names(twice))
                }
            }
            from.deserialize_map(Each)
        }
    }
    let trimmed = header.trim_ascii_end();
    let names: Names = serde_json::from_slice(trimmed)
        .map_err(|error| format!("the header: expected JSON: {}", short(&error.to_string())))?;
    match names.0 {
        Some(name) => Err(format!("the header names {:?} twice", short(&name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
