//! What the nodes record of an invitation: the facts for the ledger, and the client's line.
//!
//! The server, edge servers, clients and the observer record invitations in the same way, with the
//! functions here. An invitation is named by the client and by the number of its task.

use super::message::Report;
use super::outstanding::Asked;
use super::record::Record;
use super::world::{Federation, Shared};
use crate::observe::ledger::{Fact, What};
use crate::observe::rows::{ClientOutcome, ClientRow, Rejection};
use crate::quantity::{Bytes, Span};
use crate::sim::Context;

/// Records that something happened to an invitation, now. `task` is the number by which messages name
/// the task: that of its round or, where the server does not wait for rounds, its own.
pub(super) fn record(client: u32, task: u32, what: What, cx: &mut Context<'_, Federation>) {
    let at = cx.now();
    cx.record(Record::Fact(Fact {
        client,
        task,
        at,
        what,
    }));
}

/// Records that a client is asked with a task of so many bytes. A client without a server sets itself a
/// task, for which no bytes are sent.
pub(super) fn record_asked(
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
    record(client, task, asked, cx);
}

/// Records that a report to `task` arrived for which nobody waits. `said` is the task that the report
/// names, which differs where a fault makes the report wrong.
pub(super) fn record_arrived(
    client: u32,
    (said, task): (u32, u32),
    reason: Rejection,
    cx: &mut Context<'_, Federation>,
) {
    let outcome = match said == task {
        true => ClientOutcome::Late,
        false => ClientOutcome::Rejected(reason.to_string().into()),
    };
    record(client, task, What::Arrived(Box::new(outcome)), cx);
}

/// The line of a client that was asked, as it is before the client has answered.
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

/// A client's line with the figures of its report.
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
