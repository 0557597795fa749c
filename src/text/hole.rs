//! A stand-in for a value that was already reported, so that the reading can go on to the next mistake.

use super::fault::{Fault, Kind};
use super::open;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

/// The deepest nesting of a placeholder: enough for real types, and an end for types that contain
/// themselves.
const MAX_DEPTH: usize = 12;

/// Gives any type some value: one, empty, none, the first variant. The value is thrown away with the
/// reading, since a hole is only made for a mistake that was already reported.
///
/// A type that accepts any kind of value (`deserialize_any`) is given a byte string, which no document
/// can contain; the type may answer with a value of its choice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hole {
    depth: usize,
}

impl Hole {
    pub(super) fn new() -> Self {
        Self { depth: 0 }
    }

    fn deeper(self) -> Result<Self, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(Kind::Hole));
        }
        Ok(Self {
            depth: self.depth + 1,
        })
    }
}

/// An error inside a hole is not the user's mistake.
fn quiet<T>(result: Result<T, Fault>) -> Result<T, Fault> {
    result.map_err(|_| Fault::new(Kind::Hole))
}

macro_rules! give {
    ($($method:ident: $visit:ident($value:expr);)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            quiet(visitor.$visit($value))
        })*
    };
}

impl<'de> Deserializer<'de> for Hole {
    type Error = Fault;

    give! {
        deserialize_any: visit_bytes(b"");
        deserialize_bytes: visit_bytes(b"");
        deserialize_byte_buf: visit_bytes(b"");
        deserialize_bool: visit_bool(false);
        deserialize_i8: visit_u64(1);
        deserialize_i16: visit_u64(1);
        deserialize_i32: visit_u64(1);
        deserialize_i64: visit_u64(1);
        deserialize_i128: visit_u64(1);
        deserialize_u8: visit_u64(1);
        deserialize_u16: visit_u64(1);
        deserialize_u32: visit_u64(1);
        deserialize_u64: visit_u64(1);
        deserialize_u128: visit_u64(1);
        deserialize_f32: visit_f64(1.0);
        deserialize_f64: visit_f64(1.0);
        deserialize_char: visit_char('x');
        deserialize_str: visit_str("x");
        deserialize_string: visit_str("x");
        deserialize_identifier: visit_str("x");
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        quiet(visitor.visit_none())
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        quiet(visitor.visit_unit())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        quiet(visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        quiet(visitor.visit_unit())
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if let Some(opened) = open::fill(name, self) {
            return opened.and_then(|()| quiet(visitor.visit_unit()));
        }
        quiet(visitor.visit_newtype_struct(self.deeper()?))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        quiet(visitor.visit_seq(Parts {
            left: 0,
            hole: self,
        }))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        quiet(visitor.visit_seq(Parts {
            left: len,
            hole: self.deeper()?,
        }))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let fields = fields.iter();
        quiet(visitor.visit_map(Fields {
            fields,
            hole: self.deeper()?,
        }))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let name = variants.first().ok_or_else(|| Fault::new(Kind::Hole))?;
        quiet(visitor.visit_enum(First {
            name,
            hole: self.deeper()?,
        }))
    }
}

/// As many holes as the type asks for.
struct Parts {
    left: usize,
    hole: Hole,
}

impl<'de> SeqAccess<'de> for Parts {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.hole).map(Some)
    }
}

/// A hole for each field.
struct Fields {
    fields: std::slice::Iter<'static, &'static str>,
    hole: Hole,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let name = self.fields.next();
        name.map(|name| seed.deserialize(StrDeserializer::new(name)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(self.hole)
    }
}

/// The first variant, with holes in it.
struct First {
    name: &'static str,
    hole: Hole,
}

impl<'de> EnumAccess<'de> for First {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        let name = seed.deserialize(StrDeserializer::<Fault>::new(self.name))?;
        Ok((name, self))
    }
}

impl<'de> VariantAccess<'de> for First {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self.hole)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.hole.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.hole.deserialize_struct("", fields, visitor)
    }
}
