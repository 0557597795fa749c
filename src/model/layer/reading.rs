//! Layers to and from text: the variants of [`LayerSpec`] and the registered layers share one list of
//! names.

use super::{Layer, LayerSpec};
use crate::registry::{Entries, Registry};
use crate::text::names_of;
use serde::de::value::{EnumAccessDeserializer, StringDeserializer};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

impl Serialize for LayerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Other(spec) => spec.serialize(serializer),
            // What serde has derived, an inherent function since it derives for `Self` as a remote type.
            variant => Self::serialize(variant, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LayerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Registry::current().of::<dyn Layer>();
        let names = entries.names_after(names_of::<Variants>());
        deserializer.deserialize_enum(
            "LayerSpec",
            names,
            Either {
                names,
                entries: &entries,
            },
        )
    }
}

/// The variants alone.
struct Variants(LayerSpec);

impl<'de> Deserialize<'de> for Variants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LayerSpec::deserialize(deserializer).map(Self)
    }
}

struct Either<'a> {
    names: &'static [&'static str],
    entries: &'a Entries<dyn Layer>,
}

impl<'de> Visitor<'de> for Either<'_> {
    type Value = LayerSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a layer")
    }

    fn visit_enum<A: EnumAccess<'de>>(self, named: A) -> Result<LayerSpec, A::Error> {
        let (Name(name), settings) = named.variant::<Name>()?;
        if names_of::<Variants>().contains(&name.as_str()) {
            let again = Again {
                name,
                settings,
                error: PhantomData,
            };
            return Variants::deserialize(EnumAccessDeserializer::new(again)).map(|read| read.0);
        }
        match self.entries.read(&name, settings)? {
            Some(spec) => Ok(LayerSpec::Other(spec)),
            None => Err(A::Error::unknown_variant(&name, self.names)),
        }
    }
}

/// The name of a variant.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a layer")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(name.to_string()))
            }
        }
        deserializer.deserialize_identifier(Written)
    }
}

/// A variant whose name has been read already.
struct Again<A, E> {
    name: String,
    settings: A,
    error: PhantomData<E>,
}

impl<'de, E: Error, A: serde::de::VariantAccess<'de, Error = E>> EnumAccess<'de> for Again<A, E> {
    type Error = E;
    type Variant = A;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, A), E> {
        let name: StringDeserializer<E> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.settings))
    }
}
