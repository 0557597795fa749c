//! What a client does whose local training would not end before the round does: its report is lost, or
//! it stops early and reports the model that it has by then.
//!
//! FedAvg drops such clients; FedProx has them report partial work (Li et al., "Federated Optimization
//! in Heterogeneous Networks", MLSys 2020, section 5.2). A task then says when its round ends, and the
//! client leaves itself the time that its report needs. For example, a client is asked at 0 s in a round
//! of 10 s and has its task at 0.5 s; its report takes 0.5 s, it starts up in 1 s and takes 0.3 s a
//! step. Training has to end before 9.5 s, so the client takes 26 steps, ends at 9.3 s, and its report
//! arrives at 9.8 s.

use super::message::ENVELOPE;
use super::world::{Federation, Shared};
use crate::learn::{Amount, LocalTraining};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::NodeId;
use serde::Serialize;

/// What becomes of a client whose local training would not end before its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub enum OnDeadline {
    /// It trains to the end, and its report comes too late to be used.
    #[default]
    Drop,
    /// It stops after the last local step that leaves its report time to arrive, and reports the model
    /// that it has by then.
    ReportPartial {
        /// The time that it leaves for its report, beside what the report takes on idle links.
        reserve: Span,
    },
}

impl OnDeadline {
    /// Whether clients train to the end whatever the deadline.
    pub const fn is_drop(&self) -> bool {
        matches!(self, Self::Drop)
    }

    /// The moment at which a round that opens at `now` ends, as far as its clients are told.
    pub(super) fn told(self, now: VirtualTime, deadline: Option<Span>) -> Option<VirtualTime> {
        (!self.is_drop()).then(|| deadline.map(|deadline| now + deadline))?
    }
}

impl Shared {
    /// The moment before which the training of `client` for a task that it has at `now` must end, where
    /// the task says that its round ends at `ends`. The client goes by its own clock.
    pub(super) fn stop(
        &self,
        client: u32,
        server: NodeId,
        ends: Option<VirtualTime>,
        now: VirtualTime,
    ) -> Option<VirtualTime> {
        let left = ends?.since(self.faults.clients.clock(client, now));
        let leaves = self.leaves_for_report(client, server)?;
        Some(now + Span::from_nanos(left.nanos().saturating_sub(leaves.nanos())))
    }

    /// The time that a client leaves for its report; `None` where no client stops early.
    pub(super) fn leaves_for_report(&self, client: u32, server: NodeId) -> Option<Span> {
        let OnDeadline::ReportPartial { reserve } = self.plan.schedule.on_deadline else {
            return None;
        };
        let node = Federation::node_of(client);
        Some(reserve + self.nominal(node, server, self.stand_in_bytes(client)))
    }

    /// The size of a report of `client`, where stand-ins were made.
    pub(super) fn stand_in_bytes(&self, client: u32) -> Bytes {
        let report = self.stand_ins.report(self.sizes.level_of(client));
        Bytes(ENVELOPE.saturating_add(report.wire_bytes().0))
    }

    /// How long a message takes on idle links without losses, with latencies at their medians.
    pub(super) fn nominal(&self, from: NodeId, to: NodeId, bytes: Bytes) -> Span {
        let passage = self.network.passage(from, to, bytes);
        let plain = || self.network.expected(from, to, bytes);
        passage.alone().unwrap_or_else(plain)
    }
}

/// The first `steps` steps of local training.
pub(super) fn first_steps(local: &LocalTraining, steps: u32) -> LocalTraining {
    LocalTraining {
        amount: Amount::Steps(steps),
        ..local.clone()
    }
}

/// Local training on so many samples, stopped after the last step with which it fits; `None` if it does
/// not fit with a single step. More steps must never fit where fewer do not.
pub(super) fn cut(
    local: &LocalTraining,
    samples: usize,
    fits: impl Fn(&LocalTraining) -> bool,
) -> Option<LocalTraining> {
    let all = u32::try_from(local.steps(samples)).unwrap_or(u32::MAX);
    let (mut fit, mut beyond) = (0, all.saturating_add(1));
    while beyond - fit > 1 {
        let middle = fit + (beyond - fit) / 2;
        match fits(&first_steps(local, middle)) {
            true => fit = middle,
            false => beyond = middle,
        }
    }
    (fit > 0).then(|| first_steps(local, fit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn as_many_steps_are_left_as_a_count_one_by_one_finds(
            samples in 1usize..60, batch in 0usize..20, epochs in 1u32..5, most in 0u64..200
        ) {
            let local = LocalTraining {
                amount: Amount::Epochs(epochs),
                batch,
                ..LocalTraining::sgd(0.1)
            };
            // Time goes by samples, so that the short batch at the end of an epoch takes less of it.
            let fits = |local: &LocalTraining| local.samples_seen(samples) <= most;
            let all = local.steps(samples) as u32;
            let found = (1..=all).take_while(|&steps| fits(&first_steps(&local, steps))).last();
            let cut = cut(&local, samples, fits);
            prop_assert_eq!(cut.map(|cut| cut.amount), found.map(Amount::Steps));
        }
    }

    #[test]
    fn a_round_tells_its_end_only_to_clients_that_stop_for_it() {
        let (now, limit) = (VirtualTime::from_nanos(5), Some(Span::from_nanos(10)));
        let partial = OnDeadline::ReportPartial {
            reserve: Span::ZERO,
        };
        assert_eq!(OnDeadline::Drop.told(now, limit), None);
        assert_eq!(partial.told(now, limit), Some(VirtualTime::from_nanos(15)));
        assert_eq!(partial.told(now, None), None);
    }
}
