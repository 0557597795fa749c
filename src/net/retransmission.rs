//! What is done about lost packets, where a scenario names something beside the variants of
//! [`super::Transport`].

use crate::quantity::Span;
use crate::registry::kind;

/// When packets that were lost are sent again, by a sender that sends all packets of a message and then
/// waits to hear of the lost ones.
pub trait Retransmission: Send + Sync {
    /// What is wrong with the settings: `"retries 2000 is outside [0, 1000]"`.
    fn problem(&self) -> Option<String> {
        None
    }

    /// How long after the last packet of attempt `attempt` (from 0) has left the sender waits before it
    /// sends those again that were lost; none where it gives the message up, which it does after 1,000
    /// attempts in any case. It waits for the path's median round trip at least, since nobody learns of a
    /// loss sooner.
    fn wait(&self, attempt: u32) -> Option<Span>;
}

kind! {
    dyn Retransmission, "a transport";
}
