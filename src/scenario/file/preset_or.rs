//! A preset by name, or fields of one's own.

use crate::text::read_fields;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::Deserialize;
use std::fmt;
use std::marker::PhantomData;

/// `"name"`, or `(preset: "name", field: value, ...)` with any of the fields.
#[derive(Debug, Clone)]
pub enum PresetOr<T> {
    /// A name.
    Preset(String),
    /// Fields.
    Fields(T),
}

impl<T> PresetOr<T> {
    /// The preset called `name`.
    pub fn named(name: &str) -> Self {
        Self::Preset(name.to_string())
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for PresetOr<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Either<T> {
            type Value = PresetOr<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a preset's name in quotes, or fields in brackets")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(PresetOr::Preset(name.to_string()))
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<Self::Value, E> {
                Ok(PresetOr::Fields(T::default()))
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                read_fields(fields).map(PresetOr::Fields)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(PresetOr::Fields(T::default()))
            }
        }
        from.deserialize_any(Either(PhantomData))
    }
}
