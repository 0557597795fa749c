//! A server half that checks another one whose clients are asked one by one.
//!
//! It keeps a record of its own: which client is training, on which task, sent at which step. The
//! server must take in only reports of recorded tasks, each once and no older than the scenario
//! allows. Where the method's rule is plain, each step is computed again in double precision.

use super::audit::{note, Findings};
use crate::federation::{Rule, Waiting};
use crate::method::{MethodError, Payload, Phase, Received, ServerHalf, ServerJob};
use crate::model::ParamSet;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;

/// A server half behind which the audited one works.
pub struct StepAudit {
    inner: Box<dyn ServerHalf>,
    findings: Findings,
    waiting: Waiting,
    /// Whether the new model is the rule's step from the old one and nothing else.
    plain: bool,
    /// The number of server steps made.
    version: u32,
    at_work: BTreeMap<u32, Task>,
    /// The number of each client's last task.
    last: BTreeMap<u32, u32>,
    /// The number of reports since the last step.
    taken: u32,
    /// For FedBuff, the sums Σ s(τ) n Δ and Σ n over these reports; for FedAsync, the last reported
    /// model and its share.
    step: Option<(Vec<f64>, f64)>,
}

/// The task of a client that is training.
struct Task {
    number: u32,
    version: u32,
    model: Option<ParamSet>,
    used: bool,
}

snapshot_struct!(Task {
    number,
    version,
    model,
    used,
});

impl StepAudit {
    /// Checks the server half `inner`, which waits for reports as `waiting` says. With `plain`,
    /// each step is computed again.
    pub fn new(
        inner: Box<dyn ServerHalf>,
        findings: Findings,
        waiting: Waiting,
        plain: bool,
    ) -> Self {
        Self {
            inner,
            findings,
            waiting,
            plain,
            version: 0,
            at_work: BTreeMap::new(),
            last: BTreeMap::new(),
            taken: 0,
            step: None,
        }
    }

    fn find(&self, what: String) {
        note(&self.findings, format!("step {}: {what}", self.version + 1));
    }

    /// Checks that the server waits for this report, and that the server's idea of its staleness is
    /// right.
    fn look(&self, report: &Received) {
        let client = report.client;
        match self.at_work.get(&client) {
            None => self.find(format!(
                "an update from client {client} is used, who is not at work"
            )),
            Some(task) if task.number != report.round => self.find(format!(
                "an update of task {} from client {client} is used, who is at task {}",
                report.round, task.number
            )),
            Some(task) if task.used => {
                self.find(format!("an update of client {client} is counted twice"));
            }
            Some(task) => {
                let staleness = self.version.saturating_sub(task.version);
                if self.inner.staleness(client) != Some(staleness) {
                    self.find(format!(
                        "the update of client {client} is {staleness} steps old, and the server \
                         takes it for {:?}",
                        self.inner.staleness(client)
                    ));
                }
                if self
                    .waiting
                    .max_staleness
                    .is_some_and(|most| staleness > most)
                {
                    self.find(format!(
                        "an update of client {client} is used that is {staleness} steps old"
                    ));
                }
            }
        }
        if !report.payload.largest().is_finite() {
            self.find(format!(
                "an update from client {client} that is not finite is used"
            ));
        }
    }

    /// Adds a report to the reference step.
    fn add(&mut self, report: &Received) {
        let Some(task) = self.at_work.get(&report.client) else {
            return;
        };
        let (Some(sent), Payload::Model(model)) = (&task.model, &report.payload) else {
            return;
        };
        let (Ok(sent), Ok(model)) = (sent.as_slice(), model.as_slice()) else {
            return;
        };
        let weight = self
            .waiting
            .staleness
            .weight(self.version.saturating_sub(task.version));
        match self.waiting.rule {
            Rule::FedBuff { weighting, .. } => {
                let n = weighting.of(report.samples);
                let (sum, total) = self
                    .step
                    .get_or_insert_with(|| (vec![0.0; model.len()], 0.0));
                for ((sum, new), old) in sum.iter_mut().zip(model).zip(sent) {
                    *sum += weight * n * (f64::from(*new) - f64::from(*old));
                }
                *total += n;
            }
            Rule::FedAsync { alpha } => {
                let new = model.iter().map(|value| f64::from(*value)).collect();
                self.step = Some((new, alpha * weight));
            }
            Rule::FedAT => {}
        }
    }

    /// The values of the model that the step from the model `before` must lead to.
    fn expected(&mut self, before: &[f32]) -> Option<Vec<f64>> {
        let (values, number) = self.step.take()?;
        let pairs = values.into_iter().zip(before);
        let rule = self.waiting.rule;
        Some(
            pairs
                .map(|(value, old)| match rule {
                    Rule::FedBuff { server_lr, .. } => f64::from(*old) + server_lr * value / number,
                    _ => (1.0 - number) * f64::from(*old) + number * value,
                })
                .collect(),
        )
    }

    /// Checks the model after a step: it must be finite, and it must be the expected one.
    fn check(&self, expected: Option<Vec<f64>>) {
        let Some(global) = self.inner.global() else {
            return;
        };
        if global.largest().is_ok_and(|largest| !largest.is_finite()) {
            self.find("the model is not finite".into());
        }
        let (Some(expected), Ok(global)) = (expected, global.as_slice()) else {
            return;
        };
        let mut pairs = expected.iter().zip(global);
        let far = pairs.find(|(expected, value)| {
            (*expected - f64::from(**value)).abs() > 1e-4 * (1.0 + expected.abs())
        });
        if let Some((expected, value)) = far {
            self.find(format!(
                "the step is not that of {}: a value must be {expected}, the model has {value}",
                self.waiting.name()
            ));
        }
    }
}

impl ServerHalf for StepAudit {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        if self.at_work.contains_key(&client) {
            self.find(format!("client {client} is asked while it is at work"));
        }
        if self.last.get(&client).is_some_and(|last| *last >= round) {
            self.find(format!("client {client} is given task {round} again"));
        }
        if self.at_work.len() as u64 >= u64::from(self.waiting.concurrency) {
            self.find(format!(
                "more than {} are at work",
                self.waiting.concurrency
            ));
        }
        let payload = self.inner.task(client, round)?;
        self.last.insert(client, round);
        let task = Task {
            number: round,
            version: self.version,
            model: payload.as_model().ok().cloned(),
            used: false,
        };
        self.at_work.insert(client, task);
        Ok(payload)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        self.look(report);
        self.inner.receive(report)?;
        if self.plain {
            self.add(report);
        }
        self.taken += 1;
        if let Some(task) = self.at_work.get_mut(&report.client) {
            task.used = true;
        }
        Ok(())
    }

    fn gone(&mut self, client: u32) {
        self.at_work.remove(&client);
        self.inner.gone(client);
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        let mut expected = None;
        let begins = matches!(phase, Phase::AfterRound(_)) && outputs.is_empty();
        if begins {
            let (taken, wanted) = (std::mem::take(&mut self.taken), self.waiting.buffer());
            // With modelled learning there are no reports to take in.
            if taken > 0 && taken != wanted {
                self.find(format!(
                    "a step is made of {taken} reports, not of {wanted}"
                ));
            }
            let before = self.inner.global().cloned();
            let before = before.as_ref().and_then(|before| before.as_slice().ok());
            expected = before.and_then(|before| self.expected(before));
        }
        let jobs = self.inner.step(phase, outputs)?;
        if begins && jobs.is_empty() {
            self.check(expected);
        }
        if begins {
            self.version = self.version.saturating_add(1);
        }
        Ok(jobs)
    }

    fn abandon(&mut self) {
        self.at_work.clear();
        self.taken = 0;
        self.step = None;
        self.inner.abandon();
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
        self.version.save(to);
        self.last.save(to);
    }

    /// The checkpoint contains no clients at work: a server that goes down no longer waits for
    /// them.
    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)?;
        self.version = Snapshot::load(from)?;
        self.last = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::federation::Staleness;
    use crate::method::Weighting;
    use crate::model::{Layout, ParamSet};
    use crate::quantity::Flops;
    use std::sync::Arc;

    fn set(values: &[f32]) -> ParamSet {
        ParamSet::from_slice(&Arc::new(Layout::flat(values.len())), values).unwrap()
    }

    /// A half that takes anything, and whose model after a step is what the test says.
    struct Tame {
        global: ParamSet,
        next: ParamSet,
        staleness: u32,
    }

    impl ServerHalf for Tame {
        fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
            Ok(Payload::Model(self.global.clone()))
        }

        fn receive(&mut self, _: &Received) -> Result<(), MethodError> {
            Ok(())
        }

        fn step(&mut self, phase: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
            if matches!(phase, Phase::AfterRound(_)) {
                self.global = self.next.clone();
            }
            Ok(Vec::new())
        }

        fn staleness(&self, _: u32) -> Option<u32> {
            Some(self.staleness)
        }

        fn abandon(&mut self) {}

        fn receive_flops(&self) -> Flops {
            Flops(0)
        }

        fn round_flops(&self) -> Flops {
            Flops(0)
        }

        fn global(&self) -> Option<&ParamSet> {
            Some(&self.global)
        }

        fn save(&self, _: &mut Writer) {}

        fn restore(&mut self, _: &mut Reader) -> Result<(), Damaged> {
            Ok(())
        }
    }

    /// FedBuff with two a step at rate 0.5, over two clients; what is done with it, and what is found.
    fn found(next: &[f32], staleness: u32, act: impl FnOnce(&mut StepAudit)) -> Vec<String> {
        let inner = Tame {
            global: set(&[1.0, 2.0]),
            next: set(next),
            staleness,
        };
        let waiting = Waiting {
            rule: Rule::FedBuff {
                buffer: 2,
                server_lr: 0.5,
                weighting: Weighting::Samples,
            },
            concurrency: 2,
            staleness: Staleness::default(),
            max_staleness: Some(3),
            timeout: None,
        };
        let findings = Findings::default();
        let mut audit = StepAudit::new(Box::new(inner), Arc::clone(&findings), waiting, true);
        act(&mut audit);
        let found = findings.lock().unwrap();
        found.clone()
    }

    fn report(audit: &mut StepAudit, client: u32, round: u32, values: &[f32], samples: u32) {
        let received = Received {
            client,
            round,
            samples,
            payload: Payload::Model(set(values)),
        };
        audit.receive(&received).unwrap();
    }

    fn close(audit: &mut StepAudit) {
        audit.step(Phase::AfterRound(1), Vec::new()).unwrap();
    }

    fn ask_both(audit: &mut StepAudit) {
        audit.task(0, 1).unwrap();
        audit.task(1, 1).unwrap();
    }

    #[test]
    fn a_step_by_the_rule_is_found_right_and_any_other_wrong() {
        // 1 + 0.5 · (1 · 2 + 3 · 6) / 4 and 2 + 0.5 · (1 · (−2) + 3 · 2) / 4
        let act = |audit: &mut StepAudit| {
            ask_both(audit);
            report(audit, 0, 1, &[3.0, 0.0], 1);
            report(audit, 1, 1, &[7.0, 4.0], 3);
            close(audit);
        };
        assert_eq!(found(&[3.5, 2.5], 0, act), Vec::<String>::new());
        let wrong = found(&[3.5, 2.6], 0, act);
        assert!(wrong[0].contains("not that of FedBuff"), "{wrong:?}");
        let wrong = found(&[3.5, f32::NAN], 0, act);
        assert!(wrong[0].contains("not finite"), "{wrong:?}");
    }

    #[test]
    fn reports_that_nobody_waits_for_are_found() {
        let none = |_: &mut StepAudit| {};
        assert!(found(&[0.0; 2], 0, none).is_empty());
        let first =
            |act: &dyn Fn(&mut StepAudit)| found(&[0.0; 2], 0, |audit| act(audit)).remove(0);
        type Act<'a> = &'a dyn Fn(&mut StepAudit);
        let cases: [(&str, Act<'_>); 6] = [
            ("not at work", &|audit| report(audit, 5, 1, &[1.0, 1.0], 1)),
            ("who is at task 1", &|audit| {
                ask_both(audit);
                report(audit, 0, 2, &[1.0, 1.0], 1);
            }),
            ("counted twice", &|audit| {
                ask_both(audit);
                report(audit, 0, 1, &[1.0, 1.0], 1);
                report(audit, 0, 1, &[1.0, 1.0], 1);
            }),
            ("asked while it is at work", &|audit| {
                ask_both(audit);
                audit.task(0, 2).unwrap();
            }),
            ("given task 1 again", &|audit| {
                ask_both(audit);
                audit.gone(0);
                audit.task(0, 1).unwrap();
            }),
            ("made of 1 reports", &|audit| {
                ask_both(audit);
                report(audit, 0, 1, &[1.0, 1.0], 1);
                close(audit);
            }),
        ];
        for (expected, act) in cases {
            let finding = first(act);
            assert!(finding.contains(expected), "{expected}: {finding}");
        }
    }

    #[test]
    fn a_wrong_age_and_one_beyond_the_bound_are_found() {
        let late = |steps: u32| {
            move |audit: &mut StepAudit| {
                ask_both(audit);
                for _ in 0..steps {
                    audit.step(Phase::AfterRound(1), Vec::new()).unwrap();
                }
                report(audit, 0, 1, &[1.0, 1.0], 1);
            }
        };
        assert!(found(&[1.0, 2.0], 3, late(3)).is_empty());
        assert!(found(&[1.0, 2.0], 2, late(3))[0].contains("takes it for Some(2)"));
        assert!(found(&[1.0, 2.0], 4, late(4))[0].contains("is 4 steps old"));
    }
}
