//! A network whose events can be counted.

use shoal::net::{LinkNetwork, Nic, Wire};
use shoal::quantity::Span;
use shoal::sim::{NetContext, Network, NodeId, Parcel};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Links, with the number of events at their interfaces. Shards would hinder each other at one counter, so
/// storms that are timed do not count.
pub struct Counted {
    pub links: LinkNetwork,
    pub counts: AtomicBool,
    pub events: AtomicU64,
}

impl Counted {
    /// These links, uncounted.
    pub fn new(links: LinkNetwork) -> Self {
        Self {
            links,
            counts: AtomicBool::new(false),
            events: AtomicU64::new(0),
        }
    }

    fn count(&self) {
        if self.counts.load(Ordering::Relaxed) {
            self.events.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<M: Wire> Network<M> for Counted {
    type Nic = Nic<M>;

    fn lookahead(&self) -> Span {
        Network::<M>::lookahead(&self.links)
    }

    fn interface(&self, node: NodeId) -> Nic<M> {
        self.links.interface(node)
    }

    fn send(&self, nic: &mut Nic<M>, parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        self.links.send(nic, parcel, cx);
    }

    fn arrive(&self, nic: &mut Nic<M>, parcel: Parcel<M>, cx: &mut NetContext<'_, M>) {
        self.count();
        self.links.arrive(nic, parcel, cx);
    }

    fn alarm(&self, nic: &mut Nic<M>, token: u64, cx: &mut NetContext<'_, M>) {
        self.count();
        self.links.alarm(nic, token, cx);
    }

    fn held(&self, nic: &Nic<M>, visit: &mut dyn FnMut(&M)) {
        self.links.held(nic, visit);
    }

    fn remembers(&self, nic: &Nic<M>) -> bool {
        self.links.remembers(nic)
    }
}
