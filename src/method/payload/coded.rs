//! Parameters in the packed form in which they travel.

use crate::model::Layout;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What a packed vector stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A model, as the difference to the model that the client was sent.
    Model,
    /// An update.
    Update,
}

/// A parameter set as the bytes that really travel: whoever receives it has nothing else to decode
/// from. A clone shares them.
#[derive(Debug, Clone)]
pub struct Coded {
    form: Form,
    layout: Arc<Layout>,
    bytes: Arc<[u8]>,
    digest: u64,
}

impl Coded {
    /// `bytes` that stand for a vector of `layout`.
    pub fn new(form: Form, layout: &Arc<Layout>, bytes: Vec<u8>) -> Self {
        Self {
            form,
            layout: Arc::clone(layout),
            digest: xxh3_64(&bytes),
            bytes: bytes.into(),
        }
    }

    /// What they stand for.
    pub const fn form(&self) -> Form {
        self.form
    }

    /// Of what network.
    pub const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// What travels.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn wire_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) const fn digest(&self) -> u64 {
        self.digest
    }
}
