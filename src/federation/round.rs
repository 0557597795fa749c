//! One round, as the server keeps it.

use crate::learn::EvaluationSums;
use crate::observe::rows::{Outcome, Rejection, RoundRow};
use crate::quantity::{Bytes, Span, VirtualTime};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What is known of an invited client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// Nothing yet.
    Waiting,
    /// It reported.
    Reported,
    /// It declined.
    Refused,
    /// Its report is not used.
    Rejected,
}

/// What is counted of a round in which clients are asked one by one: many answer in another than
/// they were asked in, and one may be asked twice.
#[derive(Debug, Default)]
pub struct OneByOne {
    asked: u32,
    given_up: u32,
    /// Reports used, by their staleness.
    staleness: BTreeMap<u32, u32>,
}

/// The books of one round.
#[derive(Debug)]
pub struct Round {
    /// From 1.
    pub number: u32,
    started: VirtualTime,
    /// How many reports close it.
    target: u32,
    /// By client.
    invited: BTreeMap<u32, Invited>,
    pub reported: u32,
    refused: u32,
    rejected: u32,
    /// Reports of earlier rounds that came in this one.
    pub late_arrivals: u32,
    bytes_down: u64,
    bytes_up: u64,
    loss_sum: f64,
    loss_weight: f64,
    pub server_compute: Span,
    pub outcome: Outcome,
    /// The round whose checkpoint the server went on from, if it has just been down.
    pub restored: Option<u32>,
    /// How many clients were there when it asked, where some may be away.
    pub available: Option<u32>,
    /// How often it has waited for clients to come back.
    pub waits: u32,
    /// Where clients are asked one by one.
    one_by_one: Option<OneByOne>,
    /// Clients whose training diverged.
    pub diverged: u32,
}

snapshot_enum!(Invited { 0 => Waiting, 1 => Reported, 2 => Refused, 3 => Rejected });

snapshot_struct!(Round {
    number,
    started,
    target,
    invited,
    reported,
    refused,
    rejected,
    late_arrivals,
    bytes_down,
    bytes_up,
    loss_sum,
    loss_weight,
    server_compute,
    outcome,
    restored,
    available,
    waits,
    one_by_one,
    diverged,
});

snapshot_struct!(OneByOne {
    asked,
    given_up,
    staleness,
});

impl Round {
    pub fn open(number: u32, started: VirtualTime, target: u32) -> Self {
        Self {
            number,
            started,
            target,
            invited: BTreeMap::new(),
            reported: 0,
            refused: 0,
            rejected: 0,
            late_arrivals: 0,
            bytes_down: 0,
            bytes_up: 0,
            loss_sum: 0.0,
            loss_weight: 0.0,
            server_compute: Span::ZERO,
            outcome: Outcome::Completed,
            restored: None,
            available: None,
            waits: 0,
            one_by_one: None,
            diverged: 0,
        }
    }

    /// The same, in which clients are asked one by one.
    pub fn one_by_one(self) -> Self {
        Self {
            one_by_one: Some(OneByOne::default()),
            ..self
        }
    }

    pub fn invite(&mut self, client: u32, bytes: Bytes) {
        match &mut self.one_by_one {
            Some(counts) => counts.asked += 1,
            None => {
                self.invited.insert(client, Invited::Waiting);
            }
        }
        self.bytes_down += bytes.0;
    }

    pub fn count_up(&mut self, bytes: Bytes) {
        self.bytes_up += bytes.0;
    }

    /// Clients asked.
    pub fn asked(&self) -> u32 {
        let counts = self.one_by_one.as_ref();
        counts.map_or(self.invited.len() as u32, |counts| counts.asked)
    }

    /// A client was given up.
    pub fn give_up(&mut self) {
        if let Some(counts) = &mut self.one_by_one {
            counts.given_up += 1;
        }
    }

    /// A report that was used is so old.
    pub fn count_staleness(&mut self, staleness: u32) {
        if let Some(counts) = &mut self.one_by_one {
            *counts.staleness.entry(staleness).or_default() += 1;
        }
    }

    /// Reports used, by their staleness; nothing where rounds are held.
    pub fn staleness(&self) -> BTreeMap<u32, u32> {
        let counts = self.one_by_one.as_ref();
        counts.map_or_else(BTreeMap::new, |counts| counts.staleness.clone())
    }

    /// A client that was waited for answers; anything else changes nothing.
    pub fn answer(&mut self, client: u32, answer: Invited) {
        if self.one_by_one.is_none() {
            let Some(state @ Invited::Waiting) = self.invited.get_mut(&client) else {
                return;
            };
            *state = answer;
        }
        // Where they are asked one by one it is known elsewhere who is waited for.
        match answer {
            Invited::Reported => self.reported += 1,
            Invited::Refused => self.refused += 1,
            Invited::Rejected => self.rejected += 1,
            Invited::Waiting => {}
        }
    }

    /// Whether the client was asked and has not answered.
    pub fn is_waiting_for(&self, client: u32) -> bool {
        self.invited.get(&client) == Some(&Invited::Waiting)
    }

    /// Whether the client was asked and has answered.
    pub fn has_answered(&self, client: u32) -> bool {
        let answer = self.invited.get(&client);
        answer.is_some_and(|answer| *answer != Invited::Waiting)
    }

    /// Why a report to round `round` that nobody waits for is not used.
    pub fn reason(&self, client: u32, round: u32) -> Rejection {
        match round.cmp(&self.number) {
            Ordering::Greater => Rejection::Future,
            Ordering::Less => Rejection::Stale,
            Ordering::Equal if self.has_answered(client) => Rejection::Again,
            Ordering::Equal => Rejection::NotAsked,
        }
    }

    pub fn count_loss(&mut self, loss: Option<f64>, samples: u32) {
        if let Some(loss) = loss {
            self.loss_sum += loss * f64::from(samples);
            self.loss_weight += f64::from(samples);
        }
    }

    /// Mean training loss of those that reported, by their samples.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.loss_weight > 0.0).then(|| self.loss_sum / self.loss_weight)
    }

    /// Its line has been written: what is counted from now on belongs to the next. The bytes that had
    /// come are returned.
    pub fn written(&mut self) -> u64 {
        self.late_arrivals = 0;
        self.diverged = 0;
        std::mem::take(&mut self.bytes_up)
    }

    /// Takes over what came between the end of `before` and the begin of this one.
    pub fn after(self, before: &Self) -> Self {
        Self {
            late_arrivals: before.late_arrivals,
            bytes_up: before.bytes_up,
            diverged: before.diverged,
            ..self
        }
    }

    /// Whether there are enough reports, or nobody is left to wait for.
    pub fn is_complete(&self) -> bool {
        let answered = self.reported + self.refused + self.rejected;
        self.reported >= self.target || answered == self.invited.len() as u32
    }

    /// Who was asked and never heard of.
    pub fn unheard(&self) -> impl Iterator<Item = u32> + '_ {
        let waiting = self
            .invited
            .iter()
            .filter(|(_, state)| **state == Invited::Waiting);
        waiting.map(|(client, _)| *client)
    }

    fn mean_staleness(&self) -> Option<f64> {
        let counts = &self.one_by_one.as_ref()?.staleness;
        let reports: f64 = counts.values().map(|&n| f64::from(n)).sum();
        let sum = counts
            .iter()
            .map(|(&tau, &n)| f64::from(tau) * f64::from(n));
        let sum: f64 = sum.sum();
        (reports > 0.0).then(|| sum / reports)
    }

    /// The round's line in the table.
    pub fn row(&self, ended: VirtualTime, central: Option<EvaluationSums>) -> RoundRow {
        RoundRow {
            round: self.number,
            started: self.started,
            ended,
            invited: self.asked(),
            reported: self.reported,
            late_arrivals: self.late_arrivals,
            refused: self.refused,
            rejected: self.rejected,
            unanswered: match &self.one_by_one {
                Some(counts) => counts.given_up,
                None => self.unheard().count() as u32,
            },
            accuracy: central.map(|tally| tally.accuracy()),
            loss: central.map(|tally| tally.mean_loss()),
            train_loss: self.mean_loss(),
            bytes_down: self.bytes_down,
            bytes_up: self.bytes_up,
            server_compute: self.server_compute,
            outcome: self.outcome,
            available: self.available,
            staleness_mean: self.mean_staleness(),
            staleness_max: self.staleness().keys().last().copied(),
            diverged: Some(self.diverged),
            ..RoundRow::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_closes_at_its_target_or_when_nobody_is_left() {
        let mut round = Round::open(1, VirtualTime::ZERO, 2);
        for client in [3, 5, 9] {
            round.invite(client, Bytes(100));
        }
        // The second report is not another, and nobody asked client 4.
        for client in [5, 5, 4] {
            round.answer(client, Invited::Reported);
        }
        assert_eq!(round.reported, 1);
        assert!(!round.is_waiting_for(5) && round.is_waiting_for(9) && !round.is_waiting_for(4));
        assert!(!round.is_complete());
        round.answer(3, Invited::Refused);
        assert!(!round.is_complete());
        round.answer(9, Invited::Refused);
        assert!(round.is_complete());
        let row = round.row(VirtualTime::from_nanos(7), None);
        assert_eq!(
            (row.invited, row.reported, row.refused, row.unanswered),
            (3, 1, 2, 0)
        );
        assert_eq!(row.bytes_down, 300);
    }
}
