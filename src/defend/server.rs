//! A method's server half behind a defence.

use super::cohort::draws;
use super::{aggregate, settle, Cohort, DefenceSpec, Memory, Report, Shape, Sum};
use crate::method::{
    difference, MethodError, OwnTraining, Payload, Phase, Received, ReportKind, ServerHalf,
    ServerJob, Setup, Whole,
};
use crate::model::ParamSet;
use crate::quantity::Flops;
use std::sync::Arc;

/// The server half of a method that wears a defence: it takes the reports in, makes one robust update
/// of them when the round is over, and hands that to the method as the only report, with the samples of
/// all. The method's own step (mean, momentum, Adam, ...) goes on from there.
///
/// A report with a value that is not finite is refused.
pub struct Defended {
    inner: Box<dyn ServerHalf>,
    spec: DefenceSpec,
    kind: ReportKind,
    seed: u64,
    whole: Whole,
    /// The round's reports, for a defence that keeps them.
    held: Vec<Held>,
    /// The round's sum, for a defence that streams.
    sum: Option<Sum>,
    /// Whom the one report will come from: the first that was taken in.
    first: Option<u32>,
    /// Reports and samples taken in.
    taken: (u64, u32),
    memory: Memory,
    own: Option<OwnTraining>,
    /// Whether the server's own training has been asked for.
    training: bool,
    trusted: Option<ParamSet>,
}

struct Held {
    client: u32,
    samples: u32,
    update: ParamSet,
}

impl Defended {
    /// `inner`, whose clients report `kind`, behind the defence `spec`.
    ///
    /// # Errors
    /// When the defence needs a public set and there is none.
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

    /// What the round's reports come to.
    fn aggregate(&mut self, round: u32) -> Result<Vec<f32>, MethodError> {
        let defence = self.spec.defence();
        if let (Shape::Streaming(streaming), Some(sum)) = (defence.shape(), &self.sum) {
            return Ok(streaming.finish(sum, &mut draws(self.seed, round)));
        }
        // Whoever came first must not matter.
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

    /// Hands the method one report for all.
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

    /// The server's own update, which the defence compares with.
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
    fn needs_clients(&self) -> bool {
        self.inner.needs_clients()
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
        match self.spec.defence().shape() {
            Shape::Keeping(_) => self.held.push(Held {
                client: report.client,
                samples: report.samples,
                update,
            }),
            Shape::Streaming(streaming) => {
                let update = update.as_slice()?;
                let sum = self.sum.get_or_insert_with(|| Sum::of(update.len()));
                let trusted = self.trusted.as_ref().map(ParamSet::as_slice).transpose()?;
                let report = Report {
                    update,
                    samples: report.samples,
                    trusted,
                };
                streaming.add(sum, &report);
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

    fn close(&mut self, round: u32) -> Result<(), MethodError> {
        self.inner.close(round)
    }

    fn abandon(&mut self) {
        self.forget();
        self.inner.abandon();
    }

    /// A report is made an update; the defence's own work is counted when the round is over.
    fn receive_flops(&self) -> Flops {
        Flops(self.global().map_or(0, |global| global.len() as u64))
    }

    fn round_flops(&self) -> Flops {
        let values = self.global().map_or(0, |global| global.len() as u64);
        let own = self.spec.defence().flops(self.taken.0, values);
        let inner = self.inner.receive_flops().0 + self.inner.round_flops().0;
        Flops(own.saturating_add(inner).saturating_add(values))
    }

    fn global(&self) -> Option<&ParamSet> {
        self.inner.global()
    }

    fn personal(&self) -> bool {
        self.inner.personal()
    }

    fn at_level(&self, level: usize) -> Result<Option<ParamSet>, MethodError> {
        self.inner.at_level(level)
    }
}
