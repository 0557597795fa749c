//! Values as bytes and back, for checkpoints.
//!
//! A type that can be part of a checkpoint is a [`Snapshot`]. The macros here implement it for a struct
//! or an enum from the names of its fields, and do not compile when a field is left out. Numbers are
//! little-endian or LEB128, and floats are their bits. A value that is shared by reference ([`Arc`]) is
//! written once, and is shared again when it is read ([`Writer::shared`]).
//!
//! - `writer`, `reader`: the two ends of a stream;
//! - `values`: numbers, text, lists and maps;
//! - `file`: a stream as a file that is whole or not there, with a checksum;
//! - `memory`: a stream in memory, with a checksum.
//!
//! [`Arc`]: std::sync::Arc

pub(crate) mod file;
pub(crate) mod memory;
mod reader;
mod values;
mod writer;

pub use reader::{Damaged, Reader};
pub(crate) use values::load_floats;
pub use writer::Writer;

/// A value that can be written to a checkpoint and read from it.
pub trait Snapshot: Sized {
    /// Writes the value.
    fn save(&self, to: &mut Writer);

    /// Reads a value that [`Snapshot::save`] wrote.
    ///
    /// # Errors
    /// Returns [`Damaged`] when the bytes are not those of such a value.
    fn load(from: &mut Reader) -> Result<Self, Damaged>;

    /// Writes many values, without their number.
    fn save_all(items: &[Self], to: &mut Writer) {
        items.iter().for_each(|item| item.save(to));
    }

    /// Reads `count` values.
    ///
    /// # Errors
    /// Returns [`Damaged`] as [`Snapshot::load`] does.
    fn load_all(count: usize, from: &mut Reader) -> Result<Vec<Self>, Damaged> {
        // A wrong count leads to an error at the end of the bytes; it must not use up the memory
        // before.
        let mut items = Vec::with_capacity(count.min(1 << 12));
        for _ in 0..count {
            items.push(Self::load(from)?);
        }
        Ok(items)
    }
}

/// Makes a struct a [`Snapshot`]: `snapshot_struct!(Tally { sent, delivered })`, or
/// `snapshot_struct!(impl<M> Parcel<M> { source, message })`.
macro_rules! snapshot_struct {
    (impl<$($g:ident),+> $type:ty { $($field:ident),+ $(,)? }) => {
        impl<$($g: $crate::snapshot::Snapshot),+> $crate::snapshot::Snapshot for $type {
            $crate::snapshot::snapshot_struct!(@body $($field),+);
        }
    };
    (@body $($field:ident),+) => {
        fn save(&self, to: &mut $crate::snapshot::Writer) {
            let Self { $($field),+ } = self;
            $($crate::snapshot::Snapshot::save($field, to);)+
        }

        fn load(
            from: &mut $crate::snapshot::Reader,
        ) -> Result<Self, $crate::snapshot::Damaged> {
            $(let $field = $crate::snapshot::Snapshot::load(from)?;)+
            Ok(Self { $($field),+ })
        }
    };
    ($type:ty { $($field:ident),+ $(,)? }) => {
        impl $crate::snapshot::Snapshot for $type {
            $crate::snapshot::snapshot_struct!(@body $($field),+);
        }
    };
}

/// Makes an enum a [`Snapshot`]; each variant has a number that is never given to another:
/// `snapshot_enum!(Body { 0 => Timer(token), 1 => Start, 2 => Lost { at } })`.
macro_rules! snapshot_enum {
    (impl<$($g:ident),+> $type:ty { $($variants:tt)+ }) => {
        impl<$($g: $crate::snapshot::Snapshot),+> $crate::snapshot::Snapshot for $type {
            $crate::snapshot::snapshot_enum!(@body $type, $($variants)+);
        }
    };
    (@body $type:ty, $($tag:literal => $variant:ident
        $(($($item:ident),+))? $({ $($field:ident),+ })?),+ $(,)?) => {
        fn save(&self, to: &mut $crate::snapshot::Writer) {
            match self {
                $(Self::$variant $(($($item),+))? $({ $($field),+ })? => {
                    to.tag($tag);
                    $($($crate::snapshot::Snapshot::save($item, to);)+)?
                    $($($crate::snapshot::Snapshot::save($field, to);)+)?
                })+
            }
        }

        fn load(
            from: &mut $crate::snapshot::Reader,
        ) -> Result<Self, $crate::snapshot::Damaged> {
            match from.tag()? {
                $($tag => {
                    $($(let $item = $crate::snapshot::Snapshot::load(from)?;)+)?
                    $($(let $field = $crate::snapshot::Snapshot::load(from)?;)+)?
                    Ok(Self::$variant $(($($item),+))? $({ $($field),+ })?)
                })+
                other => Err($crate::snapshot::Damaged::new(format!(
                    "{other} is no {}",
                    stringify!($type)
                ))),
            }
        }
    };
    ($type:ty { $($variants:tt)+ }) => {
        impl $crate::snapshot::Snapshot for $type {
            $crate::snapshot::snapshot_enum!(@body $type, $($variants)+);
        }
    };
}

pub(crate) use {snapshot_enum, snapshot_struct};

#[cfg(test)]
pub(crate) mod testing {
    //! Streams in memory, for tests.

    use super::{memory, Damaged, Reader, Snapshot, Writer};
    use std::io;

    /// The bytes that `save` writes.
    pub fn bytes_of(save: impl FnOnce(&mut Writer)) -> Vec<u8> {
        try_bytes_of(save).unwrap()
    }

    /// The bytes that `save` writes, or the error.
    pub fn try_bytes_of(save: impl FnOnce(&mut Writer)) -> io::Result<Vec<u8>> {
        let mut bytes = memory::write(save)?;
        // Tests of values leave out the checksum.
        bytes.truncate(bytes.len() - 8);
        Ok(bytes)
    }

    /// A reader of `bytes`.
    pub fn reader(bytes: &[u8]) -> Reader {
        let source = std::io::Cursor::new(bytes.to_vec());
        Reader::new(Box::new(source), bytes.len() as u64)
    }

    /// Writes `value`, reads it back and returns it; no bytes may be left over.
    pub fn again<T: Snapshot>(value: &T) -> Result<T, Damaged> {
        let mut from = reader(&bytes_of(|to| value.save(to)));
        let value = T::load(&mut from)?;
        assert_eq!(from.left(), 0);
        Ok(value)
    }
}
