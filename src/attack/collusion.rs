//! Attacks that are made at the server: colluding adversaries decide on their update when the round
//! closes.

use super::{Adversaries, Knowledge, Known, Line};
use crate::defend::{aggregate, settle, Cohort, DefenceSpec, Memory};
use crate::method::{
    MethodError, Payload, Phase, Received, ReportKind, ServerHalf, ServerJob, Whole,
};
use crate::model::ParamSet;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A server half in front of the method's server half and its defence, if there is one. It holds
/// back the honest reports of colluding adversaries. When the round closes, the adversaries of each
/// entry decide on one update from what they know, and all of them hand in that update.
///
/// In a real protocol an adversary cannot know reports that come after its own. That adversaries
/// here do is an assumption of these attacks: it stands for adversaries that guess well.
///
/// The updates of the round are kept, at 4 bytes for each parameter of each report.
pub struct Collusion {
    inner: Box<dyn ServerHalf>,
    kind: ReportKind,
    adversaries: Arc<Adversaries>,
    /// The defence in use, for adversaries that know it.
    defence: Option<DefenceSpec>,
    /// What the defence remembers of earlier rounds, as far as adversaries can work it out.
    memory: Memory,
    seed: u64,
    whole: Whole,
    /// The updates by client: those of honest clients if some entry needs to know them, and those
    /// of adversaries that were held back.
    reports: BTreeMap<u32, Seen>,
    /// The number of honest reports that were passed on.
    passed: usize,
    /// The most that the adversaries of any entry know.
    knowledge: Knowledge,
}

struct Seen {
    samples: u32,
    update: ParamSet,
    /// The number of the entry whose adversary sent the report, if it was held back.
    held: Option<usize>,
}

/// The factors on the attack's own strength that adversaries try against a defence that they know.
const TRIALS: [f64; 10] = [0.125, 0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 8.0, 16.0, 32.0];

impl Collusion {
    /// Puts the collusion of `adversaries` in front of the server half `inner`, whose clients
    /// report `kind`.
    pub fn new(
        inner: Box<dyn ServerHalf>,
        kind: ReportKind,
        adversaries: Arc<Adversaries>,
        defence: Option<DefenceSpec>,
        seed: u64,
    ) -> Self {
        let crafts = adversaries.parties().iter();
        let crafts = crafts.filter_map(|party| party.attack().craft());
        Self {
            knowledge: crafts
                .map(|craft| craft.knowledge())
                .max()
                .unwrap_or_default(),
            inner,
            kind,
            adversaries,
            defence,
            memory: Memory::default(),
            seed,
            whole: Whole::default(),
            reports: BTreeMap::new(),
            passed: 0,
        }
    }

    fn forget(&mut self) {
        self.reports.clear();
        self.whole.clear();
        self.passed = 0;
    }

    /// The updates of all reports for which `f` is true.
    fn updates(&self, f: impl Fn(&Seen) -> bool) -> Result<Vec<&[f32]>, MethodError> {
        let seen = self.reports.values().filter(|seen| f(seen));
        let updates = seen.map(|seen| Ok(seen.update.as_slice()?));
        updates.collect()
    }

    /// The update that the adversaries of an entry send; `None` if none of them has reported.
    fn craft(&self, entry: usize, round: u32) -> Result<Option<Vec<f32>>, MethodError> {
        let party = self.adversaries.parties().get(entry);
        let Some(craft) = party.and_then(|party| party.attack().craft()) else {
            return Ok(None);
        };
        let own = self.updates(|seen| seen.held == Some(entry))?;
        if own.is_empty() {
            return Ok(None);
        }
        let held = self.reports.values().filter(|seen| seen.held.is_some());
        let reports = self.passed + held.count();
        let updates = match craft.knowledge() {
            Knowledge::Own => own.clone(),
            Knowledge::Cohort | Knowledge::Defence => {
                let others = self.updates(|seen| seen.held.is_none())?;
                // The spread of fewer than two updates is not defined, so the adversaries add their
                // own.
                match others.len() {
                    0 | 1 => self.updates(|seen| seen.held.is_none_or(|held| held == entry))?,
                    _ => others,
                }
            }
        };
        let line = craft.line(&Known {
            updates: &updates,
            reports,
            colluders: own.len(),
        });
        let scale = match (craft.knowledge(), &self.defence) {
            (Knowledge::Defence, Some(defence)) => self.strongest(&line, entry, defence, round)?,
            _ => line.scale,
        };
        Ok(Some(line.at(scale)))
    }

    /// The strength along `line` at which the defence's aggregate is furthest from the honest mean;
    /// of several equal strengths, the least.
    fn strongest(
        &self,
        line: &Line,
        entry: usize,
        defence: &DefenceSpec,
        round: u32,
    ) -> Result<f64, MethodError> {
        let clients: Vec<u32> = self.reports.keys().copied().collect();
        let samples: Vec<u32> = self.reports.values().map(|seen| seen.samples).collect();
        let honest = self.updates(|seen| seen.held.is_none())?;
        let honest = match honest.is_empty() {
            true => self.updates(|_| true)?,
            false => honest,
        };
        let mean = Known {
            updates: &honest,
            reports: clients.len(),
            colluders: 0,
        }
        .mean();
        // Adversaries do not know the server's own update; the honest mean is their best guess.
        let trusted: Vec<f32> = mean.iter().map(|value| *value as f32).collect();
        let unit = if line.scale > 0.0 { line.scale } else { 1.0 };
        let mut best = (line.scale, f64::NEG_INFINITY);
        for trial in TRIALS {
            let crafted = line.at(unit * trial);
            let mut updates = Vec::with_capacity(clients.len());
            for seen in self.reports.values() {
                updates.push(match seen.held == Some(entry) {
                    true => crafted.as_slice(),
                    false => seen.update.as_slice()?,
                });
            }
            let cohort = Cohort {
                clients: &clients,
                samples: &samples,
                updates: &updates,
                trusted: Some(&trusted),
                round,
                seed: self.seed,
            };
            let made = aggregate(defence.defence(), &cohort, &self.memory);
            let pairs = made.iter().zip(&mean);
            let damage: f64 = pairs.map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
            if damage > best.1 {
                best = (unit * trial, damage);
            }
        }
        Ok(best.0)
    }

    /// Updates the adversaries' copy of the defence's memory after the round.
    fn remember(&mut self, round: u32) -> Result<(), MethodError> {
        let Some(defence) = self.defence.clone() else {
            return Ok(());
        };
        if self.knowledge < Knowledge::Defence {
            return Ok(());
        }
        let clients: Vec<u32> = self.reports.keys().copied().collect();
        let samples: Vec<u32> = self.reports.values().map(|seen| seen.samples).collect();
        let updates = self.reports.values().map(|seen| seen.update.as_slice());
        let updates: Vec<&[f32]> = updates.collect::<Result<_, _>>()?;
        let cohort = Cohort {
            clients: &clients,
            samples: &samples,
            updates: &updates,
            trusted: None,
            round,
            seed: self.seed,
        };
        let made = aggregate(defence.defence(), &cohort, &self.memory);
        settle(defence.defence(), &cohort, &made, &mut self.memory);
        Ok(())
    }
}

impl ServerHalf for Collusion {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        let task = self.inner.task(client, round)?;
        self.whole.note(client, &task);
        Ok(task)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let held = self.adversaries.crafting(report.client, report.round);
        if held.is_none() {
            self.inner.receive(report)?;
            self.passed += 1;
            if self.knowledge == Knowledge::Own {
                return Ok(());
            }
        }
        let update = self.whole.update_of(report)?;
        self.reports.insert(
            report.client,
            Seen {
                samples: report.samples,
                update,
                held,
            },
        );
        Ok(())
    }

    fn close(&mut self, round: u32) -> Result<(), MethodError> {
        let entries = 0..self.adversaries.parties().len();
        let crafted = entries.map(|entry| self.craft(entry, round));
        let crafted: Vec<Option<Vec<f32>>> = crafted.collect::<Result<_, _>>()?;
        let mut sent = Vec::new();
        for (client, seen) in &mut self.reports {
            let entry = seen.held.and_then(|entry| crafted.get(entry));
            let Some(update) = entry.and_then(Option::as_ref) else {
                continue;
            };
            let payload = self.whole.report(*client, update, self.kind)?;
            seen.update = ParamSet::from_slice(seen.update.layout(), update)?;
            sent.push(Received {
                client: *client,
                round,
                samples: seen.samples,
                payload,
            });
        }
        for report in &sent {
            // A report that the server refuses is not used: the adversaries have gone too far.
            if let Err(error) = self.inner.receive(report) {
                tracing::debug!(client = report.client, %error, "a crafted report was refused");
            }
        }
        self.remember(round)?;
        self.forget();
        self.inner.close(round)
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        self.inner.step(phase, outputs)
    }

    fn abandon(&mut self) {
        self.forget();
        self.inner.abandon();
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
        self.memory.save(to);
        self.whole.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)?;
        self.memory = Snapshot::load(from)?;
        self.whole = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ipm::Ipm;
    use super::super::testing::of_three;
    use super::super::AttackSpec;
    use super::*;
    use crate::defend::Defended;
    use crate::method::testing::{close, combine, local, mean, size, start, Descent, Toy};
    use crate::method::MethodSpec;

    fn ipm(epsilon: f64, knowledge: Knowledge) -> AttackSpec {
        Ipm { epsilon, knowledge }.into()
    }

    /// A toy federation whose clients `adversaries` attack at the server.
    fn attacked<'a>(
        method: &'a MethodSpec,
        adversaries: &[u32],
        attack: AttackSpec,
        defence: Option<DefenceSpec>,
    ) -> Toy<'a> {
        let mut toy = Toy::new(method.method(), &local());
        let kind = method.method().reports();
        let setup = toy.setup().clone();
        let mut half = method.method().server(setup.clone()).unwrap();
        if let Some(defence) = &defence {
            half = Box::new(Defended::new(half, kind, defence.clone(), &setup).unwrap());
        }
        let adversaries = of_three(adversaries, attack);
        toy.server = Box::new(Collusion::new(half, kind, adversaries, defence, setup.seed));
        toy
    }

    /// w − start
    fn update(w: &[f64]) -> Vec<f64> {
        combine(&[(1.0, w), (-1.0, &start())])
    }

    #[test]
    fn what_adversaries_know_decides_what_they_send() {
        let method = MethodSpec::default();
        let models = Descent::of_local().cohort(&start(), 1);
        let updates: Vec<_> = models.iter().map(|w| update(w)).collect();
        let others = combine(&[(0.5, &updates[0]), (0.5, &updates[1])]);
        for (knowledge, known) in [(Knowledge::Own, &updates[2]), (Knowledge::Cohort, &others)] {
            let mut toy = attacked(&method, &[2], ipm(0.5, knowledge), None);
            toy.round(&[2, 0, 1]);
            let crafted = combine(&[(1.0, &start()), (-0.5, known)]);
            let sent = [models[0].clone(), models[1].clone(), crafted];
            close(&toy.model(), &mean(&sent, size));
        }
    }

    #[test]
    fn colluders_send_one_update_made_of_what_all_of_them_would_have_sent() {
        let method = MethodSpec::default();
        let models = Descent::of_local().cohort(&start(), 1);
        let updates: Vec<_> = models.iter().map(|w| update(w)).collect();
        let own = combine(&[(0.5, &updates[0]), (0.5, &updates[2])]);
        let mut toy = attacked(&method, &[0, 2], ipm(2.0, Knowledge::Own), None);
        toy.round(&[0, 1, 2]);
        let crafted = combine(&[(1.0, &start()), (-2.0, &own)]);
        let sent = [crafted.clone(), models[1].clone(), crafted];
        close(&toy.model(), &mean(&sent, size));
    }

    #[test]
    fn a_round_that_is_given_up_leaves_nothing_behind() {
        let method = MethodSpec::default();
        let run = |given_up: bool| {
            let mut toy = attacked(&method, &[2], ipm(0.5, Knowledge::Cohort), None);
            if given_up {
                let (_, work) = (toy.open(), toy.ask(2).1);
                let report = toy.received(2, work.report);
                toy.server.receive(&report).unwrap();
                toy.server.abandon();
            } else {
                toy.open();
            }
            toy.round(&[0, 1]);
            toy.model().digest().unwrap()
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn knowing_the_defence_does_at_least_as_much_harm_as_not_knowing_it() {
        let method = MethodSpec::default();
        let honest: Vec<_> = Descent::of_local().cohort(&start(), 1);
        let others = combine(&[(0.5, &honest[0]), (0.5, &honest[1])]);
        let clipping: DefenceSpec = crate::defend::clipping::NormClipping::default().into();
        let harm = |knowledge| {
            let mut toy = attacked(&method, &[2], ipm(0.1, knowledge), Some(clipping.clone()));
            toy.round(&[0, 1, 2]);
            let model = toy.model();
            let pairs = model.as_slice().unwrap().iter().zip(&others);
            pairs.map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>()
        };
        let (knowing, blind) = (harm(Knowledge::Defence), harm(Knowledge::Cohort));
        assert!(knowing > 1.5 * blind, "{knowing} against {blind}");
    }
}
