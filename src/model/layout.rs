//! Where each tensor of a network lies in its flat parameter vector, and what it is for.

use crate::quantity::Bytes;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::Serialize;
use std::sync::Arc;

/// Place of a layer in its network. Sub-models keep the inputs of the first and the outputs of the
/// last, so methods ask for the place instead of guessing it from a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Place {
    /// The first convolution or dense layer: its inputs are the data's.
    First,
    /// A layer whose inputs and outputs are both hidden.
    Hidden,
    /// A layer that gives class scores.
    Last,
    /// First and last at once.
    Only,
    /// Scale and shift of a normalisation, and its statistics.
    Norm,
}

/// Which tensor of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Part {
    /// `[out, in, height, width]` of a convolution, `[out, in]` of a dense layer, `[channels]` of a
    /// normalisation.
    Weight,
    /// `[out]`.
    Bias,
    /// Mean of what a batch normalisation gets, `[channels]`.
    Mean,
    /// Mean square of it, `[channels]`.
    Square,
    /// A tensor of a layer that says itself what its tensors are ([`super::Layer`]).
    Own,
}

impl Part {
    /// Whether it is measured instead of learned.
    pub const fn is_statistic(self) -> bool {
        matches!(self, Self::Mean | Self::Square)
    }
}

/// What a tensor is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Role {
    /// Where its layer stands.
    pub place: Place,
    /// Which tensor of the layer.
    pub part: Part,
}

/// One tensor of the flat vector.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Path of the layer and part, for people (`layers[3].weight`).
    pub name: String,
    /// Shape of the tensor.
    pub shape: Vec<usize>,
    /// Index of its first element in the flat vector.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
    /// What it is for.
    pub role: Role,
    /// Inputs that feed one output of its layer; sets the range of initial weights.
    pub fan_in: usize,
    /// What all values begin as, where that is no draw and the role does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<f32>,
}

impl Entry {
    /// The shape as torch takes it.
    pub(crate) fn dims(&self) -> Vec<i64> {
        self.shape.iter().map(|&n| n as i64).collect()
    }
}

/// The tensors of a network in the order of its layers, without gaps.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Layout {
    entries: Vec<Entry>,
    total: usize,
    /// How many values are statistics that are queried ([`Layout::queried`]). It is in no name: a run
    /// has one such form of each of its networks.
    #[serde(skip)]
    queried: usize,
}

impl Layout {
    /// The tensors, in the order of the flat vector.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Number of elements of the flat vector.
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Bytes of the vector as single-precision floats, in memory.
    pub const fn bytes(&self) -> Bytes {
        Bytes(self.total as u64 * 4)
    }

    /// Bytes of the vector on the wire, as single-precision floats. Statistics that are queried do not
    /// travel with a model.
    pub const fn wire_bytes(&self) -> Bytes {
        Bytes((self.total - self.queried) as u64 * 4)
    }

    /// The same tensors, of which the statistics of batch normalisations are queried: local training
    /// leaves them alone and they do not travel with a model. They are measured on a model that was
    /// aggregated when that model is evaluated (static batch normalisation, Diao et al., ICLR 2021,
    /// section 3).
    pub fn queried(&self) -> Self {
        let statistics = self.entries.iter().filter(|e| e.role.part.is_statistic());
        Self {
            queried: statistics.map(|entry| entry.len).sum(),
            ..self.clone()
        }
    }

    /// How many values are statistics that are queried: 0 for a network without batch normalisation,
    /// and where clients measure the statistics in their own training.
    pub const fn queries(&self) -> usize {
        self.queried
    }

    /// One tensor of so many values that stands for nothing.
    pub(crate) fn flat(values: usize) -> Self {
        let mut layout = Self::default();
        let role = Role {
            place: Place::Hidden,
            part: Part::Weight,
        };
        layout.push("values".into(), vec![values], role, 1);
        layout
    }

    /// Appends a tensor; the caller has checked that the total stays within bounds.
    pub(super) fn push(
        &mut self,
        name: String,
        shape: Vec<usize>,
        role: Role,
        fan_in: usize,
    ) -> usize {
        let len = shape.iter().product();
        self.entries.push(Entry {
            name,
            shape,
            offset: self.total,
            len,
            role,
            fan_in,
            start: None,
        });
        self.total += len;
        self.entries.len() - 1
    }

    /// Sets the place of the two tensors of one layer.
    pub(super) fn set_place(&mut self, entry: usize, place: Place) {
        if let Some(entry) = self.entries.get_mut(entry) {
            entry.role.place = place;
        }
    }

    /// Sets what the values of a tensor begin as.
    pub(super) fn set_start(&mut self, entry: usize, start: Option<f32>) {
        if let Some(entry) = self.entries.get_mut(entry) {
            entry.start = start;
        }
    }

    /// In words, for errors.
    pub(crate) fn describe(&self) -> String {
        format!("{} tensors with {} values", self.entries.len(), self.total)
    }
}

/// The layouts of a run's networks. A checkpoint names them instead of holding them: what it is read
/// for has the same networks.
#[derive(Debug, Clone, Default)]
pub struct Layouts(Vec<(u64, Arc<Layout>)>);

impl Layouts {
    /// Of these networks.
    pub fn new(layouts: impl IntoIterator<Item = Arc<Layout>>) -> Self {
        let named = layouts.into_iter().map(|layout| (layout.name(), layout));
        Self(named.collect())
    }

    /// Names a layout.
    pub(crate) fn save(layout: &Arc<Layout>, to: &mut Writer) {
        to.shared(layout, |to| {
            layout.name().save(to);
            to.number(layout.total() as u64);
        });
    }

    /// The layout that was named.
    pub(crate) fn load(from: &mut Reader) -> Result<Arc<Layout>, Damaged> {
        from.shared(|from| {
            let name = u64::load(from)?;
            let flat = Layout::flat(from.number()? as usize);
            let known = from.known::<Self>().map_or(&[][..], |known| &known.0);
            let layout = known.iter().find(|(known, _)| *known == name);
            // What a fault has cut fits no network.
            if layout.is_none() && flat.name() == name {
                return Ok(Arc::new(flat));
            }
            let unknown = || Damaged::new("parameters of a network that this run has not");
            layout
                .map(|(_, layout)| Arc::clone(layout))
                .ok_or_else(unknown)
        })
    }
}

impl Layout {
    /// 64 bits that differ when an entry does.
    fn name(&self) -> u64 {
        // A list of names and numbers has a JSON form.
        xxhash_rust::xxh3::xxh3_64(&serde_json::to_vec(self).unwrap_or_default())
    }
}
