//! The relay task of an edge server: what the server above asks for, and what the edge server answers.

use super::super::message::{FromBelow, Message, Refusal, Report, Task, Telemetry};
use super::{Cx, Edge, Stage};
use crate::learn::Cost;
use crate::method::{MethodError, Metrics, Payload};
use crate::observe::rows::Outcome;
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::sim::NodeId;
use crate::snapshot::snapshot_struct;

/// A task of the server above, which the edge server does by holding rounds of its own.
pub(super) struct RelayTask {
    /// The server above.
    from: NodeId,
    /// The round of the server above.
    pub(super) round: u32,
    received: VirtualTime,
    bytes_down: Bytes,
    /// The size of the model, which is all there is of a report that no client really computed.
    model: Bytes,
    /// How many rounds the edge server has held for the task.
    pub(super) held: u32,
    /// What the last of these rounds with reports led to.
    pub(super) gain: Option<Gain>,
    /// How long the virtual server has computed for the task.
    pub(super) compute: Span,
    /// What was heard of clients meanwhile, for the evaluation at the top.
    pub(super) below: FromBelow,
}

/// What a round with reports leads to.
pub(super) struct Gain {
    /// How many samples the clients below trained on.
    pub(super) samples: u32,
    /// The mean training loss, where one was measured.
    pub(super) loss: Option<f64>,
    /// Whether some report was really computed, and is not only a size.
    pub(super) real: bool,
}

snapshot_struct!(RelayTask {
    from,
    round,
    received,
    bytes_down,
    model,
    held,
    gain,
    compute,
    below,
});
snapshot_struct!(Gain {
    samples,
    loss,
    real
});
impl Edge {
    /// Begins a task. A task of a later round takes the place of the one that is under way.
    pub(super) fn begin(&mut self, from: NodeId, task: Task, cx: &mut Cx<'_>) {
        let busy = self.relay.as_ref();
        if busy.is_some_and(|relay| relay.round >= task.round) {
            return;
        }
        if self.stage != Stage::Idle {
            self.half.abandon();
            self.record_round(Outcome::Stopped, cx);
            self.stage = Stage::Idle;
        }
        let bytes_down = task.wire_bytes();
        let relay = RelayTask {
            from,
            round: task.round,
            received: cx.now(),
            bytes_down,
            model: task.payload.wire_bytes(),
            held: 0,
            gain: None,
            compute: Span::ZERO,
            below: FromBelow::default(),
        };
        self.relay = Some(relay);
        let adopted = match task.payload {
            Payload::Model(model) => self.half.adopt(model),
            other => Err(MethodError::payload("a model", &other)),
        };
        match adopted {
            Ok(()) => self.open(cx),
            Err(error) => self.decline(format!("cannot begin: {error}"), cx),
        }
    }

    /// Declines the task: tells the server above that there is nothing to report, and why.
    pub(super) fn decline(&mut self, reason: String, cx: &mut Cx<'_>) {
        self.stage = Stage::Idle;
        let Some(relay) = self.relay.take() else {
            return;
        };
        let refusal = Refusal {
            round: relay.round,
            reason: reason.into(),
            received: relay.received,
            diverged: relay.below.diverged,
        };
        cx.send(relay.from, Message::Refusal(Box::new(refusal)));
    }

    /// Reports to the server above the model that the rounds have led to.
    pub(super) fn report(&mut self, cx: &mut Cx<'_>) {
        let Some(relay) = &mut self.relay else {
            return;
        };
        let Some(gain) = relay.gain.take() else {
            return self.decline("nobody below it reported".into(), cx);
        };
        let payload = match self.half.global() {
            Some(model) if gain.real => Payload::Model(model.clone()),
            _ => Payload::Blank(relay.model),
        };
        self.stage = Stage::Idle;
        let Some(relay) = self.relay.take() else {
            return;
        };
        let device = self.tier().device;
        let report = Report {
            round: relay.round,
            samples: gain.samples,
            payload,
            telemetry: Telemetry {
                task: relay.round,
                received: relay.received,
                trained: cx.now(),
                compute: relay.compute,
                cost: Cost::default(),
                energy: device.power.energy(relay.compute),
                bytes_down: relay.bytes_down,
                metrics: Metrics {
                    loss: gain.loss,
                    ..Metrics::default()
                },
                partial: false,
            },
            below: relay.below,
        };
        cx.send(relay.from, Message::Report(Box::new(report)));
    }
}
