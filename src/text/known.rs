//! The names that a type can have: the fields of a struct, the variants of an enum.
//!
//! A derived type tells its names to every deserializer that reads it. A deserializer that only keeps
//! the names gives lists of names that cannot go out of date.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::{forward_to_deserialize_any, Deserialize};
use std::fmt;

/// A list of names.
pub type Names = &'static [&'static str];

/// The fields of the struct `T`, or the variants of the enum `T`; empty for any other type.
pub fn names_of<'de, T: Deserialize<'de>>() -> Names {
    let mut names: Names = &[];
    // The reading always fails, since there is no value to be read.
    let _ = T::deserialize(Listening(&mut names));
    names
}

/// A deserializer that reads nothing and keeps the names for which the type asks.
struct Listening<'a>(&'a mut Names);

impl<'de> Deserializer<'de> for Listening<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("nothing to read"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: Names,
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: Names,
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = variants;
        self.deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// Reads a struct from a map that a visitor was handed, and refuses names that are no field of the
/// struct.
///
/// serde's own [`serde::de::value::MapAccessDeserializer`] forgets which fields exist, so it would
/// ignore unknown ones.
///
/// # Errors
/// Returns the errors of reading a `T`, and an error for a name that `T` does not have.
pub fn read_fields<'de, T: Deserialize<'de>, A: MapAccess<'de>>(fields: A) -> Result<T, A::Error> {
    T::deserialize(Bracket(fields))
}

struct Bracket<A>(A);

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Bracket<A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_map(self.0)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        known: Names,
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_map(KnownOnly {
            fields: self.0,
            known,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// The entries of a map; a name that is not known is an error.
struct KnownOnly<A> {
    fields: A,
    known: Names,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for KnownOnly<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let known = self.known;
        self.fields.next_key_seed(KnownName { seed, known })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.fields.next_value_seed(seed)
    }
}

/// A name, which must be a known one.
struct KnownName<K> {
    seed: K,
    known: Names,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KnownName<K> {
    type Value = K::Value;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<K::Value, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<String, E> {
                Ok(name.to_string())
            }
        }
        let name = name.deserialize_identifier(Text)?;
        if !self.known.contains(&name.as_str()) {
            return Err(D::Error::unknown_field(&name, self.known));
        }
        self.seed
            .deserialize(StrDeserializer::<D::Error>::new(&name))
    }
}

#[cfg(all(test, feature = "torch"))]
mod tests {
    use super::*;
    use crate::scenario::file::{DeviceFields, RuleFile, ScenarioFile};

    #[test]
    fn types_tell_their_names() {
        assert!(names_of::<ScenarioFile>().contains(&"secure_aggregation"));
        assert!(names_of::<DeviceFields>().contains(&"startup"));
        assert!(names_of::<RuleFile>().contains(&"Dirichlet"));
        assert!(names_of::<u32>().is_empty());
    }
}
