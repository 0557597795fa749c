//! The method's own work at the server, in phases: before the first round, around each round, and at the
//! end. In each phase a method may have jobs, and from their outputs more jobs, until it has none.

use super::super::job::{Job, Output, UNASKED};
use super::{timer, Cx, Server, Stage};
use crate::method::{Payload, Phase};
use crate::quantity::{Flops, Span, VirtualTime};
use crate::sim::JobId;

impl Server {
    /// Begins a phase of the method's own work.
    pub(super) fn begin(&mut self, phase: Phase, cx: &mut Cx<'_>) {
        self.work(phase, Vec::new(), cx);
    }

    /// Hands the outputs of the phase's last jobs to the method, and submits the jobs that it has next.
    pub(super) fn work(&mut self, phase: Phase, outputs: Vec<Payload>, cx: &mut Cx<'_>) {
        let jobs = match self.half.step(phase, outputs) {
            Ok(jobs) => jobs,
            Err(error) => return self.fail(format!("the method's work {phase}: {error}"), cx),
        };
        if jobs.is_empty() {
            return self.over(phase, cx);
        }
        let modelled = self.shared.plan.compute.is_modelled();
        let mut under_way = Vec::with_capacity(jobs.len());
        for (place, job) in (0u64..).zip(jobs) {
            // The virtual server does one job after the other.
            let until = self.run_job(job.cost.flops, cx);
            let span = until.since(cx.now());
            if modelled {
                cx.timer(span, timer::modelled(place));
                under_way.push((JobId(place), job.stand_in));
            } else {
                under_way.push((cx.work(Job::Server(job), span), None));
            }
        }
        self.stage = Stage::Working {
            phase,
            jobs: under_way,
        };
    }

    /// Goes on when a phase is over.
    fn over(&mut self, phase: Phase, cx: &mut Cx<'_>) {
        match phase {
            Phase::Setup => {
                if let Err(reason) = self.keep(cx) {
                    return self.fail(reason, cx);
                }
                self.next_round(cx);
            }
            Phase::BeforeRound(_) => self.invite(cx),
            Phase::AfterRound(_) => self.evaluate(cx),
            Phase::Finish => self.finish(cx),
        }
    }

    /// Keeps the virtual server busy with a job of `work` operations of its own, as [`Server::occupy`]
    /// does. The server starts up for a job, but not for one that begins at the end of another: its
    /// process is still there.
    fn run_job(&mut self, work: Flops, cx: &Cx<'_>) -> VirtualTime {
        let begin = self.busy_until.max(cx.now());
        let startup = match self.ready_until {
            Some(ready) if ready == begin => Span::ZERO,
            _ => self.shared.plan.server.startup,
        };
        let until = self.occupy(work, startup, cx);
        self.ready_until = Some(until);
        until
    }

    /// Keeps the virtual server busy with `work` operations, and with `startup` before these, after all
    /// it was given before. Returns when it will be done.
    pub(super) fn occupy(&mut self, work: Flops, startup: Span, cx: &Cx<'_>) -> VirtualTime {
        let span = startup + self.shared.plan.server.speed.time_for(work);
        self.round.server_flops = Flops(self.round.server_flops.0.saturating_add(work.0));
        let start = self.busy_until.max(cx.now());
        let faults = &self.shared.faults.server;
        self.busy_until = if faults.is_empty() {
            start + span
        } else {
            faults.finish(start, span)
        };
        self.round.server_compute = self.round.server_compute + self.busy_until.since(start);
        self.busy_until
    }

    /// Ends a job that is only modelled, named by its place in the phase. With the last job, the phase
    /// goes on.
    pub(super) fn modelled(&mut self, place: u64, cx: &mut Cx<'_>) {
        let Stage::Working { phase, jobs } = &mut self.stage else {
            return;
        };
        // The timers of jobs that a crash has ended come at other times and are ignored.
        if place + 1 != jobs.len() as u64 || cx.now() != self.busy_until {
            return;
        }
        let phase = *phase;
        let outputs: Option<Vec<Payload>> = jobs.drain(..).map(|(_, output)| output).collect();
        match outputs {
            Some(outputs) => self.work(phase, outputs, cx),
            None => self.fail(format!("the method's work {phase} cannot be modelled"), cx),
        }
    }

    /// Takes the output of a job.
    pub(super) fn done(&mut self, job: JobId, output: Output, cx: &mut Cx<'_>) {
        if self.forgotten.remove(&job) {
            return;
        }
        match (&mut self.stage, output) {
            (Stage::Working { jobs, phase }, Output::Server(Ok(payload))) => {
                if let Some(slot) = jobs.iter_mut().find(|(id, _)| *id == job) {
                    slot.1 = Some(payload);
                }
                if jobs.iter().all(|(_, payload)| payload.is_some()) {
                    let outputs = jobs.drain(..).filter_map(|(_, payload)| payload).collect();
                    let phase = *phase;
                    self.work(phase, outputs, cx);
                }
            }
            (Stage::Evaluating { .. }, Output::Evaluation(Ok(marks))) => {
                self.evaluated(job, marks, cx);
            }
            (Stage::Querying { .. }, Output::Statistics(Ok(sums))) => self.asked(job, sums, cx),
            (
                _,
                Output::Server(Err(error))
                | Output::Evaluation(Err(error))
                | Output::Statistics(Err(error)),
            ) => {
                self.fail(error.to_string(), cx);
            }
            (_, Output::Failed(reason)) => self.fail(reason, cx),
            (_, _) => self.fail(UNASKED.into(), cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::federation::testing;
    use crate::scenario::Scenario;
    use std::path::Path;

    /// The server's computing time and its operations' time in seconds, over three rounds on a server that
    /// starts up in a second and does a billion operations in another.
    fn times(method: &str, clients: &str) -> (f64, f64) {
        let text = format!(
            "(data: Digits, public: (share: 0.05, select: 0.2), model: [Flatten, Dense(16), Relu, Dense(10)],
            server: (device: (speed: \"1 GFLOP/s\", startup: \"1 s\", power: \"2 W\")),
            population: [{clients}], schedule: (rounds: 3), method: {method})"
        );
        let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
        let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
        let (heard, ending) = testing::run(&scenario);
        ending.unwrap();
        let rounds = &heard.rounds;
        assert_eq!(rounds.len(), 3);
        for round in rounds {
            assert!(round.select_accuracy.is_some_and(|share| share > 0.0));
            let expected = 2.0 * round.server_compute.seconds();
            assert!((round.server_energy - expected).abs() < 1e-9);
        }
        let sum = |of: fn(&crate::observe::rows::RoundRow) -> f64| rounds.iter().map(of).sum();
        (
            sum(|round| round.server_compute.seconds()),
            sum(|round| round.server_flops as f64 / 1e9),
        )
    }

    #[test]
    fn a_server_starts_up_once_for_work_done_back_to_back() {
        // Without clients, the rounds follow each other without a pause.
        let (computed, operations) = times("PublicOnly((epochs: 2, lr: 0.01))", "(count: 2)");
        assert!(operations > 1e-3);
        assert!(
            (computed - operations - 1.0).abs() < 1e-6,
            "{computed} and {operations}"
        );
        // Fine-tuning, a bank for a width, three clients' models and the weights: the server starts up
        // before the first round, and after each time that clients have trained.
        let method = "FedConv(tune: 1, filter: 1, filter_later: 1, tune_clients: 1, aggregate: 1)";
        let (computed, operations) = times(method, "(count: 2), (count: 1, size: 0.5)");
        assert!(
            (computed - operations - 4.0).abs() < 1e-6,
            "{computed} and {operations}"
        );
    }
}
