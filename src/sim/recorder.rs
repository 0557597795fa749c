//! Where what happens is told, in order.

use super::event::{Key, NodeId};
use super::node::World;
use crate::quantity::{Bytes, VirtualTime};
use crate::snapshot::Writer;
use thiserror::Error;

/// One delivered event, as the trace hash saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the order.
    pub key: Key,
    /// When its cause happened.
    pub sent: VirtualTime,
    /// The node whose handler got it.
    pub target: NodeId,
    /// The kind of message, or one of the constants below.
    pub kind: u8,
    /// A message's size on the wire; 0 for all else.
    pub bytes: Bytes,
    /// What it adds to the trace hash: key, target, kind and content.
    pub digest: u64,
}

impl Delivery {
    /// The kind of a node's start.
    pub const START: u8 = 255;
    /// The kind of finished work.
    pub const WORK: u8 = 254;
    /// The kind of a timer.
    pub const TIMER: u8 = 253;

    /// A kind in words; `messages` are the names of the kinds of message.
    pub fn kind_in_words(kind: u8, messages: &'static [&'static str]) -> &'static str {
        match kind {
            Self::START => "start",
            Self::WORK => "work",
            Self::TIMER => "timer",
            kind => messages.get(usize::from(kind)).copied().unwrap_or("?"),
        }
    }
}

/// What the kernel should collect; nothing here changes what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Observe {
    /// Tell the recorder of every delivery.
    pub deliveries: bool,
    /// When the run ends or is interrupted, tell the recorder what each node is left with
    /// ([`World::left`]).
    pub left: bool,
}

/// A recorder that cannot go on (a full disk, a divergence from a reference): the run ends.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct RecorderError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Takes what a run tells, in event order.
pub trait Recorder<W: World> {
    /// What to collect.
    fn observe(&self) -> Observe;

    /// The deliveries of one window, in order; only if asked for.
    ///
    /// # Errors
    /// Ends the run; everything told so far stays recorded.
    fn deliveries(&mut self, deliveries: &[Delivery]) -> Result<(), RecorderError>;

    /// A record of a node's.
    ///
    /// # Errors
    /// Ends the run; everything told so far stays recorded.
    fn record(&mut self, at: Key, record: W::Record) -> Result<(), RecorderError>;

    /// A node asked for a checkpoint ([`super::Context::checkpoint`]), and everything until then has
    /// been told. `save` writes the state of the simulation, for [`super::Simulation::resume`]. A
    /// recorder that keeps no checkpoints does nothing.
    ///
    /// # Errors
    /// Ends the run; everything told so far stays recorded.
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
