//! The list of a kind.

use super::{Kind, Plug, Spec};
use crate::text::Opener;
use serde::Deserialize;
use std::any::Any;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Why something cannot be added to a list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Taken {
    /// Something else has the name.
    #[error("{kind} called {name} is there already")]
    Name {
        /// What is called so, with its article.
        kind: &'static str,
        /// The name.
        name: &'static str,
    },
    /// Scenarios could not say the name.
    #[error("{name:?} is no name: expected letters, digits and _, beginning with a letter")]
    NoName {
        /// What was to be one.
        name: &'static str,
    },
}

/// One type of a kind, and the name that scenarios have for it.
pub struct Entry<T: ?Sized> {
    /// The name.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    pub(super) opener: Opener,
    pub(super) spec: fn(&'static str, Box<dyn Any>) -> Option<Spec<T>>,
}

impl<T: ?Sized> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self { ..*self }
    }
}

impl<T: Kind + ?Sized> Entry<T> {
    /// For the type `M`.
    pub fn of<M: Plug<T> + for<'de> Deserialize<'de>>(
        name: &'static str,
        about: &'static str,
    ) -> Self {
        Self {
            name,
            about,
            opener: Opener::of::<M>(),
            spec: |name, settings| {
                let settings = settings.downcast::<M>().ok()?;
                Some(Spec::shared(name, Arc::<M>::from(settings)))
            },
        }
    }
}

/// All of a kind, in the order in which they are listed.
pub struct Entries<T: ?Sized> {
    all: Vec<Entry<T>>,
    names: &'static [&'static str],
}

impl<T: ?Sized> Clone for Entries<T> {
    fn clone(&self) -> Self {
        Self {
            all: self.all.clone(),
            names: self.names,
        }
    }
}

impl<T: ?Sized> Entries<T> {
    /// The entries; of those with one name the first is found.
    pub fn new(all: &[Entry<T>]) -> Self {
        let all = all.to_vec();
        let names = lasting(all.iter().map(|entry| entry.name).collect());
        Self { all, names }
    }

    /// The entry that scenarios call `name`.
    pub fn named(&self, name: &str) -> Option<&Entry<T>> {
        self.all.iter().find(|entry| entry.name == name)
    }

    /// All names, in order.
    pub const fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// The names of `first`, and then those of the list.
    pub fn names_after(&self, first: &[&'static str]) -> &'static [&'static str] {
        lasting(first.iter().chain(self.names).copied().collect())
    }

    /// Each with its name and what it is.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry<T>> {
        self.all.iter()
    }
}

impl<T: Kind + ?Sized> Entries<T> {
    /// The names of those that are right with their default settings; what cannot do without settings
    /// is left out.
    pub fn those(&self, right: impl Fn(&T) -> bool) -> Vec<&'static str> {
        let names = self.names.iter();
        let named = names.filter(|name| {
            let spec = name.parse::<Spec<T>>();
            spec.is_ok_and(|spec| right(spec.get()))
        });
        named.copied().collect()
    }

    pub(super) fn add(&mut self, entry: Entry<T>) -> Result<(), Taken> {
        let name = entry.name;
        let mut letters = name.chars();
        let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
        if !begins || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Taken::NoName { name });
        }
        if self.named(name).is_some() {
            return Err(Taken::Name { kind: T::ONE, name });
        }
        self.all.push(entry);
        *self = Self::new(&self.all);
        Ok(())
    }
}

/// The names for as long as the process lives, which is what serde asks of names. Lists that are equal
/// are kept once.
fn lasting(names: Vec<&'static str>) -> &'static [&'static str] {
    static KEPT: Mutex<BTreeSet<&'static [&'static str]>> = Mutex::new(BTreeSet::new());
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(names) = kept.get(&names[..]) {
        return names;
    }
    let names: &'static [&'static str] = names.leak();
    kept.insert(names);
    names
}
