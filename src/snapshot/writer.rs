//! The end of a stream that is written.

use super::Snapshot;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// Bytes that are handed to the sink at once.
const CHUNK: usize = 1 << 16;

/// Where values are written.
///
/// The first thing that goes wrong is kept and told at the end; until then writing goes on into
/// nothing, so that a [`Snapshot`] needs not look after every byte.
pub struct Writer {
    sink: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    hash: Xxh3,
    error: Option<io::Error>,
    /// The numbers of shared values, by address and type.
    numbers: BTreeMap<(usize, TypeId), u64>,
    /// The shared values themselves, so that no other comes to lie at the address of one.
    held: Vec<Box<dyn Any + Send>>,
}

impl Writer {
    /// Writes to `sink`.
    pub fn new(sink: Box<dyn Write + Send>) -> Self {
        Self {
            sink,
            buffer: Vec::with_capacity(CHUNK),
            hash: Xxh3::new(),
            error: None,
            numbers: BTreeMap::new(),
            held: Vec::new(),
        }
    }

    /// Writes nowhere: what stands in for a writer that somebody else has for a while.
    pub(crate) fn nowhere() -> Self {
        Self::new(Box::new(io::sink()))
    }

    /// Raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.spend();
        }
    }

    /// Hands the buffer on.
    fn spend(&mut self) {
        self.hash.update(&self.buffer);
        if let Err(error) = self.sink.write_all(&self.buffer) {
            self.error.get_or_insert(error);
        }
        self.buffer.clear();
    }

    /// A number, in as few bytes as it needs (LEB128).
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes(&[number as u8 | 0x80]);
            number >>= 7;
        }
        self.bytes(&[number as u8]);
    }

    /// The number of a variant.
    pub fn tag(&mut self, tag: u8) {
        self.bytes(&[tag]);
    }

    /// A list with its length.
    pub fn list<T: Snapshot>(&mut self, items: &[T]) {
        self.number(items.len() as u64);
        T::save_all(items, self);
    }

    /// A mark between parts: what is read is held against it ([`super::Reader::mark`]).
    pub fn mark(&mut self, name: &str) {
        let word = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        self.bytes(&word.to_le_bytes()[..4]);
    }

    /// A shared value: `save` writes it the first time, and only then.
    pub fn shared<T: ?Sized + Send + Sync + 'static>(
        &mut self,
        value: &Arc<T>,
        save: impl FnOnce(&mut Self),
    ) {
        let address = (
            Arc::as_ptr(value).cast::<()>() as usize,
            TypeId::of::<Arc<T>>(),
        );
        if let Some(&number) = self.numbers.get(&address) {
            return self.number(number);
        }
        let number = self.held.len() as u64;
        self.numbers.insert(address, number);
        self.held.push(Box::new(Arc::clone(value)));
        self.number(number);
        save(self);
    }

    /// Something cannot be written: the checkpoint fails.
    pub fn fail(&mut self, reason: impl Into<String>) {
        let reason: String = reason.into();
        self.error.get_or_insert_with(|| io::Error::other(reason));
    }

    /// Hands the rest to the sink, with the checksum (XXH3, 64 bits) of everything.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn finish(mut self) -> io::Result<()> {
        self.spend();
        let checksum = self.hash.digest();
        match self.error.take() {
            Some(error) => Err(error),
            None => {
                self.sink.write_all(&checksum.to_le_bytes())?;
                self.sink.flush()
            }
        }
    }
}
