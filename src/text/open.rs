//! Values whose type is chosen by a name in the text, from a list that is not known when this crate is
//! compiled.
//!
//! serde asks a type to read itself from any deserializer there is, so a function that reads one type
//! cannot be kept in a list. But all text is read by the two deserializers of this module, and a
//! function for these two can be kept: an [`Opener`] holds it.
//!
//! Code that has chosen an opener leaves it here and asks the deserializer for a newtype with a name
//! that no type has. The deserializer then calls the opener and leaves the value here. Mistakes keep
//! their places, since they never leave the reader.

use super::fault::{Fault, Kind};
use super::hole::Hole;
use super::reader::Reader;
use serde::de::{Deserializer, Error, Visitor};
use serde::Deserialize;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;

/// The name under which the value of an opener is asked for.
pub(super) const NAME: &str = "shoal::text::Opener";

thread_local! {
    static ASKED: Cell<Option<Opener>> = const { Cell::new(None) };
    static ANSWER: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// A function that reads a value of one type, which may be unknown to this crate.
#[derive(Debug, Clone, Copy)]
pub struct Opener {
    read: fn(Reader<'_>) -> Result<Box<dyn Any>, Fault>,
    fill: fn(Hole) -> Result<Box<dyn Any>, Fault>,
}

impl Opener {
    /// The opener for values of type `T`.
    pub fn of<T: for<'de> Deserialize<'de> + 'static>() -> Self {
        Self {
            read: |reader| Ok(Box::new(T::deserialize(reader)?)),
            fill: |hole| Ok(Box::new(T::deserialize(hole)?)),
        }
    }

    /// Reads a value; it has the type for which the opener was made.
    ///
    /// # Errors
    /// Returns the errors of reading that type, and an error for any deserializer but those of this
    /// module.
    pub fn read<'de, D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Box<dyn Any>, D::Error> {
        ASKED.set(Some(self));
        let answered = deserializer.deserialize_newtype_struct(NAME, Answered);
        ASKED.set(None);
        answered
    }
}

/// Reads the value of an opener where a newtype `name` is asked for, if `name` is [`NAME`].
pub(super) fn read(name: &str, reader: Reader<'_>) -> Option<Result<(), Fault>> {
    let opener = asked(name)?;
    Some((opener.read)(reader).map(|value| ANSWER.set(Some(value))))
}

/// Reads the value of an opener from the stand-in for a value that was reported as wrong.
pub(super) fn fill(name: &str, hole: Hole) -> Option<Result<(), Fault>> {
    let opener = asked(name)?;
    let filled = (opener.fill)(hole).map_err(|_| Fault::new(Kind::Hole));
    Some(filled.map(|value| ANSWER.set(Some(value))))
}

fn asked(name: &str) -> Option<Opener> {
    match name {
        NAME => ASKED.take(),
        _ => None,
    }
}

/// Takes the value that the deserializer left here.
struct Answered;

impl Visitor<'_> for Answered {
    type Value = Box<dyn Any>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings of something that a scenario names")
    }

    fn visit_unit<E: Error>(self) -> Result<Box<dyn Any>, E> {
        ANSWER
            .take()
            .ok_or_else(|| E::custom("settings are read from a scenario's text only"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;
    use std::path::Path;

    #[derive(Deserialize)]
    struct Settings {
        mu: f64,
    }

    struct Opened(f64);

    impl<'de> Deserialize<'de> for Opened {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let value = Opener::of::<Settings>().read(deserializer)?;
            let settings = value.downcast::<Settings>();
            Ok(Self(
                settings.map_err(|_| D::Error::custom("another type"))?.mu,
            ))
        }
    }

    fn read(text: &str) -> Result<Vec<Opened>, Vec<String>> {
        let document = Document::parse(text, Path::new("s.ron")).unwrap();
        document.read().map_err(|wrong| {
            let wrong = wrong.iter();
            wrong
                .map(|problem| format!("{}: {}", problem.path, problem.message))
                .collect()
        })
    }

    #[test]
    fn a_value_is_read_by_its_opener() {
        let values = read("[(mu: 1), (mu: 2.5)]").ok().unwrap();
        let values: Vec<f64> = values.iter().map(|value| value.0).collect();
        assert_eq!(values, [1.0, 2.5]);
    }

    #[test]
    fn all_its_mistakes_are_reported_with_their_places() {
        assert_eq!(
            read("[(mu: \"x\"), (mq: 2.5), (mu: 3)]").err().unwrap(),
            [
                "[0].mu: expected a number, found \"x\"",
                "[1].mq: expected the field mu, found mq; did you mean mu?",
            ]
        );
    }

    #[test]
    fn no_other_deserializer_can_read_it() {
        let other = serde_json::from_str::<Opened>("{\"mu\": 1}");
        assert!(other.is_err());
    }
}
