//! How a run ends: after the last round, when its virtual time is over, or because of an error.

use super::super::invitation;
use super::super::message::Message;
use super::super::outstanding::Asked;
use super::super::record::Record;
use super::super::world::Federation;
use super::{Cx, Server, Stage};
use crate::method::Phase;
use crate::observe::ledger::What;
use crate::observe::rows::Outcome;
use crate::sim::NodeId;

impl Server {
    /// Stops when the schedule's virtual time is over.
    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        self.stopping = true;
        if matches!(self.stage, Stage::Waiting | Stage::Collecting) {
            self.half.abandon();
            self.round.outcome = Outcome::Stopped;
            let row = self.round_row(None, cx);
            self.record_round(row, cx);
            self.begin(Phase::Finish, cx);
        } else if matches!(self.stage, Stage::Down) {
            // The server has no time left to come up in: the run ends with the model that the server would
            // have gone on with.
            self.go_on(cx);
        }
    }

    /// Records a message that arrives at a server which is down or has finished, and does not use it.
    pub(super) fn discard(&self, from: NodeId, message: &Message, cx: &mut Cx<'_>) {
        let bytes = crate::sim::Message::wire_bytes(message).0;
        let client = Federation::client_of(from).unwrap_or_default();
        let task = crate::net::Wire::round(message);
        invitation::record(client, task, What::Unheard { bytes }, cx);
        if matches!(self.stage, Stage::Down) && !self.is_above_servers() {
            invitation::record(client, task, What::Gone { task: false }, cx);
        }
    }

    /// Ends the run. Messages that arrive later are recorded and not used.
    pub(super) fn finish(&mut self, cx: &mut Cx<'_>) {
        self.stage = Stage::Finished;
        self.too_late(cx);
        self.lose_all(cx);
        // Bytes that arrived after the last round was recorded.
        let bytes = self.round.written();
        invitation::record(0, 0, What::Unheard { bytes }, cx);
        cx.finish();
    }

    /// Stops waiting for all clients, whose tasks are lost. Returns how many clients that were.
    pub(super) fn lose_all(&mut self, cx: &mut Cx<'_>) -> u32 {
        let held = self.active.as_mut().map(|active| active.take_held());
        for (client, task, bytes) in held.into_iter().flatten() {
            // A report that was held back during a step is lost with the server's memory.
            invitation::record(client, task, What::Unheard { bytes }, cx);
            if !self.is_above_servers() {
                invitation::record(client, task, What::Gone { task: false }, cx);
            }
        }
        let active = self.active.as_mut().map(|active| active.clear());
        let all: Vec<(u32, Asked)> = self
            .outstanding
            .drain()
            .chain(active.into_iter().flatten())
            .collect();
        for (client, asked) in &all {
            self.record_lost(*client, *asked, cx);
        }
        all.len() as u32
    }

    /// Ends the run because of an error.
    pub(super) fn fail(&mut self, reason: String, cx: &mut Cx<'_>) {
        cx.record(Record::Fatal(format!(
            "round {}: {reason}",
            self.round.number
        )));
        self.finish(cx);
    }
}
