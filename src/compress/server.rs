//! The server's end of the compression layer: packed reports are decoded before the method's server
//! half gets them.

use super::codec::Codec;
use super::Compression;
use crate::method::{MethodError, Payload, Received, ServerHalf, ServerLayer};
use crate::model::ParamSet;
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Writer};

/// The name of this layer in error messages.
const NAME: &str = "compression";

/// Unpacks the models and updates of every report.
#[derive(Debug)]
pub struct Decompressor {
    codec: Codec,
    /// The number of parameters of the full network.
    values: usize,
}

impl Decompressor {
    /// The server's end of the layer for the scheme `compression` and a network of `values`
    /// parameters.
    pub fn new(compression: Compression, values: usize) -> Self {
        Self {
            codec: Codec::new(compression),
            values,
        }
    }

    /// The report of a client that was sent `sent`, unpacked.
    fn unpack(&self, report: &Payload, sent: &Payload) -> Result<Payload, MethodError> {
        report.map_parts(&mut |part| {
            let Payload::Coded(coded) = part else {
                return Ok(part.clone());
            };
            let layout = coded.layout();
            let change = self.codec.decode(layout, coded.bytes())?;
            coded
                .form()
                .restore(ParamSet::from_slice(layout, &change)?, sent)
        })
    }
}

impl ServerLayer for Decompressor {
    fn receive(
        &mut self,
        report: &Received,
        sent: &Payload,
        inner: &mut dyn ServerHalf,
    ) -> Result<(), MethodError> {
        let payload = self.unpack(&report.payload, sent)?;
        if !payload.largest().is_finite() {
            return Err(MethodError::layer(NAME, "a value is not a finite number"));
        }
        inner.receive(&Received {
            client: report.client,
            round: report.round,
            samples: report.samples,
            payload,
        })
    }

    fn save(&self, to: &mut Writer) {
        let _ = to;
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        let _ = from;
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        // For each value, one operation to decode it and one to add it to the model that was sent.
        Flops(2 * self.values as u64)
    }
}
