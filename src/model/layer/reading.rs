//! Layers to and from text: the variants of [`LayerSpec`] and the registered layers share one list of
//! names.

use super::{Layer, LayerSpec};
use crate::registry::either;
use serde::{Serialize, Serializer};

either! { LayerSpec, dyn Layer }

impl Serialize for LayerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Other(spec) => spec.serialize(serializer),
            // What serde has derived, an inherent function since it derives for `Self` as a remote type.
            variant => Self::serialize(variant, serializer),
        }
    }
}
