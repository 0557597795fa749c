//! A scheme applied to the parameters of a network: learned tensors are compressed, statistics that
//! the client has measured are sent unchanged, and statistics that are queried are not sent.

use super::{Compression, Scheme};
use crate::method::MethodError;
use crate::model::Layout;
use crate::sim::rng::Stream;
use std::ops::Range;
use std::sync::Arc;

/// The name of this layer in error messages.
const NAME: &str = "compression";

/// Encodes and decodes vectors with a scheme.
#[derive(Debug, Clone)]
pub(crate) struct Codec(Arc<Compression>);

/// The ranges of the learned tensors and of the statistics that are sent in the flat vector of
/// parameters.
struct Places {
    learned: Vec<Range<usize>>,
    /// The statistics that a client has measured. Where statistics are queried, there are none.
    measured: Vec<Range<usize>>,
    /// Whether the learned tensors are all there is in the vector.
    whole: bool,
}

impl Places {
    fn of(layout: &Layout) -> Self {
        let range = |measured: bool| {
            let entries = layout.entries().iter();
            let entries = entries.filter(move |entry| entry.role.part.is_statistic() == measured);
            entries.map(|entry| entry.offset..entry.offset + entry.len)
        };
        let statistics: Vec<Range<usize>> = range(true).collect();
        Self {
            learned: range(false).collect(),
            whole: statistics.is_empty(),
            measured: match layout.queries() {
                0 => statistics,
                _ => Vec::new(),
            },
        }
    }

    /// The lengths of the learned tensors.
    fn tensors(&self) -> Vec<usize> {
        self.learned.iter().map(Range::len).collect()
    }
}

impl Codec {
    /// A codec for the scheme `compression`.
    pub fn new(compression: Compression) -> Self {
        Self(Arc::new(compression))
    }

    /// The scheme.
    pub fn scheme(&self) -> &dyn Scheme {
        self.0.scheme()
    }

    /// Packs `values`, a vector of the given layout.
    ///
    /// # Errors
    /// When some values are not finite, since there is no code for them.
    pub fn encode(
        &self,
        layout: &Layout,
        values: &[f32],
        rng: &mut Stream,
    ) -> Result<Vec<u8>, MethodError> {
        if !crate::model::largest(values).is_finite() {
            let what = "values that are not finite cannot be coded: training has diverged";
            return Err(MethodError::layer(NAME, what));
        }
        let places = Places::of(layout);
        let tensors = places.tensors();
        if places.whole {
            return Ok(self.scheme().encode(values, &tensors, rng));
        }
        let learned = places.learned.iter().map(|place| &values[place.clone()]);
        let learned = learned.collect::<Vec<_>>().concat();
        let mut bytes = self.scheme().encode(&learned, &tensors, rng);
        for value in places
            .measured
            .iter()
            .flat_map(|place| &values[place.clone()])
        {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        Ok(bytes)
    }

    /// Unpacks a vector of the given layout, with zeros for statistics that were not sent.
    ///
    /// # Errors
    /// When the bytes are not an encoding of such a vector by [`Codec::encode`].
    pub fn decode(&self, layout: &Layout, bytes: &[u8]) -> Result<Vec<f32>, MethodError> {
        let unreadable = || MethodError::layer(NAME, "the bytes are not those of a coded vector");
        let places = Places::of(layout);
        let tensors = places.tensors();
        let learned: usize = tensors.iter().sum();
        let measured = 4 * places.measured.iter().map(Range::len).sum::<usize>();
        let split = bytes.len().checked_sub(measured).ok_or_else(unreadable)?;
        let (coded, plain) = bytes.split_at(split);
        let mut values = vec![0.0; learned];
        let scheme = self.scheme();
        scheme
            .decode(coded, &tensors, &mut values)
            .ok_or_else(unreadable)?;
        if places.whole {
            return Ok(values);
        }
        let mut all = vec![0.0; layout.total()];
        let mut rest = values.as_slice();
        for place in places.learned {
            let (tensor, after) = rest.split_at(place.len());
            all[place].copy_from_slice(tensor);
            rest = after;
        }
        let plain = plain.chunks_exact(4);
        let mut plain = plain.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        for value in places.measured.into_iter().flatten() {
            all[value] = plain
                .next()
                .filter(|v| v.is_finite())
                .ok_or_else(unreadable)?;
        }
        Ok(all)
    }
}
