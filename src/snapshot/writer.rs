//! The writing end of a stream.

use super::Snapshot;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// The number of bytes that are handed to the sink in one go.
const CHUNK: usize = 1 << 16;

/// Writes values to a stream.
///
/// The first error is kept and returned by [`Writer::finish`]; until then, further values go nowhere.
/// So the code of a [`Snapshot`] need not check for errors at every byte.
pub struct Writer {
    sink: Box<dyn Write + Send>,
    buffer: Vec<u8>,
    hash: Xxh3,
    error: Option<io::Error>,
    /// The numbers of shared values, by address and type.
    numbers: BTreeMap<(usize, TypeId), u64>,
    /// The shared values themselves are kept, so that no other value can come to lie at the address of
    /// one.
    held: Vec<Box<dyn Any + Send>>,
}

impl Writer {
    /// A writer to `sink`.
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

    /// A writer to nowhere, which stands in for a writer that other code has for a while.
    pub(crate) fn nowhere() -> Self {
        Self::new(Box::new(io::sink()))
    }

    /// Writes raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        if self.error.is_some() {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.spend();
        }
    }

    /// Hands the buffer to the sink.
    fn spend(&mut self) {
        self.hash.update(&self.buffer);
        if let Err(error) = self.sink.write_all(&self.buffer) {
            self.error.get_or_insert(error);
        }
        self.buffer.clear();
    }

    /// Writes a number, in as few bytes as it needs (LEB128).
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes(&[number as u8 | 0x80]);
            number >>= 7;
        }
        self.bytes(&[number as u8]);
    }

    /// Writes the number of an enum's variant.
    pub fn tag(&mut self, tag: u8) {
        self.bytes(&[tag]);
    }

    /// Writes a list with its length.
    pub fn list<T: Snapshot>(&mut self, items: &[T]) {
        self.number(items.len() as u64);
        T::save_all(items, self);
    }

    /// Writes a mark between parts; [`super::Reader::mark`] checks it.
    pub fn mark(&mut self, name: &str) {
        let word = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
        self.bytes(&word.to_le_bytes()[..4]);
    }

    /// Writes a shared value: `save` writes the value the first time, and later only its number is
    /// written.
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

    /// Reports that a value cannot be written; the checkpoint fails.
    pub fn fail(&mut self, reason: impl Into<String>) {
        let reason: String = reason.into();
        self.error.get_or_insert_with(|| io::Error::other(reason));
    }

    /// Hands the rest to the sink, followed by the checksum (XXH3, 64 bits) of everything.
    ///
    /// # Errors
    /// Returns the first error since the writer was made.
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
