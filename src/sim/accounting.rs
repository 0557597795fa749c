//! Law 8: every message is accounted for, per kind.

use crate::snapshot::snapshot_struct;
use serde::Serialize;
use std::collections::BTreeMap;

/// What became of the messages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Handed to the network by a handler.
    pub sent: u64,
    /// Copies that the network made.
    pub duplicated: u64,
    /// Handed to a handler.
    pub delivered: u64,
    /// Lost by the network.
    pub lost: u64,
    /// Dropped because a fault took the receiver away.
    pub dropped: u64,
    /// Still under way when the run ended; counted where they wait, not computed from the rest.
    pub in_flight: u64,
    /// Bytes sent, each message once.
    pub bytes: u64,
    /// Bytes handed to handlers.
    pub bytes_delivered: u64,
    /// Bytes that set connections up, both ways.
    pub bytes_setup: u64,
    /// Bytes of acknowledgements.
    pub bytes_acks: u64,
}

snapshot_struct!(Tally {
    sent,
    duplicated,
    delivered,
    lost,
    dropped,
    in_flight,
    bytes,
    bytes_delivered,
    bytes_setup,
    bytes_acks
});

impl Tally {
    /// Whether nothing was lost without a trace and nothing came from nowhere.
    pub const fn balances(&self) -> bool {
        self.sent + self.duplicated == self.delivered + self.lost + self.dropped + self.in_flight
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.duplicated += other.duplicated;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.dropped += other.dropped;
        self.in_flight += other.in_flight;
        self.bytes += other.bytes;
        self.bytes_delivered += other.bytes_delivered;
        self.bytes_setup += other.bytes_setup;
        self.bytes_acks += other.bytes_acks;
    }
}

/// The tallies of all kinds of message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Accounting {
    /// By kind, in the order of the message type's kinds.
    pub kinds: BTreeMap<&'static str, Tally>,
}

impl Accounting {
    /// Adds what another shard counted.
    pub(crate) fn merge(&mut self, names: &[&'static str], tallies: &[Tally]) {
        for (name, tally) in names.iter().zip(tallies) {
            self.kinds.entry(name).or_default().add(tally);
        }
    }

    /// The kinds whose books do not balance.
    pub fn unbalanced(&self) -> Vec<(&'static str, Tally)> {
        let broken = self.kinds.iter().filter(|(_, tally)| !tally.balances());
        broken.map(|(name, tally)| (*name, *tally)).collect()
    }

    /// All kinds together.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.kinds.values() {
            total.add(tally);
        }
        total
    }
}
