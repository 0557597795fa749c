//! The local training of a client without a server.

use super::super::Algorithm;
use super::{Cx, Peer, Step, Work};
use crate::federation::device_time::DeviceTime;
use crate::federation::job::{Output, UNASKED};
use crate::federation::training::Training;
use crate::method::{ClientWork, Metrics, Payload};
use crate::observe::ledger::{self, What};
use crate::quantity::Span;
use std::sync::Arc;

impl Peer {
    /// Trains from `start`.
    pub(super) fn train(&mut self, start: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        #[cfg(test)]
        self.common.watch(
            super::super::tests::What::Start,
            self.round,
            self.number,
            &start,
        );
        let training = match self.prepare(start.clone(), cx) {
            Ok(training) => training,
            Err(reason) => return self.untrained(start, reason, cx),
        };
        let Some(span) = self.occupy(training.time, training.work, cx) else {
            self.step = Step::Training(Work::default());
            return Ok(());
        };
        self.notice.samples = training.samples;
        self.notice.cost = training.cost;
        let mut work = Work {
            fails: training.out_of_memory,
            start,
            steps: training.steps,
            ..Work::default()
        };
        if training.out_of_memory || !self.shared.plan.compute.is_real() {
            let token = self.token();
            cx.timer(span, token);
            work.timer = Some(token);
        } else {
            work.job = Some(cx.work(training.into_job(&self.shared), span));
        }
        self.step = Step::Training(work);
        Ok(())
    }

    /// Prepares training from `start`; an error says why the client cannot train.
    ///
    /// # Panics
    /// When the fault plan says that the client's handler panics.
    fn prepare(&mut self, start: Payload, cx: &Cx<'_>) -> Result<Training, String> {
        let shared = Arc::clone(&self.shared);
        let (who, now) = ((self.number, self.round), cx.now());
        let samples = Training::samples(&shared, who)?;
        self.tasks += 1;
        let faults = &shared.faults.clients;
        let faults =
            (!faults.is_empty()).then(|| faults.of_task(self.number, self.round, self.tasks, now));
        if faults.as_ref().is_some_and(|faults| faults.panics) {
            panic!("the handler of client {} panics, as planned", self.number);
        }
        let from = (start, self.state.clone());
        Training::prepare(&shared, who, samples, from, faults.as_ref(), (now, None))
    }

    /// Records what the device spends on work that takes `time`; how long the device is busy from now,
    /// if the work is ever done.
    pub(super) fn occupy(
        &mut self,
        time: Option<DeviceTime>,
        work: ledger::Work,
        cx: &mut Cx<'_>,
    ) -> Option<Span> {
        self.record(What::Works(Box::new(work)), cx);
        let time = time?;
        self.notice.compute = self.notice.compute + time.span;
        let power = self.shared.plan.client(self.number).device.power;
        self.notice.energy += power.energy(time.computing);
        Some(time.span)
    }

    /// Ends training that no device worker does.
    pub(super) fn modelled(&mut self, work: Work, cx: &mut Cx<'_>) -> Result<(), String> {
        if work.fails {
            return self.untrained(work.start, "out of memory".into(), cx);
        }
        self.notice.trained = Some(cx.now());
        self.notice.metrics = Metrics {
            steps: work.steps,
            ..Metrics::default()
        };
        self.adapted(work.start, cx)
    }

    /// Ends training from `start` with the output of its job.
    pub(super) fn learned(
        &mut self,
        start: Payload,
        output: Output,
        cx: &mut Cx<'_>,
    ) -> Result<(), String> {
        let reason = match output {
            Output::Client(Ok(ClientWork {
                report,
                state,
                metrics,
            })) => {
                self.state = state;
                self.notice.trained = Some(cx.now());
                self.notice.metrics = metrics;
                return self.adapted(report, cx);
            }
            Output::Client(Err(error)) => {
                self.notice.diverged = error.diverged();
                error.to_string()
            }
            Output::Failed(reason) => reason,
            _ => UNASKED.into(),
        };
        self.untrained(start, format!("training failed: {reason}"), cx)
    }

    /// Goes on without training: the client's model stays as it is, and is mixed all the same.
    fn untrained(&mut self, start: Payload, reason: String, cx: &mut Cx<'_>) -> Result<(), String> {
        tracing::debug!(round = self.round, reason, "not trained");
        self.notice.refused = Some(reason.into());
        self.adapted(start, cx)
    }

    /// Goes on with the model that training has made.
    fn adapted(&mut self, model: Payload, cx: &mut Cx<'_>) -> Result<(), String> {
        #[cfg(test)]
        self.common.watch(
            super::super::tests::What::Trained,
            self.round,
            self.number,
            &model,
        );
        match self.common.gossip.algorithm {
            Algorithm::CombineThenAdapt => self.end(model, cx),
            Algorithm::DPsgd => {
                self.trained = Some(model);
                self.wait(cx)
            }
            Algorithm::AdaptThenCombine => {
                self.trained = Some(model.clone());
                self.share(model, cx)?;
                self.wait(cx)
            }
        }
    }
}
