//! Parameters in the packed form in which they travel.

use super::Payload;
use crate::method::MethodError;
use crate::model::{Buffer, Layout, Layouts, ParamSet};
use crate::snapshot::{snapshot_enum, Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What a packed vector stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A model, as its difference to the model that the client was sent.
    Model,
    /// An update.
    Update,
}

snapshot_enum!(Form { 0 => Model, 1 => Update });

impl Payload {
    /// The change that this report stands for: a model minus the model of its layout that the
    /// client was sent, or an update as it is. `None` for other payloads, and for a model without a
    /// counterpart in what was sent.
    ///
    /// # Errors
    /// When there is too little memory for the difference.
    pub(crate) fn change(&self, sent: &Self) -> Result<Option<(Form, Buffer)>, MethodError> {
        Ok(match self {
            Self::Model(set) => match sent.model_of(set.layout()) {
                Some(base) => {
                    let mut change = Buffer::copy_of(set)?;
                    change.sub(base)?;
                    Some((Form::Model, change))
                }
                None => None,
            },
            Self::Update(set) => Some((Form::Update, Buffer::copy_of(set)?)),
            _ => None,
        })
    }
}

impl Form {
    /// The report from which [`Payload::change`] made `change`.
    ///
    /// # Errors
    /// When the report is a model, but no model of its layout was sent.
    pub(crate) fn restore(self, change: ParamSet, sent: &Payload) -> Result<Payload, MethodError> {
        match self {
            Self::Update => Ok(Payload::Update(change)),
            Self::Model => {
                let base = sent.model_of(change.layout());
                let base = base.ok_or_else(|| MethodError::payload("a model as sent", sent))?;
                let mut model = change.into_buffer()?;
                model.add_scaled(1.0, base)?;
                Ok(Payload::Model(model.freeze()))
            }
        }
    }
}

/// The bytes of a layer's own protocol, as they travel; a clone shares them.
#[derive(Debug, Clone)]
pub struct Packet {
    bytes: Arc<[u8]>,
    /// The bytes of other messages of the protocol, which are counted with this one.
    further: u64,
    digest: u64,
}

impl Snapshot for Packet {
    fn save(&self, to: &mut Writer) {
        self.bytes.save(to);
        self.further.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let bytes: Arc<[u8]> = Snapshot::load(from)?;
        Ok(Self {
            digest: xxh3_64(&bytes),
            bytes,
            further: Snapshot::load(from)?,
        })
    }
}

impl Packet {
    /// A packet of these bytes, with `further` bytes of messages that are not sent one by one.
    pub fn new(bytes: Vec<u8>, further: u64) -> Self {
        Self {
            digest: xxh3_64(&bytes),
            bytes: bytes.into(),
            further,
        }
    }

    /// The bytes that travel.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn wire_bytes(&self) -> u64 {
        self.bytes.len() as u64 + self.further
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }
}

/// A parameter set as the bytes that really travel. The receiver has nothing else to decode it
/// from.
#[derive(Debug, Clone)]
pub struct Coded {
    form: Form,
    layout: Arc<Layout>,
    packet: Packet,
}

impl Snapshot for Coded {
    fn save(&self, to: &mut Writer) {
        self.form.save(to);
        Layouts::save(&self.layout, to);
        self.packet.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(Self {
            form: Snapshot::load(from)?,
            layout: Layouts::load(from)?,
            packet: Snapshot::load(from)?,
        })
    }
}

impl Coded {
    /// The contents of `packet`, which stand for a vector of the given layout.
    pub fn new(form: Form, layout: &Arc<Layout>, packet: Packet) -> Self {
        Self {
            form,
            layout: Arc::clone(layout),
            packet,
        }
    }

    /// What the packed vector stands for.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The layout of the network that the vector belongs to.
    pub const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The bytes that travel.
    pub fn bytes(&self) -> &[u8] {
        self.packet.bytes()
    }

    pub(super) fn wire_bytes(&self) -> u64 {
        self.packet.wire_bytes()
    }

    pub(super) const fn digest(&self) -> u64 {
        self.packet.digest()
    }
}
