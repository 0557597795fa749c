//! Access to the parts of a value: fields, list elements, map entries, variants.
//!
//! Parts that were removed are skipped where the container can do without them; elsewhere a [`Hole`]
//! stands in for them.

use super::{below, fields_wanted, Reader};
use crate::text::fault::{Fault, Kind};
use crate::text::hole::Hole;
use crate::text::tree::{Body, Field, Name, Node, Step};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor};

/// Reads a name as that of a field or a variant.
fn read_name<'de, S: DeserializeSeed<'de>>(name: &str, seed: S) -> Result<S::Value, Fault> {
    seed.deserialize(StrDeserializer::new(name))
}

/// Reads the value at `step`, or a placeholder if it was removed.
fn read_part<'de, S: DeserializeSeed<'de>>(
    node: &Node,
    step: Step,
    seed: S,
) -> Result<S::Value, Fault> {
    if node.removed {
        // The fault is not moved to the part: it is the container that cannot be read.
        seed.deserialize(Hole::new())
    } else {
        below(step, seed.deserialize(Reader::new(node)))
    }
}

/// The fields of a struct, in the order of the text; then its holes.
pub(super) struct FieldAccess<'a> {
    fields: &'a [Field],
    holes: &'a [String],
    /// The allowed names; `None` if any name is allowed.
    known: Option<&'static [&'static str]>,
    /// The number of fields, then of holes, whose reading was begun.
    begun: usize,
}

impl<'a> FieldAccess<'a> {
    /// Returns `None` if `body` holds values without names.
    pub(super) fn new(
        node: &'a Node,
        body: &'a Body,
        known: Option<&'static [&'static str]>,
    ) -> Option<Self> {
        let fields = match body {
            Body::Fields(fields) => fields.as_slice(),
            Body::Bare => &[],
            Body::Tuple(items) if items.is_empty() => &[],
            Body::Tuple(_) => return None,
        };
        Some(Self {
            fields,
            holes: node.repairs.as_ref().map_or(&[], |r| r.holes.as_slice()),
            known,
            begun: 0,
        })
    }

    pub(super) fn read<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_map(&mut self).map_err(|fault| {
            // A struct notices a field that came twice (by an alias) only at the second one.
            match (&fault.kind, self.begun.checked_sub(1)) {
                (Kind::Duplicate(_), Some(last))
                    if fault.route.is_empty() && last < self.fields.len() =>
                {
                    fault.below(Step::FieldName(last))
                }
                _ => fault,
            }
        })
    }
}

impl<'de> MapAccess<'de> for FieldAccess<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        while self.fields.get(self.begun).is_some_and(|f| f.value.removed) {
            self.begun += 1;
        }
        let index = self.begun;
        self.begun += 1;
        let Some(field) = self.fields.get(index) else {
            let hole = self.holes.get(index - self.fields.len());
            return hole.map(|name| read_name(name, seed)).transpose();
        };
        let name = field.name.text.as_str();
        let read = match self.known {
            Some(known) if !known.contains(&name) => {
                Err(Fault::new(Kind::UnknownField(name.to_string(), known)))
            }
            _ => read_name(name, seed),
        };
        below(Step::FieldName(index), read).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let index = self.begun.saturating_sub(1);
        match self.fields.get(index) {
            Some(field) => read_part(&field.value, Step::Field(index), seed),
            None => seed.deserialize(Hole::new()),
        }
    }
}

/// The elements of a list or tuple.
pub(super) struct Items<'a> {
    items: &'a [Node],
    /// Whether each element has a meaning of its own, so that none can be skipped.
    fixed: bool,
    next: usize,
}

impl<'a> Items<'a> {
    pub(super) fn list(items: &'a [Node]) -> Self {
        Self {
            items,
            fixed: false,
            next: 0,
        }
    }

    /// Reads all of `items` by position: too many are as wrong as too few.
    pub(super) fn read_fixed<'de, V: Visitor<'de>>(
        items: &'a [Node],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let mut access = Self {
            items,
            fixed: true,
            next: 0,
        };
        let value = visitor.visit_seq(&mut access)?;
        if access.next < items.len() {
            let values = if access.next == 1 { "value" } else { "values" };
            return Err(Fault::new(Kind::Length {
                found: items.len(),
                expected: format!("{} {values}", access.next),
            }));
        }
        Ok(value)
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        while !self.fixed && self.items.get(self.next).is_some_and(|item| item.removed) {
            self.next += 1;
        }
        let index = self.next;
        let Some(item) = self.items.get(index) else {
            return Ok(None);
        };
        self.next += 1;
        read_part(item, Step::Item(index), seed).map(Some)
    }
}

/// The entries of a map.
pub(super) struct MapEntries<'a> {
    entries: &'a [(Node, Node)],
    begun: usize,
}

impl<'a> MapEntries<'a> {
    pub(super) fn new(entries: &'a [(Node, Node)]) -> Self {
        Self { entries, begun: 0 }
    }
}

impl<'de> MapAccess<'de> for MapEntries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let removed = |(key, value): &(Node, Node)| key.removed || value.removed;
        while self.entries.get(self.begun).is_some_and(removed) {
            self.begun += 1;
        }
        let index = self.begun;
        let Some((key, _)) = self.entries.get(index) else {
            return Ok(None);
        };
        self.begun += 1;
        read_part(key, Step::Key(index), seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let index = self.begun.saturating_sub(1);
        match self.entries.get(index) {
            Some((_, value)) => read_part(value, Step::Entry(index), seed),
            None => seed.deserialize(Hole::new()),
        }
    }
}

/// A variant: its name, and what follows the name.
pub(super) struct Variant<'a> {
    node: &'a Node,
    name: &'a Name,
    body: &'a Body,
}

impl<'a> Variant<'a> {
    pub(super) fn new(node: &'a Node, name: &'a Name, body: &'a Body) -> Self {
        Self { node, name, body }
    }
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        Ok((read_name(&self.name.text, seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        let unwanted = match self.body {
            Body::Fields(fields) => fields.iter().enumerate(),
            Body::Tuple(items) if !items.is_empty() => {
                let message = format!("{} with nothing behind it", self.name.text);
                return Err(Fault::new(Kind::Expected(message)));
            }
            Body::Tuple(_) | Body::Bare => [].iter().enumerate(),
        };
        match unwanted.into_iter().find(|(_, field)| !field.value.removed) {
            Some((index, field)) => {
                let fault = Fault::new(Kind::UnknownField(field.name.text.clone(), &[]));
                Err(fault.below(Step::FieldName(index)))
            }
            None => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        match self.body {
            Body::Tuple(items) => match items.as_slice() {
                [value] => read_part(value, Step::Item(0), seed),
                _ => seed.deserialize(Reader::inner(self.node)),
            },
            // The fields of the struct that the variant holds, or none of them.
            Body::Fields(_) | Body::Bare => seed.deserialize(Reader::inner(self.node)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        match self.body {
            Body::Tuple(items) => Reader::inner(self.node).fixed(items, len, visitor),
            _ => Err(Fault::new(Kind::Expected(format!(
                "{}(..) with {len} values",
                self.name.text
            )))),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Some(access) = FieldAccess::new(self.node, self.body, Some(fields)) {
            return access.read(visitor);
        }
        let Body::Tuple(items) = self.body else {
            return Err(Fault::new(Kind::Expected(fields_wanted(fields))));
        };
        Items::read_fixed(items, visitor).map_err(|fault| {
            fault.length_of(|| match fields {
                [only] => format!("one value ({only})"),
                _ => format!("{} values ({})", fields.len(), fields.join(", ")),
            })
        })
    }
}
