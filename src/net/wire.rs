//! The properties of a message that links and faults can use, apart from its size.

use crate::fault::Corruption;
use crate::sim::rng::Stream;
use crate::sim::Message;

/// A message that crosses links.
pub trait Wire: Message + Sized {
    /// The round of the protocol to which the message belongs; 0 where there are no rounds. The default
    /// is 0.
    fn round(&self) -> u32 {
        0
    }

    /// A copy of the message; `None` where messages of this kind cannot be copied, which is the
    /// default.
    fn copied(&self) -> Option<Self> {
        None
    }

    /// Changes the content of the message in a way that nobody notices, as a fault does. A message that
    /// cannot be changed stays as it is, which is the default.
    fn corrupt(self, how: Corruption, rng: &mut Stream) -> Self {
        let _ = (how, rng);
        self
    }
}
