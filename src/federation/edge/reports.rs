//! What the members of an edge server answer: each report is inspected, and then used or only counted.

use super::super::invitation;
use super::super::message::{unsound, Refusal, Report};
use super::super::outstanding::Asked;
use super::super::record::Record;
use super::super::round::Invited;
use super::super::world::Federation;
use super::relay::Gain;
use super::{Cx, Edge, Stage};
use crate::method::{Payload, Received};
use crate::observe::ledger::What;
use crate::observe::rows::{ClientOutcome, ClientRow, Rejection, RejectionRow};
use crate::select::UsedReport;
use crate::sim::NodeId;
use std::sync::Arc;

impl Edge {
    /// Takes in the report of a member.
    pub(super) fn receive(&mut self, from: NodeId, report: Report, cx: &mut Cx<'_>) {
        let Some(member) = Federation::client_of(from) else {
            return;
        };
        self.round.count_up(report.wire_bytes());
        let round = report.round;
        let waited_for = self.is_waiting_for(member, round);
        let Some(asked) = self.outstanding.answer(member, round) else {
            return self.unasked(member, (round, report.telemetry.task), cx);
        };
        let mut row = invitation::reported(invitation::row(&self.shared, member, asked), &report);
        row.reported = Some(cx.now());
        row.outcome = if waited_for {
            row.queue_wait = self.busy_until.max(cx.now()).since(cx.now());
            self.take_in(member, report, cx)
        } else {
            self.round.late_arrivals += 1;
            ClientOutcome::Late
        };
        let place = self.below().place(member);
        if let Some(place) = place.filter(|_| row.outcome == ClientOutcome::Reported) {
            self.policy.reported(&UsedReport {
                client: place,
                round,
                samples: row.samples,
                loss: row.loss,
                took: cx.now().since(row.invited),
            });
        }
        self.record_client(row, cx);
        self.close_if_complete(cx);
    }

    /// Takes in a member's refusal.
    pub(super) fn refused(&mut self, from: NodeId, refusal: &Refusal, cx: &mut Cx<'_>) {
        let Some(member) = Federation::client_of(from) else {
            return;
        };
        self.round.count_up(refusal.wire_bytes());
        let waited_for = self.is_waiting_for(member, refusal.round);
        if let Some(asked) = self.outstanding.answer(member, refusal.round) {
            if let Some(relay) = &mut self.relay {
                relay.below.diverged += refusal.diverged;
            }
            let row = ClientRow {
                reported: Some(cx.now()),
                received: Some(refusal.received),
                bytes_up: refusal.wire_bytes().0,
                outcome: ClientOutcome::Refused(Arc::clone(&refusal.reason)),
                ..invitation::row(&self.shared, member, asked)
            };
            self.record_client(row, cx);
        } else if self.has_clients() {
            let outcome = ClientOutcome::Refused(Arc::clone(&refusal.reason));
            let arrived = What::Arrived(Box::new(outcome));
            invitation::record(member, refusal.round, arrived, cx);
        }
        if waited_for {
            self.round.answer(member, Invited::Refused);
        }
        self.close_if_complete(cx);
    }

    /// Whether a member's answer for this round still counts.
    fn is_waiting_for(&self, member: u32, round: u32) -> bool {
        let open = self.stage == Stage::Collecting && round == self.round.number;
        open && self.round.is_waiting_for(member)
    }

    /// Counts a report for which nobody waits, without using it.
    fn unasked(&mut self, member: u32, (round, task): (u32, u32), cx: &mut Cx<'_>) {
        let reason = self.round.reason(member, round);
        if reason == Rejection::Stale {
            self.round.late_arrivals += 1;
            if self.has_clients() {
                invitation::record_arrived(member, (round, task), reason, cx);
            }
            if !self.shared.faults.is_any() {
                // A straggler that was asked again: its old task is recorded as lost already.
                return;
            }
        }
        self.reject(member, round, reason, cx);
        if reason == Rejection::Future && self.round.is_waiting_for(member) {
            // The report names a later round, so it is no copy of an older one: it is this member's answer,
            // and nobody needs to wait for another.
            let number = self.round.number;
            self.round.answer(member, Invited::Rejected);
            if let Some(asked) = self.outstanding.answer(member, number) {
                let row = ClientRow {
                    reported: Some(cx.now()),
                    outcome: ClientOutcome::Rejected(reason.to_string().into()),
                    ..invitation::row(&self.shared, member, asked)
                };
                self.record_client(row, cx);
            }
            self.close_if_complete(cx);
        }
    }

    /// Adds a report to the mean, at its cost on the virtual server.
    fn take_in(&mut self, member: u32, report: Report, cx: &mut Cx<'_>) -> ClientOutcome {
        self.occupy(self.half.receive_flops(), cx);
        let metrics = report.telemetry.metrics;
        let (samples, loss, below) = (report.samples, metrics.loss, report.below);
        let real = !matches!(report.payload, Payload::Blank(_));
        if let Some(reason) = unsound(&report.payload).filter(|_| real) {
            self.round.answer(member, Invited::Rejected);
            self.reject(member, report.round, reason, cx);
            return ClientOutcome::Rejected(reason.to_string().into());
        }
        if real {
            let received = Received {
                client: member,
                round: report.round,
                samples,
                payload: report.payload,
            };
            if let Err(error) = self.half.receive(&received) {
                self.round.answer(member, Invited::Rejected);
                self.reject(member, received.round, Rejection::Misfit, cx);
                return ClientOutcome::Rejected(error.to_string().into());
            }
        }
        let first = self.round.reported == 0;
        self.round.answer(member, Invited::Reported);
        self.round.count_loss(loss, samples);
        if let Some(relay) = &mut self.relay {
            relay.below.diverged += below.diverged;
            relay.below.held_out.extend(below.held_out);
            if let Some(held_out) = metrics.held_out {
                relay.below.held_out.insert(member, held_out);
            }
            // The edge server reports the samples and the loss of its last round with reports.
            let before = relay.gain.take();
            let made = before.as_ref().is_some_and(|gain| gain.real);
            let samples_before = before.filter(|_| !first).map_or(0, |gain| gain.samples);
            relay.gain = Some(Gain {
                samples: samples_before.saturating_add(samples),
                loss: self.round.mean_loss(),
                real: made || real,
            });
        }
        ClientOutcome::Reported
    }

    /// Records a report that is not used, and why.
    fn reject(&mut self, member: u32, round: u32, reason: Rejection, cx: &mut Cx<'_>) {
        let row = RejectionRow {
            round: self.round.number,
            client: member,
            time: cx.now(),
            said: round,
            reason,
        };
        cx.record(Record::Rejection(Box::new(row)));
    }

    /// Closes the round if it has all its answers.
    fn close_if_complete(&mut self, cx: &mut Cx<'_>) {
        if self.stage == Stage::Collecting && self.round.is_complete() {
            self.close(cx);
        }
    }

    /// Records a client's line. Members that are edge servers have a table of their own.
    fn record_client(&self, row: ClientRow, cx: &mut Cx<'_>) {
        if self.has_clients() {
            cx.record(Record::Client(Box::new(row)));
        }
    }

    /// Records that a member never answered a task.
    pub(super) fn record_lost(&self, member: u32, asked: Asked, cx: &mut Cx<'_>) {
        let row = ClientRow {
            outcome: ClientOutcome::Lost,
            ..invitation::row(&self.shared, member, asked)
        };
        self.record_client(row, cx);
    }
}
