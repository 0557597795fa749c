//! The layers around a method, in the order a real system has them.
//!
//! A client trains, then its report is compressed and sent; the server decompresses it and gives it
//! to the method.

use crate::compress::{Compression, Compressor, Decompressor};
use crate::method::{ClientHalf, LayeredClient, LayeredServer, ServerHalf, Setup};
use serde::Serialize;
use std::sync::Arc;

/// What is worn; nothing, unless a scenario says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Layers {
    /// How reports are compressed.
    pub compression: Option<Compression>,
}

impl Layers {
    /// The client half in its layers, innermost first.
    pub(super) fn around_client(&self, half: Arc<dyn ClientHalf>) -> Arc<dyn ClientHalf> {
        let mut half = half;
        if let Some(compression) = &self.compression {
            half = Arc::new(LayeredClient::new(
                half,
                Compressor::new(compression.clone()),
            ));
        }
        half
    }

    /// The server half in its layers, innermost first.
    pub(super) fn around_server(
        &self,
        half: Box<dyn ServerHalf>,
        setup: &Setup,
    ) -> Box<dyn ServerHalf> {
        let mut half = half;
        if let Some(compression) = &self.compression {
            let layer = Decompressor::new(compression.clone(), setup.initial.len());
            half = Box::new(LayeredServer::new(half, layer));
        }
        half
    }
}
