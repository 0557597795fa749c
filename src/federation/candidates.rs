//! What a selection policy may know of the clients.

use super::hierarchy::Below;
use super::sizing::cost_of;
use super::world::{Federation, Shared};
use crate::quantity::{Span, VirtualTime};
use crate::select::{Expected, Population};
use crate::sim::NodeId;
use std::ops::Range;

/// The clients of a server as they are when a round opens. A policy names a client by its place among
/// them: below an edge server with the clients 10 to 19, the place 3 is client 13.
pub(super) struct Candidates<'a> {
    /// What all nodes share.
    pub shared: &'a Shared,
    /// The server that the clients answer to.
    pub server: NodeId,
    /// The clients that answer to the server.
    pub below: Below<'a>,
    /// The round that opens.
    pub round: u32,
    /// When the round opens.
    pub now: VirtualTime,
    /// How long after its beginning the round ends with the reports it has.
    pub deadline: Option<Span>,
}

impl Population for Candidates<'_> {
    fn size(&self) -> u32 {
        self.below.count()
    }

    fn is_there(&self, place: u32, draw: u64) -> bool {
        let client = self.below.member(place);
        let here = &self.shared.presence;
        here.is_there(client, self.round, self.now)
            && self.shared.plan.client(client).participation.hit(draw)
    }

    fn samples(&self, place: u32) -> u32 {
        let client = self.below.member(place);
        u32::try_from(self.shared.plan.partition.size(client as usize)).unwrap_or(u32::MAX)
    }

    /// What a round is expected to take the client, with a message of its parameters each way.
    fn expected(&self, place: u32) -> Expected {
        let client = self.below.member(place);
        let (own, narrower) = (
            self.shared.sizes.of(client),
            self.shared.sizes.narrower(client),
        );
        let me = self.shared.plan.client(client);
        let half = self.shared.client_half.as_ref();
        let cost = cost_of(
            &self.shared.plan,
            half,
            &self.shared.local[me.group],
            own,
            narrower,
            client,
        );
        let bytes = own.model.layout().wire_bytes();
        let (node, server) = (Federation::node_of(client), self.server);
        Expected {
            download: self.shared.network.expected(server, node, bytes),
            compute: me.device.duration(cost.flops),
            upload: self.shared.network.expected(node, server, bytes),
        }
    }

    fn groups(&self) -> Vec<Range<u32>> {
        let mut first = 0;
        let groups = self.shared.plan.groups.iter();
        let ranges = groups.map(|group| {
            let range = first..first + group.count;
            first = range.end;
            self.below.within(&range)
        });
        ranges.collect()
    }

    fn deadline(&self) -> Option<Span> {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::assemble;
    use crate::scenario::Scenario;
    use std::path::Path;

    /// 650 parameters are 2,600 bytes, two packets of 40 bytes of headers with an MTU of 1,460: 21,440
    /// bits, 21.44 ms at a megabit a second; the other end's link is never in the way.
    #[test]
    fn what_is_expected_follows_from_link_and_device() {
        let text = "(data: Digits, model: [Flatten, Dense(10)], training: (steps: 1, batch: 10),
            server: (link: \"ideal\"),
            population: [
                (count: 3, device: (speed: \"1 MFLOP/s\"), link: (latency: \"10 ms\",
                    up: \"1 Mbit/s\", down: \"2 Mbit/s\", mtu: \"1460 B\", header: \"40 B\")),
                (count: 2, device: (speed: \"2 MFLOP/s\"), link: \"ideal\"),
            ])";
        let scenario = Scenario::parse(text, Path::new("s.ron"), &[]);
        let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
        let federation = assemble(&scenario, Default::default()).unwrap();
        let candidates = Candidates {
            shared: federation.shared(),
            server: Federation::SERVER,
            below: Below::all(5),
            round: 1,
            now: VirtualTime::ZERO,
            deadline: None,
        };
        let slow = candidates.expected(2);
        let near = |span: Span, seconds: f64| (span.seconds() - seconds).abs() < 1e-6;
        assert!(near(slow.upload, 0.021_44 + 0.01), "{slow:?}");
        assert!(near(slow.download, 0.010_72 + 0.01), "{slow:?}");
        let fast = candidates.expected(4);
        assert!(fast.upload < Span::from_millis(1), "{fast:?}");
        assert!(slow.compute > fast.compute && fast.compute > Span::ZERO);
        assert_eq!(candidates.groups(), [0..3, 3..5]);
    }
}
