//! The recorder: the receiver of everything that a run reports, in event order.

use super::event::{Key, NodeId};
use super::node::World;
use crate::quantity::{Bytes, VirtualTime};
use crate::snapshot::Writer;
use thiserror::Error;

/// One delivered event, as it enters the trace hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The key that orders the event.
    pub key: Key,
    /// When the cause of the event happened.
    pub sent: VirtualTime,
    /// The node whose handler got the event.
    pub target: NodeId,
    /// The kind of message, or one of the constants below.
    pub kind: u8,
    /// The size of a message on the wire; 0 for other events.
    pub bytes: Bytes,
    /// What the event adds to the trace hash: a digest of key, target, kind and content.
    pub digest: u64,
}

impl Delivery {
    /// The kind of the start of a node.
    pub const START: u8 = 255;
    /// The kind of a finished job.
    pub const WORK: u8 = 254;
    /// The kind of a timer.
    pub const TIMER: u8 = 253;

    /// The name of a kind of event; `messages` are the names of the kinds of message.
    pub fn kind_in_words(kind: u8, messages: &'static [&'static str]) -> &'static str {
        match kind {
            Self::START => "start",
            Self::WORK => "work",
            Self::TIMER => "timer",
            kind => messages.get(usize::from(kind)).copied().unwrap_or("?"),
        }
    }
}

/// What the kernel should collect for the recorder. None of it changes what happens in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observe {
    /// Whether to report every delivered event.
    pub deliveries: bool,
    /// Whether to report the state in which each node is left when the run ends or is interrupted
    /// ([`World::left`]).
    pub left: bool,
}

/// Why a recorder cannot go on (a full disk, a divergence from a reference run); it ends the run.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct RecorderError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Receives what a run reports, in event order.
pub trait Recorder<W: World> {
    /// What the kernel should collect.
    fn observe(&self) -> Observe;

    /// Called with the deliveries of one window, in order, if [`Observe::deliveries`] asks for them.
    ///
    /// # Errors
    /// An error ends the run; everything reported so far stays recorded.
    fn deliveries(&mut self, deliveries: &[Delivery]) -> Result<(), RecorderError>;

    /// Called with a record that a node made; `at` is the key of the event that caused it.
    ///
    /// # Errors
    /// An error ends the run; everything reported so far stays recorded.
    fn record(&mut self, at: Key, record: W::Record) -> Result<(), RecorderError>;

    /// Called when a node asked for a checkpoint ([`super::Context::checkpoint`]), after everything
    /// until then has been reported. `save` writes the state of the simulation, for
    /// [`super::Simulation::resume`]. A recorder that keeps no checkpoints does nothing.
    ///
    /// # Errors
    /// An error ends the run; everything reported so far stays recorded.
    fn checkpoint(&mut self, save: &mut dyn FnMut(Writer) -> Writer) -> Result<(), RecorderError> {
        let _ = save;
        Ok(())
    }
}

/// A recorder that keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl<W: World> Recorder<W> for Silent {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, _: W::Record) -> Result<(), RecorderError> {
        Ok(())
    }
}
