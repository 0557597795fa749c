//! What a link may do to a message, beside delaying or losing it.

use crate::fault::Corruption;
use crate::sim::rng::Stream;
use crate::sim::Message;

/// A message that crosses links.
pub trait Wire: Message + Sized {
    /// The round of the protocol that it belongs to; 0 where there are none.
    fn round(&self) -> u32 {
        0
    }

    /// A second one with the same content; `None` where messages cannot be told twice.
    fn copied(&self) -> Option<Self> {
        None
    }

    /// Its content changes on the way, unnoticed. What no change can be made to stays as it is.
    fn corrupt(self, how: Corruption, rng: &mut Stream) -> Self {
        let _ = (how, rng);
        self
    }
}
