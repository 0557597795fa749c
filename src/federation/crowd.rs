//! What a policy of selection may know of the clients.

use super::sizing::cost_of;
use super::world::{Federation, Shared};
use crate::quantity::{Bytes, Span};
use crate::select::{Crowd, Expected};
use std::ops::Range;

impl Crowd for Shared {
    fn population(&self) -> u32 {
        self.plan.population()
    }

    fn is_there(&self, client: u32, draw: u64) -> bool {
        self.plan.client(client).participation.hit(draw)
    }

    fn samples(&self, client: u32) -> u32 {
        u32::try_from(self.plan.partition.client(client as usize).len()).unwrap_or(u32::MAX)
    }

    /// With a message of the client's parameters each way.
    fn expected(&self, client: u32) -> Expected {
        let (own, narrower) = (self.sizes.of(client), self.sizes.narrower(client));
        let me = self.plan.client(client);
        let half = self.client_half.as_ref();
        let cost = cost_of(
            &self.plan,
            half,
            &self.local[me.group],
            own,
            narrower,
            client,
        );
        let bytes = Bytes(4 * own.model.parameters() as u64);
        let (node, server) = (Federation::node_of(client), Federation::SERVER);
        Expected {
            download: self.network.expected(server, node, bytes),
            compute: me.device.duration(cost.flops),
            upload: self.network.expected(node, server, bytes),
        }
    }

    fn groups(&self) -> Vec<Range<u32>> {
        let mut first = 0;
        let groups = self.plan.groups.iter();
        let ranges = groups.map(|group| {
            let range = first..first + group.count;
            first = range.end;
            range
        });
        ranges.collect()
    }

    fn deadline(&self) -> Option<Span> {
        self.plan.schedule.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::run::assemble;
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
        let shared = federation.shared();
        let slow = shared.expected(2);
        let near = |span: Span, seconds: f64| (span.seconds() - seconds).abs() < 1e-6;
        assert!(near(slow.upload, 0.021_44 + 0.01), "{slow:?}");
        assert!(near(slow.download, 0.010_72 + 0.01), "{slow:?}");
        let fast = shared.expected(4);
        assert!(fast.upload < Span::from_millis(1), "{fast:?}");
        assert!(slow.compute > fast.compute && fast.compute > Span::ZERO);
        assert_eq!(shared.groups(), [0..3, 3..5]);
    }
}
