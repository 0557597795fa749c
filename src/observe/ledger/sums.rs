//! Sums over invitations: by round, and by the width of the model.

use super::super::rows::{ClientRow, CostRow, InvitationRow, Outcome, RoundRow, Spending};
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// What became of all invitations, and what they cost.
///
/// What was spent is wasted if it moved no model. That is so for invitations that were not reported
/// and, where one server holds rounds with its clients, for reports to rounds that were not completed
/// or that a crash of the server undid.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sums {
    rounds: BTreeMap<u32, InvitationRow>,
    /// The costs by width.
    costs: Vec<CostRow>,
    /// Whether a report belongs to the round in which its client was asked: its work is wasted if the
    /// round is.
    by_round: bool,
    /// The cost of the used reports of a round, by width.
    used: BTreeMap<u32, Vec<Spending>>,
    /// Whether each round moved the model.
    completed: BTreeMap<u32, bool>,
}

snapshot_struct!(Sums {
    rounds,
    costs,
    by_round,
    used,
    completed,
});

impl Sums {
    /// The sums of a run with models of these widths. `by_round` says that one server holds rounds with
    /// all clients: a report that is taken in then counts as used if and only if its round is
    /// completed.
    pub fn new(costs: Vec<CostRow>, by_round: bool) -> Self {
        Self {
            costs,
            by_round,
            ..Self::default()
        }
    }

    /// Adds an invitation of which everything is known.
    pub fn count(&mut self, row: &ClientRow) {
        let round = self.rounds.entry(row.round);
        round
            .or_insert_with(|| InvitationRow::of(row.round))
            .count(row);
        let Some(width) = self.costs.iter().position(|cost| cost.size == row.size) else {
            return;
        };
        if let Some(cost) = self.costs.get_mut(width) {
            cost.count(row);
        }
        if !self.by_round || !row.outcome.is_used() {
            return;
        }
        let spent = Spending::of(row);
        match self.completed.get(&row.round) {
            Some(false) => self.waste(row.round, width, &spent),
            _ => {
                let widths = self.costs.len();
                let used = self.used.entry(row.round);
                let used = used.or_insert_with(|| vec![Spending::default(); widths]);
                if let Some(sum) = used.get_mut(width) {
                    *sum = sum.and(&spent);
                }
            }
        }
    }

    /// Handles the end of a round of the server at the top.
    pub fn closed(&mut self, row: &RoundRow) {
        if !self.by_round {
            return;
        }
        if let Some(restored) = row.restored {
            // A crash undid all rounds since the restored one.
            let undone = self.used.range(restored.saturating_add(1)..row.round);
            let undone: Vec<u32> = undone.map(|(round, _)| *round).collect();
            for round in undone {
                self.waste_round(round);
            }
        }
        if row.outcome != Outcome::Completed {
            self.waste_round(row.round);
        } else {
            self.completed.insert(row.round, true);
        }
    }

    fn waste_round(&mut self, round: u32) {
        self.completed.insert(round, false);
        let used = self.used.remove(&round).unwrap_or_default();
        for (width, spent) in used.iter().enumerate() {
            self.waste(round, width, spent);
        }
    }

    fn waste(&mut self, round: u32, width: usize, spent: &Spending) {
        if let Some(row) = self.rounds.get_mut(&round) {
            row.waste(spent);
        }
        if let Some(cost) = self.costs.get_mut(width) {
            cost.waste(spent);
        }
    }

    /// Ends the run: rounds that were open then moved no model.
    pub fn close(&mut self) {
        let open = self.used.keys();
        let open = open.filter(|round| !self.completed.contains_key(round));
        let open: Vec<u32> = open.copied().collect();
        for round in open {
            self.waste_round(round);
        }
    }

    /// What the clients of each width cost.
    pub fn costs(&self) -> &[CostRow] {
        &self.costs
    }

    /// The invitations of each round.
    pub fn rounds(&self) -> impl Iterator<Item = &InvitationRow> {
        self.rounds.values()
    }

    /// The sum over all rounds, as an invitation row of round 0.
    pub fn total(&self) -> InvitationRow {
        let mut total = InvitationRow::default();
        for row in self.rounds.values() {
            total.add(row);
        }
        total
    }
}
