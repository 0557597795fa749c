//! Rules for retransmission that a scenario can name in addition to the variants of
//! [`super::Transport`].

use crate::quantity::Span;
use crate::registry::kind;

/// The waits of a sender that sends all packets of a message, and then sends the lost ones again.
///
/// For example, a rule that returns 1 s for attempt 0, 2 s for attempt 1 and `None` from then on sends lost
/// packets again at most twice.
pub trait Retransmission: Send + Sync {
    /// What is wrong with the settings, in words, for example `"retries 2000 is outside [0, 1000]"`.
    fn problem(&self) -> Option<String> {
        None
    }

    /// How long the sender waits, after the last packet of attempt `attempt` (from 0) has left, before it
    /// sends the lost packets again. `None` gives the message up, which also happens after 1,000 attempts.
    /// The sender waits at least for the path's median round trip, before which no loss can be known.
    fn wait(&self, attempt: u32) -> Option<Span>;
}

kind! {
    dyn Retransmission, "a transport";
}
