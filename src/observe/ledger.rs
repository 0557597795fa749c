//! What became of every invitation, and what it cost.
//!
//! No node knows that by itself. The server knows whom it asked and what answered; a client knows what
//! it spent, also on work that nobody ever hears of; the network knows what it lost. Each tells what it
//! knows as a [`Fact`], and the ledger keeps an entry for each invitation until nothing more can
//! become of it. Then it makes the client's line: with exactly one outcome, and with all that was
//! spent. What is undecided when the run ends is decided then.
//!
//! Facts follow from events and change none; they are no part of the trace hash.
//!
//! `entry` is one invitation, `fact` what is told of it, `sums` the invitations of all rounds by what
//! became of them.

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

/// The invitations of which not all is known.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By client and the number that messages name the invitation by.
    open: BTreeMap<(u32, u32), Entry>,
    /// Bytes of answers that arrived when no round was open to count them.
    unheard: u64,
}

snapshot_struct!(Ledger { open, unheard });

impl Ledger {
    /// Takes in a fact; the lines that are complete with it.
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
            // What the client makes of it comes next: it may do the work again for a copy.
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

    /// A client has got a newer task than what it was at.
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

    /// A server tells what it knows of an invitation: the answer, or that it has stopped waiting. The
    /// lines that are complete with it.
    pub fn told(&mut self, row: ClientRow) -> Vec<ClientRow> {
        let mut of_round = self.open.range((row.client, 0)..=(row.client, u32::MAX));
        let fits = |entry: &Entry| entry.is_of(row.round) && !entry.is_told();
        let exact = |entry: &Entry| fits(entry) && entry.is_asked_at(row.invited);
        let found = of_round.clone().find(|(_, entry)| exact(entry));
        // A client without a server may have begun a round twice.
        let found = found.or_else(|| of_round.find(|(_, entry)| fits(entry)));
        let Some(key) = found.map(|(key, _)| *key) else {
            // Nobody was asked: a round that a client without a server passed over.
            return vec![row];
        };
        if let Some(entry) = self.open.get_mut(&key) {
            entry.told(row);
        }
        self.settle(key)
    }

    /// A client's handler panicked: whatever it was at is over.
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

    /// The line of an invitation of which nothing more can become.
    fn settle(&mut self, key: (u32, u32)) -> Vec<ClientRow> {
        if !self.open.get(&key).is_some_and(Entry::is_final) {
            return Vec::new();
        }
        let entry = self.open.remove(&key);
        entry.into_iter().map(|entry| entry.row(None)).collect()
    }

    /// The run has ended: the lines of all that is left, by round and client.
    pub fn close(&mut self, at: VirtualTime) -> Vec<ClientRow> {
        let left = std::mem::take(&mut self.open).into_values();
        let mut rows: Vec<ClientRow> = left.map(|entry| entry.row(Some(at))).collect();
        rows.sort_by_key(|row| (row.round, row.client, row.invited));
        rows
    }

    /// Bytes of answers that arrived when no round was open to count them: after the last one, or as
    /// the server came up from a crash.
    pub const fn unheard(&self) -> u64 {
        self.unheard
    }

    /// Invitations of which not all is known.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether all is known of every invitation.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}

/// The outcome of an invitation that no server has told an answer of.
fn untold(row: &ClientRow) -> bool {
    matches!(row.outcome, ClientOutcome::Lost)
}
