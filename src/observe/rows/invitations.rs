//! What became of the invitations of a round, once it is known of all of them.

use super::{seconds, ClientOutcome, ClientRow, Row};
use crate::quantity::Span;
use crate::snapshot::snapshot_struct;
use serde::{Deserialize, Serialize};

/// The invitations of a round by what became of them, and what they cost: a line of
/// `invitations.csv`, which is written when the run ends.
///
/// A round's line in `rounds.csv` is written when the round closes, and then it is not known yet what
/// becomes of clients that have not answered.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InvitationRow {
    /// The round, from 1; of servers between, the number of theirs.
    pub round: u32,
    /// Invitations: the sum of the eight that follow.
    pub invited: u32,
    /// Reports that came in time and were taken in.
    pub reported: u32,
    /// Reports that came when nobody waited for them any more.
    pub late: u32,
    /// Clients that declined.
    pub refused: u32,
    /// Reports that came in time and were not used.
    pub rejected: u32,
    /// Given up by the client for a newer invitation.
    pub superseded: u32,
    /// No answer came, and none can.
    pub lost: u32,
    /// The client's handler panicked.
    pub crashed: u32,
    /// Still on their way or at work when the run ended.
    pub unfinished: u32,
    /// Bytes of the tasks.
    pub bytes_down: u64,
    /// Bytes of the answers that clients sent.
    pub bytes_up: u64,
    /// Operations of their training.
    pub flops: u64,
    /// Virtual time they computed, summed over clients.
    #[serde(rename = "compute_s", with = "seconds")]
    pub compute: Span,
    /// What their devices drew while they computed, in joules.
    pub energy_j: f64,
    /// Of `bytes_down`, what moved no model.
    pub wasted_bytes_down: u64,
    /// Of `bytes_up`, likewise.
    pub wasted_bytes_up: u64,
    /// Of `flops`, likewise.
    pub wasted_flops: u64,
    /// Of `compute_s`, likewise.
    #[serde(rename = "wasted_compute_s", with = "seconds")]
    pub wasted_compute: Span,
    /// Of `energy_j`, likewise.
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
    /// Of a round, without any.
    pub fn of(round: u32) -> Self {
        Self {
            round,
            ..Self::default()
        }
    }

    /// One more, of which all is known.
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

    /// What was spent and counted has moved no model.
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

    /// How many there are of each outcome, by its name, in the order of the columns.
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
    /// Operations.
    pub flops: u64,
    /// Virtual time of work.
    pub compute: Span,
    /// Joules.
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
    /// What a client's line says.
    pub const fn of(row: &ClientRow) -> Self {
        Self {
            bytes_down: row.bytes_down,
            bytes_up: row.bytes_up,
            flops: row.flops,
            compute: row.compute,
            energy_j: row.energy_j,
        }
    }

    /// Both.
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
