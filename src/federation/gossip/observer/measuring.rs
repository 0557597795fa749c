//! The end of a round that is measured: the mean of the clients' models, and its evaluation.

use super::super::mix::{Consensus, ConsensusJob};
use super::super::round_record::RoundRecord;
use super::{Cx, Observer, Stage};
use crate::federation::evaluation::Marks;
use crate::federation::job::{Job, Output, UNASKED};
use crate::federation::keep::{Keep, Of, Weights};
use crate::federation::record::Record;
use crate::federation::spread::PerClient;
use crate::learn::EvaluationSums;
use crate::model::ParamSet;
use crate::observe::rows::RoundRow;
use crate::quantity::Span;
use crate::sim::JobId;
use crate::snapshot::snapshot_struct;
use std::collections::BTreeMap;

/// The end of a round that is measured: its record, and what is known of its models.
pub(super) struct Measuring {
    record: RoundRecord,
    /// The consensus distance, once the mean is there.
    distance: Option<f64>,
    /// The job of the mean.
    average: JobId,
    /// The clients' own models, until their evaluation has begun.
    models: BTreeMap<u32, ParamSet>,
    /// The pieces of the evaluation of the mean, on the central test data.
    central: Vec<(JobId, Option<Marks>)>,
    /// The evaluations of the clients' own models.
    own: Vec<(JobId, (u32, Option<Marks>))>,
}

snapshot_struct!(Measuring {
    record,
    distance,
    average,
    models,
    central,
    own,
});

impl Observer {
    /// Closes the record of the present round, and measures the clients' models where that is due.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        let mut record = self.open.remove(&self.round).unwrap_or_default();
        let models = record.take_models();
        if models.is_empty() {
            let row = record.row(self.round, self.clients(), cx.now());
            return self.conclude(row, cx);
        }
        let job = ConsensusJob {
            models: models.values().cloned().collect(),
        };
        self.stage = Stage::Averaging(Measuring {
            record,
            distance: None,
            average: cx.work(Job::Consensus(Box::new(job)), Span::ZERO),
            models,
            central: Vec::new(),
            own: Vec::new(),
        });
    }

    /// Goes on with the mean of all models: keeps it and evaluates it, where that is due.
    fn measure(&mut self, mut measuring: Measuring, found: &Consensus, cx: &mut Cx<'_>) {
        let (plan, evaluator) = (&self.shared.plan, &self.shared.evaluator);
        measuring.distance = Some(found.distance);
        let kept = plan.keep.is_some_and(|keep| match keep {
            // No node holds the mean model when the run is over, so the mean that was measured last is kept.
            Keep::Final | Keep::Clients => true,
            Keep::Best | Keep::Every(_) => keep.after(self.round, true),
        });
        if kept {
            let weights = Weights {
                round: self.round,
                of: Of::Round,
                sets: vec![(0, found.mean.clone())],
            };
            cx.record(Record::Weights(Box::new(weights)));
        }
        let pieces = match evaluator.pieces(plan, &found.mean, |_| Ok(found.mean.clone())) {
            Ok(pieces) => pieces,
            Err(error) => return self.fail(format!("evaluation: {error}"), cx),
        };
        let models = std::mem::take(&mut measuring.models);
        let mut submit = |piece| cx.work(Job::Evaluation(Box::new(piece)), Span::ZERO);
        measuring.central = pieces
            .into_iter()
            .map(|piece| (submit(piece), None))
            .collect();
        if plan.evaluation.per_client {
            for (client, model) in models {
                let held_out = self.shared.holdout_samples(client);
                if !held_out.is_empty() {
                    let piece = evaluator.own(plan, model, held_out);
                    measuring.own.push((submit(piece), (client, None)));
                }
            }
        }
        if measuring.central.is_empty() && measuring.own.is_empty() {
            return self.measured(measuring, cx);
        }
        self.stage = Stage::Evaluating(measuring);
    }

    /// Records the figures of an evaluation all of whose pieces are there.
    fn measured(&mut self, measuring: Measuring, cx: &mut Cx<'_>) {
        let central = measuring.central.into_iter();
        let marks: Vec<Marks> = central.filter_map(|(_, marks)| marks).collect();
        let scores = self.shared.evaluator.sum(&marks);
        let own = measuring.own.into_iter();
        let own = own.filter_map(|(_, (client, marks))| Some((client, marks?.tally)));
        let own: Vec<(u32, EvaluationSums)> = own.collect();
        let clients = PerClient {
            now: own,
            own: self.own.clone(),
        };
        let rows = clients.rows(self.round, |client| self.shared.plan.group_name(client));
        // Only clients whose model of this round is there have a line.
        for row in rows.filter(|row| row.correct.is_some()) {
            cx.record(Record::Accuracy(Box::new(row)));
        }
        let central = scores.central();
        let row = RoundRow {
            accuracy: central.map(|tally| tally.accuracy()),
            loss: central.map(|tally| tally.mean_loss()),
            consensus_distance: measuring.distance,
            attack_success: scores.attack.map(|tally| tally.accuracy()),
            ..measuring.record.row(self.round, self.clients(), cx.now())
        };
        let row = clients.fill(row);
        self.stage = Stage::Gathering;
        self.conclude(row, cx);
        self.go_on(cx);
    }

    /// Takes the output of a job.
    pub(super) fn done(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) {
        let stage = std::mem::replace(&mut self.stage, Stage::Gathering);
        match (stage, output) {
            (Stage::Averaging(measuring), Output::Consensus(Ok(found)))
                if measuring.average == job =>
            {
                self.measure(measuring, &found, cx);
            }
            (Stage::Evaluating(mut measuring), Output::Evaluation(Ok(marks))) => {
                let mut central = measuring.central.iter_mut();
                let mut own = measuring.own.iter_mut();
                if let Some(slot) = central.find(|(id, _)| *id == job) {
                    slot.1 = Some(marks);
                } else if let Some(slot) = own.find(|(id, _)| *id == job) {
                    slot.1 .1 = Some(marks);
                }
                let central = measuring.central.iter().all(|(_, marks)| marks.is_some());
                let own = measuring.own.iter().all(|(_, (_, marks))| marks.is_some());
                match central && own {
                    true => self.measured(measuring, cx),
                    false => self.stage = Stage::Evaluating(measuring),
                }
            }
            (Stage::Finished, _) => self.stage = Stage::Finished,
            (_, Output::Consensus(Err(error)) | Output::Evaluation(Err(error))) => {
                self.fail(error.to_string(), cx);
            }
            (_, Output::Failed(reason)) => self.fail(reason, cx),
            (_, _) => self.fail(UNASKED.into(), cx),
        }
    }
}
