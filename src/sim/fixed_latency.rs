//! The simplest network: every message takes one time.

use super::{NetContext, Network, NodeId, Parcel};
use crate::quantity::Span;

/// A network without rates and losses, over which every message takes this long. The time is the lookahead
/// too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedLatency(pub Span);

impl<M: 'static> Network<M> for FixedLatency {
    type Nic = ();

    fn lookahead(&self) -> Span {
        self.0
    }

    fn interface(&self, _: NodeId) {}

    fn send(&self, (): &mut (), parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        let at = cx.now() + self.0;
        cx.deliver(parcel, at);
    }

    /// No message is carried to an interface.
    fn arrive(&self, (): &mut (), parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        let now = cx.now();
        cx.deliver(parcel, now);
    }

    fn alarm(&self, (): &mut (), _: u64, _: &mut NetContext<'_, M>) {}

    fn held(&self, (): &(), _: &mut dyn FnMut(&M)) {}
}
