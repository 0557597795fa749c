//! The payloads that travel between server and clients, each kind with its exact size on the wire.

mod coded;
mod masked;
mod scores;
mod spoil;

pub use coded::{Coded, Form, Packet};
pub use masked::Masked;
pub use scores::{PublicSamples, Scores};

use super::MethodError;
use crate::model::{Layout, ParamSet};
use crate::quantity::Bytes;
use crate::sim::mix_words;
use crate::snapshot::snapshot_enum;
use std::sync::Arc;

/// The bytes before the elements of every payload: kind (1 byte), padding (3) and number of
/// elements (4).
const PREFIX: u64 = 8;

/// A digest of 64 bits of a parameter set. Values that cannot be copied to the CPU are treated as
/// absent; the code that uses them later ends the run with the reason.
fn content(set: &ParamSet) -> u64 {
    set.digest().unwrap_or(0)
}

/// A typed payload. A clone shares large contents.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Payload {
    /// No content.
    #[default]
    Nothing,
    /// All parameters of a model, 4 bytes each.
    Model(ParamSet),
    /// A difference of the parameters of two models, 4 bytes each.
    Update(ParamSet),
    /// A few numbers, 8 bytes each.
    Scalars(Arc<[f64]>),
    /// A flag for each of many things, one bit each.
    Mask(Arc<[bool]>),
    /// The numbers of samples, 4 bytes each.
    Indices(Arc<[u32]>),
    /// Class scores of some samples: 4 bytes for each score, and 4 for the number of each sample.
    Scores(Scores),
    /// Samples with their labels, in the size in which they are stored.
    Samples(PublicSamples),
    /// The parameters under a mask, 4 bytes each, and the mask: one bit for each thing or an index
    /// of 4 bytes for each thing kept, whichever is shorter.
    Masked(Masked),
    /// A model or an update as packed bytes, made by a layer around the method.
    Coded(Coded),
    /// Bytes of a layer's own protocol.
    Packet(Packet),
    /// Several payloads in one message.
    Bundle(Arc<[Payload]>),
    /// This many bytes on the wire without any content: a report of modelled learning.
    Blank(Bytes),
}

snapshot_enum!(Payload {
    0 => Nothing,
    1 => Model(set),
    2 => Update(set),
    3 => Scalars(numbers),
    4 => Mask(flags),
    5 => Indices(indices),
    6 => Scores(scores),
    7 => Samples(samples),
    8 => Masked(masked),
    9 => Bundle(parts),
    10 => Coded(coded),
    11 => Packet(packet),
    12 => Blank(bytes),
});

impl Payload {
    /// Several payloads in one message.
    pub fn bundle(parts: impl Into<Arc<[Payload]>>) -> Self {
        Self::Bundle(parts.into())
    }

    /// A few numbers.
    pub fn scalars(numbers: impl Into<Arc<[f64]>>) -> Self {
        Self::Scalars(numbers.into())
    }

    /// The exact size on the wire. It is computed; nothing is serialised.
    pub fn wire_bytes(&self) -> Bytes {
        let content = match self {
            Self::Nothing => 0,
            Self::Model(set) | Self::Update(set) => set.wire_bytes().0,
            Self::Scalars(numbers) => 8 * numbers.len() as u64,
            Self::Mask(flags) => flags.len().div_ceil(8) as u64,
            Self::Indices(indices) => 4 * indices.len() as u64,
            Self::Scores(scores) => scores.wire_bytes().0,
            Self::Samples(samples) => samples.bytes.0,
            Self::Masked(masked) => masked.wire_bytes(),
            Self::Coded(coded) => coded.wire_bytes(),
            Self::Packet(packet) => packet.wire_bytes(),
            Self::Bundle(parts) => parts.iter().map(|part| part.wire_bytes().0).sum(),
            // The size is the whole size of the payload that this one stands for.
            Self::Blank(bytes) => return *bytes,
        };
        Bytes(PREFIX + content)
    }

    /// A digest of 64 bits of the content. The digest of a parameter set is computed once, however
    /// often it is sent.
    pub fn digest(&self) -> u64 {
        match self {
            Self::Nothing => 0,
            Self::Model(set) => mix_words(&[1, content(set)]),
            Self::Update(set) => mix_words(&[2, content(set)]),
            Self::Scalars(numbers) => {
                let words: Vec<u64> = numbers.iter().map(|n| n.to_bits()).collect();
                mix_words(&[3, mix_words(&words)])
            }
            Self::Mask(flags) => {
                let word =
                    |bits: &[bool]| bits.iter().fold(1u64, |w, &bit| w << 1 | u64::from(bit));
                let words: Vec<u64> = flags.chunks(63).map(word).collect();
                mix_words(&[5, mix_words(&words)])
            }
            Self::Indices(indices) => mix_words(&[6, scores::digest(indices)]),
            Self::Scores(scores) => mix_words(&[7, scores.digest()]),
            Self::Samples(samples) => mix_words(&[8, scores::digest(samples.samples.as_slice())]),
            Self::Masked(masked) => {
                mix_words(&[9, content(masked.values()), masked.mask().digest()])
            }
            Self::Coded(coded) => mix_words(&[10, coded.form() as u64, coded.digest()]),
            Self::Packet(packet) => mix_words(&[11, packet.digest()]),
            Self::Bundle(parts) => {
                let words: Vec<u64> = parts.iter().map(Self::digest).collect();
                mix_words(&[4, mix_words(&words)])
            }
            Self::Blank(bytes) => mix_words(&[12, bytes.0]),
        }
    }

    /// This payload with every parameter set replaced by the result of `f`.
    pub(crate) fn map_sets(self, f: &mut impl FnMut(ParamSet) -> ParamSet) -> Self {
        match self {
            Self::Model(set) => Self::Model(f(set)),
            Self::Update(set) => Self::Update(f(set)),
            Self::Bundle(parts) => {
                let parts = parts.iter().cloned().map(|part| part.map_sets(f));
                Self::Bundle(parts.collect())
            }
            Self::Masked(masked) => Self::Masked(masked.map_values(f)),
            other @ (Self::Nothing
            | Self::Scalars(_)
            | Self::Mask(_)
            | Self::Indices(_)
            | Self::Scores(_)
            | Self::Samples(_)
            | Self::Coded(_)
            | Self::Packet(_)
            | Self::Blank(_)) => other,
        }
    }

    /// This message with every payload in it that is not a bundle replaced by the result of `f`, in
    /// order.
    ///
    /// # Errors
    /// The first error of `f`.
    pub(crate) fn map_parts<E>(
        &self,
        f: &mut impl FnMut(&Self) -> Result<Self, E>,
    ) -> Result<Self, E> {
        match self {
            Self::Bundle(parts) => {
                let parts: Result<Arc<[Self]>, E> =
                    parts.iter().map(|part| part.map_parts(f)).collect();
                Ok(Self::Bundle(parts?))
            }
            part => f(part),
        }
    }

    /// The first model with `layout` in this message.
    pub(crate) fn model_of(&self, layout: &Arc<Layout>) -> Option<&ParamSet> {
        match self {
            Self::Model(set) => set.has_layout(layout).is_ok().then_some(set),
            Self::Bundle(parts) => parts.iter().find_map(|part| part.model_of(layout)),
            _ => None,
        }
    }

    /// The number of models and updates in this message.
    pub(crate) fn sets(&self) -> usize {
        match self {
            Self::Model(_) | Self::Update(_) => 1,
            Self::Bundle(parts) => parts.iter().map(Self::sets).sum(),
            _ => 0,
        }
    }

    /// The kind of the payload in words, for error messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Model(_) => "model",
            Self::Update(_) => "update",
            Self::Scalars(_) => "scalars",
            Self::Mask(_) => "mask",
            Self::Indices(_) => "indices",
            Self::Scores(_) => "scores",
            Self::Samples(_) => "samples",
            Self::Masked(_) => "masked model",
            Self::Coded(_) => "coded parameters",
            Self::Packet(_) => "a packet",
            Self::Bundle(_) => "bundle",
            Self::Blank(_) => "a size without content",
        }
    }

    /// Checks that the payload is empty.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if it has a content.
    pub fn as_nothing(&self) -> Result<(), MethodError> {
        match self {
            Self::Nothing => Ok(()),
            other => Err(MethodError::payload("nothing", other)),
        }
    }

    /// The model in this payload.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind.
    pub fn as_model(&self) -> Result<&ParamSet, MethodError> {
        match self {
            Self::Model(set) => Ok(set),
            other => Err(MethodError::payload("a model", other)),
        }
    }

    /// The update in this payload.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind.
    pub fn as_update(&self) -> Result<&ParamSet, MethodError> {
        match self {
            Self::Update(set) => Ok(set),
            other => Err(MethodError::payload("an update", other)),
        }
    }

    /// The numbers in this payload, if there are exactly `N`.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind, [`MethodError::Count`] if there
    /// are not `N` numbers.
    pub fn as_scalars<const N: usize>(&self) -> Result<[f64; N], MethodError> {
        match self {
            Self::Scalars(numbers) => numbers
                .as_ref()
                .try_into()
                .map_err(|_| MethodError::count("list of numbers", N, numbers.len())),
            other => Err(MethodError::payload("scalars", other)),
        }
    }

    /// The flags in this payload, if there are exactly `n`.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind, [`MethodError::Count`] if there
    /// are not `n` flags.
    pub fn as_mask(&self, n: usize) -> Result<&Arc<[bool]>, MethodError> {
        match self {
            Self::Mask(flags) if flags.len() == n => Ok(flags),
            Self::Mask(flags) => Err(MethodError::count("mask", n, flags.len())),
            other => Err(MethodError::payload("a mask", other)),
        }
    }

    /// The numbers of samples in this payload.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind.
    pub fn as_indices(&self) -> Result<&Arc<[u32]>, MethodError> {
        match self {
            Self::Indices(indices) => Ok(indices),
            other => Err(MethodError::payload("indices", other)),
        }
    }

    /// The class scores in this payload.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind.
    pub fn as_scores(&self) -> Result<&Scores, MethodError> {
        match self {
            Self::Scores(scores) => Ok(scores),
            other => Err(MethodError::payload("scores", other)),
        }
    }

    /// The samples in this payload.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind.
    pub fn as_samples(&self) -> Result<&PublicSamples, MethodError> {
        match self {
            Self::Samples(samples) => Ok(samples),
            other => Err(MethodError::payload("samples", other)),
        }
    }

    /// The parameters under a mask in this payload, if they belong to a network with `layout`.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind, [`MethodError::Params`] if the
    /// parameters belong to another network.
    pub fn as_masked(&self, layout: &Arc<Layout>) -> Result<&Masked, MethodError> {
        match self {
            Self::Masked(masked) => {
                masked.values().has_layout(layout)?;
                Ok(masked)
            }
            other => Err(MethodError::payload("a masked model", other)),
        }
    }

    /// The parts of this payload, if there are exactly `N`.
    ///
    /// # Errors
    /// [`MethodError::Payload`] if the payload is of another kind, [`MethodError::Count`] if there
    /// are not `N` parts.
    pub fn as_parts<const N: usize>(&self) -> Result<&[Payload; N], MethodError> {
        match self {
            Self::Bundle(parts) => parts
                .as_ref()
                .try_into()
                .map_err(|_| MethodError::count("bundle", N, parts.len())),
            other => Err(MethodError::payload("a bundle", other)),
        }
    }
}
