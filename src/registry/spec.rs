//! One thing that a scenario names, with its settings.

use super::{Kind, Registry};
use crate::text::{Diagnostics, Document, Opener};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, VariantAccess};
use serde::ser::{Serialize, Serializer};
use std::any::Any;
use std::fmt::{self, Debug};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

/// What something must be, beside what its kind asks, to be named in a scenario: its settings are
/// printed, compared and written. Implemented for every type that can be.
pub trait Settings: Any + Debug + erased_serde::Serialize + Send + Sync {
    /// Whether the other is of the same type and equal.
    fn equals(&self, other: &dyn Settings) -> bool;
}

impl<M: Any + Debug + Serialize + PartialEq + Send + Sync> Settings for M {
    fn equals(&self, other: &dyn Settings) -> bool {
        let other: &dyn Any = other;
        other
            .downcast_ref::<Self>()
            .is_some_and(|other| self == other)
    }
}

/// Something of the kind `T`.
pub trait Plug<T: ?Sized>: Settings + Sized {
    /// This, behind the trait of the kind.
    fn plug(this: Arc<Self>) -> Arc<T>;
}

/// Something of the kind `T` by its name, with its settings. Copies share it.
pub struct Spec<T: ?Sized> {
    name: &'static str,
    plugged: Arc<T>,
    settings: Arc<dyn Settings>,
}

impl<T: Kind + ?Sized> Spec<T> {
    /// `settings`, which scenarios call `name`.
    pub fn new<M: Plug<T>>(name: &'static str, settings: M) -> Self {
        Self::shared(name, Arc::new(settings))
    }

    pub(super) fn shared<M: Plug<T>>(name: &'static str, settings: Arc<M>) -> Self {
        Self {
            name,
            plugged: M::plug(Arc::clone(&settings)),
            settings,
        }
    }

    /// The name in a scenario.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What is named.
    pub fn get(&self) -> &T {
        &self.plugged
    }

    /// The settings, if they are of the type `M`.
    pub fn settings<M: Settings>(&self) -> Option<&M> {
        let settings: &dyn Any = &*self.settings;
        settings.downcast_ref()
    }
}

impl<T: ?Sized> Clone for Spec<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            plugged: Arc::clone(&self.plugged),
            settings: Arc::clone(&self.settings),
        }
    }
}

impl<T: ?Sized> Debug for Spec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.name).field(&self.settings).finish()
    }
}

impl<T: ?Sized> PartialEq for Spec<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.settings.equals(&*other.settings)
    }
}

/// As a variant over the settings: `FedProx((mu: 0.01))` in RON.
impl<T: ?Sized> Serialize for Spec<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settings: &dyn erased_serde::Serialize = &*self.settings;
        serializer.serialize_newtype_variant("Spec", 0, self.name, settings)
    }
}

/// As it is written, by the entries of the current registry.
impl<'de, T: Kind + ?Sized> Deserialize<'de> for Spec<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let entries = Registry::current().of::<T>();
        let names = entries.names();
        deserializer.deserialize_enum("Spec", names, Visitor(&entries))
    }
}

/// As a scenario names it: `"FedProx(mu: 0.1)".parse::<MethodSpec>()`.
impl<T: Kind + ?Sized> FromStr for Spec<T> {
    type Err = Diagnostics;

    fn from_str(text: &str) -> Result<Self, Diagnostics> {
        Document::parse(text, Path::new(T::ONE))?.read()
    }
}

struct Visitor<'a, T: ?Sized>(&'a super::Entries<T>);

impl<'de, T: Kind + ?Sized> serde::de::Visitor<'de> for Visitor<'_, T> {
    type Value = Spec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::ONE)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, named: A) -> Result<Spec<T>, A::Error> {
        let (name, settings) = named.variant::<String>()?;
        let unknown = || A::Error::unknown_variant(&name, self.0.names());
        self.0.read(&name, settings)?.ok_or_else(unknown)
    }
}

impl<T: Kind + ?Sized> super::Entries<T> {
    /// The settings of `name`; none if the list has no such entry.
    pub(crate) fn read<'de, A: VariantAccess<'de>>(
        &self,
        name: &str,
        settings: A,
    ) -> Result<Option<Spec<T>>, A::Error> {
        let Some(entry) = self.named(name) else {
            return Ok(None);
        };
        let settings = settings.newtype_variant_seed(Opened(entry.opener))?;
        let spec = (entry.spec)(entry.name, settings);
        let other = || A::Error::custom("settings of another type");
        spec.ok_or_else(other).map(Some)
    }
}

struct Opened(Opener);

impl<'de> DeserializeSeed<'de> for Opened {
    type Value = Box<dyn Any>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Box<dyn Any>, D::Error> {
        self.0.read(deserializer)
    }
}
