//! What a scenario can name: methods, attacks, defences, selections and compressions, each with its
//! settings.
//!
//! A *kind* of things that can be named is a trait, such as [`crate::method::Method`]; what is of that
//! kind is any type that implements it and can be read and written with serde. `Shoal` ships a list of
//! each kind ([`Kind::standard`]). A [`Registry`] is these lists and whatever a program of yours adds:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use shoal::registry::Registry;
//! use shoal::select::{Policy, Selection, SelectionSpec};
//!
//! /// Everybody with the same probability, under a name of our own.
//! #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
//! #[serde(default)]
//! struct Fairly {}
//!
//! impl Selection for Fairly {
//!     fn policy(&self) -> Box<dyn Policy> {
//!         SelectionSpec::default().selection().policy()
//!     }
//! }
//!
//! # #[cfg(not(feature = "torch"))]
//! # fn main() {}
//! # #[cfg(feature = "torch")]
//! # fn main() -> Result<(), shoal::registry::Taken> {
//! let mut registry = Registry::standard();
//! registry.add::<dyn Selection, Fairly>("Fairly", "Everybody with the same probability")?;
//! let text = "(data: Digits, model: \"mlp\", population: [(count: 8)], selection: Fairly())";
//! let scenario = registry.scope(|| {
//!     shoal::scenario::Scenario::parse(text, std::path::Path::new("mine.ron"), &[])
//! });
//! assert_eq!(scenario.unwrap().selection.name(), "Fairly");
//! # Ok(())
//! # }
//! ```
//!
//! Scenarios are read in many places: by `run`, by `verify` and `resume` from a run's folder, by
//! workers on other machines. So the registry is not handed around: what is read is read against
//! [`Registry::current`], which is the one that the thread is in the [scope](Registry::scope) of, else
//! the one that the process has [installed](Registry::install), else the standard one.
//!
//! `spec` holds one thing by its name, `interned` one that is copied as numbers are, `entries` the list
//! of a kind; `either` reads enums of this crate whose names others can add to.

mod either;
mod entries;
mod interned;
mod spec;

pub(crate) use either::{either, read as read_either, Either};
pub use entries::{Entries, Entry, Taken};
pub use interned::Interned;
pub use spec::{Plug, Settings, Spec};

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// A kind of things that a scenario can name. Implemented for trait objects such as `dyn Method`, by
/// the macro `kind!` of this crate.
pub trait Kind: Any + Send + Sync {
    /// What one of it is called, with its article: `"a method"`.
    const ONE: &'static str;

    /// All of the kind that Shoal ships.
    fn standard() -> &'static Arc<Entries<Self>>;
}

/// The lists of all kinds.
#[derive(Clone, Default)]
pub struct Registry {
    /// Those to which something was added, by the kind.
    own: BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>,
}

thread_local! {
    static SCOPES: RefCell<Vec<Arc<Registry>>> = const { RefCell::new(Vec::new()) };
}
static INSTALLED: OnceLock<Arc<Registry>> = OnceLock::new();

impl Registry {
    /// What Shoal ships.
    pub fn standard() -> Self {
        Self::default()
    }

    /// All of a kind.
    pub fn of<T: Kind + ?Sized>(&self) -> Arc<Entries<T>> {
        let own = self.own.get(&TypeId::of::<T>());
        let own = own.and_then(|own| Arc::clone(own).downcast::<Entries<T>>().ok());
        own.unwrap_or_else(|| Arc::clone(T::standard()))
    }

    /// Adds `M` to a kind; scenarios call it `name` (letters, digits and `_`, beginning with a letter),
    /// and `about` says in a line what it is.
    ///
    /// # Errors
    /// When something of the kind has that name, or it is no name.
    pub fn add<T, M>(&mut self, name: &'static str, about: &'static str) -> Result<(), Taken>
    where
        T: Kind + ?Sized,
        M: Plug<T> + for<'de> serde::Deserialize<'de>,
    {
        let mut entries = Entries::clone(&self.of::<T>());
        entries.add(Entry::of::<M>(name, about))?;
        self.own.insert(TypeId::of::<T>(), Arc::new(entries));
        Ok(())
    }

    /// Makes this the registry of the process; false if one was installed before.
    pub fn install(self) -> bool {
        INSTALLED.set(Arc::new(self)).is_ok()
    }

    /// Does something for which this is the current registry, on this thread.
    pub fn scope<R>(&self, act: impl FnOnce() -> R) -> R {
        struct Leave;
        impl Drop for Leave {
            fn drop(&mut self) {
                SCOPES.with_borrow_mut(|scopes| scopes.pop());
            }
        }
        SCOPES.with_borrow_mut(|scopes| scopes.push(Arc::new(self.clone())));
        let _leave = Leave;
        act()
    }

    /// The registry that text is read against here and now.
    pub fn current() -> Arc<Self> {
        let scoped = SCOPES.with_borrow(|scopes| scopes.last().cloned());
        scoped
            .or_else(|| INSTALLED.get().cloned())
            .unwrap_or_default()
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("own", &self.own.len())
            .finish()
    }
}

/// Makes a trait a [`Kind`] with the list of what Shoal ships of it: `kind! { dyn Method, "a method";
/// /// Average of locally trained models (McMahan et al. 2017) \n FedAvg: super::fedavg::FedAvg, }`.
/// The lines of documentation are what `shoal list` says.
macro_rules! kind {
    (dyn $kind:ident, $one:literal;
     $($(#[doc = $about:literal])+ $name:ident: $path:ty,)*) => {
        impl $crate::registry::Kind for dyn $kind {
            const ONE: &'static str = $one;

            fn standard() -> &'static std::sync::Arc<$crate::registry::Entries<Self>> {
                static STANDARD: std::sync::LazyLock<
                    std::sync::Arc<$crate::registry::Entries<dyn $kind>>,
                > = std::sync::LazyLock::new(|| {
                    std::sync::Arc::new($crate::registry::Entries::new(&[
                        $($crate::registry::Entry::of::<$path>(
                            stringify!($name),
                            concat!($($about),+).trim_ascii(),
                        ),)*
                    ]))
                });
                &STANDARD
            }
        }

        impl<M: $kind + $crate::registry::Settings> $crate::registry::Plug<dyn $kind> for M {
            fn plug(this: std::sync::Arc<Self>) -> std::sync::Arc<dyn $kind> {
                this
            }
        }

        impl $crate::registry::Spec<dyn $kind> {
            /// Everything of the kind that Shoal ships: its name, what it is, and its source.
            pub const ALL: &'static [(&'static str, &'static str)] =
                &[$((stringify!($name), concat!($($about),+)),)*];
        }

        $(impl From<$path> for $crate::registry::Spec<dyn $kind> {
            fn from(settings: $path) -> Self {
                Self::new(stringify!($name), settings)
            }
        })*
    };
}
pub(crate) use kind;
