//! The width of a group's model, as typed.

use crate::text::fields::PositiveFraction;
use serde::de::{self, Deserializer, EnumAccess, VariantAccess, Visitor};
use serde::Deserialize;
use std::fmt;

/// `0.5`, `Fit([1.0, 0.5, 0.25])` or `Drawn([1.0, 0.5])`.
#[derive(Debug, Clone)]
pub enum SizeFile {
    /// This one.
    Fixed(f64),
    /// The largest that a client's device bears.
    Fit(Vec<PositiveFraction>),
    /// One of these, drawn once a client.
    Drawn(Vec<PositiveFraction>),
}

impl<'de> Deserialize<'de> for SizeFile {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(variant_identifier)]
        enum Rule {
            Fit,
            Drawn,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = SizeFile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a share of the model's width such as 0.5, Fit([1.0, 0.5, 0.25]) or \
                     Drawn([1.0, 0.5])",
                )
            }

            fn visit_f64<E: de::Error>(self, ratio: f64) -> Result<SizeFile, E> {
                Ok(SizeFile::Fixed(ratio))
            }

            fn visit_u64<E: de::Error>(self, ratio: u64) -> Result<SizeFile, E> {
                Ok(SizeFile::Fixed(ratio as f64))
            }

            fn visit_i64<E: de::Error>(self, ratio: i64) -> Result<SizeFile, E> {
                Ok(SizeFile::Fixed(ratio as f64))
            }

            fn visit_bytes<E: de::Error>(self, _: &[u8]) -> Result<SizeFile, E> {
                Ok(SizeFile::Fixed(1.0))
            }

            fn visit_enum<A: EnumAccess<'de>>(self, rule: A) -> Result<SizeFile, A::Error> {
                Ok(match rule.variant()? {
                    (Rule::Fit, ratios) => SizeFile::Fit(ratios.newtype_variant()?),
                    (Rule::Drawn, ratios) => SizeFile::Drawn(ratios.newtype_variant()?),
                })
            }
        }
        from.deserialize_any(Either)
    }
}

impl Default for SizeFile {
    fn default() -> Self {
        Self::Fixed(1.0)
    }
}

/// The public set.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename = "Public")]
pub struct PublicFile {
    /// Share of the training samples that are public.
    pub share: PositiveFraction,
    /// Share of the public samples that are kept for choosing.
    #[serde(default = "a_tenth")]
    pub select: PositiveFraction,
}

fn a_tenth() -> PositiveFraction {
    PositiveFraction(
        crate::quantity::Probability::new(0.1).unwrap_or(crate::quantity::Probability::ONE),
    )
}
