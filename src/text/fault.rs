//! Why one reading of the tree stopped, as serde reports it, and the words for a user.

use super::syntax::{did_you_mean, near};
use super::tree::{shortened, Node, Source, Step, Value};
use serde::de::{Error, Expected, Unexpected};
use std::fmt;

/// The mistake at which one reading of the tree ended.
#[derive(Debug)]
pub(super) struct Fault {
    /// The way from the value at fault up to the root, with the innermost step first.
    pub route: Vec<Step>,
    pub kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A message made by the type being read.
    Custom(String),
    /// The value is not the expected one.
    Expected(String),
    /// The number of values is not the expected one.
    Length { found: usize, expected: String },
    /// A field that the struct does not have.
    UnknownField(String, &'static [&'static str]),
    /// A variant that the enum does not have, or a value that is no variant.
    UnknownVariant(&'static [&'static str]),
    /// A field that is required.
    Missing(&'static str),
    /// A field given under two names.
    Duplicate(&'static str),
    /// A struct under another name than its own.
    StructName(&'static str),
    /// No placeholder fits a value that was reported earlier.
    Hole,
}

impl Fault {
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            route: Vec::new(),
            kind,
        }
    }

    /// This fault as seen from the value around it.
    pub(super) fn below(mut self, step: Step) -> Self {
        self.route.push(step);
        self
    }

    /// Changes the fault to the expected kind if it is a wrong number of values at this value.
    pub(super) fn length_of(mut self, expected: impl FnOnce() -> String) -> Self {
        if let (
            true,
            Kind::Length {
                expected: words, ..
            },
        ) = (self.route.is_empty(), &mut self.kind)
        {
            *words = expected();
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A type that wraps the error of a part in its own words shows this text.
        f.write_str(&self.kind.message(None, None))
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let message = message.to_string();
        Self::new(Kind::Custom(shortened(&message, 400)))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Expected(in_words(expected.to_string())))
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Kind::Expected(in_words(expected.to_string())))
    }

    fn invalid_length(found: usize, expected: &dyn Expected) -> Self {
        let expected = in_words(expected.to_string());
        Self::new(Kind::Length { found, expected })
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownVariant(expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownField(field.to_string(), expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Kind::Duplicate(field))
    }
}

impl Kind {
    /// The message for the user about `node`, which is in `source`; without a node, the message only
    /// says what was expected. `hint` says what would be right; without a hint, the message suggests
    /// the nearest name, if there is one.
    pub(super) fn message(
        &self,
        at: Option<(&Node, Option<&Source>)>,
        hint: Option<&str>,
    ) -> String {
        let given = hint.map(|hint| format!("; {hint}"));
        let found = at.map_or(String::new(), |(node, source)| {
            format!(", found {}", node.describe(source))
        });
        match self {
            Self::Custom(message) => message.clone(),
            Self::Expected(expected) => {
                format!("expected {expected}{found}{}", given.unwrap_or_default())
            }
            Self::Length { found, expected } => format!("expected {expected}, found {found}"),
            Self::UnknownField(field, known) => {
                let hint = given.unwrap_or_else(|| did_you_mean(near(field, known)));
                let field = shortened(field, 40);
                match known {
                    [] => format!("expected no fields, found {field}"),
                    [only] => format!("expected the field {only}, found {field}{hint}"),
                    _ => {
                        let known = known.join(", ");
                        format!("expected one of the fields {known}, found {field}{hint}")
                    }
                }
            }
            Self::UnknownVariant(known) => {
                let typed = at.and_then(|(node, _)| typed_name(node));
                let nearest = typed.map(|(name, quoted)| match near(name, known) {
                    Some(meant) if quoted => {
                        format!("; did you mean {meant}, without quotes?")
                    }
                    meant => did_you_mean(meant),
                });
                let hint = given.or(nearest).unwrap_or_default();
                // A name with its values is easiest to recognise by the name.
                let found = match typed {
                    Some((name, false)) => format!(", found {}", shortened(name, 40)),
                    _ => found,
                };
                match known {
                    [only] => format!("expected {only}{found}{hint}"),
                    _ => format!("expected one of {}{found}{hint}", known.join(", ")),
                }
            }
            Self::Missing(field) => format!("the required field {field} is missing"),
            Self::Duplicate(field) => format!("the field {field} is given twice; keep one"),
            Self::StructName(name) => {
                let nearest = at
                    .and_then(|(node, _)| typed_name(node))
                    .map(|(typed, _)| did_you_mean(near(typed, &[*name])));
                let hint = given.or(nearest).unwrap_or_default();
                format!("expected {name}(..) or (..){found}{hint}")
            }
            Self::Hole => "a part of this is wrong".into(),
        }
    }
}

/// The name that a value was given, and whether it was in quotes.
pub(super) fn typed_name(node: &Node) -> Option<(&str, bool)> {
    match &node.value {
        Value::Named(Some(name), _) => Some((&name.text, false)),
        Value::Text(text) => Some((text, true)),
        _ => None,
    }
}

/// Translates the names that types have for what they expect into words for a user.
fn in_words(expected: String) -> String {
    let whole = |low: &str, high: String| format!("a whole number from {low} to {high}");
    match expected.as_str() {
        "u8" => whole("0", u8::MAX.to_string()),
        "u16" => whole("0", u16::MAX.to_string()),
        "u32" => whole("0", u32::MAX.to_string()),
        "u64" | "usize" => whole("0", u64::MAX.to_string()),
        "u128" => "a whole number, zero or more".into(),
        "i8" => whole(&i8::MIN.to_string(), i8::MAX.to_string()),
        "i16" => whole(&i16::MIN.to_string(), i16::MAX.to_string()),
        "i32" => whole(&i32::MIN.to_string(), i32::MAX.to_string()),
        "i64" | "isize" => whole(&i64::MIN.to_string(), i64::MAX.to_string()),
        "i128" => "a whole number".into(),
        "a nonzero u8" => whole("1", u8::MAX.to_string()),
        "a nonzero u16" => whole("1", u16::MAX.to_string()),
        "a nonzero u32" => whole("1", u32::MAX.to_string()),
        "a nonzero u64" | "a nonzero usize" => whole("1", u64::MAX.to_string()),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a string" | "a borrowed string" | "path string" => "a text in quotes".into(),
        "a character" => "one character in single quotes".into(),
        "a sequence" => "a list [..]".into(),
        "a map" => "a map {key: value, ..}".into(),
        "unit" => "()".into(),
        _ => expected,
    }
}
