//! How numbers, text, lists and maps are written to a checkpoint.

use super::{Damaged, Reader, Snapshot, Writer};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

impl Snapshot for () {
    fn save(&self, _: &mut Writer) {}

    fn load(_: &mut Reader) -> Result<Self, Damaged> {
        Ok(())
    }
}

macro_rules! unsigned {
    ($($type:ty),+) => {$(
        impl Snapshot for $type {
            fn save(&self, to: &mut Writer) {
                to.number(*self as u64);
            }

            fn load(from: &mut Reader) -> Result<Self, Damaged> {
                let number = from.number()?;
                let wide = |_| Damaged::new(format!("{number} is too large"));
                Self::try_from(number).map_err(wide)
            }
        }
    )+};
}

unsigned!(u16, u32, u64, usize);

/// Types with a fixed number of bytes, written in little-endian order.
macro_rules! plain {
    ($($type:ty),+) => {$(
        impl Snapshot for $type {
            fn save(&self, to: &mut Writer) {
                to.bytes(&self.to_le_bytes());
            }

            fn load(from: &mut Reader) -> Result<Self, Damaged> {
                let mut bytes = [0; size_of::<Self>()];
                from.bytes(&mut bytes)?;
                Ok(Self::from_le_bytes(bytes))
            }
        }
    )+};
}

plain!(u128, f64);

impl Snapshot for u8 {
    fn save(&self, to: &mut Writer) {
        to.tag(*self);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        from.tag()
    }

    fn save_all(items: &[Self], to: &mut Writer) {
        to.bytes(items);
    }

    fn load_all(count: usize, from: &mut Reader) -> Result<Vec<Self>, Damaged> {
        if count as u64 > from.left() {
            return Err(Damaged::new("it ends too early"));
        }
        let mut bytes = vec![0; count];
        from.bytes(&mut bytes)?;
        Ok(bytes)
    }
}

/// The number of floats that are converted in one go; their bytes fit a processor's cache.
const AT_ONCE: usize = 2048;

impl Snapshot for f32 {
    fn save(&self, to: &mut Writer) {
        to.bytes(&self.to_le_bytes());
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let mut bytes = [0; 4];
        from.bytes(&mut bytes)?;
        Ok(Self::from_le_bytes(bytes))
    }

    fn save_all(items: &[Self], to: &mut Writer) {
        let mut bytes = [0; 4 * AT_ONCE];
        for items in items.chunks(AT_ONCE) {
            for (place, item) in bytes.chunks_exact_mut(4).zip(items) {
                place.copy_from_slice(&item.to_le_bytes());
            }
            to.bytes(&bytes[..4 * items.len()]);
        }
    }

    fn load_all(count: usize, from: &mut Reader) -> Result<Vec<Self>, Damaged> {
        if 4 * count as u64 > from.left() {
            return Err(Damaged::new("it ends too early"));
        }
        let mut items = vec![0.0; count];
        load_floats(&mut items, from)?;
        Ok(items)
    }
}

/// Fills `items` with floats of the stream.
pub(crate) fn load_floats(items: &mut [f32], from: &mut Reader) -> Result<(), Damaged> {
    let mut bytes = [0; 4 * AT_ONCE];
    for items in items.chunks_mut(AT_ONCE) {
        let bytes = &mut bytes[..4 * items.len()];
        from.bytes(bytes)?;
        for (item, place) in items.iter_mut().zip(bytes.chunks_exact(4)) {
            *item = f32::from_le_bytes([place[0], place[1], place[2], place[3]]);
        }
    }
    Ok(())
}

impl Snapshot for bool {
    fn save(&self, to: &mut Writer) {
        to.tag(u8::from(*self));
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        match from.tag()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(Damaged::new(format!("{other} is neither yes nor no"))),
        }
    }

    /// Flags are packed, eight to a byte.
    fn save_all(items: &[Self], to: &mut Writer) {
        for flags in items.chunks(8) {
            let bits = flags.iter().rev();
            to.tag(bits.fold(0, |byte, &flag| byte << 1 | u8::from(flag)));
        }
    }

    fn load_all(count: usize, from: &mut Reader) -> Result<Vec<Self>, Damaged> {
        let bytes = u8::load_all(count.div_ceil(8), from)?;
        let flags = bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        Ok(flags.take(count).collect())
    }
}

impl Snapshot for String {
    fn save(&self, to: &mut Writer) {
        to.list(self.as_bytes());
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let bytes = from.list()?;
        Self::from_utf8(bytes).map_err(|_| Damaged::new("a text that is not UTF-8"))
    }
}

impl<T: Snapshot> Snapshot for Option<T> {
    fn save(&self, to: &mut Writer) {
        to.tag(u8::from(self.is_some()));
        if let Some(value) = self {
            value.save(to);
        }
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(match bool::load(from)? {
            true => Some(T::load(from)?),
            false => None,
        })
    }
}

impl<T: Snapshot, E: Snapshot> Snapshot for Result<T, E> {
    fn save(&self, to: &mut Writer) {
        to.tag(u8::from(self.is_ok()));
        match self {
            Ok(value) => value.save(to),
            Err(error) => error.save(to),
        }
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(match bool::load(from)? {
            true => Ok(T::load(from)?),
            false => Err(E::load(from)?),
        })
    }
}

impl<T: Snapshot> Snapshot for Box<T> {
    fn save(&self, to: &mut Writer) {
        T::save(self, to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        T::load(from).map(Self::new)
    }
}

impl<T: Snapshot> Snapshot for Vec<T> {
    fn save(&self, to: &mut Writer) {
        to.list(self);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        from.list()
    }
}

impl<T: Snapshot> Snapshot for VecDeque<T> {
    fn save(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        self.iter().for_each(|item| item.save(to));
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(Vec::load(from)?.into())
    }
}

impl<T: Snapshot + Send + Sync + 'static> Snapshot for Arc<T> {
    fn save(&self, to: &mut Writer) {
        to.shared(self, |to| T::save(self, to));
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        from.shared(|from| T::load(from).map(Self::new))
    }
}

impl<T: Snapshot + Send + Sync + 'static> Snapshot for Arc<[T]> {
    fn save(&self, to: &mut Writer) {
        to.shared(self, |to| to.list(self));
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        from.shared(|from| Ok(from.list()?.into()))
    }
}

impl Snapshot for Arc<str> {
    fn save(&self, to: &mut Writer) {
        to.shared(self, |to| to.list(self.as_bytes()));
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        from.shared(|from| String::load(from).map(Self::from))
    }
}

impl<K: Snapshot + Ord, V: Snapshot> Snapshot for BTreeMap<K, V> {
    fn save(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        for (key, value) in self {
            key.save(to);
            value.save(to);
        }
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let entries: Vec<(K, V)> = from.list()?;
        Ok(entries.into_iter().collect())
    }
}

impl<T: Snapshot + Ord> Snapshot for BTreeSet<T> {
    fn save(&self, to: &mut Writer) {
        to.number(self.len() as u64);
        self.iter().for_each(|item| item.save(to));
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok(from.list()?.into_iter().collect())
    }
}

impl Snapshot for i32 {
    fn save(&self, to: &mut Writer) {
        self.cast_unsigned().save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        u32::load(from).map(u32::cast_signed)
    }
}

impl<A: Snapshot, B: Snapshot, C: Snapshot> Snapshot for (A, B, C) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
        self.2.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok((A::load(from)?, B::load(from)?, C::load(from)?))
    }
}

impl<A: Snapshot, B: Snapshot> Snapshot for (A, B) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        Ok((A::load(from)?, B::load(from)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{again, bytes_of, reader};
    use super::super::{snapshot_enum, snapshot_struct};
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Pair<T> {
        left: T,
        right: Option<Box<T>>,
    }

    snapshot_struct!(impl<T> Pair<T> { left, right });

    #[derive(Debug, Clone, PartialEq)]
    enum Choice {
        Nothing,
        Named(String, u128),
        Field { flags: Vec<bool> },
    }

    snapshot_enum!(Choice {
        0 => Nothing,
        1 => Named(name, number),
        7 => Field { flags },
    });

    fn choices() -> impl Strategy<Value = Choice> {
        prop_oneof![
            Just(Choice::Nothing),
            (".*", any::<u128>()).prop_map(|(name, number)| Choice::Named(name, number)),
            prop::collection::vec(any::<bool>(), 0..40).prop_map(|flags| Choice::Field { flags }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_bit_by_bit(
            numbers in prop::collection::btree_map(any::<u64>(), any::<u32>(), 0..20),
            floats in prop::collection::vec(any::<u32>().prop_map(f32::from_bits), 0..5_000),
            double in any::<u64>().prop_map(f64::from_bits),
            choices in prop::collection::vec(choices(), 0..9),
        ) {
            prop_assert_eq!(again(&numbers).unwrap(), numbers.clone());
            let bits = |list: &[f32]| -> Vec<u32> { list.iter().map(|f| f.to_bits()).collect() };
            prop_assert_eq!(bits(&again(&floats).unwrap()), bits(&floats));
            prop_assert_eq!(again(&double).unwrap().to_bits(), double.to_bits());
            let pair = Pair { left: choices.clone(), right: Some(Box::new(choices)) };
            prop_assert_eq!(again(&pair).unwrap(), pair);
        }

        /// Whatever the bytes: an error or a value, never a panic or memory without end.
        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Vec::<Pair<Choice>>::load(&mut reader(&bytes));
            let _ = BTreeMap::<u32, Arc<[f32]>>::load(&mut reader(&bytes));
            let _ = Vec::<Arc<Vec<bool>>>::load(&mut reader(&bytes));
            let _ = VecDeque::<(u8, Arc<str>)>::load(&mut reader(&bytes));
        }

        #[test]
        fn every_cut_is_an_error(choices in prop::collection::vec(choices(), 1..5)) {
            let bytes = bytes_of(|to| choices.save(to));
            for length in 0..bytes.len() {
                prop_assert!(Vec::<Choice>::load(&mut reader(&bytes[..length])).is_err());
            }
        }
    }

    #[test]
    fn what_is_shared_is_written_once_and_shared_again() {
        let one: Arc<[f32]> = vec![1.5; 1_000].into();
        let twin: Arc<[f32]> = vec![1.5; 1_000].into();
        let all = vec![Arc::clone(&one), Arc::clone(&twin), one];
        assert!(bytes_of(|to| all.save(to)).len() < 2 * 4_000 + 20);
        let read = again(&all).unwrap();
        assert_eq!(read, all);
        assert!(Arc::ptr_eq(&read[0], &read[2]));
        assert!(
            !Arc::ptr_eq(&read[0], &read[1]),
            "equal, but never the same"
        );
    }

    #[test]
    fn a_shared_value_can_hold_others() {
        let inner: Arc<str> = "inner".into();
        let outer = Arc::new((Arc::clone(&inner), 7u32));
        let all = (outer, inner);
        let read = again(&all).unwrap();
        assert_eq!(read, all);
        assert!(Arc::ptr_eq(&read.0 .0, &read.1));
    }

    #[test]
    fn marks_tell_parts_apart() {
        let bytes = bytes_of(|to| to.mark("nodes"));
        assert!(reader(&bytes).mark("nodes").is_ok());
        let error = reader(&bytes).mark("events").unwrap_err().to_string();
        assert_eq!(error, "the part \"events\" is not where it should be");
    }
}
