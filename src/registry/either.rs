//! Enums of this crate whose names others can add to: what scenarios read as one of the variants, or as
//! something of a kind.

use super::{Entries, Kind, Registry, Spec};
use serde::de::value::{EnumAccessDeserializer, StringDeserializer};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, VariantAccess,
    Visitor,
};
use std::fmt;
use std::marker::PhantomData;

/// An enum, one variant of which holds whatever else the registry has.
pub(crate) trait Either: Sized {
    /// What else there is.
    type Other: Kind + ?Sized;

    /// The names of the variants.
    fn variants() -> &'static [&'static str];

    /// One of them, as serde derives it.
    fn variant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;

    /// Something else.
    fn other(spec: Spec<Self::Other>) -> Self;
}

/// Reads one of the variants, or something else of the current registry, by its name.
pub(crate) fn read<'de, T: Either, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let entries = Registry::current().of::<T::Other>();
    let names = entries.names_after(T::variants());
    let visitor = ByName::<T> {
        names,
        entries: &entries,
    };
    deserializer.deserialize_enum(T::Other::ONE, names, visitor)
}

struct ByName<'a, T: Either> {
    names: &'static [&'static str],
    entries: &'a Entries<T::Other>,
}

impl<'de, T: Either> Visitor<'de> for ByName<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::Other::ONE)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, named: A) -> Result<T, A::Error> {
        let (Name(name), settings) = named.variant::<Name>()?;
        if T::variants().contains(&name.as_str()) {
            let again = Again {
                name,
                settings,
                error: PhantomData,
            };
            return T::variant(EnumAccessDeserializer::new(again));
        }
        match self.entries.read(&name, settings)? {
            Some(spec) => Ok(T::other(spec)),
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
                f.write_str("a name")
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

impl<'de, E: Error, A: VariantAccess<'de, Error = E>> EnumAccess<'de> for Again<A, E> {
    type Error = E;
    type Variant = A;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, A), E> {
        let name: StringDeserializer<E> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.settings))
    }
}

/// Makes an enum one that others can add to: `either! { LossFile, dyn PacketLoss }`. The enum has a variant
/// `Other(Spec<dyn PacketLoss>)` that serde skips, and `#[serde(remote = "Self")]`, so that what serde
/// derives is a function beside the trait.
// Some of the kinds are above the network and are not built without torch.
#[cfg_attr(not(feature = "torch"), allow(unused_macros))]
macro_rules! either {
    ($enum:ty, $kind:ty) => {
        impl $crate::registry::Either for $enum {
            type Other = $kind;

            fn variants() -> &'static [&'static str] {
                struct Variants;
                impl<'de> serde::Deserialize<'de> for Variants {
                    fn deserialize<D: serde::Deserializer<'de>>(
                        deserializer: D,
                    ) -> Result<Self, D::Error> {
                        <$enum>::deserialize(deserializer).map(|_| Self)
                    }
                }
                $crate::text::names_of::<Variants>()
            }

            fn variant<'de, D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                <$enum>::deserialize(deserializer)
            }

            fn other(spec: $crate::registry::Spec<$kind>) -> Self {
                Self::Other(spec)
            }
        }

        impl<'de> serde::Deserialize<'de> for $enum {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::registry::read_either(deserializer)
            }
        }
    };
}
pub(crate) use either;
