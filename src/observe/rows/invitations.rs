//! What became of the invitations of a round, once it is known of all of them.

use super::{seconds, ClientOutcome, ClientRow, Row};
use crate::quantity::Span;
use crate::snapshot::snapshot_struct;
use serde::{Deserialize, Serialize};

/// The invitations of a round by what became of them, and what they cost: a line of `invitations.csv`,
/// which is written when the run ends.
///
/// A round's line in `rounds.csv` is written when the round closes; at that moment it is not known yet
/// what becomes of the clients that have not answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InvitationRow {
    /// The round, from 1; for servers between the clients and the top, the number of their own round.
    pub round: u32,
    /// The number of invitations: the sum of the next eight fields.
    pub invited: u32,
    /// Reports that came in time and were taken in.
    pub reported: u32,
    /// Reports that came when the server was no longer waiting for them.
    pub late: u32,
    /// Clients that declined.
    pub refused: u32,
    /// Reports that came in time and were not used.
    pub rejected: u32,
    /// Invitations that the client gave up for a newer one.
    pub superseded: u32,
    /// Invitations to which no answer came and none can come.
    pub lost: u32,
    /// Invitations during which the client's handler panicked.
    pub crashed: u32,
    /// Invitations that were on their way or at work when the run ended.
    pub unfinished: u32,
    /// Bytes of the tasks.
    pub bytes_down: u64,
    /// Bytes of the answers that clients sent.
    pub bytes_up: u64,
    /// The operations of the clients' training.
    pub flops: u64,
    /// The virtual time that the clients computed, summed over clients.
    #[serde(rename = "compute_s", with = "seconds")]
    pub compute: Span,
    /// The energy of the clients' devices while they computed, in joules.
    pub energy_j: f64,
    /// The part of `bytes_down` that moved no model.
    pub wasted_bytes_down: u64,
    /// The part of `bytes_up` that moved no model.
    pub wasted_bytes_up: u64,
    /// The part of `flops` that moved no model.
    pub wasted_flops: u64,
    /// The part of `compute_s` that moved no model.
    #[serde(rename = "wasted_compute_s", with = "seconds")]
    pub wasted_compute: Span,
    /// The part of `energy_j` that moved no model.
    pub wasted_energy_j: f64,
}

snapshot_struct!(InvitationRow {
    round,
    invited,
    reported,
    late,
    refused,
    rejected,
    superseded,
    lost,
    crashed,
    unfinished,
    bytes_down,
    bytes_up,
    flops,
    compute,
    energy_j,
    wasted_bytes_down,
    wasted_bytes_up,
    wasted_flops,
    wasted_compute,
    wasted_energy_j,
});

impl Row for InvitationRow {
    const COLUMNS: &'static [&'static str] = &[
        "round",
        "invited",
        "reported",
        "late",
        "refused",
        "rejected",
        "superseded",
        "lost",
        "crashed",
        "unfinished",
        "bytes_down",
        "bytes_up",
        "flops",
        "compute_s",
        "energy_j",
        "wasted_bytes_down",
        "wasted_bytes_up",
        "wasted_flops",
        "wasted_compute_s",
        "wasted_energy_j",
    ];
}

impl InvitationRow {
    /// The line of a round without any invitations.
    pub fn of(round: u32) -> Self {
        Self {
            round,
            ..Self::default()
        }
    }

    /// Adds an invitation of which everything is known.
    pub fn count(&mut self, row: &ClientRow) {
        self.invited += 1;
        *match row.outcome {
            ClientOutcome::Reported => &mut self.reported,
            ClientOutcome::Late => &mut self.late,
            ClientOutcome::Refused(_) => &mut self.refused,
            ClientOutcome::Rejected(_) => &mut self.rejected,
            ClientOutcome::Superseded => &mut self.superseded,
            ClientOutcome::Lost => &mut self.lost,
            ClientOutcome::Crashed => &mut self.crashed,
            ClientOutcome::Unfinished => &mut self.unfinished,
        } += 1;
        let spent = Spending::of(row);
        self.bytes_down = self.bytes_down.saturating_add(spent.bytes_down);
        self.bytes_up = self.bytes_up.saturating_add(spent.bytes_up);
        self.flops = self.flops.saturating_add(spent.flops);
        self.compute = self.compute + spent.compute;
        self.energy_j += spent.energy_j;
        if !row.outcome.is_used() {
            self.waste(&spent);
        }
    }

    /// Counts costs that were already added as wasted.
    pub fn waste(&mut self, spent: &Spending) {
        self.wasted_bytes_down = self.wasted_bytes_down.saturating_add(spent.bytes_down);
        self.wasted_bytes_up = self.wasted_bytes_up.saturating_add(spent.bytes_up);
        self.wasted_flops = self.wasted_flops.saturating_add(spent.flops);
        self.wasted_compute = self.wasted_compute + spent.compute;
        self.wasted_energy_j += spent.energy_j;
    }

    /// Adds the invitations of another round.
    pub fn add(&mut self, other: &Self) {
        self.invited += other.invited;
        self.reported += other.reported;
        self.late += other.late;
        self.refused += other.refused;
        self.rejected += other.rejected;
        self.superseded += other.superseded;
        self.lost += other.lost;
        self.crashed += other.crashed;
        self.unfinished += other.unfinished;
        self.bytes_down = self.bytes_down.saturating_add(other.bytes_down);
        self.bytes_up = self.bytes_up.saturating_add(other.bytes_up);
        self.flops = self.flops.saturating_add(other.flops);
        self.compute = self.compute + other.compute;
        self.energy_j += other.energy_j;
        self.wasted_bytes_down = self
            .wasted_bytes_down
            .saturating_add(other.wasted_bytes_down);
        self.wasted_bytes_up = self.wasted_bytes_up.saturating_add(other.wasted_bytes_up);
        self.wasted_flops = self.wasted_flops.saturating_add(other.wasted_flops);
        self.wasted_compute = self.wasted_compute + other.wasted_compute;
        self.wasted_energy_j += other.wasted_energy_j;
    }

    /// The number of invitations with each outcome, by its name, in the order of the columns.
    pub const fn outcomes(&self) -> [(&'static str, u32); 8] {
        [
            ("reported", self.reported),
            ("late", self.late),
            ("refused", self.refused),
            ("rejected", self.rejected),
            ("superseded", self.superseded),
            ("lost", self.lost),
            ("crashed", self.crashed),
            ("unfinished", self.unfinished),
        ]
    }
}

/// What an invitation cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spending {
    /// Bytes of the task.
    pub bytes_down: u64,
    /// Bytes of answers.
    pub bytes_up: u64,
    /// The number of operations.
    pub flops: u64,
    /// The virtual time of the work.
    pub compute: Span,
    /// The energy in joules.
    pub energy_j: f64,
}

snapshot_struct!(Spending {
    bytes_down,
    bytes_up,
    flops,
    compute,
    energy_j,
});

impl Spending {
    /// The costs in a client's line.
    pub const fn of(row: &ClientRow) -> Self {
        Self {
            bytes_down: row.bytes_down,
            bytes_up: row.bytes_up,
            flops: row.flops,
            compute: row.compute,
            energy_j: row.energy_j,
        }
    }

    /// The sum of both.
    pub fn and(self, other: &Self) -> Self {
        Self {
            bytes_down: self.bytes_down.saturating_add(other.bytes_down),
            bytes_up: self.bytes_up.saturating_add(other.bytes_up),
            flops: self.flops.saturating_add(other.flops),
            compute: self.compute + other.compute,
            energy_j: self.energy_j + other.energy_j,
        }
    }
}
