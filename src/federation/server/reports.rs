//! What clients answer: each report is inspected, and then used or only counted.

use super::super::invitation;
use super::super::message::{unsound, Refusal, Report};
use super::super::outstanding::Asked;
use super::super::record::Record;
use super::super::round::Invited;
use super::super::spread::Own;
use super::super::world::{Bug, Federation};
use super::{Cx, Server, Stage};
use crate::method::{Payload, Received};
use crate::observe::ledger::What;
use crate::observe::rows::{ClientOutcome, ClientRow, Rejection, RejectionRow};
use crate::quantity::{Span, VirtualTime};
use crate::select::UsedReport;
use crate::sim::NodeId;
use std::sync::Arc;

impl Server {
    /// Takes a report that arrives, unless the server holds it back until its step is done.
    pub(super) fn receive(&mut self, from: NodeId, report: Report, cx: &mut Cx<'_>) {
        let Some(client) = Federation::client_of(from) else {
            return;
        };
        if let Some(report) = self.holds_back(client, report, cx.now()) {
            self.hear(client, report, cx.now(), cx);
        }
    }

    /// Uses a report that arrived at `at`, or counts it as not used.
    pub(super) fn hear(&mut self, client: u32, report: Report, at: VirtualTime, cx: &mut Cx<'_>) {
        let bytes = report.wire_bytes();
        self.round.count_up(bytes);
        let round = report.round;
        let waited_for = self.is_waiting_for(client, round);
        let Some(row) = self.answered(client, round, at) else {
            if self.is_let_in(client, round) {
                self.take_in(client, report, cx);
                return self.close_if_complete(cx);
            }
            return self.unasked(client, (round, report.telemetry.task), cx);
        };
        let mut row = invitation::reported(row, &report);
        row.outcome = if waited_for {
            row.queue_wait = self.busy_until.max(cx.now()).since(at);
            let partial = report.telemetry.partial;
            let outcome = self.take_in(client, report, cx);
            if partial && outcome.is_used() {
                self.round.count_partial();
            }
            outcome
        } else {
            self.round.late_arrivals += 1;
            ClientOutcome::Late
        };
        if row.outcome == ClientOutcome::Reported && !self.is_above_servers() {
            self.policy.reported(&UsedReport {
                client,
                round,
                samples: row.samples,
                loss: row.loss,
                took: cx.now().since(row.invited),
            });
        }
        self.settled(client);
        self.tell_client(row, cx);
        self.close_if_complete(cx);
    }

    /// Records a client's line. Edge servers have a table of their own.
    fn tell_client(&self, row: ClientRow, cx: &mut Cx<'_>) {
        if !self.is_above_servers() {
            cx.record(Record::Client(Box::new(row)));
        }
    }

    /// Counts a report for which nobody waits, without using it.
    fn unasked(&mut self, client: u32, (round, task): (u32, u32), cx: &mut Cx<'_>) {
        let reason = match &self.active {
            Some(active) => active.reason(client, round, self.round.number),
            None => self.round.reason(client, round),
        };
        if reason == Rejection::Stale {
            self.round.late_arrivals += 1;
            if !self.is_above_servers() {
                invitation::record_arrived(client, (round, task), reason, cx);
            }
            if !self.shared.faults.is_any() {
                // A straggler that was asked again: its old task is recorded as lost already.
                return;
            }
        }
        self.reject(client, round, reason, cx);
        let asked = self
            .asked_for(client)
            .filter(|_| reason == Rejection::Future);
        if let Some(task) = asked {
            // The report names a later round, so it is no copy of an older one: it is this client's answer,
            // and nobody needs to wait for another.
            let answered = self.answered(client, task, cx.now());
            self.settled(client);
            self.round.answer(client, Invited::Rejected);
            if let Some(row) = answered {
                let outcome = ClientOutcome::Rejected(reason.to_string().into());
                self.tell_client(ClientRow { outcome, ..row }, cx);
            }
            self.close_if_complete(cx);
        }
    }

    /// Whether a planted defect makes the server use a report for which nobody waits.
    fn is_let_in(&self, client: u32, round: u32) -> bool {
        let collecting = matches!(self.stage, Stage::Collecting);
        let reason = || match &self.active {
            Some(active) => active.reason(client, round, self.round.number),
            None => self.round.reason(client, round),
        };
        match self.shared.bug {
            Some(Bug::DoubleCount) if self.active.is_some() => reason() == Rejection::Again,
            Some(Bug::DoubleCount) => {
                collecting && round == self.round.number && self.round.has_answered(client)
            }
            Some(Bug::IgnoreRound) if self.active.is_some() => {
                matches!(reason(), Rejection::Stale | Rejection::Future)
            }
            Some(Bug::IgnoreRound) => collecting && round != self.round.number,
            Some(Bug::NeverTimeOut | Bug::AlwaysFresh | Bug::LoseWeight) | None => false,
        }
    }

    /// Records a report that is not used, and why.
    fn reject(&mut self, client: u32, round: u32, reason: Rejection, cx: &mut Cx<'_>) {
        let row = RejectionRow {
            round: self.round.number,
            client,
            time: cx.now(),
            said: round,
            reason,
        };
        cx.record(Record::Rejection(Box::new(row)));
    }

    /// Gives a report to the method, at its cost on the virtual server.
    fn take_in(&mut self, client: u32, report: Report, cx: &mut Cx<'_>) -> ClientOutcome {
        self.occupy(self.half.receive_flops(), Span::ZERO, cx);
        let metrics = report.telemetry.metrics;
        let staleness = self.half.staleness(client);
        if let Some(reason) = self.unusable(&report, staleness) {
            self.round.answer(client, Invited::Rejected);
            self.reject(client, report.round, reason, cx);
            return ClientOutcome::Rejected(reason.to_string().into());
        }
        if let Payload::Blank(_) = report.payload {
            // The report is only a size. It has taken its time, and there is nothing to add up.
            self.round.answer(client, Invited::Reported);
            if let Some(staleness) = staleness {
                self.round.count_staleness(staleness);
            }
            return ClientOutcome::Reported;
        }
        let received = Received {
            client,
            round: report.round,
            samples: report.samples,
            payload: report.payload,
        };
        if let Err(error) = self.half.receive(&received) {
            self.round.answer(client, Invited::Rejected);
            self.reject(client, received.round, Rejection::Misfit, cx);
            return ClientOutcome::Rejected(error.to_string().into());
        }
        self.round.answer(client, Invited::Reported);
        if let Some(staleness) = staleness {
            self.round.count_staleness(staleness);
        }
        self.round.count_loss(metrics.loss, received.samples);
        let round = self.round.number;
        self.round.diverged += report.below.diverged;
        let below = report.below.held_out.into_iter();
        let itself = metrics.held_out.map(|held_out| (client, held_out));
        let own = below.chain(itself);
        self.own
            .extend(own.map(|(client, held_out)| (client, Own { round, held_out })));
        ClientOutcome::Reported
    }

    /// Why a report is not used before the method has seen it, if it is not.
    fn unusable(&self, report: &Report, staleness: Option<u32>) -> Option<Rejection> {
        let limit = self.waiting().and_then(|waiting| waiting.max_staleness);
        if staleness
            .zip(limit)
            .is_some_and(|(found, limit)| found > limit)
        {
            return Some(Rejection::TooStale);
        }
        unsound(&report.payload)
    }

    /// Takes in a client's refusal.
    pub(super) fn refused(&mut self, from: NodeId, refusal: &Refusal, cx: &mut Cx<'_>) {
        let Some(client) = Federation::client_of(from) else {
            return;
        };
        self.round.count_up(refusal.wire_bytes());
        let waited_for = self.is_waiting_for(client, refusal.round);
        if let Some(row) = self.answered(client, refusal.round, cx.now()) {
            self.round.diverged += refusal.diverged;
            self.settled(client);
            let row = ClientRow {
                received: Some(refusal.received),
                bytes_up: refusal.wire_bytes().0,
                outcome: ClientOutcome::Refused(Arc::clone(&refusal.reason)),
                ..row
            };
            self.tell_client(row, cx);
        } else if !self.is_above_servers() {
            let outcome = ClientOutcome::Refused(Arc::clone(&refusal.reason));
            let arrived = What::Arrived(Box::new(outcome));
            invitation::record(client, refusal.round, arrived, cx);
        }
        if waited_for {
            self.round.answer(client, Invited::Refused);
        }
        self.close_if_complete(cx);
    }

    /// The line of a client that answers at `at`; `None` if the client has a line for that round already.
    fn answered(&mut self, client: u32, round: u32, at: VirtualTime) -> Option<ClientRow> {
        let asked = match &mut self.active {
            Some(active) => active.end_task(client, round, true)?,
            None => self.outstanding.answer(client, round)?,
        };
        Some(ClientRow {
            reported: Some(at),
            ..invitation::row(&self.shared, client, asked)
        })
    }

    /// Whether an answer of this client for this round still counts.
    fn is_waiting_for(&self, client: u32, round: u32) -> bool {
        self.asked_for(client) == Some(round)
    }

    /// The round, or the task, for which an answer of this client still counts, if there is one.
    fn asked_for(&self, client: u32) -> Option<u32> {
        if let Some(active) = &self.active {
            // Reports that arrive during a step are held, so an answer is too late only after the last step.
            let over = matches!(self.stage, Stage::Finished);
            return active.task_of(client).filter(|_| !over);
        }
        let waits = matches!(self.stage, Stage::Collecting) && self.round.is_waiting_for(client);
        waits.then_some(self.round.number)
    }

    /// Tells the method's half that a client's task has ended, where clients are asked one by one.
    fn settled(&mut self, client: u32) {
        if self.active.is_some() {
            self.half.gone(client);
        }
    }

    /// Closes the round if it has all its answers.
    pub(super) fn close_if_complete(&mut self, cx: &mut Cx<'_>) {
        if self.active.is_some() {
            return self.keep_busy(cx);
        }
        if matches!(self.stage, Stage::Collecting) && self.round.is_complete() {
            self.close(cx);
        }
    }

    /// Records that a client never answered a task.
    pub(super) fn record_lost(&self, client: u32, asked: Asked, cx: &mut Cx<'_>) {
        let row = ClientRow {
            outcome: ClientOutcome::Lost,
            ..invitation::row(&self.shared, client, asked)
        };
        self.tell_client(row, cx);
    }
}
