//! What a server writes down of those who answer to it: the same for the server at the top and for
//! those between.

use super::message::Report;
use super::outstanding::Asked;
use super::record::Record;
use super::world::{Federation, Shared};
use crate::observe::ledger::{Fact, What};
use crate::observe::rows::{ClientOutcome, ClientRow, Rejection};
use crate::quantity::{Bytes, Span};
use crate::sim::Context;

/// Tells something of the invitation of a client that messages name by `task`.
pub(super) fn tell(client: u32, task: u32, what: What, cx: &mut Context<'_, Federation>) {
    let at = cx.now();
    cx.record(Record::Fact(Fact {
        client,
        task,
        at,
        what,
    }));
}

/// Tells that a client is asked, or sets itself a task where nobody asks it.
pub(super) fn tell_asked(
    shared: &Shared,
    (client, task): (u32, u32),
    asked: Asked,
    bytes: Option<Bytes>,
    cx: &mut Context<'_, Federation>,
) {
    let row = Box::new(row(shared, client, asked));
    let node = Federation::node_of(client);
    let beside = bytes.map(|bytes| shared.network.beside(cx.id(), node, bytes).total());
    let asked = What::Asked {
        row,
        bytes: bytes.map(|bytes| bytes.0),
        beside: beside.unwrap_or_default(),
    };
    tell(client, task, asked, cx);
}

/// Tells of a report to `task` that nobody waits for, and that says it belongs to `said`.
pub(super) fn tell_arrived(
    client: u32,
    (said, task): (u32, u32),
    reason: Rejection,
    cx: &mut Context<'_, Federation>,
) {
    let outcome = match said == task {
        true => ClientOutcome::Late,
        false => ClientOutcome::Rejected(reason.to_string().into()),
    };
    tell(client, task, What::Arrived(Box::new(outcome)), cx);
}

/// The line of a client that was asked, before it has answered.
pub(super) fn row(shared: &Shared, client: u32, asked: Asked) -> ClientRow {
    let plan = &shared.plan;
    ClientRow {
        round: asked.round,
        client,
        group: plan.group_name(client),
        outcome: ClientOutcome::Reported,
        invited: asked.at,
        received: None,
        trained: None,
        reported: None,
        compute: Span::ZERO,
        queue_wait: Span::ZERO,
        bytes_down: 0,
        bytes_up: 0,
        samples: 0,
        steps: 0,
        loss: None,
        trained_accuracy: None,
        size: shared.sizes.of(client).ratio,
        flops: 0,
        memory_bytes: 0,
        energy_j: 0.0,
        received_accuracy: None,
        overhead_bytes: 0,
    }
}

/// The same with what its report says.
pub(super) fn reported(row: ClientRow, report: &Report) -> ClientRow {
    let telemetry = &report.telemetry;
    let held_out = telemetry.metrics.held_out;
    ClientRow {
        received: Some(telemetry.received),
        trained: Some(telemetry.trained),
        compute: telemetry.compute,
        bytes_down: telemetry.bytes_down.0,
        bytes_up: report.wire_bytes().0,
        samples: report.samples,
        steps: telemetry.metrics.steps,
        loss: telemetry.metrics.loss,
        trained_accuracy: held_out.map(|held_out| held_out.trained_accuracy()),
        received_accuracy: held_out.map(|held_out| held_out.received_accuracy()),
        flops: telemetry.cost.flops.0,
        memory_bytes: telemetry.cost.memory.0,
        energy_j: telemetry.energy,
        ..row
    }
}
