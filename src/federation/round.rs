//! The record of one round, as a server keeps it.

use crate::learn::EvaluationSums;
use crate::observe::rows::{Outcome, Rejection, RoundRow};
use crate::quantity::{Bytes, Flops, Span, VirtualTime};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// What is known of a client that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invited {
    /// It has not answered.
    Waiting,
    /// It reported.
    Reported,
    /// It declined.
    Refused,
    /// Its report was not used.
    Rejected,
}

/// What is counted of a round in which clients are asked one by one. Many clients answer in a later round
/// than they were asked in, and a client may be asked twice in a round.
#[derive(Debug, Default)]
pub struct OneByOne {
    /// How many clients were asked.
    asked: u32,
    /// How many clients were given up.
    given_up: u32,
    /// How many reports were used, by their staleness.
    staleness: BTreeMap<u32, u32>,
}

/// The record of one round.
#[derive(Debug)]
pub struct Round {
    /// The number of the round, from 1.
    pub number: u32,
    started: VirtualTime,
    /// The number of reports with which the round closes.
    target: u32,
    /// The clients that were asked; empty where clients are asked one by one.
    invited: BTreeMap<u32, Invited>,
    /// How many reports were used.
    pub reported: u32,
    refused: u32,
    rejected: u32,
    /// How many reports of earlier rounds arrived in this one.
    pub late_arrivals: u32,
    bytes_down: u64,
    bytes_up: u64,
    loss_sum: f64,
    loss_weight: f64,
    /// How long the virtual server has computed for the round.
    pub server_compute: Span,
    /// How many operations the virtual server was given for the round.
    pub server_flops: Flops,
    /// How the round ended, or will end unless something happens.
    pub outcome: Outcome,
    /// The round from whose checkpoint the server went on, if the server was down before this round.
    pub restored: Option<u32>,
    /// How many clients were present when the round opened, where clients may be absent.
    pub available: Option<u32>,
    /// How often the round has waited for absent clients.
    pub waits: u32,
    /// What is counted only where clients are asked one by one.
    one_by_one: Option<OneByOne>,
    /// How many clients reported that their training diverged.
    pub diverged: u32,
    /// How many of the reports that were used are of training that stopped early; `None` where none can.
    pub partial: Option<u32>,
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
    server_flops,
    outcome,
    restored,
    available,
    waits,
    one_by_one,
    diverged,
    partial,
});

snapshot_struct!(OneByOne {
    asked,
    given_up,
    staleness,
});

impl Round {
    /// The record of a round that begins now and closes with `target` reports.
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
            server_flops: Flops(0),
            outcome: Outcome::Completed,
            restored: None,
            available: None,
            waits: 0,
            one_by_one: None,
            diverged: 0,
            partial: None,
        }
    }

    /// Turns this into the record of a round in which clients are asked one by one.
    pub fn one_by_one(self) -> Self {
        Self {
            one_by_one: Some(OneByOne::default()),
            ..self
        }
    }

    /// Counts a client that is asked, with a task of so many bytes.
    pub fn invite(&mut self, client: u32, bytes: Bytes) {
        match &mut self.one_by_one {
            Some(counts) => counts.asked += 1,
            None => {
                self.invited.insert(client, Invited::Waiting);
            }
        }
        self.bytes_down += bytes.0;
    }

    /// Counts the bytes of an answer that arrived.
    pub fn count_up(&mut self, bytes: Bytes) {
        self.bytes_up += bytes.0;
    }

    /// How many clients were asked.
    pub fn asked(&self) -> u32 {
        let counts = self.one_by_one.as_ref();
        counts.map_or(self.invited.len() as u32, |counts| counts.asked)
    }

    /// Counts a report that was used, of training that stopped early.
    pub fn count_partial(&mut self) {
        let more = self.partial.unwrap_or(0).saturating_add(1);
        self.partial = Some(more);
    }

    /// Counts a client that was given up.
    pub fn give_up(&mut self) {
        if let Some(counts) = &mut self.one_by_one {
            counts.given_up += 1;
        }
    }

    /// Counts a report that was used, of this staleness.
    pub fn count_staleness(&mut self, staleness: u32) {
        if let Some(counts) = &mut self.one_by_one {
            *counts.staleness.entry(staleness).or_default() += 1;
        }
    }

    /// How many reports were used, by their staleness; empty where the server waits for rounds.
    pub fn staleness(&self) -> BTreeMap<u32, u32> {
        let counts = self.one_by_one.as_ref();
        counts.map_or_else(BTreeMap::new, |counts| counts.staleness.clone())
    }

    /// Counts the answer of a client for which the round waits. Any other answer changes nothing.
    pub fn answer(&mut self, client: u32, answer: Invited) {
        if self.one_by_one.is_none() {
            let Some(state @ Invited::Waiting) = self.invited.get_mut(&client) else {
                return;
            };
            *state = answer;
        }
        // Where clients are asked one by one, the server itself knows for whom it waits.
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

    /// Why a report to round `round`, for which nobody waits, is not used.
    pub fn reason(&self, client: u32, round: u32) -> Rejection {
        match round.cmp(&self.number) {
            Ordering::Greater => Rejection::Future,
            Ordering::Less => Rejection::Stale,
            Ordering::Equal if self.has_answered(client) => Rejection::Again,
            Ordering::Equal => Rejection::NotAsked,
        }
    }

    /// Adds a report's training loss, weighed by the report's samples.
    pub fn count_loss(&mut self, loss: Option<f64>, samples: u32) {
        if let Some(loss) = loss {
            self.loss_sum += loss * f64::from(samples);
            self.loss_weight += f64::from(samples);
        }
    }

    /// The mean training loss of the clients that reported, weighed by their samples.
    pub fn mean_loss(&self) -> Option<f64> {
        (self.loss_weight > 0.0).then(|| self.loss_sum / self.loss_weight)
    }

    /// Resets the counts that go into the round's line, after the line was recorded: what is counted from
    /// now on belongs to the next round. Returns the bytes of the answers that had arrived.
    pub fn written(&mut self) -> u64 {
        self.late_arrivals = 0;
        self.diverged = 0;
        std::mem::take(&mut self.bytes_up)
    }

    /// Takes over what arrived between the end of the round `before` and the begin of this round.
    pub fn after(self, before: &Self) -> Self {
        Self {
            late_arrivals: before.late_arrivals,
            bytes_up: before.bytes_up,
            diverged: before.diverged,
            ..self
        }
    }

    /// Whether the round has enough reports, or all its clients have answered.
    pub fn is_complete(&self) -> bool {
        let answered = self.reported + self.refused + self.rejected;
        self.reported >= self.target || answered == self.invited.len() as u32
    }

    /// The clients that were asked and have not answered.
    pub fn unheard(&self) -> impl Iterator<Item = u32> + '_ {
        let waiting = self
            .invited
            .iter()
            .filter(|(_, state)| **state == Invited::Waiting);
        waiting.map(|(client, _)| *client)
    }

    /// The mean staleness of the reports that were used.
    fn mean_staleness(&self) -> Option<f64> {
        let counts = &self.one_by_one.as_ref()?.staleness;
        let reports: f64 = counts.values().map(|&n| f64::from(n)).sum();
        let sum = counts
            .iter()
            .map(|(&tau, &n)| f64::from(tau) * f64::from(n));
        let sum: f64 = sum.sum();
        (reports > 0.0).then(|| sum / reports)
    }

    /// The round's line in `rounds.csv`, with the figures of the global model on the central test data.
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
            server_flops: self.server_flops.0,
            outcome: self.outcome,
            available: self.available,
            staleness_mean: self.mean_staleness(),
            staleness_max: self.staleness().keys().last().copied(),
            diverged: Some(self.diverged),
            partial: self.partial,
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
