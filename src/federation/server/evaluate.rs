//! The end of a round: the model is measured, and the round's line is written.

use super::super::evaluation::{Scores, Spread};
use super::super::job::Job;
use super::super::record::Record;
use super::{Cx, Server, Stage};
use crate::learn::Tally;
use crate::observe::rows::{ClientAccuracyRow, RoundRow, SizeRow};
use crate::quantity::Span;

impl Server {
    pub(super) fn evaluate(&mut self, cx: &mut Cx<'_>) {
        let plan = &self.shared.plan;
        let number = self.round.number;
        let due = number.is_multiple_of(plan.evaluation.every)
            || number >= plan.schedule.rounds
            || self.stopping;
        if plan.compute.is_modelled() {
            if due && self.half.global().is_some() {
                cx.pass_over(self.shared.stand_ins.pieces);
            }
            return self.conclude(None, None, Vec::new(), cx);
        }
        let pieces = match self.half.global().filter(|_| due) {
            Some(global) => {
                let half = &self.half;
                let at_level = |level| Ok(half.at_level(level)?.unwrap_or_else(|| global.clone()));
                match self.shared.evaluator.pieces(plan, global, at_level) {
                    Ok(pieces) => pieces,
                    Err(error) => return self.fail(format!("evaluation: {error}"), cx),
                }
            }
            None => Vec::new(),
        };
        if pieces.is_empty() {
            let personal = if due {
                self.personal_accuracies(cx)
            } else {
                Vec::new()
            };
            return self.conclude(None, None, personal, cx);
        }
        let pieces = pieces.into_iter().map(|piece| {
            let id = cx.work(Job::Evaluation(Box::new(piece)), Span::ZERO);
            (id, None)
        });
        self.stage = Stage::Evaluating {
            pieces: pieces.collect(),
        };
    }

    /// The clients' own models, as they last measured them.
    fn personal_accuracies(&self, cx: &mut Cx<'_>) -> Vec<Tally> {
        for (client, tally) in &self.personal {
            self.record_accuracy(*client, *tally, cx);
        }
        let scores = Scores {
            levels: Vec::new(),
            clients: self.measured(),
            attack: None,
        };
        if !scores.clients.is_empty() {
            self.record_sizes(&scores, cx);
        }
        self.personal.values().copied().collect()
    }

    /// How good each client's own model was when the client last measured it.
    pub(super) fn measured(&self) -> Vec<(u32, Tally)> {
        self.personal.iter().map(|(&c, &t)| (c, t)).collect()
    }

    pub(super) fn record_accuracy(&self, client: u32, tally: Tally, cx: &mut Cx<'_>) {
        let row = ClientAccuracyRow {
            round: self.round.number,
            client,
            group: self.shared.plan.group_name(client),
            correct: tally.correct as u32,
            count: tally.count as u32,
        };
        cx.record(Record::Accuracy(Box::new(row)));
    }

    /// A line for each width, where there are several.
    pub(super) fn record_sizes(&self, scores: &Scores, cx: &mut Cx<'_>) {
        let sizes = &self.shared.sizes;
        if sizes.levels().len() == 1 {
            return;
        }
        let counts = sizes.counts(self.shared.plan.population());
        for (number, (level, clients)) in sizes.levels().iter().zip(counts).enumerate() {
            let own: Vec<f64> = scores
                .clients
                .iter()
                .filter(|(client, _)| sizes.level_of(*client) == number)
                .map(|(_, tally)| tally.accuracy())
                .collect();
            let central = scores.levels.get(number).copied().flatten();
            let row = SizeRow {
                round: self.round.number,
                size: level.ratio,
                clients,
                accuracy: central.map(|tally| tally.accuracy()),
                loss: central.map(|tally| tally.mean_loss()),
                client_mean: (!own.is_empty()).then(|| own.iter().sum::<f64>() / own.len() as f64),
            };
            cx.record(Record::Size(Box::new(row)));
        }
    }

    pub(super) fn conclude(
        &mut self,
        central: Option<Tally>,
        attack: Option<Tally>,
        clients: Vec<Tally>,
        cx: &mut Cx<'_>,
    ) {
        let spread = Spread::of(clients);
        let row = RoundRow {
            attack_success: attack.map(|tally| tally.accuracy()),
            ..self.round_row(central, spread, cx)
        };
        let goal = self.shared.plan.schedule.stop_at_accuracy;
        if let (Some(goal), Some(accuracy)) = (goal, row.accuracy) {
            self.stopping |= accuracy >= goal.get();
        }
        self.tell(row, cx);
        let every = self.shared.plan.server_checkpoint;
        if self.round.number.is_multiple_of(every) {
            if let Err(reason) = self.keep(cx) {
                return self.fail(reason, cx);
            }
        }
        self.next_round(cx);
    }

    /// Tells of a round that is over.
    pub(super) fn tell(&mut self, row: RoundRow, cx: &mut Cx<'_>) {
        cx.record(Record::Round(Box::new(row)));
        let staleness = self.round.staleness();
        if !staleness.is_empty() {
            cx.record(Record::Staleness(staleness));
        }
        self.round.written();
    }

    pub(super) fn round_row(
        &self,
        central: Option<Tally>,
        spread: Option<Spread>,
        cx: &Cx<'_>,
    ) -> RoundRow {
        RoundRow {
            epsilon: self.half.epsilon(),
            restored: self.round.restored,
            ..self.round.row(cx.now(), central, spread)
        }
    }
}
