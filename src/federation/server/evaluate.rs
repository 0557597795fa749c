//! The end of a round: the model is measured, and the round's line is recorded.

use super::super::evaluation::Marks;
use super::super::job::Job;
use super::super::keep::{self, Of};
use super::super::query::{Queried, StatisticsJob};
use super::super::record::Record;
use super::super::spread::PerClient;
use super::super::world::Shared;
use super::{Cx, Server, Stage};
use crate::learn::EvaluationSums;
use crate::method::MethodError;
use crate::model::{ParamSet, Statistics};
use crate::observe::rows::{RoundRow, SizeRow};
use crate::quantity::Span;
use crate::select::Measured;
use crate::sim::JobId;
use std::collections::BTreeMap;

/// How the global model did; `None` for what was not measured.
#[derive(Debug, Default)]
pub(super) struct Measurements {
    /// On the central test data.
    central: Option<EvaluationSums>,
    /// On the samples that adversaries aim at.
    attack: Option<EvaluationSums>,
    /// On the samples of the public set by which a round may be selected.
    select: Option<EvaluationSums>,
}

impl Server {
    /// Evaluates the models of the round, where that is due, and concludes the round.
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
            return self.conclude(Measurements::default(), None, cx);
        }
        if due {
            let queries = match self.queries() {
                Ok(queries) => queries.into_iter(),
                Err(error) => return self.fail(format!("statistics: {error}"), cx),
            };
            self.queried = Queried::default();
            let pieces = queries.map(|(level, piece)| {
                let id = cx.work(Job::Statistics(Box::new(piece)), Span::ZERO);
                (id, (level, None))
            });
            let pieces: Vec<_> = pieces.collect();
            if !pieces.is_empty() {
                self.stage = Stage::Querying { pieces };
                return;
            }
        }
        self.measure(due, cx);
    }

    /// The model of a width that an evaluation measures; `None` if the method has no global model. Where
    /// a method has no sub-models, every client has the whole model.
    fn model_of(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        let Some(global) = self.half.global() else {
            return Ok(None);
        };
        let narrower = match level {
            0 => None,
            narrower => self.half.at_level(narrower)?,
        };
        Ok(Some(narrower.unwrap_or_else(|| global.clone())))
    }

    /// The pieces of the queries of statistics that come before an evaluation, each with its width.
    fn queries(&self) -> Result<Vec<(usize, StatisticsJob)>, MethodError> {
        let Shared {
            query, plan, sizes, ..
        } = &*self.shared;
        let mut all = Vec::new();
        for &level in query.levels() {
            if let Some(params) = self.model_of(level)? {
                let pieces = query.pieces(plan, sizes, level, &params);
                all.extend(pieces.map(|piece| (level, piece)));
            }
        }
        Ok(all)
    }

    /// Takes the outcome of a piece of the queries. With the last piece, the evaluation begins.
    pub(super) fn asked(&mut self, job: JobId, sums: Statistics, cx: &mut Cx<'_>) {
        let Stage::Querying { pieces } = &mut self.stage else {
            return;
        };
        if let Some((_, (_, slot))) = pieces.iter_mut().find(|(id, _)| *id == job) {
            *slot = Some(sums);
        }
        if pieces.iter().any(|(_, (_, sums))| sums.is_none()) {
            return;
        }
        let mut of: BTreeMap<usize, Vec<Statistics>> = BTreeMap::new();
        for (_, (level, sums)) in pieces.drain(..) {
            of.entry(level).or_default().extend(sums);
        }
        for (level, sums) in of {
            let taken = self.model_of(level).and_then(|params| match params {
                Some(params) => self.queried.take(level, &params, &sums),
                None => Ok(()),
            });
            if let Err(error) = taken {
                return self.fail(format!("statistics: {error}"), cx);
            }
        }
        self.measure(true, cx);
    }

    /// Measures the models of the round, if an evaluation is `due`, and concludes the round.
    fn measure(&mut self, due: bool, cx: &mut Cx<'_>) {
        let plan = &self.shared.plan;
        let found = (|| {
            let of = (&self.shared.query, plan, &self.shared.sizes);
            let Some(global) = self.half.global().filter(|_| due) else {
                return Ok(Vec::new());
            };
            let at_level = |level| {
                let params = self.model_of(level)?.unwrap_or_else(|| global.clone());
                match of.0.levels().contains(&level) {
                    true => self.queried.complete(of, level, params),
                    // Nobody measures it, or it has no statistics that are queried.
                    false => Ok(params),
                }
            };
            self.shared.evaluator.pieces(plan, &at_level(0)?, at_level)
        })();
        let pieces = match found {
            Ok(pieces) => pieces,
            Err(error) => return self.fail(format!("evaluation: {error}"), cx),
        };
        if pieces.is_empty() {
            let clients = due.then(|| self.per_client(Vec::new()));
            if let Some(clients) = &clients {
                self.record_clients(clients, &[], cx);
            }
            return self.conclude(Measurements::default(), clients, cx);
        }
        let pieces = pieces.into_iter().map(|piece| {
            let id = cx.work(Job::Evaluation(Box::new(piece)), Span::ZERO);
            (id, None)
        });
        self.stage = Stage::Evaluating {
            pieces: pieces.collect(),
        };
    }

    /// Takes the outcome of a piece of the evaluation. With the last piece, the round is concluded.
    pub(super) fn evaluated(&mut self, job: JobId, marks: Marks, cx: &mut Cx<'_>) {
        let Stage::Evaluating { pieces } = &mut self.stage else {
            return;
        };
        if let Some(slot) = pieces.iter_mut().find(|(id, _)| *id == job) {
            slot.1 = Some(marks);
        }
        if pieces.iter().any(|(_, marks)| marks.is_none()) {
            return;
        }
        let marks: Vec<Marks> = pieces.drain(..).filter_map(|(_, marks)| marks).collect();
        let scores = self.shared.evaluator.sum(&marks);
        let measured = Measurements {
            central: scores.central(),
            attack: scores.attack,
            select: scores.select,
        };
        let clients = self.per_client(scores.clients);
        self.record_clients(&clients, &scores.levels, cx);
        if !self.is_above_servers() {
            self.policy.measured(&self.measured(&clients));
        }
        self.conclude(measured, Some(clients), cx);
    }

    /// The figures for a policy that chooses clients by accuracy: of the models that clients begin with
    /// or, where clients keep models of their own, of their own models as they were last measured.
    fn measured(&self, clients: &PerClient) -> Vec<Measured> {
        if self.half.personal() {
            let own = clients.own.iter().map(|(&client, own)| Measured {
                client,
                correct: u64::from(own.held_out.trained),
                count: u64::from(own.held_out.count),
            });
            return own.collect();
        }
        let now = clients.now.iter().map(|(client, tally)| Measured {
            client: *client,
            correct: tally.correct,
            count: tally.count,
        });
        now.collect()
    }

    /// What is known of the clients on their held-out samples. `now` are the figures that were measured
    /// just now, with the models that clients begin with.
    pub(super) fn per_client(&self, now: Vec<(u32, EvaluationSums)>) -> PerClient {
        PerClient {
            now,
            own: self.own.clone(),
        }
    }

    /// Records a line for each client of which something is known, and for each width. `central` has the
    /// figures on the central test data of each width that was measured.
    pub(super) fn record_clients(
        &self,
        clients: &PerClient,
        central: &[Option<EvaluationSums>],
        cx: &mut Cx<'_>,
    ) {
        let rows = clients.rows(self.round.number, |client| {
            self.shared.plan.group_name(client)
        });
        let mut any = !central.is_empty();
        for row in rows {
            any = true;
            cx.record(Record::Accuracy(Box::new(row)));
        }
        if any {
            self.record_sizes(clients, central, cx);
        }
    }

    /// Records a line for each width, where there are several.
    fn record_sizes(
        &self,
        clients: &PerClient,
        central: &[Option<EvaluationSums>],
        cx: &mut Cx<'_>,
    ) {
        let sizes = &self.shared.sizes;
        if sizes.levels().len() == 1 {
            return;
        }
        let counts = sizes.counts(self.shared.plan.population());
        for (number, (level, count)) in sizes.levels().iter().zip(counts).enumerate() {
            let here = |client: &u32| sizes.level_of(*client) == number;
            let now = clients.now.iter().filter(|(client, _)| here(client));
            let own = || clients.own.iter().filter(|(client, _)| here(client));
            let central = central.get(number).copied().flatten();
            let row = SizeRow {
                round: self.round.number,
                size: level.ratio,
                clients: count,
                accuracy: central.map(|tally| tally.accuracy()),
                loss: central.map(|tally| tally.mean_loss()),
                client_mean: mean(now.map(|(_, tally)| tally.accuracy())),
                received_mean: mean(own().map(|(_, own)| own.held_out.received_accuracy())),
                trained_mean: mean(own().map(|(_, own)| own.held_out.trained_accuracy())),
            };
            cx.record(Record::Size(Box::new(row)));
        }
    }

    /// Records the round's line and goes on to the next round.
    pub(super) fn conclude(
        &mut self,
        measured: Measurements,
        clients: Option<PerClient>,
        cx: &mut Cx<'_>,
    ) {
        let row = self.round_row(measured.central, cx);
        // Without an evaluation nothing is known of the clients.
        let queried = clients
            .as_ref()
            .map(|_| self.shared.query.bytes_of_all(&self.shared.sizes));
        let statistics_bytes = queried.flatten();
        let row = RoundRow {
            attack_success: measured.attack.map(|tally| tally.accuracy()),
            select_accuracy: measured.select.map(|tally| tally.accuracy()),
            select_loss: measured.select.map(|tally| tally.mean_loss()),
            statistics_bytes,
            ..match clients {
                Some(clients) => clients.fill(row),
                None => row,
            }
        };
        let goal = self.shared.plan.schedule.stop_at_accuracy;
        if let (Some(goal), Some(accuracy)) = (goal, row.accuracy) {
            self.stopping |= accuracy >= goal.get();
        }
        if let Err(error) = self.record_model(row.accuracy.is_some(), cx) {
            return self.fail(format!("the model to be recorded: {error}"), cx);
        }
        self.record_round(row, cx);
        let every = self.shared.plan.server_checkpoint;
        if self.round.number.is_multiple_of(every) {
            if let Err(reason) = self.keep(cx) {
                return self.fail(reason, cx);
            }
        }
        self.next_round(cx);
    }

    /// Hands the global model to the recorder, where the scenario keeps the model of this round.
    fn record_model(&self, measured: bool, cx: &mut Cx<'_>) -> Result<(), MethodError> {
        let number = self.round.number;
        let keep = self.shared.plan.keep;
        if keep.is_some_and(|keep| keep.after(number, measured)) {
            let half = self.half.as_ref();
            if let Some(weights) =
                keep::global(&self.shared, half, &self.queried, number, Of::Round)?
            {
                cx.record(Record::Weights(Box::new(weights)));
            }
        }
        Ok(())
    }

    /// Records the line of a round that is over.
    pub(super) fn record_round(&mut self, row: RoundRow, cx: &mut Cx<'_>) {
        cx.record(Record::Round(Box::new(row)));
        let staleness = self.round.staleness();
        if !staleness.is_empty() {
            cx.record(Record::Staleness(staleness));
        }
        self.round.written();
    }

    /// The line of the present round, as far as the server knows it without an evaluation of the public
    /// set. `central` are the figures of the global model on the central test
    /// data, where they were measured.
    pub(super) fn round_row(&self, central: Option<EvaluationSums>, cx: &Cx<'_>) -> RoundRow {
        RoundRow {
            epsilon: self.half.epsilon(),
            restored: self.round.restored,
            server_energy: self
                .shared
                .plan
                .server
                .power
                .energy(self.round.server_compute),
            ..self.round.row(cx.now(), central)
        }
    }
}

/// The mean of these values; `None` without values.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
