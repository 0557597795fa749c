//! The reading end of a stream.

use super::Snapshot;
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use thiserror::Error;

/// An error: bytes of a checkpoint that are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Damaged(String);

impl Damaged {
    /// An error with a reason that says what was found and what was expected.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// Reads values from a stream.
pub struct Reader {
    source: Box<dyn Read>,
    /// The number of bytes that are not yet read.
    left: u64,
    /// Shared values by their numbers; `None` while a value is being read.
    shared: Vec<Option<Box<dyn Any>>>,
    known: BTreeMap<TypeId, Box<dyn Any>>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reader({} bytes left)", self.left)
    }
}

impl Reader {
    /// A reader of `length` bytes of `source`.
    pub fn new(source: Box<dyn Read>, length: u64) -> Self {
        Self {
            source,
            left: length,
            shared: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// Makes a value known to which other values refer without containing it, such as the layouts of a
    /// run's networks; one value of each type.
    pub fn know<T: 'static>(&mut self, thing: T) {
        self.known.insert(TypeId::of::<T>(), Box::new(thing));
    }

    /// The value of type `T` that was made known, if there is one.
    pub fn known<T: 'static>(&self) -> Option<&T> {
        let thing = self.known.get(&TypeId::of::<T>())?;
        thing.downcast_ref()
    }

    /// The number of bytes that are not yet read.
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// Fills `bytes` with raw bytes of the stream.
    ///
    /// # Errors
    /// Returns [`Damaged`] when fewer bytes are left.
    pub fn bytes(&mut self, bytes: &mut [u8]) -> Result<(), Damaged> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| Damaged::new("it ends too early"))?;
        let read = self.source.read_exact(bytes);
        read.map_err(|error| Damaged::new(format!("cannot read on: {error}")))
    }

    /// Reads the number of an enum's variant.
    ///
    /// # Errors
    /// Returns [`Damaged`] at the end of the bytes.
    pub fn tag(&mut self) -> Result<u8, Damaged> {
        let mut tag = [0];
        self.bytes(&mut tag)?;
        Ok(tag[0])
    }

    /// Reads a number (LEB128).
    ///
    /// # Errors
    /// Returns [`Damaged`] at the end of the bytes, or when the number has more than 64 bits.
    pub fn number(&mut self) -> Result<u64, Damaged> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.tag()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Damaged::new("a number of more than 64 bits"))
    }

    /// Reads the length of a list.
    ///
    /// # Errors
    /// Returns [`Damaged`] when the bytes that are left cannot hold that many elements.
    pub fn length(&mut self) -> Result<usize, Damaged> {
        let length = self.number()?;
        // The densest lists are flags, eight to a byte.
        if length > self.left.saturating_mul(8) {
            return Err(Damaged::new(format!(
                "a list of {length} where {} bytes are left",
                self.left
            )));
        }
        usize::try_from(length).map_err(|_| Damaged::new(format!("a list of {length}")))
    }

    /// Reads a list with its length.
    ///
    /// # Errors
    /// Returns [`Damaged`] when an element cannot be read.
    pub fn list<T: Snapshot>(&mut self) -> Result<Vec<T>, Damaged> {
        let length = self.length()?;
        T::load_all(length, self)
    }

    /// Reads a mark and compares it with `name`.
    ///
    /// # Errors
    /// Returns [`Damaged`] when another mark is here.
    pub fn mark(&mut self, name: &str) -> Result<(), Damaged> {
        let word = xxhash_rust::xxh3::xxh3_64(name.as_bytes()).to_le_bytes();
        let mut found = [0; 4];
        self.bytes(&mut found)?;
        match found == word[..4] {
            true => Ok(()),
            false => Err(Damaged::new(format!(
                "the part {name:?} is not where it should be"
            ))),
        }
    }

    /// Reads a shared value that [`super::Writer::shared`] wrote: `load` reads it the first time, and
    /// later calls share it.
    ///
    /// # Errors
    /// Returns [`Damaged`] when the value cannot be read, or has another type than the first time.
    pub fn shared<T: Clone + 'static>(
        &mut self,
        load: impl FnOnce(&mut Self) -> Result<T, Damaged>,
    ) -> Result<T, Damaged> {
        let number = self.number()?;
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        if place == self.shared.len() {
            self.shared.push(None);
            let value = load(self)?;
            if let Some(slot) = self.shared.get_mut(place) {
                *slot = Some(Box::new(value.clone()));
            }
            return Ok(value);
        }
        let value = self.shared.get(place).and_then(Option::as_ref);
        let value = value.and_then(|value| value.downcast_ref::<T>());
        let unknown = || Damaged::new(format!("no shared value {number} of this type"));
        value.cloned().ok_or_else(unknown)
    }
}
