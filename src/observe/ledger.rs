//! What became of every invitation, and what it cost.
//!
//! No node knows this alone. The server knows which clients it asked and what they answered; a client
//! knows what it spent, also on work whose result reaches nobody; the network knows which messages it
//! lost. Each of them reports what it knows as a [`Fact`], and the ledger keeps an entry for each
//! invitation until nothing more can become of it. Then the ledger makes the client's line, with
//! exactly one outcome and with all that was spent. An invitation that is undecided when the run ends
//! is decided at that moment.
//!
//! For example, a phone goes down while it trains, and the server stops waiting for it at the deadline.
//! The phone's line has the outcome `lost`, and the energy that the phone spent until then.
//!
//! Facts follow from events and change none, so they are no part of the trace hash.
//!
//! The submodules: `entry` is one invitation, `fact` is what is reported of it, and `sums` has the
//! invitations of all rounds by what became of them.

mod entry;
mod fact;
mod sums;
#[cfg(test)]
mod tests;

pub use fact::{Fact, What, Work};
pub use sums::Sums;

use super::rows::{ClientOutcome, ClientRow};
use crate::quantity::VirtualTime;
use crate::snapshot::snapshot_struct;
use entry::Entry;
use std::collections::BTreeMap;

/// The invitations of which not everything is known yet.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The open invitations, by client and by the number with which messages name them.
    open: BTreeMap<(u32, u32), Entry>,
    /// Bytes of answers that arrived when no round was open to count them.
    unheard: u64,
}

snapshot_struct!(Ledger { open, unheard });

impl Ledger {
    /// Adds a fact; returns the lines that are complete with it.
    pub fn fact(&mut self, fact: Fact) -> Vec<ClientRow> {
        let (key, at) = ((fact.client, fact.task), fact.at);
        if let What::Unheard { bytes } = fact.what {
            self.unheard = self.unheard.saturating_add(bytes);
            return Vec::new();
        }
        let mut done = Vec::new();
        if let What::Received = fact.what {
            done = self.superseded(key, at);
        }
        if let What::Asked { row, bytes, beside } = fact.what {
            let entry = self.open.entry(key).or_insert_with(|| Entry::of(*row));
            entry.asked(bytes, beside);
            return done;
        }
        if let (What::Received, Some(entry)) = (&fact.what, self.open.get_mut(&key)) {
            // What the client does next is still unknown: it may do the work again for a copy of the
            // task.
            entry.received(at);
            return done;
        }
        if let Some(entry) = self.open.get_mut(&key) {
            match fact.what {
                What::Works(work) => entry.works(*work, at),
                What::Sent {
                    bytes,
                    beside,
                    answers,
                } => entry.sent((bytes, beside), answers, at),
                What::Got { bytes } => entry.got(bytes),
                What::Copied { task } => entry.moves(task, 1),
                What::Gone { task } => entry.moves(task, -1),
                What::Arrived(outcome) => entry.arrived(at, *outcome),
                What::Asked { .. } | What::Unheard { .. } | What::Received => {}
            }
        }
        done.extend(self.settle(key));
        done
    }

    /// Handles a client that got a newer task than the one it was at.
    fn superseded(&mut self, (client, task): (u32, u32), at: VirtualTime) -> Vec<ClientRow> {
        let older = self.open.range((client, 0)..(client, task));
        let older: Vec<(u32, u32)> = older.map(|(key, _)| *key).collect();
        let mut done = Vec::new();
        for key in older {
            if let Some(entry) = self.open.get_mut(&key) {
                entry.breaks(at);
            }
            done.extend(self.settle(key));
        }
        done
    }

    /// Records a server's answer about an invitation: the outcome of the client's report, or that the
    /// server has stopped waiting. Returns the lines that are complete with it.
    pub fn record(&mut self, row: ClientRow) -> Vec<ClientRow> {
        let mut of_round = self.open.range((row.client, 0)..=(row.client, u32::MAX));
        let fits = |entry: &Entry| entry.is_of(row.round) && !entry.is_recorded();
        let exact = |entry: &Entry| fits(entry) && entry.is_asked_at(row.invited);
        let found = of_round.clone().find(|(_, entry)| exact(entry));
        // A client without a server may have begun a round twice.
        let found = found.or_else(|| of_round.find(|(_, entry)| fits(entry)));
        let Some(key) = found.map(|(key, _)| *key) else {
            // No client was asked: this is a round that a client without a server skipped.
            return vec![row];
        };
        if let Some(entry) = self.open.get_mut(&key) {
            entry.record(row);
        }
        self.settle(key)
    }

    /// Handles a panic of a client's handler, which ends everything that the client was doing.
    pub fn crashed(&mut self, client: u32, at: VirtualTime) -> Vec<ClientRow> {
        let all = self.open.range((client, 0)..=(client, u32::MAX));
        let all: Vec<(u32, u32)> = all.map(|(key, _)| *key).collect();
        let mut done = Vec::new();
        for key in all {
            if let Some(entry) = self.open.get_mut(&key) {
                entry.crashed(at);
            }
            done.extend(self.settle(key));
        }
        done
    }

    /// The line of an invitation, if nothing more can become of it.
    fn settle(&mut self, key: (u32, u32)) -> Vec<ClientRow> {
        if !self.open.get(&key).is_some_and(Entry::is_final) {
            return Vec::new();
        }
        let entry = self.open.remove(&key);
        entry.into_iter().map(|entry| entry.row(None)).collect()
    }

    /// Ends the run: returns the lines of all open invitations, by round and client.
    pub fn close(&mut self, at: VirtualTime) -> Vec<ClientRow> {
        let left = std::mem::take(&mut self.open).into_values();
        let mut rows: Vec<ClientRow> = left.map(|entry| entry.row(Some(at))).collect();
        rows.sort_by_key(|row| (row.round, row.client, row.invited));
        rows
    }

    /// Bytes of answers that arrived when no round was open to count them: after the last round, or
    /// while the server came up after a crash.
    pub const fn unheard(&self) -> u64 {
        self.unheard
    }

    /// The number of invitations of which not everything is known yet.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether everything is known of every invitation.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// Whether no server has recorded an answer for this invitation.
fn unrecorded(row: &ClientRow) -> bool {
    matches!(row.outcome, ClientOutcome::Lost)
}
