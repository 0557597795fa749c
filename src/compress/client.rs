//! The client's end of the compression layer: reports are packed, and with error feedback the part
//! that was left out is kept for the next report.

use super::codec::Codec;
use super::Compression;
use crate::learn::Cost;
use crate::method::{
    ClientInput, ClientLayer, ClientWork, Coded, Form, MethodError, Packet, Payload,
};
use crate::model::{Buffer, ParamSet};
use crate::quantity::{Bytes, Flops};
use crate::sim::rng::{stream, Purpose, Stream};

/// The name under which the client's state keeps what was left out so far: a bundle with one update
/// for each parameter set of the report.
pub(super) const RESIDUAL: &str = "compression residual";

/// Packs the models and updates of every report.
///
/// With error feedback a client keeps a residual e for each parameter set. It sends C(Δ + e), where
/// C is the compression, and keeps e ← Δ + e − C(Δ + e), whether or not its report arrives in time.
#[derive(Debug)]
pub struct Compressor(Codec);

impl Compressor {
    /// The client's end of the layer for the scheme `compression`.
    pub fn new(compression: Compression) -> Self {
        Self(Codec::new(compression))
    }

    /// Packs `change`, plus the residual of the last report. Returns the packed form and the new
    /// residual, which is `None` without error feedback.
    fn pack(
        &self,
        form: Form,
        change: Buffer,
        residual: Option<&ParamSet>,
        rng: &mut Stream,
    ) -> Result<(Payload, Option<ParamSet>), MethodError> {
        let mut change = change;
        let layout = change.layout().clone();
        // A residual of another layout is dropped: the client's width has changed since.
        if let Some(residual) = residual.filter(|set| set.has_layout(&layout).is_ok()) {
            change.add_scaled(1.0, residual)?;
        }
        let bytes = self.0.encode(&layout, change.as_slice()?, rng)?;
        let left = if self.0.scheme().feedback() {
            let sent = self.0.decode(&layout, &bytes)?;
            for (value, sent) in change.as_mut_slice()?.iter_mut().zip(sent) {
                *value -= sent;
            }
            Some(change.freeze())
        } else {
            None
        };
        Ok((
            Payload::Coded(Coded::new(form, &layout, Packet::new(bytes, 0))),
            left,
        ))
    }
}

impl ClientLayer for Compressor {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        let left = |part: &Payload| matches!(part, Payload::Update(_) | Payload::Nothing);
        match (name, payload) {
            (RESIDUAL, Payload::Bundle(parts)) => parts.iter().all(left),
            (RESIDUAL, _) => false,
            _ => true,
        }
    }

    fn wrap(&self, input: &ClientInput, work: ClientWork) -> Result<ClientWork, MethodError> {
        let node = u64::from(input.client) + 1;
        let round = u64::from(input.round);
        let mut rng = stream(input.seed, node, Purpose::Compression, round);
        let before = match input.state.get(RESIDUAL) {
            Some(Payload::Bundle(parts)) => parts.to_vec(),
            _ => Vec::new(),
        };
        let mut left = Vec::new();
        let report = work.report.map_parts(&mut |part| {
            // A part that is no parameter set, or that has no counterpart in the task to differ
            // from, is sent unchanged.
            let Some((form, change)) = part.change(&input.task)? else {
                return Ok(part.clone());
            };
            let residual = match before.get(left.len()) {
                Some(Payload::Update(set)) => Some(set),
                _ => None,
            };
            let (packed, residual) = self.pack(form, change, residual, &mut rng)?;
            left.push(residual.map_or(Payload::Nothing, Payload::Update));
            Ok::<_, MethodError>(packed)
        })?;
        let state = match self.0.scheme().feedback() {
            true => work.state.with(RESIDUAL, Payload::bundle(left)),
            false => work.state,
        };
        Ok(ClientWork {
            report,
            state,
            metrics: work.metrics,
        })
    }

    fn cost(&self, sets: usize, values: usize) -> Cost {
        let values = sets as u64 * values as u64;
        // One operation for the difference, those of the scheme, and for a residual two additions
        // and the decoding.
        let feedback = if self.0.scheme().feedback() { 3 } else { 0 };
        let each = 1 + self.0.scheme().operations() + feedback;
        Cost {
            flops: Flops(values.saturating_mul(each)),
            memory: Bytes(values.saturating_mul(16)),
        }
    }
}
