//! What the clients of one width cost: a line of `costs.csv`.

use super::{seconds, ClientRow, Row, Spending};
use crate::quantity::Span;
use crate::snapshot::snapshot_struct;
use serde::{Deserialize, Serialize};

/// What the clients of one width cost over the whole run: a line of `costs.csv`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CostRow {
    /// Share of the model's width.
    pub size: f64,
    /// The number of clients with this width.
    pub clients: u32,
    /// The number of trainable values of their model.
    pub parameters: u64,
    /// The size of their model in bytes.
    pub model_bytes: u64,
    /// The number of operations of a training step, per sample.
    pub step_flops: u64,
    /// The largest memory that a client's training needed, in bytes.
    pub memory_bytes: u64,
    /// How often these clients were asked.
    pub invited: u64,
    /// How often they trained to the end, whatever became of the report.
    pub trained: u64,
    /// The operations of all their training. Like the costs in the next fields, this includes wasted
    /// ones.
    pub flops: u64,
    /// Bytes sent to these clients.
    pub bytes_down: u64,
    /// Bytes that these clients sent.
    pub bytes_up: u64,
    /// The virtual time that they computed, summed over clients.
    #[serde(rename = "compute_s", with = "seconds")]
    pub compute: Span,
    /// The energy of their devices while they computed, in joules.
    pub energy_j: f64,
    /// How often a report of theirs came in time and was taken in.
    #[serde(default)]
    pub reported: u64,
    /// The part of `flops` that moved no model: of invitations that were not `reported`, and of reports
    /// in rounds that were not completed.
    #[serde(default)]
    pub wasted_flops: u64,
    /// The part of `bytes_down` that moved no model.
    #[serde(default)]
    pub wasted_bytes_down: u64,
    /// The part of `bytes_up` that moved no model.
    #[serde(default)]
    pub wasted_bytes_up: u64,
    /// The part of `compute_s` that moved no model.
    #[serde(rename = "wasted_compute_s", default, with = "seconds")]
    pub wasted_compute: Span,
    /// The part of `energy_j` that moved no model.
    #[serde(default)]
    pub wasted_energy_j: f64,
    /// Bytes in addition to their messages: to set up connections, and to acknowledge packets.
    #[serde(default)]
    pub overhead_bytes: u64,
}

snapshot_struct!(CostRow {
    size,
    clients,
    parameters,
    model_bytes,
    step_flops,
    memory_bytes,
    invited,
    trained,
    flops,
    bytes_down,
    bytes_up,
    compute,
    energy_j,
    reported,
    wasted_flops,
    wasted_bytes_down,
    wasted_bytes_up,
    wasted_compute,
    wasted_energy_j,
    overhead_bytes,
});

impl CostRow {
    /// Adds an invitation.
    pub fn count(&mut self, row: &ClientRow) {
        self.invited += 1;
        self.reported += u64::from(row.outcome.is_used());
        self.trained += u64::from(row.trained.is_some());
        self.memory_bytes = self.memory_bytes.max(row.memory_bytes);
        self.flops = self.flops.saturating_add(row.flops);
        self.bytes_down = self.bytes_down.saturating_add(row.bytes_down);
        self.bytes_up = self.bytes_up.saturating_add(row.bytes_up);
        self.overhead_bytes = self.overhead_bytes.saturating_add(row.overhead_bytes);
        self.compute = self.compute + row.compute;
        self.energy_j += row.energy_j;
        if !row.outcome.is_used() {
            self.waste(&Spending::of(row));
        }
    }

    /// Counts costs that were already added as wasted.
    pub fn waste(&mut self, spent: &Spending) {
        self.wasted_flops = self.wasted_flops.saturating_add(spent.flops);
        self.wasted_bytes_down = self.wasted_bytes_down.saturating_add(spent.bytes_down);
        self.wasted_bytes_up = self.wasted_bytes_up.saturating_add(spent.bytes_up);
        self.wasted_compute = self.wasted_compute + spent.compute;
        self.wasted_energy_j += spent.energy_j;
    }
}

impl Row for CostRow {
    const COLUMNS: &'static [&'static str] = &[
        "size",
        "clients",
        "parameters",
        "model_bytes",
        "step_flops",
        "memory_bytes",
        "invited",
        "trained",
        "flops",
        "bytes_down",
        "bytes_up",
        "compute_s",
        "energy_j",
        "reported",
        "wasted_flops",
        "wasted_bytes_down",
        "wasted_bytes_up",
        "wasted_compute_s",
        "wasted_energy_j",
        "overhead_bytes",
    ];
}

#[cfg(test)]
mod tests {
    use super::super::ClientOutcome;
    use super::*;
    use crate::quantity::VirtualTime;

    #[test]
    fn costs_add_up_over_rounds_and_memory_is_the_most() {
        let row = |flops, memory_bytes, energy_j| ClientRow {
            round: 1,
            client: 0,
            group: "a".into(),
            outcome: match flops {
                0 => ClientOutcome::Lost,
                _ => ClientOutcome::Reported,
            },
            invited: VirtualTime::ZERO,
            received: None,
            trained: (flops > 0).then_some(VirtualTime::ZERO),
            reported: None,
            compute: Span::from_secs(2),
            queue_wait: Span::ZERO,
            bytes_down: 5,
            bytes_up: 7,
            samples: 0,
            steps: 0,
            loss: None,
            trained_accuracy: None,
            size: 0.5,
            flops,
            memory_bytes,
            energy_j,
            received_accuracy: None,
            overhead_bytes: 0,
        };
        let mut cost = CostRow::default();
        for row in [row(10, 300, 1.5), row(0, 0, 0.0), row(4, 200, 0.5)] {
            cost.count(&row);
        }
        let expected = CostRow {
            invited: 3,
            // The second invitation is lost, with what was spent on it.
            reported: 2,
            trained: 2,
            wasted_bytes_down: 5,
            wasted_bytes_up: 7,
            wasted_compute: Span::from_secs(2),
            flops: 14,
            memory_bytes: 300,
            bytes_down: 15,
            bytes_up: 21,
            compute: Span::from_secs(6),
            energy_j: 2.0,
            ..CostRow::default()
        };
        assert_eq!(cost, expected);
    }
}
