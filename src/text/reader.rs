//! The serde deserializer over the tree. It makes one reading, which ends at the first mistake.

mod access;

use super::fault::{Fault, Kind};
use super::hole::Hole;
use super::open;
use super::tree::{Body, Name, Node, Step, Value};
use access::{FieldAccess, Items, MapEntries, Variant};
use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Reads one value of the tree.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    node: &'a Node,
    /// Whether the name before the parentheses was read already, as the name of a variant. What is left
    /// is then `(..)`, or nothing.
    inner: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(node: &'a Node) -> Self {
        Self { node, inner: false }
    }

    /// A reader for what follows the name of `node`, as a value of its own.
    fn inner(node: &'a Node) -> Self {
        Self { node, inner: true }
    }

    /// The name that is still to be read, and what follows it.
    fn named(&self) -> Option<(Option<&'a Name>, &'a Body)> {
        match &self.node.value {
            Value::Named(name, body) => Some((name.as_ref().filter(|_| !self.inner), body)),
            _ => None,
        }
    }

    /// What follows the name, if there is no name or if it is `wanted`.
    fn body_of(&self, wanted: &'static str) -> Option<&'a Body> {
        let (name, body) = self.named()?;
        name.is_none_or(|name| name.text == wanted).then_some(body)
    }

    fn mismatch<'de, V: Visitor<'de>>(visitor: &V) -> Fault {
        Fault::invalid_type(Unexpected::Other("another value"), visitor)
    }

    fn number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Int(n) => match (u64::try_from(n), i64::try_from(n)) {
                (Ok(n), _) => visitor.visit_u64(n),
                (_, Ok(n)) => visitor.visit_i64(n),
                _ => visitor.visit_i128(n),
            },
            Value::Float(x) => visitor.visit_f64(x),
            _ => Err(Self::mismatch(&visitor)),
        }
    }

    /// A whole number is also accepted as a real one, however large it is.
    fn real<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Int(n) => visitor.visit_f64(n as f64),
            _ => self.number(visitor),
        }
    }

    fn text<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Text(text) => visitor.visit_str(text),
            _ => Err(Self::mismatch(&visitor)),
        }
    }

    /// Reads `len` values of possibly different types, in parentheses. A list's brackets are accepted
    /// too, so that an array of fixed size may look like a list.
    fn fixed<'de, V: Visitor<'de>>(
        &self,
        items: &'a [Node],
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        Items::read_fixed(items, visitor).map_err(|fault| {
            fault.length_of(|| match len {
                1 => "one value".into(),
                _ => format!("{len} values"),
            })
        })
    }
}

macro_rules! numbers {
    ($kind:ident: $($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.$kind(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    numbers! { number: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
    deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 }
    numbers! { real: deserialize_f32 deserialize_f64 }
    numbers! { text: deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Char(value) => visitor.visit_char(*value),
            Value::Int(_) | Value::Float(_) => self.number(visitor),
            Value::Text(_) => self.text(visitor),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Named(Some(name), body) if !self.inner => match (name.text.as_str(), body) {
                ("None", Body::Bare) => visitor.visit_none(),
                ("Some", Body::Tuple(items)) if items.len() == 1 => {
                    self.deserialize_option(visitor)
                }
                _ => visitor.visit_enum(Variant::new(self.node, name, body)),
            },
            Value::Named(_, Body::Fields(_)) => self.deserialize_map(visitor),
            Value::Named(_, Body::Tuple(items)) if !items.is_empty() => {
                Items::read_fixed(items, visitor)
            }
            Value::Named(_, Body::Tuple(_) | Body::Bare) => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Bool(value) => visitor.visit_bool(value),
            _ => Err(Self::mismatch(&visitor)),
        }
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.node.value {
            Value::Char(value) => visitor.visit_char(value),
            _ => Err(Self::mismatch(&visitor)),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        Err(Self::mismatch(&visitor))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        Err(Self::mismatch(&visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.named() {
            Some((Some(name), Body::Bare)) if name.text == "None" => visitor.visit_none(),
            Some((Some(name), Body::Tuple(items))) if name.text == "Some" => match items.as_slice()
            {
                [value] if value.removed => visitor.visit_some(Hole::new()),
                [value] => below(Step::Item(0), visitor.visit_some(Reader::new(value))),
                _ => Err(Fault::new(Kind::Length {
                    found: items.len(),
                    expected: "one value in Some(..)".into(),
                })),
            },
            Some((None, Body::Bare)) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_unit_struct("", visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.body_of(name) {
            Some(Body::Bare) => visitor.visit_unit(),
            Some(Body::Tuple(items)) if items.is_empty() => visitor.visit_unit(),
            _ => Err(Self::mismatch(&visitor)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Some(opened) = open::read(name, self) {
            return opened.and_then(|()| visitor.visit_unit());
        }
        let only = match self.body_of(name) {
            Some(Body::Tuple(items)) if items.len() == 1 => items.first(),
            _ => None,
        };
        match only {
            Some(value) if value.removed => visitor.visit_newtype_struct(Hole::new()),
            Some(value) => below(
                Step::Item(0),
                visitor.visit_newtype_struct(Reader::new(value)),
            ),
            None => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items::list(items)),
            _ => Err(Self::mismatch(&visitor)),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        match (&self.node.value, self.named()) {
            (Value::List(items), _) | (_, Some((None, Body::Tuple(items)))) => {
                self.fixed(items, len, visitor)
            }
            _ => Err(Fault::new(Kind::Expected(format!("{len} values (..)")))),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.body_of(name) {
            Some(Body::Tuple(items)) => self.fixed(items, len, visitor),
            _ => Err(Fault::new(Kind::Expected(format!("{len} values (..)")))),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match (&self.node.value, self.named()) {
            (Value::Map(entries), _) => visitor.visit_map(MapEntries::new(entries)),
            (_, Some((None, body))) => match FieldAccess::new(self.node, body, None) {
                Some(access) => access.read(visitor),
                None => Err(Self::mismatch(&visitor)),
            },
            _ => Err(Self::mismatch(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let access = self.named().and_then(|(typed, body)| {
            Some((typed, FieldAccess::new(self.node, body, Some(fields))?))
        });
        match access {
            Some((Some(typed), _)) if typed.text != name => {
                // A bare word is not a struct under a wrong name; it is no struct at all.
                Err(Fault::new(match &self.node.value {
                    Value::Named(_, Body::Bare) => Kind::Expected(fields_wanted(fields)),
                    _ => Kind::StructName(name),
                }))
            }
            Some((_, access)) => access.read(visitor),
            None => Err(Fault::new(Kind::Expected(fields_wanted(fields)))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.named() {
            Some((Some(name), body)) => visitor.visit_enum(Variant::new(self.node, name, body)),
            _ => Err(Fault::new(Kind::UnknownVariant(variants))),
        }
    }

    /// A value that a type ignores was meant to say something, so it is an error.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Fault> {
        Err(Fault::custom("nothing here has this name: take it out"))
    }
}

/// A description of a struct with these fields.
fn fields_wanted(fields: &[&str]) -> String {
    let shown: Vec<String> = fields.iter().take(3).map(|f| format!("{f}: ..")).collect();
    let more = if fields.len() > 3 { ", .." } else { "" };
    format!("fields such as ({}{more})", shown.join(", "))
}

/// Moves a fault inside the value one step outward.
fn below<T>(step: Step, result: Result<T, Fault>) -> Result<T, Fault> {
    result.map_err(|fault| fault.below(step))
}
