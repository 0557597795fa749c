//! The accounting of messages, for each kind of message: every message that was sent is delivered,
//! lost, dropped or still in flight.

use crate::snapshot::snapshot_struct;
use serde::Serialize;
use std::collections::BTreeMap;

/// Counts of what became of the messages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Messages that handlers handed to the network.
    pub sent: u64,
    /// Copies of messages that the network made, for example because of a fault that duplicates them.
    pub duplicated: u64,
    /// Messages handed to a handler.
    pub delivered: u64,
    /// Messages that the network lost.
    pub lost: u64,
    /// Messages dropped because a fault had taken their receiver away.
    pub dropped: u64,
    /// Messages still under way when the run ended. They are counted where they wait, not computed from
    /// the other counts, so that the other counts can be checked.
    pub in_flight: u64,
    /// Bytes of messages sent; each message counts once, however often parts of it are sent again.
    pub bytes: u64,
    /// Bytes of messages handed to handlers.
    pub bytes_delivered: u64,
    /// Bytes that set up connections, in both directions.
    pub bytes_setup: u64,
    /// Bytes of the acknowledgements that these messages caused.
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
    /// Whether the counts add up: every message sent or copied was delivered, lost, dropped or is in
    /// flight.
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

/// The counts of all kinds of message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Accounting {
    /// The counts by kind, sorted by the name of the kind.
    pub kinds: BTreeMap<&'static str, Tally>,
}

impl Accounting {
    /// Adds the counts of another shard; `tallies` has one entry for each name in `names`.
    pub(crate) fn merge(&mut self, names: &[&'static str], tallies: &[Tally]) {
        for (name, tally) in names.iter().zip(tallies) {
            self.kinds.entry(name).or_default().add(tally);
        }
    }

    /// The kinds of message whose counts do not add up.
    pub fn unbalanced(&self) -> Vec<(&'static str, Tally)> {
        let broken = self.kinds.iter().filter(|(_, tally)| !tally.balances());
        broken.map(|(name, tally)| (*name, *tally)).collect()
    }

    /// The sum over all kinds.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for tally in self.kinds.values() {
            total.add(tally);
        }
        total
    }
}
