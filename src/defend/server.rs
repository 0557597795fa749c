//! A server half that stands in front of a method's own and applies a defence to the reports.

use super::cohort::draws;
use super::{aggregate, settle, Access, Cohort, DefenceSpec, Memory, Sum, Update};
use crate::method::{
    difference, MethodError, OwnTraining, Payload, Phase, Received, ReportKind, ServerHalf,
    ServerJob, Setup, Whole,
};
use crate::model::ParamSet;
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::sync::Arc;

/// The server half of a method behind a defence. It collects the reports of a round, makes one
/// robust aggregate of them when the round is over, and hands that to the method as the only
/// report, with the samples of all reports together. The method's own step (a mean, momentum, Adam
/// and so on) follows.
///
/// A report that contains a value that is not finite is refused.
pub struct Defended {
    inner: Box<dyn ServerHalf>,
    spec: DefenceSpec,
    kind: ReportKind,
    seed: u64,
    whole: Whole,
    /// The reports of the round, for a defence that keeps them.
    held: Vec<Held>,
    /// The sum of the round, for a streaming defence.
    sum: Option<Sum>,
    /// The client in whose name the one report is handed in: the first whose report was taken.
    first: Option<u32>,
    /// The number of reports taken, and the sum of their samples.
    taken: (u64, u32),
    memory: Memory,
    own: Option<OwnTraining>,
    /// Whether the server's own training has been started for this round.
    training: bool,
    trusted: Option<ParamSet>,
}

struct Held {
    client: u32,
    samples: u32,
    update: ParamSet,
}

impl Defended {
    /// Puts the defence `spec` in front of the server half `inner`, whose clients report `kind`.
    ///
    /// # Errors
    /// When the defence needs a public set and the scenario has none.
    pub fn new(
        inner: Box<dyn ServerHalf>,
        kind: ReportKind,
        spec: DefenceSpec,
        setup: &Setup,
    ) -> Result<Self, MethodError> {
        let own = match (spec.defence().needs_public(), &setup.public) {
            (false, _) => None,
            (true, None) => return Err(MethodError::NoPublicData),
            (true, Some(public)) => Some(OwnTraining {
                model: Arc::clone(&setup.model),
                data: Arc::clone(&public.data),
                samples: public.train.clone(),
                local: Arc::clone(&setup.local),
                seed: setup.seed,
            }),
        };
        Ok(Self {
            inner,
            spec,
            kind,
            seed: setup.seed,
            whole: Whole::default(),
            held: Vec::new(),
            sum: None,
            first: None,
            taken: (0, 0),
            memory: Memory::default(),
            own,
            training: false,
            trusted: None,
        })
    }

    fn forget(&mut self) {
        self.held.clear();
        self.sum = None;
        self.first = None;
        self.taken = (0, 0);
        self.whole.clear();
        self.trusted = None;
        self.training = false;
    }

    /// The aggregate of the reports of the round.
    fn aggregate(&mut self, round: u32) -> Result<Vec<f32>, MethodError> {
        let defence = self.spec.defence();
        if let (Access::Streaming(streaming), Some(sum)) = (defence.access(), &self.sum) {
            return Ok(streaming.finish(sum, &mut draws(self.seed, round)));
        }
        // The order in which reports came in must not change the result.
        self.held.sort_by_key(|held| held.client);
        let clients: Vec<u32> = self.held.iter().map(|held| held.client).collect();
        let samples: Vec<u32> = self.held.iter().map(|held| held.samples).collect();
        let updates = self.held.iter().map(|held| held.update.as_slice());
        let updates: Vec<&[f32]> = updates.collect::<Result<_, _>>()?;
        let trusted = self.trusted.as_ref().map(ParamSet::as_slice).transpose()?;
        let cohort = Cohort {
            clients: &clients,
            samples: &samples,
            updates: &updates,
            trusted,
            round,
            seed: self.seed,
        };
        let made = aggregate(defence, &cohort, &self.memory);
        settle(defence, &cohort, &made, &mut self.memory);
        Ok(made)
    }

    /// Hands the method one report that stands for all.
    fn hand_in(&mut self, round: u32) -> Result<(), MethodError> {
        let Some(client) = self.first else {
            return Ok(());
        };
        let made = self.aggregate(round)?;
        let payload = self.whole.report(client, &made, self.kind)?;
        let report = Received {
            client,
            round,
            samples: self.taken.1.max(1),
            payload,
        };
        self.forget();
        self.inner.receive(&report)
    }

    /// Starts the server's own training on the public set, or takes its result, for a defence that
    /// compares reports with it.
    fn train(&mut self, round: u32, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        let Some(own) = &self.own else {
            return self.inner.step(Phase::BeforeRound(round), outputs);
        };
        if std::mem::take(&mut self.training) {
            if let (Some(trained), Some(global)) = (outputs.first(), self.inner.global()) {
                self.trusted = Some(difference(trained.as_model()?, global)?);
            }
            return Ok(Vec::new());
        }
        let jobs = self.inner.step(Phase::BeforeRound(round), outputs)?;
        match self.inner.global() {
            Some(global) if jobs.is_empty() => {
                self.training = true;
                Ok(vec![own.job(global.clone(), round)])
            }
            _ => Ok(jobs),
        }
    }
}

impl ServerHalf for Defended {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

    fn least_reports(&self) -> u32 {
        let least = self.spec.defence().least();
        least.max(self.inner.least_reports())
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        let task = self.inner.task(client, round)?;
        self.whole.note(client, &task);
        Ok(task)
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let update = self.whole.update_of(report)?;
        let global = self.inner.global();
        global.map_or(Ok(()), |global| update.has_layout(global.layout()))?;
        match self.spec.defence().access() {
            Access::Keeping(_) => self.held.push(Held {
                client: report.client,
                samples: report.samples,
                update,
            }),
            Access::Streaming(streaming) => {
                let values = update.as_slice()?;
                let sum = self.sum.get_or_insert_with(|| Sum::of(values.len()));
                let trusted = self.trusted.as_ref().map(ParamSet::as_slice).transpose()?;
                let update = Update {
                    values,
                    samples: report.samples,
                    trusted,
                };
                streaming.add(sum, &update);
            }
        }
        self.first.get_or_insert(report.client);
        self.taken.0 += 1;
        self.taken.1 = self.taken.1.saturating_add(report.samples);
        Ok(())
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        match phase {
            Phase::BeforeRound(round) => self.train(round, outputs),
            Phase::AfterRound(round) => {
                self.hand_in(round)?;
                self.inner.step(phase, outputs)
            }
            Phase::Setup | Phase::Finish => self.inner.step(phase, outputs),
        }
    }

    fn abandon(&mut self) {
        self.forget();
        self.inner.abandon();
    }

    /// The cost of turning a report into an update; the defence's own work is counted when the
    /// round is over.
    fn receive_flops(&self) -> Flops {
        Flops(self.global().map_or(0, |global| global.len() as u64))
    }

    fn round_flops(&self) -> Flops {
        let values = self.global().map_or(0, |global| global.len() as u64);
        let own = self.spec.defence().flops(self.taken.0, values);
        let inner = self.inner.receive_flops().0 + self.inner.round_flops().0;
        Flops(own.saturating_add(inner).saturating_add(values))
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
        self.memory.save(to);
        self.whole.save(to);
        self.training.save(to);
        self.trusted.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)?;
        self.memory = Snapshot::load(from)?;
        self.whole = Snapshot::load(from)?;
        self.training = Snapshot::load(from)?;
        self.trusted = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Scratch;
    use crate::method::testing::{close, local, start, Descent, Toy};
    use crate::method::MethodSpec;

    fn method(name: &str) -> MethodSpec {
        name.parse().unwrap()
    }

    fn defended<'a>(method: &'a MethodSpec, defence: &DefenceSpec) -> Toy<'a> {
        let mut toy = Toy::new(method.method(), &local());
        let setup = toy.setup().clone();
        let half = method.method().server(setup.clone()).unwrap();
        let kind = method.method().reports();
        toy.server = Box::new(Defended::new(half, kind, defence.clone(), &setup).unwrap());
        toy
    }

    fn defence(text: &str) -> DefenceSpec {
        text.parse().unwrap()
    }

    /// A bound that nothing reaches leaves the mean, weighted by samples; the method's own step goes on
    /// with it as with the reports themselves.
    #[test]
    fn a_method_that_wears_an_idle_defence_is_itself_to_rounding() {
        let idle = defence("NormClipping((bound: 1e6))");
        for name in [
            "FedAvg",
            "FedProx",
            "FedAvgM",
            "FedAdagrad",
            "FedAdam",
            "FedYogi",
            "FedSgd",
        ] {
            let method = method(name);
            let mut plain = Toy::new(method.method(), &local());
            let mut worn = defended(&method, &idle);
            for cohort in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
                plain.round(&cohort);
                worn.round(&cohort);
                let apart = plain.model().distance_squared(&worn.model()).unwrap();
                // Adaptive steps divide by what may be small.
                assert!(apart < 1e-6, "{name}: {apart}");
            }
        }
    }

    #[test]
    fn what_krum_chooses_is_the_next_global_model_whatever_the_order() {
        let method = MethodSpec::default();
        let krum = defence("Krum((byzantine: 0))");
        let (mut a, mut b) = (defended(&method, &krum), defended(&method, &krum));
        a.round(&[0, 1, 2]);
        b.round(&[2, 0, 1]);
        assert_eq!(a.model().digest().unwrap(), b.model().digest().unwrap());
        let models = Descent::of_local().cohort(&start(), 1);
        let got = a.model();
        let near = |w: &Vec<f64>| {
            let pairs = got.as_slice().unwrap().iter().zip(w);
            pairs.map(|(a, b)| (f64::from(*a) - b).powi(2)).sum::<f64>() < 1e-9
        };
        assert_eq!(models.iter().filter(|w| near(w)).count(), 1);
    }

    #[test]
    fn a_report_that_is_not_finite_is_refused_and_counts_for_nothing() {
        let method = MethodSpec::default();
        for text in ["Median(())", "NormClipping((bound: 1e6))"] {
            let mut toy = defended(&method, &defence(text));
            toy.open();
            let model = toy.model();
            let mut values = model.as_slice().unwrap().to_vec();
            let (_, work) = toy.ask(0);
            let (_, _) = toy.ask(1);
            values[3] = f32::NAN;
            let bad = ParamSet::from_slice(model.layout(), &values).unwrap();
            let bad = toy.received(1, Payload::Model(bad));
            assert!(toy.server.receive(&bad).is_err());
            let good = toy.received(0, work.report.clone());
            toy.server.receive(&good).unwrap();
            toy.close();
            let expected = Descent::of_local().client(&start(), 0, 1).0;
            close(&toy.model(), &expected);
        }
    }

    #[test]
    fn a_round_that_is_given_up_leaves_nothing_behind() {
        let method = MethodSpec::default();
        for text in ["Median(())", "WeakDp((bound: 0.5))", "FoolsGold(())"] {
            let run = |given_up: bool| {
                let mut toy = defended(&method, &defence(text));
                toy.open();
                if given_up {
                    let work = toy.ask(2).1;
                    let report = toy.received(2, work.report);
                    toy.server.receive(&report).unwrap();
                    toy.server.abandon();
                }
                toy.round(&[0, 1]);
                toy.model().digest().unwrap()
            };
            assert_eq!(run(true), run(false), "{text}");
        }
    }

    #[test]
    fn fltrust_scales_what_it_trusts_to_the_servers_own_update() {
        let method = MethodSpec::default();
        let mut toy = defended(&method, &defence("FLTrust(())"));
        let before = toy.model();
        let setup = toy.setup();
        let public = setup.public.clone().unwrap();
        let own = OwnTraining {
            model: Arc::clone(&setup.model),
            data: public.data,
            samples: public.train,
            local: Arc::clone(&setup.local),
            seed: setup.seed,
        };
        let trained = (own.job(before.clone(), 1).work)(&mut Scratch::new()).unwrap();
        let own = difference(trained.as_model().unwrap(), &before).unwrap();
        // One client alone, whose labels are mostly those of the public set: its update, as long as
        // the server's.
        toy.round(&[0]);
        let made = difference(&toy.model(), &before).unwrap();
        let length = |set: &ParamSet| set.norm_squared().unwrap().sqrt();
        assert!((length(&made) / length(&own) - 1.0).abs() < 1e-4);
        let theirs = Descent::of_local().client(&start(), 0, 1).0;
        let theirs: Vec<f32> = theirs
            .iter()
            .zip(start())
            .map(|(w, s)| (w - s) as f32)
            .collect();
        let theirs = ParamSet::from_slice(before.layout(), &theirs).unwrap();
        let cosine = made.dot(&theirs).unwrap() / (length(&made) * length(&theirs));
        assert!(cosine > 0.9999, "{cosine}");
    }

    #[test]
    fn the_virtual_server_pays_for_every_pair_of_reports() {
        let method = MethodSpec::default();
        let cost = |n: u32| {
            let mut toy = defended(&method, &defence("Krum((byzantine: 0))"));
            toy.open();
            for client in 0..n {
                let work = toy.ask(client).1;
                let report = toy.received(client, work.report);
                toy.server.receive(&report).unwrap();
            }
            toy.server.round_flops().0
        };
        let values = start().len() as u64;
        assert_eq!(cost(3) - cost(2), 2 * values * (9 - 4));
    }
}
