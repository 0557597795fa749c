//! Named things that are copied as often as numbers are.

use super::{Kind, Spec};
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Serialize, Serializer};
use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::{Mutex, PoisonError};

/// Something of the kind `T` that is kept for as long as the process lives: a handle to it is a reference.
/// What is written alike is kept once.
pub struct Interned<T: ?Sized + 'static>(&'static Spec<T>);

impl<T: Kind + ?Sized> Interned<T> {
    /// A handle to `spec`.
    pub fn new(spec: Spec<T>) -> Self {
        type Kept = BTreeMap<(TypeId, String), &'static (dyn Any + Send + Sync)>;
        static KEPT: Mutex<Kept> = Mutex::new(BTreeMap::new());
        let key = (TypeId::of::<T>(), written(&spec));
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept
            .get(&key)
            .and_then(|known| known.downcast_ref::<Spec<T>>());
        if let Some(known) = known.filter(|known| **known == spec) {
            return Self(known);
        }
        let spec: &'static Spec<T> = Box::leak(Box::new(spec));
        kept.insert(key, spec);
        Self(spec)
    }

    /// What is named.
    pub fn get(self) -> &'static T {
        self.0.get()
    }

    /// The name in a scenario.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

/// As a scenario would name it.
fn written<T: ?Sized>(spec: &Spec<T>) -> String {
    // Settings are numbers, text and lists: they have a form in text.
    ron::to_string(spec).unwrap_or_default()
}

impl<T: ?Sized> Clone for Interned<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Interned<T> {}

impl<T: ?Sized> PartialEq for Interned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: ?Sized> Debug for Interned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized> Serialize for Interned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: Kind + ?Sized> Snapshot for Interned<T> {
    fn save(&self, to: &mut Writer) {
        written(self.0).save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let text = String::load(from)?;
        let spec = text.parse::<Spec<T>>();
        let unknown = |_| Damaged::new(format!("{text}, which this program does not know"));
        spec.map(Self::new).map_err(unknown)
    }
}
